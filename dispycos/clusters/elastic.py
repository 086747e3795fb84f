"""More and fewer nodes for a cluster of this program: what `clusters.scaling` decides is carried out.

The work is looked at twice a second while it is to be followed; nodes are started and drained by
whoever can (`Launcher`). A node that drains takes no new tasks and ends with its last one.

I/O half, reactor thread. Layer 5.
"""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from typing import Any

from dispycos import validation
from dispycos.client import demand
from dispycos.client.switchboard import Switchboard
from dispycos.clusters.launcher import Launcher
from dispycos.clusters.scaling import (
    Between,
    Demand,
    Despair,
    DrainNode,
    Hope,
    NodeEnded,
    NodeState,
    NodeUp,
    Policy,
    Room,
    Scaling,
    StartNode,
)
from dispycos.errors import Closed, LocalProtocolError
from dispycos.kernel.operation import Operation
from dispycos.net.reactor import Later
from dispycos.node.embedded import NodeNotStarted
from dispycos.runtime import Network
from dispycos.scheduler.service import LOOK_EVERY, SchedulerService
from dispycos.wording import many

log = logging.getLogger("dispycos")


class Elastic:
    """The nodes of one cluster.

    service  the scheduler that they come to.
    servers  on each node.
    present  how many there are, numbered from 1.
    """

    def __init__(
        self,
        network: Network,
        service: SchedulerService,
        launcher: Launcher,
        servers: int,
        present: int,
        policy: Policy | None = None,
    ) -> None:
        self._network = network
        self._service = service
        self._launcher = launcher
        launcher.owner = self
        self._machine = Scaling(servers, present, policy or Policy())
        self._switchboard = network.service(Switchboard, lambda: Switchboard(network.endpoint))
        self._switchboard.starts(self)
        service.expect(self.coming)
        self._waiting: list[Operation] = []  # each for who asked for a number, until it is so
        self._timer: Later | None = None
        self._follows = False
        self._closed = False
        self._most: tuple[float, str] = (math.inf, "")  # there will never be more, and why
        self._logged = ""  # why none comes, as the log has it; "": not told yet
        self._again = 0  # how often since none came for that reason

    def limit(self, minimum: int, maximum: int, answer: Operation | None = None) -> None:
        """Have between so many and so many nodes; `answer` is completed when it is so.

        It fails with Closed, with LocalProtocolError when other numbers are asked for before, or with
        NodeNotStarted when there never can be so many.
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
        self._service.coming_changed()
        self._look_later()
        self._fail_above_most()

    # As launcher.Owner.

    def room(self, nodes: int) -> None:
        """So many there can be at the moment."""
        self._feed(Room(nodes))
        self._look_later()

    def at_most(self, nodes: int, reason: str) -> None:
        """There will never be more than so many."""
        self._most = nodes, reason
        if not nodes:
            none_comes = f"no host of this cluster can have a node, and none is tried again: {reason}"
            log.error("%s%s", self._refuse(none_comes, True), none_comes)
        self._fail_above_most()

    def came(self, number: int, servers: int = 0) -> None:
        """A node is here."""
        self._feed(NodeUp(number, servers))

    def ended(self, number: int, reason: str, *, in_order: bool = False, elsewhere: bool = False) -> None:
        """A node is gone, or does not come."""
        self._feed(NodeEnded(number, reason, in_order, elsewhere))
        self._service.coming_changed()
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
            "tasks": self._demand().tasks,
            **self._launcher.told(),
        }

    @property
    def here(self) -> int:
        """How many nodes are up; any thread."""
        return sum(node.state is NodeState.UP for node in list(self._machine.nodes.values()))

    def coming(self) -> list[str]:
        """What keeps nodes that are not here, for who waits for some, also in other processes; any thread."""
        why = self._machine.trouble or self._machine.none_wanted
        return self._launcher.coming() or ([why] if why else [])

    def close(self) -> None:
        """Decide no more. Once."""
        self._closed = True
        self._service.expect_no_more(self.coming)
        self._launcher.owner = None
        if self._timer is not None:
            self._timer.cancel()
        self._fail_waiting(_closed())
        self._switchboard.starts_none(self)

    def _refuse(self, reason: str, lasting: bool) -> str:
        # Answers with what the log is to say of it.
        refused = self._switchboard.hopeless(self, reason, lasting)
        return "what waits for a server is refused: " if refused else ""

    def _despair(self, action: Despair) -> None:
        why = "; ".join(self._launcher.coming()) or action.reason
        none_came = f"no node of this cluster came in {action.seconds:.0f} s"
        reason = (
            f"{none_came}: {why}; they are tried on, and calls that are made when one is here run "
            "(cluster.status() has the state)"
        )
        refused = self._refuse(reason, action.lasting)
        if why != self._logged:
            self._logged, self._again = why, 0
            log.error("%s%s", refused, reason)
            return
        self._again += 1
        # Ever more rarely: the next one is tried within a minute, perhaps for days.
        if self._again.bit_count() == 1:
            tries = many(self._again, "more try", "more tries")
            log.error("%s%s: %s failed for the reason that was told", refused, none_came, tries)

    def _fail_above_most(self) -> None:
        most, reason = self._most
        if self._machine.minimum > most:
            self._fail_waiting(
                NodeNotStarted(f"the cluster can't have more than {many(int(most), 'node')}: {reason}")
            )

    def _fail_waiting(self, error: Exception) -> None:
        waiting, self._waiting = self._waiting, []
        for operation in waiting:
            operation.fail(error)

    def _demand(self) -> Demand:
        tasks = waiting_io = done = servers = 0
        means: list[float] = []
        busy: Counter[int] = Counter()
        numbers = self._launcher.present()
        works = [driver.demand() for driver in self._switchboard.ours]
        if (elsewhere := self._service.demand_elsewhere) is not None:
            works.append(demand.heard(elsewhere))
        for work in works:
            tasks += work.tasks
            waiting_io += work.waiting_io
            done += work.done
            servers = max(servers, work.servers)
            means += [work.seconds] if work.seconds >= 0 else []
            for node, count in work.busy.items():
                if node in numbers:
                    busy[numbers[node]] += count
        return Demand(tasks, done, max(means, default=-1.0), busy, waiting_io, servers)

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
            elif isinstance(action, Despair):
                self._despair(action)
            elif isinstance(action, Hope):
                if self._most[0] > 0:
                    self._switchboard.hopeful(self)
            else:
                log.log(getattr(logging, action.level.upper()), "%s", action.text)
        if self._waiting and self._machine.settled:
            waiting, self._waiting = self._waiting, []
            for operation in waiting:
                operation.complete(len(self._machine.nodes))


def _closed() -> Closed:
    return Closed("the cluster was closed before it had so many nodes")
