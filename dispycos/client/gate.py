"""The gate: which tasks live, and the one place where a task gets its final outcome (R-31).

A part of `client.dispatch`. Each task enters once and leaves once; when the client closes, the
gate says when nothing is left that is waited for (DC-39).

Pure. Layer 2.
"""

from __future__ import annotations

import enum
from collections import deque
from typing import Any

from dispycos.client import reasons
from dispycos.client.submission import AllDone, Cause, Ended, Stage, Submission
from dispycos.config import Limits
from dispycos.model import End, Outcome

_ENDED = Stage.ENDED
_END = Cause.END
_FINISHED, _FAILED = End.FINISHED, End.FAILED


class Phase(enum.Enum):
    OPEN = "open"
    CLOSING = "closing"  # no new tasks
    DONE = "done"  # none of those that closing waits for is left
    CLOSED = "closed"  # none is left at all


PHASES: dict[tuple[Phase, str], Phase] = {
    (Phase.OPEN, "close"): Phase.CLOSING,
    (Phase.CLOSING, "close"): Phase.CLOSING,
    (Phase.DONE, "close"): Phase.CLOSING,
    (Phase.CLOSED, "close"): Phase.CLOSED,
    (Phase.CLOSING, "none left"): Phase.DONE,
    (Phase.OPEN, "close now"): Phase.CLOSED,
    (Phase.CLOSING, "close now"): Phase.CLOSED,
    (Phase.DONE, "close now"): Phase.CLOSED,
    (Phase.CLOSED, "close now"): Phase.CLOSED,
}

_CLOSING = Phase.CLOSING


class Gate:
    """The living tasks of one client, and the last of those that ended."""

    __slots__ = (
        "_await_io",
        "_max_chars",
        "cpu_live",
        "done",
        "ended",
        "late",
        "phase",
        "submitted",
        "tasks",
        "why_closed",
    )

    def __init__(self, limits: Limits) -> None:
        self._max_chars = limits.max_reason_chars
        self._await_io = False
        self.phase = Phase.OPEN
        self.why_closed = ""
        self.submitted = 0
        self.done = 0
        self.late = 0  # outcomes that came after the task's or attempt's end: dropped
        self.cpu_live = 0
        # Waiting work is never dropped: a program that submits bounds it itself.
        self.tasks: dict[int, Submission] = {}
        # id, attempt, name, how and why; the oldest is forgotten.
        self.ended: deque[tuple[int, int, str, End, str]] = deque(maxlen=limits.max_ended_records)

    def enter(self, task: Submission, now: float) -> None:
        self.tasks[task.id] = task
        order = self.submitted = self.submitted + 1
        task.order = order
        task.submitted = task.since = now
        if not task.io:
            self.cpu_live += 1

    def finish(self, task: Submission, outcome: Outcome, actions: list[Any], poisoned: bool = False) -> None:
        """The task has its final outcome; it is in no server's table any more."""
        if task.stage is _ENDED:
            self.late += 1
            return
        if task.line is not None:
            task.line.left()
            task.line = None
        task.move(_END)
        del self.tasks[task.id]
        self.done += 1
        end = outcome.end
        if end is _FINISHED:
            text = ""
        else:
            if end is not _FAILED:
                outcome.text = reasons.fitting(outcome.text, self._max_chars)
            text = outcome.text[-200:]
        self.ended.append((task.id, outcome.attempt, task.name, end, text))
        task.args = None
        task.server = None
        actions.append(Ended(task, outcome, poisoned))
        if not task.io:
            self.cpu_live -= 1
        if self.phase is _CLOSING:
            self._see_whether_done(actions)

    def end(self, task: Submission, end: End, text: str, actions: list[Any]) -> None:
        self.finish(task, Outcome(task.id, task.attempt, end, None, text), actions)

    def reject(self, task: Submission, why: str, now: float, actions: list[Any]) -> None:
        """No server will begin it; an earlier attempt may have begun."""
        if task.loss is None:
            waited = f"it waited {now - task.since:.1f} s"
            self.end(task, End.REJECTED, f"{task!r} never began ({waited}): {why}", actions)
        else:
            end, loss = task.loss
            text = f"{loss}; it can't be tried again: {why}"
            self.finish(task, Outcome(task.id, task.attempt - 1, end, None, text), actions)

    # The end of the client.

    def close(self, reason: str, await_io: bool, actions: list[Any]) -> None:
        """No new tasks from now on; AllDone once those that are waited for have ended."""
        self._move_phase("close")
        self.why_closed = reason
        self._await_io = await_io
        if self.phase is _CLOSING:
            self._see_whether_done(actions)

    def close_now(self, reason: str) -> None:
        """Whatever lives is about to be ended by the caller."""
        self._move_phase("close now")
        self.why_closed = reason

    def _move_phase(self, cause: str) -> None:
        self.phase = PHASES[self.phase, cause]

    def _see_whether_done(self, actions: list[Any]) -> None:
        if not (len(self.tasks) if self._await_io else self.cpu_live):
            self._move_phase("none left")
            actions.append(AllDone())
