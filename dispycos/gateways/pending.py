"""What tasks and asyncio wait for: what a channel will answer, as an Operation.

Nothing is taken from a channel but while somebody waits for it: an item that comes when the task
was ended, or the coroutine cancelled, stays in the channel for the next who asks.

It is imported where tasks or coroutines run only, for plain threads need nothing of the kernel.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any, Final, Protocol

from dispycos.errors import PeerLost, Timeout
from dispycos.kernel.operation import Operation, Owned, kernel_threads
from dispycos.kernel.wait import AT_ONCE, Waitable, Waiter

NOT_YET: Final[Any] = object()  # what an attempt answers that has to be made again


class Host(Protocol):
    """What a Pending needs of its channel."""

    def enlist(self, pending: Pending) -> None: ...
    def delist(self, pending: Pending) -> None: ...
    def abroad(self) -> PeerLost | None: ...


class Pending(Owned):
    """An attempt that is made again whenever something happened to the channel.

    attempt  answers its value, or NOT_YET; or raises. Nothing is lost by an attempt in vain.
    convert    makes what waiters get of the value.
    late       the exception for the end of `timeout` seconds.
    give_back  takes back a value that nobody got after all.
    """

    __slots__ = ("_attempt", "_cancel", "_channel", "_claimed", "_convert", "_give_back", "_taken", "_turn")

    def __init__(
        self,
        channel: Host,
        attempt: Callable[[], Any],
        convert: Callable[[Any], Any] | None = None,
        timeout: float | None = None,
        late: Callable[[float], Timeout] | None = None,
        give_back: Callable[[Any], object] | None = None,
    ) -> None:
        super().__init__()
        self._channel = channel
        self._attempt = attempt
        self._convert = convert
        self._give_back = give_back
        self._taken: Any = None
        self._claimed = False  # some waiter has, or had, the value
        self._turn = threading.RLock()
        self._cancel: Callable[[], object] | None = None
        if not self.look() and timeout is not None and late is not None:
            self._begin_timeout(timeout, late)

    def look(self) -> bool:
        """Attempt it; whether it is done. Any thread."""
        # Before the turn too, which in a forked child a thread of the parent's may have.
        if self.done():
            return True
        with self._turn:
            if self.done():
                return True
            try:
                value = self._attempt()
                if value is NOT_YET:
                    return False
                self._taken = value
                self.complete(value if self._convert is None else self._convert(value))
            except BaseException as exc:
                self.fail(exc)
        self._settled()
        return True

    def _settled(self) -> None:
        self._channel.delist(self)
        cancel, self._cancel = self._cancel, None
        if cancel is not None:
            cancel()

    def _abroad(self) -> Exception | None:
        return self._channel.abroad()

    # Time-outs, by whoever runs this thread.

    def _begin_timeout(self, timeout: float, late: Callable[[float], Timeout]) -> None:
        def expire() -> None:
            with self._turn:
                self.fail(late(timeout))
            self._settled()

        kernel = kernel_threads.get(threading.get_ident())
        if kernel is not None:
            timer = kernel.call_later(max(timeout, 0.0), expire)
            self._cancel = lambda: kernel.post(kernel.timers.cancel, timer)
        else:
            loop = sys.modules["asyncio.events"].get_running_loop()
            handle = loop.call_later(timeout, expire)
            self._cancel = lambda: _in_loop(loop, handle.cancel)

    # Waiters.

    def _begin(self) -> None:
        if not self.look():
            self._channel.enlist(self)
            self.look()  # it may have become ready before it was enlisted

    def _given_up(self) -> None:
        # One waiter less.
        if not self.done() and not self._tasks and not self._callbacks:
            self._channel.delist(self)

    def add_done_callback(self, function: Callable[[Any], object]) -> None:
        """See `Operation.add_done_callback`."""
        super().add_done_callback(function)
        self._begin()

    def remove_done_callback(self, function: Callable[[Any], object]) -> None:
        """See `Operation.remove_done_callback`."""
        super().remove_done_callback(function)
        self._given_up()

    def result(self, timeout: float | None = None) -> Any:
        """See `Operation.result`."""
        value = super().result(timeout)
        self._claimed = True
        return value

    def _wait(self, task: Waiter) -> Waitable | None:
        if not self.done():
            self._begin()
        waiting = super()._wait(task)
        if waiting is AT_ONCE:
            self._claimed = True
        return waiting

    def _undo(self, task: Waiter) -> None:
        super()._undo(task)
        self._given_up()
        if self.done() and not self._tasks and not self._callbacks:
            self._return()  # it was about to be woken

    def _wake(self, task: Waiter) -> None:
        tasks = self._tasks
        if self._error is None and (task is tasks or (type(tasks) is list and task in tasks)):
            super()._undo(task)
            task._wake_with(self)
        else:
            super()._wake(task)

    def _collect(self, task: Waiter) -> Any:
        self._claimed = True
        return self._value

    def _decline(self, task: Waiter) -> None:
        self._return()

    def _return(self) -> None:
        # Nobody has it any more.
        with self._turn:
            if self._claimed or self._error is not None:
                return
            self._claimed = True
        if self._give_back is not None:
            self._give_back(self._taken)

    def _future(self, loop: Any) -> Any:
        future = super()._future(loop)

        def ended(_: Any) -> None:
            if future.cancelled() and self.done():
                self._return()

        future.add_done_callback(ended)
        return future


def _in_loop(loop: Any, function: Callable[[], object]) -> None:
    try:
        loop.call_soon_threadsafe(function)
    except RuntimeError:
        pass  # it is closed, and its timers with it


def together(pendings: list[Pending], combine: Callable[[list[Any]], Any]) -> Operation:
    """An Operation of `combine(values)` when all are done; it raises the first error, in their order."""
    made = Operation()
    missing = len(pendings)
    counting = threading.Lock()

    def done(_: Any) -> None:
        nonlocal missing
        with counting:
            missing -= 1
            last = not missing
        if last:
            try:
                made.complete(combine([pending.result() for pending in pendings]))
            except BaseException as exc:
                made.fail(exc)

    for pending in pendings:
        pending.add_done_callback(done)
    return made
