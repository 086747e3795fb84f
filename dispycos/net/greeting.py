"""Greetings: the handshake of one connection, from the connected socket to the proof.

Nothing is decoded here but the two fixed-size records of `net.auth`; what an unproven peer
costs us is this object, a 512-byte buffer and the time that is left of five seconds (SE-13,
SE-15).

I/O half. Layer 3.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Sequence

from dispycos.config import Limits
from dispycos.model import Buffer, Incarnation, Location, Role
from dispycos.net import local_sockets
from dispycos.net.auth import Failed, Handshake, Proven
from dispycos.net.keys import Key, Keyring
from dispycos.net.reactor import Reactor
from dispycos.net.tls import TlsSocket
from dispycos.net.transport import Connection, Reader, Stream, Traffic, socket_ends

# How a greeting ended: the proof, or None with a code for counting and a text for our log.
Ended = Callable[["Proven | None", str, str], None]


class Greeting:
    """One connection before its peer has proved a key; a Reader of that connection."""

    def __init__(
        self,
        reactor: Reactor,
        sock: Stream,
        *,
        dialer: bool,
        incarnation: Incarnation,
        roles: Role,
        keyring: Keyring,
        key: Key,
        port: int,
        limits: Limits,
        traffic: Traffic,
        ended: Ended,
    ) -> None:
        """Take over a connected socket; nothing happens before `begin`."""
        self.dialer = dialer
        self.ours, self.theirs = socket_ends(sock)
        self._ended: Ended | None = ended
        self._buffer = bytearray(512)
        self._out: list[Buffer] = []
        self._left = b""  # what came behind the proof: it belongs to the session
        self._stream = sock if isinstance(sock, TlsSocket) else None
        self._handshake = Handshake(
            dialer=dialer,
            incarnation=incarnation,
            roles=roles,
            keyring=keyring,
            key=key,
            nonce=os.urandom(32),
            ours=self.ours,
            theirs=self.theirs,
            port=port,
            max_message_bytes=limits.max_message_bytes,
            tls_fingerprint=self._stream.fingerprint if self._stream is not None else None,
            unix_same_uid=isinstance(sock, socket.socket)
            and local_sockets.is_local(sock)
            and local_sockets.is_ours(sock),
        )
        self.connection = Connection(
            reactor, sock, self, unacknowledged=limits.suspect_after, traffic=traffic
        )
        self._timer: asyncio.TimerHandle = reactor.loop.call_later(
            limits.handshake_timeout, self._end, None, "timeout", "no proof came in time"
        )

    def begin(self) -> None:
        """Say hello, if it is on us to begin."""
        self._send(self._handshake.opening())

    def _send(self, data: bytes) -> None:
        if data:
            self._out.append(data)
            self.connection.flush()

    # As the connection's Reader.

    def get_buffer(self) -> memoryview:
        return memoryview(self._buffer)

    def received(self, count: int) -> None:
        answer, end = self._handshake.received(bytes(self._buffer[:count]))
        self._send(answer)
        if isinstance(end, Proven):
            self._left = end.left_over
            self._end(end, "", "")
        elif isinstance(end, Failed):
            self._end(None, end.code, end.text)

    def take(self) -> Sequence[Buffer]:
        out, self._out = self._out, []
        return out

    def broken(self, reason: str) -> None:
        if self._stream is not None and self._stream.refused:
            self._end(None, "tls", f"TLS failed: {self._stream.refused}")
            return
        code, text = self._handshake.broken(in_order=not self.connection.failed)
        self._end(None, code, f"{text} ({reason})")

    # Its end.

    def hand_over(self, reader: Reader) -> bytes:
        """Let the proven connection be read by its session; what came behind the proof is returned."""
        self.connection.reader = reader
        return self._left

    def _end(self, proven: Proven | None, code: str, text: str) -> None:
        ended, self._ended = self._ended, None
        self._timer.cancel()
        if ended is not None:
            if proven is None:
                self.connection.close()
            ended(proven, code, text)

    def close(self) -> None:
        """Give it up; `ended` is told."""
        self._end(None, "closed", "this side gave the connection up")
        self.connection.close()

    def __str__(self) -> str:
        return str(self.theirs or "a local stream")


def where(location: Location | None) -> str:
    """A location for a sentence."""
    return str(location) if location is not None else "a peer without an address"
