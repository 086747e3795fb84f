"""Byte streams as descriptors: pipes of a child, a socket, a pair of sockets.

All that `net.link` asks of a stream is two descriptors that can be waited for, so every kind of
stream is one (N8). I/O half. Layer 3.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import time
from collections.abc import Callable

from dispycos.model import Location

# How the system tells that a connection is dead whose other end is silent, in seconds. The other
# process may be busy for minutes; its system answers all the same.
_PROBE_AFTER = 10
_PROBE_EVERY = 5
_PROBES = 4
_UNSENT_MS = 30_000


class Stream:
    """One end of a stream, both descriptors non-blocking.

    reader, writer  descriptors; the same one for a socket.
    close           called once, by `close`.
    ends            of a TCP connection: our address and the other one.
    """

    __slots__ = ("_close", "ends", "private", "reader", "writer")

    def __init__(
        self,
        reader: int,
        writer: int,
        close: Callable[[], object],
        *,
        private: bool = False,
        ends: tuple[Location, Location] | None = None,
    ) -> None:
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        self.reader = reader
        self.writer = writer
        # Nobody can stand between both ends: pipes of our child, or what ssh protects.
        self.private = private
        self.ends = ends
        self._close: Callable[[], object] | None = close

    @classmethod
    def of_socket(cls, connection: socket.socket, *, private: bool = False) -> Stream:
        """A connected socket, which is ours from now on."""
        ends = None
        if connection.family in (socket.AF_INET, socket.AF_INET6):
            keep_watch(connection)
            with contextlib.suppress(OSError):  # it is closed already, as whoever reads finds out
                ends = _location(connection.getsockname()), _location(connection.getpeername())
        number = connection.fileno()
        return cls(number, number, connection.close, private=private, ends=ends)

    def close(self) -> None:
        """Close both descriptors; may be repeated."""
        close, self._close = self._close, None
        if close is not None:
            with contextlib.suppress(OSError):
                close()

    # Before there is a session: whole pieces, in the calling thread.

    def write(self, data: bytes, deadline: float) -> None:
        """Write all of it by `deadline` (monotonic seconds). TimeoutError, or an OSError of the stream."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self.writer, rest) :]
            except BlockingIOError:
                _wait(self.writer, select.POLLOUT, deadline)

    def read(self, most: int, deadline: float) -> bytes:
        """Some bytes, at most so many; b"" at the end. TimeoutError, or an OSError of the stream."""
        while True:
            try:
                return os.read(self.reader, most)
            except BlockingIOError:
                _wait(self.reader, select.POLLIN, deadline)


def _location(address: tuple[str, int]) -> Location:
    # A link-local address carries its interface, of which the other end knows nothing.
    return Location(address[0].partition("%")[0], address[1])


def _wait(descriptor: int, events: int, deadline: float) -> None:
    poll = select.poll()
    poll.register(descriptor, events)
    if not poll.poll(max(deadline - time.monotonic(), 0) * 1000):
        raise TimeoutError


def keep_watch(connection: socket.socket) -> None:
    """Let small messages leave at once, and have the system notice a dead connection."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", _PROBE_AFTER),
        ("TCP_KEEPINTVL", _PROBE_EVERY),
        ("TCP_KEEPCNT", _PROBES),
        ("TCP_USER_TIMEOUT", _UNSENT_MS),
    ):
        # Not every system has all of them.
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
