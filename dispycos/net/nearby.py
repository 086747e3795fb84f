"""Nearby: processes of a network that broadcasts don't reach, found through one that is there.

Who was reached by name is asked to look around, and tells of each process of the wanted roles
that it is connected with or that answers it, now or later. What it tells is a hint like any
datagram's: it leads to one dial, and who answers has to prove the key (N9). Nobody is believed
who was not asked, and who holds no more than a reservation's key is told nothing.

I/O half, reactor thread. Layer 4. Rows DS-08, DS-18, KE-29; rule N9.
"""

from __future__ import annotations

from collections.abc import Callable

from dispycos.events import DialFailed, PeerEvent, PeerGone, PeerUp
from dispycos.messages import FindNear, Near
from dispycos.model import Incarnation, Location, Role
from dispycos.net.addresses import is_loopback
from dispycos.net.endpoint import Endpoint

_ASKERS = Role.CLIENT | Role.SCHEDULER | Role.PEER
_KNOWERS = Role.SCHEDULER | Role.NODE | Role.PEER


class Nearby:
    """Both sides of it, for one process.

    seek  looks around by UDP for those roles, as far as there is UDP here.
    """

    def __init__(self, endpoint: Endpoint, seek: Callable[[Role], None]) -> None:
        self._endpoint = endpoint
        self._seek = seek
        self._asked: set[Incarnation] = set()
        self._asking: dict[Incarnation, Role] = {}
        endpoint.handle(FindNear, self._find, who=_ASKERS)
        endpoint.handle(Near, self._near, who=_KNOWERS)
        endpoint.watch(self._peer_event)

    def ask(self, peer: Incarnation, roles: Role) -> None:
        """Have that peer tell of those near it that have one of these roles; they are dialled once."""
        known = self._endpoint.peer(peer)
        if known is not None and known.roles & _KNOWERS and not known.reservation:
            self._asked.add(peer)
            self._endpoint.say(peer, FindNear(roles))

    @property
    def sought(self) -> Role:
        """Whom others want to be told of."""
        roles = Role(0)
        for wanted in self._asking.values():
            roles |= wanted
        return roles

    def found(self, location: Location, roles: Role) -> None:
        """Somebody of these roles is there."""
        for peer, wanted in self._asking.items():
            if roles & wanted:
                self._tell(peer, location)

    def _find(self, peer: Incarnation, message: FindNear) -> None:
        self._asking[peer] = message.roles
        for other in self._endpoint.peers():
            # Where a server is, only its node can say.
            if other.incarnation != peer and other.roles & message.roles and not other.reservation:
                location = other.location or other.dialled
                if location is not None:
                    self._tell(peer, location)
        self._seek(message.roles)

    def _tell(self, peer: Incarnation, location: Location) -> None:
        ours = self._endpoint.location
        # What is only here on this machine leads elsewhere on another one.
        if not is_loopback(location.addr) or (ours is not None and is_loopback(ours.addr)):
            self._endpoint.say(peer, Near(location))

    def _near(self, peer: Incarnation, message: Near) -> None:
        ours = self._endpoint.location
        if peer in self._asked and not (ours is not None and ours.includes(message.location)):
            self._endpoint.dial(message.location, once=True)

    def _peer_event(self, event: PeerEvent | DialFailed) -> None:
        if isinstance(event, PeerGone):
            self._asked.discard(event.peer)
            self._asking.pop(event.peer, None)
        elif isinstance(event, PeerUp) and event.location is not None and self.sought & event.roles:
            peer = self._endpoint.peer(event.peer)
            if peer is not None and not peer.reservation:
                self.found(event.location, event.roles)
