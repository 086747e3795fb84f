"""A cluster on this machine, for a laptop, a notebook, a test.

One node process of this program's own, on loopback, with a key that is in memory only, and a
private scheduler in this process. When the cluster closes, or the program ends in whatever
way, all of it is gone.

I/O half. Layer 5. Rows DC-59; rules SE-06, R-64.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from dispycos import keyfile
from dispycos.arguments import integer, seconds
from dispycos.card import card, line
from dispycos.client import surroundings
from dispycos.client.client import Client
from dispycos.client.client_executor import ClientExecutor
from dispycos.client.elastic import Elastic, Scalable
from dispycos.client.local_nodes import LocalNodes
from dispycos.client.surroundings import Surroundings
from dispycos.kernel import event_loop
from dispycos.kernel.operation import Operation, kernel_threads
from dispycos.model import Location, Role
from dispycos.node import embedded
from dispycos.node.embedded import LocalNode
from dispycos.node.settings import server_count
from dispycos.options import Options
from dispycos.runtime import Network, runtime
from dispycos.scheduler import scheduler
from dispycos.wording import listed

log = logging.getLogger("dispycos")

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

    def __init__(self, cpus: int = 0, *, pulse_interval: float = 1.0) -> None:
        self.pulse_interval = seconds("pulse_interval", pulse_interval)
        if not 0.1 <= self.pulse_interval <= 100:
            raise ValueError(f"pulse_interval must be from 0.1 to 100 seconds, not {pulse_interval!r}")
        self.cpus = server_count(integer("cpus", cpus))
        self._surroundings = Surroundings(self.pulse_interval, private=True)
        self._network: Network | None = None
        self._ours = False  # the network was started for this cluster
        self._nodes: LocalNodes | None = None
        self._location: Location | None = None
        surroundings.made(self)

    def __enter__(self) -> Self:
        if event_loop.is_held_up():
            raise RuntimeError(
                "a `with` here would block the running event loop: use `async with` for a LocalCluster"
            )
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._say_what_ends(kind)
        self.close()

    async def __aenter__(self) -> Self:
        starting = _aside(self.start)
        try:
            await starting
        except BaseException:
            # Who is cancelled meanwhile does not leave the block, for he never was in it.
            starting.add_done_callback(lambda _: _aside(self.close))
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._say_what_ends(kind)
        await _aside(self.close)

    @staticmethod
    def _say_what_ends(kind: type[BaseException] | None) -> None:
        if kind is KeyboardInterrupt:
            log.warning("interrupted: ending the tasks of this cluster; Ctrl-C again leaves at once")
        elif kind is None and (living := runtime.kernel().lasting()):
            log.warning(
                "the LocalCluster ends while these tasks live: %s; Task(main).value() within it waits",
                listed([str(task) for task in living]),
            )

    def start(self) -> Self:
        """Start node and scheduler. NodeNotStarted says what the node said."""
        if self._network is not None:
            return self
        self._ours = runtime.present is None
        options = Options(hosts=(LOOPBACK,), roles=Role.PEER | Role.CLIENT | Role.SCHEDULER)
        network = runtime.network(options, keyfile.throwaway() if self._ours else None)
        self._network = network
        service = scheduler.start(network)
        self._nodes = nodes = LocalNodes(
            network,
            service,
            lambda number: self._start_node(network) if number == 1 else self._start_another(network, number),
        )
        try:
            self._location = network.reactor.wait(nodes.start_first())
            self._elastic = elastic = Elastic(network, nodes, self.cpus, present=1)
            nodes.came, nodes.ended = elastic.came, elastic.ended
        except BaseException:
            self.close()
            raise
        network.on_close(self._stop_nodes)
        surroundings.enter(self._surroundings, self)
        return self

    async def _start_node(self, network: Network) -> LocalNode:
        return await self._start_another(network, 1)

    async def _start_another(self, network: Network, number: int) -> LocalNode:
        tls = network.endpoint.tls
        return await embedded.start_local_node(
            network.reactor,
            network.endpoint.keyring.own.reveal(),
            self.cpus,
            name="local" if number == 1 else f"local-{number}",
            limits=network.limits,
            min_pulse=self.pulse_interval,
            certificates=tls.files if tls else None,
        )

    def executor(self) -> ClientExecutor:
        """A `concurrent.futures.Executor` on this cluster, with a Client of its own.

            with LocalCluster(4).executor() as executor: ...

        A cluster that was not started yet is started, and ends when the executor is shut down.
        """
        if event_loop.is_held_up():
            raise RuntimeError(
                "executor() of a LocalCluster here would block the running event loop: use that of a Client, "
                "`async with LocalCluster(), Client() as client: client.executor()`"
            )
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

    def __repr__(self) -> str:
        return line("LocalCluster", *self._shown())

    def _repr_html_(self) -> str:
        return card("LocalCluster", *self._shown())

    def _shown(self) -> tuple[str, list[tuple[str, str]]]:
        state = "not started" if self._network is None else "open"
        return state, [
            ("servers", str(self.cpus * (1 if self._nodes is None else self._nodes.count))),
            *([] if self.location is None else [("node", str(self.location))]),
            *([] if self._nodes is None or self._nodes.count < 2 else [("nodes", str(self._nodes.count))]),
        ]

    @property
    def location(self) -> Location | None:
        """Where its first node is, or was."""
        return self._location

    def close(self) -> None:
        """End everything of it, and wait until it is gone. May be repeated."""
        surroundings.leave(self._surroundings)
        network, self._network = self._network, None
        if network is None:
            return
        if self._ours:
            runtime.stop(network)
        else:
            network.reactor.wait(self._stop_nodes())

    def kill(self) -> None:
        """End its processes now: what runs there is lost, and has no time to clean up. Then `close` it.

        For tasks that nobody wants, and that would not end before the grace of a close is over.
        """
        if self._network is not None:
            self._network.reactor.wait(self._stop_nodes())

    async def _stop_nodes(self) -> None:
        elastic, self._elastic = self._elastic, None
        if elastic is not None:
            elastic.close()
        nodes, self._nodes = self._nodes, None
        self._location = None
        if nodes is not None:
            await nodes.stop()


def _aside(function: Callable[[], object]) -> Operation:
    """Done when `function`, called in a thread of its own, has returned."""
    operation = Operation()

    def run() -> None:
        try:
            operation.complete(function())
        except BaseException as error:
            operation.fail(error)

    threading.Thread(target=run, name="dispycos-cluster").start()
    return operation
