"""The nodes of an SSHCluster: one on each host, kept at the end of an ssh.

A login takes a while and can't be taken back: one that is not wanted any more keeps its host until it
has ended, and nobody waits for it. A node dials this program, and is dialled: either way will do.

I/O half, reactor thread. Layer 5. Rule R-11.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from dispycos.clusters.hosts import Hosts
from dispycos.clusters.launcher import Launcher
from dispycos.clusters.ssh_node import SSHNode
from dispycos.launch.remote_node import RemoteNode, Tell
from dispycos.launch.spec import XSpec
from dispycos.model import Incarnation
from dispycos.net.reactor import Later
from dispycos.runtime import Network
from dispycos.scheduler.service import SchedulerService
from dispycos.wording import listed

log = logging.getLogger("dispycos")

LOOK_EVERY: Final = 0.25  # seconds between looks whether a node that is ready has reached us
FIRST_WORD: Final = 10.0  # seconds until one that has not is told of
END_WITHIN: Final = 5.0  # seconds for nodes to end at the close; what is left then ends by itself
_AT_ONCE: Final = 16  # logins at a time


class SSHNodes(Launcher):
    """Starts and ends them.

    specs    of the hosts, by their names.
    options  of dispycosnode, likewise.
    """

    def __init__(
        self,
        network: Network,
        service: SchedulerService,
        specs: Mapping[str, XSpec],
        hosts: Hosts,
        options: Mapping[str, list[str]],
    ) -> None:
        self._network = network
        self._service = service
        self._specs = specs
        self._hosts = hosts
        self._options = options
        self._nodes: dict[int, SSHNode] = {}  # from the login to the end
        self._forsaken: set[int] = set()  # of those: told as ended, though their login is under way
        self._waiting: dict[int, float] = {}  # those that are ready, and since when they have not reached us
        self._here: set[int] = set()
        self._logins = threading.BoundedSemaphore(_AT_ONCE)
        self._calls: set[asyncio.Task[object]] = set()
        self._looking: asyncio.Task[None] | None = None
        self._retry: Later | None = None
        self._over: asyncio.Event | None = None  # set when the last node has ended; None: it goes on

    # As Launcher.

    async def begin(self) -> int:
        """None is here yet: they come one by one."""
        return 0

    def start(self, number: int) -> None:
        """See `Launcher`."""
        host = self._hosts.take(time.monotonic())
        if host is None:
            self.call(self._tell_ended, number, "no host is free", False)
            return
        node = SSHNode(number, host, self._launch_of(host), self._logins, self)
        self._nodes[number] = node
        try:
            node.start()
        except RuntimeError as exc:
            self.call(self.is_over, node, str(exc), False)

    def _launch_of(self, host: str) -> Callable[[Tell], RemoteNode]:
        location = self._network.endpoint.location
        assert location is not None, "a program's network listens"
        keys = [key.hex() for key in self._network.endpoint.keyring.reveal()]
        # It says where it listens, so that any ports will do, unless a firewall has to let them through.
        options = self._options[host]
        named = any(one.startswith(("--tcp", "--node_p")) for one in options)
        ports = [] if named else ["--tcp_ports=0"]
        arguments = ["--udp_port=0", f"--peer={location}", *ports, *options]
        return lambda tell: RemoteNode(self._specs[host], keys, arguments, tell)

    def drain(self, number: int) -> None:
        """See `Launcher`."""
        node = self._nodes.get(number)
        if node is None:
            return
        if node.refuse():
            self._aside(lambda: node.end(soon=False))
        else:
            # The host is taken until its login has ended; nobody waits for that.
            self._forsaken.add(number)
            self.call(self._tell_ended, number, "it is not needed", False)

    def present(self) -> Mapping[Incarnation, int]:
        """See `Launcher`."""
        ours = {node.ready.location: node.number for node in self._nodes.values() if node.ready is not None}
        there = self._service.machine.nodes.values()
        return {one.incarnation: ours[one.facts.location] for one in there if one.facts.location in ours}

    def told(self) -> dict[str, Any]:
        """Which host has which node, and why others have none."""
        hosts = {node.host: node.number for node in self._nodes.values()}
        return {"hosts": hosts, "failed": self._hosts.failed()}

    def coming(self) -> list[str]:
        """See `Launcher`."""
        waiting = [node.host for node in list(self._nodes.values()) if node.number not in self._here]
        starting = [f"nodes are being started by ssh: {listed(waiting)}"] if waiting else []
        return [*starting, *_reasons(self._hosts.failed())]

    async def stop(self) -> None:
        """End all, and wait for it; a login that is under way ends by itself."""
        self._over = asyncio.Event()
        if self._retry is not None:
            self._retry.cancel()
        if self._looking is not None:
            self._looking.cancel()
        self._nodes = {number: node for number, node in self._nodes.items() if node.refuse()}
        for node in self._nodes.values():
            self._aside(functools.partial(node.end, soon=True))
        try:
            if self._nodes:
                await asyncio.wait_for(self._over.wait(), END_WITHIN)
        except TimeoutError:
            log.warning("%d nodes by ssh have not ended yet; they end by themselves", len(self._nodes))
            for node in self._nodes.values():
                self._aside(node.part)
        await asyncio.gather(*self._calls, return_exceptions=True)

    # As ssh_node.Owner.

    def call(self, function: Callable[..., object], *args: Any) -> None:
        """Have it called in the reactor's thread; any thread."""
        self._network.reactor.call(function, *args)

    def is_ready(self, node: SSHNode) -> None:
        """It listens at `node.ready`."""
        if self._over is not None or node.unwanted:
            return
        assert node.ready is not None
        self._service.add_node(node.ready.location)
        self._waiting[node.number] = time.monotonic()
        if self._looking is None or self._looking.done():
            self._looking = self._network.reactor.spawn(self._look())

    async def _look(self) -> None:
        """Until each node that is ready has reached us."""
        told: set[int] = set()
        while self._waiting:
            for number in set(self.present().values()) & self._waiting.keys():
                del self._waiting[number]
                self._here.add(number)
                node = self._nodes[number]
                assert node.ready is not None
                self._hosts.came(node.host)
                log.info("the cluster's node %d is on %s, at %s", number, node.host, node.ready.location)
                self.came(number, node.ready.servers)
            for number, since in self._waiting.items():
                if time.monotonic() - since >= FIRST_WORD and number not in told:
                    told.add(number)
                    self._say_unreached(self._nodes[number])
            await asyncio.sleep(LOOK_EVERY)

    def _say_unreached(self, node: SSHNode) -> None:
        assert node.ready is not None
        why = "; ".join(self._service.named.why())
        log.warning(
            "the cluster's node on %s runs at %s, and neither reaches this program at %s nor is reached from "
            "here%s: TCP must be open one way; options=['--ext_ip_addr=ADDRESS', '--tcp_ports=9706-9714'] "
            "say how it is reached, Pycos(ext_host=ADDRESS, tcp_port=PORT) how this program is",
            node.host,
            node.ready.location,
            self._network.endpoint.location,
            f" ({why})" if why else "",
        )

    def is_over(self, node: SSHNode, reason: str, well: bool) -> None:
        """It is gone, or does not come."""
        self._aside(node.part)
        number = node.number
        if self._nodes.pop(number, None) is None:
            return
        self._here.discard(number)
        self._forsaken.discard(number)
        self._waiting.pop(number, None)
        if node.ready is not None:
            self._service.drop_node(node.ready.location)
        if self._over is not None:
            if not self._nodes:
                self._over.set()
        elif node.unwanted and well:
            self._hosts.leave(node.host)
            self._tell_ended(number, "it is not needed", True)
        else:
            if node.refuses:
                self._hosts.give_up(node.host, reason)
                then = "that host is not tried again: SSHCluster(options=[..]) has the options of its node"
            else:
                wait = self._hosts.fail(node.host, reason, time.monotonic())
                then = f"that host is tried again in {wait:g} s"
            self._tell_ended(number, f"{node.host}: {reason}; {then}", False)
            if node.refuses and self.owner is not None:
                given_up = self._hosts.given_up()
                self.owner.at_most(len(self._hosts) - len(given_up), "; ".join(_reasons(given_up)))

    def _tell_ended(self, number: int, reason: str, in_order: bool) -> None:
        # First how many there can be: another one is to be started only where there is a host for it.
        self._tell_room()
        self.ended(number, reason, in_order=in_order, elsewhere=True)

    def _tell_room(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
        if self.owner is None:
            return
        now = time.monotonic()
        deadline = self._hosts.next_deadline(now)
        if deadline is not None:
            self._retry = self._network.reactor.later(deadline - now, self._tell_room)
        self.owner.room(len(self._nodes) - len(self._forsaken) + self._hosts.free(now))

    def _aside(self, function: Callable[[], object]) -> None:
        """Call what may wait for a stream, in a thread."""
        task = self._network.reactor.spawn(asyncio.to_thread(function))
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)


def _reasons(hosts: Mapping[str, str]) -> list[str]:
    return [f"{host}: {why}" for host, why in hosts.items()]
