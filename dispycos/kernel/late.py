"""Late values: Operations whose value is made by who looks at it first, in that one's thread.

A result that nobody looks at is never unpickled, and code of users that runs while it is
keeps nobody waiting but the one who wants it.

I/O half. Layer 3. Row DC-60.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from dispycos.frames import traceback_of
from dispycos.kernel.operation import Operation
from dispycos.kernel.wait import AT_ONCE, Waitable, Waiter


class _NotMade:
    def __repr__(self) -> str:
        return "not made yet"


NOT_MADE: Any = _NotMade()


class Late(Operation):
    """An Operation that is completed by `complete(NOT_MADE)`; `_make` says what it comes to."""

    __slots__ = ()

    def _make(self) -> tuple[Any, BaseException | None]:
        """Its value, or the exception that it raises; two threads may ask at once, and get the same."""
        raise NotImplementedError

    def _look(self) -> None:
        if self._value is NOT_MADE:
            value, error = self._make()
            if error is not None:
                # First: whoever sees a value that is made looks for the error then.
                self._error = error
                value = traceback_of(error)
            self._value = value

    def result(self, timeout: float | None = None) -> Any:
        """See `Operation.result`."""
        self._block(timeout)
        self._look()
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """See `Operation.exception`."""
        self._block(timeout)
        self._look()
        return super().exception(timeout)

    def __await__(self) -> Generator[Any, Any, Any]:
        self._look()
        value = yield from super().__await__()
        # Another thread may have completed it since it was looked at.
        return self.result() if value is NOT_MADE else value

    def _wait(self, task: Waiter) -> Waitable | None:
        self._look()
        waiting = super()._wait(task)
        if waiting is AT_ONCE and task._attention is None and task._input is NOT_MADE:
            self._look()
            return super()._wait(task)
        return waiting

    def _wake(self, task: Waiter) -> None:
        self._look()
        super()._wake(task)
