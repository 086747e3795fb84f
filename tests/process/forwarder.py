"""A forwarder of TCP ports: what a NAT or `ssh -L` is to the two ends."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from types import TracebackType


class Forwarder:
    """Listens at an address and carries each connection to the same port of another address."""

    def __init__(self, outside: str, inside: str, ports: range) -> None:
        self.outside = outside
        self._inside = inside
        self.carried: set[int] = set()  # ports that were connected to
        self._wake, self._woken = socket.socketpair()
        self._listeners = [socket.create_server((outside, port)) for port in ports]
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._thread = threading.Thread(target=self._run, name="forwarder")
        self._thread.start()

    def __enter__(self) -> Forwarder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, where: TracebackType | None
    ) -> None:
        self._wake.close()
        self._thread.join()

    def _run(self) -> None:
        with contextlib.ExitStack() as opened:
            for sock in (self._woken, *self._listeners):
                opened.enter_context(sock)
            while self._woken not in (ready := self._ready()):
                for sock in ready:
                    if sock in self._listeners:
                        self._connect(sock)
                    elif sock in self._pairs:
                        self._carry(sock)
            for sock in self._pairs:
                sock.close()

    def _ready(self) -> list[socket.socket]:
        return select.select([self._woken, *self._listeners, *self._pairs], [], [])[0]

    def _connect(self, listener: socket.socket) -> None:
        port = listener.getsockname()[1]
        theirs, _ = listener.accept()
        try:
            ours = socket.create_connection((self._inside, port))
        except OSError:
            theirs.close()
            return
        self.carried.add(port)
        self._pairs[theirs], self._pairs[ours] = ours, theirs

    def _carry(self, sock: socket.socket) -> None:
        other = self._pairs[sock]
        with contextlib.suppress(OSError):
            if data := sock.recv(65536):
                other.sendall(data)
                return
        for end in (sock, other):
            self._pairs.pop(end).close()
