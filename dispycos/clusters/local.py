"""A cluster on this machine, for a laptop, a notebook, a test.

One node process of this program's own, on loopback, with a key that is in memory only, and a
private scheduler in this process. When the cluster closes, or the program ends in whatever
way, all of it is gone.

I/O half. Layer 5. Rows DC-59; rules SE-06, R-64.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Never, Self

from dispycos.arguments import integer, seconds
from dispycos.client import surroundings
from dispycos.client.surroundings import Surroundings
from dispycos.clusters.scalable import Scalable
from dispycos.guidance import habits, hints
from dispycos.kernel.operation import kernel_threads
from dispycos.model import Location, Role
from dispycos.node import fresh
from dispycos.node.fresh import FreshNode
from dispycos.node.processors import server_count

if TYPE_CHECKING:
    from dispycos.client.client_executor import ClientExecutor
    from dispycos.client.switchboard import Switchboard
    from dispycos.clusters.local_nodes import LocalNodes
    from dispycos.node.embedded import LocalNode
    from dispycos.runtime import Network
    from dispycos.scheduler.service import SchedulerService

LOOPBACK = "127.0.0.1"


class LocalCluster(Scalable):
    """A node with servers on this machine, and a scheduler in this process.

        with LocalCluster(4) as cluster: ...

    In asyncio and in `async def` tasks `async with`: starting and ending it blocks nobody there.

    cpus            servers; 0: one for each CPU, less than 0: that many CPUs are left free.
    pulse_interval  seconds; default and least for Clients that are made inside.

    Clients made inside use it. It has a key of its own, unless this process is in a network already:
    then its node joins that one. `scale` and `adapt` give it more nodes, or fewer, each with `cpus`
    servers. This one has as many servers as there is work for:

        with LocalCluster(1) as cluster:
            cluster.adapt(1, 8)
    """

    def __init__(self, cpus: int = 0, *, pulse_interval: float = 1.0, **unknown: Never) -> None:
        hints.refuse(type(self), unknown, habits.OF_CLUSTERS)
        self.pulse_interval = seconds("pulse_interval", pulse_interval)
        if not 0.1 <= self.pulse_interval <= 100:
            raise ValueError(f"pulse_interval must be from 0.1 to 100 seconds, not {pulse_interval!r}")
        self.cpus = server_count(integer("cpus", cpus))
        super().__init__(self.cpus)
        self._surroundings = Surroundings(self.pulse_interval, private=True)
        self._nodes: LocalNodes | None = None
        self._location: Location | None = None
        self._ahead: FreshNode | None = None  # the process of the first one, until it is spoken to
        self._killed_for: Switchboard | None = None  # who told clients of it; None: it was not killed
        surroundings.made(self)

    def _join(self) -> tuple[Network, bool]:
        from dispycos import keyfile
        from dispycos.options import Options
        from dispycos.runtime import runtime

        ours = runtime.present is None
        options = Options(hosts=(LOOPBACK,), roles=Role.PEER | Role.CLIENT | Role.SCHEDULER)
        return runtime.network(options, keyfile.throwaway() if ours else None), ours

    def _make_launcher(self, network: Network, service: SchedulerService) -> LocalNodes:
        from dispycos.clusters.local_nodes import LocalNodes

        self._nodes = LocalNodes(network, service, lambda number: self._start_node(network, number))
        return self._nodes

    def start(self) -> Self:
        """Start node and scheduler. NodeNotStarted says what the node said."""
        self._refuse_start_in_a_loop()
        if self._network is not None:
            return self
        self._ahead = self._start_ahead()
        try:
            super().start()
        finally:
            if self._ahead is not None:
                self._ahead.end()
                self._ahead = None
        assert self._nodes is not None
        # None: it has died since; what its cluster has then says so.
        self._location = next(iter(self._nodes.locations), None)
        surroundings.enter(self._surroundings, self)
        return self

    def _start_ahead(self) -> FreshNode | None:
        """The process of the first node, which starts while we import and open what is ours."""
        with contextlib.suppress(OSError):  # told when it is tried again
            return fresh.start_node()
        return None

    async def _start_node(self, network: Network, number: int) -> LocalNode:
        from dispycos.node import embedded

        tls = network.endpoint.tls
        ahead, self._ahead = self._ahead, None
        return await embedded.start_local_node(
            network.reactor,
            network.endpoint.keyring.own.reveal(),
            self.cpus,
            name="local" if number == 1 else f"local-{number}",
            limits=network.limits,
            min_pulse=self.pulse_interval,
            certificates=tls.files if tls else None,
            ahead=ahead,
        )

    def executor(self, **unknown: Never) -> ClientExecutor:
        """A `concurrent.futures.Executor` on this cluster, with a Client of its own.

            with LocalCluster(4).executor() as executor: ...

        A cluster that was not started yet is started, and ends when the executor is shut down.
        """
        hints.refuse(self.executor, unknown, habits.OF_EXECUTORS)
        self._refuse_in_a_loop(
            "executor()",
            "use that of a Client, `async with LocalCluster(), Client() as client: client.executor()`",
        )
        from dispycos.client.client import Client
        from dispycos.client.client_executor import ClientExecutor

        ours = self._network is None
        self.start()
        client = Client()

        def release() -> None:
            def close() -> None:
                client.close().result()
                if ours:
                    self.close()

            if threading.get_ident() in kernel_threads:
                # Told by the last call's end, where nothing may wait.
                threading.Thread(target=close, name="dispycos-executor-ends").start()
            else:
                close()

        try:
            client.schedule().result()
            work = client.work
            assert work is not None, "it was scheduled"
            return ClientExecutor(client.submit, work, release)
        except BaseException:
            if ours:
                self.close()
            raise

    def _shown(self) -> tuple[str, list[tuple[str, str]]]:
        state = "not started" if self._network is None else "open"
        nodes = self._nodes
        here = [] if nodes is None else nodes.locations
        return state, [
            ("servers", str(self.cpus * (1 if nodes is None else len(here)))),
            *([("node", str(here[0]))] if here else []),
            *([("nodes", str(len(here)))] if nodes is not None and len(here) != 1 else []),
        ]

    @property
    def location(self) -> Location | None:
        """Where its first node is, or was."""
        return self._location

    def _leave(self) -> None:
        surroundings.leave(self._surroundings)

    def kill(self) -> None:
        """End its processes now: what runs there is lost, and has no time to clean up. Then `close` it.

        For tasks that nobody wants, and that would not end before the grace of a close is over. Calls
        that wait for a server are refused, unless something else in this program starts nodes.
        """
        from dispycos.client.switchboard import Switchboard

        self._refuse_in_a_loop("kill()", "use `await asyncio.to_thread(cluster.kill)`")
        network = self._network
        if network is not None and not network.closed:
            switchboard = network.service(Switchboard, lambda: Switchboard(network.endpoint))
            network.reactor.wait(self._kill(switchboard))

    async def _kill(self, switchboard: Switchboard) -> None:
        await self._stop()
        self._killed_for = switchboard
        switchboard.hopeless(self, "the nodes of the LocalCluster were ended by its kill()", True)

    async def _stop(self) -> None:
        self._nodes = self._location = None
        if self._killed_for is not None:
            self._killed_for.starts_none(self)
        await super()._stop()
