"""Which client of this process a message is for.

A process has one endpoint, and may have several Clients, one after the other or one waiting
behind the other. What scheduler and nodes say names a ticket or a reservation, and each
fleet takes what is its own; what servers say of tasks goes to the client they serve.

I/O half. Layer 5. Rule N5.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection
from typing import Any, Protocol

from dispycos import messages as m
from dispycos.client.demand import Work
from dispycos.client.orders import FLEET_HEARS, NoNodes
from dispycos.events import DialFailed, PeerEvent, PeerGone
from dispycos.model import Incarnation, Role
from dispycos.net.endpoint import Endpoint
from dispycos.records import record

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
        m.TellDemand,
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


@record
class Entry:
    """A client whose turn is asked for or under way."""

    driver: Subscriber
    allocate: Callable[[Incarnation, m.AskAllocate], bool]  # False: the question is another's
    name: str  # nobody else here is called so
    ours: bool  # it asks the scheduler of this process: nodes that this program starts are for it


@record
class Hopeless:
    """Why a cluster of this program has no node, and gets none."""

    reason: str
    lasting: bool  # also for what is submitted later


class Switchboard:
    """The clients of this process, on one endpoint.

    On the reactor's thread, but for `connect`; what is for dispatch comes on the thread that read it.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._entries: list[Entry] = []
        self._starters: dict[object, Hopeless | None] = {}  # who starts nodes for this program
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
    def drivers(self) -> list[Subscriber]:
        """Those of the clients whose turn is asked for or under way."""
        return [entry.driver for entry in self._entries]

    @property
    def ours(self) -> list[Subscriber]:
        """Those of them that get the nodes which this program starts: the scheduler is of this process."""
        return [entry.driver for entry in self._entries if entry.ours]

    def add(
        self,
        driver: Subscriber,
        allocate: Callable[[Incarnation, m.AskAllocate], bool],
        name: str,
        *,
        ours: bool,
    ) -> str:
        """Pass on what is for it; answers `name`, with a number if another one here is called so.

        ours  it asks the scheduler of this process.
        """
        name = numbered(name, {entry.name for entry in self._entries})
        self._entries.append(Entry(driver, allocate, name, ours))
        if (hopeless := self._hopeless()) and hopeless.lasting:
            driver.feed(NoNodes(hopeless.reason))
        return name

    def remove(self, driver: Subscriber) -> None:
        """Pass on nothing more. May be repeated."""
        self._entries = [entry for entry in self._entries if entry.driver is not driver]
        for server in [server for server, other in list(self._of_server.items()) if other is driver]:
            del self._of_server[server]

    # Who starts nodes. Clients are told that none comes when that is so of all of them.

    def starts(self, starter: object) -> None:
        """It starts nodes for this program from now on, until `starts_none`: some may come."""
        self._told(starter, None)

    def starts_none(self, starter: object) -> None:
        """It is closed. May be repeated."""
        if starter in self._starters:
            del self._starters[starter]
            self._tell()

    def hopeless(self, starter: object, reason: str, lasting: bool) -> bool:
        """It has no node and gets none, and why; until `hopeful`. Whether any client is refused for that.

        None is while another one may start some, nor any that has its nodes by a scheduler elsewhere.

        lasting  also what is submitted later is refused; False: only what waits at this moment.
        """
        self._told(starter, Hopeless(reason, lasting))
        return self._hopeless() is not None and bool(self.ours)

    def hopeful(self, starter: object) -> None:
        """Take `hopeless` back. May be repeated, also when it is closed."""
        if self._starters.get(starter) is not None:
            self._told(starter, None)

    def _told(self, starter: object, hopeless: Hopeless | None) -> None:
        self._starters[starter] = hopeless
        self._tell()

    def _tell(self) -> None:
        hopeless = self._hopeless()
        told = NoNodes("") if hopeless is None else NoNodes(hopeless.reason, hopeless.lasting)
        for driver in self.drivers:
            driver.feed(told)

    def _hopeless(self) -> Hopeless | None:
        """Why no node comes from anywhere; None: one may."""
        said = [hopeless for hopeless in self._starters.values() if hopeless is not None]
        if not said or len(said) < len(self._starters):
            return None
        return Hopeless("; ".join(one.reason for one in said), all(one.lasting for one in said))

    def connect(self, server: Incarnation, driver: Subscriber) -> None:
        """What this server says of tasks is for `driver`; any thread."""
        self._of_server[server] = driver

    def _for_fleet(self, peer: Incarnation, message: Any) -> None:
        for driver in self.drivers:
            driver.hear_fleet(peer, message)
            if type(message) is m.NodeReport:
                driver.hear_dispatch(peer, message)

    def _for_dispatch(self, peer: Incarnation, message: Any) -> None:
        driver = self._of_server.get(peer)
        if driver is not None:
            driver.hear_dispatch(peer, message)

    def _ask_allocate(self, peer: Incarnation, message: m.AskAllocate) -> None:
        for entry in list(self._entries):
            if entry.allocate(peer, message):
                return
        self._endpoint.say(peer, m.Allocated(message.question, None))

    def _peer_event(self, event: PeerEvent | DialFailed) -> None:
        for driver in self.drivers:
            driver.feed(event)
        if isinstance(event, PeerGone):
            # It says nothing any more; what it said last was heard before.
            self._of_server.pop(event.peer, None)


def numbered(name: str, taken: Collection[str]) -> str:
    """`name`, or with the first number from 2 on that makes it one that is not taken."""
    names = itertools.chain((name,), (f"{name} #{number}" for number in itertools.count(2)))
    return next(one for one in names if one not in taken)
