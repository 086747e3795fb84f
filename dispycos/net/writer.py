"""Writers: the half of a link that sends.

Whoever sends writes, and takes along what others add meanwhile. What the stream does not take is
kept: who may wait does, what others leave is written by the thread that reads, which never waits
to write; so two ends that both send much cannot stop each other.

I/O half. Layer 3. Rules N2, N4, N7.
"""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from dispycos.errors import PeerLost
from dispycos.model import Buffer
from dispycos.net.ending import Ending, broken, interrupts
from dispycos.net.single import SingleSession
from dispycos.net.waiting import Waiting

log = logging.getLogger("dispycos")

_MOST_BUFFERS: Final = 512  # of one writev(2)
_LOOK: Final = 0.1  # seconds between looks whether a link without room is over meanwhile


class Writer:
    """Of one link; any thread.

    descriptor   that it writes to, non-blocking.
    end          ends the link, with why.
    call_reader  has the thread that reads look whether there is something to write, or room.
    """

    def __init__(
        self,
        descriptor: int,
        session: SingleSession,
        ending: Ending,
        end: Callable[[str], None],
        call_reader: Callable[[], None],
    ) -> None:
        self._descriptor = descriptor
        self._session = session
        self._ending = ending
        self._end = end
        self._call_reader = call_reader
        self._lock = threading.Lock()  # of the session and of all that follows
        self._writing = False  # a thread writes, or is about to
        self._unwritten: list[Buffer] = []  # what the session gave out and the stream did not take yet
        self._successors: list[Waiting] = []  # threads that wait until nobody writes

    @property
    def blocked(self) -> bool:
        """Whether something waits for room in the stream, and nobody else waits with it."""
        return bool(self._unwritten) and not self._writing

    @property
    def behind(self) -> bool:
        """Whether something is not written yet."""
        return bool(self._unwritten or self._session.waiting)

    def send_alone(self, head: Buffer, tail: Buffer, patient: bool) -> bool:
        """The usual case of `send`, made short. False: nothing was done, and `send` is to be asked.

        Nothing waits to be written, nobody writes, and the stream takes all of it at once.
        """
        if type(head) is not bytes or type(tail) is not bytes:
            return False
        session = self._session
        begun = False
        try:
            with self._lock:
                if self._writing or self._unwritten or self._ending.reason:
                    return False
                self._writing = begun = True
                frame = session.alone(head, tail)
                if frame is None:
                    self._writing = begun = False
                    self._wake_successors()
                    return False
            try:
                count = os.write(self._descriptor, frame)
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
            if self._successors:
                self._wake_successors()
        except BaseException as exc:
            if begun:
                if interrupts(exc):
                    # Nobody knows how much of it is on its way: nothing can follow it.
                    self._end(broken("sent", exc))
                self._give_up()
            raise
        if self._unwritten or session.ready or session.more:
            self.send(None, (), patient)
        return True

    def send(self, head: Buffer | None, parts: Sequence[Buffer], patient: bool) -> None:
        """Send a message.

        head     None: only write what waits.
        patient  wait for room; otherwise the reader writes what the stream does not take now.
        PeerLost if it can't be sent; MessageTooLarge.
        """
        session = self._session
        begun = writes = False
        try:
            with self._lock:
                if head is not None:
                    if self._ending.reason:
                        raise PeerLost(self._ending.reason)
                    if session.closed:
                        raise PeerLost("the link is being closed")
                    begun = True
                    session.put(head, parts)
                if self._writing or self._ending.told:
                    return  # who writes takes it along
                self._writing = writes = True
                if not self._unwritten:
                    self._unwritten = session.take()
            interrupted = self._write(patient)
        except BaseException as exc:
            if (begun or writes) and interrupts(exc):
                # Nobody knows how much of it is on its way: nothing can follow it.
                self._end(broken("sent", exc))
            if writes:
                self._give_up()
            raise
        if interrupted is not None:
            raise interrupted

    def flush(self) -> None:
        """Write what was kept for want of room, as far as there is some now."""
        if self._unwritten or self._session.waiting:
            self.send(None, (), False)

    def drain(self, deadline: float) -> None:
        """Write what was kept until `deadline` (monotonic seconds), or until the link is over."""
        while self.behind and not self._ending.reason and (left := deadline - time.monotonic()) > 0:
            # Who writes just now takes all along; if he leaves something, it is for want of room.
            if self.wait_idle(left):
                self._wait_to_write(left)
                self.flush()

    def wait_idle(self, timeout: float) -> bool:
        """Wait until no thread writes; False after so many seconds."""
        waiting = Waiting()
        deadline = time.monotonic() + timeout
        self._successors.append(waiting)
        try:
            # Whoever stops to write sees us, or is seen here not to write.
            while self._writing:
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                waiting.sleep(left)
            return True
        finally:
            self._successors.remove(waiting)

    def close(self) -> None:
        """Let nothing more be sent after what was sent before."""
        with self._lock:
            self._session.close()

    def disown(self) -> None:
        """In a forked child, where a thread of the parent's may have the lock for ever."""
        self._lock = threading.Lock()

    def _write(self, patient: bool) -> BaseException | None:
        # Only by the thread that set `_writing`. What interrupted it while it waited for room; then
        # nothing was begun, and the rest is the reader's to write.
        session = self._session
        while True:
            buffers = self._unwritten
            try:
                if len(buffers) == 1:
                    count = os.write(self._descriptor, buffers[0])
                    if count == len(buffers[0]):
                        buffers.clear()
                    else:
                        buffers[0] = memoryview(buffers[0])[count:]
                elif buffers:
                    _cut(buffers, os.writev(self._descriptor, buffers[:_MOST_BUFFERS]))
            except BlockingIOError:
                if not patient or self._ending.reason:
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
        self._wake_successors()
        if session.freed:
            self._call_reader()
        return None

    def _leave(self) -> None:
        # The reader looks for room as well.
        with self._lock:
            self._writing = False
        self._wake_successors()
        self._call_reader()

    def _cannot_write(self, error: OSError) -> None:
        # Why is what the reader finds; it also finds what came before the end.
        log.debug("a link can't be written to: %s", error)
        self._give_up()

    def _give_up(self) -> None:
        with self._lock:
            self._unwritten = []
            self._writing = False
        self._wake_successors()

    def _wake_successors(self) -> None:
        for waiting in list(self._successors):
            waiting.wake()

    def _wait_to_write(self, timeout: float = _LOOK) -> None:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        poll.poll(min(timeout, _LOOK) * 1000)


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
