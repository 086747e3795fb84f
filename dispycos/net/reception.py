"""Reception: where this process listens, and who knocks there, until he has proved a key.

It lets a connection in as far as the doorkeeper allows, under TLS where this process speaks
that, and hands it to a greeting. What was refused is logged once for each source and reason (SE-55).

I/O half, reactor thread only. Layer 3. SE-13 to SE-15, SE-21.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Sequence

from dispycos.model import Location
from dispycos.net import local_sockets, transport
from dispycos.net.auth import Proven
from dispycos.net.dial import Host
from dispycos.net.doorkeeper import Doorkeeper, Repeats, others
from dispycos.net.greeting import Greeting
from dispycos.net.listening import listening_socket
from dispycos.net.tls import Tls
from dispycos.net.transport import Stream

log = logging.getLogger("dispycos")


class Reception:
    """The listeners of one process."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._door = Doorkeeper(host.limits)
        self._lines = Repeats(host.limits)  # about refused connections
        self._listeners: list[transport.Listener] = []
        self._near: list[transport.Listener] = []  # local sockets beside those
        self._closed = False

    @property
    def listening(self) -> list[Location]:
        """Where this process listens."""
        return [listener.location for listener in self._listeners]

    @property
    def refusals(self) -> dict[str, int]:
        """Connections that were not let in so far, by reason; `crowd` had no time to say anything."""
        return {**self._door.failed, "crowd": self._door.refused}

    def listen(self, hosts: Sequence[str], port: int) -> Location:
        """Listen at each host, all with one port (0: a free one); the first one's address.

        OSError names address and port and what is wrong with them.
        """
        reactor = self._host.reactor
        for host in hosts:
            sock = listening_socket(host, port)
            listener = transport.Listener(reactor, sock, self._accepted)
            port = listener.location.port
            self._listeners.append(listener)
            # Who asks for TLS wants to be met that way, by neighbours too.
            near = None if self._host.tls else local_sockets.listening_socket(listener.location)
            if near is not None:
                self._near.append(transport.Listener(reactor, near, self._accepted))
        return self._listeners[0].location

    def _accepted(self, sock: socket.socket) -> None:
        _, theirs = transport.socket_ends(sock)
        if theirs is None or (local_sockets.is_local(sock) and not local_sockets.is_ours(sock)):
            transport.unfinished(sock)
            return
        source = theirs.addr
        if self._closed or not self._door.admit(source, time.monotonic()):
            transport.unfinished(sock)
            return
        tls = self._host.tls
        if tls is None:
            self._greet(sock, source)
        else:
            self._host.reactor.spawn(self._accept_tls(tls, sock, source))

    async def _accept_tls(self, tls: Tls, sock: socket.socket, source: str) -> None:
        reactor, within = self._host.reactor, self._host.limits.handshake_timeout
        try:
            stream = await tls.accept(reactor.loop, sock, within)
        except (OSError, TimeoutError) as exc:
            self._door.leave(source)
            self._refused(source, "tls", str(exc) or f"no TLS handshake came in {within:g} s")
            return
        if self._closed:
            self._door.leave(source)
            stream.close()
            return
        self._greet(stream, source)

    def _greet(self, stream: Stream, source: str) -> None:
        def ended(proven: Proven | None, code: str, text: str) -> None:
            self._door.leave(source)
            if proven is not None:
                self._host.attach(greeting, proven, None)
            elif code not in ("closed", "self"):
                self._refused(source, code, text)

        greeting = self._host.greet(stream, dialer=False, reservation=0, ended=ended)

    def _refused(self, source: str, code: str, text: str) -> None:
        now = time.monotonic()
        if self._door.fail(source, code, now):
            log.warning("%s failed to prove the key too often; it is shut out for a while", source)
        left_out = self._lines.due(source, now, code)
        if left_out is not None:
            log.warning("refused a connection from %s: %s%s", source, text, others(left_out))

    def refused(self, greeting: Greeting, reason: str) -> None:
        """A proven connection is not what it says it is."""
        self._refused(greeting.theirs.addr if greeting.theirs else "127.0.0.1", "credential", reason)

    def close(self) -> None:
        """Listen no more. May be repeated."""
        self._closed = True
        for listener in (*self._listeners, *self._near):
            listener.close()
