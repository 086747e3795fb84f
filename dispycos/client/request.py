"""Requests: what a client's orders and submissions are waited for with.

Who waits in a forked child is told at once that nobody completes them there: the threads that
would are the parent's.

I/O half. Layer 5. Row DC-60; rule S6.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from dispycos.client.submission import Submission
from dispycos.errors import Closed
from dispycos.frames import traceback_of
from dispycos.kernel.operation import Operation
from dispycos.kernel.wait import AT_ONCE, Raise, Waitable, Waiter
from dispycos.model import End

# Why a task was cancelled that an asyncio program awaited and does not await any more.
UNAWAITED = "cancelled by asyncio: what awaited it was cancelled"


class Process(Protocol):
    """Who completes it."""

    def must_be_here(self) -> None: ...


class Places(Process, Protocol):
    """Who places tasks."""

    def cancel(self, id: int, reason: str, end: End) -> bool: ...
    def why_waiting(self, id: int) -> str: ...


def stays_there(process: Process, task: Waiter) -> Waitable | None:
    """Raise Closed in `task` if the process that would end its wait is another one; None: it is not."""
    try:
        process.must_be_here()
    except Closed as error:
        task._attention = Raise(error, traceback_of(error))
        return AT_ONCE
    return None


class Request(Operation):
    """An Operation that the process which made it completes."""

    __slots__ = ("_process",)

    def __init__(self, process: Process) -> None:
        super().__init__()
        self._process = process

    def add_done_callback(self, function: Callable[[Any], object]) -> None:
        """See `Operation.add_done_callback`. Closed in a forked child, where it would never be called."""
        if not self.done():
            self._process.must_be_here()
        super().add_done_callback(function)

    def _wait(self, task: Waiter) -> Waitable | None:
        elsewhere = None if self.done() else stays_there(self._process, task)
        return super()._wait(task) if elsewhere is None else elsewhere


class Placing(Request):
    """Gives the handle of a task when that has a server."""

    __slots__ = ("_asked", "_number")

    _process: Places

    def __init__(self, process: Places, task: Submission) -> None:
        super().__init__(process)
        self._number = task.id
        self._asked = task.name, task.io

    def _title(self) -> str:
        name, io = self._asked
        return f"client.{'io_rtask' if io else 'rtask'}({name})"

    def _why(self) -> str:
        return self._process.why_waiting(self._number)

    def _unawaited(self) -> None:
        # Nobody got the handle, so nobody could end the task.
        self._process.cancel(self._number, UNAWAITED, End.CANCELLED)
