"""More and fewer nodes for a cluster of this program: what `client.scaling` decides is carried out.

The work is looked at twice a second while it is to be followed; nodes are started and drained by
whoever can (`Launcher`). A node that drains takes no new tasks and ends with its last one.

I/O half, reactor thread but for `Scalable`. Layer 5.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, Protocol

from dispycos import validation
from dispycos.arguments import integer
from dispycos.client.scaling import (
    Between,
    Demand,
    DrainNode,
    NodeEnded,
    NodeUp,
    Policy,
    Scaling,
    StartNode,
)
from dispycos.client.switchboard import Switchboard
from dispycos.errors import Closed, LocalProtocolError
from dispycos.kernel.operation import Operation
from dispycos.model import Incarnation
from dispycos.net.reactor import Later
from dispycos.runtime import Network

log = logging.getLogger("dispycos")

LOOK_EVERY = 0.5  # seconds between looks at the work


class Launcher(Protocol):
    """Who starts and ends nodes; none of it waits."""

    def start(self, number: int) -> None:
        """Start a node; `Elastic.came` or `ended` answers."""

    def drain(self, number: int) -> None:
        """Have it end with its last task, or not come at all; `Elastic.ended` answers."""

    def present(self) -> Mapping[Incarnation, int]:
        """The nodes that are here, and their numbers."""


class Elastic:
    """The nodes of one cluster. servers: on each; present: how many there are, numbered from 1."""

    def __init__(
        self, network: Network, launcher: Launcher, servers: int, present: int, policy: Policy | None = None
    ) -> None:
        self._network = network
        self._launcher = launcher
        self._machine = Scaling(servers, present, policy or Policy())
        self._switchboard = network.service(Switchboard, lambda: Switchboard(network.endpoint))
        self._waiting: list[Operation] = []  # each for who asked for a number, until it is so
        self._timer: Later | None = None
        self._follows = False
        self._closed = False

    def limit(self, minimum: int, maximum: int, answer: Operation | None = None) -> None:
        """Have between so many and so many nodes; `answer` is completed when it is so.

        It fails with Closed, or with LocalProtocolError when other numbers are asked for before.
        """
        if self._closed:
            if answer is not None:
                answer.fail(_closed())
            return
        if (minimum, maximum) != (self._machine.minimum, self._machine.maximum):
            self._fail_waiting(
                LocalProtocolError(
                    f"between {minimum} and {maximum} nodes were asked for before the cluster had so many"
                )
            )
        self._follows = minimum != maximum
        if answer is not None:
            self._waiting.append(answer)
        # In one: the work alone would be answered under the limits that are no more.
        self._feed(Between(minimum, maximum, self._demand()))
        self._look_later()

    def came(self, number: int) -> None:
        """A node is here."""
        self._feed(NodeUp(number))

    def ended(self, number: int, reason: str) -> None:
        """A node is gone, or does not come."""
        self._feed(NodeEnded(number, reason))
        self._look_later()

    def status(self) -> dict[str, Any]:
        """What it has and wants, for people."""
        machine = self._machine
        states = Counter(node.state.value for node in machine.nodes.values())
        return {
            "minimum": machine.minimum,
            "maximum": machine.maximum,
            "needed": machine.needed,
            "nodes": dict(states),
            "tasks": machine.demand.tasks,
        }

    def close(self) -> None:
        """Decide no more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._fail_waiting(_closed())

    def _fail_waiting(self, error: Exception) -> None:
        waiting, self._waiting = self._waiting, []
        for operation in waiting:
            operation.fail(error)

    def _demand(self) -> Demand:
        tasks = waiting_io = done = 0
        means: list[float] = []
        busy: Counter[int] = Counter()
        numbers = self._launcher.present()
        for driver in self._switchboard.drivers:
            found = driver.demand()
            tasks += found.tasks
            waiting_io += found.waiting_io
            done += found.done
            means += [found.seconds] if found.seconds >= 0 else []
            for node, count in found.busy.items():
                if node in numbers:
                    busy[numbers[node]] += count
        return Demand(tasks, done, max(means, default=-1.0), busy, waiting_io)

    def _look_later(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        deadline = self._machine.next_deadline()
        wait = None if deadline is None else max(0.0, deadline - time.monotonic())
        if self._follows:
            wait = min(LOOK_EVERY, LOOK_EVERY if wait is None else wait)
        if wait is not None and not self._closed:
            self._timer = self._network.reactor.later(wait, self._look)

    def _look(self) -> None:
        if self._closed:
            return
        if self._follows:
            self._feed(self._demand())
        self._perform(self._machine.tick(time.monotonic()))
        self._look_later()

    def _feed(self, event: Any) -> None:
        if not self._closed:
            self._perform(self._machine.handle(event, time.monotonic()))

    def _perform(self, actions: list[Any]) -> None:
        if validation.ON:
            validation.check(self._machine, None)
        for action in actions:
            if isinstance(action, StartNode):
                self._launcher.start(action.number)
            elif isinstance(action, DrainNode):
                self._launcher.drain(action.number)
            else:
                log.log(getattr(logging, action.level.upper()), "%s", action.text)
        if self._waiting and self._machine.settled:
            waiting, self._waiting = self._waiting, []
            for operation in waiting:
                operation.complete(len(self._machine.nodes))


def _closed() -> Closed:
    return Closed("the cluster was closed before it had so many nodes")


class Scalable:
    """A cluster that may have more or fewer nodes."""

    _elastic: Elastic | None = None
    _network: Network | None = None

    def scale(self, nodes: int) -> Operation:
        """Yield this: the cluster has exactly so many nodes, and keeps them.

        Those that are too many take no new tasks, and end with their last one; who waits for a server
        goes on to wait, also where none is left. The servers of a new node follow it in a moment. A node
        that ends by itself is replaced. Closed if the cluster is closed before, LocalProtocolError if
        `scale` or `adapt` asks for other numbers before.
        """
        count = integer("nodes", nodes, least=0)
        answer = Operation()
        self._limit(count, count, answer)
        return answer

    def adapt(self, minimum: int, maximum: int) -> None:
        """Have more or fewer nodes by the work that there is, from now on.

        More, where the tasks that wait would last longer than 5 seconds; fewer, where for half a
        minute fewer would have done, and then only a node without a task ends. Nodes above a new
        `maximum` are drained at once, as by `scale`: busy ones end with their last task. `scale` ends it.
        """
        least = integer("minimum", minimum, least=0)
        most = integer("maximum", maximum, least=1)
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
