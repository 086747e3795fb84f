"""The nodes of an SSHCluster: one on each host, kept at the end of an ssh.

A login takes a while and can't be taken back, so each has a thread, some at a time. A node dials this
program, and is dialled: whichever way is open will do.

I/O half, reactor thread but where it is said. Layer 5. Rule R-11.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from dispycos.client.hosts import Hosts
from dispycos.client.launcher import Launcher
from dispycos.launch.quoting import harmless
from dispycos.launch.remote_node import Ended, Line, RemoteNode, why_none
from dispycos.launch.spec import XSpec
from dispycos.model import Incarnation
from dispycos.net.reactor import Later
from dispycos.node import printed
from dispycos.node.printed import Logged, Ready
from dispycos.records import record
from dispycos.runtime import Network
from dispycos.scheduler.service import SchedulerService
from dispycos.wording import listed

log = logging.getLogger("dispycos")

LOOK_EVERY: Final = 0.25  # seconds between looks whether a node that is ready has reached us
FIRST_WORD: Final = 10.0  # seconds until one that has not is told of
END_WITHIN: Final = 5.0  # seconds for nodes to end at the close; what is left then ends by itself
_PARTING: Final = 2.0  # seconds for an ssh whose node has ended
_AT_ONCE: Final = 16  # logins at a time
_KEPT_LINES: Final = 5  # of what a node prints before it is ready: it says why it never is


@record(frozen=False, eq=False)
class _Node:
    """A node, from the login on."""

    number: int
    host: str
    remote: RemoteNode | None = None  # None: the login is under way
    ready: Ready | None = None
    ready_at: float = 0.0
    came: bool = False
    unwanted: bool = False
    forsaken: bool = False  # it is told as ended, though its login is under way
    told: bool = False  # that it does not reach us


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
        self._nodes: dict[int, _Node] = {}  # from the login to the end
        self._logins = threading.BoundedSemaphore(_AT_ONCE)
        self._parting: set[asyncio.Task[object]] = set()
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
            self._network.reactor.call(self._tell_ended, number, "no host is free", False)
            return
        node = self._nodes[number] = _Node(number, host)
        # Not of a pool: a program that ends does not wait for a host that is silent.
        threading.Thread(target=self._log_in, args=(node,), name="dispycos ssh", daemon=True).start()

    def drain(self, number: int) -> None:
        """See `Launcher`."""
        node = self._nodes.get(number)
        if node is None:
            return
        node.unwanted = True
        if node.remote is None:
            # The host is taken until its login has ended; nobody waits for that.
            node.forsaken = True
            self._network.reactor.call(self._tell_ended, number, "it is not needed", False)
        elif node.ready is None:
            self._do(node.remote.end)
        else:
            self._do(node.remote.drain)

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
        waiting = [node.host for node in list(self._nodes.values()) if not node.came]
        failed = [f"{host}: {why}" for host, why in self._hosts.failed().items()]
        return [*([f"nodes are being started by ssh: {listed(waiting)}"] if waiting else []), *failed]

    async def stop(self) -> None:
        """End all, and wait for it; a login that is under way ends by itself."""
        self._over = asyncio.Event()
        if self._retry is not None:
            self._retry.cancel()
        if self._looking is not None:
            self._looking.cancel()
        started = [node for node in self._nodes.values() if node.remote is not None]
        for node in started:
            node.unwanted = True
            assert node.remote is not None
            self._do(node.remote.end)
        self._nodes = {node.number: node for node in started}
        try:
            if started:
                await asyncio.wait_for(self._over.wait(), END_WITHIN)
        except TimeoutError:
            log.warning("%d nodes by ssh have not ended yet; they end by themselves", len(self._nodes))
            for node in self._nodes.values():
                assert node.remote is not None
                self._part(node.remote)
        await asyncio.gather(*self._parting)

    # A node's way.

    def _log_in(self, node: _Node) -> None:
        """In a thread of its own."""
        location = self._network.endpoint.location
        assert location is not None, "a program's network listens"
        keys = [key.hex() for key in self._network.endpoint.keyring.reveal()]
        # It says where it listens, so that any ports will do, unless a firewall has to let them through.
        options = self._options[node.host]
        named = any(one.startswith(("--tcp", "--node_p")) for one in options)
        ports = [] if named else ["--tcp_ports=0"]
        arguments = ["--udp_port=0", f"--peer={location}", *ports, *options]
        said: deque[str] = deque(maxlen=_KEPT_LINES)

        def tell(event: Line | Ended) -> None:
            """In the thread of the link."""
            if isinstance(event, Line):
                self._hear(node, event.text, said)
            else:
                words = "" if node.ready or not said else f": {'; '.join(said)}"
                self._network.reactor.call(self._ended, node, f"{event.reason}{words}", event.code == 0)

        with self._logins:
            try:
                if self._over or node.unwanted:
                    raise InterruptedError("it is not needed")
                remote = RemoteNode(self._specs[node.host], keys, arguments, tell)
            except Exception as exc:
                self._network.reactor.call(self._ended, node, why_none(exc), False)
            else:
                self._network.reactor.call(self._logged_in, node, remote)
                if self._over:
                    _part(remote)  # nobody may be left to hear of it

    def _hear(self, node: _Node, line: str, said: deque[str]) -> None:
        read = printed.read(line)
        if isinstance(read, Ready) and node.ready is None:
            self._network.reactor.call(self._is_ready, node, read)
            return
        line = harmless(line if not isinstance(read, Logged) else read.text)
        said.append(line)
        if isinstance(read, Logged):
            log.log(read.level, "%s: %s", node.host, line)
        else:
            with contextlib.suppress(OSError, ValueError):  # our output may be closed
                print(f"{node.host}: {line}", flush=True)

    def _logged_in(self, node: _Node, remote: RemoteNode) -> None:
        node.remote = remote
        if self._over or self._nodes.get(node.number) is not node:
            self._part(remote)
        elif node.unwanted:
            self._do(remote.end)

    def _is_ready(self, node: _Node, ready: Ready) -> None:
        node.ready, node.ready_at = ready, time.monotonic()
        if self._over or node.unwanted:
            return
        self._service.add_node(ready.location)
        if self._looking is None or self._looking.done():
            self._looking = self._network.reactor.spawn(self._look())

    async def _look(self) -> None:
        """Until each node that is ready has reached us."""
        while waiting := [node for node in self._nodes.values() if node.ready and not node.came]:
            here = set(self.present().values())
            for node in waiting:
                assert node.ready is not None
                if node.number in here:
                    node.came = True
                    self._hosts.came(node.host)
                    log.info(
                        "the cluster's node %d is on %s, at %s", node.number, node.host, node.ready.location
                    )
                    self.came(node.number, node.ready.servers)
                elif not node.told and time.monotonic() - node.ready_at >= FIRST_WORD:
                    node.told = True
                    self._say_unreached(node, node.ready)
            await asyncio.sleep(LOOK_EVERY)

    def _say_unreached(self, node: _Node, ready: Ready) -> None:
        why = "; ".join(self._service.why_unreached())
        log.warning(
            "the cluster's node on %s runs at %s, and neither reaches this program at %s nor is reached from "
            "here%s: TCP must be open one way; options=['--ext_ip_addr=ADDRESS', '--tcp_ports=9706-9714'] "
            "say how it is reached, Pycos(ext_host=ADDRESS, tcp_port=PORT) how this program is",
            node.host,
            ready.location,
            self._network.endpoint.location,
            f" ({why})" if why else "",
        )

    def _ended(self, node: _Node, reason: str, well: bool) -> None:
        if node.remote is not None:
            self._part(node.remote)
        if self._nodes.pop(node.number, None) is None:
            return
        if node.ready is not None:
            self._service.drop_node(node.ready.location)
        if self._over is not None:
            if not self._nodes:
                self._over.set()
        elif node.unwanted and (well or not node.came):
            self._hosts.leave(node.host)
            self._tell_ended(node.number, "it is not needed", well)
        else:
            wait = self._hosts.fail(node.host, reason, time.monotonic())
            text = f"{node.host}: {reason}; that host is tried again in {wait:g} s"
            self._tell_ended(node.number, text, False)

    def _tell_ended(self, number: int, reason: str, in_order: bool) -> None:
        # First how many there can be: another one is to be started only where there is a host for it.
        self._tell_room()
        self.ended(number, reason, in_order=in_order, elsewhere=True)

    def _tell_room(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
        if self.host is None:
            return
        now = time.monotonic()
        deadline = self._hosts.next_deadline(now)
        if deadline is not None:
            self._retry = self._network.reactor.later(deadline - now, self._tell_room)
        ours = sum(not node.forsaken for node in self._nodes.values())
        self.host.room(ours + self._hosts.free(now))

    # What may wait for a stream, in threads.

    def _do(self, function: Callable[[], object]) -> None:
        task = self._network.reactor.spawn(asyncio.to_thread(function))
        self._parting.add(task)
        task.add_done_callback(self._parting.discard)

    def _part(self, remote: RemoteNode) -> None:
        self._do(lambda: _part(remote))


def _part(remote: RemoteNode) -> None:
    """Leave it to itself; of what led there nothing is left."""
    remote.abandon()
    if not remote.wait(_PARTING):
        remote.kill()
