"""The turns that a master takes: every program's jobs in order, no program before its time."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import pytest

from dispycos.events import Note, Say
from dispycos.messages import Job, JobsEnded, PoolClosed, PoolRoom
from dispycos.model import CodeHash, End, Incarnation, Outcome, Payload
from dispycos.workers.machine import (
    LEAST_AHEAD,
    MAX_WAITING,
    MOST_AHEAD,
    Ended,
    Joined,
    Left,
    PoolMachine,
    Refused,
    Run,
    Submitted,
    Withdraw,
    WorkersNow,
)

A, B, C = (Incarnation(letter * 16) for letter in (b"a", b"b", b"c"))
CODE = CodeHash(b"f" * 16)


class Pool:
    """A machine, and what it asked for."""

    def __init__(self, workers: int = 1, *programs: Incarnation) -> None:
        self.machine = PoolMachine()
        self.now = 0.0
        self.handed_out: list[tuple[Incarnation, int]] = []
        self.said: list[tuple[Incarnation, Any]] = []
        self.withdrawn: list[tuple[Incarnation, list[int]]] = []
        self.notes: list[str] = []
        for program in programs:
            self.feed(Joined(program, program[:1].decode()))
        self.feed(WorkersNow(workers))

    def feed(self, event: Any) -> None:
        for action in self.machine.handle(event, self.now):
            if isinstance(action, Run):
                self.handed_out.append((action.program, action.job.id))
            elif isinstance(action, Withdraw):
                self.withdrawn.append((action.program, action.ids))
            elif isinstance(action, Note):
                self.notes.append(action.text)
            else:
                assert isinstance(action, Say)
                self.said.append((action.peer, action.message))
        self.machine.check()

    def submit(self, program: Incarnation, *numbers: int) -> None:
        self.feed(Submitted(program, [Job(number, CODE, Payload(b""), 0) for number in numbers]))

    def end(self, program: Incarnation, number: int, after: float = 0.1) -> None:
        self.now += after
        self.feed(Ended(program, Outcome(number, 1, End.FINISHED, Payload(b"value"))))

    def rooms(self, program: Incarnation) -> list[int]:
        return [said.jobs for to, said in self.said if to == program and isinstance(said, PoolRoom)]


@pytest.mark.row("CW-02")
def test_a_programs_jobs_begin_in_its_order() -> None:
    pool = Pool(1, A)
    pool.submit(A, 5, 3, 9)
    pool.submit(A, 1)
    pool.end(A, 5)
    pool.end(A, 3)
    assert pool.handed_out == [(A, 5), (A, 3), (A, 9), (A, 1)]


@pytest.mark.row("CW-02")
def test_programs_take_turns_job_by_job_however_many_one_has_sent() -> None:
    pool = Pool(1, A, B, C)
    pool.submit(A, *range(100))
    pool.submit(B, 200, 201)
    pool.submit(C, 300)
    first = pool.handed_out[:LEAST_AHEAD]
    assert first == [(A, number) for number in range(LEAST_AHEAD)]
    for program, number in first:
        pool.end(program, number)
    for program, number in list(pool.handed_out[LEAST_AHEAD:]):
        pool.end(program, number)
    assert [key for key, _ in pool.handed_out[LEAST_AHEAD : LEAST_AHEAD + 4]] == [A, B, C, A]


@pytest.mark.row("CW-02")
def test_nobody_waits_longer_than_a_round_of_the_others() -> None:
    pool = Pool(1, A, B)
    pool.submit(A, *range(50))
    pool.submit(B, *range(100, 150))
    while len(pool.handed_out) < 100:
        pool.end(*pool.handed_out[len(pool.handed_out) - pool.machine.out])
    turns = [key for key, _ in pool.handed_out[LEAST_AHEAD : 2 * 48]]
    assert all(one is not other for one, other in pairwise(turns))


def test_only_so_many_jobs_are_out_for_each_worker() -> None:
    pool = Pool(0, A)
    pool.submit(A, *range(100))
    assert pool.handed_out == []
    pool.feed(WorkersNow(3))
    assert len(pool.handed_out) == 3 * LEAST_AHEAD
    pool.feed(WorkersNow(1))
    for number in range(3 * LEAST_AHEAD - LEAST_AHEAD):
        pool.end(A, number)
        assert len(pool.handed_out) == 3 * LEAST_AHEAD  # what is out goes back to what one worker takes
    pool.end(A, 5)
    assert len(pool.handed_out) == 3 * LEAST_AHEAD + 1


def test_a_program_is_told_how_many_it_may_send_whenever_that_changes() -> None:
    pool = Pool(2, A)
    assert pool.rooms(A) == [0, 2 * LEAST_AHEAD]
    pool.feed(WorkersNow(2))
    assert pool.rooms(A) == [0, 2 * LEAST_AHEAD]
    pool.feed(WorkersNow(0))
    assert pool.rooms(A) == [0, 2 * LEAST_AHEAD, 0]
    pool.feed(Joined(B, "b"))
    assert pool.rooms(B) == [0]


def test_short_jobs_are_handed_out_further_ahead_and_long_ones_no_more() -> None:
    pool = Pool(1, A)
    pool.submit(A, *range(3000))
    done = 0
    while pool.machine.ahead < MOST_AHEAD:
        pool.end(A, done, after=0.0001)
        done += 1
    assert done < 200
    out = len(pool.handed_out)
    pool.end(A, done, after=2.0)
    assert pool.machine.ahead == LEAST_AHEAD
    for number in range(done + 1, out - LEAST_AHEAD):
        pool.end(A, number)
    assert len(pool.handed_out) == out


def test_new_programs_and_new_jobs_are_not_judged_by_what_ran_before() -> None:
    def grown() -> tuple[Pool, int]:
        pool = Pool(1, A)
        pool.submit(A, *range(100))
        for number in range(90):
            pool.end(A, number, after=0.0001)
        assert pool.machine.ahead > LEAST_AHEAD
        return pool, 90

    pool, _ = grown()
    pool.feed(Joined(B, "b"))
    assert pool.machine.ahead == LEAST_AHEAD
    pool, done = grown()
    for number in range(done, 100):
        pool.end(A, number, after=0.0001)
    assert pool.machine.ahead == LEAST_AHEAD
    assert pool.rooms(A)[-1] == LEAST_AHEAD


@pytest.mark.row("CW-17")
def test_a_job_whose_worker_was_ended_in_order_is_next_again_as_often_as_allowed() -> None:
    pool = Pool(1, A)
    jobs = [Job(1, CODE, Payload(b""), 2), *(Job(number, CODE, Payload(b""), 0) for number in range(2, 9))]
    pool.feed(Submitted(A, jobs))
    for _ in range(3):
        pool.feed(Ended(A, Outcome(1, 1, End.CANCELLED, None, "the worker ended")))
    assert [number for _, number in pool.handed_out] == [1, 2, 1, 1, 3]
    told = [outcome.end for _, said in pool.said if isinstance(said, JobsEnded) for outcome in said.outcomes]
    assert told == [End.CANCELLED]


def test_a_lone_short_job_tells_nothing_of_how_many_are_needed() -> None:
    pool = Pool(4, A)
    for number in range(1000):
        pool.submit(A, number)
        pool.end(A, number, after=0.001)
    assert pool.machine.ahead == LEAST_AHEAD


def test_what_a_job_came_to_is_told_once_and_to_its_program() -> None:
    pool = Pool(1, A, B)
    pool.submit(A, 7)
    pool.end(A, 7)
    pool.end(A, 7)
    pool.end(B, 7)
    told = [(to, [o.id for o in said.outcomes]) for to, said in pool.said if isinstance(said, JobsEnded)]
    assert told == [(A, [7])]


@pytest.mark.row("CW-03")
def test_who_leaves_takes_his_jobs_along_and_makes_room() -> None:
    pool = Pool(1, A, B)
    pool.submit(A, *range(10))
    pool.submit(B, 100)
    pool.feed(Left(A, "it was lost"))
    assert pool.withdrawn == [(A, list(range(LEAST_AHEAD)))]
    assert pool.handed_out[-1] == (B, 100)
    pool.end(A, 0)  # it comes late, and nobody is told
    assert not any(isinstance(said, JobsEnded) for _, said in pool.said)
    assert "10 dropped" in pool.notes[-1]
    pool.submit(A, 11)  # it was on its way
    pool.feed(Left(A, "again"))
    assert pool.machine.status()["jobs"] == 1


@pytest.mark.parametrize("fault", ["twice", "twice at once", "twice while it is out", "too many"])
def test_who_breaks_the_rules_is_told_and_dropped(fault: str) -> None:
    pool = Pool(1, A, B)
    if fault == "too many":
        pool.submit(A, *range(MAX_WAITING + LEAST_AHEAD + 1))
    elif fault == "twice":
        pool.submit(A, 1, 2, 3, 4)
        pool.submit(A, 4)
    elif fault == "twice at once":
        pool.submit(A, 1, 2, 3, 4, 4)
    else:
        pool.submit(A, 1)
        pool.submit(A, 1)
    reasons = [said.reason for to, said in pool.said if to == A and isinstance(said, PoolClosed)]
    assert len(reasons) == 1
    assert ("twice" in reasons[0]) == ("twice" in fault)
    assert pool.machine.story(A) == "it did not join"
    pool.submit(B, 1)
    assert pool.handed_out[-1] == (B, 1)


def test_a_refusal_from_outside_is_told_too() -> None:
    pool = Pool(1, A)
    pool.feed(Refused(A, "no such function"))
    assert pool.said[-1] == (A, PoolClosed("no such function"))


@pytest.mark.parametrize("seed", range(20))
def test_whatever_comes_every_job_is_handed_out_once_and_in_order(seed: int) -> None:
    dice = random.Random(seed)
    pool = Pool(2, A, B, C)
    sent: dict[Incarnation, list[int]] = {A: [], B: [], C: []}
    out: list[tuple[Incarnation, int]] = []
    for step in range(300):
        match dice.randrange(6):
            case 0 | 1:
                program = dice.choice([A, B, C])
                numbers = [1000 * step + n for n in range(dice.randrange(1, 6))]
                sent[program] += numbers
                pool.submit(program, *numbers)
            case 2:
                pool.feed(WorkersNow(dice.randrange(5)))
            case _:
                out = [job for job in pool.handed_out if job[1] in pool.machine.programs[job[0]].out]
                if out:
                    pool.end(*dice.choice(out), after=dice.choice([0.0001, 0.05, 2.0]))
    pool.feed(WorkersNow(1000))
    for program, numbers in sent.items():
        assert [number for key, number in pool.handed_out if key == program] == numbers
