"""What a task can wait for: the protocol between waits, tasks and the kernel.

A task waits by yielding (or awaiting) a Waitable. The kernel calls its `_wait`, which either
gives the task its value at once or notes the task and answers the object whose `_undo` takes
that back. So time-outs, termination and exceptions thrown in need to know nothing about what
is waited for, and each wait ends exactly once: woken, timed out, or thrown into (K4).

What must not get lost, a message or a lock, is not given as a value. The wait itself is left
with the task, and the value is taken (`_collect`) when the task runs; if something is thrown
into the task before that, the wait is told to pass on what it had granted (`_decline`).

Pure: no I/O, clock or randomness. Rules K3, K4, K6.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any, Protocol

from dispycos.errors import Timeout
from dispycos.frames import traceback_of
from dispycos.kernel.timers import Timers

log = logging.getLogger("dispycos")


class Host(Protocol):
    """The kernel, as tasks and waits see it."""

    ready: deque[Any]  # tasks that run in the next step, in order
    timers: Timers
    now: float  # seconds; the time that the present step was given
    current: Any  # the Task that runs, or None

    @property
    def here(self) -> bool:
        """Whether the caller runs on the kernel's own thread."""
        ...

    def post(self, function: Callable[..., object], *args: Any) -> None:
        """Call `function(*args)` on the kernel's thread, before its next step."""
        ...


class Waiter(Protocol):
    """A Task, as waits see it."""

    number: int
    _kernel: Any  # a Host
    _input: Any
    _attention: Any

    def _wake(self, value: Any) -> None:
        """End the wait with a value."""
        ...

    def _wake_with(self, attention: Any) -> None:
        """End the wait with an exception, a Raise, or a wait that is asked by `_collect`."""
        ...

    def _limit(self, timeout: float) -> None:
        """Let the wait that begins end after `timeout` seconds."""
        ...


class Waitable:
    """Something that `yield` and `await` wait for in a task."""

    __slots__ = ()

    hears = False  # whether the arrival of a message concerns this wait (mailbox.Hearing)

    _what = "a wait"  # what it is, for who looks at it instead

    def __await__(self) -> Generator[Waitable, Any, Any]:
        return (yield self)

    def __repr__(self) -> str:
        return f"<{self._what}: write `yield` before it, or `await` in an `async def`>"

    def _wait(self, task: Waiter) -> Waitable | None:
        """Begin to wait for `task`; kernel thread.

        Answers None if the task need not wait: its `_input`, or its `_attention` (an exception,
        a Raise, or a wait to `_collect` from), is set. Or AT_ONCE: the same, and there is no
        reason to let others run first. Else the object that is asked to `_undo` or `_expire`
        the wait. Never raises.
        """
        raise NotImplementedError

    def _undo(self, task: Waiter) -> None:
        """Forget `task`, which waits here no longer."""
        raise NotImplementedError

    def _expire(self, task: Waiter) -> None:
        """Say what the task gets after its time-out, in `_input` or `_attention`; `_undo` went before."""
        task._input = None

    def _collect(self, task: Waiter) -> Any:
        """The value for a task that was woken with this wait, taken as the task runs."""
        raise NotImplementedError

    def _decline(self, task: Waiter) -> None:
        """Pass on what was granted to `task`, which was thrown into before it ran."""


class _AtOnce(Waitable):
    __slots__ = ()


AT_ONCE = _AtOnce()


class Raise:
    """An exception that a wait raises in a task, maybe in several: each begins with one traceback."""

    __slots__ = ("error", "traceback")

    def __init__(self, error: BaseException, traceback: TracebackType | None) -> None:
        self.error = error
        self.traceback = traceback


class Given(Waitable):
    """An answer that is known already."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def _wait(self, task: Waiter) -> None:
        task._input = self.value


# A scheduling point for `await`: other tasks get their turn.
TURN = Given(None)


class Known(int, Waitable):
    """A number that is known already: use it as it is, or yield it, or await it."""

    __slots__ = ()

    def _wait(self, task: Waiter) -> None:
        task._input = int(self)


OK = Known(0)
FAILED = Known(-1)


class Sleep(Waitable):
    """`task.sleep()`: until somebody resumes the task, or until the time-out."""

    __slots__ = ("alarm_value", "timeout")

    _what = "task.sleep()"

    def __init__(self, timeout: float | None, alarm_value: Any) -> None:
        self.timeout = seconds(timeout)
        self.alarm_value = alarm_value

    def _wait(self, task: Waiter) -> Waitable | None:
        timeout = self.timeout
        if timeout is not None:
            if timeout <= 0:
                task._input = self.alarm_value
                return None
            task._limit(timeout)
        return self

    def _undo(self, task: Waiter) -> None:
        pass

    def _expire(self, task: Waiter) -> None:
        task._input = self.alarm_value


class Finish(Waitable):
    """The end of a task, as `task()` waits for it; for one task at a time."""

    __slots__ = ("_task", "_waiter")

    _timeout: float | None = None
    _raises: bool = False  # whether the task's failure is raised or given as its status

    _task: Any
    _waiter: Waiter | None

    @property
    def _what(self) -> str:  # type: ignore[override]  # never set
        return f"the end of {self._task}"

    def __await__(self) -> Generator[Any, Any, Any]:
        if self._task._kernel.here:
            return super().__await__()
        waited: Generator[Any, Any, Any] = self._outside().__await__()
        return waited

    def result(self, timeout: float | None = None) -> Any:
        """Wait in a plain thread for what a task gets by `yield`; Timeout after so many seconds."""
        return self._outside().result(timeout)

    def _outside(self) -> Any:
        # An Operation, for who is no task of this kernel: asyncio, or a plain thread (DC-60).
        return self._task._kernel.join_outside(self._task, self._raises, self._timeout)

    def _wait(self, task: Waiter) -> Waitable | None:
        target = self._task
        if target._end is not None:
            value, error = target._outcome(self._raises)
            if error is None:
                task._input = value
            else:
                task._attention = Raise(error, traceback_of(error))
            return AT_ONCE
        if target is task:
            task._attention = RuntimeError(f"{task} waits for its own end")
            return None
        if self._waiter is not None:
            # Another task waits with this object: this one gets its own.
            return Join(target, self._timeout, self._raises)._wait(task)
        timeout = self._timeout
        if timeout is not None:
            if timeout <= 0:
                self._expire(task)
                return None
            task._limit(timeout)
        self._waiter = task
        if target._joiners is None:
            target._joiners = self
        else:
            self._enlist(target)
        return self

    def _enlist(self, target: Any) -> None:
        """Be told when `target` has ended, by `_ended`."""
        joiners = target._joiners
        if joiners is None:
            target._joiners = self
        elif isinstance(joiners, Finish):
            target._joiners = {joiners: None, self: None}
        else:
            joiners[self] = None

    def _delist(self, target: Any) -> None:
        """Take `_enlist` back, if it has not ended."""
        joiners = target._joiners
        if joiners is self:
            target._joiners = None
        elif isinstance(joiners, dict):
            joiners.pop(self, None)

    def _undo(self, task: Waiter) -> None:
        self._waiter = None
        self._delist(self._task)

    def _expire(self, task: Waiter) -> None:
        if self._raises:
            task._attention = not_ended(self._task, self._timeout)
        else:
            task._input = None

    def _ended(self) -> None:
        """The task has ended: tell who waits here how."""
        value, error = self._task._outcome(self._raises)
        task, self._waiter = self._waiter, None
        assert task is not None
        if error is None:
            task._wake(value)
        else:
            task._wake_with(Raise(error, traceback_of(error)))


class Join(Finish):
    """`task.finish(timeout)` and `task.result(timeout)`."""

    __slots__ = ("_raises", "_timeout")

    def __init__(self, task: Any, timeout: float | None, raises: bool) -> None:
        self._task = task
        self._waiter = None
        self._timeout = seconds(timeout)
        self._raises = raises


def not_ended(task: Any, timeout: float | None) -> Timeout:
    """What is raised at who has waited so many seconds for the end of a task."""
    return late(f"{task} did not end in {timeout:g} s", task._why)


def late(what: str, why: Callable[[], str]) -> Timeout:
    """A Timeout that says why, if that is known: for the others `why` answers ""."""
    try:
        reason = why()
    except Exception:
        # Who waits learns that it was too long in any case, and the kernel goes on.
        log.exception("what is waited for can't be told: %s", what)
        reason = ""
    return Timeout(f"{what}{reason and f': {reason}'}")


def seconds(timeout: float | None) -> float | None:
    """`timeout` as a float; None means for ever. TypeError or ValueError for what is no duration."""
    if timeout is None:
        return None
    if not isinstance(timeout, (int, float)):
        raise TypeError(f"a timeout is a number of seconds or None, not {timeout!r}")
    if math.isnan(timeout):
        raise ValueError("a timeout of nan seconds never ends")
    return None if timeout == math.inf else float(timeout)
