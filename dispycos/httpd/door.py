"""The door: connections to the monitor, few enough and never slow for long (SE-42, SE-108).

One rule for whoever says nothing: from the moment it may speak, its next headers are here within
10 s, or it is closed. So no connection idles longer. WebSockets stay open; they count as known
once they have logged in, and then only against the limit of all. Where a source has too many that
said nothing yet, the oldest of them goes: a crowd of idle ones keeps nobody out.

I/O half. Layer 7.
"""

from __future__ import annotations

import socket
import ssl
import time
from typing import Any

from tornado import httpserver, iostream

MAX_HEADER = 16 * 1024
MAX_BODY = 64 * 1024
HEADERS_WITHIN = 10.0  # seconds
BODY_WITHIN = 10.0
MAX_CONNECTIONS = 200
MAX_PER_SOURCE = 20  # that have not logged in, and may be more for a moment
PATIENCE = 0.25  # seconds that a new one has to say something, before it goes for others


class Door(httpserver.HTTPServer):
    """Tornado's server with limits."""

    def initialize(self, application: Any, ssl_options: ssl.SSLContext | None = None) -> None:  # type: ignore[override]  # our own arguments
        super().initialize(
            application,
            ssl_options=ssl_options,
            max_header_size=MAX_HEADER,
            max_body_size=MAX_BODY,
            idle_connection_timeout=HEADERS_WITHIN,
            body_timeout=BODY_WITHIN,
        )
        # Open ones -> source and when they came, the oldest first.
        self._streams: dict[iostream.IOStream, tuple[str, float]] = {}
        self._known: set[iostream.IOStream] = set()  # of these, who has logged in
        self._spoke: set[iostream.IOStream] = set()  # of these, who has made a request
        self.turned_away = 0

    @property
    def connections(self) -> int:
        """That are open now."""
        self._sweep()
        return len(self._streams)

    def handle_stream(self, stream: iostream.IOStream, address: Any) -> None:
        """Let a connection in; where there are too many, the oldest that says nothing goes for it."""
        source = str(address[0]) if isinstance(address, tuple) else "local"
        now = time.monotonic()
        self._sweep()
        unknown = [other for other in self._streams if other not in self._known]
        silent = [other for other in unknown if other not in self._spoke and _says_nothing(other)]
        if len(self._streams) >= MAX_CONNECTIONS:
            self._turn_away(next(iter(silent or unknown), stream))
        elif self._unknown_of(source) >= MAX_PER_SOURCE:
            # Who has just come may be about to speak: he goes only if there is no room at all.
            old = (
                o for o in silent if self._streams[o][0] == source and now - self._streams[o][1] > PATIENCE
            )
            self._turn_away(next(old, None))
        if not stream.closed():
            self._streams[stream] = (source, now)
            stream.set_nodelay(True)
            super().handle_stream(stream, address)

    def _unknown_of(self, source: str) -> int:
        return sum(at[0] == source and stream not in self._known for stream, at in self._streams.items())

    def spoke(self, stream: iostream.IOStream | None) -> None:
        """A request has come on this connection: other limits end it soon enough."""
        if stream in self._streams:
            self._spoke.add(stream)

    def knows(self, stream: iostream.IOStream | None) -> None:
        """Whoever is behind this connection has logged in."""
        if stream in self._streams:
            self._known.add(stream)

    def _turn_away(self, stream: iostream.IOStream | None) -> None:
        if stream is None:
            return
        self.turned_away += 1
        self._streams.pop(stream, None)
        stream.close()

    def _sweep(self) -> None:
        """Forget those that are closed: a stream tells one listener, and that is Tornado's."""
        for stream in [stream for stream in self._streams if stream.closed()]:
            del self._streams[stream]
            self._known.discard(stream)
            self._spoke.discard(stream)


def _says_nothing(stream: iostream.IOStream) -> bool:
    """Whether nothing of a request has come: neither read nor waiting to be."""
    if stream.reading() and stream.socket is not None:
        try:
            return not stream.socket.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return True
        except (OSError, ValueError):
            return True  # broken, or TLS, where only whole records can be looked at
    return False
