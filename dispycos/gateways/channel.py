"""Channels: plain values both ways between two programs, in order.

A channel works from a plain thread, where `send`, `receive` and `waitclose` wait; from a task,
where one yields them; and from asyncio, where one awaits them. In the last two they answer an
Operation at once, so nothing else of the program stands still.

What nobody takes is bounded (`gateways.window`): then the sender waits.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from dispycos.errors import PeerLost, RemoteProtocolError, Timeout
from dispycos.gateways import plain, wire
from dispycos.gateways.callback import NO_ENDMARKER, Callback, Taker
from dispycos.gateways.channel_file import ChannelReader, ChannelWriter
from dispycos.gateways.failure import RemoteError, describe
from dispycos.gateways.window import Window
from dispycos.net.link import Link
from dispycos.net.waiting import Waiting

if TYPE_CHECKING:
    from dispycos.gateways.pending import Pending

log = logging.getLogger("dispycos")

_RAW_BYTES: Final = 4096  # a `bytes` from this size on travels as it is
_UNCOUNTED: Final = -wire.PER_ITEM  # size of an item for which the other end had its credit back
_NOTHING: Final[Any] = object()  # there is no item yet


class Host(Protocol):
    """What a channel needs of the exchange."""

    link: Link
    may_end: bool

    def listen(self, taker: Taker) -> None: ...
    def forget(self, channel: Channel) -> None: ...
    def drop(self, number: int, left: Left) -> None: ...
    def silence(self, number: int) -> None: ...
    def crowded(self, channel: Channel) -> bool: ...
    def took(self, number: int, size: int) -> None: ...
    def grant(self, number: int, amount: int) -> None: ...
    def refuse(self, number: int, text: str) -> None: ...
    def number(self, value: Any) -> int | None: ...


class Left(NamedTuple):
    """What a channel that nobody holds any more leaves behind, for the exchange."""

    kind: int  # what is to be told: CLOSE or LAST
    credit: int  # bytes that might be sent
    owed: int  # bytes that the other end may send again


class Channel:
    """One end of a channel: what `remote_exec` gives here, and the global `channel` there.

    Any thread may use it. Whoever drops his end without closing it closes it.
    """

    __slots__ = (
        "__weakref__",
        "_closed",
        "_deaf",
        "_error",
        "_executing",
        "_items",
        "_lock",
        "_lost",
        "_order",
        "_pending",
        "_sending",
        "_taker",
        "_waiting",
        "_window",
        "exchange",
        "gateway",
        "id",
    )

    RemoteError = RemoteError
    TimeoutError = Timeout

    def __init__(self, gateway: Any, exchange: Host, number: int) -> None:
        self.gateway = gateway
        self.exchange = exchange
        self.id = number
        self._lock = threading.Lock()  # of how it ends and who takes; nothing waits under it
        self._window = Window()
        self._items: deque[tuple[Any, int]] = deque()  # with the size of each
        self._taker: Taker | None = None  # who gets the items in place of `receive`
        self._waiting: list[Waiting] = []  # threads that wait for whatever happens to this channel
        self._pending: list[Pending] = []  # the same of tasks and asyncio
        self._sending: deque[Pending] = deque()  # what tasks and asyncio send, in order
        self._order = threading.RLock()  # of `_sending`
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
        if elsewhere():
            return self._send_later(wire.head(kind, self.id), data, amount)
        if not self._reserve(amount):
            self._wait_for_credit(amount)
        return self.exchange.link.send(wire.head(kind, self.id), (data,))

    def _reserve(self, amount: int) -> bool:
        # Whether so much may be sent; OSError if it never may.
        if self._closed:
            if self._lost:
                raise PeerLost(f"can't send through {self!r}: {self._lost}")
            raise OSError(f"can't send through {self!r}")
        return self._window.reserve(amount)

    def _wait_for_credit(self, amount: int) -> None:
        def enough() -> bool:
            return self._window.enough(amount) or self._closed

        waiting = Waiting()
        self._waiting.append(waiting)
        try:
            while not self._reserve(amount):
                if not self.exchange.link.wait(waiting, enough, None):
                    raise PeerLost(f"can't send through {self!r}: {self.exchange.link.over}")
        finally:
            self._waiting.remove(waiting)

    def _send_later(self, head: bytes, data: bytes, amount: int) -> Any:
        from dispycos.gateways.pending import NOT_YET, Pending

        link = self.exchange.link

        def attempt() -> Any:
            # What was sent before goes first.
            if self._sending and self._sending[0] is not sending:
                return NOT_YET
            # A closed one refuses at once: no room may come any more.
            if not self._closed and not link.writable and self.exchange.crowded(self):
                return NOT_YET
            if not self._reserve(amount):
                return NOT_YET
            link.post(head, (data,))
            return None

        sending: Pending | None = None
        with self._order:
            sending = Pending(self, attempt)
            if not sending.done():
                self._sending.append(sending)
        self._send_waiting()
        return sending

    def _send_waiting(self) -> None:
        with self._order:
            while self._sending and self._sending[0].look():
                self._sending.popleft()

    def granted(self, amount: int) -> None:
        """The other end took items of so many bytes."""
        self._window.granted(amount)
        self.changed()

    # Receiving.

    def receive(self, timeout: float | None = None) -> Any:
        """Wait for the next item.

        What the remote code raised comes as RemoteError after the items before it, then and when
        the channel is closed EOFError. PeerLost, an EOFError too, if the other end is gone;
        Timeout, a TimeoutError, after `timeout` seconds. OSError if a callback takes the items.
        """
        if elsewhere():
            return self.receive_as(None, timeout)
        if self._items or self._deaf or self._taker is not None:
            item = self._take()
            if item is not _NOTHING:
                return item
        return self._wait(self._take, self._receivable, timeout, "for an item")

    def receive_as(self, convert: Callable[[Any], Any] | None, timeout: float | None = None) -> Any:
        """As `receive`, but what `convert(item)` answers; an Operation of it in tasks and asyncio."""
        if elsewhere():
            return self._later(self._take, timeout, "for an item", convert, self.give_back)
        item = self.receive(timeout)
        return item if convert is None else convert(item)

    def _receivable(self) -> bool:
        return bool(self._items) or self._deaf

    @property
    def unread(self) -> bool:
        """Whether items wait to be received."""
        return bool(self._items)

    def _take(self) -> Any:
        # The next item, or _NOTHING.
        if self._taker is not None:
            raise OSError(f"can't receive from {self!r}: its items go to a callback")
        deaf = self._deaf  # before the look: nothing comes after it was set
        if self._items:
            try:
                item, size = self._items.popleft()
            except IndexError:
                pass  # another thread was faster
            else:
                self.taken(size)
                return item
        if deaf:
            raise self._getremoteerror()
        return _NOTHING

    def _getremoteerror(self) -> BaseException:
        # Why nothing more comes; what remote code raised once only. The name is execnet's.
        error, self._error = self._error, None
        if error is not None:
            return error
        if self._lost:
            return PeerLost(f"{self!r} is at its end: {self._lost}")
        return EOFError(f"{self!r} is at its end")

    def give_back(self, item: Any) -> None:
        """An item was taken, and nobody has it: the next who asks gets it."""
        self._items.appendleft((item, _UNCOUNTED))
        self.changed()

    def __iter__(self) -> Iterator[Any]:
        if elsewhere():
            raise RuntimeError(
                "`for` would wait in a task or coroutine: yield or await receive(), or use `async for`"
            )
        return self

    def __next__(self) -> Any:
        try:
            return self.receive()
        except EOFError as exc:
            self._check_whole(exc)
            raise StopIteration from None

    def _check_whole(self, end: EOFError) -> None:
        # What came before a loss is not all.
        if isinstance(end, PeerLost) and not self.exchange.may_end:
            raise end

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self.receive()
        except EOFError as exc:
            self._check_whole(exc)
            raise StopAsyncIteration from None

    def put(self, item: Any, size: int) -> None:
        """An item arrived. RemoteProtocolError if its sender had no credit for it."""
        self.hold(size)
        self._items.append((item, size))
        if self._taker is not None:
            self._hand_over(self._taker)  # it was set since the exchange looked
        elif self._waiting or self._pending:
            self.changed()

    def hold(self, size: int) -> None:
        """An item of this size waits here until it is `taken`.

        RemoteProtocolError if so much waits that its sender can't have had credit for it.
        """
        if not self._window.hold(size):
            raise RemoteProtocolError(
                f"an item for channel {self.id}, where {self._window.held} bytes wait and {wire.WINDOW} may"
            )

    def taken(self, size: int, *, held: bool = True) -> None:
        """An item was taken: in time the other end is told that it may send as much again.

        held  it waited here.
        """
        owed = self._window.taken(size, held, tell=not self._deaf)
        if owed:
            self.exchange.grant(self.id, owed)

    def take_up(self, left: Left) -> None:
        """Go on where the one before it left off, whose end the other one was not told of."""
        self._window = Window(left.credit, left.owed)

    def setcallback(self, callback: Callable[[Any], object], endmarker: Any = NO_ENDMARKER) -> None:
        """Have `callback(item)` called for each item: first for those that wait, then as they come.

        endmarker  given to it once, when nothing more comes.
        Called by one thread at a time, which reads for the whole gateway: it should be quick.
        """
        self.listen(Callback(self.exchange, self.id, callback, endmarker))

    def listen(self, taker: Taker) -> None:
        """Have `taker` get the items from now on. OSError if they go to another one."""
        with self._lock:
            if self._taker is not None:
                raise OSError(f"{self!r} has a callback already")
            self._taker = taker
        with taker.turn:
            self.exchange.listen(taker)
            self._hand_over(taker)
            if self._deaf:
                self.exchange.silence(self.id)
                taker.end()
        self.changed()

    def _hand_over(self, taker: Taker) -> None:
        with taker.turn:
            while self._items:
                item, size = self._items.popleft()
                self._window.let_go(size)
                taker.take(item, size)

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
        self.exchange.forget(self)
        if self._taker is not None:
            self._taker.end()
        self.changed()

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
        if elsewhere():
            return self._later(self._closing, timeout, "for the end")
        return self._wait(self._closing, self._is_deaf, timeout, "for the end")

    def _is_deaf(self) -> bool:
        return self._deaf

    def _closing(self) -> Any:
        if not self._deaf:
            return _NOTHING
        if self._error is not None or self._lost:
            raise self._getremoteerror()
        return None

    def ended(self, text: str, *, whole: bool) -> None:
        """The other end closed the channel, or (not whole) will send nothing more through it."""
        if text:
            self._error = RemoteError(text)
        with self._lock:
            self._closed = self._closed or whole
            self._deaf = True
        self.changed()

    def lost(self, reason: str) -> None:
        """The other end is gone."""
        with self._lock:
            self._lost = reason
            self._closed = self._deaf = True
        self.changed()

    def disown(self, reason: str) -> None:
        """As `lost`, in a forked child, where nobody waits. The parent's threads may have the locks."""
        self._lock = threading.Lock()
        self._order = threading.RLock()
        self._window.disown()
        self._lost = reason
        self._closed = self._deaf = True

    def abroad(self) -> PeerLost | None:
        """What it raises in a forked child, where nothing comes of it; None: it is this process's own."""
        reason = self.exchange.link.elsewhere
        return PeerLost(f"{self!r} is at its end: {reason}") if reason else None

    def __del__(self) -> None:
        # In any thread, at any moment, with any lock held: it only leaves word.
        if self._error is not None:
            log.warning("remote code failed, and nobody asked for it:\n%s", self._error.formatted)
        if not self._closed:
            # A callback still wants what comes.
            wanted = self._taker is not None and not self._deaf
            # What waits unread is as good as taken.
            window = self._window
            left = Left(wire.LAST if wanted else wire.CLOSE, window.credit, window.owed + window.held)
            self.exchange.drop(self.id, left)

    # Waiting.

    def _wait(
        self, attempt: Callable[[], Any], ready: Callable[[], bool], timeout: float | None, what: str
    ) -> Any:
        # What the attempt answers, when it is not _NOTHING; it may be so once `ready()` is.
        link = self.exchange.link
        deadline = None if timeout is None else time.monotonic() + timeout
        rest = timeout
        waiting = Waiting()
        self._waiting.append(waiting)
        try:
            while True:
                done = link.wait(waiting, ready, rest)
                if (value := attempt()) is not _NOTHING:
                    return value
                if not done:
                    if link.over:
                        raise PeerLost(f"{self!r} is at its end: {link.over}")
                    assert timeout is not None
                    raise self._late(timeout, what)
                if deadline is not None:
                    rest = max(deadline - time.monotonic(), 0.0)
        finally:
            self._waiting.remove(waiting)

    def _late(self, timeout: float, what: str) -> Timeout:
        return Timeout(f"waited {timeout:g} s {what} of {self!r}")

    def _later(
        self,
        attempt: Callable[[], Any],
        timeout: float | None,
        what: str,
        convert: Callable[[Any], Any] | None = None,
        give_back: Callable[[Any], object] | None = None,
    ) -> Pending:
        from dispycos.gateways.pending import NOT_YET, Pending

        def made() -> Any:
            value = attempt()
            return NOT_YET if value is _NOTHING else value

        return Pending(self, made, convert, timeout, lambda seconds: self._late(seconds, what), give_back)

    def enlist(self, pending: Pending) -> None:
        """Have it look again whenever something happened."""
        if pending not in self._pending and pending not in self._sending:
            self._pending.append(pending)

    def delist(self, pending: Pending) -> None:
        """It need not look any more."""
        try:
            self._pending.remove(pending)
        except ValueError:
            pass  # it is not there, or another thread was faster

    def changed(self) -> None:
        """Something happened to the channel: whoever waits looks again."""
        for waiting in self._waiting.copy():
            waiting.wake()
        if self._pending:
            for pending in self._pending.copy():
                pending.look()
        if self._sending:
            self._send_waiting()

    # Files.

    def makefile(self, mode: str = "w", proxyclose: bool = False) -> ChannelReader | ChannelWriter:
        """A file-like object that writes items (mode "w") or reads texts or bytes (mode "r").

        proxyclose  closing it closes the channel.
        For plain threads: a file has no way to be waited for in a task.
        """
        if mode == "w":
            return ChannelWriter(self, proxyclose)
        if mode == "r":
            return ChannelReader(self, proxyclose)
        raise ValueError(f"mode {mode!r}: it is 'r' or 'w'")


def elsewhere() -> bool:
    """Whether this thread runs tasks or an asyncio loop, and must not wait."""
    operation = sys.modules.get("dispycos.kernel.operation")
    if operation is not None and threading.get_ident() in operation.kernel_threads:
        return True
    events = sys.modules.get("asyncio.events")
    return events is not None and events._get_running_loop() is not None
