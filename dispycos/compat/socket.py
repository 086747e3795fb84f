"""AsyncSocket with pycos's arguments, blocking ones included.

I/O half. Layer 7. Row CO-02.
"""

from __future__ import annotations

import socket
import ssl
import struct
from typing import Any

from dispycos.errors import MessageTooLarge
from dispycos.kernel import sockets

_LENGTH = struct.Struct(">I")  # before each message of send_msg, as in kernel.sockets

# What a blocking one does as the socket itself does it.
_PLAIN = ("recv", "recv_into", "recvfrom", "send", "sendall", "sendto", "connect")


# The versions that a program may insist on, as `ssl` names them.
_VERSIONS = {
    "PROTOCOL_TLSv1": ssl.TLSVersion.TLSv1,
    "PROTOCOL_TLSv1_1": ssl.TLSVersion.TLSv1_1,
    "PROTOCOL_TLSv1_2": ssl.TLSVersion.TLSv1_2,
}


class AsyncSocket(sockets.AsyncSocket):
    """`AsyncSocket(sock, blocking, keyfile, certfile, ssl_version)`.

    blocking     True: methods act at once, in the thread that calls them; they are not yielded.
    ssl_version  an ssl.PROTOCOL_*; None: the newest that both sides know.
    """

    _ssl_version: Any = None  # of all sockets, unless one has its own

    def __init__(
        self,
        sock: Any,
        blocking: bool = False,
        keyfile: str | None = None,
        certfile: str | None = None,
        ssl_version: Any = None,
    ) -> None:
        if isinstance(sock, sockets.AsyncSocket):
            sock = sock._sock
        super().__init__(sock, keyfile, certfile)
        if ssl_version is not None:
            self._ssl_version = ssl_version
        if self._timeout is None:
            self._timeout = socket.getdefaulttimeout()
        if blocking:
            self.setblocking(True)

    @staticmethod
    def get_ssl_version() -> Any:
        """What `set_ssl_version` was given; by default what chooses the newest."""
        return AsyncSocket._ssl_version or ssl.PROTOCOL_TLS

    @staticmethod
    def set_ssl_version(version: Any) -> None:
        """Use this ssl.PROTOCOL_* for sockets that name none."""
        AsyncSocket._ssl_version = version

    def getdefaulttimeout(self) -> float | None:
        """Seconds; of sockets that are made from now on."""
        return socket.getdefaulttimeout()

    def setdefaulttimeout(self, timeout: float | None) -> None:
        """Seconds; of sockets that are made from now on."""
        socket.setdefaulttimeout(timeout)

    def setblocking(self, flag: bool) -> None:
        """True: methods act at once, as those of a plain socket; False: they are yielded."""
        self._sock.setblocking(bool(flag))
        methods = {name: getattr(self._sock, name) for name in _PLAIN}
        methods |= {"recvall": self._recvall, "send_msg": self._send_msg, "recv_msg": self._recv_msg}
        methods |= {"accept": self._accept, "settimeout": self._sock.settimeout}
        for name, method in methods.items():
            if flag:
                vars(self)[name] = method
            else:
                vars(self).pop(name, None)

    @property
    def ssl_server_ctx(self) -> Any:
        """The ssl.SSLContext with which connections are accepted; None: one made of certfile."""
        return self._context

    @ssl_server_ctx.setter
    def ssl_server_ctx(self, context: Any) -> None:
        self._context = context
        self._tls = self._tls or context is not None

    def unwrap(self) -> socket.socket:
        """The socket itself, blocking again; this one is not to be used any more."""
        sock = self._sock
        sock.setblocking(True)
        return sock

    def _server_context(self) -> Any:
        return _restricted(super()._server_context(), self._ssl_version)

    def _client_context(self) -> Any:
        return _restricted(super()._client_context(), self._ssl_version)

    # Of a blocking one.

    def _accept(self) -> tuple[AsyncSocket, Any]:
        connection, address = self._sock.accept()
        return AsyncSocket(connection, blocking=True), address

    def _recvall(self, n: int) -> bytes:
        received = bytearray()
        while len(received) < n:
            part = self._sock.recv(min(n - len(received), 1 << 18))
            if not part:
                return b""
            received += part
        return bytes(received)

    def _send_msg(self, data: Any) -> None:
        if len(data) > self.max_message_bytes:
            raise MessageTooLarge(f"message of {len(data)} bytes exceeds {self.max_message_bytes}")
        self._sock.sendall(_LENGTH.pack(len(data)) + bytes(data))

    def _recv_msg(self) -> bytes:
        head = self._recvall(_LENGTH.size)
        if not head:
            return b""
        (length,) = _LENGTH.unpack(head)
        if length > self.max_message_bytes:
            raise MessageTooLarge(f"message of {length} bytes exceeds {self.max_message_bytes}")
        return self._recvall(length)


def _restricted(context: ssl.SSLContext, protocol: Any) -> ssl.SSLContext:
    version = _VERSIONS.get(getattr(protocol, "name", ""))
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context
