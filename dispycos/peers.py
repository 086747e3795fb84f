"""How a program and the others find each other: discovery, and what it does with hints.

A hint leads to one dial, and only to processes that this program has a use for: nodes, if it
is a scheduler; schedulers, while it looks for one; other programs, if it is to meet them.

I/O half, reactor thread. Layer 5. Rows DS-22, KE-28; SE-29, SE-33, R-82.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TypeAlias

from dispycos.events import DialFailed, PeerEvent, PeerUp
from dispycos.model import Location, Role
from dispycos.net.discovery import Discovery
from dispycos.net.endpoint import Endpoint
from dispycos.net.peer import Peer

log = logging.getLogger("dispycos")

# A peer that is waited for: who answers at a location, or of whom something is true.
Wanted: TypeAlias = Location | Callable[[Peer], bool]

_ASK_AT = (0.0, 1.0, 4.0)  # seconds after the wish to find somebody: a datagram may be lost


class Peers:
    """Made on the reactor once the endpoint listens. `where` is "" if there is no UDP."""

    def __init__(self, endpoint: Endpoint, udp_port: int | None, multicast: bool) -> None:
        self._endpoint = endpoint
        self.reservation = 0  # whose servers this process belongs to, if it is a server
        self._wanted = Role(0)  # whom a hint leads to
        self._discovery: Discovery | None = None
        # Each stands for a coroutine of this program that waits.
        self._waiting: list[tuple[Wanted, asyncio.Future[Peer | None]]] = []
        endpoint.watch(self._peer_event)
        if udp_port is None:
            return
        try:
            self._discovery = Discovery(endpoint, udp_port=udp_port, multicast=multicast, on_hint=self._hint)
        except OSError as exc:
            # Another account's programs may hold the port; named peers work all the same.
            log.warning("nobody is found by UDP: %s", exc.strerror or exc)

    @property
    def where(self) -> str:
        """Where datagrams go, for reasons that people read (R-52)."""
        return "" if self._discovery is None else self._discovery.where

    def want(self, roles: Role) -> None:
        """From now on, reach for those who have one of these roles and say that they are here."""
        self._wanted |= roles

    def unwant(self, roles: Role) -> None:
        self._wanted &= ~roles

    def seek(self, roles: Role) -> None:
        """Ask who has one of these roles, some times in case a datagram is lost."""
        if self._discovery is None:
            return
        for delay in _ASK_AT:
            self._endpoint.reactor.loop.call_later(delay, self._ask, roles)

    def _ask(self, roles: Role) -> None:
        if self._discovery is not None and roles & self._wanted:
            self._discovery.seek(roles & self._wanted)

    def announce(self) -> None:
        """Say to all that this program is here."""
        if self._discovery is not None:
            self._discovery.announce()

    def _hint(self, location: Location, roles: Role) -> None:
        if roles & self._wanted:
            self._endpoint.dial(location, once=True)

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
            return self._endpoint.peer_at(wanted, self.reservation) is peer
        return wanted(peer)

    # Waiting for somebody.

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
        peer = self._endpoint.peer_at(location, self.reservation)
        if peer is not None:
            return peer
        # Once: whoever else dials that place is not to lose it when we give up.
        self._endpoint.dial(location, reservation=self.reservation, once=True)
        return await self._wait(location)

    async def _wait(self, wanted: Wanted) -> Peer | None:
        future: asyncio.Future[Peer | None] = self._endpoint.reactor.loop.create_future()
        entry = (wanted, future)
        self._waiting.append(entry)
        try:
            return await future
        finally:
            self._waiting.remove(entry)

    def _settle(self, concerned: Callable[[Wanted], bool], peer: Peer | None) -> None:
        for wanted, future in list(self._waiting):
            if not future.done() and concerned(wanted):
                future.set_result(peer)

    def close(self) -> None:
        """Close the UDP sockets; may be repeated."""
        if self._discovery is not None:
            self._discovery.close()
            self._discovery = None
