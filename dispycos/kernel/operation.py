"""Operations: one object for every call that takes time, and three ways to wait for it (DC-60).

`yield op` in a task, `await op` in an `async def` task or an asyncio program, `op.result()` in
a plain thread. Whoever does the work calls `complete` or `fail`, in any thread; the first counts.

An Operation is cheap: it holds no lock. One lock for all of them guards the few
instructions in which a state changes or somebody begins to wait; nothing is called under it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator
from typing import Any, NoReturn

from dispycos import forks
from dispycos.errors import Timeout
from dispycos.frames import traceback_of, with_traceback
from dispycos.kernel import event_loop
from dispycos.kernel.wait import AT_ONCE, Raise, Waitable, Waiter, late, seconds

log = logging.getLogger(__name__)

# Reentrant, because a signal handler or a finalizer may complete an Operation at any moment.
_lock = threading.RLock()

# The threads that run a kernel; filled by kernel.loop. A wait there would be a deadlock.
kernel_threads: dict[int, Any] = {}


def how_to_wait(call: str) -> str:
    """A call that gives an Operation, as who stands in this thread writes it to wait for it."""
    if threading.get_ident() in kernel_threads:
        return f"`yield {call}`"
    if event_loop.is_held_up():
        return f"`await {call}`"
    return f"`{call}.result()`"


class _Pending:
    def __repr__(self) -> str:
        return "pending"


_PENDING: Any = _Pending()


class Operation(Waitable):
    """The value that a call will have, or the exception it will raise."""

    __slots__ = ("_callbacks", "_error", "_tasks", "_value")

    def __init__(self, value: Any = _PENDING) -> None:
        """With a value: one that is done."""
        self._value: Any = value
        self._error: BaseException | None = None
        self._tasks: Any = None  # tasks that wait: None, one, or a list; kernel thread
        self._callbacks: list[Callable[[Any], object]] | None = None

    # Doing the work.

    def complete(self, value: Any = None) -> bool:
        """Give it its value; any thread. False if it was done already, which then stays."""
        with _lock:
            if self._value is not _PENDING:
                return False
            self._value = value
        self._tell()
        return True

    def fail(self, error: BaseException) -> bool:
        """Give it the exception that it raises; any thread. False if it was done already."""
        with _lock:
            if self._value is not _PENDING:
                return False
            self._error = error
            self._value = traceback_of(error)  # each waiter's raise begins with this one
        self._tell()
        return True

    def _tell(self) -> None:
        # It is done now, so nobody begins to wait any more.
        tasks = self._tasks
        if tasks is not None:
            for task in tasks if type(tasks) is list else (tasks,):
                kernel = task._kernel
                if kernel.ident() == kernel.thread:
                    self._wake(task)
                else:
                    kernel.post(self._wake, task)
        callbacks, self._callbacks = self._callbacks, None
        for callback in callbacks or ():
            self._call(callback)

    def _call(self, callback: Callable[[Any], object]) -> None:
        born = forks.generation  # not `parent_goes_on`: each call of a client has callbacks of ours
        try:
            callback(self)
        except BaseException as error:
            if forks.generation != born:
                forks.leave(error)
            if not isinstance(error, Exception):
                raise
            log.exception("a callback of %r failed", self)
        if forks.generation != born:
            forks.leave()

    # Asking.

    def done(self) -> bool:
        """Whether it has a value or an exception."""
        return self._value is not _PENDING

    def result(self, timeout: float | None = None) -> Any:
        """Wait for it in a plain thread: its value, or raises its exception.

        TimeoutError after `timeout` seconds; it may be asked again. RuntimeError if it is not done
        and this is a task, which would wait for itself, or an asyncio program, whose other
        coroutines would stand still: `yield` or `await` it there.
        """
        self._block(timeout)
        if self._error is not None:
            raise with_traceback(self._error, self._value)
        return self._value

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait for it as `result` does: the exception it raises, or None if it has a value."""
        self._block(timeout)
        return self._error

    def add_done_callback(self, function: Callable[[Any], object]) -> None:
        """Call `function(self)` when it is done, in the thread that completes it; at once if it is.

        What the function raises is logged.
        """
        with _lock:
            if self._value is _PENDING:
                if self._callbacks is None:
                    self._callbacks = [function]
                else:
                    self._callbacks.append(function)
                return
        self._call(function)

    def remove_done_callback(self, function: Callable[[Any], object]) -> None:
        """Take an `add_done_callback` back, if it was not called yet."""
        with _lock:
            if self._callbacks is not None and function in self._callbacks:
                self._callbacks.remove(function)

    def _block(self, timeout: float | None) -> None:
        if self._value is not _PENDING:
            return
        if threading.get_ident() in kernel_threads:
            call = self._title()
            what = f"`it = yield {call}`" if call else "yield the operation"
            raise RuntimeError(
                f"result() in a task would block all tasks: {call or 'this'} was not waited for; "
                f"write {what} first (in an `async def`: await)"
            )
        if event_loop.is_held_up():
            raise RuntimeError(
                "result() in a running event loop would block all that runs there: `await` the operation, "
                "or have a function that waits called by asyncio.to_thread()"
            )
        limit = seconds(timeout)
        signal = threading.Lock()
        signal.acquire()

        def release(_: Any) -> None:
            signal.release()

        self.add_done_callback(release)
        if not signal.acquire(timeout=-1 if limit is None else min(max(limit, 0), threading.TIMEOUT_MAX)):
            self.remove_done_callback(release)
            if self._value is _PENDING:
                raise self._late(limit)

    def _late(self, timeout: float | None) -> Timeout:
        """What is raised at who has waited so many seconds: what it is, and what keeps it."""
        return late(f"{self._title() or repr(self)} was not done in {timeout:g} s", self._why)

    def within(self, timeout: float | None) -> Waitable:
        """Yield this in a task: as the operation, but TimeoutError after `timeout` seconds.

        The operation itself goes on, and may be waited for again.
        """
        return _Within(self, timeout)

    def __repr__(self) -> str:
        if self._value is _PENDING:
            state = "pending"
        else:
            state = f"failed: {self._error!r}" if self._error is not None else "done"
        call = self._title()
        return f"<Operation of {call}: {state}>" if call else f"<{type(self).__name__} {state}>"

    def __getitem__(self, key: object) -> NoReturn:
        """TypeError: what it is taken for is its result."""
        raise TypeError(f"{self!r} is not its result: {how_to_wait(self._title() or 'operation')} is")

    def _title(self) -> str:
        """The call that gave it, as a program writes it; "": it has no name."""
        return ""

    def _why(self) -> str:
        """What it waits for, as far as is known; ""."""
        return ""

    # Waiting in a task.

    def __await__(self) -> Generator[Any, Any, Any]:
        if self._value is _PENDING or self._error is not None:
            # In asyncio only its own futures may be awaited, so it gets one; a finished
            # Operation yields nothing there.
            loop = event_loop.running()
            if loop is not None:
                return (yield from self._future(loop).__await__())
        elif threading.get_ident() not in kernel_threads:
            return self._value
        return (yield self)

    def _future(self, loop: Any) -> Any:
        future = loop.create_future()

        def settle() -> None:
            if not future.done():
                error = self.exception()
                if isinstance(error, StopIteration):
                    # No future takes it, for it would end who awaits it.
                    future.set_exception(RuntimeError(f"{self!r} raised {error!r}"))
                elif error is not None:
                    future.set_exception(error)
                else:
                    future.set_result(self.result())

        def tell(_: Any) -> None:
            try:
                loop.call_soon_threadsafe(settle)
            except RuntimeError:
                pass  # the loop is closed; nobody waits there any more

        def settled(future: Any) -> None:
            self.remove_done_callback(tell)
            if future.cancelled():
                self._unawaited()

        future.add_done_callback(settled)
        self.add_done_callback(tell)
        return future

    def _unawaited(self) -> None:
        """Somebody awaited it in asyncio and was cancelled there; in that loop's thread.

        As with asyncio's own futures, what that one waited for is then cancelled, if it is
        anything that can be.
        """

    def _wait(self, task: Waiter) -> Waitable | None:
        if self._value is _PENDING:
            with _lock:
                if self._value is _PENDING:
                    tasks = self._tasks
                    if tasks is None:
                        self._tasks = task
                    elif type(tasks) is list:
                        tasks.append(task)
                    else:
                        self._tasks = [tasks, task]
                    return self
        if self._error is not None:
            task._attention = Raise(self._error, self._value)
        else:
            task._input = self._value
        return AT_ONCE

    def _undo(self, task: Waiter) -> None:
        with _lock:
            tasks = self._tasks
            if tasks is task:
                self._tasks = None
            elif type(tasks) is list and task in tasks:
                # A new list, because `_tell` may walk through the old one in another thread.
                self._tasks = [other for other in tasks if other is not task]

    def _wake(self, task: Waiter) -> None:
        # Between the completion in another thread and this call the wait may have ended
        # otherwise; then the task is not among ours any more.
        tasks = self._tasks
        if task is tasks or (type(tasks) is list and task in tasks):
            self._undo(task)
            if self._error is not None:
                task._wake_with(Raise(self._error, self._value))
            else:
                task._wake(self._value)


class Called(Operation):
    """An Operation that says in errors which call it answers, and what that waits for.

    why  asked when somebody has waited for too long, in his thread.
    """

    __slots__ = ("_named", "_reason")

    def __init__(self, call: str, why: Callable[[], str] = str) -> None:
        super().__init__()
        self._named = call
        self._reason = why

    def _title(self) -> str:
        return self._named

    def _why(self) -> str:
        return self._reason()


class Owned(Operation):
    """An Operation that only the process which began it completes.

    In a forked child it has failed for whoever asks there. Nobody is told of that: who waited
    before is the parent's.
    """

    __slots__ = ()

    def _abroad(self) -> Exception | None:
        """Why nobody completes it in this process; None: somebody does."""
        raise NotImplementedError

    def done(self) -> bool:
        """See `Operation.done`."""
        if self._value is _PENDING and (error := self._abroad()) is not None:
            with _lock:
                if self._value is _PENDING:
                    self._error = error
                    self._value = traceback_of(error)
        return self._value is not _PENDING

    def add_done_callback(self, function: Callable[[Any], object]) -> None:
        """See `Operation.add_done_callback`."""
        self.done()
        super().add_done_callback(function)

    def _wait(self, task: Waiter) -> Waitable | None:
        self.done()
        return super()._wait(task)


class _Within(Waitable):
    __slots__ = ("_operation", "_timeout")

    _what = "within()"

    def __init__(self, operation: Operation, timeout: float | None) -> None:
        self._operation = operation
        self._timeout = seconds(timeout)

    def _wait(self, task: Waiter) -> Waitable | None:
        if self._operation._wait(task) is AT_ONCE:
            return AT_ONCE
        timeout = self._timeout
        if timeout is not None:
            if timeout <= 0:
                self._undo(task)
                self._expire(task)
                return None
            task._limit(timeout)
        return self

    def _undo(self, task: Waiter) -> None:
        self._operation._undo(task)

    def _expire(self, task: Waiter) -> None:
        task._attention = self._operation._late(self._timeout)


def _after_fork() -> None:
    # Another thread may have held the lock; and its kernels stayed in the parent.
    global _lock
    _lock = threading.RLock()
    kernel_threads.clear()


forks.in_child(_after_fork)
