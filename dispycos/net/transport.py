"""Connections: bytes between a socket and whoever understands them.

A Connection reads straight into the buffer that its reader hands out and writes what its
reader hands over, gathered, without joining or copying. Writing is legal from any thread:
a message that finds the socket free leaves in the thread that sent it; what the socket
does not take at once is finished by the loop.

What the bytes mean is not decided here: see `net.auth` (before the proof), `net.session`.

I/O half. Layer 3. Rules N7, N8.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import threading
from collections.abc import Sequence
from typing import Protocol

from dispycos.model import Buffer, Location
from dispycos.net import local_sockets
from dispycos.net.ears import Ears
from dispycos.net.reactor import Reactor
from dispycos.net.tls import Tls, TlsSocket

log = logging.getLogger("dispycos")

_IOV_MAX = 512  # parts of one gathered write; Linux takes 1,024
SHORT = 64 * 1024  # bytes: a reader that hands over less has no more
_TURN_BYTES = 8 * 1024 * 1024  # written before other connections get a turn

Stream = socket.socket | TlsSocket  # what carries a connection


class Reader(Protocol):
    """Who understands a connection's bytes.

    All but `take` are called on the reactor's thread, or where the connection is watched by the
    kernel's; never by both at once.
    """

    def get_buffer(self) -> memoryview:
        """Where the next bytes go; never empty."""

    def received(self, count: int) -> None:
        """`count` bytes are in the buffer that `get_buffer` gave last."""

    def take(self) -> Sequence[Buffer]:
        """Hand over what is to be written now, all of it or at least SHORT bytes; or nothing.

        Called under `Connection.lock`.
        """

    def broken(self, reason: str) -> None:
        """The connection is over; called once, after which nothing else is."""


class Traffic:
    """Bytes that the connections of one endpoint carried, those that are closed too.

    Each connection counts under its own locks; whoever asks adds up. Of TLS it is what was encrypted.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # so that no total is ever smaller than one before
        self._open: set[Connection] = set()
        self._came = self._went = 0  # by those that are closed

    def opened(self, connection: Connection) -> None:
        with self._lock:
            self._open.add(connection)

    def closed(self, connection: Connection) -> None:
        with self._lock:
            self._open.discard(connection)
            self._came += connection.came
            self._went += connection.went

    def total(self) -> tuple[int, int]:
        """Bytes that came and that went; any thread."""
        with self._lock:
            came = self._came + sum(connection.came for connection in self._open)
            return came, self._went + sum(connection.went for connection in self._open)


class Connection:
    """One connected stream socket."""

    def __init__(
        self, reactor: Reactor, sock: Stream, reader: Reader, *, unacknowledged: float, traffic: Traffic
    ) -> None:
        """Take over a connected socket.

        traffic         where its bytes are counted.
        unacknowledged  seconds that our bytes may go without TCP's acknowledgement before the
                        connection breaks: so a cut of one direction shows at both ends (R-15).
        """
        sock.setblocking(False)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            # A lone small message must leave at once; bursts are gathered by us (N7).
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                milliseconds = int(unacknowledged * 1000)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
        self.lock = threading.Lock()
        # Held while something is read and while what it says is heard, so that two threads
        # that read keep its order; by one thread again where hearing closes the connection.
        self.reading = threading.RLock()
        self._ears: Ears | None = None
        self.came = 0  # bytes read so far; under `reading`
        self.went = 0  # bytes written so far; under `lock`
        self.reader = reader
        self._reactor = reactor
        self._socket = sock
        # What TLS has decrypted and nobody has taken: no poll tells of that.
        self._pending = sock.pending if isinstance(sock, TlsSocket) else None
        self._rest: list[memoryview] = []  # what the socket did not take yet
        self._due = False  # somebody found the lock taken: its holder looks again
        self._waiting = False  # the loop will go on when the socket is writable
        self._closed = False
        self.failed = False  # reading or writing: its other end did not close it in order
        self._traffic = traffic
        traffic.opened(self)
        self.let_reactor_read(True)

    @property
    def closed(self) -> bool:
        return self._closed

    def ends(self) -> tuple[Location | None, Location | None]:
        """Our and their end, as this side sees them; None for what has no address."""
        return socket_ends(self._socket)

    def watch(self, ears: Ears) -> None:
        """Let the kernel's thread read while it looks there; reactor thread."""
        if not self._closed:
            self._ears = ears
            ears.watch(self)

    def fileno(self) -> int:
        """The socket's descriptor; -1 once it is closed."""
        return self._socket.fileno()

    def let_reactor_read(self, flag: bool) -> None:
        """Whether the reactor reads; somebody else does if it does not. Reactor thread."""
        if flag:
            self._reactor.loop.add_reader(self._socket.fileno(), self._readable)
        else:
            self._reactor.loop.remove_reader(self._socket.fileno())

    def _readable(self) -> None:
        with self.reading:
            if not self._closed:
                broken = self._read()
                if broken is not None:
                    self._break(broken)

    def read_aside(self) -> None:
        """Read on the kernel's thread."""
        with self.reading:
            if not self._closed:
                try:
                    broken = self._read()
                except Exception as exc:
                    # A bug of ours, or no memory: this connection's end, not the kernel's.
                    log.exception("what came could not be heard")
                    broken = f"what came could not be heard: {exc}"
                if broken is not None:
                    self._stop_watching()
                    self._reactor.call(self._break, broken)

    def read_out(self) -> None:
        """Read all that has come so far; reactor thread."""
        with self.reading:
            while not self._closed:
                before = self.came
                broken = self._read()
                if broken is not None:
                    self._break(broken)
                if self.came == before:
                    return

    def _read(self) -> str | None:
        """Read what is there and have it heard; why nothing will come any more, or None."""
        while True:
            try:
                count = self._socket.recv_into(self.reader.get_buffer())
            except (BlockingIOError, InterruptedError):
                return None
            except OSError as exc:
                self.failed = True
                return f"reading failed: {exc.strerror or exc}"
            if count == 0:
                return "the other side closed the connection"
            self.came += count
            self.reader.received(count)
            if self._pending is None or self._closed or not self._pending():
                return None

    def _stop_watching(self) -> None:
        ears, self._ears = self._ears, None
        if ears is not None:
            ears.forget(self)

    def flush(self) -> None:
        """Write what the reader has to say; legal from any thread, returns without waiting.

        Where another thread writes just now it is left to that one: a thread that is inside
        `sendmsg` may be kept there as long as the receiver, which it woke, has its processor.
        """
        lock = self.lock
        self._due = True
        while self._due and lock.acquire(False):
            broken = None
            try:
                self._due = False
                if not self._waiting and not self._closed:
                    broken = self._write()
            finally:
                lock.release()
            if broken is not None:
                self._reactor.call(self._break, broken)

    def _write(self) -> str | None:
        """Write until the reader has nothing or the socket takes nothing; lock held."""
        written = 0
        all_of_it = False  # what is written now is all that the reader had
        while True:
            if not self._rest:
                parts = self.reader.take()
                if not parts:
                    return None
                all_of_it = len(parts) == 1 and len(parts[0]) < SHORT
                if all_of_it:
                    self._rest = [memoryview(parts[0])]
                else:
                    self._rest = [part if type(part) is memoryview else memoryview(part) for part in parts]
            try:
                count = self._socket.sendmsg(self._rest[:_IOV_MAX])
            except (BlockingIOError, InterruptedError):
                count = 0
            except OSError as exc:
                self._rest = []
                self.failed = True
                return f"writing failed: {exc.strerror or exc}"
            self.went += count
            written += count
            if all_of_it and count == self._rest[0].nbytes:
                self._rest = []
                return None
            self._rest = _after(self._rest, count)
            if (self._rest and count == 0) or written >= _TURN_BYTES:
                self._waiting = True
                self._reactor.call(self._await_writable)
                return None

    def _await_writable(self) -> None:
        with self.lock:
            if self._closed:
                return
        self._reactor.loop.add_writer(self._socket.fileno(), self._writable)

    def _writable(self) -> None:
        self._reactor.loop.remove_writer(self._socket.fileno())
        with self.lock:
            self._waiting = False
        self.flush()

    def _break(self, reason: str) -> None:
        if self.close():
            self.reader.broken(reason)

    def finish(self, parts: Sequence[Buffer]) -> None:
        """Write these last parts as far as the socket takes them at once, then close it."""
        with self.lock:
            if not self._closed and not self._waiting and not self._rest:
                with contextlib.suppress(OSError):
                    self.went += self._socket.sendmsg([memoryview(part) for part in parts][:_IOV_MAX])
        self.close()

    def close(self) -> bool:
        """Close the socket; reactor thread only. False if it was closed before.

        What is written and still in the kernel's buffer is delivered by the kernel.
        """
        with self.reading, self.lock:
            if self._closed:
                return False
            self._closed = True
            self._rest = []
        self._traffic.closed(self)
        self._stop_watching()
        descriptor = self._socket.fileno()
        self._reactor.loop.remove_reader(descriptor)
        self._reactor.loop.remove_writer(descriptor)
        # Under no lock and last: no thread can be inside sendmsg with this descriptor any
        # more, so its number can't hit a stranger's socket.
        self._socket.close()
        return True


def _after(parts: list[memoryview], count: int) -> list[memoryview]:
    """What is left of `parts` once the first `count` bytes are gone."""
    for index, part in enumerate(parts):
        if count < part.nbytes:
            rest = parts[index:]
            rest[0] = part.cast("B")[count:] if part.format != "B" else part[count:]
            return rest
        count -= part.nbytes
    return []


def socket_ends(sock: Stream) -> tuple[Location | None, Location | None]:
    """Both ends of a connected socket, or None where it has no address."""
    try:
        if isinstance(sock, socket.socket) and local_sockets.is_local(sock):
            return local_sockets.ends(sock)
        if sock.family not in (socket.AF_INET, socket.AF_INET6):
            return (None, None)
        ours, theirs = sock.getsockname(), sock.getpeername()
    except OSError:
        return (None, None)
    return (Location(_plain(ours[0]), ours[1]), Location(_plain(theirs[0]), theirs[1]))


def _plain(address: str) -> str:
    # A link-local IPv6 address carries its interface; who a peer is does not depend on it.
    return address.partition("%")[0]


def _bound(sock: socket.socket) -> Location:
    """Where a listening socket is dialled."""
    beside = local_sockets.location(sock) if local_sockets.is_local(sock) else None
    return beside or Location(_plain(sock.getsockname()[0]), sock.getsockname()[1])


async def connect(
    loop: asyncio.AbstractEventLoop, location: Location, timeout: float, tls: Tls | None
) -> Stream:
    """Connect to a location, under TLS if this process speaks that. OSError, TimeoutError.

    Where our account listens there itself it is by a local socket.
    """
    if tls is None:
        near = local_sockets.connect(location)
        return near if near is not None else await _connect(loop, location, timeout)
    async with asyncio.timeout(timeout):
        sock = await _connect(loop, location, timeout)
        return await tls.connect(loop, sock, location, timeout)


async def _connect(loop: asyncio.AbstractEventLoop, location: Location, timeout: float) -> socket.socket:
    family = socket.AF_INET6 if ":" in location.addr else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        async with asyncio.timeout(timeout):
            await loop.sock_connect(sock, (location.addr, location.port))
        ours, theirs = sock.getsockname()[:2], sock.getpeername()[:2]
        if ours == theirs:
            # A dial to a free loopback port in the ephemeral range can connect to itself.
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"nobody listens at {location}")
        return sock
    except BaseException:
        sock.close()
        raise


class Listener:
    """A listening socket; `accepted(sock)` is called on the reactor thread for each connection."""

    def __init__(self, reactor: Reactor, sock: socket.socket, accepted: _Accepted) -> None:
        self._reactor = reactor
        self._socket = sock
        self._accepted = accepted
        self._paused = False
        self._closed = False
        sock.setblocking(False)
        self.location = _bound(sock)
        reactor.loop.add_reader(sock.fileno(), self._readable)

    def _readable(self) -> None:
        # Several at a time, but not for ever: the sessions that are open want their turn.
        for _ in range(16):
            try:
                sock, _address = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as exc:
                if exc.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    self._pause()
                return
            self._accepted(sock)

    def _pause(self) -> None:
        """Out of descriptors: look again in a second instead of spinning (R-27)."""
        self._reactor.loop.remove_reader(self._socket.fileno())
        self._paused = True
        self._reactor.loop.call_later(1.0, self._resume)

    def _resume(self) -> None:
        if self._paused and not self._closed:
            self._paused = False
            self._reactor.loop.add_reader(self._socket.fileno(), self._readable)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._reactor.loop.remove_reader(self._socket.fileno())
            self._socket.close()


class _Accepted(Protocol):
    def __call__(self, sock: socket.socket) -> None: ...


def max_descriptors() -> int | None:
    """How many descriptors this process may have open at a time; None: no limit is known."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


def unfinished(sock: Stream) -> None:
    """Close a socket that never became a Connection, at once and without a word (SE-56)."""
    with contextlib.suppress(OSError):
        sock.close()
