"""Links: a session over one stream, for plain threads.

Where `net.endpoint` serves a program that has a reactor, a link needs nothing but the standard
library: it is what a gateway brings to a bare Python. Whoever waits for a message reads the
stream himself (`net.readers`), and waits for bytes in its `net.lookout`; a thread of the link
reads whenever nobody else does. Whoever sends writes (`net.writer`).

What came is delivered in order, by one thread at a time. `deliver` must not wait for other
threads; it may wait by `wait`, which then goes on delivering (nested, any depth).

A stream that breaks is not dialled again: the peer is lost. I/O half. Layer 3. Rules N1, N2, N7, N8.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from dispycos import forks
from dispycos.errors import RemoteProtocolError, TaskCancelled
from dispycos.model import Buffer
from dispycos.net.ending import Ending, broken, interrupts
from dispycos.net.lookout import Lookout
from dispycos.net.patience import AWAY, Patience
from dispycos.net.proof import Meeting
from dispycos.net.readers import Readers
from dispycos.net.resting import REST_AFTER, Resting
from dispycos.net.stream import Stream
from dispycos.net.waiting import Waiting, Woken
from dispycos.net.writer import Writer

log = logging.getLogger("dispycos")

# Seconds for which who reads goes on delivering, though what it waits for may be there already.
_BATCH: Final = 0.0005

FAREWELL: Final = 1.0  # seconds to write the last words of a link that is closed
_LAST_WRITE: Final = 5.0  # seconds for who writes to see that the link is over


class Link:
    """One end of a link. Every method may be called by any thread.

    wait     `Readers.wait`: until what this thread waits for has come; it may read meanwhile.
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
        self._ending = Ending()
        self._lookout = Lookout(stream)
        self._writer = Writer(stream.writer, meeting.session, self._ending, self._end, self._lookout.call)
        self._readers = Readers(self._ending, self._step, self._lookout.call)
        # Not a method that calls it: each question waits once.
        self.wait = self._readers.wait
        self._room: list[Woken] = []  # senders that wait until the session has room
        # Head and tail of what was read and not delivered yet.
        self._messages = deque(meeting.session.feed(meeting.left_over))
        self._dry = False  # the stream had nothing more to read when it was read last
        self._patience = Patience()
        self._stir_due = False  # `stirred` is to be called
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
        self._writer.flush()
        self.resume()

    # As what rests.

    def descriptors(self) -> tuple[int, ...]:
        """What becomes readable when there is something to read, or something else to do."""
        return self._lookout.descriptors()

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
        return self._ending.reason

    @property
    def told(self) -> bool:
        """Whether nothing more will come, and `lost` was called or is being called."""
        return self._ending.told

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
        if len(parts) != 1 or not self._writer.send_alone(head, parts[0], True):
            self._writer.send(head, parts, True)

    def post(self, head: Buffer, parts: Sequence[Buffer] = ()) -> None:
        """Send a short message without waiting for anything, as a delivery may.

        PeerLost if it can't be sent.
        """
        if len(parts) != 1 or not self._writer.send_alone(head, parts[0], False):
            self._writer.send(head, parts, False)

    def _wait_for_room(self) -> None:
        waiting = Waiting()
        self._room.append(waiting)
        try:
            self.wait(waiting, lambda: not self._session.stopped or bool(self._ending.reason), None)
        finally:
            self._room.remove(waiting)

    # Reading.

    def stir(self) -> None:
        """Have whoever reads call `stirred`, soon. Takes no lock: a finalizer may do it at any moment."""
        self._stir_due = True
        self._lookout.call()

    def _watch(self) -> None:
        # The link's own thread.
        rests = False
        resting = self._resting
        quiet = None if resting is None else self._is_quiet
        try:
            while not self._ending.is_told() and not rests:
                try:
                    # Another thread of the link may begin at once, so this one does nothing more.
                    rests = self._readers.read(quiet) and resting is not None and resting.add(self)
                except BaseException as exc:
                    log.exception("an error in a link's own thread, which ends the link")
                    self._end(f"an error of this end: {exc!r}")
        finally:
            if not rests:
                self._shut()

    def _is_quiet(self) -> bool:
        # Whether a step found nothing to do for so long, and nothing is left to do.
        began = time.monotonic()
        self._step(REST_AFTER)
        return (
            time.monotonic() - began >= REST_AFTER
            and self._dry
            and not (self._messages or self._ending.reason or self._lookout.called)
            and not self._writer.behind
        )

    def _step(self, timeout: float | None) -> None:
        # Deliver what is there; or wait for something to come, once. Only by who reads.
        if self._lookout.called:
            # Here and not where the poll tells of it: who looks and finds something never polls.
            self._look_around()
        messages = self._messages
        if not messages:
            if self._ending.reason:
                self._tell()
                return
            if self._dry:
                self._wait_for_bytes(timeout)
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
                self._end(broken("delivered", exc))
                if interrupts(exc):
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
        self._lookout.called = False
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
            self._lookout.called = self._stir_due = self._session.freed = True
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
            self._end(broken("read", exc))
            raise

    def _wait_for_bytes(self, timeout: float | None) -> None:
        # Until there are some (then the stream is not dry any more) or something else to do.
        moment = self._patience.moment
        if moment and self._look(moment if timeout is None else min(moment, timeout)):
            return
        blocked = self._writer.blocked
        began = time.monotonic()
        if self._lookout.wait(timeout, blocked):
            self._dry = False
        self._patience.slept(time.monotonic() - began)
        if blocked:
            self._writer.flush()

    def _look(self, moment: float) -> bool:
        # Whether bytes come within a moment; who looks need not be woken.
        before = time.monotonic()
        until = before + moment
        while before < until:
            self._read()
            now = time.monotonic()
            if now - before > AWAY:
                self._patience.put_aside()
                return bool(self._messages or self._ending.reason)
            if self._messages or self._ending.reason:
                self._patience.found()
                return True
            before = now
        return False

    # Ending.

    def say_goodbye(self) -> None:
        """Send no more, after what was sent before. The link goes on until `close`."""
        self._writer.close()
        self._writer.flush()

    def close(self, reason: str, patience: float = FAREWELL) -> None:
        """Say goodbye and end. May be repeated.

        patience  seconds to write what was sent before, which goes first.
        """
        deadline = time.monotonic() + patience
        self.say_goodbye()
        self._writer.drain(deadline)
        self._end(reason)

    def _end(self, reason: str) -> None:
        if self._ending.end(reason):
            self._readers.wake_own()
            self._lookout.call()

    def _tell(self) -> None:
        # By who reads, once all that came is delivered.
        if self._ending.told:
            return
        self._ending.told = True
        self._writer.close()
        try:
            self._lost(self._ending.reason)
        except Exception:
            log.exception("an error in what is told of a link's end")
        finally:
            for waiting in self._room.copy():
                waiting.wake()
            self._readers.wake_followers()

    def _shut(self) -> None:
        # Nobody begins to write any more; who does may still be about to use the descriptor, whose
        # number is somebody else's once it is closed.
        self._writer.wait_idle(_LAST_WRITE)
        self._stream.close()
        self._lookout.close()
        self._shut_down.set()

    def disown(self, reason: str) -> None:
        """In a forked child: read and write nothing more. The stream, which is the parent's, stays open."""
        self._writer.disown()
        self._elsewhere = reason
        self._ending.end(reason)
        self._ending.told = True
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


def _disown(link: Link) -> None:
    link.disown(f"process {os.getppid()} uses it, of which this one is a forked child: open another here")


_links = forks.each_in_child(_disown)
