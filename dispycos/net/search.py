"""Search: who is near that this process has a use for, by UDP.

A hint leads to one dial (SE-29), and only to processes that are wanted: nodes, if this one is
a scheduler; schedulers, while it looks for one; other programs, if it is to meet them. It may
be told on instead, to who is far away and asked: see `net.nearby`. Whoever is named by the user
is reached without it.

I/O half, reactor thread. Layer 4. Rows DS-22, KE-28; SE-29, SE-33, R-76, R-82.
"""

from __future__ import annotations

import logging

from dispycos.model import Incarnation, Location, Role
from dispycos.net.discovery import Discovery
from dispycos.net.endpoint import Endpoint
from dispycos.net.nearby import Nearby

log = logging.getLogger("dispycos")

NOBODY = Role(0)

_ASK_AT = (0.0, 1.0, 4.0)  # seconds after the wish to find somebody: a datagram may be lost


class Search:
    """Made on the reactor once the endpoint listens.

    udp_port  of discovery; None: no UDP socket exists, and nobody is found.
    wanted    whom a hint leads to; see `want`.
    """

    def __init__(
        self, endpoint: Endpoint, udp_port: int | None, *, multicast: bool = False, wanted: Role = NOBODY
    ) -> None:
        self._endpoint = endpoint
        self._wanted = wanted
        self.port = udp_port
        self._nearby = Nearby(endpoint, self.seek)
        self._discovery: Discovery | None = None
        if udp_port is None:
            return
        try:
            self._discovery = Discovery(endpoint, udp_port=udp_port, multicast=multicast, on_hint=self._hint)
        except OSError as exc:
            # Another account's programs may hold the port; named peers work all the same.
            log.warning("nobody is found by UDP: %s", exc.strerror or exc)

    @property
    def where(self) -> str:
        """Where datagrams go, for reasons that people read (R-52); "" if there is no UDP."""
        return "" if self._discovery is None else self._discovery.where

    def want(self, roles: Role) -> None:
        """From now on, reach for those who have one of these roles and say that they are here."""
        self._wanted |= roles

    def described(self, who: str) -> str:
        """Where nodes are looked for, for reasons that people read (R-52); `who` looks for them."""
        where = self.where
        how = f"sent beacons to {where}" if where else "without discovery by UDP"
        here = f"{who} listens at {self._endpoint.location}"
        return (
            f"{here}, {how}; is dispycosnode running with the same key? "
            "`dispycos doctor` looks for what keeps them apart"
        )

    def unwant(self, roles: Role) -> None:
        """Take `want` back."""
        self._wanted &= ~roles

    def ignore(self, roles: Role, flag: bool) -> None:
        """Whether this process hides that it has these roles, and seeks out nobody who has them."""
        if self._discovery is not None:
            hidden = self._discovery.hidden
            self._discovery.hidden = hidden | roles if flag else hidden & ~roles
        if flag:
            self.unwant(roles)
        else:
            self.want(roles)

    def ask(self, peer: Incarnation, roles: Role) -> None:
        """Reach for those of these roles that this peer finds near it."""
        self._nearby.ask(peer, roles)

    def seek(self, roles: Role, *, announce: bool = False) -> None:
        """Ask who has one of these roles and is of use; `announce`: say to all that we are here, too."""
        if self._discovery is not None:
            for delay in _ASK_AT:
                self._endpoint.reactor.loop.call_later(delay, self._ask, roles, announce)

    def announce(self) -> None:
        """Say to all that we are here, once."""
        if self._discovery is not None:
            self._discovery.announce()

    def _ask(self, roles: Role, announce: bool) -> None:
        roles &= self._wanted | self._nearby.sought
        if self._discovery is None or not roles:
            return
        self._discovery.seek(roles)
        if announce:
            self._discovery.announce()

    def _hint(self, location: Location, roles: Role) -> None:
        if roles & self._wanted:
            self._endpoint.dial(location, once=True)
        self._nearby.found(location, roles)

    def close(self) -> None:
        """Close the UDP sockets; may be repeated."""
        if self._discovery is not None:
            self._discovery.close()
            self._discovery = None
