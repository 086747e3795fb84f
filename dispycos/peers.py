"""Waiting for peers: until somebody is here, or until it is known that nobody answers there.

How they are found is the business of `net.search` and of whoever dials.

I/O half, reactor thread. Layer 5. Rows KE-26 to KE-28.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeAlias

from dispycos.events import DialFailed, PeerEvent, PeerUp
from dispycos.model import Location
from dispycos.net.endpoint import Endpoint
from dispycos.net.peer import Peer

# A peer that is waited for: who answers at a location, or of whom something is true.
Wanted: TypeAlias = Location | Callable[[Peer], bool]


class Peers:
    """The peers of an endpoint, as coroutines of this program wait for them.

    reservation  whose servers this process belongs to, if it is a server.
    """

    def __init__(self, endpoint: Endpoint, reservation: int = 0) -> None:
        self._endpoint = endpoint
        self._reservation = reservation
        # Each stands for a coroutine of this program that waits.
        self._waiting: list[tuple[Wanted, asyncio.Future[Peer | None]]] = []
        endpoint.watch(self._peer_event)

    async def present(self, wanted: Callable[[Peer], bool]) -> Peer:
        """The first peer that is `wanted`, now or when it comes up."""
        for peer in self._endpoint.peers():
            if wanted(peer):
                return peer
        found = await self._wait(wanted)
        assert found is not None, "who waits for no location is told of no failed dial"
        return found

    async def reach(self, location: Location) -> Peer | None:
        """Who answers there; None if the dial fails."""
        peer = self._endpoint.peer_at(location, self._reservation)
        if peer is not None:
            return peer
        # A client's new server is dialled already, and knows no key but its reservation's.
        if self._endpoint.dialling(location) is None:
            # Once: whoever else dials that place is not to lose it when we give up.
            self._endpoint.dial(location, reservation=self._reservation, once=True)
        return await self._wait(location)

    async def _wait(self, wanted: Wanted) -> Peer | None:
        future: asyncio.Future[Peer | None] = self._endpoint.reactor.loop.create_future()
        entry = (wanted, future)
        self._waiting.append(entry)
        try:
            return await future
        finally:
            self._waiting.remove(entry)

    def _peer_event(self, event: PeerEvent | DialFailed) -> None:
        if isinstance(event, DialFailed):
            self._settle(lambda wanted: wanted == event.location, None)
        elif isinstance(event, PeerUp):
            peer = self._endpoint.peer(event.peer)
            if peer is not None:
                self._settle(lambda wanted: self._is(peer, wanted), peer)

    def _is(self, peer: Peer, wanted: Wanted) -> bool:
        if isinstance(wanted, Location):
            # A server may say that it is anywhere.
            return self._endpoint.peer_at(wanted, self._reservation) is peer
        return wanted(peer)

    def _settle(self, concerned: Callable[[Wanted], bool], peer: Peer | None) -> None:
        for wanted, future in list(self._waiting):
            if not future.done() and concerned(wanted):
                future.set_result(peer)
