"""Named peers: processes that the user names are reached for as long as this process lives.

A peer that is absent is dialled again, and one that was lost is dialled anew (DN-27, DS-08). A
name may stand for many peers, and for others later: it is looked up again and again, all that bear
it are reached, and who bears it no more is not dialled again (N9).

I/O half, reactor thread. Layer 4.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging

from dispycos.events import DialFailed, PeerEvent, PeerGone, PeerUp
from dispycos.model import Incarnation, Location
from dispycos.net import addresses
from dispycos.net.endpoint import Endpoint

log = logging.getLogger("dispycos")

_LOOK_SOON = 10.0  # seconds until a name is looked up again while not all that bear it are reached
_LOOK_AGAIN = 30.0  # the same once they are: others may bear it, too


class NamedPeers:
    """Those that one part of this process was told to reach.

    option  how the user named them, for one line of the log about each that is not there; "": none.
    """

    def __init__(self, endpoint: Endpoint, option: str = "") -> None:
        self._endpoint = endpoint
        self._option = option
        self._named: set[Location] = set()
        self._added: set[Location] = set()  # of those: what was named itself, whatever names stand for
        self._here: dict[Incarnation, Location] = {}  # those that are reached
        self._failed: dict[Location, str] = {}  # those that are not: what the last dial found
        self._silent: set[Location] = set()  # of which nothing was logged
        self._bearers: dict[tuple[str, int], set[Location]] = {}  # of each name, as it was looked up last
        self._lost = asyncio.Event()  # one of them, since the last look
        self._following: list[asyncio.Task[None]] = []  # the names
        endpoint.watch(self._peer_event)

    def add(self, location: Location) -> None:
        """Reach for whoever listens there, whatever names stand for."""
        self._added.add(location)
        self._reach(location)

    def _reach(self, location: Location) -> None:
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
        """Reach for whoever listens at that port of a host, or of each host that bears the name."""
        try:
            ipaddress.ip_address(host)
        except ValueError:
            self._following.append(self._endpoint.reactor.spawn(self._follow(host, port)))
        else:
            self.add(Location(host, port))

    async def _follow(self, host: str, port: int) -> None:
        warned = False
        while True:
            try:
                found = await asyncio.to_thread(addresses.all_of, host)
            except ValueError as exc:
                if not warned:
                    log.warning("%s %s:%s: %s; trying again", self._option, host, port, exc)
                warned = True
            else:
                warned = False
                self._borne((host, port), [Location(address, port) for address in found])
            self._lost.clear()
            bearers = self._bearers.get((host, port), set())
            wait = _LOOK_AGAIN if bearers and bearers <= set(self._here.values()) else _LOOK_SOON
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._lost.wait()

    def _borne(self, name: tuple[str, int], found: list[Location]) -> None:
        """A name was looked up."""
        former = self._bearers.get(name, set())
        self._bearers[name] = set(found)
        for location in found:
            self._reach(location)
        for location in former.difference(self._added, *self._bearers.values()):
            self._let_go(location)

    def remove(self, location: Location) -> None:
        """Take `add` back: whoever listens there is not reached for, unless a name stands for it, too."""
        self._added.discard(location)
        if not any(location in bearers for bearers in self._bearers.values()):
            self._let_go(location)

    def close(self) -> None:
        """Reach for nobody any more. May be repeated."""
        for following in self._following:
            following.cancel()
        self._bearers.clear()
        for location in list(self._named):
            self.remove(location)

    def _let_go(self, location: Location) -> None:
        self._named.discard(location)
        self._failed.pop(location, None)
        self._endpoint.stop_dialling(location, owner=self)

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
            if location is None or location in self._here.values():
                return
            if location in self._named:
                self._endpoint.dial(location, owner=self)
            # Who bears its name now, may be elsewhere.
            self._lost.set()

    def _say(self, event: DialFailed) -> None:
        if self._option and event.location in self._silent:
            self._silent.discard(event.location)
            if not event.told:
                text = "%s %s: %s; trying again until it is there"
                log.warning(text, self._option, event.location, event.reason)
