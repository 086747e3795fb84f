"""AsyncSocket: a socket whose slow methods are yielded or awaited in a task.

Each method tries at once and waits for the selector's thread only where the socket is not
ready. Over TLS a client's handshake is part of `connect`, and a server's happens with the
first data, so that a slow client does not keep `accept` from others.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from dispycos.config import Limits
from dispycos.errors import MessageTooLarge
from dispycos.kernel import readiness, threads
from dispycos.kernel.readiness import READ, WRITE
from dispycos.kernel.wait import TURN

T = TypeVar("T")

_CHUNK = 256 * 1024  # bytes read at a time, so that a length alone allocates nothing
_LENGTH = struct.Struct(">I")  # before each message of send_msg


class AsyncSocket:
    """Wrap `sock`; methods marked so are to be yielded, other attributes are the socket's.

    keyfile, certfile  TLS with this identity. A server is one that accepts. A client trusts
                       what is in certfile, unless `context` says otherwise.
    context            an ssl.SSLContext instead.
    server_hostname    the name that a server's certificate must bear, if context checks names.

    A method that has to wait longer than `settimeout` says raises socket.timeout. One that
    waits while another task calls `close` raises OSError.
    """

    # Of send_msg and recv_msg; a program may assign another, for all its sockets or for one. What
    # its sessions agree on has nothing to do with the sockets that it makes itself.
    max_message_bytes = Limits().max_message_bytes

    def __init__(
        self,
        sock: socket.socket,
        keyfile: str | None = None,
        certfile: str | None = None,
        *,
        context: Any = None,
        server_hostname: str | None = None,
    ) -> None:
        self._sock = sock
        self._timeout = sock.gettimeout()
        sock.setblocking(False)
        self._keyfile = keyfile
        self._certfile = certfile
        self._context = context
        self._server_hostname = server_hostname
        self._tls = bool(certfile or context)

    # At once.

    def settimeout(self, timeout: float | None) -> None:
        """Limit the seconds that each later call waits; None: for ever. ValueError if negative."""
        if timeout is not None and timeout < 0:
            raise ValueError(f"a timeout is not negative: {timeout!r}")
        self._timeout = timeout

    def gettimeout(self) -> float | None:
        """What `settimeout` was given."""
        return self._timeout

    def setblocking(self, flag: bool) -> None:
        """`settimeout(None)` or `settimeout(0)`; no task is ever blocked by another's socket."""
        self._timeout = None if flag else 0.0

    def fileno(self) -> int:
        """The descriptor; -1 if closed."""
        return self._sock.fileno()

    def close(self) -> None:
        """Close it; tasks that wait for it get OSError. May be repeated."""
        fd = self._sock.fileno()
        if fd >= 0:
            if readiness._shared is not None:
                readiness._shared.drop(fd, OSError(errno.EBADF, "the socket was closed by this program"))
            self._sock.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def __enter__(self) -> AsyncSocket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<AsyncSocket {self._sock!r}>"

    # To be yielded.

    async def recv(self, bufsize: int, flags: int = 0) -> bytes:
        """Yield this: at most `bufsize` bytes; b"" if the peer has closed."""
        args = (bufsize, flags) if flags else (bufsize,)
        return await self._try(READ, lambda: self._sock.recv(*args))

    async def recv_into(self, buffer: Any, nbytes: int = 0) -> int:
        """Yield this: as `socket.recv_into`."""
        return await self._try(READ, lambda: self._sock.recv_into(buffer, nbytes))

    async def recvall(self, n: int) -> bytes:
        """Yield this: exactly `n` bytes; b"" if the peer closes before it has sent them."""
        return await self._receive_all(n, self._deadline())

    async def recvfrom(self, bufsize: int, flags: int = 0) -> tuple[bytes, Any]:
        """Yield this: a datagram and its sender's address."""
        return await self._try(READ, lambda: self._sock.recvfrom(bufsize, flags))

    async def send(self, data: Any, flags: int = 0) -> int:
        """Yield this: the number of bytes sent, which may be fewer than given."""
        args = (data, flags) if flags else (data,)
        return await self._try(WRITE, lambda: self._sock.send(*args))

    async def sendall(self, data: Any) -> None:
        """Yield this: send all of `data`."""
        await self._send_all(data, self._deadline())

    async def sendto(self, data: Any, *args: Any) -> int:
        """Yield this: as `socket.sendto(data, [flags,] address)`."""
        *flags, address = args
        address = await self._numeric(address)
        send: Callable[..., int] = self._sock.sendto
        return await self._try(WRITE, lambda: send(data, *flags, address))

    async def accept(self) -> tuple[AsyncSocket, Any]:
        """Yield this: a connection as an AsyncSocket, TLS like this one, and its peer's address."""
        connection, address = await self._try(READ, self._sock.accept)
        connection.setblocking(False)
        if self._tls:
            try:
                connection = self._server_context().wrap_socket(
                    connection, server_side=True, do_handshake_on_connect=False
                )
            except BaseException:
                connection.close()
                raise
        accepted = type(self)(connection)
        accepted._tls = self._tls
        accepted._timeout = self._timeout
        return accepted, address

    async def connect(self, address: Any) -> None:
        """Yield this: connect, over TLS the handshake included. OSError or ssl.SSLError says why not."""
        deadline = self._deadline()
        address = await self._numeric(address)
        try:
            self._sock.connect(address)
        except (BlockingIOError, InterruptedError):
            await self._wait(WRITE, deadline)
            error = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                raise OSError(error, f"connect to {address!r}: {errno.errorcode.get(error, error)}") from None
        if self._tls:
            context = self._client_context()
            name = self._server_hostname
            wrapped = context.wrap_socket(
                self._sock, server_hostname=name, do_handshake_on_connect=False, suppress_ragged_eofs=True
            )
            self._sock = wrapped
            await self._try(READ, wrapped.do_handshake, deadline)

    async def create_connection(
        self, address: Any, timeout: float | None = None, source_address: Any = None
    ) -> None:
        """Yield this: bind to `source_address`, if given, and connect within `timeout` seconds."""
        if timeout is not None:
            self.settimeout(timeout)
        if source_address is not None:
            self._sock.bind(source_address)
        await self.connect(address)

    async def send_msg(self, data: Any) -> None:
        """Yield this: send `data` as one message. MessageTooLarge above `max_message_bytes`."""
        view = memoryview(data)
        if view.nbytes > self.max_message_bytes:
            raise MessageTooLarge(
                f"message of {view.nbytes} bytes exceeds max_message_bytes={self.max_message_bytes}"
            )
        deadline = self._deadline()
        if view.nbytes <= _CHUNK:
            await self._send_all(_LENGTH.pack(view.nbytes) + view.tobytes(), deadline)
        else:
            await self._send_all(_LENGTH.pack(view.nbytes), deadline)
            await self._send_all(view, deadline)

    async def recv_msg(self) -> bytes:
        """Yield this: what a peer's `send_msg` sent; b"" if it has closed.

        MessageTooLarge above `max_message_bytes`: nothing is allocated, and the connection is
        of no use any more.
        """
        deadline = self._deadline()
        head = await self._receive_all(_LENGTH.size, deadline)
        if not head:
            return b""
        (length,) = _LENGTH.unpack(head)
        if length > self.max_message_bytes:
            raise MessageTooLarge(
                f"a message of {length} bytes was announced; max_message_bytes={self.max_message_bytes}"
            )
        return await self._receive_all(length, deadline)

    # Trying and waiting.

    def _deadline(self) -> float | None:
        return None if self._timeout is None else time.monotonic() + self._timeout

    async def _try(self, event: int, call: Callable[[], T], deadline: float | None = None) -> T:
        if deadline is None:
            deadline = self._deadline()
        await TURN  # others get their turn, even if the socket is always ready
        while True:
            try:
                return call()
            except BlockingIOError:
                wanted = event
            except InterruptedError:
                continue
            except OSError as error:
                wanted = self._wanted(error)
                if not wanted:
                    raise
            await self._wait(wanted, deadline)

    def _wanted(self, error: OSError) -> int:
        """The event that TLS waits for, if that is what `error` says; else 0."""
        if not self._tls:
            return 0
        import ssl

        if isinstance(error, ssl.SSLWantReadError):
            return READ
        return WRITE if isinstance(error, ssl.SSLWantWriteError) else 0

    async def _wait(self, event: int, deadline: float | None) -> None:
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            raise TimeoutError("timed out")
        fd = self._sock.fileno()
        if fd < 0:
            raise OSError(errno.EBADF, "the socket is closed")
        operation = readiness.shared().when(fd, event)
        try:
            await operation.within(left)
        finally:
            if not operation.done():
                readiness.shared().forget(fd, operation)

    async def _send_all(self, data: Any, deadline: float | None) -> None:
        view = memoryview(data).cast("B")
        sent = 0
        while sent < view.nbytes:
            sent += await self._try(WRITE, partial(self._sock.send, view[sent:]), deadline)

    async def _receive_all(self, n: int, deadline: float | None) -> bytes:
        received = bytearray()
        while len(received) < n:
            size = min(n - len(received), _CHUNK)
            part = await self._try(READ, partial(self._sock.recv, size), deadline)
            if not part:
                return b""
            received += part
        return bytes(received)

    async def _numeric(self, address: Any) -> Any:
        """`address` with its host as a number, looked up in a thread if need be."""
        if self._sock.family not in (socket.AF_INET, socket.AF_INET6) or not isinstance(address, tuple):
            return address
        host, port = address[:2]
        try:
            ipaddress.ip_address(str(host).partition("%")[0])
            return address
        except ValueError:
            pass
        if host in ("", "<broadcast>"):
            return address
        found = await threads.helpers().async_task(
            socket.getaddrinfo, host, port, self._sock.family, self._sock.type
        )
        return found[0][4]

    # TLS.

    def _server_context(self) -> Any:
        import ssl

        if self._context is None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            assert self._certfile is not None
            context.load_cert_chain(self._certfile, self._keyfile)
            self._context = context
        return self._context

    def _client_context(self) -> Any:
        import ssl

        if self._context is None:
            context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=self._certfile)
            # The certificate itself is what is trusted, whatever name it bears.
            context.check_hostname = self._server_hostname is not None
            assert self._certfile is not None
            context.load_cert_chain(self._certfile, self._keyfile)
            self._context = context
        return self._context
