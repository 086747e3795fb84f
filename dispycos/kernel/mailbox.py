"""Messages of a task: receiving them, delivering them with back-pressure, sorting them.

A mailbox is a deque that its task holds, made at the first message; what waits for it is
here. `send` never waits. `deliver` waits while the mailbox is full (R-24). A received message
leaves the mailbox when its task runs, so an exception thrown in meanwhile loses none.

Pure: no I/O, clock or randomness.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Hashable
from typing import Any

from dispycos.kernel.wait import AT_ONCE, Known, Waitable, Waiter, seconds

log = logging.getLogger(__name__)

ROOM = 1000  # messages in a mailbox from which on `deliver` waits

DELIVERED = Known(1)


class Hearing(Waitable):
    """A wait for messages; the sender tells it when one has come."""

    __slots__ = ()

    hears = True
    _what = "task.receive()"

    def _arrived(self, task: Any) -> None:
        """A message was put into the mailbox of `task`, which waits here."""
        task._wake_with(self)


class Receive(Hearing):
    """`task.receive()`: the earliest message."""

    __slots__ = ("alarm_value", "timeout")

    def __init__(self, timeout: float | None, alarm_value: Any) -> None:
        self.timeout = seconds(timeout)
        self.alarm_value = alarm_value

    def _wait(self, task: Any) -> Waitable | None:
        timeout = self.timeout
        if task._messages:
            task._attention = self
            return AT_ONCE
        if timeout is not None and timeout <= 0:
            task._attention = self
            return None
        if timeout is not None:
            task._limit(timeout)
        return self

    def _undo(self, task: Waiter) -> None:
        pass

    def _expire(self, task: Waiter) -> None:
        task._attention = self

    def _collect(self, task: Any) -> Any:
        messages = task._messages
        if not messages:
            return self.alarm_value
        message = messages.popleft()
        if task._blocked:
            task._admit()
        return message


# What `receive()` without arguments answers; it holds nothing of its own.
RECEIVE = Receive(None, None)


class Deliver(Waitable):
    """`other.deliver(message)` while the mailbox of `other` is full."""

    __slots__ = ("_message", "_to", "timeout")

    _what = "task.deliver()"

    def __init__(self, to: Any, message: Any, timeout: float | None) -> None:
        self._to = to
        self._message = message
        self.timeout = seconds(timeout)

    def _wait(self, task: Waiter) -> Waitable | None:
        to = self._to
        if not to.is_alive():
            task._input = -1
        elif not to._is_full():
            to._put(self._message)
            task._input = 1
        elif self.timeout is not None and self.timeout <= 0:
            task._input = 0
        else:
            if self.timeout is not None:
                task._limit(self.timeout)
            to._when_room(id(task), lambda: self._room(task))
            return self
        return None

    def _room(self, task: Waiter) -> None:
        to = self._to
        if to.is_alive():
            to._put(self._message)
            task._wake(1)
        else:
            task._wake(-1)

    def _undo(self, task: Waiter) -> None:
        blocked = self._to._blocked
        if blocked is not None:
            blocked.pop(id(task), None)

    def _expire(self, task: Waiter) -> None:
        task._input = 0


class CategorizeMessages:
    """Receive messages of `task` by category; the others stay queued in their order.

    A function says to which category a message belongs, or None. The first function that
    gives one decides, in the order they were added. Messages that none claims have the
    category None. Use it in `task` itself, and not beside `task.receive`.
    """

    def __init__(self, task: Any) -> None:
        self._task = task
        self._functions: list[Callable[[Any], Hashable]] = []
        self._queues: dict[Hashable, deque[Any]] = {}

    def add(self, function: Callable[[Any], Hashable]) -> None:
        """Ask `function(message)` for a category from now on. TypeError if it can't be called."""
        if not callable(function):
            raise TypeError(f"{function!r} is no function that gives a message's category")
        self._functions.append(function)
        self._sort_again()

    def remove(self, function: Callable[[Any], Hashable]) -> None:
        """Ask `function` no more. ValueError if it was not added."""
        self._functions.remove(function)
        self._sort_again()

    def receive(
        self, category: Hashable = None, timeout: float | None = None, alarm_value: Any = None
    ) -> Waitable:
        """Wait for the earliest message of `category`; `alarm_value` after `timeout` seconds."""
        hash(category)  # TypeError here, in the caller
        if self._task._kernel.current is not self._task:
            raise RuntimeError(f"only {self._task} itself receives its messages")
        return _ReceiveCategory(self, category, timeout, alarm_value)

    recv = receive

    def _sort_again(self) -> None:
        # What was sorted by the old functions goes back in front, in order of arrival.
        numbered = sorted((entry for queue in self._queues.values() for entry in queue), key=lambda e: e[0])
        self._queues.clear()
        for _, message in numbered:
            self._sort(message)

    _arrivals = 0

    def _sort(self, message: Any) -> None:
        self._arrivals += 1
        queue = self._queues.setdefault(self._category(message), deque())
        queue.append((self._arrivals, message))

    def _category(self, message: Any) -> Hashable:
        for function in self._functions:
            try:
                category = function(message)
                hash(category)
            except BaseException:  # the user's; it must not end the kernel
                log.exception("%s: %r gave no category for a message", self._task, function)
                continue
            if category is not None:
                return category
        return None

    def _take_in(self) -> None:
        messages = self._task._messages
        while messages:
            self._sort(messages.popleft())

    def _pop(self, category: Hashable) -> Any:
        queue = self._queues[category]
        message = queue.popleft()[1]
        if not queue:
            del self._queues[category]
        return message


class _ReceiveCategory(Hearing):
    __slots__ = ("_by", "_category", "alarm_value", "timeout")

    def __init__(
        self, by: CategorizeMessages, category: Hashable, timeout: float | None, alarm_value: Any
    ) -> None:
        self._by = by
        self._category = category
        self.timeout = seconds(timeout)
        self.alarm_value = alarm_value

    def _wait(self, task: Any) -> Waitable | None:
        self._by._take_in()
        if task._blocked:
            task._admit()
            self._by._take_in()
        timeout = self.timeout
        if self._category in self._by._queues:
            task._attention = self
            return AT_ONCE
        if timeout is not None and timeout <= 0:
            task._attention = self
            return None
        if timeout is not None:
            task._limit(timeout)
        return self

    def _arrived(self, task: Any) -> None:
        self._by._take_in()
        if self._category in self._by._queues:
            task._wake_with(self)

    def _undo(self, task: Waiter) -> None:
        pass

    def _expire(self, task: Waiter) -> None:
        task._attention = self

    def _collect(self, task: Waiter) -> Any:
        self._by._take_in()
        if self._category not in self._by._queues:
            return self.alarm_value
        return self._by._pop(self._category)
