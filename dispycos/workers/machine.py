"""What a master decides: whose job is next, and how many jobs are out.

The jobs of one program run in its order, and programs take turns job by job, so that none
starves however much another sends (CW-02). Only so many jobs are handed to the workers at a
time that none of them waits for the next one; the others stay here, where turns are taken, or
with the programs: each is told how many it may send.

Which worker takes a job, and what happens when a worker is lost, is decided below, where it
is for every client (`client.dispatch`). Pure: no I/O, clock or randomness. Layer 7.
Rows CW-01 to CW-04.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from dispycos.events import Note, Say
from dispycos.messages import Job, JobsEnded, PoolClosed, PoolRoom
from dispycos.model import End, Incarnation, Outcome
from dispycos.records import record
from dispycos.wording import many

# Jobs for each worker that are handed out at a time. Two: one runs, and the next is there when
# it ends. Of jobs shorter than the way there and back it takes more to keep a worker busy.
LEAST_AHEAD = 2
MOST_AHEAD = 64
BUSY = 0.05  # seconds that these jobs are to keep a worker busy; others wait behind them

MAX_WAITING = 10_000  # jobs of one program that wait here; it was told to send far fewer


# Events. `events.PeerGone` tells of a program that is lost.


@record
class Joined:
    """A program wants to send jobs."""

    program: Incarnation
    name: str


@record
class Submitted:
    """Jobs of a program that joined, in its order."""

    program: Incarnation
    jobs: Sequence[Job]


@record
class Left:
    """A program ends its part, or is gone."""

    program: Incarnation
    reason: str


@record
class Refused:
    """A program broke the rules: it is told why, and its jobs are dropped."""

    program: Incarnation
    reason: str


@record
class WorkersNow:
    """So many workers can be given jobs."""

    number: int


@dataclass(slots=True)
class Ended:
    """A job that was handed out has ended, in whatever way."""

    program: Incarnation
    outcome: Outcome


# Actions, beside Say and Note.


@dataclass(slots=True)
class Run:
    """Hand this job to the workers; Ended follows."""

    program: Incarnation
    job: Job


@record
class Withdraw:
    """Nobody wants these any more: end them. No Ended need follow."""

    program: Incarnation
    ids: list[int]
    reason: str


@record
class Out:
    """A job that was handed to the workers."""

    job: Job
    since: float  # when
    ahead: int  # how many jobs each worker was given then


@dataclass(slots=True)
class Program:
    """A client program and its jobs."""

    name: str
    waiting: deque[Job] = field(default_factory=deque)  # in its order
    out: dict[int, Out] = field(default_factory=dict)  # handed to workers, by id
    done: int = 0
    room: int = -1  # what it was told last; -1: nothing yet


class PoolMachine:
    """The programs of one master, and the turns they take."""

    def __init__(self) -> None:
        self.programs: dict[Incarnation, Program] = {}
        self.workers = 0
        self.ahead = LEAST_AHEAD
        self.out = 0  # jobs of all programs that are handed out
        # Programs that have jobs waiting; the first has the next turn.
        self._turns: deque[Incarnation] = deque()
        self._since = 0  # jobs that ended since `ahead` was changed

    @property
    def room(self) -> int:
        """How many jobs may be handed out at a time."""
        return self.workers * self.ahead

    # The shape of every machine.

    def handle(self, event: Any, now: float) -> list[Any]:
        """What is to be done about `event`."""
        actions: list[Any] = []
        if isinstance(event, Ended):
            self._ended(event, now, actions)
        elif isinstance(event, Submitted):
            self._submitted(event, actions)
        elif isinstance(event, Joined):
            if event.program not in self.programs:
                self._begin_anew()
                self.programs[event.program] = Program(event.name)
                actions.append(Note("info", f"{event.name} joined"))
            self._tell_room(actions)
        elif isinstance(event, Left):
            self._left(event.program, event.reason, actions)
        elif isinstance(event, Refused):
            self._refuse(event.program, event.reason, actions)
        elif isinstance(event, WorkersNow):
            self._workers_now(event.number, actions)
        self._hand_out(now, actions)
        return actions

    def tick(self, now: float) -> list[Any]:
        """Nothing here is timed."""
        return []

    def next_deadline(self) -> float | None:
        """Nothing here is timed."""
        return None

    def check(self) -> None:
        """Every invariant."""
        assert self.out == sum(len(program.out) for program in self.programs.values())
        waiting = {key for key, program in self.programs.items() if program.waiting}
        assert waiting == set(self._turns), "whoever has jobs waiting has a turn"
        assert len(self._turns) == len(waiting), "nobody has two turns"
        assert LEAST_AHEAD <= self.ahead <= MOST_AHEAD
        assert not waiting or self.out >= self.room, "nothing waits while there is room"
        for program in self.programs.values():
            assert program.room == self.room, "everybody knows how many he may send"
            assert not program.out.keys() & {job.id for job in program.waiting}

    def story(self, program: Incarnation) -> str:
        """What there is of one program."""
        found = self.programs.get(program)
        if found is None:
            return "it did not join"
        done = many(found.done, "job")
        return f"{found.name}: {done} done, {len(found.out)} out, {len(found.waiting)} waiting"

    def status(self) -> dict[str, Any]:
        """Workers, and the programs by name, as people read it."""
        return {
            "workers": self.workers,
            "jobs": self.out,
            "programs": [self.story(program) for program in self.programs],
        }

    # What happens.

    def _submitted(self, event: Submitted, actions: list[Any]) -> None:
        program = self.programs.get(event.program)
        if program is None:
            return  # it left, or was refused, while this was on its way
        known = {*program.out, *(job.id for job in program.waiting)}
        for job in event.jobs:
            if job.id in known:
                self._refuse(event.program, f"job {job.id} was sent twice", actions)
                return
            known.add(job.id)
        if not program.waiting and event.jobs:
            self._turns.append(event.program)
        program.waiting.extend(event.jobs)
        if len(program.waiting) > MAX_WAITING:
            reason = f"it sent {len(program.waiting)} jobs that wait, and may send {self.room}"
            self._refuse(event.program, reason, actions)

    def _ended(self, event: Ended, now: float, actions: list[Any]) -> None:
        program = self.programs.get(event.program)
        out = None if program is None else program.out.pop(event.outcome.id, None)
        if program is None or out is None:
            return  # nobody wants to know any more
        full = self.out >= self.room
        self.out -= 1
        if event.outcome.end is End.CANCELLED and out.job.retries > 0:
            # Its worker was ended in order, which is a loss to this job. Below, only those that
            # were not are tried again.
            self._again(event.program, program, out.job)
            return
        program.done += 1
        actions.append(Say(event.program, JobsEnded([event.outcome])))
        self._since += 1
        self._adapt(BUSY * out.ahead / max(now - out.since, 1e-6), full)
        if not self.out and not self._turns:
            self._begin_anew()
        self._tell_room(actions)

    def _again(self, key: Incarnation, program: Program, job: Job) -> None:
        if not program.waiting:
            self._turns.appendleft(key)
        program.waiting.appendleft(Job(job.id, job.function, job.args, job.retries - 1))

    def _begin_anew(self) -> None:
        """The next jobs may be long ones: what the last ones took tells nothing of them."""
        self.ahead = LEAST_AHEAD
        self._since = 0

    def _adapt(self, wanted: float, full: bool) -> None:
        """Hand out about so many for each worker: more step by step while all are used, fewer at once."""
        if wanted < self.ahead / 2:
            self.ahead = max(LEAST_AHEAD, 1 << (int(wanted).bit_length() - 1) if wanted >= 1 else 0)
            self._since = 0
        elif wanted >= self.ahead * 2 and full and self._since >= self.room:
            # Once a round, so that what is measured was handed out under this number.
            self.ahead = min(self.ahead * 2, MOST_AHEAD)
            self._since = 0

    def _workers_now(self, number: int, actions: list[Any]) -> None:
        if number != self.workers:
            actions.append(Note("info", f"{many(number, 'worker')} (before: {self.workers})"))
            self.workers = number
            self._tell_room(actions)

    def _refuse(self, program: Incarnation, reason: str, actions: list[Any]) -> None:
        if program in self.programs:
            actions.append(Say(program, PoolClosed(reason)))
            self._left(program, f"refused: {reason}", actions)

    def _left(self, key: Incarnation, reason: str, actions: list[Any]) -> None:
        program = self.programs.pop(key, None)
        if program is None:
            return
        if program.waiting:
            self._turns.remove(key)
        self.out -= len(program.out)
        if program.out:
            actions.append(Withdraw(key, list(program.out), f"{program.name} left: {reason}"))
        text = f"{program.name} left ({reason}): {many(program.done, 'job')} done"
        dropped = len(program.out) + len(program.waiting)
        actions.append(Note("info", text + (f", {dropped} dropped" if dropped else "")))

    def _tell_room(self, actions: list[Any]) -> None:
        for key, program in self.programs.items():
            if program.room != self.room:
                program.room = self.room
                actions.append(Say(key, PoolRoom(self.room, self.workers)))

    def _hand_out(self, now: float, actions: list[Any]) -> None:
        while self._turns and self.out < self.room:
            key = self._turns.popleft()
            program = self.programs[key]
            job = program.waiting.popleft()
            if program.waiting:
                self._turns.append(key)
            program.out[job.id] = Out(job, now, self.ahead)
            self.out += 1
            actions.append(Run(key, job))
