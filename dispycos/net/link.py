"""Links: a session over one stream, for plain threads.

Where `net.endpoint` serves a program that has a reactor, a link needs nothing but the standard
library: it is what a gateway brings to a bare Python. Whoever waits for a message reads the
stream himself, so that no other thread has to be woken to hand it over; a thread of the link
reads whenever nobody else does. Whoever sends writes, and takes along what others add meanwhile.

What came is delivered in order, by one thread at a time. `deliver` must not wait for other
threads; it may wait by `wait`, which then goes on delivering (nested, any depth).

A stream that breaks is not dialled again: the peer is lost. I/O half. Layer 3. Rules N1, N2, N7, N8.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple, Protocol

from dispycos.config import Limits
from dispycos.errors import Closed, PeerLost, RemoteProtocolError, TaskCancelled, Timeout
from dispycos.model import Buffer, Incarnation, Role
from dispycos.net import session as sessions
from dispycos.net.auth import Failed, Handshake, Proven
from dispycos.net.hello import NONCE_BYTES
from dispycos.net.keys import Keyring
from dispycos.net.patience import Patience
from dispycos.net.session import HALF_BYTES, Session, SessionState
from dispycos.net.stream import Stream

log = logging.getLogger("dispycos")

# Seconds for which the link's own thread leaves reading to others after one of them has read:
# they come back sooner than that in a lively exchange, and find nobody to wake.
PATIENCE: Final = 0.005

# Seconds for which who reads goes on delivering, though what it waits for may be there already.
_BATCH: Final = 0.0005

_FAREWELL: Final = 1.0  # seconds to write the last words of a link that is closed
_LAST_WRITE: Final = 5.0  # seconds for who writes to see that the link is over
_GLANCE: Final = 0.002  # seconds between looks whether all was written
_MOST_BUFFERS: Final = 512  # of one writev(2)
_LONGEST: Final = 86400.0  # seconds of one poll or lock: poll(2) takes no more than 24 days
_ROOM_MS: Final = 100  # between looks whether a link without room is over meanwhile


class Waiting:
    """A thread that waits for something of a link. Wake it from any thread, as often as you like."""

    __slots__ = ("_lock", "reads", "stir")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        # Of a thread that reads while it waits: its ident, and what takes it out of its poll.
        self.reads = 0
        self.stir: Callable[[], None] | None = None

    def wake(self) -> None:
        """It looks again whether it is ready."""
        if self.reads == threading.get_ident():
            return  # it does so after each message that it reads
        try:
            self._lock.release()
        except RuntimeError:
            pass  # it is awake already
        if self.reads and self.stir is not None:
            self.stir()

    def sleep(self, seconds: float) -> None:
        """Until somebody calls `wake`, or did so since the last sleep; at most so long, -1: for ever.

        It may end sooner: who sleeps looks again.
        """
        self._lock.acquire(timeout=min(seconds, _LONGEST))


class Woken(Protocol):
    """Who is told of something by a call of `wake`, from any thread."""

    def wake(self) -> None: ...


class Link:
    """One end of a link. Every method but `run` may be called by any thread.

    deliver  called with head and tail of each message.
    stirred  called by who reads, soon after `stir` was.
    lost     called once, with why, when nothing more will come; by the thread that finds out.
    """

    def __init__(
        self,
        stream: Stream,
        meeting: Meeting,
        deliver: Callable[[Buffer, Buffer], None],
        stirred: Callable[[], None],
        lost: Callable[[str], None],
    ) -> None:
        self._stream = stream
        self._session = meeting.session
        self._deliver = deliver
        self._stirred = stirred
        self._lost = lost
        self._lock = threading.Lock()  # of the session and of all about writing
        self._writing = False  # a thread writes
        self._unwritten: list[Buffer] = []  # what the session gave out and the stream did not take yet
        self._room: list[Woken] = []  # senders that wait until the session has room
        self._reading = threading.Lock()  # held by the thread that reads
        self._reader = 0  # that thread's ident
        self._visits = 0  # reads by other threads than the link's own
        self._followers: deque[Waiting] = deque()  # threads that wait while another one reads
        # Read and not delivered yet.
        self._events: deque[sessions.Event] = deque(meeting.session.feed(meeting.left_over, time.monotonic()))
        self._dry = False  # the stream had nothing more to read when it was read last
        self._idle = threading.Event()  # ends the patience of the link's own thread
        self._parked = False  # the link's own thread waits for the one that reads to stop
        self._called = False  # `stirred` is to be called
        # Takes who reads out of its poll. No bare descriptors: who writes to one that was closed
        # meanwhile may write to a file of others that has its number now.
        self._nudge, self._nudged = socket.socketpair()
        for nudging in (self._nudge, self._nudged):
            nudging.setblocking(False)
        self._patience = Patience()
        self._poller = select.poll()
        self._poller.register(stream.reader, select.POLLIN)
        self._poller.register(self._nudge, select.POLLIN)
        # A socket is one descriptor: to wait for room in it is to wait for bytes as well.
        self._writer_events = select.POLLIN if stream.reader == stream.writer else 0
        self._over = ""  # why nothing more will come
        self._told = False  # `lost` was called
        self._thread: threading.Thread | None = None

    def start(self, name: str) -> None:
        """Say that we are here, and start the link's own thread."""
        self._flush()
        self._thread = threading.Thread(target=self._watch, name=name, daemon=True)
        self._thread.start()

    @property
    def over(self) -> str:
        """Why nothing more will come or go; "" while the link is alive."""
        return self._over

    @property
    def told(self) -> bool:
        """Whether nothing more will come, and `lost` was called or is being called."""
        return self._told

    # Sending.

    @property
    def writable(self) -> bool:
        """Whether `send` would not wait."""
        return self._session.writable

    def watch_room(self, watcher: Woken) -> None:
        """Wake this one, from now on, when the link is writable again."""
        self._room.append(watcher)

    def send(self, head: Buffer, parts: Sequence[Buffer] = ()) -> None:
        """Send a message; waits while too much is on its way (N4).

        PeerLost if it can't be sent; MessageTooLarge.
        """
        with self._lock:
            if not self._session.writable:
                self._wait_for_room()
            self._send(head, parts)
            if self._writing or not self._take(sure=True):
                return  # who writes takes it along
        self._write(patient=True)

    def post(self, head: Buffer, parts: Sequence[Buffer] = ()) -> None:
        """Send a short message without waiting for anything, as a delivery may.

        PeerLost if it can't be sent.
        """
        with self._lock:
            self._send(head, parts)
            if self._writing or not self._take(sure=True):
                return
        self._write(patient=False)

    def _send(self, head: Buffer, parts: Sequence[Buffer]) -> None:
        if self._over:
            raise PeerLost(self._over)
        try:
            self._session.send(head, parts)
        except Closed:
            raise PeerLost("the link is being closed") from None
        except BaseException as exc:
            if _interrupts(exc):
                self._end(_broken("sent", exc))
            raise

    def _wait_for_room(self) -> None:
        waiting = Waiting()
        self._room.append(waiting)
        self._lock.release()
        try:
            self.wait(waiting, lambda: self._session.writable or bool(self._over), None)
        finally:
            self._lock.acquire()
            self._room.remove(waiting)

    def _take(self, *, sure: bool = False) -> bool:
        # With the lock: whether there is something to write; then the caller is the one who does.
        # sure: there is something, if the window has room.
        if not self._unwritten and (sure or self._session.due):
            self._unwritten = self._session.take()
        self._writing = bool(self._unwritten) and not self._told
        return self._writing

    def _write(self, *, patient: bool) -> None:
        # Only by the thread whose `_take` said so. Who is not patient leaves the rest to the reader.
        ours = True
        waits = False
        try:
            while ours:
                try:
                    self._write_some()
                except BlockingIOError:
                    if not patient or self._over:
                        ours = False
                        self._leave()
                        return
                    waits = True
                    self._wait_to_write()
                    waits = False
                except OSError as exc:
                    # Why is what the reader finds; it also finds what came before the end.
                    log.debug("a link can't be written to: %s", exc)
                    ours = False
                    self._give_up()
                    return
                with self._lock:
                    ours = self._take()
        except BaseException as exc:
            if waits:
                self._leave()  # nothing was begun
            elif ours:
                # By Ctrl-C, say, and nobody knows how much the stream took: nothing can follow it.
                self._end(_broken("written", exc))
                self._give_up()
            raise

    def _write_some(self) -> None:
        buffers = self._unwritten
        if len(buffers) == 1:
            count = os.write(self._stream.writer, buffers[0])
        else:
            count = os.writev(self._stream.writer, buffers[:_MOST_BUFFERS])
        self._written(count)

    def _leave(self) -> None:
        # The reader looks for room as well.
        with self._lock:
            self._writing = False
        self.stir()

    def _give_up(self) -> None:
        with self._lock:
            self._unwritten = []
            self._writing = False

    def _written(self, count: int) -> None:
        buffers = self._unwritten
        if len(buffers) == 1 and len(buffers[0]) == count:
            buffers.clear()
            return
        done = 0
        for buffer in buffers:
            size = len(buffer)
            if count < size:
                break
            count -= size
            done += 1
        del buffers[:done]
        if count:
            buffers[0] = memoryview(buffers[0])[count:]

    def _wait_to_write(self) -> None:
        poll = select.poll()
        poll.register(self._stream.writer, select.POLLOUT)
        poll.poll(_ROOM_MS)

    # Waiting and reading.

    def wait(self, waiting: Waiting, ready: Callable[[], bool], timeout: float | None) -> bool:
        """Until `ready()`, which somebody who calls `waiting.wake()` made true; what it is at the end.

        False after `timeout` seconds, or when nothing more will come. Meanwhile this thread may
        read, and deliver to others.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        rest: float | None = None
        followed = False
        try:
            while not ready():
                if self._told:
                    return ready()
                if deadline is not None and (rest := deadline - time.monotonic()) <= 0:
                    return False
                if self._reading.acquire(blocking=False):
                    if self._visit(waiting, ready, deadline):
                        return True
                elif self._reader == threading.get_ident():
                    self._step(rest)
                else:
                    followed = True
                    self._follow(waiting, -1 if rest is None else rest)
            return True
        finally:
            # The turn may have come to this thread, which did not take it.
            if followed and not self._reading.locked():
                self._call_next()

    def _visit(self, waiting: Waiting, ready: Callable[[], bool], deadline: float | None) -> bool:
        # Read in place of the link's own thread; whether it is ready.
        self._reader = waiting.reads = threading.get_ident()
        waiting.stir = self.stir
        self._visits += 1
        rest: float | None = None
        try:
            while not ready():
                if self._told:
                    return False
                if deadline is not None and (rest := deadline - time.monotonic()) <= 0:
                    return False
                self._step(rest)
            return True
        finally:
            waiting.reads = 0
            self._pass_on()

    def _follow(self, waiting: Waiting, seconds: float) -> None:
        self._followers.append(waiting)
        try:
            # Whoever reads may have stopped before it could see us.
            if self._reading.locked():
                if self._thread is not None and self._reader == self._thread.ident:
                    self.stir()
                waiting.sleep(seconds)
        finally:
            self._followers.remove(waiting)

    def _pass_on(self) -> None:
        self._reader = 0
        self._reading.release()
        self._call_next()

    def _call_next(self) -> None:
        if self._followers:
            try:
                self._followers[0].wake()
            except IndexError:
                pass  # it gave up meanwhile
        elif self._parked:
            self._parked = False
            self._idle.set()

    def stir(self) -> None:
        """Have whoever reads call `stirred`, soon. Takes no lock: a finalizer may do it at any moment."""
        self._called = True
        try:
            self._nudged.send(b"\0")
        except OSError:
            pass  # full of such bytes, or closed

    def _is_told(self) -> bool:
        return self._told

    def _watch(self) -> None:
        # The link's own thread.
        try:
            while not self._is_told():
                try:
                    self._take_turns()
                except BaseException as exc:
                    log.exception("an error in a link's own thread, which ends the link")
                    self._end(f"an error of this end: {exc!r}")
        finally:
            self._shut()

    def _take_turns(self) -> None:
        # Read while nobody else does. It takes no turn away from threads that come and go: to be
        # woken by it would cost them more than the reading.
        seen = self._visits
        while not self._is_told():
            if seen != self._visits:
                seen = self._visits
                self._idle.wait(PATIENCE)
            elif self._reading.acquire(blocking=False):
                self._reader = threading.get_ident()
                try:
                    while not (self._is_told() or self._followers):
                        self._step(None)
                finally:
                    seen = -1  # to who follows, the first turn
                    self._pass_on()
            else:
                self._park()
                seen = -1

    def _shut(self) -> None:
        # Nobody begins to write any more; who does may still be about to use the descriptor, whose
        # number is somebody else's once it is closed.
        until = time.monotonic() + _LAST_WRITE
        while self._writes() and time.monotonic() < until:
            time.sleep(_GLANCE)
        self._stream.close()
        self._nudge.close()
        self._nudged.close()

    def _writes(self) -> bool:
        with self._lock:
            return self._writing

    def _park(self) -> None:
        # Until the thread that reads stops, however long that takes, also if the link is over: that
        # thread still delivers what came before.
        self._idle.clear()
        self._parked = True
        if self._reading.locked():
            self._idle.wait()
        self._parked = False
        self._idle.clear()

    def _step(self, timeout: float | None) -> None:
        # Deliver what is there; or wait for something to come, once. Only by who reads.
        events = self._events
        if self._called:
            # Here and not where the poll tells of it: who looks and finds something never polls.
            self._called = False
            self._call_stirred()
        if not events:
            if self._over:
                self._tell()
                return
            if self._dry:
                self._poll(timeout)
                if self._dry:
                    return
            self._read()
        # What came in one piece is delivered in one go: who waits for one item finds the next ones.
        until = time.monotonic() + _BATCH
        while events:
            # Ctrl-C may come between any two calls, so not `popleft`: there is none here.
            event = events[0]
            del events[0]
            try:
                self._handle(event)
            except BaseException as exc:
                # Nobody knows how much of it was done, and whose it was.
                self._end(_broken("delivered", exc))
                if _interrupts(exc):
                    raise
                log.exception("an error in a delivery, which ends the link")
            if time.monotonic() > until:
                return

    def _read(self) -> None:
        buffer = self._session.get_buffer()
        try:
            count = os.readv(self._stream.reader, [buffer])
            if count:
                self._dry = count < len(buffer)
                self._received(count)
            else:
                self._end("the peer ended the stream")
        except BlockingIOError:
            self._dry = True
        except ConnectionResetError:
            self._end("the peer ended the stream")
        except OSError as exc:
            self._end(f"the stream broke: {exc.strerror or exc}")
        except BaseException as exc:
            # What was read is gone.
            self._end(_broken("read", exc))
            raise

    def _received(self, count: int) -> None:
        with self._lock:
            self._events.extend(self._session.received(count, time.monotonic()))
            due = self._session.due
        if due:
            self._flush()

    def _poll(self, timeout: float | None) -> None:
        # Until there are bytes (then the stream is not dry any more) or something else to do.
        moment = self._patience.moment
        if moment and self._look(moment if timeout is None else min(moment, timeout)):
            return
        blocked = bool(self._unwritten) and not self._writing
        began = time.monotonic()
        if blocked:
            self._poller.register(self._stream.writer, select.POLLOUT | self._writer_events)
        try:
            found = self._poller.poll(None if timeout is None else min(max(timeout, 0), _LONGEST) * 1000)
        finally:
            if blocked:
                self._unblock()
        self._patience.slept(time.monotonic() - began)
        for descriptor, events in found:
            if descriptor == self._nudge.fileno():
                with contextlib.suppress(BlockingIOError):
                    self._nudge.recv(4096)
            elif descriptor == self._stream.reader and events & ~select.POLLOUT:
                self._dry = False
        if blocked:
            self._flush()

    def _look(self, moment: float) -> bool:
        # Whether bytes come within a moment; who looks need not be woken.
        until = time.monotonic() + moment
        while time.monotonic() < until:
            self._read()
            if self._events or self._over:
                self._patience.found()
                return True
        return False

    def _unblock(self) -> None:
        if self._writer_events:
            self._poller.modify(self._stream.reader, select.POLLIN)
        else:
            self._poller.unregister(self._stream.writer)

    def _flush(self) -> None:
        # Acknowledge, and write what was kept for want of room.
        with self._lock:
            if self._writing or not self._take():
                return
        self._write(patient=False)

    def _call_stirred(self) -> None:
        try:
            self._stirred()
        except TaskCancelled:
            raise
        except Exception:
            log.exception("an error in what is done for finalizers")

    def _handle(self, event: sessions.Event) -> None:
        if type(event) is sessions.Message:
            try:
                self._deliver(event.head, event.tail)
            except RemoteProtocolError as exc:
                self._end(f"the peer broke the rules: {exc}")
            return
        match event:
            case sessions.Writable():
                for waiting in list(self._room):
                    waiting.wake()
            case sessions.Ended():
                self._end("the peer closed the connection")
            case sessions.Violation(reason):
                self._end(f"the peer broke the wire's rules: {reason}")
            case sessions.Undelivered(_, size):
                self._end(f"there is no memory here for a message of {size} bytes")
            case _:
                # Only a session that is resumed has other events, and a link has one connection.
                self._end(f"the peer tried to resume a session: {type(event).__name__}")

    # Ending.

    def close(self, reason: str, patience: float = _FAREWELL) -> None:
        """Say goodbye and end. May be repeated.

        patience  seconds to write what was sent before, which goes first.
        """
        deadline = time.monotonic() + patience
        while not self._say_goodbye(reason):
            if self._over or time.monotonic() > deadline:
                break
            self._idle.wait(_GLANCE)
            self._flush()
        while self._unwritten and not self._over and time.monotonic() < deadline:
            self._idle.wait(_GLANCE)
            self._flush()
        self._end(reason)

    def _say_goodbye(self, reason: str) -> bool:
        # Whether it is on its way, behind all that was sent before.
        with self._lock:
            if self._session.state is SessionState.CLOSED:
                return True
            if self._writing or self._unwritten or self._session.due:
                return False
            self._session.close(reason)
            if not self._take():
                return True
        self._write(patient=False)
        return True

    def _end(self, reason: str) -> None:
        if not self._over:
            self._over = reason
            self._idle.set()
            self.stir()

    def _tell(self) -> None:
        # By who reads, once all that came is delivered.
        if self._told:
            return
        self._told = True
        with self._lock:
            if self._session.state is not SessionState.CLOSED:
                self._session.close(self._over)
        try:
            self._lost(self._over)
        except Exception:
            log.exception("an error in what is told of a link's end")
        finally:
            for waiting in (*self._room, *self._followers):
                waiting.wake()

    def join(self, timeout: float | None) -> bool:
        """Wait until nothing more will be delivered and the stream is closed."""
        if self._thread is None or self._thread is threading.current_thread():
            return True
        self._thread.join(timeout)
        return not self._thread.is_alive()


def _interrupts(exc: BaseException) -> bool:
    # Whether it is none of what was called: Ctrl-C, or what stops a call from another thread.
    return isinstance(exc, TaskCancelled) or not isinstance(exc, Exception)


def _broken(what: str, exc: BaseException) -> str:
    if _interrupts(exc):
        return f"interrupted in the middle of a message that was {what}: {type(exc).__name__}"
    return f"an error of this end in the middle of a message that was {what}: {exc!r}"


# Proving.


class Meeting(NamedTuple):
    """Both ends have proved the key: what a Link goes on with."""

    session: Session
    left_over: bytes  # came behind the proof


def prove(
    stream: Stream, keyring: Keyring, limits: Limits, *, dialer: bool, timeout: float, first: bytes = b""
) -> Meeting:
    """Have both ends prove the key, in the calling thread.

    first  bytes of the other end that were read already.
    AuthenticationError, VersionMismatch, RemoteProtocolError, Timeout, PeerLost if the other end
    closed without a word, or an OSError of the stream.
    """
    our = Incarnation(secrets.token_bytes(16))
    handshake = Handshake(
        dialer=dialer,
        incarnation=our,
        roles=Role.PEER,
        keyring=keyring,
        nonce=secrets.token_bytes(NONCE_BYTES),
        max_message_bytes=limits.max_message_bytes,
        unix_same_uid=stream.private,
    )
    deadline = time.monotonic() + timeout
    proven: Proven | Failed | None = None
    silent = True
    try:
        stream.write(handshake.opening(), deadline)
        while proven is None:
            data = first or stream.read(4096, deadline)
            first = b""
            if data:
                silent = False
                answer, proven = handshake.received(data)
                stream.write(answer, deadline)
            elif silent:
                raise PeerLost("the other end closed the stream before it said anything")
            else:
                proven = handshake.broken()
    except TimeoutError:
        raise Timeout(
            f"the other end did not prove the key in {timeout:g} s; we waited for {handshake.state.value}"
        ) from None
    if isinstance(proven, Failed):
        raise proven.error()
    session = Session(
        our, proven.peer.incarnation, replace(limits, max_message_bytes=proven.max_message_bytes)
    )
    session.attach(
        proven.send_key,
        proven.receive_key,
        proven.tags,
        dialer=dialer,
        session_id=secrets.token_bytes(HALF_BYTES),
        now=time.monotonic(),
        credential=proven.credential,
    )
    return Meeting(session, proven.left_over)
