"""The door: connections to the monitor, few enough and never slow for long (SE-42, SE-108).

One rule for whoever says nothing: from the moment it may speak, its next headers are here within
10 s, or it is closed. So no connection idles longer. WebSockets stay open; they count as known
once they have logged in, and then only against the limit of all. Where a source has too many that
said nothing yet, the oldest of them goes: a crowd of idle ones keeps nobody out.

I/O half. Layer 7.
"""

from __future__ import annotations

import ssl
from typing import Any

from tornado import httpserver, iostream

MAX_HEADER = 16 * 1024
MAX_BODY = 64 * 1024
HEADERS_WITHIN = 10.0  # seconds
BODY_WITHIN = 10.0
MAX_CONNECTIONS = 200
MAX_PER_SOURCE = 20  # that have not logged in


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
        self._streams: dict[iostream.IOStream, str] = {}  # open ones -> source, the oldest first
        self._known: set[iostream.IOStream] = set()  # of these, who has logged in
        self.turned_away = 0

    @property
    def connections(self) -> int:
        """That are open now."""
        self._sweep()
        return len(self._streams)

    def handle_stream(self, stream: iostream.IOStream, address: Any) -> None:
        """Let a connection in; where there are too many, the oldest that is not known goes for it."""
        source = str(address[0]) if isinstance(address, tuple) else "local"
        self._sweep()
        unknown = [other for other in self._streams if other not in self._known]
        crowd = [other for other in unknown if self._streams[other] == source]
        if len(crowd) >= MAX_PER_SOURCE:
            self._turn_away(crowd[0])
        elif len(self._streams) >= MAX_CONNECTIONS:
            self._turn_away(unknown[0] if unknown else stream)
        if not stream.closed():
            self._streams[stream] = source
            stream.set_nodelay(True)
            super().handle_stream(stream, address)

    def knows(self, stream: iostream.IOStream | None) -> None:
        """Whoever is behind this connection has logged in."""
        if stream in self._streams:
            self._known.add(stream)

    def _turn_away(self, stream: iostream.IOStream) -> None:
        self.turned_away += 1
        self._streams.pop(stream, None)
        stream.close()

    def _sweep(self) -> None:
        """Forget those that are closed: a stream tells one listener, and that is Tornado's."""
        for stream in [stream for stream in self._streams if stream.closed()]:
            del self._streams[stream]
            self._known.discard(stream)
