"""Channels: plain values both ways between two programs, in order.

A channel works from a plain thread, where `send`, `receive` and `waitclose` wait; from a task,
where one yields them; and from asyncio, where one awaits them. In the last two they answer an
Operation at once, so nothing else of the program stands still.

What nobody takes is bounded (`wire.WINDOW`): then the sender waits.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from dispycos.errors import PeerLost, Timeout
from dispycos.gateways import plain, wire
from dispycos.gateways.channel_file import ChannelReader, ChannelWriter
from dispycos.gateways.failure import RemoteError, describe
from dispycos.net.link import Link, Waiting

if TYPE_CHECKING:
    from dispycos.kernel.operation import Operation

log = logging.getLogger("dispycos")

NO_ENDMARKER: Any = object()
_RAW_BYTES = 4096  # a `bytes` from this size on travels as it is


class Exchange(Protocol):
    """What a channel needs of the gateway's exchange."""

    link: Link

    def listen(self, channel: Channel, callback: Callback) -> None: ...
    def forget(self, number: int) -> None: ...
    def drop(self, number: int, kind: int) -> None: ...
    def took(self, number: int, size: int) -> None: ...
    def refuse(self, number: int, text: str) -> None: ...
    def number(self, value: Any) -> int | None: ...


class Callback:
    """A function that gets the items of a channel, one at a time."""

    __slots__ = ("_endmarker", "_exchange", "_function", "_number", "turn")

    def __init__(
        self, exchange: Exchange, number: int, function: Callable[[Any], object], endmarker: Any
    ) -> None:
        self._exchange = exchange
        self._number = number
        self._function = function
        self._endmarker = endmarker
        self.turn = threading.RLock()  # items that waited go first

    def __call__(self, item: Any) -> None:
        """Give it an item; what it raises closes the channel, and the other end is told."""
        with self.turn:
            try:
                self._function(item)
            except Exception as exc:
                log.exception("the callback of a channel failed")
                self._exchange.refuse(self._number, describe(exc, skip=1))

    def end(self) -> None:
        """Nothing more comes: give it the end marker, once."""
        with self.turn:
            endmarker, self._endmarker = self._endmarker, NO_ENDMARKER
            if endmarker is not NO_ENDMARKER:
                try:
                    self._function(endmarker)
                except Exception:
                    log.exception("the callback of a channel failed for its end marker")


class Channel:
    """One end of a channel: what `remote_exec` gives here, and the global `channel` there.

    Any thread may use it. Whoever drops his end without closing it closes it.
    """

    __slots__ = (
        "__weakref__",
        "_callback",
        "_closed",
        "_credit",
        "_deaf",
        "_error",
        "_executing",
        "_items",
        "_lock",
        "_lost",
        "_owed",
        "_pending",
        "_waiting",
        "exchange",
        "gateway",
        "id",
    )

    RemoteError = RemoteError
    TimeoutError = Timeout

    def __init__(self, gateway: Any, exchange: Exchange, number: int) -> None:
        self.gateway = gateway
        self.exchange = exchange
        self.id = number
        self._lock = threading.Lock()  # of what may be sent; nothing waits under it
        self._items: deque[tuple[Any, int]] = deque()  # with the size of each
        self._callback: Callback | None = None
        self._waiting: list[Waiting] = []  # threads that wait for whatever happens to this channel
        self._pending: list[tuple[Callable[[], bool], Operation]] = []  # the same of tasks and asyncio
        self._credit = wire.WINDOW  # bytes that may be sent
        self._owed = 0  # bytes taken here of which the other end was not told
        self._closed = False  # nothing more may be sent
        self._deaf = False  # nothing more will come
        self._error: RemoteError | None = None  # of the other end, to be raised once
        self._lost = ""  # why the gateway is gone
        self._executing = False  # of code that runs here: its end closes it

    def __repr__(self) -> str:
        state = "closed" if self._closed else "send-only" if self._deaf else "open"
        return f"<Channel id={self.id} {state}>"

    # Sending.

    def send(self, item: Any) -> Any:
        """Send a plain value, or one with channels in it; waits while the other end takes nothing.

        DumpError if it isn't plain; OSError if the channel is closed.
        """
        if type(item) is bytes and len(item) >= _RAW_BYTES:
            kind, data = wire.BYTES, item
        else:
            kind, data = wire.ITEM, plain.pack(item, self.exchange.number)
        amount = len(data) + wire.PER_ITEM

        def send() -> None:
            self.exchange.link.send(wire.head(kind, self.id), (data,))

        if not self._waits_elsewhere() and self._reserve(amount):
            return send()
        return self._wait(lambda: self._reserve(amount), None, send, "")

    def _reserve(self, amount: int) -> bool:
        # Whether so much may be sent; OSError if it never may.
        with self._lock:
            if self._lost:
                raise PeerLost(f"can't send through {self!r}: {self._lost}")
            if self._closed:
                raise OSError(f"can't send through {self!r}")
            if self._credit < min(amount, wire.WINDOW):
                return False
            self._credit -= amount
            return True

    def granted(self, amount: int) -> None:
        """The other end took items of so many bytes."""
        with self._lock:
            self._credit += amount
        self._changed()

    # Receiving.

    def receive(self, timeout: float | None = None) -> Any:
        """Wait for the next item.

        What the remote code raised comes as RemoteError after the items before it, then and when
        the channel is closed EOFError. PeerLost, an EOFError too, if the other end is gone;
        Timeout, a TimeoutError, after `timeout` seconds. OSError if a callback takes the items.
        """
        if self._callback is not None:
            raise OSError(f"can't receive from {self!r}: its items go to a callback")
        if self._items and not self._waits_elsewhere():
            return self._take()
        return self._wait(lambda: bool(self._items) or self._deaf, timeout, self._take, "for an item")

    def _take(self) -> Any:
        try:
            item, size = self._items.popleft()
        except IndexError:
            raise self._end() from None
        self.exchange.took(self.id, size)
        return item

    def _end(self) -> BaseException:
        # Why nothing more comes.
        error, self._error = self._error, None
        if error is not None:
            return error
        if self._lost:
            return PeerLost(f"{self!r} is at its end: {self._lost}")
        return EOFError(f"{self!r} is at its end")

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            return self.receive()
        except EOFError:
            raise StopIteration from None

    def put(self, item: Any, size: int) -> None:
        """An item arrived."""
        self._items.append((item, size))
        if self._waiting or self._pending:
            self._changed()

    def owed(self, amount: int) -> int:
        """Items of so many bytes were taken: how many the other end is to be told of now."""
        self._owed += amount
        if self._owed < wire.WINDOW // 4 or self._deaf:
            return 0
        amount, self._owed = self._owed, 0
        return amount

    def setcallback(self, callback: Callable[[Any], object], endmarker: Any = NO_ENDMARKER) -> None:
        """Have `callback(item)` called for each item: first for those that wait, then as they come.

        endmarker  given to it once, when nothing more comes.
        Called by one thread at a time, which reads for the whole gateway: it should be quick.
        """
        if self._callback is not None:
            raise OSError(f"{self!r} has a callback already")
        made = Callback(self.exchange, self.id, callback, endmarker)
        with made.turn:
            self._callback = made
            if not self._deaf:
                self.exchange.listen(self, made)
            while self._items:
                item, size = self._items.popleft()
                made(item)
                self.exchange.took(self.id, size)
            if self._deaf:
                made.end()

    # Closing.

    def close(self, error: str | BaseException | None = None) -> None:
        """Close both ends; may be repeated. What was sent before still arrives.

        error  raised as RemoteError by `receive` and `waitclose` of the other end.
        """
        if self._executing:
            raise OSError("can't close a channel explicitly in the code that was given it: its end closes it")
        if error is None:
            text = ""
        else:
            text = describe(error) if isinstance(error, BaseException) else str(error)
        self.finish(text)

    def finish(self, text: str) -> None:
        """Close both ends, with an error's text for the other one."""
        self._executing = False
        with self._lock:
            if self._closed:
                return
            self._closed = self._deaf = True
        try:
            self.exchange.link.post(wire.head(wire.CLOSE, self.id), (text.encode(errors="replace"),))
        except PeerLost:
            pass  # it is closed there too
        self.exchange.forget(self.id)
        if self._callback is not None:
            self._callback.end()
        self._changed()

    def begin(self) -> None:
        """Code runs here that was given this channel."""
        self._executing = True

    def isclosed(self) -> bool:
        """Whether nothing can be sent any more; items may still be there to receive."""
        return self._closed

    def waitclose(self, timeout: float | None = None) -> Any:
        """Wait until nothing more will come; items that came may still be received.

        Raises what the remote code raised, as RemoteError; PeerLost, an EOFError, if the other
        end is gone; Timeout after `timeout` seconds.
        """
        return self._wait(lambda: self._deaf, timeout, self._raise_error, "for the end")

    def _raise_error(self) -> None:
        if self._error is not None or self._lost:
            raise self._end()

    def ended(self, text: str, *, whole: bool) -> None:
        """The other end closed the channel, or (not whole) will send nothing more through it."""
        if text:
            self._error = RemoteError(text)
        self._deaf = True
        self._closed = self._closed or whole
        self._changed()

    def lost(self, reason: str) -> None:
        """The other end is gone."""
        self._lost = reason
        self._closed = self._deaf = True
        self._changed()

    def __del__(self) -> None:
        # In any thread, at any moment, with any lock held: it only leaves word.
        if self._error is not None:
            log.warning("remote code failed, and nobody asked for it:\n%s", self._error.formatted)
        if not self._closed:
            # A callback still wants what comes.
            wanted = self._callback is not None and not self._deaf
            self.exchange.drop(self.id, wire.LAST if wanted else wire.CLOSE)

    # Waiting.

    def _wait(
        self, ready: Callable[[], bool], timeout: float | None, answer: Callable[[], Any], what: str
    ) -> Any:
        # `ready` is not asked again once it was True.
        if self._waits_elsewhere():
            return self._operation(ready, timeout, answer, what)
        found = False

        def look() -> bool:
            nonlocal found
            found = found or ready()
            return found

        waiting = Waiting()
        self._waiting.append(waiting)
        try:
            if not self.exchange.link.wait(waiting, look, timeout):
                raise self._late(what, timeout)
        finally:
            self._waiting.remove(waiting)
        return answer()

    def _late(self, what: str, timeout: float | None) -> BaseException:
        if timeout is None:
            return self._end()
        return Timeout(f"waited {timeout:g} s {what} of {self!r}")

    @staticmethod
    def _waits_elsewhere() -> bool:
        """Whether this thread runs tasks or an asyncio loop, and must not wait."""
        operation = sys.modules.get("dispycos.kernel.operation")
        if operation is not None and threading.get_ident() in operation.kernel_threads:
            return True
        events = sys.modules.get("asyncio.events")
        return events is not None and events._get_running_loop() is not None

    def _operation(
        self, ready: Callable[[], bool], timeout: float | None, answer: Callable[[], Any], what: str
    ) -> Operation:
        from dispycos.kernel.operation import Operation

        operation = Operation()
        turn = threading.RLock()

        def settle() -> bool:
            # True: it is done, and to be forgotten.
            with turn:
                if operation.done():
                    return True
                try:
                    if not ready():
                        return False
                    operation.complete(answer())
                except BaseException as exc:
                    operation.fail(exc)
                return True

        if not settle():
            self._pending.append((settle, operation))
            if timeout is not None:
                timer = threading.Timer(timeout, lambda: operation.fail(self._late(what, timeout)))
                timer.daemon = True
                timer.start()
                operation.add_done_callback(lambda _: timer.cancel())
            if settle():  # it became ready before anybody could tell us
                self._changed()
        return operation

    def _changed(self) -> None:
        for waiting in list(self._waiting):
            waiting.wake()
        if self._pending:
            self._pending[:] = [entry for entry in self._pending if not entry[0]()]

    # Files.

    def makefile(self, mode: str = "w", proxyclose: bool = False) -> ChannelReader | ChannelWriter:
        """A file-like object that writes items (mode "w") or reads texts or bytes (mode "r").

        proxyclose  closing it closes the channel.
        """
        if mode == "w":
            return ChannelWriter(self, proxyclose)
        if mode == "r":
            return ChannelReader(self, proxyclose)
        raise ValueError(f"mode {mode!r}: it is 'r' or 'w'")
