"""The scheduler's I/O half: its machine on an endpoint, and where nodes are looked for.

The same service is the private scheduler of a client's process and, with a journal, the
shared one. Nodes are found by discovery, by the names they were given here, and by the
clients' rules; whoever comes up says itself that it is a node.

I/O half. Layer 5. Rows DS-01, DS-08, DS-18, DS-22; rules N9, R-22, R-35, R-52.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import secrets
from collections.abc import Callable, Iterator
from typing import Any

from dispycos import messages as m
from dispycos.events import DialFailed, Heard, PeerEvent, PeerUp
from dispycos.model import Incarnation, Location, Role
from dispycos.net.endpoint import Endpoint
from dispycos.net.named import NamedPeers
from dispycos.net.runner import Runner
from dispycos.net.search import Search
from dispycos.records import record
from dispycos.scheduler.events import (
    ENTRIES,
    DropClient,
    FollowWork,
    JournalFailed,
    NodesAwaited,
    Started,
    Stop,
    Stopped,
    Written,
)
from dispycos.scheduler.journal import Journal, JournalError
from dispycos.scheduler.machine import SchedulerMachine

log = logging.getLogger("dispycos")

LOOK_EVERY = 0.5  # seconds between looks at the work that nodes are started for
WRITE_AGAIN = 5.0  # seconds between attempts to write a journal that could not be written

OF_NODES = (m.NodeHere, m.Reserved, m.ReserveRefused, m.Pulse, m.Released)
OF_CLIENTS = (
    m.Schedule,
    m.Unschedule,
    m.AddRule,
    m.Allocated,
    m.ReturnNode,
    m.CloseClient,
    m.Counts,
    m.Demand,
)


@record
class ServiceOptions:
    """How one scheduler works; times are seconds, sizes bytes."""

    nodes: tuple[Location, ...] = ()  # reached for without discovery, as long as it lives
    hosts: tuple[tuple[str, int], ...] = ()  # likewise, by names, each of which may stand for many
    ping_interval: float = 0.0  # between searches for nodes; 0: once, at the start
    idle_limit: float = 0.0  # a node that ran nothing so long closes its client; 0: never
    hold: float = 1000.0  # H: how long the work of a client that can't be heard is kept
    longest_pulse: float = math.inf  # a client that asks for longer pulses gets these
    max_file_bytes: int = 0  # of one file of a client, at nodes too; 0: what each of them allows
    relay: bool = False  # every node is asked for others near it, not only those that were named
    redact: tuple[str, ...] = ()  # names of arguments that clients' monitors are not to show


class SchedulerService:
    """A scheduler on an endpoint of this process.

    search     for nodes nearby.
    searching  says where nodes are looked for, for reasons (R-52).
    journal    of a shared scheduler; what it gives back is taken up.
    on_left    called when a client has left.
    named      how the user names nodes, for the log.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        options: ServiceOptions,
        *,
        search: Search,
        searching: Callable[[], str] = lambda: "",
        journal: Journal | None = None,
        on_left: Callable[[], None] = lambda: None,
        named: str = "",
    ) -> None:
        self.endpoint = endpoint
        self.options = options
        self.machine = SchedulerMachine(
            endpoint.incarnation,
            endpoint.limits,
            reservation_numbers=_reservation_numbers(),
            idle_limit=options.idle_limit,
            hold=options.hold,
            longest_pulse=options.longest_pulse,
            max_file_bytes=options.max_file_bytes,
            redact=options.redact,
            journalled=journal is not None,
            restored=journal.restored if journal is not None else None,
            searching=lambda: "" if self._on_their_way() else searching(),
            unreached=self.why_unreached,
        )
        # A private scheduler shares its client's sessions: a lease is not to lapse behind a file.
        self._runner = Runner(
            self.machine, endpoint.reactor, endpoint, self._perform, urgent=True, first=self._keep
        )
        self._search = search
        self._journal = journal
        self._coming: list[Callable[[], list[str]]] = []
        self._unwritten = ""  # why entries are not on disk; tried again
        self._told = True  # the machine knows of the last attempt to write
        self._on_left = on_left
        # Before our own watcher: a reason that the machine asks for is to be the newest.
        self.named = NamedPeers(endpoint, named)
        self._failed: dict[Location, str] = {}  # named by a rule: why its last dial failed
        self._pinging: asyncio.Task[None] | None = None
        self._writing: asyncio.Task[None] | None = None
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
                    if peer.location is not None:
                        endpoint.dial(peer.location, owner=self)
        endpoint.watch(self._peer_event)
        for location in self.options.nodes:
            self.add_node(location)
        for host, port in self.options.hosts:
            self.named.add_host(host, port)
        self._search.want(Role.NODE)
        self._runner.feed(Started())
        self._pinging = endpoint.reactor.spawn(self._ping())

    def add_node(self, location: Location) -> None:
        """Reach for the node there, now and whenever it is lost; reactor thread."""
        self.named.add(location)

    def drop_node(self, location: Location) -> None:
        """Take `add_node` back; reactor thread."""
        self.named.remove(location)

    def _heard(self, peer: Incarnation, message: Any) -> None:
        self._runner.feed(Heard(peer, message))

    def _of_a_rule(self, location: Location) -> bool:
        active = self.machine.active
        return active is not None and location in active.dialled

    def expect(self, coming: Callable[[], list[str]]) -> None:
        """This process starts nodes, by the work that there is; reactor thread.

        coming  says, for reasons, what keeps them; called in any thread.
        """
        self._coming.append(coming)
        self._runner.feed(FollowWork(LOOK_EVERY))

    def expect_no_more(self, coming: Callable[[], list[str]]) -> None:
        """Take `expect` back; reactor thread."""
        self._coming.remove(coming)
        if not self._coming:
            self._runner.feed(FollowWork(0.0))

    @property
    def demand_elsewhere(self) -> m.Demand | None:
        """The work of whose turn it is, if that is another process's; reactor thread."""
        active = self.machine.active
        return None if active is None else active.demand

    def coming_changed(self) -> None:
        """What one of `expect` says is not what it was; reactor thread."""
        self._runner.feed(NodesAwaited())

    def _on_their_way(self) -> list[str]:
        return [reason for coming in list(self._coming) for reason in coming()]

    def why_unreached(self) -> list[str]:
        """Nodes that are wanted by name and not reached: why the last dial failed. Any thread."""
        of_rules = [reason for location, reason in list(self._failed.items()) if self._of_a_rule(location)]
        return self._on_their_way() + self.named.why() + of_rules

    def _peer_event(self, event: PeerEvent | DialFailed) -> None:
        if isinstance(event, DialFailed):
            # The rules of a client that left name nobody any more.
            self._failed = {at: reason for at, reason in self._failed.items() if self._of_a_rule(at)}
            if self._of_a_rule(event.location):
                self._failed[event.location] = event.reason
        elif isinstance(event, PeerUp):
            for location in (event.dialled, event.location):
                if location is not None:
                    self._failed.pop(location, None)
            if Role.NODE in event.roles:
                self._ask_for_nodes(event.peer)
        self._runner.feed(event)

    # Nodes of other networks (DS-08, DS-18).

    def _ask_for_nodes(self, node: Incarnation) -> None:
        if self.options.relay or node in self.named:
            self._search.ask(node, Role.NODE)

    async def _ping(self) -> None:
        self._search.seek(Role.NODE)
        while self.options.ping_interval > 0:
            await asyncio.sleep(self.options.ping_interval)
            self._search.seek(Role.NODE)
            for node in self.machine.nodes:
                self._ask_for_nodes(node)

    # The journal.

    def _keep(self, actions: list[Any]) -> None:
        """Put the entries among these on disk, before anything is said that was answered with them."""
        if self._journal is None:
            return
        entries = [action for action in actions if isinstance(action, ENTRIES)]
        if not entries:
            return
        self._told = False
        if self._unwritten:
            return  # all of it is written at the next attempt
        try:
            self._journal.write(entries)
        except JournalError as exc:
            self._unwritten = str(exc)

    def _perform(self, action: Any) -> None:
        if isinstance(action, ENTRIES):
            self._tell()
            if isinstance(action, DropClient):
                self._on_left()
        elif isinstance(action, Stopped) and self._stopped is not None and not self._stopped.done():
            self._stopped.set_result(None)

    def _tell(self) -> None:
        """What became of the entries."""
        if self._journal is None or self._told:
            return
        self._told = True
        if not self._unwritten:
            self._runner.feed(Written())
            return
        if not self.machine.unwritten:
            self._writing = self.endpoint.reactor.spawn(self._write_again(self._journal))
        self._runner.feed(JournalFailed(self._unwritten))

    async def _write_again(self, journal: Journal) -> None:
        while True:
            await asyncio.sleep(WRITE_AGAIN)
            try:
                journal.rewrite(self.machine.entries())
                break
            except JournalError as exc:
                self._unwritten = str(exc)
                self._runner.feed(JournalFailed(self._unwritten))
        self._unwritten = ""
        self._runner.feed(Written())

    async def stop(self, *, terminate: bool, reason: str, within: float | None) -> bool:
        """Refuse who waits, let the running client end or end it, at most so many seconds; None: any.

        False: somebody had not let go by then.
        """
        if self._stopped is None:
            self._stopped = self.endpoint.reactor.loop.create_future()
        if not self._stopped.done():
            # Asked again, it may be to wait no longer.
            self._runner.feed(Stop(terminate, reason))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._stopped), within)
        for task in (self._pinging, self._writing):
            if task is not None:
                task.cancel()
        self.named.close()
        self._runner.stop()
        return self._stopped.done()


def _reservation_numbers() -> Iterator[int]:
    """Numbers that nobody had before, here or elsewhere: 62 random bits."""
    while True:
        yield secrets.randbits(62) | 1
