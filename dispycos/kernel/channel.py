"""Channels: a message sent to one goes to each task or channel that subscribed, in order.

A reference to a channel of another process is a subclass that overrides the public methods;
what concerns a subscriber goes through the subscriber's public methods, wherever it lives.

Pure: no I/O, clock or randomness.
"""

from __future__ import annotations

import inspect
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar

from dispycos.kernel.network import Kind
from dispycos.kernel.receiver import Receiver
from dispycos.kernel.task import Task
from dispycos.kernel.wait import FAILED, OK, TURN, Waitable, Waiter, seconds

log = logging.getLogger("dispycos")

_DROPPED = object()  # what the transform makes of a message that nobody is to have

MAX_SUBSCRIBERS = 100_000  # of one channel; beyond it `subscribe` answers -1


class Channel(Receiver):
    """Passes messages on to its subscribers.

    name       what it is known by when registered.
    transform  `transform(name, message)` gives what is sent on instead; None drops the message;
               an exception drops and logs it. TypeError at once if it does not take the two.
    """

    _kind: ClassVar[Kind] = "channel"

    def __init__(self, name: str, transform: Callable[[str, Any], Any] | None = None) -> None:
        kernel = self._default()
        self._begin(kernel, kernel.new_number(), name, transform)

    def _begin(
        self, kernel: Any, number: int, name: str, transform: Callable[[str, Any], Any] | None
    ) -> None:
        self._kernel = kernel
        self.number = number
        self._name = name
        self._closed = False
        self._transform: Callable[[str, Any], Any] | None = None
        # Tasks and channels in the order they subscribed; at most MAX_SUBSCRIBERS.
        self._subscribers: dict[Any, None] = {}
        self._awaited: dict[int, tuple[Any, _Subscribers]] = {}  # deliveries that wait for subscribers
        self.set_transform(transform)
        kernel.channels[number] = self

    @classmethod
    def on(
        cls,
        kernel: Any,
        name: str,
        transform: Callable[[str, Any], Any] | None = None,
        *,
        number: int | None = None,
    ) -> Channel:
        """A channel of a given kernel rather than the process's own."""
        channel = cls.__new__(cls)
        channel._begin(kernel, kernel.new_number() if number is None else number, name, transform)
        return channel

    # Who it is.

    def register(self, name: str | None = None) -> int:
        """Make it known by `name` (its own) to `Channel.locate`: 0; -1 if it is taken, or closed."""
        return -1 if self._closed else super().register(name)

    # Subscribers.

    def set_transform(self, transform: Callable[[str, Any], Any] | None) -> None:
        """Use another transform, or none, from the next message on."""
        if transform is not None:
            try:
                inspect.signature(transform).bind(self._name, None)
            except ValueError:
                pass  # a builtin that does not tell its parameters
            except TypeError as error:
                raise TypeError(
                    f"{transform!r} can't be called as transform(name, message): {error}"
                ) from None
        self._transform = transform

    def subscribe(self, subscriber: Any, timeout: float | None = None) -> Any:
        """Yield this: let a task or channel have each message from now on: 0, or -1 if it can't.

        ValueError if messages of `subscriber`, a channel, would come round to it again.
        """
        if not isinstance(subscriber, (Task, Channel)):
            raise TypeError(f"tasks and channels subscribe, not {subscriber!r}")
        if isinstance(subscriber, Channel) and subscriber._leads_to(self):
            raise ValueError(f"{subscriber} sends to {self}: messages would go round for ever")
        if self._closed or not _lives(subscriber) or len(self._subscribers) >= MAX_SUBSCRIBERS:
            return FAILED
        self._subscribers[subscriber] = None
        for task, wait in list(self._awaited.values()):
            if len(self._subscribers) >= wait.count:
                wait._undo(task)
                task._wake(True)
        return OK

    def unsubscribe(self, subscriber: Any, timeout: float | None = None) -> Any:
        """Yield this: 0, or -1 if it had not subscribed."""
        if self._closed or subscriber not in self._subscribers:
            return FAILED
        del self._subscribers[subscriber]
        return OK

    def _leads_to(self, other: Channel) -> bool:
        seen: set[Channel] = set()
        edge: list[Channel] = [self]
        while edge:
            channel = edge.pop()
            if channel is other:
                return True
            if channel not in seen:
                seen.add(channel)
                edge += [s for s in channel._subscribers_here() if isinstance(s, Channel)]
        return False

    def _subscribers_here(self) -> list[Any]:
        """The subscribers, as far as this process knows them; a remote channel overrides it."""
        return list(self._subscribers)

    # Messages.

    def send(self, message: Any) -> int:
        """Send to each subscriber; any thread. 0, or -1 if it is closed. A dead subscriber is dropped.

        What pickling it for a subscriber in another process raises is raised here, after the
        others have got it; called in another thread, it is logged.
        """
        if self._closed:
            return -1
        if not self._kernel.here:
            self._kernel.post(self._send_posted, message)
            return 0
        message = self._transformed(message)
        failure: Exception | None = None
        if message is not _DROPPED:
            for subscriber in list(self._subscribers):
                try:
                    if subscriber.send(message) != 0:
                        self._subscribers.pop(subscriber, None)
                except Exception as error:
                    failure = error
        if failure is not None:
            raise failure
        return 0

    def _send_posted(self, message: Any) -> None:
        try:
            self.send(message)
        except Exception:
            log.exception("a message could not be sent to each subscriber of %s", self)

    async def deliver(self, message: Any, timeout: float | None = None, n: int = 0) -> int:
        """Yield this: wait for `n` subscribers, send, and wait until all have the message.

        The number of tasks that have it, those behind subscribed channels included; 0 after
        `timeout` seconds, -1 if it is closed.
        """
        limit = seconds(timeout)
        kernel = self._kernel
        await TURN
        deadline = None if limit is None else kernel.now + limit
        if len(self._subscribers) < n and not self._closed:
            await _Subscribers(self, n, limit)
        if self._closed:
            return -1
        if len(self._subscribers) < n:
            return 0
        message = self._transformed(message)
        if message is _DROPPED:
            return 0
        left = None if deadline is None else max(0.0, deadline - kernel.now)
        under_way = deque((to, to.deliver(message, left)) for to in list(self._subscribers))
        reached = 0
        try:
            while under_way:
                subscriber, delivery = under_way.popleft()
                number = await delivery
                if number > 0:
                    reached += number
                elif number < 0:
                    self._subscribers.pop(subscriber, None)
        finally:
            for _, delivery in under_way:
                if isinstance(delivery, Coroutine):
                    delivery.close()  # of a subscribed channel; the delivering task was thrown into
        return reached

    def close(self) -> None:
        """Drop its subscribers and refuse what comes; may be repeated."""
        self._closed = True
        self._subscribers.clear()
        for task, wait in list(self._awaited.values()):
            wait._undo(task)
            task._wake(False)

    def _transformed(self, message: Any) -> Any:
        """What is sent on instead, or _DROPPED. Without a transform None is a message like others."""
        if self._transform is None:
            return message
        try:
            made = self._transform(self._name, message)
        except BaseException:  # the user's; it must not end the sender
            log.exception("the transform of %s failed; the message is dropped", self)
            return _DROPPED
        return _DROPPED if made is None else made


def _lives(subscriber: Any) -> bool:
    return not subscriber._closed if type(subscriber) is Channel else getattr(subscriber, "is_alive", _yes)()


def _yes() -> bool:
    return True


class _Subscribers(Waitable):
    """Until a channel has `count` subscribers: True; False if it closes or time is out."""

    __slots__ = ("_channel", "_timeout", "count")

    def __init__(self, channel: Channel, count: int, timeout: float | None) -> None:
        self._channel = channel
        self._timeout = timeout
        self.count = count

    def _wait(self, task: Waiter) -> Waitable | None:
        if self._timeout is not None:
            if self._timeout <= 0:
                task._input = False
                return None
            task._limit(self._timeout)
        self._channel._awaited[id(task)] = (task, self)
        return self

    def _undo(self, task: Waiter) -> None:
        del self._channel._awaited[id(task)]

    def _expire(self, task: Waiter) -> None:
        task._input = False
