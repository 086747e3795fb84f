"""Whom a node reaches for by itself: the peers it was told, and schedulers nearby.

Schedulers and clients find a node that only answers (DN-28). So that the order of starts does
not matter, a node asks for schedulers when it starts (R-76); it announces itself to all only
if it is told to.

I/O half, reactor thread. Layer 5. Rows DN-05, DN-17, DN-27, DN-28; SE-29, SE-33.
"""

from __future__ import annotations

import asyncio
import logging

from dispycos.events import DialFailed, PeerEvent
from dispycos.model import Location, Role
from dispycos.net import addresses
from dispycos.net.endpoint import Endpoint
from dispycos.net.search import Search
from dispycos.node.settings import NodeSettings

log = logging.getLogger("dispycos")

_RESOLVE_AGAIN = 10.0  # seconds between look-ups of a peer's name that can't be resolved


class Neighbours:
    """Made once the endpoint listens."""

    def __init__(self, endpoint: Endpoint, settings: NodeSettings) -> None:
        self._endpoint = endpoint
        # Who is no scheduler reaches for us if he wants us.
        self._search = Search(
            endpoint, settings.udp_port, multicast=settings.multicast, wanted=Role.SCHEDULER
        )
        self._search.seek(Role.SCHEDULER, announce=settings.discover)
        if settings.ping_interval:
            endpoint.reactor.spawn(self._ping(settings.ping_interval))
        self._unreached: set[Location] = set()  # peers that were named, and of which nothing was said
        endpoint.watch(self._peer_event)
        for host, port in settings.peers:
            endpoint.reactor.spawn(self._reach(host, port))

    async def _ping(self, interval: float) -> None:
        while True:
            await asyncio.sleep(interval)
            self._search.announce()

    async def _reach(self, host: str, port: int) -> None:
        """Dial a peer for ever; a name that can't be resolved yet is looked up again (DN-27)."""
        while True:
            try:
                location = Location(await asyncio.to_thread(addresses.resolve, host), port)
            except ValueError as exc:
                log.warning("--peer %s:%s: %s; trying again", host, port, exc)
                await asyncio.sleep(_RESOLVE_AGAIN)
            else:
                self._unreached.add(location)
                self._endpoint.dial(location, owner=self)
                return

    def _peer_event(self, event: PeerEvent | DialFailed) -> None:
        if isinstance(event, DialFailed) and event.location in self._unreached:
            self._unreached.discard(event.location)
            if not event.told:
                log.warning("--peer %s: %s; trying again until it is there", event.location, event.reason)

    def close(self) -> None:
        """Close the UDP sockets; may be repeated."""
        self._search.close()
