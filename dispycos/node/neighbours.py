"""Whom a node reaches for by itself: the peers it was told, and schedulers nearby.

Schedulers and clients find a node that only answers (DN-28). So that the order of starts does
not matter, a node asks for schedulers when it starts (R-76); it announces itself to all only
if it is told to. For a scheduler of another network it looks for the nodes of its own (DS-08).

I/O half, reactor thread. Layer 5. Rows DN-05, DN-17, DN-27, DN-28, DS-18; SE-29, SE-33.
"""

from __future__ import annotations

import asyncio

from dispycos.events import DialFailed, PeerEvent, PeerGone
from dispycos.messages import FindNodes, NodeNear
from dispycos.model import Incarnation, Location, Role
from dispycos.net import addresses
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
        self._asking: set[Incarnation] = set()  # schedulers that want to know of other nodes; they are here
        endpoint.handle(FindNodes, self._find_nodes, who=Role.SCHEDULER)
        endpoint.watch(self._peer_event)
        named = NamedPeers(endpoint, "--peer")
        for host, port in settings.peers:
            named.add_host(host, port)
        if settings.scheduler_port:
            NamedPeers(endpoint, "--scheduler_port").add(Location(settings.hosts[0], settings.scheduler_port))

    async def _ping(self, interval: float) -> None:
        while True:
            await asyncio.sleep(interval)
            self._search.announce()

    def _find_nodes(self, scheduler: Incarnation, message: FindNodes) -> None:
        self._asking.add(scheduler)
        self._search.tell(Role.NODE, self._near)
        self._search.seek(Role.NODE)

    def _near(self, location: Location) -> None:
        ours = self._endpoint.location
        # What is only here on this machine leads elsewhere on another one.
        if addresses.is_loopback(location.addr) and not (ours and addresses.is_loopback(ours.addr)):
            return
        for scheduler in self._asking:
            self._endpoint.say(scheduler, NodeNear(location))

    def _peer_event(self, event: PeerEvent | DialFailed) -> None:
        if isinstance(event, PeerGone):
            self._asking.discard(event.peer)

    def close(self) -> None:
        """Close the UDP sockets; may be repeated."""
        self._search.close()
