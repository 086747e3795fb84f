"""What had begun at a server that is gone: it ends, or is tried again (R-05, R-41, R-42).

A part of `client.dispatch`. Tried again is only what the caller allowed to be, a little later each
time; never what killed server after server.

Pure. Layer 2.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any

from dispycos.client import reasons
from dispycos.client.cancels import Agenda
from dispycos.client.credits import Server
from dispycos.client.gate import Gate
from dispycos.client.submission import Cause, Stage, Submission
from dispycos.config import Limits
from dispycos.model import LOST, End, Incarnation, Outcome

RETRY_FIRST = 0.1  # seconds before a lost task's next attempt; doubles ...
RETRY_MAX = 10.0  # ... up to this, +- half of it


class LostAttempts:
    """The attempts of one client's tasks that are lost.

    gone    servers and nodes that are no more.
    name    a server's, as reasons have it.
    again   called when the next attempt of a task is due.
    """

    __slots__ = ("_again", "_agenda", "_gate", "_gone", "_limits", "_name")

    def __init__(
        self,
        limits: Limits,
        gate: Gate,
        agenda: Agenda,
        gone: Container[Incarnation],
        name: Callable[[Server], str],
        again: Callable[[Submission, float, list[Any]], None],
    ) -> None:
        self._limits = limits
        self._gate = gate
        self._agenda = agenda
        self._gone = gone
        self._name = name
        self._again = again

    def take(
        self, task: Submission, server: Server, end: End, why: str, sure: bool, now: float, actions: list[Any]
    ) -> None:
        """An attempt that had begun, or may have, is gone; it is in no server's table any more.

        end   how it was lost; `why` has it in words.
        sure  it had begun; else it may have.
        """
        text = reasons.lost(task, self._name(server), end, why, sure, now)
        if end is End.SERVER_LOST and sure:
            task.deaths = (*task.deaths, text[: self._limits.max_reason_chars // 4])
        task.server = None
        task.position = 0
        if task.cancel is not None:
            end, reason = task.cancel
            # Whose process was ended for it has the whole reason: how that ended tells nothing more.
            text = self._name(server) if server.forced_for is task else text
            self._gate.end(task, end, f"{reason}; {text}", actions)
        elif 0 < task.max_worker_deaths <= len(task.deaths):
            poison = reasons.fitting(reasons.poison(task), self._limits.max_reason_chars)
            failed = Outcome(task.id, task.attempt, End.FAILED, None, poison)
            self._gate.finish(task, failed, actions, poisoned=True)
        elif end in LOST and task.attempt <= task.retries and task.where not in self._gone:
            task.move(Cause.PAUSE)
            task.loss = (end, text)
            task.since = now
            wait = min(RETRY_FIRST * 2.0 ** (task.attempt - 1), RETRY_MAX) * (0.5 + _fraction(task))
            task.attempt += 1
            self._agenda.add(now + wait, self._due, task)
        else:
            only_there = task.where is not None and task.attempt <= task.retries
            self._gate.end(task, end, text + reasons.not_again(task, end, only_there), actions)

    def _due(self, task: Submission, now: float, actions: list[Any]) -> None:
        """A lost task is tried again."""
        if task.stage is Stage.PAUSED:
            task.move(Cause.DUE)
            self._again(task, now, actions)


def _fraction(task: Submission) -> float:
    """A number in [0, 1) that differs from task to task and from attempt to attempt (jitter)."""
    return ((task.id * 2654435761 + task.attempt * 40503) & 0xFFFF) / 0x10000
