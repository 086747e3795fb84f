"""Random tasks and random faults: `Dispatch` against real `Execution`s, from one seed each (R-55)."""

from __future__ import annotations

from collections import Counter

import pytest

from dispycos.model import End
from dispycos.testing import World, each_seed, seeds
from tests.sim.model import Behaviour, Cluster, run


def replaying() -> bool:
    """One seed only, so nothing can be said of many."""
    return len(seeds(2)) < 2


@pytest.mark.row("R-31", "R-32", "R-36", "R-39", "R-41", "R-43", "R-44", "R-55", "R-69")
@pytest.mark.rule("D1", "D3", "S2")
@pytest.mark.timeout(180)
def test_every_task_ends_once_whatever_happens() -> None:
    seen: Counter[End] = Counter()

    def scenario(seed: int) -> None:
        seen.update(outcome.end for outcome in run(seed).outcomes.values())

    each_seed(scenario, 50)
    # A run that never sees an end proves nothing of it.
    assert set(seen) == set(End) or replaying()


@pytest.mark.row("R-55")
def test_the_same_seed_gives_the_same_trace() -> None:
    one, other = run(7), run(7)
    assert one.world.trace == other.world.trace
    assert one.outcomes == other.outcomes
    assert run(8).world.trace != one.world.trace


@pytest.mark.rule("D1")
def test_without_faults_everything_finishes_and_nothing_is_late() -> None:
    def scenario(seed: int) -> None:
        cluster = Cluster(seed, nodes=3)
        cluster.world.run(1)
        for _ in range(100):
            cluster.submit(seconds=cluster.random.choice((0.0001, 0.003, 0.2)))
        cluster.settle()
        assert {outcome.end for outcome in cluster.outcomes.values()} == {End.FINISHED}
        assert cluster.client.dispatch.late == 0
        assert all(server.execution.stale == 0 for server in cluster.servers)

    each_seed(scenario, 10)


@pytest.mark.row("R-89", "R-44")
@pytest.mark.rule("D1")
@pytest.mark.timeout(180)
def test_a_recalled_task_never_runs_at_both_servers() -> None:
    """Tasks of a few milliseconds behind long ones: they are recalled while they begin."""
    recalls = 0

    def scenario(seed: int) -> None:
        nonlocal recalls
        cluster = Cluster(seed, nodes=2, count=2)
        cluster.world.run(1)
        for number in range(120):
            seconds = 0.3 if number % 20 == 10 else cluster.random.uniform(0, 0.01)
            cluster.client.after(cluster.random.uniform(0, 0.5), cluster.submit, Behaviour.RETURN, seconds)
        cluster.settle()
        recalls += sum(verb == "says" and what == "Recall" for _, _, verb, what in cluster.world.trace)

    each_seed(scenario, 20)
    assert recalls > 20 or replaying()


@pytest.mark.row("R-05", "R-31")
@pytest.mark.timeout(180)
def test_tasks_without_retries_begin_at_most_once_while_servers_die() -> None:
    def scenario(seed: int) -> None:
        cluster = Cluster(seed, count=3)
        cluster.world.run(1)
        for _ in range(100):
            cluster.submit(seconds=0.02)
        for _ in range(6):
            cluster.client.after(cluster.random.uniform(0, 1), cluster.kill_server)
        cluster.settle()
        ends = Counter(outcome.end for outcome in cluster.outcomes.values())
        # What ran in that moment is lost, and what had ended with its outcome still under way.
        assert ends[End.SERVER_LOST] < 60
        assert all(len(attempts) == 1 for attempts in cluster.ledger.begun.values())
        assert ends[End.SERVER_LOST] + ends[End.FINISHED] == 100

    each_seed(scenario, 10)


@pytest.mark.row("R-68", "R-36")
@pytest.mark.timeout(180)
def test_tasks_of_which_the_server_knows_nothing_end_at_the_next_comparison() -> None:
    lost = 0

    def scenario(seed: int) -> None:
        nonlocal lost
        cluster = run(seed, faults=0.0, losses=0.2)
        lost += sum("no record" in outcome.text for outcome in cluster.outcomes.values())

    each_seed(scenario, 20)
    assert lost > 20 or replaying()


@pytest.mark.row("R-88")
def test_a_long_task_that_is_silent_is_begun_once() -> None:
    def scenario(seed: int) -> None:
        cluster = Cluster(seed, nodes=2, count=1)
        cluster.world.run(1)
        task = cluster.submit(seconds=60.0, retries=3)
        cluster.world.run(5)
        cluster.world.cut("client", "n1")
        cluster.world.cut("client", "n2")
        cluster.world.run(20)
        cluster.settle(200)
        assert cluster.outcomes[task.id].end is End.FINISHED
        assert len(cluster.ledger.begun[task.id]) == 1

    each_seed(scenario, 10)


@pytest.mark.row("R-07", "R-42")
def test_a_task_that_kills_its_servers_is_placed_no_more_after_the_third() -> None:
    def scenario(seed: int) -> None:
        cluster = Cluster(seed)
        cluster.world.run(1)
        task = cluster.submit(Behaviour.KILL, 0.1, retries=10)
        others = [cluster.submit(seconds=0.05, retries=5) for _ in range(30)]
        cluster.settle()
        assert cluster.outcomes[task.id].end is End.FAILED
        assert task.id in cluster.poisoned
        assert len(cluster.ledger.begun[task.id]) == 3
        assert {cluster.outcomes[other.id].end for other in others} == {End.FINISHED}

    each_seed(scenario, 10)


@pytest.mark.row("R-08", "DC-57")
def test_a_task_that_never_yields_is_ended_with_its_server_and_named_to_its_companions() -> None:
    def scenario(seed: int) -> None:
        cluster = Cluster(seed, nodes=1, count=1)
        cluster.world.run(1)
        companion = cluster.submit(seconds=50, io=True)
        stuck = cluster.submit(Behaviour.STUCK, timeout=2.0)
        behind = cluster.submit(seconds=0.1)
        start = cluster.world.now
        assert cluster.world.run(30, lambda: stuck.id in cluster.outcomes)
        assert cluster.world.now - start < 2.0 + cluster.world.limits.grace + 3.0
        cluster.settle()
        assert cluster.outcomes[stuck.id].end is End.TIMED_OUT
        assert cluster.outcomes[companion.id].end is End.SERVER_LOST
        assert repr(stuck) in cluster.outcomes[companion.id].text
        assert cluster.outcomes[behind.id].end is End.FINISHED

    each_seed(scenario, 10)


@pytest.mark.rule("D1")
@pytest.mark.row("R-69")
def test_uneven_tasks_come_near_the_ideal_schedule() -> None:
    """P6, on the virtual clock: 9 of 10 tasks take 1 ms, 1 takes 100 ms; then 20 ms each."""

    def makespan(seed: int, times: list[float]) -> float:
        cluster = Cluster(seed, nodes=1, count=2)
        cluster.world.max_delay = 0.0006
        cluster.world.run(1)
        start = cluster.world.now
        for seconds in times:
            cluster.submit(seconds=seconds)
        assert cluster.world.run(60, lambda: not cluster.ledger.open)
        return cluster.world.now - start

    def scenario(seed: int) -> None:
        uneven = [0.1 if number % 10 == 3 else 0.001 for number in range(300)]
        assert makespan(seed, uneven) * 0.95 <= sum(uneven) / 2 + 0.05
        even = [0.02] * 100
        assert makespan(seed, even) * 0.95 <= sum(even) / 2

    each_seed(scenario, 3)


def test_a_world_tells_how_to_replay_a_failing_seed() -> None:
    def scenario(seed: int) -> None:
        assert seed != 3

    with pytest.raises(AssertionError) as caught:
        each_seed(scenario, 10)
    assert "DISPYCOS_SEED=3" in caught.value.__notes__[0]
    assert "test_a_world_tells_how_to_replay" in caught.value.__notes__[0]
    assert World(3).random.random() == World(3).random.random()
