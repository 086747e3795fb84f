"""Receivers: the local tasks, channels and RPS that other processes refer to, and what may be asked of them.

A number is found as long as its task lives. Of an exported task the end is remembered too,
so that who asks for its result late still gets it; the records are bounded, the oldest
ended one goes first (R-39).

Kernel thread only. Layer 4.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Protocol

from dispycos.kernel.channel import Channel
from dispycos.kernel.core import Kernel
from dispycos.kernel.rps import RPS
from dispycos.kernel.task import Task
from dispycos.messages import ReceiverKind, Verb
from dispycos.model import MonitorStatus

MAX_ENDED = 10_000  # ended tasks whose results are kept for late questions
MAX_CHANNELS = 10_000  # exported channels kept alive for their remote holders
MAX_RPS = 10_000  # exported RPS likewise


class Reply(Protocol):
    """Answers one question: a value, or an exception if `failed`."""

    def __call__(self, value: Any, failed: bool = False) -> None: ...


class Exports:
    """What of this process others refer to."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._exported: dict[int, _Watch] = {}  # living tasks
        self._ended: OrderedDict[int, Task] = OrderedDict()
        self.references: dict[int, tuple[Any, ...]] = {}  # how they are pickled; of living tasks
        # A channel that only a remote process holds must live on; it goes when it is closed.
        self._channels: OrderedDict[int, Channel] = OrderedDict()
        # Likewise an RPS that somebody was told of; who may call it is known by its names.
        self._rps: OrderedDict[int, RPS] = OrderedDict()

    def add(self, receiver: Any) -> ReceiverKind:
        """Note that a reference to `receiver` leaves this process."""
        if isinstance(receiver, Channel):
            self._channels[receiver.number] = receiver
            if len(self._channels) > MAX_CHANNELS:
                self._channels.popitem(last=False)
            return ReceiverKind.CHANNEL
        if isinstance(receiver, RPS):
            self._rps[receiver.number] = receiver
            if len(self._rps) > MAX_RPS:
                self._rps.popitem(last=False)
            return ReceiverKind.RPS
        number = receiver.number
        if number not in self._exported and number not in self._ended:
            self._exported[number] = watch = _Watch(self, receiver)
            self._kernel.post(receiver.notify, watch)
        return ReceiverKind.TASK

    def refer(self, task: Task, reduction: tuple[Any, ...]) -> None:
        """Note how an exported task is pickled, as long as it lives; any thread."""
        self.references[task.number] = reduction
        if not task.is_alive():
            self.references.pop(task.number, None)

    def find(self, number: int) -> Any:
        """The living task, the channel or the RPS of that number, or None."""
        return self._kernel.tasks.get(number) or self._kernel.channels.get(number)

    def ended(self, number: int) -> Task | None:
        """The exported task of that number, if it has ended and is remembered."""
        return self._ended.get(number)

    def remember(self, task: Task) -> None:
        """The task has ended."""
        self._exported.pop(task.number, None)
        self.references.pop(task.number, None)
        self._ended[task.number] = task
        if len(self._ended) > MAX_ENDED:
            self._ended.popitem(last=False)


class _Watch:
    """Listens for the end of one task in place of a monitor."""

    __slots__ = ("_exports", "_task")

    def __init__(self, exports: Exports, task: Task) -> None:
        self._exports = exports
        self._task = task

    def is_alive(self) -> bool:
        return True

    def send(self, status: MonitorStatus) -> int:
        self._exports.remember(self._task)
        return 0


class _Once:
    """Calls a function with the status of a task, in place of a monitor."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function

    def is_alive(self) -> bool:
        return True

    def send(self, status: MonitorStatus) -> int:
        self._function()
        return 0


def answer_to(exports: Exports, receiver: Any, verb: Verb, value: Any, reply: Reply) -> None:
    """Do what a peer asks of a local receiver, and reply now or when it is known."""
    kernel = exports._kernel
    if (verb is Verb.CALL) is not isinstance(receiver, RPS):
        # Calls are all that peers may ask of an RPS: who may call it is decided in its own process.
        raise ValueError(f"{verb.name} can't be asked of {receiver}")
    if verb is Verb.CALL:
        args, kwargs = value
        reply(receiver._start(tuple(args), dict(kwargs)))
    elif verb is Verb.RESULT:
        _when_ended(receiver, lambda: _reply_outcome(receiver, bool(value), reply))
    elif verb is Verb.MONITOR:
        reply(int(receiver.notify(value)))
    elif verb is Verb.ALIVE:
        reply(receiver.is_alive())
    elif verb is Verb.THROW:
        reply(receiver.throw(value))
    elif verb is Verb.TERMINATE:
        reply(receiver.terminate(value) if value else receiver.terminate())
    elif verb is Verb.RESUME:
        reply(receiver.resume(value))
    elif verb is Verb.HOT_SWAP:
        target, args, kwargs = value
        reply(receiver.hot_swap(target, *args, **kwargs))
    elif verb is Verb.REGISTER:
        reply(receiver.register(value))
    elif verb is Verb.UNREGISTER:
        reply(receiver.unregister(value))
    elif verb is Verb.CLOSE:
        receiver.close()
        reply(0)
    elif verb is Verb.SUBSCRIBE:
        kernel.spawn(_wait_and_reply, (receiver.subscribe(value), reply), daemon=True)
    elif verb is Verb.UNSUBSCRIBE:
        kernel.spawn(_wait_and_reply, (receiver.unsubscribe(value), reply), daemon=True)
    elif verb is Verb.BROADCAST:
        message, timeout, n = value
        kernel.spawn(_wait_and_reply, (receiver.deliver(message, timeout, n), reply), daemon=True)
    else:
        raise ValueError(f"{verb.name} can't be asked of {receiver}")


def _wait_and_reply(waitable: Any, reply: Reply) -> Any:
    reply((yield waitable))


def _when_ended(task: Task, function: Callable[[], None]) -> None:
    if task.is_alive():
        task.notify(_Once(function))  # type: ignore[arg-type]  # a monitor is who has send and is_alive
    else:
        function()


def _reply_outcome(task: Task, raises: bool, reply: Reply) -> None:
    value, error = task._outcome(raises)
    if error is not None:
        reply(error, failed=True)
    else:
        reply(value)
