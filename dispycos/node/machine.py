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

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dispycos import messages as m
from dispycos.config import Limits
from dispycos.events import (
    Action,
    Heard,
    Note,
    PeerBack,
    PeerGone,
    PeerSuspect,
    PeerUp,
    Say,
)
from dispycos.model import Incarnation, Location, Role
from dispycos.node.events import (
    AvailMeasured,
    CleanedUp,
    CloseReservationKey,
    Exit,
    Hours,
    Measure,
    OpenReservationKey,
    Order,
    Ordered,
    ServerExited,
    ServerStartFailed,
    ServerUp,
    ServiceHours,
    ZygoteDelayed,
    ZygoteExited,
    ZygoteFailed,
    ZygoteReady,
)
from dispycos.node.places import Place
from dispycos.node.tenancy import NodeState, Tenancy
from dispycos.records import record
from dispycos.story import Stories
from dispycos.wording import many

__all__ = ["NodeMachine", "NodeState"]

# Seconds to the first pulse of a tenancy; each gap is twice the last, up to what the client asked for.
# So who watches need not wait for a long interval to see what has begun.
_FIRST_PULSE = 2.0
_WORKING = frozenset({NodeState.RESERVED, NodeState.PREPARING, NodeState.SERVING, NodeState.RELEASING})


@record(frozen=False)
class _Peer:
    roles: Role
    location: Location | None
    suspect: bool = False


class NodeMachine:
    """Decides for one node daemon.

    facts          what the node says of itself; `avail` as measured at the start.
    serve          exit after so many clients; -1: never (DN-18).
    min_pulse, max_pulse  seconds; the pulse of a client is brought within them (DN-12, DN-13).
    zombie_period  seconds a client may run nothing here; 0: for ever (DN-14).
    hold           seconds a silent client's work is kept where m.Reserve names none (H).
    hours          the hours of service as they are at the start (DN-24).
    """

    def __init__(
        self,
        facts: m.NodeFacts,
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
        self._ended = False
        self._tenancy: Tenancy | None = None
        self._former_lease = 0  # the highest number of those before: a scheduler goes on above it
        self._peers: dict[Incarnation, _Peer] = {}  # one a session, which the endpoint bounds
        self._zygotes = 0
        self._next_free_pulse: float | None = None
        self._stories = Stories()
        self._on: dict[type[Any], Callable[[Any, float, list[Action]], None]] = {
            PeerUp: self._peer_up,
            PeerSuspect: self._peer_suspect,
            PeerBack: self._peer_back,
            PeerGone: self._peer_gone,
            AvailMeasured: self._measured,
            CleanedUp: self._cleaned_up,
            Ordered: self._ordered,
            ServiceHours: self._service_hours,
        }
        # Facts of processes are the present tenancy's; without one they come too late.
        self._facts: dict[type[Any], Callable[[Tenancy, Any, float, list[Action]], None]] = {
            ZygoteReady: Tenancy.zygote_ready,
            ZygoteDelayed: Tenancy.zygote_delayed,
            ZygoteFailed: Tenancy.zygote_failed,
            ZygoteExited: Tenancy.zygote_exited,
            ServerUp: Tenancy.server_up,
            ServerStartFailed: Tenancy.server_start_failed,
            ServerExited: Tenancy.server_exited,
        }
        self._said: dict[type[Any], Callable[[Incarnation, Any, float, list[Action]], None]] = {
            m.Reserve: self._reserve,
            m.Renew: self._renew,
            m.Release: self._release,
            m.Prepare: self._prepare,
            m.CloseServer: self._close_server,
            m.RestartNode: self._restart_node,
            m.RegisterAgain: self._register_again,
        }

    # The shape of every machine.

    @property
    def state(self) -> NodeState:
        if self._tenancy is not None:
            return self._tenancy.state
        return NodeState.ENDED if self._ended else NodeState.FREE

    def handle(self, event: Any, now: float) -> list[Action]:
        out: list[Action] = []
        if self._ended:
            return out
        self._mind_the_gap(now)
        if type(event) is Heard:
            said = self._said.get(type(event.message))
            if said is not None:
                said(event.peer, event.message, now, out)
        else:
            kind = type(event)
            if kind in self._facts:
                if self._tenancy is not None:
                    self._facts[kind](self._tenancy, event, now, out)
            elif kind in self._on:
                self._on[kind](event, now, out)
        self._advance(now, out)
        return out

    def tick(self, now: float) -> list[Action]:
        out: list[Action] = []
        if self._ended:
            return out
        self._mind_the_gap(now)
        if self._next_free_pulse is not None and now >= self._next_free_pulse:
            self._free_pulse(now, out)
        tenancy = self._tenancy
        if tenancy is not None:
            self._tick_tenancy(tenancy, now, out)
        self._advance(now, out)
        return out

    def next_deadline(self) -> float | None:
        if self._ended:
            return None
        times = [self._next_free_pulse]
        tenancy = self._tenancy
        if tenancy is not None:
            times += [
                tenancy.next_pulse,
                tenancy.measure_by,
                self._hold_ends(tenancy),
                tenancy.next_deadline(),
            ]
        return min((when for when in times if when is not None), default=None)

    def check(self) -> None:
        assert not (self._tenancy is not None and self._ended), "it ended and has a tenant"
        if self._tenancy is not None:
            assert self._tenancy.state in _WORKING, self._tenancy.state
            self._tenancy.check()

    def story(self, id: Any) -> str:
        """What happened to a reservation (its number) or a server (its incarnation)."""
        return self._stories.tell(id)

    def status(self) -> dict[str, Any]:
        """For the `status` command (DN-20); `running` counts tasks of both kinds."""
        tenancy = self._tenancy
        return {
            "name": self.facts.name,
            "location": self.facts.location,
            "state": self.state.value,
            "open": self._open,
            "served": self.served,
            "reservation": tenancy.reservation if tenancy else 0,
            "client": tenancy.client if tenancy else None,
            "max_file_bytes": tenancy.max_file_bytes if tenancy else 0,
            "why": tenancy.why if tenancy else "",
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
                for place in (tenancy.places.values() if tenancy else ())
            ],
        }

    # Peers.

    def _peer_up(self, event: PeerUp, now: float, out: list[Action]) -> None:
        self._peers[event.peer] = _Peer(event.roles, event.location)
        self._client_heard(event.peer)
        if Role.SCHEDULER in event.roles:
            tenancy = self._tenancy
            if tenancy is not None and event.location is not None and event.location == tenancy.scheduler_at:
                # Who listens where our scheduler did is its successor, whatever it remembers (S3).
                tenancy.scheduler = event.peer
            self._say_here(event.peer, out)
            if self._next_free_pulse is None:
                self._next_free_pulse = now + self.limits.reconcile_interval

    def _peer_suspect(self, event: PeerSuspect, now: float, out: list[Action]) -> None:
        if (peer := self._peers.get(event.peer)) is not None:
            peer.suspect = True
        tenancy = self._tenancy
        if tenancy is not None and event.peer == tenancy.client and tenancy.silent_since is None:
            tenancy.silent_since = now

    def _peer_back(self, event: PeerBack, now: float, out: list[Action]) -> None:
        if (peer := self._peers.get(event.peer)) is not None:
            peer.suspect = False
        self._client_heard(event.peer)

    def _peer_gone(self, event: PeerGone, now: float, out: list[Action]) -> None:
        self._peers.pop(event.peer, None)
        tenancy = self._tenancy
        if tenancy is not None and event.peer == tenancy.client:
            # Its process is proved dead, so nobody waits for this work.
            self._end_tenancy(f"the client is gone: {event.reason}", now, out, unasked=True)

    def _client_heard(self, peer: Incarnation) -> None:
        if self._tenancy is not None and peer == self._tenancy.client:
            self._tenancy.silent_since = None

    def _hold_ends(self, tenancy: Tenancy) -> float | None:
        if tenancy.silent_since is None or self.state is NodeState.RELEASING:
            return None
        return tenancy.silent_since + tenancy.hold

    def _schedulers(self) -> list[Incarnation]:
        return [peer for peer, known in self._peers.items() if Role.SCHEDULER in known.roles]

    def _mind_the_gap(self, now: float) -> None:
        # We came back late (stopped, suspended, overloaded): that is no evidence against the
        # client, so its silence counts anew from here.
        tenancy = self._tenancy
        if tenancy is None or tenancy.silent_since is None:
            return
        due = self.next_deadline()
        if due is not None and now - due > self.limits.keepalive:
            tenancy.silent_since = max(tenancy.silent_since, now)

    # The scheduler speaks.

    @property
    def _open(self) -> bool:
        return self._hours is Hours.OPEN and not self._leaving

    def _say_here(self, scheduler: Incarnation, out: list[Action]) -> None:
        tenancy = self._tenancy
        out.append(
            Say(
                scheduler,
                m.NodeHere(
                    self.facts,
                    tenancy.reservation if tenancy else 0,
                    tenancy.lease if tenancy else self._former_lease,
                    [p.facts() for p in tenancy.by_server.values()] if tenancy else [],
                    self._open,
                    tenancy.scheduler if tenancy else None,
                ),
            )
        )

    def _say_here_to_all(self, out: list[Action]) -> None:
        for scheduler in self._schedulers():
            self._say_here(scheduler, out)

    def _register_again(
        self, peer: Incarnation, message: m.RegisterAgain, now: float, out: list[Action]
    ) -> None:
        known = self._peers.get(peer)
        if known is not None and Role.SCHEDULER in known.roles:
            self._say_here(peer, out)

    def _schedules(self, peer: Incarnation, tenancy: Tenancy) -> bool:
        """May this peer speak as the scheduler of the tenancy? Its successor may, once it is not heard."""
        if peer == tenancy.scheduler:
            return True
        known = self._peers.get(peer)
        if known is None or Role.SCHEDULER not in known.roles:
            return False
        owner = self._peers.get(tenancy.scheduler)
        return owner is None or owner.suspect

    def _reserve(self, peer: Incarnation, message: m.Reserve, now: float, out: list[Action]) -> None:
        if self._tenancy is not None:
            self._reserved_again(self._tenancy, peer, message, now, out)
            return
        if not self._open:
            why = self._leaving or "outside its hours of service"
            out.append(Say(peer, m.ReserveRefused(message.reservation, why)))
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
        self._tenancy = Tenancy(
            reservation=message.reservation,
            grant=message.lease,
            lease=message.lease,
            lease_until=now + message.lease_time,
            client=message.client,
            scheduler=peer,
            pulse=pulse,
            hold=message.hold or self._hold,
            max_file_bytes=message.max_file_bytes,
            idle_limit=min(limits, default=0.0),
            idle_since=now,
            pulse_gap=min(_FIRST_PULSE, pulse),
            next_pulse=now + min(_FIRST_PULSE, pulse),
            places={index: Place(index) for index in range(1, count + 1)},
            limits=self.limits,
            stories=self._stories,
            silent_since=None if client is not None and not client.suspect else now,
        )
        self._served_by(self._tenancy, peer)
        self._stories.add(message.reservation, now, "reserved")
        out.append(OpenReservationKey(message.reservation))
        out.append(Say(peer, m.Reserved(message.reservation, pulse, message.lease)))

    def _reserved_again(
        self, tenancy: Tenancy, peer: Incarnation, message: m.Reserve, now: float, out: list[Action]
    ) -> None:
        """For the client that it serves, it takes the newer lease; to any other it is busy."""
        if (
            tenancy.reservation == message.reservation
            and tenancy.client == message.client
            and self.state is not NodeState.RELEASING
            and self._schedules(peer, tenancy)
        ):
            self._served_by(tenancy, peer)
            tenancy.take_lease(message.lease, message.lease_time, now, out)
            if self.state is NodeState.RESERVED:
                # A word of ours that was under way had it granted anew, before anything began.
                tenancy.grant = max(tenancy.grant, message.lease)
            out.append(Say(peer, m.Reserved(tenancy.reservation, tenancy.pulse, message.lease)))
            return
        busy = "it serves another client"
        if tenancy.state is NodeState.RELEASING:
            busy = "the former client's work is being removed"
        out.append(Say(peer, m.ReserveRefused(message.reservation, busy)))

    def _served_by(self, tenancy: Tenancy, scheduler: Incarnation) -> None:
        tenancy.scheduler = scheduler
        tenancy.scheduler_at = self._peers[scheduler].location if scheduler in self._peers else None

    def _renew(self, peer: Incarnation, message: m.Renew, now: float, out: list[Action]) -> None:
        tenancy = self._tenancy
        if (
            tenancy is None
            or tenancy.reservation != message.reservation
            or not self._schedules(peer, tenancy)
        ):
            return
        self._served_by(tenancy, peer)
        tenancy.take_lease(message.lease, message.lease_time, now, out)

    def _release(self, peer: Incarnation, message: m.Release, now: float, out: list[Action]) -> None:
        tenancy = self._tenancy
        known = self._peers.get(peer)
        if tenancy is None or tenancy.reservation != message.reservation:
            # We hold nothing of it: that is what the scheduler wants to hear (S3).
            if known is not None and Role.SCHEDULER in known.roles:
                out.append(Say(peer, m.Released(message.reservation, "", message.lease)))
                self._say_here(peer, out)
            return
        if message.lease not in (0, tenancy.grant):
            return
        if peer != tenancy.client and not self._schedules(peer, tenancy):
            out.append(
                Note("warning", f"a release of reservation {tenancy.reservation} by a stranger is refused")
            )
            return
        if peer != tenancy.client:
            self._served_by(tenancy, peer)
        self._end_tenancy(message.reason, now, out)

    # The client speaks.

    def _of_client(self, peer: Incarnation, reservation: int, grant: int = 0) -> Tenancy | None:
        tenancy = self._tenancy
        if tenancy is None or tenancy.reservation != reservation or tenancy.client != peer:
            return None
        if grant not in (0, tenancy.grant):
            return None
        return None if self.state is NodeState.RELEASING else tenancy

    def _prepare(self, peer: Incarnation, message: m.Prepare, now: float, out: list[Action]) -> None:
        tenancy = self._of_client(peer, message.reservation, message.lease)
        if tenancy is None:
            self._not_yours(peer, message.reservation, message.lease, out)
            return
        if self.state is not NodeState.RESERVED:
            return
        tenancy.prepare(message, now)

    def _not_yours(self, peer: Incarnation, reservation: int, grant: int, out: list[Action]) -> None:
        text = f"node {self.facts.name} is not reserved for you under number {reservation}"
        out.append(Say(peer, m.PrepareFailed(reservation, text, grant)))

    def _close_server(self, peer: Incarnation, message: m.CloseServer, now: float, out: list[Action]) -> None:
        tenancy = self._of_client(peer, message.reservation)
        place = tenancy.by_server.get(message.server) if tenancy else None
        # A server that is not here has ended already, and ServerEnded said so.
        if place is not None:
            assert tenancy is not None
            tenancy.ask_to_end(place, message.grace, message.restart, message.reason, now, out)

    def _restart_node(self, peer: Incarnation, message: m.RestartNode, now: float, out: list[Action]) -> None:
        tenancy = self._of_client(peer, message.reservation, message.lease)
        if tenancy is None or tenancy.code is None:
            self._not_yours(peer, message.reservation, message.lease, out)
            return
        tenancy.restart(message, now, out)

    # Time.

    def _tick_tenancy(self, tenancy: Tenancy, now: float, out: list[Action]) -> None:
        hold_ends = self._hold_ends(tenancy)
        if hold_ends is not None and now >= hold_ends:
            self._end_tenancy(f"the client was not heard for {tenancy.hold:g} s", now, out, unasked=True)
        if now >= tenancy.next_pulse:
            tenancy.pulse_gap = min(2 * tenancy.pulse_gap, tenancy.pulse)
            tenancy.next_pulse = now + tenancy.pulse_gap
            # The figures are read for this pulse, but it does not wait long for them.
            tenancy.measure_by = now + tenancy.pulse_gap / 4
            out.append(Measure())
        elif tenancy.measure_by is not None and now >= tenancy.measure_by:
            self._pulse(tenancy, now, out)
        tenancy.tick(now, out)

    def _measured(self, event: AvailMeasured, now: float, out: list[Action]) -> None:
        self.facts = replace(self.facts, avail=event.avail)
        tenancy = self._tenancy
        if tenancy is None:
            return
        for sample in event.servers:
            place = tenancy.places.get(sample.index)
            if place is None or place.incarnation is None:
                continue
            if sample.running or sample.begun != place.begun or sample.begun_io != place.begun_io:
                tenancy.idle_since = now
            place.begun = sample.begun
            place.begun_io = sample.begun_io
            place.running = sample.running
            place.ended = sample.ended
            place.unresponsive = sample.unresponsive
        if tenancy.measure_by is not None:
            self._pulse(tenancy, now, out)

    def _pulse(self, tenancy: Tenancy, now: float, out: list[Action]) -> None:
        tenancy.measure_by = None
        avail = self.facts.avail
        servers = [place.facts() for place in tenancy.by_server.values()]
        out.append(Say(tenancy.scheduler, m.Pulse(tenancy.reservation, avail, servers)))
        left = max(0.0, tenancy.lease_until - now)
        out.append(
            Say(tenancy.client, m.NodeReport(tenancy.reservation, avail, servers, tenancy.lease, left))
        )
        idle = now - tenancy.idle_since
        if self.state is NodeState.SERVING and 0 < tenancy.idle_limit <= idle:
            tenancy.again = False
            tenancy.idle = True
            self._end_tenancy(f"the client ran nothing here for {idle:.0f} s", now, out, unasked=True)

    def _free_pulse(self, now: float, out: list[Action]) -> None:
        # Figures for the schedulers' rules, and the chance to be told that one does not know us (R-37).
        schedulers = self._schedulers()
        self._next_free_pulse = now + self.limits.reconcile_interval if schedulers else None
        if self._tenancy is None and schedulers:
            out.extend(Say(peer, m.Pulse(0, self.facts.avail, [])) for peer in schedulers)
            out.append(Measure())

    # The end of the tenancy.

    def _end_tenancy(self, why: str, now: float, out: list[Action], unasked: bool = False) -> None:
        tenancy = self._tenancy
        assert tenancy is not None
        if self.state is NodeState.RELEASING:
            return
        tenancy.end(why, unasked, now, out)

    def _cleaned_up(self, event: CleanedUp, now: float, out: list[Action]) -> None:
        tenancy = self._tenancy
        if tenancy is None or not tenancy.cleaning or tenancy.reservation != event.reservation:
            return
        if event.reason:
            out.append(Note("error", f"after reservation {tenancy.reservation}: {event.reason}"))
        tenancy.move("cleaned", now)
        self._tenancy = None
        self._former_lease = max(self._former_lease, tenancy.lease)
        self.served += tenancy.served
        out.append(CloseReservationKey(tenancy.reservation))
        reason = tenancy.why if tenancy.unasked else ""
        released = m.Released(tenancy.reservation, reason, tenancy.grant, tenancy.again, tenancy.idle)
        # A private scheduler is its client's own process.
        out.extend(Say(peer, released) for peer in dict.fromkeys((tenancy.scheduler, tenancy.client)))
        if self._serve > 0 and self.served >= self._serve and not self._leaving:
            self._leaving = f"it served {many(self.served, 'client')}, as it was told to"
        self._say_here_to_all(out)

    def _advance(self, now: float, out: list[Action]) -> None:
        """Take every step that the present state allows."""
        if self._tenancy is not None:
            self._zygotes = self._tenancy.advance(self._zygotes, now, out)
        elif self._leaving:
            self._ended = True
            out.append(Exit(0, self._leaving))

    # The person who runs the node, and its hours.

    def _ordered(self, event: Ordered, now: float, out: list[Action]) -> None:
        if event.order is Order.CLOSE:
            if self._tenancy is not None:
                self._tenancy.again = False
                self._end_tenancy("closed by the operator of the node", now, out, unasked=True)
            return
        again = bool(self._leaving)
        self._leaving = f"the operator of the node said {event.order.value}"
        if not again:
            self._say_here_to_all(out)
        if self._tenancy is None:
            return
        if event.order is Order.QUIT and self.state is not NodeState.RESERVED:
            self._say_open(out)
            return
        self._end_tenancy(self._leaving, now, out, unasked=True)
        if again:
            self._tenancy.hurry(now, out)

    def _service_hours(self, event: ServiceHours, now: float, out: list[Action]) -> None:
        was_open = self._open
        self._hours = event.hours
        if self._open != was_open:
            self._say_here_to_all(out)
            self._say_open(out)
        if event.hours is Hours.ENDED and self._tenancy is not None:
            self._end_tenancy("the node's hours of service ended", now, out, unasked=True)

    def _say_open(self, out: list[Action]) -> None:
        tenancy = self._tenancy
        if tenancy is None or self.state is NodeState.RELEASING:
            return
        reason = self._leaving or ("" if self._open else "outside its hours of service")
        out.append(
            Say(tenancy.client, m.NodeOpen(tenancy.reservation, self._open, bool(self._leaving), reason))
        )
