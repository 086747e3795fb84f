"""How a node and the others find each other: named peers, dialled for ever, and discovery.

Schedulers and clients find a node that only answers (DN-28). So that the order of starts does
not matter, a node asks for schedulers when it starts (R-76); it announces itself to all only
if it is told to.

I/O half, reactor thread. Layer 5. Rows DN-05, DN-17, DN-27, DN-28; SE-29, SE-33.
"""

from __future__ import annotations

import asyncio
import logging

from dispycos.model import Location, Role
from dispycos.net import addresses
from dispycos.net.discovery import Discovery
from dispycos.net.endpoint import Endpoint
from dispycos.node.settings import NodeSettings

log = logging.getLogger("dispycos")

_RESOLVE_AGAIN = 10.0  # seconds between look-ups of a peer's name that can't be resolved
_ASK_AT = (0.0, 1.0, 4.0)  # seconds after the start: a datagram may be lost


class Neighbours:
    """Made once the endpoint listens."""

    def __init__(self, endpoint: Endpoint, settings: NodeSettings) -> None:
        self._endpoint = endpoint
        self._reactor = endpoint.reactor
        self._discovery: Discovery | None = None
        for host, port in settings.peers:
            self._reactor.spawn(self._reach(host, port))
        if settings.udp_port is not None:
            self._discover(settings, settings.udp_port)

    def _discover(self, settings: NodeSettings, port: int) -> None:
        try:
            discovery = Discovery(
                self._endpoint, udp_port=port, multicast=settings.multicast, on_hint=self._hint
            )
        except OSError as exc:
            # Another account's programs may hold the port; named peers work all the same.
            log.warning("this node is not found by UDP: %s", exc.strerror or exc)
            return
        self._discovery = discovery
        for delay in _ASK_AT:
            self._reactor.loop.call_later(delay, self._speak, settings.discover)

    def _speak(self, announce: bool) -> None:
        if self._discovery is not None:
            self._discovery.seek(Role.SCHEDULER)
            if announce:
                self._discovery.announce()

    def _hint(self, location: Location, roles: Role) -> None:
        # A hint leads to one dial (SE-29); who is no scheduler reaches for us if he wants us.
        if roles & Role.SCHEDULER:
            self._endpoint.dial(location, once=True)

    async def _reach(self, host: str, port: int) -> None:
        """Dial a peer for ever; a name that can't be resolved yet is looked up again (DN-27)."""
        while True:
            try:
                location = Location(await asyncio.to_thread(addresses.resolve, host), port)
            except ValueError as exc:
                log.warning("--peer %s:%s: %s; trying again", host, port, exc)
                await asyncio.sleep(_RESOLVE_AGAIN)
            else:
                self._endpoint.dial(location, owner=self)
                return

    def close(self) -> None:
        """Close the UDP sockets; may be repeated."""
        if self._discovery is not None:
            self._discovery.close()
            self._discovery = None
