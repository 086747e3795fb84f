"""The node daemon's decisions: whose node it is, which processes must live, who is told what.

One client at a time holds the whole node (DN-35). The machine learns facts of processes from
the daemon's I/O half (`node.events`) and answers what to start, ask, kill, clean and say. It
never looks into components, setups or tasks: they pass through as bytes (SE-24).

What it promises
- a server that dies unasked is proved to the client and replaced (R-05), its zygote too (R-10);
- a client that is proved dead loses the node at once, a silent one after `hold` (R-19);
- nobody but the reservation's client and its scheduler controls it (SE-22);
- it is free again only when no process and no file of the client is left (R-48), and says so
  to every scheduler it knows (R-78).

Pure: no I/O, clock or randomness. Rules S2, S3, R-05, R-09, R-10, R-19, R-28, R-36, R-78.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from dispycos.config import Limits
from dispycos.errors import InternalError
from dispycos.events import (
    Action,
    Heard,
    Note,
    PeerBack,
    PeerLost,
    PeerSuspect,
    PeerUp,
    Say,
)
from dispycos.messages import (
    CloseServer,
    NodeFacts,
    NodeHere,
    NodeOpen,
    NodeReport,
    Prepare,
    Prepared,
    PrepareFailed,
    Pulse,
    RegisterAgain,
    Release,
    Released,
    Renew,
    Reserve,
    Reserved,
    ReserveRefused,
    RestartNode,
    ServerDelayed,
    ServerEnded,
    ServerStarted,
)
from dispycos.model import Incarnation, Payload, Role
from dispycos.node.events import (
    AskServerToEnd,
    AvailMeasured,
    CleanedUp,
    CleanWorkspace,
    CloseReservationKey,
    EndZygote,
    Exit,
    ForkServer,
    GiveLease,
    Hours,
    KillServer,
    Measure,
    OpenReservationKey,
    Order,
    Ordered,
    ServerExited,
    ServerStartFailed,
    ServerUp,
    ServiceHours,
    StartZygote,
    ZygoteExited,
    ZygoteFailed,
    ZygoteReady,
)
from dispycos.node.places import Place, PlaceState
from dispycos.story import Stories


class NodeState(enum.Enum):
    FREE = "free"
    RESERVED = "reserved"  # for one client, which has not prepared it, or failed to
    PREPARING = "preparing"  # a zygote is to be made, or runs node_setup
    SERVING = "serving"  # the zygote stands; servers are there or on their way
    RELEASING = "releasing"  # the work is over: processes end, files go
    ENDED = "ended"  # Exit was said; nothing matters any more


F, R, P, S, L, E = NodeState

_MOVES: dict[tuple[NodeState, str], NodeState] = {
    (F, "reserve"): R,
    (R, "prepare"): P,
    (P, "ready"): S,
    (P, "setup failed"): R,
    (S, "zygote lost"): P,
    (R, "restart"): P,
    (P, "restart"): P,
    (S, "restart"): P,
    (R, "release"): L,
    (P, "release"): L,
    (S, "release"): L,
    (L, "cleaned"): F,
    (F, "exit"): E,
}

# After its grace a process gets this many seconds to end by itself before it is killed.
KILL_MARGIN = 0.5

# A zygote that dies sooner than this after it was ready is started again with a delay.
QUICK_DEATH = 10.0


@dataclass(slots=True)
class _Peer:
    roles: Role
    suspect: bool = False


@dataclass(slots=True)
class _Work:
    """One reservation of this node."""

    reservation: int
    grant: int  # the lease number it began with: names this grant
    lease: int
    lease_until: float
    client: Incarnation
    scheduler: Incarnation
    pulse: float  # seconds between pulses
    hold: float  # seconds the client may be silent
    idle_limit: float  # seconds without a task until the client is closed here; 0: never
    idle_since: float
    next_pulse: float
    places: dict[int, Place]
    silent_since: float | None  # when the client was last heard; None: it is heard
    measure_by: float | None = None  # a pulse waits for figures until then
    by_server: dict[Incarnation, Place] = field(default_factory=dict)
    code: Payload | None = None  # what Prepare brought
    setup: Payload | None = None
    zygote: int = 0  # its number; 0: none lives
    ending_by: float | None = None  # the zygote was told to end; by force then
    retire: bool = False  # the zygote is to be replaced (restart_node)
    ready_at: float | None = None  # when the zygote was ready
    zygote_after: float = 0.0  # not before this is the next zygote started
    quick_deaths: int = 0  # zygotes lost in a row soon after they were ready
    tries: int = 0  # times a signal ended node_setup
    show_at: float | None = None  # when a long node_setup is mentioned
    cleaning: bool = False
    served: bool = False  # it was prepared once
    unasked: bool = False  # neither scheduler nor client asked for the release
    again: bool = True  # the client may have this node again
    idle: bool = False  # it ran nothing here for too long
    why: str = ""  # why it is released


class NodeMachine:
    """Decides for one node daemon.

    facts          what the node says of itself; `avail` as measured at the start.
    serve          exit after so many clients; -1: never (DN-18).
    min_pulse, max_pulse  seconds; the pulse of a client is brought within them (DN-12, DN-13).
    zombie_period  seconds a client may run nothing here; 0: for ever (DN-14).
    hold           seconds a silent client's work is kept where Reserve names none (H).
    hours          the hours of service as they are at the start (DN-24).
    """

    def __init__(
        self,
        facts: NodeFacts,
        limits: Limits,
        *,
        serve: int = -1,
        min_pulse: float = 10.0,
        max_pulse: float = 100.0,
        zombie_period: float = 0.0,
        hold: float = 1000.0,
        hours: Hours = Hours.OPEN,
    ) -> None:
        self.facts = facts
        self.limits = limits
        self.served = 0
        self._serve = serve
        self._min_pulse = min_pulse
        self._max_pulse = max_pulse
        self._zombie_period = zombie_period
        self._hold = hold
        self._hours = hours
        self._leaving = ""  # why this node exits when it is free
        self._state = NodeState.FREE
        self._work: _Work | None = None
        self._peers: dict[Incarnation, _Peer] = {}  # one a session, which the endpoint bounds
        self._zygotes = 0
        self._next_free_pulse: float | None = None
        self._stories = Stories()
        self._on: dict[type[Any], Callable[[Any, float, list[Action]], None]] = {
            PeerUp: self._peer_up,
            PeerSuspect: self._peer_suspect,
            PeerBack: self._peer_back,
            PeerLost: self._peer_lost,
            ZygoteReady: self._zygote_ready,
            ZygoteFailed: self._zygote_failed,
            ZygoteExited: self._zygote_exited,
            ServerUp: self._server_up,
            ServerStartFailed: self._server_start_failed,
            ServerExited: self._server_exited,
            AvailMeasured: self._measured,
            CleanedUp: self._cleaned_up,
            Ordered: self._ordered,
            ServiceHours: self._service_hours,
        }
        self._said: dict[type[Any], Callable[[Incarnation, Any, float, list[Action]], None]] = {
            Reserve: self._reserve,
            Renew: self._renew,
            Release: self._release,
            Prepare: self._prepare,
            CloseServer: self._close_server,
            RestartNode: self._restart_node,
            RegisterAgain: self._register_again,
        }

    # The shape of every machine.

    @property
    def state(self) -> NodeState:
        return self._state

    def handle(self, event: Any, now: float) -> list[Action]:
        out: list[Action] = []
        if self._state is NodeState.ENDED:
            return out
        self._mind_the_gap(now)
        if type(event) is Heard:
            said = self._said.get(type(event.message))
            if said is not None:
                said(event.peer, event.message, now, out)
        else:
            on = self._on.get(type(event))
            if on is not None:
                on(event, now, out)
        self._advance(now, out)
        return out

    def tick(self, now: float) -> list[Action]:
        out: list[Action] = []
        if self._state is NodeState.ENDED:
            return out
        self._mind_the_gap(now)
        if self._next_free_pulse is not None and now >= self._next_free_pulse:
            self._free_pulse(now, out)
        work = self._work
        if work is not None:
            self._tick_work(work, now, out)
        self._advance(now, out)
        return out

    def next_deadline(self) -> float | None:
        if self._state is NodeState.ENDED:
            return None
        times = [self._next_free_pulse]
        work = self._work
        if work is not None:
            times += [work.next_pulse, work.measure_by, work.ending_by, self._hold_ends(work)]
            if self._state is NodeState.PREPARING:
                times.append(work.show_at)
                if work.zygote_after and not any(place.live for place in work.places.values()):
                    times.append(work.zygote_after)
            times += [place.due for place in work.places.values()]
        return min((when for when in times if when is not None), default=None)

    def check(self) -> None:
        work = self._work
        assert (work is None) == (self._state in (NodeState.FREE, NodeState.ENDED)), self._state
        if work is None:
            return
        living = {p.incarnation: p for p in work.places.values() if p.incarnation is not None}
        assert work.by_server == living, "the index of servers is wrong"
        for place in work.places.values():
            assert place.live or place.incarnation is None, f"a server at place {place.index}, {place.state}"
            if place.state is PlaceState.DELAYED:
                assert place.due is not None, f"place {place.index} waits for nothing"
            if self._state is NodeState.RELEASING and place.live:
                assert place.due is not None, f"place {place.index} is never ended by force"
        if self._state is NodeState.SERVING:
            assert work.zygote, "serving without a zygote"
            # no place is left without a server and without a reason.
            assert all(p.state is not PlaceState.EMPTY for p in work.places.values()), "an idle place"
        if work.cleaning:
            assert not work.zygote
            assert not any(place.live for place in work.places.values()), "files go before processes"

    def story(self, id: Any) -> str:
        """What happened to a reservation (its number) or a server (its incarnation)."""
        return self._stories.tell(id)

    def status(self) -> dict[str, Any]:
        """For the `status` command (DN-20); `running` counts tasks of both kinds."""
        work = self._work
        return {
            "name": self.facts.name,
            "location": self.facts.location,
            "state": self._state.value,
            "open": self._open,
            "served": self.served,
            "reservation": work.reservation if work else 0,
            "client": work.client if work else None,
            "why": work.why if work else "",
            "servers": [
                {
                    "name": f"{self.facts.name}_server-{place.index}",
                    "index": place.index,
                    "state": place.state.value,
                    "location": place.location,
                    "pid": place.pid,
                    "running": place.running,
                    "reason": place.why,
                }
                for place in (work.places.values() if work else ())
            ],
        }

    def _move(self, cause: str, now: float) -> None:
        following = _MOVES.get((self._state, cause))
        if following is None:
            raise InternalError(f"a node that is {self._state.value} can't take {cause!r}")
        if self._work is not None:
            self._stories.add(self._work.reservation, now, f"{cause}: {following.value}")
        self._state = following

    # Peers.

    def _peer_up(self, event: PeerUp, now: float, out: list[Action]) -> None:
        self._peers[event.peer] = _Peer(event.roles)
        self._client_heard(event.peer)
        if Role.SCHEDULER in event.roles:
            self._say_here(event.peer, out)
            if self._next_free_pulse is None:
                self._next_free_pulse = now + self.limits.reconcile_interval

    def _peer_suspect(self, event: PeerSuspect, now: float, out: list[Action]) -> None:
        if (peer := self._peers.get(event.peer)) is not None:
            peer.suspect = True
        work = self._work
        if work is not None and event.peer == work.client and work.silent_since is None:
            work.silent_since = now

    def _peer_back(self, event: PeerBack, now: float, out: list[Action]) -> None:
        if (peer := self._peers.get(event.peer)) is not None:
            peer.suspect = False
        self._client_heard(event.peer)

    def _peer_lost(self, event: PeerLost, now: float, out: list[Action]) -> None:
        self._peers.pop(event.peer, None)
        work = self._work
        if work is not None and event.peer == work.client:
            # Its process is proved dead, so nobody waits for this work.
            self._end_work(f"the client is gone: {event.reason}", now, out, unasked=True)

    def _client_heard(self, peer: Incarnation) -> None:
        if self._work is not None and peer == self._work.client:
            self._work.silent_since = None

    def _hold_ends(self, work: _Work) -> float | None:
        if work.silent_since is None or self._state is NodeState.RELEASING:
            return None
        return work.silent_since + work.hold

    def _schedulers(self) -> list[Incarnation]:
        return [peer for peer, known in self._peers.items() if Role.SCHEDULER in known.roles]

    def _mind_the_gap(self, now: float) -> None:
        # We came back late (stopped, suspended, overloaded): that is no evidence against the
        # client, so its silence counts anew from here.
        work = self._work
        if work is None or work.silent_since is None:
            return
        due = self.next_deadline()
        if due is not None and now - due > self.limits.keepalive:
            work.silent_since = max(work.silent_since, now)

    # The scheduler speaks.

    @property
    def _open(self) -> bool:
        return self._hours is Hours.OPEN and not self._leaving

    def _say_here(self, scheduler: Incarnation, out: list[Action]) -> None:
        work = self._work
        out.append(
            Say(
                scheduler,
                NodeHere(
                    self.facts,
                    work.reservation if work else 0,
                    work.lease if work else 0,
                    [p.facts() for p in work.by_server.values()] if work else [],
                    self._open,
                    work.scheduler if work else None,
                ),
            )
        )

    def _say_here_to_all(self, out: list[Action]) -> None:
        for scheduler in self._schedulers():
            self._say_here(scheduler, out)

    def _register_again(
        self, peer: Incarnation, message: RegisterAgain, now: float, out: list[Action]
    ) -> None:
        known = self._peers.get(peer)
        if known is not None and Role.SCHEDULER in known.roles:
            self._say_here(peer, out)

    def _schedules(self, peer: Incarnation, work: _Work) -> bool:
        """May this peer speak as the scheduler of the work? Its successor may, once it is not heard."""
        if peer == work.scheduler:
            return True
        known = self._peers.get(peer)
        if known is None or Role.SCHEDULER not in known.roles:
            return False
        owner = self._peers.get(work.scheduler)
        return owner is None or owner.suspect

    def _reserve(self, peer: Incarnation, message: Reserve, now: float, out: list[Action]) -> None:
        work = self._work
        if work is not None:
            if (
                work.reservation == message.reservation
                and work.client == message.client
                and self._state is not NodeState.RELEASING
                and self._schedules(peer, work)
            ):
                work.scheduler = peer
                self._take_lease(work, message.lease, message.lease_time, now, out)
                out.append(Say(peer, Reserved(work.reservation, work.pulse)))
                return
            busy = (
                "the former client's work is being removed"
                if self._state is L
                else "it serves another client"
            )
            out.append(Say(peer, ReserveRefused(message.reservation, busy)))
            return
        if not self._open:
            why = self._leaving or "outside its hours of service"
            out.append(Say(peer, ReserveRefused(message.reservation, why)))
            return
        pulse = min(max(message.pulse_interval, self._min_pulse), self._max_pulse)
        if pulse != message.pulse_interval:
            text = (
                f"pulse_interval {message.pulse_interval:g} s is not within this node's: {pulse:g} s is kept"
            )
            out.append(Note("info", text))
        client = self._peers.get(message.client)
        limits = [period for period in (message.zombie_period, self._zombie_period) if period > 0]
        count = max(1, min(message.servers, self.facts.cpus))
        self._work = _Work(
            reservation=message.reservation,
            grant=message.lease,
            lease=message.lease,
            lease_until=now + message.lease_time,
            client=message.client,
            scheduler=peer,
            pulse=pulse,
            hold=message.hold or self._hold,
            idle_limit=min(limits, default=0.0),
            idle_since=now,
            next_pulse=now + pulse,
            places={index: Place(index) for index in range(1, count + 1)},
            silent_since=None if client is not None and not client.suspect else now,
        )
        self._move("reserve", now)
        out.append(OpenReservationKey(message.reservation))
        out.append(Say(peer, Reserved(message.reservation, pulse)))

    def _renew(self, peer: Incarnation, message: Renew, now: float, out: list[Action]) -> None:
        work = self._work
        if work is None or work.reservation != message.reservation or not self._schedules(peer, work):
            return
        work.scheduler = peer
        self._take_lease(work, message.lease, message.lease_time, now, out)

    def _take_lease(self, work: _Work, lease: int, seconds: float, now: float, out: list[Action]) -> None:
        # A lower number is an echo of the past.
        if lease < work.lease or self._state is NodeState.RELEASING:
            return
        work.lease = lease
        work.lease_until = now + seconds
        for server, place in work.by_server.items():
            if place.state is PlaceState.UP:
                out.append(GiveLease(place.index, server, lease, seconds))

    def _release(self, peer: Incarnation, message: Release, now: float, out: list[Action]) -> None:
        work = self._work
        known = self._peers.get(peer)
        if work is None or work.reservation != message.reservation:
            # We hold nothing of it: that is what the scheduler wants to hear (S3).
            if known is not None and Role.SCHEDULER in known.roles:
                out.append(Say(peer, Released(message.reservation, "", message.lease)))
                self._say_here(peer, out)
            return
        if message.lease not in (0, work.grant):
            return
        if peer != work.client and not self._schedules(peer, work):
            out.append(
                Note("warning", f"a release of reservation {work.reservation} by a stranger is refused")
            )
            return
        if peer != work.client:
            work.scheduler = peer
        self._end_work(message.reason, now, out)

    # The client speaks.

    def _of_client(self, peer: Incarnation, reservation: int, grant: int = 0) -> _Work | None:
        work = self._work
        if work is None or work.reservation != reservation or work.client != peer:
            return None
        if grant not in (0, work.grant):
            return None
        return None if self._state is NodeState.RELEASING else work

    def _prepare(self, peer: Incarnation, message: Prepare, now: float, out: list[Action]) -> None:
        work = self._of_client(peer, message.reservation, message.lease)
        if work is None:
            self._not_yours(peer, message.reservation, message.lease, out)
            return
        if self._state is not NodeState.RESERVED:
            return
        work.code = message.code
        work.setup = message.setup
        work.tries = 0
        work.served = True
        work.idle_since = now
        if 0 < message.servers < len(work.places):
            work.places = {index: work.places[index] for index in range(1, message.servers + 1)}
        work.show_at = now + self.limits.visible_wait
        self._move("prepare", now)

    def _not_yours(self, peer: Incarnation, reservation: int, grant: int, out: list[Action]) -> None:
        text = f"node {self.facts.name} is not reserved for you under number {reservation}"
        out.append(Say(peer, PrepareFailed(reservation, text, grant)))

    def _close_server(self, peer: Incarnation, message: CloseServer, now: float, out: list[Action]) -> None:
        work = self._of_client(peer, message.reservation)
        place = work.by_server.get(message.server) if work else None
        # A server that is not here has ended already, and ServerEnded said so.
        if place is not None:
            self._ask_to_end(place, message.grace, message.restart, message.reason, now, out)

    def _restart_node(self, peer: Incarnation, message: RestartNode, now: float, out: list[Action]) -> None:
        work = self._of_client(peer, message.reservation, message.lease)
        if work is None or work.code is None:
            self._not_yours(peer, message.reservation, message.lease, out)
            return
        if message.setup is not None:
            work.setup = message.setup
        work.tries = 0
        work.retire = work.zygote != 0
        work.show_at = now + self.limits.visible_wait
        for place in work.places.values():
            if place.state is PlaceState.CLOSED:
                place.move("wake")
            elif place.live:
                self._ask_to_end(place, self.limits.grace, True, "its node is restarted", now, out)
        self._move("restart", now)

    # Facts of the zygote.

    def _of_zygote(self, zygote: int) -> _Work | None:
        return self._work if self._work is not None and self._work.zygote == zygote else None

    def _zygote_ready(self, event: ZygoteReady, now: float, out: list[Action]) -> None:
        work = self._of_zygote(event.zygote)
        if work is None or self._state is not NodeState.PREPARING or work.retire:
            return
        work.ready_at = now
        work.tries = 0
        work.show_at = None
        work.idle_since = now
        for place in work.places.values():
            if place.state is PlaceState.DELAYED:
                place.move("wake")
                place.due = None
        self._move("ready", now)
        out.append(Say(work.client, Prepared(work.reservation, work.grant)))

    def _zygote_failed(self, event: ZygoteFailed, now: float, out: list[Action]) -> None:
        work = self._of_zygote(event.zygote)
        if work is None or self._state is not NodeState.PREPARING or work.retire:
            return
        self._setup_failed(work, event.reason, now, out)

    def _setup_failed(self, work: _Work, reason: str, now: float, out: list[Action]) -> None:
        work.show_at = None
        self._move("setup failed", now)
        self._end_zygote(work, now, out)
        out.append(Say(work.client, PrepareFailed(work.reservation, reason, work.grant)))

    def _zygote_exited(self, event: ZygoteExited, now: float, out: list[Action]) -> None:
        work = self._of_zygote(event.zygote)
        if work is None:
            return
        told = work.retire or work.ending_by is not None
        ready_at, work.ready_at = work.ready_at, None
        work.zygote = 0
        work.ending_by = None
        work.retire = False
        self._stories.add(work.reservation, now, f"zygote {event.zygote} ended: {event.reason}")
        if told or self._state in (NodeState.RESERVED, NodeState.RELEASING):
            return
        if self._state is NodeState.PREPARING:
            self._setup_ended(work, event, now, out)
            return
        assert self._state is NodeState.SERVING
        end = f"its zygote {'was' if event.by_signal else 'ended with'} {event.reason}"
        for place in work.places.values():
            if place.live:
                place.orphan = end
                # They end with it; one that does not, because the tie broke, is killed.
                place.due = now + KILL_MARGIN
        if ready_at is not None and now - ready_at < QUICK_DEATH:
            work.zygote_after = now + self._pause(work.quick_deaths)
            work.quick_deaths += 1
        else:
            work.quick_deaths = 0
        out.append(Note("warning", f"{end}; a new one is prepared"))
        work.show_at = now + self.limits.visible_wait
        self._move("zygote lost", now)

    def _setup_ended(self, work: _Work, event: ZygoteExited, now: float, out: list[Action]) -> None:
        if not event.by_signal:
            self._setup_failed(work, f"the process that ran node_setup ended with {event.reason}", now, out)
            return
        work.tries += 1
        if work.tries >= self.limits.setup_retries:
            text = f"node_setup was {event.reason}, {work.tries} times"
            self._setup_failed(work, text, now, out)
        else:
            out.append(Note("warning", f"node_setup was {event.reason}; it is tried again"))

    def _pause(self, failures: int) -> float:
        """Seconds before the next try: none, then 1, 2, 4 ... (R-28)."""
        return 0.0 if failures == 0 else min(2.0 ** (failures - 1), self.limits.restart_backoff_max)

    # Facts of servers.

    def _place(self, index: int) -> Place | None:
        return self._work.places.get(index) if self._work is not None else None

    def _server_up(self, event: ServerUp, now: float, out: list[Action]) -> None:
        work, place = self._work, self._place(event.index)
        if work is None or place is None or place.state not in (PlaceState.STARTING, PlaceState.ENDING):
            return
        place.move("up")
        place.settle(event.incarnation, event.pid, event.location)
        place.up_at = now
        work.by_server[event.incarnation] = place
        self._stories.add(event.incarnation, now, f"up at {event.location}, pid {event.pid}")
        if place.state is PlaceState.ENDING:
            out.append(AskServerToEnd(event.index, event.incarnation, 0.0, place.why))
            return
        if not place.orphan:
            place.due = None
        left = work.lease_until - now
        if left > 0:
            out.append(GiveLease(event.index, event.incarnation, work.lease, left))
        out.append(Say(work.client, ServerStarted(work.reservation, place.facts(), work.grant)))

    def _server_start_failed(self, event: ServerStartFailed, now: float, out: list[Action]) -> None:
        work, place = self._work, self._place(event.index)
        if work is None or place is None or not place.live or place.incarnation is not None:
            return
        if place.state is PlaceState.ENDING:
            place.move("gone" if place.restart else "closed")
            place.clear()
            return
        orphan = place.orphan
        place.move("failed")
        place.clear()
        if orphan or self._state is not NodeState.SERVING:
            place.move("wake")
            return
        place.why = event.reason
        place.back_off(now, self.limits.restart_backoff_max)
        out.append(Note("warning", f"server {event.index} {event.reason}"))
        out.append(Say(work.client, ServerDelayed(work.reservation, event.index, event.reason)))

    def _server_exited(self, event: ServerExited, now: float, out: list[Action]) -> None:
        work, place = self._work, self._place(event.index)
        if place is not None and place.live and place.incarnation is None:
            # It ended before anybody heard that it listens.
            self._server_start_failed(ServerStartFailed(event.index, event.reason), now, out)
            return
        if work is None or place is None or place.incarnation != event.incarnation:
            return
        releasing = self._state is NodeState.RELEASING
        asked = place.asked
        restarts = not releasing and (place.restart if asked else True)
        reason = event.reason
        if place.orphan:
            reason = f"{place.orphan}; the server ended with it: {event.reason}"
        elif asked and place.why:
            reason = f"{place.why}; {event.reason}"
        assert place.location is not None
        out.append(
            Say(
                work.client,
                ServerEnded(
                    work.reservation,
                    event.incarnation,
                    place.location,
                    asked,
                    restarts,
                    reason,
                    event.begun,
                    event.begun_io,
                ),
            )
        )
        self._stories.add(event.incarnation, now, reason)
        # One that ended before any task began in it is a failed start: not in a tight loop.
        quick = now - place.up_at < QUICK_DEATH and event.begun == 0 and event.begun_io == 0
        useless = place.state is PlaceState.UP and not place.orphan and quick
        del work.by_server[event.incarnation]
        if not useless:
            place.failures = 0
            place.move("gone" if restarts or place.state is PlaceState.UP else "closed")
            place.clear()
            return
        place.move("useless")
        place.clear()
        place.why = reason
        place.due = now + self._pause(place.failures)
        place.failures += 1

    def _ask_to_end(
        self, place: Place, grace: float, restart: bool, why: str, now: float, out: list[Action]
    ) -> None:
        force_at = now + grace + KILL_MARGIN
        if place.state is PlaceState.ENDING and place.due is not None:
            force_at = min(force_at, place.due)
        starting = place.incarnation is None
        place.move("end")
        place.asked = True
        place.restart = restart
        place.why = why
        place.due = force_at
        if starting:
            out.append(KillServer(place.index))
        else:
            assert place.incarnation is not None
            out.append(AskServerToEnd(place.index, place.incarnation, grace, why))

    # Time.

    def _tick_work(self, work: _Work, now: float, out: list[Action]) -> None:
        hold_ends = self._hold_ends(work)
        if hold_ends is not None and now >= hold_ends:
            self._end_work(f"the client was not heard for {work.hold:g} s", now, out, unasked=True)
        if now >= work.next_pulse:
            work.next_pulse = now + work.pulse
            # The figures are read for this pulse, but it does not wait long for them.
            work.measure_by = now + work.pulse / 4
            out.append(Measure())
        elif work.measure_by is not None and now >= work.measure_by:
            self._pulse(work, now, out)
        if work.ending_by is not None and now >= work.ending_by:
            work.ending_by = now + self.limits.grace
            out.append(EndZygote(work.zygote, True))
        if self._state is NodeState.PREPARING and work.show_at is not None and now >= work.show_at:
            work.show_at = now + self.limits.visible_wait_again
            out.append(Note("info", f"reservation {work.reservation} waits for node_setup"))
        for place in work.places.values():
            if place.due is not None and now >= place.due:
                self._place_due(work, place, now, out)

    def _place_due(self, work: _Work, place: Place, now: float, out: list[Action]) -> None:
        if place.state is PlaceState.DELAYED:
            place.due = None
            place.move("wake")
            return
        # Not started in time, not ended in time, or left over by its zygote: by force, until it is gone.
        out.append(KillServer(place.index))
        place.kills += 1
        place.due = now + max(self.limits.grace, 1.0)
        if place.kills == 2:
            text = f"server {place.index} can't be killed; its place stays taken until it ends (R-79)"
            out.append(Note("error", text))
            out.append(Say(work.client, ServerDelayed(work.reservation, place.index, text)))

    def _measured(self, event: AvailMeasured, now: float, out: list[Action]) -> None:
        self.facts = replace(self.facts, avail=event.avail)
        work = self._work
        if work is None:
            return
        for sample in event.servers:
            place = work.places.get(sample.index)
            if place is None or place.incarnation is None:
                continue
            if sample.running or sample.begun != place.begun or sample.begun_io != place.begun_io:
                work.idle_since = now
            place.begun = sample.begun
            place.begun_io = sample.begun_io
            place.running = sample.running
            place.unresponsive = sample.unresponsive
        if work.measure_by is not None:
            self._pulse(work, now, out)

    def _pulse(self, work: _Work, now: float, out: list[Action]) -> None:
        work.measure_by = None
        avail = self.facts.avail
        servers = [place.facts() for place in work.by_server.values()]
        out.append(Say(work.scheduler, Pulse(work.reservation, avail, servers)))
        left = max(0.0, work.lease_until - now)
        out.append(Say(work.client, NodeReport(work.reservation, avail, servers, work.lease, left)))
        idle = now - work.idle_since
        if self._state is NodeState.SERVING and 0 < work.idle_limit <= idle:
            work.again = False
            work.idle = True
            self._end_work(f"the client ran nothing here for {idle:.0f} s", now, out, unasked=True)

    def _free_pulse(self, now: float, out: list[Action]) -> None:
        # Figures for the schedulers' rules, and the chance to be told that one does not know us (R-37).
        schedulers = self._schedulers()
        self._next_free_pulse = now + self.limits.reconcile_interval if schedulers else None
        if self._work is None and schedulers:
            out.extend(Say(peer, Pulse(0, self.facts.avail, [])) for peer in schedulers)
            out.append(Measure())

    # The end of the work.

    def _end_work(self, why: str, now: float, out: list[Action], unasked: bool = False) -> None:
        work = self._work
        assert work is not None
        if self._state is NodeState.RELEASING:
            return
        work.why = why
        work.unasked = unasked
        self._move("release", now)
        level = "warning" if unasked else "info"
        out.append(Note(level, f"reservation {work.reservation} ends: {why}"))
        for place in work.places.values():
            if place.live:
                self._ask_to_end(place, self.limits.grace, False, why, now, out)
            else:
                place.due = None
                if place.state is not PlaceState.CLOSED:
                    place.move("closed")

    def _cleaned_up(self, event: CleanedUp, now: float, out: list[Action]) -> None:
        work = self._work
        if work is None or not work.cleaning or work.reservation != event.reservation:
            return
        if event.reason:
            out.append(Note("error", f"after reservation {work.reservation}: {event.reason}"))
        self._move("cleaned", now)
        self._work = None
        self.served += work.served
        out.append(CloseReservationKey(work.reservation))
        reason = work.why if work.unasked else ""
        out.append(Say(work.scheduler, Released(work.reservation, reason, work.grant, work.again, work.idle)))
        if work.client != work.scheduler:
            out.append(
                Say(work.client, Released(work.reservation, reason, work.grant, work.again, work.idle))
            )
        if self._serve > 0 and self.served >= self._serve and not self._leaving:
            self._leaving = f"it served {self.served} clients, as it was told to"
        self._say_here_to_all(out)

    def _end_zygote(self, work: _Work, now: float, out: list[Action]) -> None:
        if work.zygote and work.ending_by is None:
            work.ending_by = now + self.limits.grace
            out.append(EndZygote(work.zygote, False))

    def _advance(self, now: float, out: list[Action]) -> None:
        """Take every step that the present state allows."""
        work = self._work
        if work is None:
            if self._leaving and self._state is NodeState.FREE:
                self._move("exit", now)
                out.append(Exit(0, self._leaving))
            return
        if self._state is NodeState.SERVING:
            for place in work.places.values():
                if place.state is PlaceState.EMPTY:
                    place.move("fork")
                    place.due = now + 3 * self.limits.request_timeout
                    out.append(ForkServer(work.zygote, place.index))
            return
        if self._state is NodeState.RESERVED or any(place.live for place in work.places.values()):
            return
        if self._state is NodeState.PREPARING:
            if work.zygote == 0:
                if now >= work.zygote_after:
                    assert work.code is not None
                    self._zygotes += 1
                    work.zygote = self._zygotes
                    work.zygote_after = 0.0
                    out.append(StartZygote(work.zygote, work.reservation, work.code, work.setup))
            elif work.retire:
                self._end_zygote(work, now, out)
            return
        assert self._state is NodeState.RELEASING
        if work.zygote:
            self._end_zygote(work, now, out)
        elif not work.cleaning:
            work.cleaning = True
            out.append(CleanWorkspace(work.reservation))

    # The person who runs the node, and its hours.

    def _ordered(self, event: Ordered, now: float, out: list[Action]) -> None:
        if event.order is Order.CLOSE:
            if self._work is not None:
                self._work.again = False
                self._end_work("closed by the operator of the node", now, out, unasked=True)
            return
        again = bool(self._leaving)
        self._leaving = f"the operator of the node said {event.order.value}"
        if not again:
            self._say_here_to_all(out)
        if self._work is None:
            return
        if event.order is Order.QUIT and self._state is not NodeState.RESERVED:
            self._say_open(out)
            return
        self._end_work(self._leaving, now, out, unasked=True)
        if again:
            self._hurry(self._work, now, out)

    def _hurry(self, work: _Work, now: float, out: list[Action]) -> None:
        # Asked twice: nothing is waited for.
        for place in work.places.values():
            if place.live:
                place.due = now + KILL_MARGIN
                out.append(KillServer(place.index))
        if work.zygote:
            work.ending_by = now + KILL_MARGIN
            out.append(EndZygote(work.zygote, True))

    def _service_hours(self, event: ServiceHours, now: float, out: list[Action]) -> None:
        was_open = self._open
        self._hours = event.hours
        if self._open != was_open:
            self._say_here_to_all(out)
            self._say_open(out)
        if event.hours is Hours.ENDED and self._work is not None:
            self._end_work("the node's hours of service ended", now, out, unasked=True)

    def _say_open(self, out: list[Action]) -> None:
        work = self._work
        if work is None or self._state is NodeState.RELEASING:
            return
        reason = self._leaving or ("" if self._open else "outside its hours of service")
        out.append(Say(work.client, NodeOpen(work.reservation, self._open, bool(self._leaving), reason)))
