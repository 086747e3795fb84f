"""Whom a node reaches for by itself: the peers it was told, and schedulers nearby.

Schedulers and clients find a node that only answers (DN-28). So that the order of starts does
not matter, a node asks for schedulers when it starts (R-76); it announces itself to all only
if it is told to.

I/O half, reactor thread. Layer 5. Rows DN-05, DN-17, DN-27, DN-28, DS-18; SE-29, SE-33.
"""

from __future__ import annotations

import asyncio

from dispycos.model import Location, Role
from dispycos.net.endpoint import Endpoint
from dispycos.net.named import NamedPeers
from dispycos.net.search import Search
from dispycos.node.settings import NodeSettings


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
        named = NamedPeers(endpoint, "--peer")
        for host, port in settings.peers:
            named.add_host(host, port)
        if settings.scheduler_port:
            NamedPeers(endpoint, "--scheduler_port").add(Location(settings.hosts[0], settings.scheduler_port))

    async def _ping(self, interval: float) -> None:
        while True:
            await asyncio.sleep(interval)
            self._search.announce()

    def close(self) -> None:
        """Close the UDP sockets; may be repeated."""
        self._search.close()
