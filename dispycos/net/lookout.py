"""Lookouts: where the thread that reads a link waits for bytes, for room to write, or to be called.

I/O half. Layer 3.
"""

from __future__ import annotations

import contextlib
import select
import socket

from dispycos.net.stream import Stream
from dispycos.net.waiting import LONGEST


class Lookout:
    """Of one link. One thread waits; any thread may call it."""

    def __init__(self, stream: Stream) -> None:
        self.called = False  # who reads is to look what else there is to do
        # Takes who reads out of its poll. No bare descriptors: who writes to one that was closed
        # meanwhile may write to a file of others that has its number now.
        self._nudge, self._nudged = socket.socketpair()
        for nudging in (self._nudge, self._nudged):
            nudging.setblocking(False)
        self._stream = stream
        self._bytes_only = [(stream.reader, select.POLLIN)]  # what a poll answers mostly
        self._poller = select.poll()
        self._poller.register(stream.reader, select.POLLIN)
        self._poller.register(self._nudge, select.POLLIN)
        # A socket is one descriptor: to wait for room in it is to wait for bytes as well.
        self._writer_events = select.POLLIN if stream.reader == stream.writer else 0

    def descriptors(self) -> tuple[int, ...]:
        """What becomes readable when there are bytes, or somebody has called."""
        return self._stream.reader, self._nudge.fileno()

    def call(self) -> None:
        """Have who reads look what else there is to do, now if it waits. Takes no lock."""
        self.called = True
        try:
            self._nudged.send(b"\0")
        except OSError:
            pass  # full of such bytes, or closed

    def wait(self, timeout: float | None, room: bool) -> bool:
        """Until there are bytes (True), or something else to do; at most `timeout` seconds, None: for ever.

        room  the stream took no more, and it is to be seen when it does again.
        """
        if room:
            self._poller.register(self._stream.writer, select.POLLOUT | self._writer_events)
        try:
            found = self._poller.poll(None if timeout is None else min(max(timeout, 0), LONGEST) * 1000)
        finally:
            if room:
                self._forget_room()
        if found == self._bytes_only:
            return True  # the usual case, made short
        readable = False
        for descriptor, events in found:
            if descriptor == self._nudge.fileno():
                with contextlib.suppress(BlockingIOError):
                    self._nudge.recv(4096)
            elif descriptor == self._stream.reader and events & ~select.POLLOUT:
                readable = True
        return readable

    def _forget_room(self) -> None:
        if self._writer_events:
            self._poller.modify(self._stream.reader, select.POLLIN)
        else:
            self._poller.unregister(self._stream.writer)

    def close(self) -> None:
        """Once nobody waits any more. Who calls it then calls nobody."""
        self._nudge.close()
        self._nudged.close()
