"""The scheduler's I/O half: its machine on an endpoint, and where nodes are looked for.

The same service is the private scheduler of a client's process and, with a journal, the
shared one. Nodes are found by discovery, by the names they were given here, and by the
clients' rules; whoever comes up says itself that it is a node.

I/O half. Layer 5. Rows DS-01, DS-22; rules N9, R-52.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from dispycos import messages as m
from dispycos.events import DialFailed, Heard, PeerEvent, PeerGone, PeerUp
from dispycos.model import Incarnation, Location, Role
from dispycos.net.endpoint import Endpoint
from dispycos.net.runner import Runner
from dispycos.net.search import Search
from dispycos.scheduler.events import Stop, Stopped
from dispycos.scheduler.machine import SchedulerMachine

OF_NODES = (m.NodeHere, m.Reserved, m.ReserveRefused, m.Pulse, m.Released)
OF_CLIENTS = (
    m.Schedule,
    m.Unschedule,
    m.AddRule,
    m.Allocated,
    m.ReturnNode,
    m.CloseClient,
    m.Counts,
)


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    """How one scheduler works; times are seconds."""

    nodes: tuple[Location, ...] = ()  # reached for without discovery, as long as it lives
    ping_interval: float = 0.0  # between searches for nodes; 0: once, at the start
    idle_limit: float = 0.0  # a node that ran nothing so long closes its client; 0: never
    hold: float = 1000.0  # H: how long the work of a client that can't be heard is kept


class SchedulerService:
    """A scheduler on an endpoint of this process.

    search     for nodes nearby.
    searching  says where nodes are looked for, for reasons (R-52).
    """

    def __init__(
        self,
        endpoint: Endpoint,
        options: ServiceOptions,
        *,
        search: Search,
        searching: Callable[[], str] = lambda: "",
    ) -> None:
        self.endpoint = endpoint
        self.options = options
        self.machine = SchedulerMachine(
            endpoint.incarnation,
            endpoint.limits,
            reservation_numbers=_reservation_numbers(),
            idle_limit=options.idle_limit,
            hold=options.hold,
            searching=searching,
            unreached=self.why_unreached,
        )
        # A private scheduler shares its client's sessions: a lease is not to lapse behind a file.
        self._runner = Runner(self.machine, endpoint.reactor, endpoint, self._perform, urgent=True)
        self._search = search
        self._named: set[Location] = set()  # nodes that were named, and are not reached now
        self._reached: dict[Incarnation, Location] = {}  # named nodes that are here
        self._failed: dict[Location, str] = {}  # named here or by a rule: why its last dial failed
        self._pinging: asyncio.Task[None] | None = None
        self._stopped: asyncio.Future[None] | None = None

    def start(self) -> None:
        """Begin to serve and to look for nodes; reactor thread."""
        endpoint = self.endpoint
        said: tuple[tuple[tuple[type[Any], ...], Role], ...] = (
            (OF_NODES, Role.NODE),
            (OF_CLIENTS, Role.CLIENT),
        )
        for kinds, who in said:
            for kind in kinds:
                endpoint.handle(kind, self._heard, who=who)
        if Role.SCHEDULER not in endpoint.roles:
            endpoint.roles |= Role.SCHEDULER
            # Who met us before does not know what we are now: it is to meet us again.
            for peer in endpoint.peers():
                if Role.NODE in peer.roles:
                    endpoint.forget(peer.incarnation, "this process is a scheduler now")
                    self._look_for(peer.location)
        endpoint.watch(self._peer_event)
        for location in self.options.nodes:
            self.add_node(location)
        self._search.want(Role.NODE)
        self._pinging = endpoint.reactor.spawn(self._ping())

    def add_node(self, location: Location) -> None:
        """Reach for the node there, now and whenever it is lost; reactor thread."""
        if location not in self._reached.values():
            self._look_for(location)

    def _look_for(self, location: Location | None) -> None:
        if location is not None:
            self._named.add(location)
            self.endpoint.dial(location, owner=self)

    def _heard(self, peer: Incarnation, message: Any) -> None:
        self._runner.feed(Heard(peer, message))

    def _wants(self, location: Location) -> bool:
        active = self.machine.active
        return location in self._named or (active is not None and location in active.dialled)

    def why_unreached(self) -> list[str]:
        """Nodes that are wanted by name and not reached: why the last dial failed. Any thread."""
        return [reason for location, reason in list(self._failed.items()) if self._wants(location)]

    def _peer_event(self, event: PeerEvent | DialFailed) -> None:
        if isinstance(event, DialFailed):
            # The rules of a client that left name nobody any more.
            self._failed = {at: reason for at, reason in self._failed.items() if self._wants(at)}
            if self._wants(event.location):
                self._failed[event.location] = event.reason
        elif isinstance(event, PeerUp):
            peer = self.endpoint.peer(event.peer)
            dialled = peer.dialled if peer is not None else None
            for location in (dialled, event.location):
                if location is not None:
                    self._failed.pop(location, None)
                if location is not None and location in self._named:
                    self._named.discard(location)
                    self._reached[event.peer] = location
        elif isinstance(event, PeerGone):
            self._look_for(self._reached.pop(event.peer, None))
        self._runner.feed(event)

    def _perform(self, action: Any) -> None:
        # What else the machine answers is for a journal, which a private scheduler has not.
        if isinstance(action, Stopped) and self._stopped is not None and not self._stopped.done():
            self._stopped.set_result(None)

    async def _ping(self) -> None:
        self._search.seek(Role.NODE)
        while self.options.ping_interval > 0:
            await asyncio.sleep(self.options.ping_interval)
            self._search.seek(Role.NODE)

    async def stop(self, *, terminate: bool, reason: str, within: float) -> None:
        """Refuse who waits, let the running client end or end it, at most so many seconds."""
        if self._stopped is None:
            self._stopped = self.endpoint.reactor.loop.create_future()
            self._runner.feed(Stop(terminate, reason))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._stopped), within)
        if self._pinging is not None:
            self._pinging.cancel()
        self._runner.stop()


def _reservation_numbers() -> Iterator[int]:
    """Numbers that nobody had before, here or elsewhere: 62 random bits."""
    while True:
        yield secrets.randbits(62) | 1
