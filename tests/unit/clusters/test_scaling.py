"""How many nodes a cluster should have: curves of load on a virtual clock."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

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
from dispycos.events import Note

STEP = 0.5  # seconds between looks


def started(actions: list[object]) -> list[int]:
    return [action.number for action in actions if isinstance(action, StartNode)]


class Cluster:
    """Nodes that take a while to come and end with their last task; the work is a curve."""

    def __init__(self, servers: int = 1, present: int = 1, start: float = 2.0) -> None:
        self.machine = Scaling(servers, present, Policy())
        self.now = 100.0
        self.start = start  # seconds for a node to come; math.inf: never
        self.broken = ""  # why none comes
        self.busy: dict[int, int] = {}
        self.starts: list[tuple[float, int]] = []
        self.drains: list[tuple[float, int]] = []
        self.notes: list[str] = []
        self._coming: dict[int, float] = {}
        self.done = 0

    def feed(self, event: object) -> None:
        self._do(self.machine.handle(event, self.now))

    def _do(self, actions: list[object]) -> None:
        self.machine.check()
        for action in actions:
            if isinstance(action, StartNode):
                self.starts.append((self.now, action.number))
                self._coming[action.number] = self.now + self.start
            elif isinstance(action, DrainNode):
                # The heart of it: whoever is drained has nothing to do.
                assert not self.busy.get(action.number), f"node {action.number} had a task"
                self.drains.append((self.now, action.number))
                self._coming.pop(action.number, None)
                self.feed(NodeEnded(action.number, "drained", in_order=True))
            else:
                assert isinstance(action, Note)
                self.notes.append(action.text)

    def run(self, seconds: float, load: Callable[[float], int], takes: float = -1.0) -> None:
        """Time passes; `load(seconds since the beginning)` tasks are there, each of `takes` seconds."""
        begun = self.now
        while self.now < begun + seconds:
            self.now += STEP
            for number, when in sorted(self._coming.items()):
                if when <= self.now:
                    del self._coming[number]
                    self.feed(NodeEnded(number, self.broken) if self.broken else NodeUp(number))
            tasks = load(self.now - begun)
            up = [n.number for n in self.machine.nodes.values() if n.state is NodeState.UP]
            servers = self.machine._servers
            self.busy = {
                number: min(servers, max(0, tasks - place * servers)) for place, number in enumerate(up)
            }
            self.done += bool(tasks)
            self.feed(Demand(tasks, self.done, takes, {n: c for n, c in self.busy.items() if c}))
            assert len(self.machine.nodes) <= max(self.machine.maximum, 1)
            self._do(self.machine.tick(self.now))
            deadline = self.machine.next_deadline()
            assert deadline is None or deadline > self.now

    @property
    def up(self) -> int:
        return self.machine.count(NodeState.UP)


def test_nodes_come_for_work_and_go_when_it_is_long_over() -> None:
    cluster = Cluster(servers=2)
    cluster.feed(Between(1, 8))
    cluster.run(20, lambda t: 40, takes=10.0)
    assert cluster.up == 8 and len(cluster.starts) == 7
    # All at once: what is missing does not come one by one.
    assert len({when for when, _ in cluster.starts}) == 1
    cluster.run(29, lambda t: 0)
    assert not cluster.drains
    cluster.run(10, lambda t: 0)
    assert cluster.up == 1
    assert (
        "the cluster starts 7 nodes: 40 tasks to do, each some 10 s; between 1 and 8 nodes" in cluster.notes
    )


def test_no_more_come_than_tasks_can_use_nor_for_what_is_over_soon() -> None:
    cluster = Cluster()
    cluster.feed(Between(0, 100))
    cluster.run(20, lambda t: 7, takes=60.0)
    assert cluster.up == 7
    cluster = Cluster()
    cluster.feed(Between(1, 100))
    cluster.run(20, lambda t: 3000, takes=0.001)
    assert cluster.up == 1 and not cluster.starts
    cluster.run(20, lambda t: 3000, takes=0.02)
    assert cluster.up == 12  # 60 seconds of work within 5


def test_tasks_of_which_nobody_knows_how_long_they_take_may_be_long() -> None:
    cluster = Cluster()
    cluster.feed(Between(1, 10))
    cluster.run(5, lambda t: 6)
    assert cluster.up == 6


def test_io_tasks_that_wait_need_one_node_and_no_more() -> None:
    cluster = Cluster(present=0)
    cluster.feed(Between(0, 4))
    for _ in range(20):
        cluster.now += STEP
        cluster.feed(Demand(0, 0, -1.0, {}, waiting_io=100))
    assert [number for _, number in cluster.starts] == [1]
    assert "the cluster starts 1 node: 0 tasks to do, 100 for I/O; between 0 and 4 nodes" in cluster.notes


@pytest.mark.row("DC-60")
def test_servers_that_are_waited_for_get_their_nodes_and_no_more() -> None:
    cluster = Cluster(servers=2, present=0)
    cluster.feed(Between(0, 8))
    for _ in range(10):
        cluster.now += STEP
        cluster.feed(Demand(0, 0, -1.0, {}, servers=5))
    assert sum(number for _, number in cluster.starts) == 1 + 2 + 3
    assert any("5 servers waited for; between 0 and 8 nodes" in note for note in cluster.notes)


def test_tasks_that_take_longer_than_those_before_are_noticed() -> None:
    cluster = Cluster()
    cluster.feed(Between(1, 10))
    cluster.feed(Demand(5, 1000, 0.001, {1: 1}))
    for _ in range(40):
        cluster.now += STEP
        cluster.feed(Demand(5, 1000, 0.001, {1: 1}))  # none ends
    assert len(cluster.machine.nodes) == 5


def test_a_peak_of_a_moment_starts_nothing() -> None:
    cluster = Cluster()
    cluster.feed(Between(1, 10))
    cluster.run(60, lambda t: 9 if t % 10 < 0.6 else 0, takes=60.0)
    assert not cluster.starts


@pytest.mark.parametrize("period", [4.0, 7.0, 13.0, 29.0])
def test_load_that_comes_and_goes_within_the_window_moves_nothing(period: float) -> None:
    cluster = Cluster(servers=2)
    cluster.feed(Between(1, 16))
    cluster.run(40, lambda t: 20, takes=30.0)
    started = len(cluster.starts)
    assert cluster.up == 10
    cluster.run(600, lambda t: 20 if t % period < period / 2 else 0, takes=30.0)
    assert (len(cluster.starts), cluster.drains) == (started, [])


def test_slower_waves_cost_one_start_and_one_drain_of_a_node_each() -> None:
    cluster = Cluster(servers=2)
    cluster.feed(Between(1, 16))
    cluster.run(1200, lambda t: round(10 + 10 * math.sin(t / 200 * 2 * math.pi)), takes=30.0)
    waves = 1200 / 200
    assert len(cluster.starts) <= 10 * waves and len(cluster.drains) <= 10 * waves
    # Up and down between, and not to and fro: within the window nothing that went comes back.
    for when, _ in cluster.drains:
        after = [begun for begun, _ in cluster.starts if when < begun < when + 10]
        assert not after


@pytest.mark.parametrize("seed", range(20))
def test_noise_makes_nothing_oscillate_and_drains_no_node_with_a_task(seed: int) -> None:
    chance = random.Random(seed)
    cluster = Cluster(servers=chance.choice([1, 2, 4]), start=chance.choice([0.5, 3.0, 20.0]))
    low = chance.randrange(3)
    cluster.feed(Between(low, chance.randrange(low + 1, 20)))
    level = chance.randrange(5, 30)
    cluster.run(
        900, lambda t: max(0, level + chance.randrange(-5, 6)), takes=chance.choice([1.0, 10.0, -1.0])
    )
    # Whatever it settled at is kept: the most of a window varies by little.
    late = [when for when, _ in cluster.starts if when > 400]
    assert len(late) <= 20, late
    cluster.run(200, lambda t: 0)
    assert cluster.up == cluster.machine.minimum


def test_nodes_that_do_not_start_are_tried_one_by_one_and_ever_more_rarely() -> None:
    cluster = Cluster(start=0.1)
    cluster.broken = "no room"
    cluster.feed(Between(0, 4))
    cluster.feed(NodeEnded(1, "killed"))
    cluster.run(600, lambda t: 50, takes=10.0)
    assert 8 <= len(cluster.starts) <= 30
    gaps = [b - a for (a, _), (b, _) in zip(cluster.starts[5:], cluster.starts[6:], strict=False) if b > a]
    assert gaps[-1] >= 60
    assert any("did not start: no room; none is started for" in note for note in cluster.notes)
    cluster.broken = ""
    cluster.run(100, lambda t: 50, takes=10.0)
    assert cluster.up == 4


def test_a_person_is_obeyed_at_once_and_tasks_there_end_first() -> None:
    machine = Scaling(1, 3, Policy())
    machine.handle(Demand(3, 0, 10.0, {1: 1, 2: 3, 3: 2}), 0.0)
    drained = [
        action.number for action in machine.handle(Between(1, 1), 1.0) if isinstance(action, DrainNode)
    ]
    assert drained == [1, 3] and not machine.settled
    for number in drained:
        machine.handle(NodeEnded(number, "drained"), 2.0)
    assert machine.settled
    started = [
        action.number for action in machine.handle(Between(3, 3), 3.0) if isinstance(action, StartNode)
    ]
    assert started == [4, 5]
    # One that has not come yet goes first.
    assert [a.number for a in machine.handle(Between(2, 2), 4.0) if isinstance(a, DrainNode)] == [5]
    machine.handle(NodeUp(5), 5.0)
    assert machine.nodes[5].state is NodeState.DRAINING
    assert "drained" in machine.story(5)


def test_new_limits_and_the_work_come_together() -> None:
    machine = Scaling(1, 2, Policy())
    machine.handle(Between(0, 10), 0.0)
    # What the old limits would start is not started, and who goes is chosen by the work that is there now.
    actions = machine.handle(Between(1, 1, Demand(50, 0, 10.0, {2: 1})), 5.0)
    assert [action for action in actions if not isinstance(action, Note)] == [DrainNode(1)]


def test_what_drains_counts_until_it_is_gone() -> None:
    machine = Scaling(1, 2, Policy())
    machine.handle(Between(0, 0), 0.0)
    assert machine.count(NodeState.DRAINING) == 2
    actions = machine.handle(Between(2, 2), 1.0)
    assert not [action for action in actions if isinstance(action, StartNode)]
    actions = machine.handle(NodeEnded(1, "drained"), 2.0)
    assert len([action for action in actions if isinstance(action, StartNode)]) == 1


def told(actions: list[object]) -> list[tuple[str, str]]:
    return [(action.level, action.text) for action in actions if isinstance(action, Note)]


@pytest.mark.parametrize(
    ("came", "in_order", "said"),
    [
        (True, True, ("info", "the cluster's node 1 has no task left, and has ended")),
        (True, False, ("warning", "the cluster's node 1 was to end with its last task, and died: why")),
        (False, False, ("info", "the cluster's node 1 is not started any more: why")),
    ],
)
def test_how_a_node_ended_that_was_drained_is_told(came: bool, in_order: bool, said: tuple[str, str]) -> None:
    machine = Scaling(1, 0, Policy())
    machine.handle(Between(1, 1), 0.0)
    if came:
        machine.handle(NodeUp(1), 1.0)
    machine.handle(Between(0, 0), 2.0)
    assert told(machine.handle(NodeEnded(1, "why", in_order), 3.0)) == [said]


def test_a_node_that_drains_for_long_is_told_of_ever_more_rarely() -> None:
    machine = Scaling(1, 1, Policy(say_after=10.0))
    machine.handle(Between(0, 0, Demand(2, 0, -1.0, {1: 2})), 0.0)
    said = []
    now = 0.0
    while (deadline := machine.next_deadline()) is not None and now < 100.0:
        now = deadline
        said += [(now, *note) for note in told(machine.tick(now))]
        machine.handle(Demand(0, 2, -1.0, {}), now)
    begin = "the cluster's node 1 was asked to end"
    assert said[0] == (10.0, "info", f"{begin} 10 s ago, and still has 2 tasks: it ends with the last one")
    assert [(when, level) for when, level, _ in said[1:]] == [
        (20.0, "warning"), (40.0, "warning"), (80.0, "warning"), (160.0, "warning")
    ]  # fmt: skip
    assert said[1][2].startswith(f"{begin} 20 s ago, has no task, and is still there")
    machine.handle(NodeEnded(1, "killed"), 200.0)
    assert machine.next_deadline() is None


def test_a_place_that_fails_is_replaced_at_once_where_there_is_room_and_holds_up_nothing() -> None:
    machine = Scaling(2, 0, Policy())
    machine.handle(Room(3), 0.0)

    assert started(machine.handle(Between(2, 2), 0.0)) == [1, 2]
    machine.handle(NodeUp(1), 1.0)
    machine.handle(Room(2), 1.0)  # the third one, and not yet the one that failed
    assert started(machine.handle(NodeEnded(2, "refused", elsewhere=True), 1.0)) == [3]
    machine.handle(Room(1), 2.0)
    assert started(machine.handle(NodeEnded(3, "refused", elsewhere=True), 2.0)) == []
    assert machine.next_deadline() is None and not started(machine.tick(9.0)) and not machine.settled
    assert started(machine.handle(Room(2), 10.0)) == [4]


def test_nodes_count_with_the_servers_that_they_turn_out_to_have() -> None:
    machine = Scaling(1, 0, Policy())
    machine.handle(Between(1, 10), 0.0)
    for number, servers in ((1, 2), (2, 6)):
        machine.handle(NodeUp(number, servers), 1.0)
    machine.handle(Demand(16, 0, -1.0, {}), 1.0)
    assert machine.needed == 8  # only the first one was asked for
    machine.handle(Between(2, 10), 2.0)
    machine.handle(NodeUp(2, 6), 3.0)
    machine.handle(Demand(16, 0, -1.0, {}), 3.0)
    assert machine.needed == 4


def test_days_of_failures_are_still_a_number() -> None:
    machine = Scaling(1, 0, Policy())
    machine.handle(Between(1, 1), 0.0)
    now = 0.0
    for _ in range(1100):
        number = max(machine.nodes)
        machine.handle(NodeEnded(number, "no room"), now)
        while not machine.nodes:
            deadline = machine.next_deadline()
            assert deadline is not None and deadline - now <= 60.0
            machine.tick(now := deadline)


def fail_until(machine: Scaling, end: float) -> list[tuple[float, object]]:
    """Each node that is asked for fails a second later; what was said of that, and when."""
    now, said = 0.0, []
    while (deadline := machine.next_deadline()) is not None and (now := deadline) <= end:
        actions = machine.tick(now)
        for start in [one for one in actions if isinstance(one, StartNode)]:
            now += 1.0
            actions += machine.handle(NodeEnded(start.number, "no such partition"), now)
            machine.check()
        said += [(now, one) for one in actions if isinstance(one, Despair | Hope)]
    return said


@pytest.mark.row("R-99")
def test_what_waits_is_refused_when_none_ever_came_for_half_a_minute_and_not_when_one_did() -> None:
    machine = Scaling(1, 0, Policy())
    [start, _] = machine.handle(Between(1, 1), 0.0)
    assert isinstance(start, StartNode)
    machine.handle(NodeEnded(start.number, "no such partition"), 0.0)
    said = fail_until(machine, 100.0)
    when, first = said[0]
    assert when == 30 and isinstance(first, Despair)
    assert first.reason == "no such partition" and first.seconds == 30 and first.lasting
    # It is tried on, and when one comes after all what is asked for waits again, and for ever.
    machine.tick(deadline := machine.next_deadline() or 0.0)
    assert [type(one) for one in machine.handle(NodeUp(max(machine.nodes)), deadline)] == [Hope]
    machine.handle(NodeEnded(max(machine.nodes), "killed"), deadline)
    assert fail_until(machine, 1000.0) == []


@pytest.mark.row("R-99")
def test_nodes_that_are_tried_for_what_waits_alone_are_tried_for_what_comes_later() -> None:
    machine = Scaling(1, 0, Policy())
    machine.handle(Between(0, 1, Demand(1, 0, -1.0, {})), 0.0)
    said = [one for _, one in fail_until(machine, 100.0)]
    assert {type(one) for one in said[::2]} == {Despair} and {type(one) for one in said[1::2]} == {Hope}
    assert not any(one.lasting for one in said if isinstance(one, Despair))


@pytest.mark.row("R-99")
def test_nothing_is_refused_while_a_node_is_starting_nor_for_a_failure_that_nobody_waited_for() -> None:
    machine = Scaling(1, 0, Policy(retry_first=10.0))
    machine.handle(Between(0, 1, Demand(1, 0, -1.0, {})), 0.0)
    machine.tick(1.0)
    machine.handle(NodeEnded(1, "no room"), 2.0)
    assert started(machine.tick(12.0)) == [2]
    assert machine.next_deadline() is None and not machine.tick(40.0)
    machine.handle(Demand(1, 0, -1.0, {}), 40.0)
    machine.handle(Demand(0, 0, -1.0, {}), 41.0)
    assert not [one for one in machine.handle(NodeEnded(2, "no room"), 42.0) if isinstance(one, Despair)]
    assert machine.next_deadline() is None
    # Long after the first failure something is asked for: it is tried before it is refused.
    assert not [one for one in machine.handle(Demand(1, 0, -1.0, {}), 100.0) if isinstance(one, Despair)]
    assert started(machine.tick(101.0)) == [3]
    found = [one for one in machine.handle(NodeEnded(3, "no room"), 102.0) if isinstance(one, Despair)]
    assert found == [Despair("no room", 100.0, False)]
