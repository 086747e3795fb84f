"""Refusals: what is given where a Task was asked for and none can come.

A refusal is a MonitorStatus: its `type` is an exception class, its `value` one sentence of
reason. Used as if it were the Task, it raises NoTask with that sentence.

Pure: no I/O, clock or randomness.
"""

from __future__ import annotations

from typing import Any, NoReturn

from dispycos.errors import NoTask, TaskRejected
from dispycos.model import MonitorStatus


class Reason(str):
    """Why a request was refused; what calls it like the method of a Task is told so."""

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise NoTask: it stands where a Task has its method `value`."""
        raise _no_task(self, "to ask for value()")

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return (str, (str(self),))


class Refused(MonitorStatus):
    """The refusal of a task: `type` is an exception class, `value` the reason."""

    __slots__ = ()

    def __getattr__(self, name: str) -> NoReturn:
        raise _no_task(self.value, f"to ask for {name}")

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise NoTask: who calls it waits for the end of a Task."""
        raise _no_task(self.value, "to ask for ()")

    def __await__(self) -> NoReturn:
        """Raise NoTask: who awaits it waits for the end of a Task."""
        raise self.yielded()

    def yielded(self) -> NoTask:
        """What is raised in a task that yields it: a result is waited for, and the Task was not."""
        return _no_task(self.value, "to wait for")


def refusal(reason: str, kind: type[BaseException] = TaskRejected) -> Refused:
    """What is given where a Task was asked for; `kind` says by class what `reason` says in words."""
    return Refused(None, kind, Reason(reason))


def _no_task(reason: str, use: str) -> NoTask:
    return NoTask(
        f"there is no Task {use}, the request for it was refused: {reason} "
        "(before a Task is used, isinstance(it, Task) tells whether it is one)"
    )
