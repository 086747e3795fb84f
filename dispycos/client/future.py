"""Futures: what `client.submit(...)` gives.

A Future stands for the result of one call on a server. It is an Operation (yield it, await it,
ask `.result()`), and a `concurrent.futures.Future`, so that what is written for those
(`concurrent.futures.wait`, `asyncio.wrap_future`) takes it. Behind it is a task like any other.

The standard library looks into its own futures: `_condition`, `_waiters`, `_state` and two
more. They are made here for who asks, so that a Future nobody asks has no lock. Tests hold
them to the library of each Python.

I/O half. Layer 5. Rows DC-60, DC-62, DC-63.
"""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from dispycos.card import card
from dispycos.client.request import UNAWAITED, stays_there
from dispycos.client.submission import Stage
from dispycos.client.tasks import ClientTask
from dispycos.client.unasked import Unasked
from dispycos.errors import TaskCancelled, TaskRejected
from dispycos.guidance import habits, hints
from dispycos.kernel.late import NOT_MADE, Late
from dispycos.kernel.wait import Waitable, Waiter
from dispycos.model import End, Outcome
from dispycos.wording import shown

_making = threading.Lock()  # of conditions: one for all, since they are rarely asked for


class FutureCancelled(TaskCancelled, concurrent.futures.CancelledError):
    """Somebody ended the call before it returned; the text says who and why."""


class FutureTask(ClientTask):
    """The task that runs the call."""

    __slots__ = ("future",)

    _cancellation = FutureCancelled
    future: Future | None

    def conclude(self, outcome: Outcome, poisoned: bool) -> None:
        """See `ClientTask.conclude`; kernel thread."""
        super().conclude(outcome, poisoned)
        future, self.future = self.future, None  # else each would keep the other
        assert future is not None
        future.complete(NOT_MADE)


class Future(Late, concurrent.futures.Future[Any]):
    """The result that a call will have, or the exception that it will raise.

    What the call raised is raised here, with the traceback from there as its cause. TaskLost:
    its server is gone; TaskRejected: it never began; FutureCancelled: somebody ended it;
    Timeout: it ran longer than `client.options(timeout=...)` allows, or the wait was too long.
    """

    __slots__ = ("task",)

    task: FutureTask | None  # what runs it; None: it was refused before there was one

    # Not the library's own constructor: it makes the lock.
    def __init__(self, task: FutureTask | None) -> None:
        Late.__init__(self)
        self.task = task
        if task is not None:
            task.future = self

    @classmethod
    def refused(cls, reason: str) -> Future:
        """One that fails with TaskRejected, because nobody takes the call."""
        future = cls(None)
        future.fail(TaskRejected(reason))
        return future

    def __dir__(self) -> Iterable[str]:
        return hints.own(super().__dir__(), habits.OF_FUTURES)

    def running(self) -> bool:
        """Whether a server has it and it has not ended; there it may wait for the call before it."""
        task = self.task
        submission = None if task is None else task._submission
        return submission is not None and submission.stage is Stage.SENT

    def cancel(self, reason: str = "") -> bool:
        """See to it that it never begins, or end it: False if it had ended, or ends otherwise.

        A call that runs gets KeyboardInterrupt, at its next `yield`, or where it is if it is a plain
        function; what still runs after a grace costs its server. `cancelled()` is true when it ended so.
        """
        task = self.task
        return task is not None and (self.cancelled() if self.done() else task.cancel(reason))

    def forget(self) -> None:
        """Nobody will ask what it comes to: how it fails, or has failed, is not told."""
        self.add_done_callback(_ask)

    def _unawaited(self) -> None:
        self.cancel(UNAWAITED)

    def cancelled(self) -> bool:
        """Whether somebody ended it before it returned."""
        return self.done() and isinstance(self.exception(), FutureCancelled)

    @property
    def failed(self) -> bool:
        """Whether it has ended and raises, as far as its server knows: nothing is unpickled to find out."""
        task = self.task
        return self.done() and (task is None or task._end is not End.FINISHED)

    def add_done_callback(self, function: Callable[[Any], object]) -> None:
        """See `Operation.add_done_callback`. Closed in a forked child, where it would never be called."""
        if self.task is not None and not self.done():
            self.task._driver.must_be_here()
        super().add_done_callback(function)

    def _wait(self, task: Waiter) -> Waitable | None:
        runs = self.task
        elsewhere = None if runs is None or self.done() else stays_there(runs._driver, task)
        return super()._wait(task) if elsewhere is None else elsewhere

    def _why(self) -> str:
        return "" if self.task is None else self.task._why()

    def _make(self) -> tuple[Any, BaseException | None]:
        assert self.task is not None
        return self.task._outcome(True)

    def __repr__(self) -> str:
        what = "no task" if self.task is None else str(self.task)
        if not self.done():
            return f"<Future of {what}: {'running' if self.running() else 'waiting'}>"
        if self._value is NOT_MADE:
            return f"<Future of {what}: done>"
        if self._error is None:
            return f"<Future of {what}: done>"
        return f"<Future of {what}: failed, {shown(self._error):.200}>"

    def _repr_html_(self) -> str:
        # A result is not looked at, for that may mean to unpickle a gigabyte.
        task = self.task
        rows = [("state", "was rejected")] if task is None else task._shown()
        if self.done() and self._error is not None:
            rows.append(("error", f"{type(self._error).__name__}: {shown(self._error, str)}"))
        return card("Future", "of no task" if task is None else task.name, rows)

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a Future stays in its program: send its result, or its `task`; where one result goes into the "
            "next call, a task of your program waits for the one and begins the other: "
            "`client.submit(g, (yield future))`"
        )

    # What the standard library asks of its futures.

    def set_running_or_notify_cancel(self) -> NoReturn:
        """RuntimeError: the server runs it."""
        raise RuntimeError(f"{self!r} is run by its client")

    def set_result(self, result: object) -> NoReturn:
        """RuntimeError: the server says what it comes to."""
        raise RuntimeError(f"{self!r} gets its result from its server")

    def set_exception(self, exception: BaseException | None) -> NoReturn:
        """RuntimeError: the server says what it comes to."""
        raise RuntimeError(f"{self!r} gets its exception from its server")

    @property
    def _state(self) -> str:  # type: ignore[override]  # never set
        # Who waits is told under the lock that he looks with: until then it has not ended for him.
        waited: _Waited | None = self.__dict__.get("waited")
        if not (self.done() if waited is None else waited.ended):
            return "RUNNING" if self.running() else "PENDING"
        return "CANCELLED_AND_NOTIFIED" if self.cancelled() else "FINISHED"

    @property
    def _result(self) -> Any:  # type: ignore[override]  # never set
        return None if self.exception() is not None else self.result()

    @property
    def _exception(self) -> BaseException | None:  # type: ignore[override]  # never set
        return self.exception()

    @property
    def _condition(self) -> threading.Condition:  # type: ignore[override]  # never set
        with _making:
            waited = self.__dict__.get("waited")
            first = waited is None
            if waited is None:
                waited = self.__dict__["waited"] = _Waited()
        if first:
            # Outside that lock, for it calls back at once if the call has ended.
            self.add_done_callback(waited.tell)
        return waited.condition

    @property
    def _waiters(self) -> list[Any]:  # type: ignore[override]  # never set
        waited: _Waited = self.__dict__["waited"]  # `_condition` was taken before
        return waited.waiters


def _ask(future: Future) -> None:
    raw = None if future.task is None else future.task._outcome_raw
    if isinstance(raw, Unasked):
        raw.look()


class _Waited:
    """The waiters of `concurrent.futures.wait` and `as_completed` at one Future."""

    def __init__(self) -> None:
        self.condition = threading.Condition()
        self.waiters: list[Any] = []  # one for each call that waits now
        self.ended = False

    def tell(self, future: Any) -> None:
        with self.condition:
            self.ended = True
            for waiter in self.waiters:
                if future.cancelled():
                    waiter.add_cancelled(future)
                elif future.exception() is not None:
                    waiter.add_exception(future)
                else:
                    waiter.add_result(future)


hints.tell(Future, habits.OF_FUTURES)
