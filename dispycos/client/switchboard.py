"""Which client of this process a message is for.

A process has one endpoint, and may have several Clients, one after the other or one waiting
behind the other. What scheduler and nodes say names a ticket or a reservation, and each
fleet takes what is its own; what servers say of tasks goes to the client they serve.

I/O half. Layer 5. Rule N5.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from dispycos import messages as m
from dispycos.client.demand import Work
from dispycos.client.orders import FLEET_HEARS, NoneComes
from dispycos.events import DialFailed, PeerEvent, PeerGone
from dispycos.model import Incarnation, Role
from dispycos.net.endpoint import Endpoint

# Who may say what to a client (N5, SE-19).
_OF_SCHEDULER = frozenset(
    {
        m.RegisterAgain,
        m.Queued,
        m.Scheduled,
        m.ScheduleRefused,
        m.NodeGranted,
        m.NodeIgnored,
        m.LeaseRenewed,
        m.NodeWithdrawn,
        m.ClientEnded,
        m.CloseAsked,
    }
)
_OF_SERVER = frozenset({m.ServerReady, m.SetUpFailed, m.CloseRequest, m.Finished})
_OF_TASKS = (m.Outcomes, m.Recalled, m.SubmitRefused, m.Holding, m.Ending)


class Subscriber(Protocol):
    """A client's driver, as far as messages go; the thread that read them."""

    def feed(self, event: Any) -> None: ...
    def hear_fleet(self, peer: Incarnation, message: Any) -> None: ...
    def hear_dispatch(self, peer: Incarnation, message: Any) -> None: ...
    def demand(self) -> Work: ...


class Switchboard:
    """The clients of this process, on one endpoint.

    On the reactor's thread, but for `connect`; what is for dispatch comes on the thread that read it.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._drivers: list[Subscriber] = []  # those whose turn is asked for or under way
        self._allocators: list[Callable[[Incarnation, m.AskAllocate], bool]] = []
        self._names: dict[Subscriber, str] = {}
        self._none: dict[object, str] = {}  # who starts nodes for this program and has none, and why
        self._of_server: dict[Incarnation, Subscriber] = {}  # a lost server goes with its session
        for kind in FLEET_HEARS:
            who = Role.NODE
            if kind in _OF_SCHEDULER:
                who = Role.SCHEDULER | (Role.NODE if kind is m.RegisterAgain else Role(0))
            elif kind in _OF_SERVER:
                who = Role.SERVER
            endpoint.handle(kind, self._for_fleet, who=who)
        for kind in _OF_TASKS:
            endpoint.handle(kind, self._for_dispatch, who=Role.SERVER, aside=True)
        endpoint.handle(m.AskAllocate, self._ask_allocate, who=Role.SCHEDULER)
        endpoint.watch(self._peer_event)

    @property
    def drivers(self) -> Sequence[Subscriber]:
        """Those of the clients whose turn is asked for or under way."""
        return self._drivers

    def add(
        self, driver: Subscriber, allocate: Callable[[Incarnation, m.AskAllocate], bool], name: str
    ) -> str:
        """Pass on what is for it; answers `name`, with a number if another one here is called so."""
        taken = self._names.values()
        numbered = (f"{name} #{number}" if number > 1 else name for number in itertools.count(1))
        self._names[driver] = next(one for one in numbered if one not in taken)
        self._drivers.append(driver)
        self._allocators.append(allocate)
        if self._none:
            driver.feed(NoneComes(self._why_none()))
        return self._names[driver]

    def none_comes(self, of: object, reason: str, lasting: bool) -> None:
        """`of` starts nodes for this program, has none and gets none, and why.

        lasting  also clients that come later are told, until `some_come`; False: what waits at this
                 moment is refused, and what comes later may wait.
        """
        self._none[of] = reason
        self._tell_none()
        if not lasting:
            self.some_come(of)

    def some_come(self, of: object) -> None:
        """Take `none_comes` back. May be repeated."""
        if self._none.pop(of, None) is not None:
            self._tell_none()

    def _tell_none(self) -> None:
        for driver in list(self._drivers):
            driver.feed(NoneComes(self._why_none()))

    def _why_none(self) -> str:
        return "; ".join(self._none.values())

    def remove(self, driver: Subscriber) -> None:
        if driver in self._drivers:
            number = self._drivers.index(driver)
            del self._drivers[number], self._allocators[number], self._names[driver]
        for server in [server for server, other in list(self._of_server.items()) if other is driver]:
            del self._of_server[server]

    def connect(self, server: Incarnation, driver: Subscriber) -> None:
        """What this server says of tasks is for `driver`; any thread."""
        self._of_server[server] = driver

    def _for_fleet(self, peer: Incarnation, message: Any) -> None:
        for driver in list(self._drivers):
            driver.hear_fleet(peer, message)
            if type(message) is m.NodeReport:
                driver.hear_dispatch(peer, message)

    def _for_dispatch(self, peer: Incarnation, message: Any) -> None:
        driver = self._of_server.get(peer)
        if driver is not None:
            driver.hear_dispatch(peer, message)

    def _ask_allocate(self, peer: Incarnation, message: m.AskAllocate) -> None:
        for allocate in list(self._allocators):
            if allocate(peer, message):
                return
        self._endpoint.say(peer, m.Allocated(message.question, None))

    def _peer_event(self, event: PeerEvent | DialFailed) -> None:
        for driver in list(self._drivers):
            driver.feed(event)
        if isinstance(event, PeerGone):
            # It says nothing any more; what it said last was heard before.
            self._of_server.pop(event.peer, None)
