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
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from dispycos import forks
from dispycos.errors import PeerLost, RemoteProtocolError, TaskCancelled
from dispycos.model import Buffer
from dispycos.net.patience import AWAY, Patience
from dispycos.net.proof import Meeting
from dispycos.net.resting import REST_AFTER, Resting
from dispycos.net.stream import Stream
from dispycos.net.waiting import LONGEST, Waiting, Woken

log = logging.getLogger("dispycos")

# Seconds for which the link's own thread leaves reading to others after one of them has read:
# they come back sooner than that in a lively exchange, and find nobody to wake. While that goes on
# it looks less often: to look puts aside who reads, and reading by looking is what is fast.
PATIENCE: Final = 0.005
MOST_PATIENCE: Final = 0.02

# Seconds for which who reads goes on delivering, though what it waits for may be there already.
_BATCH: Final = 0.0005

FAREWELL: Final = 1.0  # seconds to write the last words of a link that is closed
_LAST_WRITE: Final = 5.0  # seconds for who writes to see that the link is over
_GLANCE: Final = 0.002  # seconds between looks whether all was written
_MOST_BUFFERS: Final = 512  # of one writev(2)
_ROOM_MS: Final = 100  # between looks whether a link without room is over meanwhile


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
        self._writing = False  # a thread writes, or is about to
        self._unwritten: list[Buffer] = []  # what the session gave out and the stream did not take yet
        self._room: list[Woken] = []  # senders that wait until the session has room
        # Its one item is the right to read: who takes it out reads. To delete an item is a single
        # instruction, so Ctrl-C never comes between having the right and knowing it.
        self._turn = [None]
        self._reader = 0  # ident of the thread that reads
        self._visits = 0  # reads by other threads than the link's own
        self._followers: deque[Waiting] = deque()  # threads that wait while another one reads
        # Head and tail of what was read and not delivered yet.
        self._messages = deque(meeting.session.feed(meeting.left_over))
        self._dry = False  # the stream had nothing more to read when it was read last
        self._idle = Waiting()  # the link's own thread, while others read or did so just now
        self._parked = False  # the link's own thread waits for the one that reads to stop
        self._called = False  # who reads is to look what else there is to do
        self._stir_due = False  # `stirred` is to be called
        # Takes who reads out of its poll. No bare descriptors: who writes to one that was closed
        # meanwhile may write to a file of others that has its number now.
        self._nudge, self._nudged = socket.socketpair()
        for nudging in (self._nudge, self._nudged):
            nudging.setblocking(False)
        self._patience = Patience()
        self._bytes_only = [(stream.reader, select.POLLIN)]  # what a poll answers mostly
        self._poller = select.poll()
        self._poller.register(stream.reader, select.POLLIN)
        self._poller.register(self._nudge, select.POLLIN)
        # A socket is one descriptor: to wait for room in it is to wait for bytes as well.
        self._writer_events = select.POLLIN if stream.reader == stream.writer else 0
        self._over = ""  # why nothing more will come
        self._told = False  # `lost` was called
        self._name = ""
        self._thread: threading.Thread | None = None
        self._resting: Resting | None = None
        self._shut_down = threading.Event()  # the stream is closed
        self._elsewhere = ""  # why it is not this process's
        # Called in a forked child, as `forks` says. Who waits looks himself.
        self.disowned: Callable[[str], None] | None = None
        _links.add(self)

    def start(self, name: str, resting: Resting | None = None) -> None:
        """Say that we are here, and start the link's own thread.

        resting  watches the link while nothing happens, and it has no thread then.
        """
        self._name = name
        self._resting = resting
        self._flush()
        self.resume()

    # As what rests.

    def descriptors(self) -> tuple[int, ...]:
        """What becomes readable when there is something to read, or something else to do."""
        return self._stream.reader, self._nudge.fileno()

    def resume(self) -> None:
        """Start the link's own thread. RuntimeError if there can't be one more."""
        before = self._thread
        self._thread = threading.Thread(target=self._watch, name=self._name, daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            self._thread = before
            raise

    @property
    def over(self) -> str:
        """Why nothing more will come or go; "" while the link is alive."""
        return self._over

    @property
    def told(self) -> bool:
        """Whether nothing more will come, and `lost` was called or is being called."""
        return self._told

    @property
    def elsewhere(self) -> str:
        """In a forked child: why the link is not its own. "" in the process that began it."""
        return self._elsewhere

    # Sending.

    @property
    def writable(self) -> bool:
        """Whether `send` would not wait."""
        return not self._session.stopped

    def watch_room(self, watcher: Woken) -> None:
        """Wake this one, from now on, when the link is writable again."""
        self._room.append(watcher)

    def send(self, head: Buffer, parts: Sequence[Buffer] = ()) -> None:
        """Send a message; waits while too much is on its way (N4).

        PeerLost if it can't be sent; MessageTooLarge.
        """
        if self._session.stopped:
            self._wait_for_room()
        if len(parts) != 1 or not self._send_alone(head, parts[0], True):
            self._send(head, parts, True)

    def post(self, head: Buffer, parts: Sequence[Buffer] = ()) -> None:
        """Send a short message without waiting for anything, as a delivery may.

        PeerLost if it can't be sent.
        """
        if len(parts) != 1 or not self._send_alone(head, parts[0], False):
            self._send(head, parts, False)

    def _send_alone(self, head: Buffer, tail: Buffer, patient: bool) -> bool:
        # The usual case, made short: nothing waits to be written, nobody writes, and the stream
        # takes all of it at once. False: nothing was done, and `_send` is to be asked.
        if type(head) is not bytes or type(tail) is not bytes:
            return False
        session = self._session
        begun = False
        try:
            with self._lock:
                if self._writing or self._unwritten or self._over:
                    return False
                self._writing = begun = True
                frame = session.alone(head, tail)
                if frame is None:
                    self._writing = begun = False
                    return False
            try:
                count = os.write(self._stream.writer, frame)
            except BlockingIOError:
                count = 0
            except OSError as exc:
                self._cannot_write(exc)
                return True
            # Nobody else touches these while `_writing` is set.
            if count < len(frame):
                self._unwritten = [memoryview(frame)[count:]]
            # Whoever put something meanwhile saw that we write, or it is seen here.
            self._writing = False
        except BaseException as exc:
            if begun:
                if _interrupts(exc):
                    # Nobody knows how much of it is on its way: nothing can follow it.
                    self._end(_broken("sent", exc))
                self._give_up()
            raise
        if self._unwritten or session.ready or session.more:
            self._send(None, (), patient)
        return True

    def _send(self, head: Buffer | None, parts: Sequence[Buffer], patient: bool) -> None:
        # head  None: only write what waits.
        # Who is not patient leaves to the reader what the stream does not take now.
        session = self._session
        begun = writes = False
        try:
            with self._lock:
                if head is not None:
                    if self._over:
                        raise PeerLost(self._over)
                    if session.closed:
                        raise PeerLost("the link is being closed")
                    begun = True
                    session.put(head, parts)
                if self._writing or self._told:
                    return  # who writes takes it along
                self._writing = writes = True
                if not self._unwritten:
                    self._unwritten = session.take()
            interrupted = self._write(patient)
        except BaseException as exc:
            if (begun or writes) and _interrupts(exc):
                # Nobody knows how much of it is on its way: nothing can follow it.
                self._end(_broken("sent", exc))
            if writes:
                self._give_up()
            raise
        if interrupted is not None:
            raise interrupted

    def _wait_for_room(self) -> None:
        waiting = Waiting()
        self._room.append(waiting)
        try:
            self.wait(waiting, lambda: not self._session.stopped or bool(self._over), None)
        finally:
            self._room.remove(waiting)

    def _write(self, patient: bool) -> BaseException | None:
        # Only by the thread that set `_writing`. What interrupted it while it waited for room; then
        # nothing was begun, and the rest is the reader's to write.
        session = self._session
        while True:
            buffers = self._unwritten
            try:
                if len(buffers) == 1:
                    count = os.write(self._stream.writer, buffers[0])
                    if count == len(buffers[0]):
                        buffers.clear()
                    else:
                        buffers[0] = memoryview(buffers[0])[count:]
                elif buffers:
                    _cut(buffers, os.writev(self._stream.writer, buffers[:_MOST_BUFFERS]))
            except BlockingIOError:
                if not patient or self._over:
                    self._leave()
                    return None
                try:
                    self._wait_to_write()
                except BaseException as exc:
                    self._leave()
                    return exc
            except OSError as exc:
                self._cannot_write(exc)
                return None
            if buffers:
                continue
            with self._lock:
                if not (session.ready or session.more):
                    self._writing = False
                    break
                self._unwritten = session.take()
        if session.freed:
            self._call_reader()
        return None

    def _leave(self) -> None:
        # The reader looks for room as well.
        with self._lock:
            self._writing = False
        self._call_reader()

    def _cannot_write(self, error: OSError) -> None:
        # Why is what the reader finds; it also finds what came before the end.
        log.debug("a link can't be written to: %s", error)
        self._give_up()

    def _give_up(self) -> None:
        with self._lock:
            self._unwritten = []
            self._writing = False

    def _wait_to_write(self) -> None:
        poll = select.poll()
        poll.register(self._stream.writer, select.POLLOUT)
        poll.poll(_ROOM_MS)

    def _flush(self) -> None:
        # Write what was kept for want of room.
        if self._unwritten or self._session.waiting:
            self._send(None, (), False)

    # Waiting and reading.

    def wait(self, waiting: Waiting, ready: Callable[[], bool], timeout: float | None) -> bool:
        """Until `ready()`, which somebody who calls `waiting.wake()` made true; what it is at the end.

        False after `timeout` seconds, or when nothing more will come. Meanwhile this thread may
        read, and deliver to others.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        rest: float | None = None
        me = threading.get_ident()
        reads = followed = False
        try:
            # Nobody need look twice if the turn is free.
            if self._turn:
                try:
                    del self._turn[0]
                    reads = True
                except IndexError:
                    pass  # another thread was faster
                else:
                    self._reader = waiting.reads = me
                    waiting.stir = self._call_reader
                    self._visits += 1
            while not ready():
                if self._told:
                    return ready()
                if deadline is not None and (rest := deadline - time.monotonic()) <= 0:
                    return False
                if reads or self._reader == me:  # this time, or around it
                    self._step(rest)
                elif self._turn:
                    try:
                        del self._turn[0]
                        reads = True
                    except IndexError:
                        continue  # another thread was faster
                    self._reader = waiting.reads = me
                    waiting.stir = self._call_reader
                    self._visits += 1
                else:
                    followed = True
                    self._follow(waiting, -1 if rest is None else rest)
            return True
        finally:
            if reads:
                waiting.reads = self._reader = 0
                self._turn.append(None)
            # The turn may also have come to a thread that did not take it.
            if (reads or followed) and (self._followers or self._parked) and self._turn:
                self._call_next()

    def _follow(self, waiting: Waiting, seconds: float) -> None:
        self._followers.append(waiting)
        try:
            # Whoever reads may have stopped before it could see us.
            if not self._turn:
                if self._thread is not None and self._reader == self._thread.ident:
                    self._call_reader()
                waiting.sleep(seconds)
        finally:
            self._followers.remove(waiting)

    def _call_next(self) -> None:
        if self._followers:
            try:
                self._followers[0].wake()
            except IndexError:
                pass  # it gave up meanwhile
        elif self._parked:
            self._parked = False
            self._idle.wake()

    def stir(self) -> None:
        """Have whoever reads call `stirred`, soon. Takes no lock: a finalizer may do it at any moment."""
        self._stir_due = True
        self._call_reader()

    def _call_reader(self) -> None:
        # Out of its poll, to look what else there is to do.
        self._called = True
        try:
            self._nudged.send(b"\0")
        except OSError:
            pass  # full of such bytes, or closed

    def _is_told(self) -> bool:
        return self._told

    def _watch(self) -> None:
        # The link's own thread.
        rests = False
        try:
            while not self._is_told() and not rests:
                try:
                    # Another thread of the link may begin at once, so this one does nothing more.
                    rests = self._take_turns() and self._resting is not None and self._resting.add(self)
                except BaseException as exc:
                    log.exception("an error in a link's own thread, which ends the link")
                    self._end(f"an error of this end: {exc!r}")
        finally:
            if not rests:
                self._shut()

    def _take_turns(self) -> bool:
        # Read while nobody else does; True if nothing came for so long that it may rest. It takes no
        # turn away from threads that come and go: to be woken by it would cost them more than the
        # reading.
        seen = self._visits
        patience = PATIENCE
        while not self._is_told():
            if seen != self._visits:
                seen = self._visits
                self._idle.sleep(patience)
                patience = min(2 * patience, MOST_PATIENCE)
            elif self._turn:
                try:
                    del self._turn[0]
                except IndexError:
                    continue  # another thread was faster
                self._reader = threading.get_ident()
                try:
                    while not (self._is_told() or self._followers):
                        if self._resting is None:
                            self._step(None)
                        elif self._is_quiet():
                            return True
                finally:
                    seen = -1  # to who follows, the first turn
                    patience = PATIENCE
                    self._reader = 0
                    self._turn.append(None)
                    self._call_next()
            else:
                self._park()
                seen = -1
        return False

    def _is_quiet(self) -> bool:
        # Whether a step found nothing to do for so long, and nothing is left to do.
        began = time.monotonic()
        self._step(REST_AFTER)
        return (
            time.monotonic() - began >= REST_AFTER
            and self._dry
            and not (self._messages or self._over or self._called)
            and not (self._unwritten or self._session.waiting)
        )

    def _shut(self) -> None:
        # Nobody begins to write any more; who does may still be about to use the descriptor, whose
        # number is somebody else's once it is closed.
        until = time.monotonic() + _LAST_WRITE
        while self._writes() and time.monotonic() < until:
            time.sleep(_GLANCE)
        self._stream.close()
        self._nudge.close()
        self._nudged.close()
        self._shut_down.set()

    def _writes(self) -> bool:
        with self._lock:
            return self._writing

    def _park(self) -> None:
        # Until the thread that reads stops, however long that takes, also if the link is over: that
        # thread still delivers what came before.
        self._parked = True
        if not self._turn:
            self._idle.sleep(-1)
        self._parked = False

    def _step(self, timeout: float | None) -> None:
        # Deliver what is there; or wait for something to come, once. Only by who reads.
        if self._called:
            # Here and not where the poll tells of it: who looks and finds something never polls.
            self._look_around()
        messages = self._messages
        if not messages:
            if self._over:
                self._tell()
                return
            if self._dry:
                self._poll(timeout)
            if not self._dry:
                self._read()
        # What came in one piece is delivered in one go: who waits for one item finds the next ones.
        until = 0.0
        while messages:
            # Ctrl-C may come between any two calls, so not `popleft`: there is none here.
            head, tail = messages[0]
            del messages[0]
            try:
                self._deliver(head, tail)
            except RemoteProtocolError as exc:
                self._end(f"the peer broke the rules: {exc}")
                messages.clear()
            except BaseException as exc:
                # Nobody knows how much of it was done, and whose it was.
                self._end(_broken("delivered", exc))
                if _interrupts(exc):
                    raise
                log.exception("an error in a delivery, which ends the link")
            if messages:
                now = time.monotonic()
                if not until:
                    until = now + _BATCH
                elif now > until:
                    return

    def _look_around(self) -> None:
        # What others asked of who reads.
        self._called = False
        try:
            if self._stir_due:
                self._stir_due = False
                try:
                    self._stirred()
                except TaskCancelled:
                    raise
                except Exception:
                    log.exception("an error in what is done for finalizers")
            if self._session.freed:
                self._session.freed = False
                for waiting in list(self._room):
                    waiting.wake()
        except BaseException:
            # By Ctrl-C, say: the next one does it all again.
            self._called = self._stir_due = self._session.freed = True
            raise

    def _read(self) -> None:
        session = self._session
        buffer = session.get_buffer()
        try:
            count = os.readv(self._stream.reader, [buffer])
            if count:
                self._dry = count < len(buffer)
                self._messages += session.received(count)
                if session.over:
                    self._end(session.over)
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
            found = self._poller.poll(None if timeout is None else min(max(timeout, 0), LONGEST) * 1000)
        finally:
            if blocked:
                self._unblock()
        self._patience.slept(time.monotonic() - began)
        if found == self._bytes_only:
            self._dry = False  # the usual case, made short
        else:
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
        before = time.monotonic()
        until = before + moment
        while before < until:
            self._read()
            now = time.monotonic()
            if now - before > AWAY:
                self._patience.put_aside()
                return bool(self._messages or self._over)
            if self._messages or self._over:
                self._patience.found()
                return True
            before = now
        return False

    def _unblock(self) -> None:
        if self._writer_events:
            self._poller.modify(self._stream.reader, select.POLLIN)
        else:
            self._poller.unregister(self._stream.writer)

    # Ending.

    def say_goodbye(self) -> None:
        """Send no more, after what was sent before. The link goes on until `close`."""
        with self._lock:
            self._session.close()
        self._flush()

    def close(self, reason: str, patience: float = FAREWELL) -> None:
        """Say goodbye and end. May be repeated.

        patience  seconds to write what was sent before, which goes first.
        """
        deadline = time.monotonic() + patience
        session = self._session
        self.say_goodbye()
        while (self._unwritten or session.waiting) and not self._over and time.monotonic() < deadline:
            time.sleep(_GLANCE)
            self._flush()
        self._end(reason)

    def _end(self, reason: str) -> None:
        if not self._over:
            self._over = reason
            self._idle.wake()
            self._call_reader()

    def _tell(self) -> None:
        # By who reads, once all that came is delivered.
        if self._told:
            return
        self._told = True
        with self._lock:
            self._session.close()
        try:
            self._lost(self._over)
        except Exception:
            log.exception("an error in what is told of a link's end")
        finally:
            for waiting in (*self._room, *self._followers):
                waiting.wake()

    def disown(self, reason: str) -> None:
        """In a forked child: read and write nothing more. The stream, which is the parent's, stays open."""
        self._lock = threading.Lock()
        self._elsewhere = reason
        self._over = self._over or reason
        self._told = True
        self._messages.clear()  # the parent delivers them
        self._thread = None
        if self.disowned is not None:
            self.disowned(reason)

    def join(self, timeout: float | None) -> bool:
        """Wait until nothing more will be delivered and the stream is closed."""
        thread = self._thread
        if thread is None or thread is threading.current_thread():
            return True
        if self._resting is None:
            thread.join(timeout)
            return not thread.is_alive()
        # It may rest now, and be closed by another thread than the last one.
        return self._shut_down.wait(timeout)


def _interrupts(exc: BaseException) -> bool:
    # Whether it is none of what was called: Ctrl-C, or what stops a call from another thread.
    return isinstance(exc, TaskCancelled) or not isinstance(exc, Exception)


def _broken(what: str, exc: BaseException) -> str:
    if _interrupts(exc):
        return f"interrupted in the middle of a message that was {what}: {type(exc).__name__}"
    return f"an error of this end in the middle of a message that was {what}: {exc!r}"


def _cut(buffers: list[Buffer], count: int) -> None:
    # So many bytes of them were written.
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


def _disown(link: Link) -> None:
    link.disown(f"process {os.getppid()} uses it, of which this one is a forked child: open another here")


_links = forks.each_in_child(_disown)
