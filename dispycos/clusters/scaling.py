"""How many nodes a cluster should have, and which of them go: what `adapt` and `scale` decide.

Growing follows the work: as many servers as tasks can use, and no more than are needed for all of
it to be over within `patience`, because a node that starts for work that is over before it is
ready helps nobody. Shrinking follows the most that was needed for a while, so that a load that
comes and goes finds its nodes still here. That is how the counts do not oscillate: a node goes only
if for all of `shrink_after` one node less would have done. What goes is drained, and only a node
without a task is chosen for it, unless a person said how many are to stay.

Source: the stabilization window of Kubernetes' HorizontalPodAutoscaler; Dask's target duration.
Pure: no I/O, clock or randomness. Layer 2.
"""

from __future__ import annotations

import enum
import math
from collections import deque
from collections.abc import Mapping
from typing import Any

from dispycos.events import Action, Note
from dispycos.records import record
from dispycos.story import About, Stories
from dispycos.wording import many


@record
class Policy:
    """When it acts; all in seconds."""

    patience: float = 5.0  # how long the work that there is may last before more nodes are worth it
    grow_after: float = 1.0  # how long they must have been worth it
    shrink_after: float = 30.0  # how long a node must have been one too many
    retry_first: float = 1.0  # after a node that did not start, or ended by itself; doubles ...
    retry_max: float = 60.0  # ... up to this
    refuse_after: float = 30.0  # if none ever came, since the first failed: what waits for one is refused
    say_after: float = 10.0  # a node that drains and is still there is told of; then again, ever more rarely


class NodeState(enum.Enum):
    STARTING = "starting"
    UP = "up"
    DRAINING = "draining"
    GONE = "gone"


MOVES: dict[tuple[NodeState, str], NodeState] = {
    (NodeState.STARTING, "up"): NodeState.UP,
    (NodeState.STARTING, "drain"): NodeState.DRAINING,
    (NodeState.UP, "drain"): NodeState.DRAINING,
    (NodeState.DRAINING, "up"): NodeState.DRAINING,  # it was asked to go before it was here
    **{(state, "ended"): NodeState.GONE for state in NodeState if state is not NodeState.GONE},
}


# Events.


@record
class Between:
    """From now on so many nodes, by the work; the same number twice: exactly so many."""

    minimum: int
    maximum: int
    demand: Demand | None = None  # the work now, if it is known: who goes is chosen by it


@record
class Demand:
    """The work that there is."""

    tasks: int  # that wait or run and want a processor
    done: int  # that ever ended: whether it moves
    seconds: float  # that a task takes; below 0: nobody knows
    busy: Mapping[int, int]  # tasks of any kind on each node that has some, by its number
    waiting_io: int = 0  # I/O tasks that wait for any server
    servers: int = 0  # that somebody waits for, whatever is to run there


@record
class Room:
    """So many nodes there can be at the moment, those that are there included."""

    nodes: int


@record
class NodeUp:
    """A node is here and may be used."""

    number: int
    servers: int = 0  # on it; 0: as many as was said for all


@record
class NodeEnded:
    """Its process is gone, or will not come."""

    number: int
    reason: str
    in_order: bool = False  # it ended as it was asked to
    elsewhere: bool = False  # its place is out of `Room` for now, so another one may be started at once


# Actions, beside Note.


@record
class StartNode:
    """Start one; NodeUp or NodeEnded answers."""

    number: int


@record
class DrainNode:
    """Have it take no more, and end with its last task; NodeEnded answers."""

    number: int


@record
class Despair:
    """None is here, none ever was, and those that were tried fail: what waits for one is to be refused."""

    reason: str  # of the last one that failed
    seconds: float  # since the first one did
    lasting: bool  # also what is asked for later, until Hope: for nodes are tried all the time


@record
class Hope:
    """Despair is over: one is here, or is tried for what came later, or a person asks for others."""


@record(frozen=False, eq=False)
class Node:
    number: int
    state: NodeState = NodeState.STARTING
    came: bool = False  # it was here
    servers: int = 0  # on it; 0: nobody knows
    drained: float = 0.0  # when it was
    say_at: float = math.inf  # when it is said that it is still there

    def move(self, cause: str) -> None:
        """The only line that assigns a state after the first."""
        self.state = MOVES[self.state, cause]


@record(frozen=False, eq=False)
class Failure:
    """Nodes end by themselves, and none came since the first of them did."""

    what: str  # became of the last one: it "ended", or "did not start"
    reason: str  # of that
    since: float  # when the first one ended
    news: bool = True  # Despair has not said it, and somebody waits for a node
    despaired: bool = False  # Despair was said, and Hope not since


class Scaling:
    """The nodes of one cluster, by number.

    servers  on each node, as far as is known before one is here.
    present  how many nodes there are already; they are numbered from 1.
    """

    def __init__(self, servers: int, present: int, policy: Policy) -> None:
        self._servers = servers
        self._policy = policy
        self.minimum = self.maximum = present
        self.room: float = math.inf  # how many there can be
        self.nodes: dict[int, Node] = {n: Node(n, NodeState.UP, True) for n in range(1, present + 1)}
        self._last = present  # number given
        self.demand = Demand(0, 0, -1.0, {})
        self._moved = 0.0  # when a task had ended for the last time
        self.needed = present  # nodes, by the newest demand
        self._most: deque[tuple[float, int]] = deque()  # when a count was last needed; counts fall
        self._since = 0.0  # when the present limits were given
        self._short: float | None = None  # since when nodes are missing
        self._failures = 0  # nodes that ended by themselves, in a row
        self._retry = 0.0  # none is started before
        self._ever = present > 0  # one was here
        self._failure: Failure | None = None  # until one comes, or a person gives other limits
        self._stories = Stories()

    # The shape of a machine.

    def handle(self, event: Any, now: float) -> list[Action]:
        """Answer what is to be done about an event."""
        out: list[Action] = []
        if isinstance(event, Between):
            self._between(event, now, out)
        elif isinstance(event, Demand):
            self._demand(event, now)
        elif isinstance(event, Room):
            self.room = event.nodes
        elif isinstance(event, NodeUp):
            self._up(event, now, out)
        else:
            self._ended(event, now, out)
        self._grow(now, out)
        if not isinstance(event, NodeUp):
            self._shrink(now, out)
        self._despair(now, out)
        return out

    def tick(self, now: float) -> list[Action]:
        """What time alone leads to: growth, despair. Nothing goes before a new Demand says what it does."""
        out: list[Action] = []
        self._grow(now, out)
        self._despair(now, out)
        self._say_what_drains(now, out)
        return out

    def next_deadline(self) -> float | None:
        """When `tick` has something to do, if nothing happens before."""
        growth = math.inf if self._short is None else max(self._short + self._grow_after, self._retry)
        deadline = min([growth, self._despair_at, *(node.say_at for node in self.nodes.values())])
        return None if deadline == math.inf else deadline

    def check(self) -> None:
        """Every invariant."""
        assert 0 <= self.minimum <= self.maximum, "limits that no number satisfies"
        failure = self._failure
        assert failure is None or not (failure.despaired and self._ever), "none comes, though one was here"
        for node in self.nodes.values():
            assert node.state is not NodeState.GONE, About(node.number, "gone and kept")
        falling = [count for _, count in self._most]
        assert falling == sorted(falling, reverse=True), "the window does not fall"

    def story(self, number: int) -> str:
        """What happened to one node."""
        return self._stories.tell(number)

    # Who is here.

    def count(self, *states: NodeState) -> int:
        """Nodes in one of these states."""
        return sum(node.state in states for node in self.nodes.values())

    @property
    def have(self) -> int:
        """Those that are here or come."""
        return self.count(NodeState.STARTING, NodeState.UP)

    @property
    def settled(self) -> bool:
        """Nothing is under way, and no limit is broken."""
        return self.count(NodeState.UP) == len(self.nodes) and self.minimum <= len(self.nodes) <= self.maximum

    # Events.

    def _between(self, event: Between, now: float, out: list[Action]) -> None:
        self.minimum, self.maximum = event.minimum, event.maximum
        if event.demand is not None:
            self.demand = event.demand
        self._since = self._moved = now
        self._most.clear()
        self._short = None
        self._retry = now
        self._failures = 0
        self._hope(out)
        self._failure = None
        self._need(now)

    def _demand(self, event: Demand, now: float) -> None:
        if event.done != self.demand.done or not event.tasks:
            self._moved = now
        self.demand = event
        self._need(now)

    def _up(self, event: NodeUp, now: float, out: list[Action]) -> None:
        node = self.nodes.get(event.number)
        if node is not None and node.state is not NodeState.UP:
            node.move("up")
            node.came, node.servers = True, event.servers
            self._failures = 0
            self._ever = True
            self._hope(out)
            self._failure = None
            self._stories.add(node.number, now, "is here")

    def _ended(self, event: NodeEnded, now: float, out: list[Action]) -> None:
        node = self.nodes.pop(event.number, None)
        if node is None:
            return
        asked = node.state is NodeState.DRAINING
        node.move("ended")
        self._stories.add(node.number, now, f"ended: {event.reason}")
        about = f"the cluster's node {node.number}"
        if asked and not node.came:
            out.append(Note("info", f"{about} is not started any more: {event.reason}"))
        elif asked and event.in_order:
            out.append(Note("info", f"{about} has no task left, and has ended"))
        elif asked:
            out.append(Note("warning", f"{about} was to end with its last task, and died: {event.reason}"))
        else:
            what = "ended" if node.came else "did not start"
            then = "" if event.elsewhere else f"; none is started for {self._pause(now):g} s"
            out.append(Note("warning", f"{about} {what}: {event.reason}{then}"))
            if self._failure is None:
                self._failure = Failure(what, event.reason, now)
            else:
                self._failure.what, self._failure.reason, self._failure.news = what, event.reason, True

    @property
    def trouble(self) -> str:
        """What became of the last one that ended by itself, until one comes; "": nothing. Any thread."""
        failure = self._failure
        # Without its number: to who waits, one that fails as the last one did is no news.
        return "" if failure is None else f"the last node of the cluster {failure.what}: {failure.reason}"

    @property
    def none_wanted(self) -> str:
        """Why it has no node, where that is as it should be; "": it has some, or is about to. Any thread."""
        if self.nodes or self.needed:
            return ""
        if not self.maximum:
            return "the cluster is to have no node: scale and adapt say how many"
        return f"the cluster starts up to {many(self.maximum, 'node')} when there is work"

    @property
    def _despair_at(self) -> float:
        """When nobody should wait any longer, if nothing happens before; inf: never."""
        failure = self._failure
        # What was possible once may be so again: a network that is down for a while, say.
        if failure is None or not failure.news or self._ever or self.have:
            return math.inf
        return failure.since + self._policy.refuse_after

    def _despair(self, now: float, out: list[Action]) -> None:
        failure = self._failure
        if failure is None:
            return
        if not self.needed:
            failure.news = False  # nobody waits, and what comes next is worth a try
        if now >= self._despair_at:
            # Without a minimum they are tried for what waits alone.
            out.append(Despair(failure.reason, now - failure.since, self.minimum > 0))
            failure.news, failure.despaired = False, True

    def _hope(self, out: list[Action]) -> None:
        if self._failure is not None and self._failure.despaired:
            self._failure.despaired = False
            out.append(Hope())

    def _pause(self, now: float) -> float:
        """Seconds before the next one is started, after one that failed."""
        # No power of two without end: one of hours of failures is no number any more.
        wait = min(self._policy.retry_max, self._policy.retry_first * 2.0 ** min(self._failures, 30))
        self._failures += 1
        self._retry = now + wait
        return wait

    # What is needed.

    def _need(self, now: float) -> None:
        demand, policy = self.demand, self._policy
        # Nobody knows, or what runs is longer than what ran before.
        seconds = max(demand.seconds, now - self._moved) if demand.seconds >= 0 else policy.patience
        servers = min(demand.tasks, math.ceil(demand.tasks * seconds / policy.patience))
        nodes = math.ceil(max(servers, min(demand.tasks, 1), demand.servers) / self._servers_each)
        # I/O tasks are no load, but have to be somewhere.
        nodes = max(nodes, min(demand.waiting_io, 1))
        self.needed = max(self.minimum, min(self.maximum, nodes))
        while self._most and self._most[-1][1] <= self.needed:
            self._most.pop()
        self._most.append((now, self.needed))

    @property
    def _servers_each(self) -> float:
        known = [node.servers for node in self.nodes.values() if node.servers]
        return sum(known) / len(known) if known else self._servers

    def _most_needed(self, now: float) -> int:
        most, keep = self._most, self._policy.shrink_after
        while len(most) > 1 and most[0][0] <= now - keep:
            most.popleft()
        return most[0][1] if most else self.needed

    @property
    def _grow_after(self) -> float:
        # What a person asked for at least is not waited with.
        return 0.0 if self.have < self.minimum else self._policy.grow_after

    def _missing(self) -> int:
        there = len(self.nodes)
        return int(min(self.needed - self.have, self.maximum - there, self.room - there))

    # Deciding.

    def _grow(self, now: float, out: list[Action]) -> None:
        missing = self._missing()
        if missing <= 0:
            self._short = None
            return
        if self._short is None:
            self._short = now
        if now < max(self._short + self._grow_after, self._retry):
            return
        # One at a time while they fail.
        started = [self._last + 1 + each for each in range(missing if not self._failures else 1)]
        for number in started:
            self._last = number
            self.nodes[number] = Node(number)
            self._stories.add(number, now, "was asked for")
            out.append(StartNode(number))
        self._short = None
        if not self.minimum:
            self._hope(out)
        out.append(Note("info", f"the cluster starts {many(len(started), 'node')}: {self._why()}"))

    def _shrink(self, now: float, out: list[Action]) -> None:
        above = self.have - self.maximum
        if above > 0:
            # A person said so: those with the fewest tasks go, and end with them.
            self._drain(self._least_busy()[:above], now, out)
            return
        spare = self.have - self._most_needed(now)
        if spare > 0 and now >= self._since + self._policy.shrink_after:
            idle = [node for node in self._least_busy() if not self.demand.busy.get(node.number)]
            self._drain(idle[:spare], now, out)

    def _least_busy(self) -> list[Node]:
        """Those that could go: what is not here yet first, then by tasks, the youngest first."""
        able = [node for node in self.nodes.values() if node.state in (NodeState.STARTING, NodeState.UP)]
        busy = self.demand.busy
        return sorted(
            able, key=lambda n: (n.state is not NodeState.STARTING, busy.get(n.number, 0), -n.number)
        )

    def _drain(self, nodes: list[Node], now: float, out: list[Action]) -> None:
        for node in nodes:
            node.move("drain")
            node.drained, node.say_at = now, now + self._policy.say_after
            self._stories.add(node.number, now, "is drained")
            out.append(DrainNode(node.number))
        if nodes:
            out.append(Note("info", f"the cluster drains {many(len(nodes), 'node')}: {self._why()}"))

    def _say_what_drains(self, now: float, out: list[Action]) -> None:
        for node in self.nodes.values():
            if now < node.say_at:
                continue
            waited = now - node.drained
            node.say_at = now + waited  # twice as late
            text = f"the cluster's node {node.number} was asked to end {waited:.0f} s ago"
            if tasks := self.demand.busy.get(node.number):
                note = f"{text}, and still has {many(tasks, 'task')}: it ends with the last one"
                out.append(Note("info", note))
            else:
                note = f"{text}, has no task, and is still there: its process may be stopped, or out of reach"
                out.append(Note("warning", note))

    def _why(self) -> str:
        demand = self.demand
        if self.minimum == self.maximum:
            return f"it is to have {self.maximum}"
        known = f", each some {demand.seconds:.2g} s" if demand.seconds >= 0 and demand.tasks else ""
        known += f", {demand.waiting_io} for I/O" if demand.waiting_io else ""
        known += f", {many(demand.servers, 'server')} waited for" if demand.servers else ""
        return f"{many(demand.tasks, 'task')} to do{known}; between {self.minimum} and {self.maximum} nodes"
