"""What clusters that a program starts for itself have in common: their life, and how many nodes they have.

What it needs when it starts is imported then: most of a client, and a LocalCluster's node starts meanwhile.

I/O half. Layer 5. Row DC-59.
"""

from __future__ import annotations

import functools
import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self

from dispycos.arguments import integer
from dispycos.card import card, line
from dispycos.errors import Closed
from dispycos.guidance import habits, hints
from dispycos.kernel import event_loop, program
from dispycos.kernel.operation import Operation, kernel_threads
from dispycos.wording import listed

if TYPE_CHECKING:
    from dispycos.clusters.elastic import Elastic
    from dispycos.clusters.launcher import Launcher
    from dispycos.runtime import Network
    from dispycos.scheduler.service import SchedulerService

log = logging.getLogger("dispycos")


class Scalable(ABC):
    """A cluster with a scheduler in this process, that may have more or fewer nodes.

    servers  on each node, as far as is known before one is here.
    most     nodes that it can have; None: any number.
    """

    def __init__(self, servers: int, most: int | None = None) -> None:
        program.tell_interrupts_shortly()  # a start takes a while, and calls much that is ours
        self._each = servers
        self._most = most
        self._network: Network | None = None
        self._ours = False  # the network ends with this cluster
        self._service: SchedulerService | None = None
        self._elastic: Elastic | None = None
        self._launcher: Launcher | None = None
        self._closing = Operation(None)  # done when what was last open of it is gone
        self._choice = threading.Lock()  # of who closes it

    # What kind of cluster it is.

    @abstractmethod
    def _join(self) -> tuple[Network, bool]:
        """The network of this process, started if there is none; whether it ends with the cluster."""

    @abstractmethod
    def _make_launcher(self, network: Network, service: SchedulerService) -> Launcher:
        """Who starts its nodes."""

    # As a context.

    def __enter__(self) -> Self:
        self._refuse_in_a_loop("a `with`", "use `async with`")
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_block(error)
        if error is not None and program.came_again(error):
            self._end_nodes(self._network)  # first: nobody waits for what runs there
        self.close()

    async def __aenter__(self) -> Self:
        starting = _aside(self.start, Operation())
        try:
            await starting
        except BaseException:
            # Who is cancelled meanwhile does not leave the block, for he never was in it.
            starting.add_done_callback(lambda _: self._close(aside=True))
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_block(error)
        await self._close(aside=True)

    def __await__(self) -> Generator[Any, Any, Self]:
        return self.__aenter__().__await__()

    def _end_block(self, error: BaseException | None) -> None:
        """Say what ends with the block. If Ctrl-C ended it, the program's tasks are interrupted, too."""
        from dispycos.runtime import runtime

        living = runtime.kernel().lasting()
        if type(error) is KeyboardInterrupt:
            program.say_interrupted("the tasks of this cluster", error)
            for task in living:
                # What it waits for of the cluster may never come now, and the program would wait for it.
                task.interrupt("the program was interrupted")
        elif error is None and living:
            log.warning(
                "the %s ends while these tasks live: %s; Task(main).value() within it waits",
                type(self).__name__,
                listed([str(task) for task in living]),
            )

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} stays in its program")

    def __dir__(self) -> Iterable[str]:
        return hints.own(super().__dir__(), habits.OF_OPEN_CLUSTERS)

    def __repr__(self) -> str:
        return line(type(self).__name__, *self._shown())

    def _repr_html_(self) -> str:
        return card(type(self).__name__, *self._shown())

    def _shown(self) -> tuple[str, list[tuple[str, str]]]:
        """Its state, and what else is worth a line."""
        elastic = self._elastic
        if elastic is None:
            return "not started", []
        most = "" if self._most is None else f" of {self._most}"
        return "open", [("nodes", f"{elastic.here}{most}")]

    def _refuse_in_a_loop(self, what: str, instead: str) -> None:
        """RuntimeError where a loop of asyncio would stand still."""
        if event_loop.is_held_up():
            name = type(self).__name__
            raise RuntimeError(f"{name}: {what} here would block the running event loop: {instead}")

    def _refuse_start_in_a_loop(self) -> None:
        self._refuse_in_a_loop("start()", f"use `async with`, or `await {type(self).__name__}(...)`")

    # Its life.

    def start(self) -> Self:
        """Start its scheduler in this process, and the nodes that it has from the first.

        `cluster = await LocalCluster(4)` does so where an event loop runs, and in `async def` tasks.
        """
        self._refuse_start_in_a_loop()
        if self._network is not None:
            return self
        from dispycos.clusters.elastic import Elastic
        from dispycos.scheduler import scheduler

        network, self._ours = self._join()
        self._network = network
        network.on_close(self._stop)
        try:
            self._service = service = scheduler.start(network)
            self._launcher = launcher = self._make_launcher(network, service)

            async def begin() -> None:
                present = await launcher.begin()
                # In the same turn of the loop: a node that dies from here on is replaced.
                self._elastic = Elastic(network, service, launcher, self._each, present)

            network.reactor.wait(begin())
        except BaseException:
            self._close(aside=False)
            raise
        return self

    def close(self) -> Operation:
        """End everything of it, and wait until it is gone. May be repeated, also meanwhile.

        Where an event loop runs, and in tasks, the answer is awaited or yielded for that.
        """
        return self._close(aside=event_loop.is_held_up() or threading.get_ident() in kernel_threads)

    def _close(self, *, aside: bool) -> Operation:
        """As `close`; `aside`: only the answer waits."""
        self._leave()
        with self._choice:
            network, self._network = self._network, None
            if network is not None:
                self._closing = Operation()
            closing = self._closing
        if network is not None:
            end = functools.partial(self._end, network)
            if aside:
                return _aside(end, closing)
            _settle(closing, end)
            closing.result()
        elif not aside:
            closing.exception()  # that is for who began it
        return closing

    def _end(self, network: Network) -> None:
        if self._ours:
            from dispycos.runtime import runtime

            runtime.stop(network)
        network.drop_close(self._stop)
        self._end_nodes(network)

    def _end_nodes(self, network: Network | None) -> None:
        """Have its nodes end, with all that runs there, and wait for that."""
        if network is not None and not network.closed:
            network.reactor.wait(self._stop())

    def _leave(self) -> None:  # noqa: B027  # most kinds have nothing to do
        """It closes: who looks for a cluster is not to find it any more. May be repeated."""

    async def _stop(self) -> None:
        elastic, self._elastic = self._elastic, None
        if elastic is not None:
            elastic.close()
        launcher, self._launcher = self._launcher, None
        if launcher is not None:
            await launcher.stop()

    # How many nodes.

    @hints.refusing(habits.OF_SCALING)
    def scale(self, nodes: int) -> Operation:
        """Yield this: the cluster has exactly so many nodes, and keeps them.

        Those that are too many take no new tasks, and end with their last one; who waits for a server
        goes on to wait, also where none is left. The servers of a new node follow it in a moment. A node
        that ends by itself is replaced. Closed if the cluster is closed before, LocalProtocolError if
        `scale` or `adapt` asks for other numbers before, NodeNotStarted if hosts that it needs for that
        refuse its options. ValueError for more than it can have.
        """
        count = integer("nodes", nodes, least=0, most=self._most)
        answer = Operation()
        self._limit(count, count, answer)
        return answer

    @hints.refusing(habits.OF_SCALING)
    def adapt(self, minimum: int, maximum: int) -> None:
        """Have from `minimum` to `maximum` nodes by the work that there is, from now on.

        That of this program's clients, or of another program whose turn it is at its scheduler.
        Nodes, each with the servers that the cluster was made with: LocalCluster(2) has 2 to 16 by
        `adapt(1, 8)`.

        More, where the tasks that wait would last longer than 5 seconds; fewer, where for half a
        minute fewer would have done, and then only a node without a task ends. Nodes above a new
        `maximum` are drained at once, as by `scale`: busy ones end with their last task. `scale` ends it.
        """
        least = integer("minimum", minimum, least=0)
        most = integer("maximum", maximum, least=1, most=self._most)
        if least > most:
            raise ValueError(f"minimum={least} is more than maximum={most}")
        self._limit(least, most)

    def status(self) -> dict[str, Any]:
        """How many nodes it has in which state, how many it wants, and the tasks that there are."""
        elastic, network = self._open()

        async def status() -> dict[str, Any]:
            return elastic.status()

        return network.reactor.wait(status())

    def _limit(self, minimum: int, maximum: int, answer: Operation | None = None) -> None:
        elastic, network = self._open()
        network.reactor.call(elastic.limit, minimum, maximum, answer)

    def _open(self) -> tuple[Elastic, Network]:
        if self._elastic is None or self._network is None:
            raise Closed(
                f"this {type(self).__name__} is not started: use it in a `with` block, or start() it"
            )
        return self._elastic, self._network


hints.tell(Scalable, habits.OF_OPEN_CLUSTERS)


def _aside(function: Callable[[], object], operation: Operation) -> Operation:
    """`_settle` it in a thread of its own."""
    thread = threading.Thread(target=_settle, args=(operation, function), name="dispycos-cluster")
    try:
        thread.start()
    except RuntimeError as error:  # there can't be one more
        operation.fail(error)
    return operation


def _settle(operation: Operation, function: Callable[[], object]) -> None:
    try:
        operation.complete(function())
    except BaseException as error:
        operation.fail(error)
