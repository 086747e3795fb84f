"""Dialling: reaching for whoever listens somewhere, again and again (R-50).

Two reasons to dial: a location that somebody here asked for, which goes on until it is
reached or no longer wanted; and a peer whose connection broke, whose `Liveness` says when
to dial again and what refusals mean. If another incarnation answers at a peer's address,
the peer is gone (RELIABILITY, section 1).

I/O half, reactor thread only. Layer 3.
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import Protocol

from dispycos.events import DialFailed
from dispycos.model import Location
from dispycos.net import dial
from dispycos.net.dial import Dial
from dispycos.net.liveness import Redial
from dispycos.net.peer import Peer

log = logging.getLogger("dispycos")


class Host(dial.Host, Protocol):
    """What dialling needs of the endpoint."""

    def peer_at(self, location: Location, reservation: int | None = None) -> Peer | None: ...
    def dial_failed(self, event: DialFailed, code: str) -> None: ...
    def lose(self, peer: Peer, reason: str) -> None: ...


class Dialler:
    """All dials of one process."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._wanted: dict[tuple[Location, int], asyncio.Task[None]] = {}  # asked for, not reached
        self._owners: dict[tuple[Location, int], list[object]] = {}  # who wants them
        self._once: set[tuple[Location, int]] = set()  # of these, the ones that one try is enough for
        self._redials: set[asyncio.Task[None]] = set()
        self._closed = False

    # Locations that somebody asked for.

    def dial(self, location: Location, reservation: int, *, once: bool, owner: object) -> None:
        """Reach for that location until it is reached or `stop`ped, or `once`.

        Who wants it reached at all costs prevails over who is content with one try, and one
        `owner` who wants it no more does not keep the others from it.
        """
        key = (location, reservation)
        if self._closed:
            return
        if key in self._wanted:
            if not any(other is owner for other in self._owners[key]):
                self._owners[key].append(owner)
            if not once:
                self._once.discard(key)
            return
        # Whoever holds a lesser key can say of any location that it is his.
        if self._host.peer_at(location, reservation):
            return
        if once:
            self._once.add(key)
        self._owners[key] = [owner]
        self._wanted[key] = self._host.reactor.spawn(self._reach(location, reservation))

    def under_way(self, location: Location) -> int | None:
        """The reservation that whoever listens there is being dialled for; None: nobody dials it."""
        return next((reservation for place, reservation in self._wanted if place == location), None)

    def stop(self, location: Location, owner: object) -> None:
        """`owner` does not want that location any more."""
        for key in [key for key in self._wanted if key[0] == location]:
            owners = self._owners[key] = [other for other in self._owners[key] if other is not owner]
            if not owners:
                self._wanted.pop(key).cancel()
                self._once.discard(key)
                del self._owners[key]

    async def _reach(self, location: Location, reservation: int) -> None:
        key = (location, reservation)
        delays = Redial(self._host.limits, self._host.limits.redial_max)
        try:
            while True:
                peer, code, reason = await self._try(location, reservation)
                if peer is not None:
                    # It is up when it has said who it is; who breaks off before was not reached.
                    reason = await peer.settled()
                    if not reason:
                        return
                self._host.dial_failed(DialFailed(location, reason, refused=code == "refused"), code)
                if code == "self" or key in self._once:
                    return  # to itself it will always lead (SE-67)
                await asyncio.sleep(delays.delay(random.random()))
        finally:
            if self._wanted.get(key) is asyncio.current_task():
                del self._wanted[key], self._owners[key]
                self._once.discard(key)

    # Peers whose connection broke.

    def redial(self, peer: Peer) -> None:
        """Dial that peer once; it is told if that fails, and decides what it means."""
        if not self._closed:
            task = self._host.reactor.spawn(self._redial(peer))
            self._redials.add(task)
            task.add_done_callback(self._redials.discard)

    async def _redial(self, peer: Peer) -> None:
        location = peer.reachable
        if location is None:
            peer.no_address()
            return
        found, code, reason = await self._try(location, peer.reservation)
        if found is None:
            log.debug("can't get back to %s: %s", peer, reason)
            peer.dial_failed(code == "refused")
        elif found is not peer:
            self._host.lose(peer, f"another process answers at {location}")

    async def _try(self, location: Location, reservation: int) -> tuple[Peer | None, str, str]:
        """Dial once: the peer reached, or None with a code and the reason; "busy": see `dial.End.peer`."""
        end = await Dial(self._host, location, reservation).run()
        return (end.peer, end.code or "busy", end.reason)

    async def close(self) -> None:
        """Give all dials up."""
        self._closed = True
        for task in [*self._wanted.values(), *self._redials]:
            task.cancel()
        self._wanted.clear()
        self._owners.clear()
