"""Locks, events, conditions and semaphores between the tasks of a process.

The methods are those of `threading`; what blocks there is yielded or awaited here. Waiters
are served in the order they came. A lock goes straight from who releases it to who waits
longest, so a waiter that times out or is ended never costs a wake-up; what was granted to
a task that is thrown into before it runs is passed on. A lock whose owner ends is released
(R-87).

For one kernel's thread; only `Event.set` may be called in others.

Pure: no I/O, clock or randomness. Rule K4.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from dispycos.kernel.wait import Waitable, Waiter, seconds


class _Queue(OrderedDict[int, tuple[Any, Any]]):
    """Waiting tasks with their waits, by task number, in order. At most one entry a task."""

    def first(self) -> tuple[Any, Any]:
        return self.popitem(last=False)[1]


def _limit(blocking: bool, timeout: float) -> float | None:
    """The seconds that `acquire(blocking, timeout)` may wait; None: for ever. As threading checks it."""
    if not blocking and timeout != -1:
        raise ValueError("can't specify a timeout for a non-blocking call")
    if timeout < 0 and timeout != -1:
        raise ValueError(f"timeout must be -1 or a number of seconds, not {timeout!r}")
    if not blocking:
        return 0.0
    return None if timeout == -1 else seconds(timeout)


class _Acquire(Waitable):
    __slots__ = ("_lock", "_timeout")

    _what = "acquire()"

    def __init__(self, lock: Lock | Semaphore, timeout: float | None) -> None:
        self._lock = lock
        self._timeout = timeout

    def _wait(self, task: Waiter) -> Waitable | None:
        lock = self._lock
        timeout = self._timeout
        if lock._take(task):
            task._attention = self
        elif timeout is not None and timeout <= 0:
            task._input = False
        else:
            if timeout is not None:
                task._limit(timeout)
            lock._queue[task.number] = (task, self)
            return self
        return None

    def _undo(self, task: Waiter) -> None:
        del self._lock._queue[task.number]

    def _expire(self, task: Waiter) -> None:
        task._input = False

    def _collect(self, task: Waiter) -> bool:
        return True

    def _decline(self, task: Waiter) -> None:
        self._lock._pass_on()


class Lock:
    """One task at a time: `yield lock.acquire()`, `lock.release()`."""

    def __init__(self) -> None:
        self._owner: Any = None
        self._queue = _Queue()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> Any:
        """Yield this: True when the lock is the task's, False if it can't have it in time.

        timeout  seconds; -1: for ever. ValueError as in threading.
        """
        return _Acquire(self, _limit(blocking, timeout))

    def release(self) -> None:
        """Give it to the task that waits longest. RuntimeError if it is free."""
        if self._owner is None:
            raise RuntimeError("release of a lock that is free")
        self._pass_on()

    def locked(self) -> bool:
        """Whether a task has it."""
        return self._owner is not None

    def _take(self, task: Waiter) -> bool:
        if self._owner is not None:
            return False
        self._own(task)
        return True

    def _own(self, task: Any) -> None:
        self._owner = task
        if task._held is None:
            task._held = {}
        task._held[id(self)] = self

    def _pass_on(self) -> None:
        del self._owner._held[id(self)]
        self._owner = None
        if self._queue:
            task, wait = self._queue.first()
            self._own(task)
            task._wake_with(wait)

    def _abandon(self) -> None:
        """Its owner has ended."""
        self._pass_on()

    def _give_up(self) -> int:
        """Release it wholly; answers what `_restore` needs once the owner has it again."""
        self._pass_on()
        return 1

    def _restore(self, count: int) -> None:
        pass

    def __repr__(self) -> str:
        state = "free" if self._owner is None else f"held by {self._owner}"
        return f"<{type(self).__name__} {state}, {len(self._queue)} waiting>"


class RLock(Lock):
    """A lock that its owner may acquire again; it is free after as many releases."""

    def __init__(self) -> None:
        super().__init__()
        self._count = 0  # times that its owner has to release it

    def release(self) -> None:
        """Undo one acquire. RuntimeError in a task that does not own it."""
        if self._owner is None or not _runs(self._owner):
            raise RuntimeError(f"release of a lock that this task does not own: {self!r}")
        self._count -= 1
        if self._count == 0:
            self._pass_on()

    def _take(self, task: Waiter) -> bool:
        if self._owner is task:
            self._count += 1
            return True
        return super()._take(task)

    def _own(self, task: Any) -> None:
        super()._own(task)
        self._count = 1

    def _give_up(self) -> int:
        count = self._count
        self._pass_on()
        return count

    def _restore(self, count: int) -> None:
        self._count = count


def _runs(task: Any) -> bool:
    return task._kernel.current is task


class Semaphore:
    """At most `value` tasks at a time."""

    def __init__(self, value: int = 1) -> None:
        if value < 0:
            raise ValueError(f"a semaphore begins with 0 or more, not {value!r}")
        self._value = value
        self._queue = _Queue()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> Any:
        """Yield this: True when one was taken, False if none could be in time. See `Lock.acquire`."""
        return _Acquire(self, _limit(blocking, timeout))

    def release(self, n: int = 1) -> None:
        """Give back `n`. ValueError if that is less than one."""
        if n < 1:
            raise ValueError(f"release of {n!r}: at least one is given back")
        for _ in range(n):
            self._pass_on()

    def _take(self, task: Waiter) -> bool:
        if self._value == 0:
            return False
        self._value -= 1
        return True

    def _pass_on(self) -> None:
        if self._queue:
            task, wait = self._queue.first()
            task._wake_with(wait)
        else:
            self._value += 1

    def __repr__(self) -> str:
        return f"<Semaphore {self._value} free, {len(self._queue)} waiting>"


class _Signal(Waitable):
    """A wait for somebody's word, in a queue."""

    __slots__ = ("_queue", "_source", "_timeout")

    _what = "wait()"

    def __init__(self, source: Event | Condition, timeout: float | None) -> None:
        self._source = source
        self._queue = source._queue
        self._timeout = seconds(timeout)

    def _wait(self, task: Waiter) -> Waitable | None:
        timeout = self._timeout
        if self._source._is_said():
            task._input = True
        elif timeout is not None and timeout <= 0:
            task._input = False
        else:
            if timeout is not None:
                task._limit(timeout)
            self._queue[task.number] = (task, self)
            return self
        return None

    def _undo(self, task: Waiter) -> None:
        del self._queue[task.number]

    def _expire(self, task: Waiter) -> None:
        task._input = False

    def _collect(self, task: Waiter) -> bool:
        return True

    def _decline(self, task: Waiter) -> None:
        self._source._say_again()


class Event:
    """A flag that tasks wait for."""

    def __init__(self) -> None:
        self._flag = False
        self._queue = _Queue()

    def set(self) -> None:
        """Raise the flag and wake all who wait; any thread."""
        self._flag = True
        while self._queue:
            try:
                task, wait = next(iter(self._queue.values()))
            except (StopIteration, RuntimeError):
                continue  # in another thread, and the queue has changed: look again
            if not task._kernel.here:
                task._kernel.post(self._set_again)
                return
            self._queue.first()
            task._wake_with(wait)

    def _set_again(self) -> None:
        # Those that waited when another thread raised the flag, even if it was lowered since.
        while self._queue:
            task, wait = self._queue.first()
            task._wake_with(wait)

    def clear(self) -> None:
        """Lower the flag."""
        self._flag = False

    def is_set(self) -> bool:
        """Whether the flag is up."""
        return self._flag

    def wait(self, timeout: float | None = None) -> Any:
        """Yield this: True when the flag is up, False after `timeout` seconds."""
        return _Signal(self, timeout)

    def _is_said(self) -> bool:
        return self._flag

    def _say_again(self) -> None:
        pass  # all who waited were woken

    def __repr__(self) -> str:
        return f"<Event {'set' if self._flag else 'not set'}, {len(self._queue)} waiting>"


async def _regain(lock: Lock) -> None:
    """Acquire `lock` whatever is thrown in meanwhile; raise that once it is acquired."""
    thrown: BaseException | None = None
    while True:
        try:
            await lock.acquire()
            break
        except GeneratorExit:
            raise  # the task is being ended, and can't wait
        except BaseException as error:
            thrown = error
    if thrown is not None:
        raise thrown


class Condition:
    """Tasks that wait, with a lock, until another says that something has changed.

    lock  a Lock or RLock; None: an RLock of its own.
    """

    def __init__(self, lock: Lock | None = None) -> None:
        self._lock = RLock() if lock is None else lock
        self._queue = _Queue()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> Any:
        """Yield this: acquire its lock. See `Lock.acquire`."""
        return self._lock.acquire(blocking, timeout)

    def release(self) -> None:
        """Release its lock. RuntimeError if it is free, or another's RLock."""
        self._lock.release()

    async def wait(self, timeout: float | None = None) -> bool:
        """Yield this, owning the lock: release it until notified, then own it again.

        True if notified, False after `timeout` seconds. The lock is the task's in any case,
        also when something is thrown into it meanwhile. RuntimeError if the task does not own it.
        """
        lock = self._lock
        task = self._owner()
        count = lock._give_up()
        try:
            return bool(await _Signal(self, timeout))
        finally:
            # Without waiting, if it is free: a task that is being ended can't wait any more.
            if not lock._take(task):
                await _regain(lock)
            lock._restore(count)

    async def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        """Yield this, owning the lock: `wait` until `predicate()` is true; its last value."""
        kernel = self._owner()._kernel
        limit = seconds(timeout)
        deadline = None if limit is None else kernel.now + limit
        while not (value := predicate()):
            left = None if deadline is None else deadline - kernel.now
            if left is not None and left <= 0:
                break
            await self.wait(left)
        return value

    def notify(self, n: int = 1) -> None:
        """Wake the `n` tasks that wait longest. RuntimeError if the caller does not own the lock."""
        self._owner()
        for _ in range(min(n, len(self._queue))):
            self._say_again()

    def notify_all(self) -> None:
        """Wake all that wait."""
        self.notify(len(self._queue))

    def _owner(self) -> Any:
        owner = self._lock._owner
        if owner is None or not _runs(owner):
            raise RuntimeError(f"the condition's lock is not owned by this task: {self._lock!r}")
        return owner

    def _is_said(self) -> bool:
        return False

    def _say_again(self) -> None:
        if self._queue:
            task, wait = self._queue.first()
            task._wake_with(wait)

    def __repr__(self) -> str:
        return f"<Condition of {self._lock!r}, {len(self._queue)} waiting>"
