"""The scheduler: which clients wait, whose turn it is, when a turn is over.

One client at a time holds the cluster, in the order of submission (DS-20). This machine
decides about clients; `grants` decides about nodes. It is the same for a private scheduler,
which lives in its client's process, and a shared one: a private scheduler's client is a peer
with our own incarnation. It never sees a task, its code or its result (rule 4).

What it promises
- no node is granted to two clients, no lease number twice (S2, R-35);
- who is proved dead leaves: a queued client the queue, a running one its turn (R-78);
- after a restart with its journal, queue and running client are taken up again (S4, R-17);
- an unknown speaker is told to register again, and raises nothing (R-37, R-74);
- whoever waits is told for what (S6).

Pure: no I/O, clock or randomness; reservation numbers are handed in. Rules S1 to S6.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from dispycos import messages as m
from dispycos.config import Limits
from dispycos.deadlines import Deadlines
from dispycos.events import (
    Action,
    Dial,
    DialFailed,
    Heard,
    Note,
    PeerBack,
    PeerGone,
    PeerSuspect,
    PeerUp,
    Say,
    StopDialling,
)
from dispycos.model import Incarnation
from dispycos.scheduler import allocate
from dispycos.scheduler.events import DropClient, KeepClient, Restored, Stop, Stopped
from dispycos.scheduler.grants import Grants
from dispycos.scheduler.roster import HELD, Client, ClientState, Node, NodeState
from dispycos.story import Stories
from dispycos.wording import MAX_NAMED, listed


class SchedulerMachine:
    """Decides for one scheduler.

    our                  this process.
    reservation_numbers  numbers that no reservation ever had, here or elsewhere.
    idle_limit           seconds after which a node that ran nothing closes its client; 0: never (DS-14).
    hold                 H: seconds the work of a silent client is kept (R-19).
    restored             what the journal gave back (R-17).
    searching            says where nodes are looked for, in the reason of a client without any (R-52).
    unreached            says of each node that was named and can't be reached what was found there.
    """

    def __init__(
        self,
        our: Incarnation,
        limits: Limits,
        *,
        reservation_numbers: Iterator[int],
        idle_limit: float = 0.0,
        hold: float = 1000.0,
        restored: Restored | None = None,
        searching: Callable[[], str] = lambda: "",
        unreached: Callable[[], list[str]] = list,
    ) -> None:
        restored = restored or Restored()
        self.our = our
        self.limits = limits
        self.active: Client | None = None  # whose turn it is, closing included
        self.queue: dict[int, Client] = {}  # by reservation, in order of submission
        self.searching = searching
        self.unreached = unreached
        self._numbers = reservation_numbers
        self._hold = hold
        self._order = 0
        self._stopping = ""  # why no client is taken any more
        self._stopped = False
        self._of_peer: dict[Incarnation, dict[int, Client]] = {}  # a process's clients by ticket
        self._peers: dict[Incarnation, bool] = {our: False}  # live sessions -> suspect
        self._deadlines: Deadlines[tuple[str, Any]] = Deadlines()
        self._stories = Stories()
        self._restored: list[KeepClient] = sorted(restored.clients, key=lambda kept: kept.order)
        self._grants = Grants(
            limits,
            self._deadlines,
            self._stories,
            our=restored.former | {our},
            last_lease=restored.last_lease,
            idle_limit=idle_limit,
            hold=hold,
            active=lambda: self.active,
            client_of=self._client_of,
            on_node_left=self._node_left,
        )
        self._on: dict[type[Any], Callable[[Any, float, list[Action]], None]] = {
            Heard: self._heard,
            PeerUp: self._peer_up,
            PeerSuspect: self._peer_suspect,
            PeerBack: self._peer_back,
            PeerGone: self._peer_gone,
            DialFailed: lambda event, now, out: None,
            Stop: self._stop,
        }
        grants = self._grants
        self._said: dict[type[Any], Callable[[Incarnation, Any, float, list[Action]], None]] = {
            m.Pulse: grants.pulse,
            m.NodeHere: grants.here,
            m.Reserved: grants.reserved,
            m.ReserveRefused: grants.refused,
            m.Released: grants.released,
            m.Allocated: grants.allocated,
            m.Schedule: self._schedule,
            m.Unschedule: self._unschedule,
            m.AddRule: self._add_rule,
            m.ReturnNode: self._return_node,
            m.CloseClient: self._close_client,
            m.Counts: self._counts,
        }

    # The shape of every machine.

    @property
    def nodes(self) -> dict[Incarnation, Node]:
        """The nodes that are here, by incarnation; to be read only."""
        return self._grants.nodes

    def handle(self, event: Any, now: float) -> list[Action]:
        out: list[Action] = []
        self._wake(now)
        self._on[type(event)](event, now, out)
        return out

    def tick(self, now: float) -> list[Action]:
        out: list[Action] = []
        self._wake(now)
        for kind, key in self._deadlines.due(now):
            if kind == "node":
                self._grants.due(key, now, out)
            elif kind == "question":
                self._grants.question_due(key, now, out)
            elif kind == "why":
                self._show(key, now, out)
            elif kind == "silent":
                self._silence_due(key, now, out)
            else:
                self._closing_due(key, now, out)
        return out

    def next_deadline(self) -> float | None:
        return self._deadlines.next()

    def check(self) -> None:
        self._grants.check()
        orders = [client.order for client in self.queue.values()]
        assert orders == sorted(orders), "the queue is out of order"
        for client in self.queue.values():
            assert client.state is ClientState.QUEUED
            assert not client.nodes, "a queued client holds nodes"
        if self.active is not None:
            assert self.active.state in (ClientState.SCHEDULED, ClientState.CLOSING)
            assert self.active.reservation not in self.queue
            granted = sum(node.state is NodeState.INITIALIZED for node in self.active.nodes.values())
            assert granted == self.active.granted, "granted nodes are miscounted"
            if self.active.state is ClientState.CLOSING:
                assert not self.active.nodes, "a closing client holds nodes"
                assert self.active.leaving, "a closed client is kept"
        else:
            waiting = [client for client in self.queue.values() if client.unheard_since is None]
            assert not waiting or self._stopping or self._restored, "clients wait and nobody runs"
        for clients in self._of_peer.values():
            for client in clients.values():
                assert client is self.active or self.queue.get(client.reservation) is client

    def story(self, id: Any) -> str:
        """What happened to a node (its incarnation) or a client (its reservation)."""
        return self._stories.tell(id)

    # Peers.

    def _wake(self, now: float) -> None:
        # What the journal gave back begins to count with the first event: here is a clock.
        if self._restored:
            kept, self._restored = self._restored, []
            for entry in kept:
                self._take_up(entry, now)
            for place, client in enumerate(self.queue.values(), 1):
                client.place = place
            if self.active is not None:
                self._unheard(self.active, now)
        # We came back late: silence of others counts anew from here.
        due = self._deadlines.next()
        if due is not None and now - due > self.limits.keepalive:
            self._grants.gap_end = now

    def _heard(self, event: Heard, now: float, out: list[Action]) -> None:
        said = self._said.get(type(event.message))
        if said is not None:
            said(event.peer, event.message, now, out)

    def _peer_up(self, event: PeerUp, now: float, out: list[Action]) -> None:
        self._peers[event.peer] = False
        for client in self._of_peer.get(event.peer, {}).values():
            if not client.claimed:
                # It is alive, so it claims what it still wants soon.
                self._deadlines.set(("silent", client.reservation), now + self.limits.request_timeout)

    def _peer_suspect(self, event: PeerSuspect, now: float, out: list[Action]) -> None:
        self._peers[event.peer] = True
        node = self._grants.nodes.get(event.peer)
        if node is not None:
            self._grants.peer_suspect(node, now, out)
        for client in self._of_peer.get(event.peer, {}).values():
            self._unheard(client, now)

    def _peer_back(self, event: PeerBack, now: float, out: list[Action]) -> None:
        self._peers[event.peer] = False
        node = self._grants.nodes.get(event.peer)
        if node is not None:
            self._grants.peer_back(node, now, out)
        self._client_heard(event.peer, now, out)

    def _peer_gone(self, event: PeerGone, now: float, out: list[Action]) -> None:
        self._peers.pop(event.peer, None)
        node = self._grants.nodes.get(event.peer)
        if node is not None:
            self._grants.peer_lost(node, event.reason, now, out)
        for client in list(self._of_peer.get(event.peer, {}).values()):
            reason = f"client {client.name} is gone: {event.reason}"
            out.append(Note("info", reason))
            self._leave(client, reason, now, out, lost=True)

    def _client_heard(self, peer: Incarnation, now: float, out: list[Action]) -> None:
        for client in self._of_peer.get(peer, {}).values():
            if client.claimed and client.unheard_since is not None:
                client.unheard_since = None
                self._deadlines.drop(("silent", client.reservation))
                if client is self.active:
                    # Nothing was granted to it meanwhile.
                    self._grants.consider_all(now, out)
        self._next(now, out)

    def _unheard(self, client: Client, now: float) -> None:
        if client.unheard_since is None:
            client.unheard_since = now
        self._deadlines.set(("silent", client.reservation), client.unheard_since + self._patience(client))

    def _patience(self, client: Client) -> float:
        """Seconds a silent client is kept: H, or 2 Z where another one waits (R-19)."""
        if client is self.active and self.queue and client.silence:
            return min(2 * client.silence, self._hold)
        return self._hold

    def _silence_due(self, reservation: int, now: float, out: list[Action]) -> None:
        client = self._client_of(reservation)
        if client is None or client.unheard_since is None:
            return
        patience = self._patience(client)
        if not client.claimed and client.incarnation in self._peers:
            patience = min(patience, self.limits.request_timeout)
        until = max(client.unheard_since, self._grants.gap_end) + patience
        if now < until:
            self._deadlines.set(("silent", reservation), until)
            return
        reason = f"client {client.name} was not heard for {now - client.unheard_since:.0f} s"
        out.append(Note("warning", reason))
        self._leave(client, reason, now, out, lost=True)

    # The queue.

    def _client_of(self, reservation: int) -> Client | None:
        if self.active is not None and self.active.reservation == reservation:
            return self.active
        return self.queue.get(reservation)

    def _spoken_by(self, peer: Incarnation, reservation: int, out: list[Action]) -> Client | None:
        client = self._client_of(reservation)
        if client is not None and client.incarnation == peer:
            return client
        out.append(Say(peer, m.RegisterAgain(f"reservation {reservation} is not yours here")))
        return None

    def _schedule(self, peer: Incarnation, message: m.Schedule, now: float, out: list[Action]) -> None:
        if message.reservation:
            self._claim(peer, message, now, out)
            return
        known = self._of_peer.get(peer, {}).get(message.ticket)
        if known is not None:
            known.claimed = True
            self._client_heard(peer, now, out)
            self._tell_again(known, out)
            return
        if self._stopping or len(self.queue) >= self.limits.max_queued_clients:
            why = self._stopping or f"{len(self.queue)} clients wait already"
            out.append(Say(peer, m.ScheduleRefused(message.ticket, why)))
            return
        client = self._new_client(next(self._numbers), peer, message, now)
        out.append(self._kept(client, False))
        self.queue[client.reservation] = client
        self._stories.add(client.reservation, now, f"client {client.name} queued")
        if self.active is not None and self.active.unheard_since is not None:
            self._unheard(self.active, now)
        self._next(now, out)
        if client.state is ClientState.QUEUED:
            client.place = len(self.queue)
            self._tell_place(client, out)
            self._deadlines.set(("why", client.reservation), now + self.limits.visible_wait)

    def _new_client(self, reservation: int, peer: Incarnation, message: m.Schedule, now: float) -> Client:
        self._order += 1
        client = Client(
            reservation,
            self._order,
            peer,
            message.ticket,
            message.name,
            message.location,
            message.rules[: self.limits.max_client_rules],
            message.pulse_interval,
            message.zombie_period,
            message.abandon_zombies,
            now,
        )
        self._of_peer.setdefault(peer, {})[message.ticket] = client
        return client

    def _kept(self, client: Client, scheduled: bool) -> KeepClient:
        return KeepClient(
            client.reservation,
            client.order,
            scheduled,
            client.incarnation,
            client.ticket,
            client.name,
            client.location,
            tuple(client.rules),
            client.pulse,
            client.silence,
            client.abandon,
        )

    def _take_up(self, kept: KeepClient, now: float) -> None:
        """A client of before our restart; it has to come and claim its place (R-17)."""
        client = Client(
            kept.reservation,
            kept.order,
            kept.incarnation,
            kept.ticket,
            kept.name,
            kept.location,
            list(kept.rules),
            kept.pulse_interval,
            kept.silence,
            kept.abandon,
            now,
            claimed=False,
        )
        self._order = max(self._order, kept.order)
        self._of_peer.setdefault(kept.incarnation, {})[kept.ticket] = client
        self.queue[client.reservation] = client
        if kept.scheduled and self.active is None:
            del self.queue[client.reservation]
            client.move("schedule")
            self.active = client
        self._unheard(client, now)
        self._deadlines.set(("why", client.reservation), now + self.limits.visible_wait)

    def _claim(self, peer: Incarnation, message: m.Schedule, now: float, out: list[Action]) -> None:
        """A client that holds a turn from before we, or it, lost sight of the other (S3)."""
        client = self._client_of(message.reservation)
        if client is None and self.active is None and not self._stopping:
            # Our journal is lost: what the living say is the truth now.
            client = self._new_client(message.reservation, peer, message, now)
            self.queue[client.reservation] = client
            self._begin(client, now, out)
            return
        if client is None or client.incarnation != peer or client.state is ClientState.QUEUED:
            out.append(Say(peer, m.ScheduleRefused(message.ticket, "that turn is over")))
            return
        client.claimed = True
        self._client_heard(peer, now, out)
        client.rules = message.rules[: self.limits.max_client_rules]
        if client.state is ClientState.SCHEDULED:
            out.append(Say(peer, m.Scheduled(message.ticket, client.reservation)))
            self._grants.grant_again(client, out)
            self._dial_rules(client, out)
            self._grants.consider_all(now, out)

    def _next(self, now: float, out: list[Action]) -> None:
        """If nobody holds the cluster, it is the turn of the first who waits and is heard."""
        if self.active is None and not self._stopping:
            for client in self.queue.values():
                if client.unheard_since is None:
                    self._begin(client, now, out)
                    break
        if self.active is None and self._stopping and not self._stopped:
            self._stopped = True
            out.append(Stopped(self._stopping))

    def _begin(self, client: Client, now: float, out: list[Action]) -> None:
        del self.queue[client.reservation]
        client.move("schedule")
        client.since = now
        self.active = client
        self._stories.add(client.reservation, now, f"turn of client {client.name}")
        out.append(self._kept(client, True))
        out.append(Say(client.incarnation, m.Scheduled(client.ticket, client.reservation)))
        out.append(Note("info", f"client {client.name} is scheduled"))
        self._deadlines.set(("why", client.reservation), now + self.limits.visible_wait)
        self._tell_places(out)
        self._dial_rules(client, out)
        self._grants.adopt_foreign(client, now, out)
        self._grants.consider_all(now, out)

    def _tell_place(self, client: Client, out: list[Action]) -> None:
        out.append(Say(client.incarnation, m.Queued(client.ticket, client.place, self.why(client, 0.0))))

    def _tell_places(self, out: list[Action]) -> None:
        """Whoever moved up in the queue is told."""
        for place, client in enumerate(self.queue.values(), 1):
            if place != client.place:
                client.place = place
                self._tell_place(client, out)

    def _tell_again(self, client: Client, out: list[Action]) -> None:
        if client.state is ClientState.QUEUED:
            self._tell_place(client, out)
        elif client.state is ClientState.SCHEDULED:
            out.append(Say(client.incarnation, m.Scheduled(client.ticket, client.reservation)))
            self._grants.grant_again(client, out)

    def _dial_rules(self, client: Client, out: list[Action]) -> None:
        """Nodes that rules name are contacted, and retried while the turn lasts (DC-05)."""
        for rule in client.rules:
            location = allocate.concrete(rule)
            if location is not None and location not in client.dialled:
                client.dialled.add(location)
                out.append(Dial(location))

    # What clients say.

    def _unschedule(self, peer: Incarnation, message: m.Unschedule, now: float, out: list[Action]) -> None:
        client = self._of_peer.get(peer, {}).get(message.ticket)
        if client is not None:
            self._leave(client, "taken off by its client", now, out)

    def _add_rule(self, peer: Incarnation, message: m.AddRule, now: float, out: list[Action]) -> None:
        client = self._spoken_by(peer, message.reservation, out)
        if client is None:
            return
        if len(client.rules) >= self.limits.max_client_rules:
            out.append(
                Note("warning", f"client {client.name} has {len(client.rules)} rules: one more is ignored")
            )
            return
        client.rules.append(message.rule)
        out.append(self._kept(client, client.state is ClientState.SCHEDULED))
        if client.state is ClientState.SCHEDULED:
            self._dial_rules(client, out)
            self._grants.consider_all(now, out)

    def _return_node(self, peer: Incarnation, message: m.ReturnNode, now: float, out: list[Action]) -> None:
        client = self._spoken_by(peer, message.reservation, out)
        if client is not None and client.state is ClientState.SCHEDULED:
            self._grants.returned(client, message, now, out)

    def _close_client(self, peer: Incarnation, message: m.CloseClient, now: float, out: list[Action]) -> None:
        client = self._client_of(message.reservation)
        if client is None or client.incarnation != peer:
            out.append(Say(peer, m.ClientEnded(message.reservation, "that turn is over")))
            return
        self._leave(client, "its client closed it", now, out)

    def _counts(self, peer: Incarnation, message: m.Counts, now: float, out: list[Action]) -> None:
        client = self._spoken_by(peer, message.reservation, out)
        if client is not None:
            client.counts = message

    # The end of a turn.

    def _leave(self, client: Client, reason: str, now: float, out: list[Action], lost: bool = False) -> None:
        """Off the queue, or its turn ends. `lost`: there is nobody to wait for or to tell."""
        if client.state is ClientState.QUEUED:
            client.move("leave")
            del self.queue[client.reservation]
            self._drop(client, reason, now, out)
            self._tell_places(out)
            return
        if client.state is ClientState.SCHEDULED:
            client.move("end")
            client.reason = reason
            self._deadlines.drop(("why", client.reservation))
            self._deadlines.set(
                ("closing", client.reservation), now + self.limits.grace + self.limits.request_timeout
            )
            self._stories.add(client.reservation, now, f"its turn ends: {reason}")
            for node in list(client.nodes.values()):
                self._grants.release(node, reason, now, out)
            for location in sorted(client.dialled):
                out.append(StopDialling(location))
        if lost:
            self._grants.client_gone(client)
        self._over_if_empty(client, now, out)

    def _over_if_empty(self, client: Client, now: float, out: list[Action]) -> None:
        if client.state is ClientState.CLOSING and not client.leaving:
            self._over(client, now, out)

    def _over(self, client: Client, now: float, out: list[Action]) -> None:
        client.move("over")
        self.active = None
        out.append(Say(client.incarnation, m.ClientEnded(client.reservation, client.reason)))
        self._drop(client, client.reason, now, out)
        self._next(now, out)

    def _drop(self, client: Client, reason: str, now: float, out: list[Action]) -> None:
        clients = self._of_peer[client.incarnation]
        del clients[client.ticket]
        if not clients:
            del self._of_peer[client.incarnation]
        for kind in ("why", "silent", "closing"):
            self._deadlines.drop((kind, client.reservation))
        self._stories.add(client.reservation, now, f"gone: {reason}")
        out.append(DropClient(client.reservation))

    def _closing_due(self, reservation: int, now: float, out: list[Action]) -> None:
        client = self.active
        if client is not None and client.reservation == reservation and client.state is ClientState.CLOSING:
            names = listed([node.facts.name for node in client.leaving.values()])
            text = f"nodes that have not let go of client {client.name} in time: {names}"
            out.append(Note("warning", text))
            self._grants.client_gone(client)
            self._over(client, now, out)

    def _node_left(self, client: Client, now: float, out: list[Action]) -> None:
        if client.state is ClientState.CLOSING:
            self._over_if_empty(client, now, out)
        elif client.state is ClientState.SCHEDULED:
            self._deadlines.set_if_none(("why", client.reservation), now + self.limits.visible_wait)
            if client.went_idle and not client.nodes:
                # Every node closed it for idleness: so is the client (DS-14).
                self._leave(client, "it ran nothing for too long", now, out)

    def _stop(self, event: Stop, now: float, out: list[Action]) -> None:
        first = not self._stopping
        self._stopping = self._stopping or event.reason or "the scheduler ends"
        for client in list(self.queue.values()):
            out.append(Say(client.incarnation, m.ScheduleRefused(client.ticket, event.reason)))
            self._leave(client, event.reason, now, out)
        active = self.active
        if active is not None and event.terminate:
            self._leave(active, event.reason, now, out)
        elif active is not None and first and active.state is ClientState.SCHEDULED:
            asked = m.CloseAsked(active.reservation, False, event.reason)
            out.append(Say(active.incarnation, asked))
        self._next(now, out)

    # Waiting (S6).

    def why(self, client: Client, now: float) -> str:
        """What this client waits for; "" if for nothing."""
        if client.state is ClientState.QUEUED:
            if self.active is None:
                return f"client {client.name} is not heard"
            verb = "closes" if self.active.state is ClientState.CLOSING else "holds the cluster"
            return f"client {self.active.name} {verb}"
        if client.state is ClientState.CLOSING:
            names = listed([node.facts.name for node in client.leaving.values()])
            return f"nodes let go: {names}"
        if client.unheard_since is not None:
            return f"client {client.name} is not heard"
        if client.granted:
            return ""
        return self._why_no_node(client)

    def _why_no_node(self, client: Client) -> str:
        # Who was named and does not answer is what the user can mend, so it comes first.
        unreached = self.unreached()
        named = unreached[:MAX_NAMED]
        if len(unreached) > MAX_NAMED:
            named.append(f"and {len(unreached) - MAX_NAMED} more can't be reached")
        if not self.nodes:
            return "; ".join(filter(None, ("no node is known", *named, self.searching())))
        reasons: list[str] = []
        for incarnation, node in self.nodes.items():
            if node.state in HELD:
                reason = "it has not answered yet" if node.state is NodeState.RESERVING else "it is silent"
            elif node.state is NodeState.RELEASING:
                reason = f"it lets go of its former client ({node.why})"
            elif node.state is NodeState.SUSPENDED:
                reason = node.why_not_free()
            elif incarnation in client.excluded:
                reason = "the client gave it back"
            elif node.question:
                reason = "the client is asked for its rule"
            else:
                reason = client.ignored.get(incarnation, "it is about to be offered")
            reasons.append(f"node {node.facts.name}: {reason}")
            if len(reasons) == MAX_NAMED:
                break
        more = len(self.nodes) - len(reasons)
        if more:
            reasons.append(f"and {more} more nodes")
        return "; ".join(named + reasons)

    def _show(self, reservation: int, now: float, out: list[Action]) -> None:
        client = self._client_of(reservation)
        if client is None or not (reason := self.why(client, now)):
            return
        if client.incarnation != self.our:
            # A client of this process says it itself, once it has heard it.
            out.append(Note("warning", f"client {client.name} waits: {reason}"))
        place = client.place if client.state is ClientState.QUEUED else 0
        out.append(Say(client.incarnation, m.Queued(client.ticket, place, reason)))
        self._deadlines.set(("why", reservation), now + self.limits.visible_wait_again)

    def status(self, now: float) -> dict[str, Any]:
        """Running and queued clients, nodes, servers (DS-19)."""
        return {
            "stopping": self._stopping,
            "active": self._client_status(self.active, now) if self.active else None,
            "queue": [self._client_status(client, now) for client in self.queue.values()],
            "nodes": [
                {
                    "incarnation": node.incarnation,
                    "name": node.facts.name,
                    "location": node.facts.location,
                    "platform": node.facts.platform,
                    "cpus": node.facts.cpus,
                    "avail": node.avail,
                    "state": node.state.value,
                    "why": node.why_not_free() if node.state is NodeState.SUSPENDED else node.why,
                    "reservation": node.client.reservation if node.client else 0,
                    "lease": node.lease,
                    "servers": list(node.living),
                }
                for node in self.nodes.values()
            ],
        }

    def _client_status(self, client: Client, now: float) -> dict[str, Any]:
        return {
            "reservation": client.reservation,
            "name": client.name,
            "location": client.location,
            "state": client.state.value,
            "since": now - client.since,
            "nodes": len(client.nodes),
            "counts": client.counts,
            "why": self.why(client, now),
        }
