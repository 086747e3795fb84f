"""Questions: calls whose thread waits for their answer, and does nothing else before.

What a PendingCall is to tasks, coroutines and whoever looks later, without what that costs: one
thread waits, and whoever reads answers once.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any

from dispycos.net.waiting import Waiting


class Question:
    """Asked by one thread, which waits by `waiting`."""

    __slots__ = ("_error", "_trace", "_value", "_waiting", "answered", "conversation", "number")

    def __init__(self, number: int, conversation: int, waiting: Waiting) -> None:
        self.number = number
        self.conversation = conversation
        self.answered = False
        self._waiting = waiting
        self._value: Any = None
        self._error: BaseException | None = None
        self._trace: TracebackType | None = None  # that the error came with

    def complete(self, value: Any) -> None:
        """Give it its value. By who took it out of those that wait, so nobody else does."""
        self._value = value
        self.answered = True
        self._waiting.wake()

    def fail(self, error: BaseException) -> None:
        """Give it the exception that it raises; as `complete`."""
        self._error = error
        self._trace = error.__traceback__
        self.answered = True
        self._waiting.wake()

    def answer(self) -> Any:
        """Its value, or raises its exception, once it is answered. For once."""
        error, self._error = self._error, None
        if error is None:
            return self._value
        try:
            raise error.with_traceback(self._trace)
        finally:
            error = None  # or it would keep the frames of who waited, and they it

    def wait(self) -> Any:
        """As `answer`, when nothing more will be read: whoever found that out fails it, soon."""
        while not self.answered:
            self._waiting.sleep(-1)
        return self.answer()
