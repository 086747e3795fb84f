"""Named peers: processes that the user names are reached for as long as this process lives.

A name that can't be resolved yet is looked up again, a peer that is absent is dialled again,
and one that was lost is dialled anew (DN-27, DS-08).

I/O half, reactor thread. Layer 4.
"""

from __future__ import annotations

import asyncio
import logging

from dispycos.events import DialFailed, PeerEvent, PeerGone, PeerUp
from dispycos.model import Incarnation, Location
from dispycos.net import addresses
from dispycos.net.endpoint import Endpoint

log = logging.getLogger("dispycos")

_RESOLVE_AGAIN = 10.0  # seconds between look-ups of a name that can't be resolved


class NamedPeers:
    """Those that one part of this process was told to reach.

    option  how the user named them, for one line of the log about each that is not there; "": none.
    """

    def __init__(self, endpoint: Endpoint, option: str = "") -> None:
        self._endpoint = endpoint
        self._option = option
        self._named: set[Location] = set()
        self._here: dict[Incarnation, Location] = {}  # those that are reached
        self._failed: dict[Location, str] = {}  # those that are not: what the last dial found
        self._silent: set[Location] = set()  # of which nothing was logged
        endpoint.watch(self._peer_event)

    def add(self, location: Location) -> None:
        """Reach for whoever listens there."""
        if location in self._named:
            return
        self._named.add(location)
        self._silent.add(location)
        there = self._endpoint.peer_at(location, 0)
        if there is not None and there.introduced:
            self._here[there.incarnation] = location
        else:
            self._endpoint.dial(location, owner=self)

    def add_host(self, host: str, port: int) -> None:
        """Reach for whoever listens at that port of a host, once its name can be resolved."""
        self._endpoint.reactor.spawn(self._resolve(host, port))

    async def _resolve(self, host: str, port: int) -> None:
        while True:
            try:
                location = Location(await asyncio.to_thread(addresses.resolve, host), port)
            except ValueError as exc:
                log.warning("%s %s:%s: %s; trying again", self._option, host, port, exc)
                await asyncio.sleep(_RESOLVE_AGAIN)
            else:
                self.add(location)
                return

    def __contains__(self, peer: Incarnation) -> bool:
        """Whether that peer is one of them."""
        return peer in self._here

    def why(self) -> list[str]:
        """Of each that is not reached: what was found there. Any thread."""
        return list(self._failed.values())

    def _peer_event(self, event: PeerEvent | DialFailed) -> None:
        if isinstance(event, DialFailed):
            if event.location in self._named:
                self._failed[event.location] = event.reason
                self._say(event)
        elif isinstance(event, PeerUp):
            for location in (event.dialled, event.location):
                if location is not None and location in self._named:
                    self._here[event.peer] = location
                    self._failed.pop(location, None)
        elif isinstance(event, PeerGone):
            location = self._here.pop(event.peer, None)
            if location is not None and location not in self._here.values():
                self._endpoint.dial(location, owner=self)

    def _say(self, event: DialFailed) -> None:
        if self._option and event.location in self._silent:
            self._silent.discard(event.location)
            if not event.told:
                text = "%s %s: %s; trying again until it is there"
                log.warning(text, self._option, event.location, event.reason)
