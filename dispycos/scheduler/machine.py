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

import math
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
from dispycos.model import Incarnation, Location
from dispycos.scheduler import allocate, survey
from dispycos.scheduler.events import (
    DropClient,
    Entry,
    JournalFailed,
    KeepLease,
    Restored,
    Started,
    Stop,
    Stopped,
    Written,
)
from dispycos.scheduler.grants import Grants
from dispycos.scheduler.roster import Client, ClientState, Node, NodeState
from dispycos.story import Stories
from dispycos.wording import listed


class SchedulerMachine:
    """Decides for one scheduler.

    our                  this process.
    reservation_numbers  numbers that no reservation ever had, here or elsewhere.
    idle_limit           seconds after which a node that ran nothing closes its client; 0: never (DS-14).
    hold                 H: seconds the work of a silent client is kept (R-19).
    longest_pulse        seconds; a client that asks for a longer pulse_interval gets this one (DS-18).
    max_file_bytes       of one file of a client, at nodes too; 0: what each of them allows (DS-10).
    journalled           entries are answered by Written or JournalFailed; who is new waits for that.
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
        longest_pulse: float = math.inf,
        max_file_bytes: int = 0,
        journalled: bool = False,
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
        self._longest_pulse = longest_pulse
        self._journalled = journalled
        self._order = 0
        self._stopping = ""  # why no client is taken any more
        self._stopped = False
        self._of_peer: dict[Incarnation, dict[int, Client]] = {}  # a process's clients by ticket
        self._peers: dict[Incarnation, bool] = {our: False}  # live sessions -> suspect
        self._deadlines: Deadlines[tuple[str, Any]] = Deadlines()
        self._stories = Stories()
        self._restored = sorted(restored.clients, key=lambda kept: kept.order)
        self._former_nodes = sorted(restored.nodes)
        self._grants = Grants(
            limits,
            self._deadlines,
            self._stories,
            our=restored.former | {our},
            last_lease=restored.last_lease,
            idle_limit=idle_limit,
            hold=hold,
            max_file_bytes=max_file_bytes,
            active=lambda: self.active,
            client_of=self._client_of,
            on_node_left=self._node_left,
        )
        self._grants.settling = restored.lost
        self._on: dict[type[Any], Callable[[Any, float, list[Action]], None]] = {
            Heard: self._heard,
            PeerUp: self._peer_up,
            PeerSuspect: self._peer_suspect,
            PeerBack: self._peer_back,
            PeerGone: self._peer_gone,
            DialFailed: self._dial_failed,
            Started: self._started,
            Written: self._written,
            JournalFailed: self._journal_failed,
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
        self._wake(now, out)
        self._on[type(event)](event, now, out)
        return out

    def tick(self, now: float) -> list[Action]:
        out: list[Action] = []
        self._wake(now, out)
        for kind, key in self._deadlines.due(now):
            if kind == "node":
                self._grants.due(key, now, out)
            elif kind == "question":
                self._grants.question_due(key, now, out)
            elif kind == "why":
                self._show(key, now, out)
            elif kind == "silent":
                self._silence_due(key, now, out)
            elif kind == "settle":
                self._settled(now, out)
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
            waiting = [client for client in self.queue.values() if self._may_begin(client)]
            assert not waiting or self._stopping, "clients wait and nobody runs"
        assert self._journalled or all(client.kept for client in self.queue.values())
        for clients in self._of_peer.values():
            for client in clients.values():
                assert client is self.active or self.queue.get(client.reservation) is client

    def story(self, id: Any) -> str:
        """What happened to a node (its incarnation) or a client (its reservation)."""
        return self._stories.tell(id)

    # Peers.

    def _wake(self, now: float, out: list[Action]) -> None:
        # What the journal gave back begins to count with the first event: here is a clock.
        if self._restored:
            self._take_up(now, out)
        # We came back late: silence of others counts anew from here.
        due = self._deadlines.next()
        if due is not None and now - due > self.limits.keepalive:
            self._grants.gap_end = now

    def _heard(self, event: Heard, now: float, out: list[Action]) -> None:
        said = self._said.get(type(event.message))
        if said is not None:
            said(event.peer, event.message, now, out)

    def _started(self, event: Started, now: float, out: list[Action]) -> None:
        if self._grants.settling:
            self._deadlines.set(("settle", 0), now + self.limits.request_timeout)

    def _settled(self, now: float, out: list[Action]) -> None:
        self._grants.settled(out)
        self._deadlines.drop(("settle", 0))
        self._next(now, out)

    def _peer_up(self, event: PeerUp, now: float, out: list[Action]) -> None:
        self._peers[event.peer] = False
        for client in self._unclaimed_at(event.location):
            if client.incarnation != event.peer:
                # Its address has another process now.
                self._gone(client, "another process answers at its address", now, out)
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
            self._gone(client, event.reason, now, out)

    def _gone(self, client: Client, evidence: str, now: float, out: list[Action]) -> None:
        """Its process is proved dead (R-78)."""
        reason = f"client {client.name} is gone: {evidence}"
        out.append(Note("info", reason))
        self._leave(client, reason, now, out, lost=True)

    def _dial_failed(self, event: DialFailed, now: float, out: list[Action]) -> None:
        # Of a client that has a session, the session's own dials say whether it lives.
        if event.refused:
            for client in self._unclaimed_at(event.location):
                client.refusals += 1
                if client.refusals >= self.limits.refusals_until_lost:
                    self._gone(client, event.reason, now, out)

    def _unclaimed_at(self, location: Location | None) -> list[Client]:
        """Clients of the journal that should be there, and have not come yet."""
        known = [client for client in (self.active, *self.queue.values()) if client is not None]
        return [c for c in known if not c.claimed and c.location is not None and c.location == location]

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

    def knows(self, peer: Incarnation) -> bool:
        """Whether this process has a client that waits or runs."""
        return peer in self._of_peer

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
            self._claimed(known, out)
            self._client_heard(peer, now, out)
            if known.kept:
                self._tell_again(known, out)
            return
        if why := self._why_refused():
            out.append(Say(peer, m.ScheduleRefused(message.ticket, why)))
            return
        client = self._new_client(next(self._numbers), peer, message, now)
        client.kept = not self._journalled
        out.append(client.entry())
        self.queue[client.reservation] = client
        self._stories.add(client.reservation, now, f"client {client.name} queued")
        if self.active is not None and self.active.unheard_since is not None:
            self._unheard(self.active, now)
        if client.kept:
            self._admit(client, now, out)

    def _why_refused(self) -> str:
        """Why nobody new is queued; "" if he is."""
        if self._stopping:
            return self._stopping
        if len(self.queue) >= self.limits.max_queued_clients:
            return f"{len(self.queue)} clients wait already"
        if self.unwritten:
            return f"the scheduler can't write down who waits: {self.unwritten}"
        return ""

    def _admit(self, client: Client, now: float, out: list[Action]) -> None:
        """It waits, and nothing that happens to us makes it lose its place."""
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
            min(message.pulse_interval, self._longest_pulse),
            message.zombie_period,
            message.abandon_zombies,
            now,
        )
        self._of_peer.setdefault(peer, {})[message.ticket] = client
        return client

    def _take_up(self, now: float, out: list[Action]) -> None:
        """The clients of before our restart; each has to come and claim its place (R-17)."""
        for kept in self._restored:
            client = Client.of(kept, now)
            self._order = max(self._order, kept.order)
            self._of_peer.setdefault(kept.incarnation, {})[kept.ticket] = client
            self.queue[client.reservation] = client
            if kept.scheduled and self.active is None:
                del self.queue[client.reservation]
                client.move("schedule")
                self.active = client
                # Whoever was granted, and has lost sight of us, is reached for like nodes of rules.
                client.dialled.update(self._former_nodes)
                out.extend(Dial(location) for location in self._former_nodes)
            if client.location is not None:
                out.append(Dial(client.location))
            self._unheard(client, now)
            self._deadlines.set(("why", client.reservation), now + self.limits.visible_wait)
        self._restored = []
        for place, client in enumerate(self.queue.values(), 1):
            client.place = place
        if self.active is not None:
            self._unheard(self.active, now)

    def _claim(self, peer: Incarnation, message: m.Schedule, now: float, out: list[Action]) -> None:
        """A client that holds a turn from before we, or it, lost sight of the other (S3)."""
        client = self._client_of(message.reservation)
        if client is None and self.active is None and not self._stopping:
            # Our journal is lost: what the living say is the truth now.
            client = self._new_client(message.reservation, peer, message, now)
            self.queue[client.reservation] = client
            self._begin(client, now, out)
            if self._grants.settling:
                self._settled(now, out)
            return
        if client is None or client.incarnation != peer or not self._may_claim(client):
            out.append(Say(peer, m.ScheduleRefused(message.ticket, "that turn is over")))
            return
        client.rules = message.rules[: self.limits.max_client_rules]
        self._claimed(client, out)
        if client.state is ClientState.QUEUED:
            self._overtake(client, now, out)
            return
        self._client_heard(peer, now, out)
        if client.state is ClientState.SCHEDULED:
            out.append(Say(peer, m.Scheduled(message.ticket, client.reservation)))
            self._grants.grant_again(client, out)
            self._dial_rules(client, out)
            self._grants.consider_all(now, out)

    def _may_claim(self, client: Client) -> bool:
        """In the journal's queue, it may hold the cluster all the same: that could not be written (R-22)."""
        if client.state is not ClientState.QUEUED:
            return True
        overtaken = self.active is None or not self.active.claimed
        return not client.claimed and overtaken and not self._stopping

    def _overtake(self, client: Client, now: float, out: list[Action]) -> None:
        client.unheard_since = None
        self.queue = {client.reservation: client, **self.queue}
        if self.active is not None:
            self._leave(self.active, f"client {client.name} holds the cluster by now", now, out, lost=True)
        else:
            self._next(now, out)

    def _claimed(self, client: Client, out: list[Action]) -> None:
        if not client.claimed:
            client.claimed = True
            if client.location is not None:
                out.append(StopDialling(client.location))

    def _next(self, now: float, out: list[Action]) -> None:
        """If nobody holds the cluster, it is the turn of the first who waits and is heard."""
        if self.active is None and not self._stopping:
            for client in self.queue.values():
                if self._may_begin(client):
                    self._begin(client, now, out)
                    break
        if self.active is None and self._stopping and not self._stopped:
            self._stopped = True
            out.append(Stopped(self._stopping))

    def _may_begin(self, client: Client) -> bool:
        # A turn that could not be written down would be another's after a restart.
        waits = self.unwritten or self._grants.settling or not client.kept
        return not waits and client.unheard_since is None

    def _begin(self, client: Client, now: float, out: list[Action]) -> None:
        del self.queue[client.reservation]
        client.move("schedule")
        client.since = now
        self.active = client
        self._stories.add(client.reservation, now, f"turn of client {client.name}")
        out.append(client.entry())
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
        out.append(client.entry())
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
        self._grants.turn_over(client)
        self.active = None
        out.append(Say(client.incarnation, m.ClientEnded(client.reservation, client.reason)))
        self._drop(client, client.reason, now, out)
        self._next(now, out)

    def _drop(self, client: Client, reason: str, now: float, out: list[Action]) -> None:
        clients = self._of_peer[client.incarnation]
        del clients[client.ticket]
        if not clients:
            del self._of_peer[client.incarnation]
        if not client.claimed and client.location is not None:
            out.append(StopDialling(client.location))
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

    # The journal.

    @property
    def unwritten(self) -> str:
        """Why entries can't be written; "" if they can, or there is no journal."""
        return self._grants.unwritten

    def entries(self) -> list[Entry]:
        """Everything that a journal has to keep, from nothing."""
        found: list[Entry] = []
        if self.active is not None:
            found.append(self.active.entry())
            for node in self.active.nodes.values():
                incarnation, location = node.incarnation, node.facts.location
                found.append(KeepLease(node.lease, self.active.reservation, incarnation, location))
        found += [client.entry() for client in self.queue.values()]
        return found

    def _written(self, event: Written, now: float, out: list[Action]) -> None:
        if self._grants.unwritten:
            self._grants.unwritten = ""
            out.append(Note("info", "the journal is written again"))
            self._grants.consider_all(now, out)
            self._next(now, out)
        for client in [client for client in self.queue.values() if not client.kept]:
            client.kept = True
            self._admit(client, now, out)

    def _journal_failed(self, event: JournalFailed, now: float, out: list[Action]) -> None:
        if event.reason != self._grants.unwritten:
            text = f"no new client is taken, the running one goes on: {event.reason}"
            out.append(Note("error", text))
        self._grants.unwritten = event.reason
        for client in [client for client in self.queue.values() if not client.kept]:
            out.append(Say(client.incarnation, m.ScheduleRefused(client.ticket, self._why_refused())))
            self._leave(client, event.reason, now, out)

    # Waiting (S6).

    def why(self, client: Client, now: float) -> str:
        """What this client waits for; "" if for nothing."""
        if client.state is ClientState.QUEUED:
            if self.unwritten:
                return f"the scheduler can't write down whose turn it is: {self.unwritten}"
            if self._grants.settling:
                return "the scheduler lost its journal, and whoever holds the cluster may say so"
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
        return survey.why_no_node(client, self.nodes.values(), self.unreached(), self.searching())

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
        waiting = {client.reservation: self.why(client, now) for client in self.queue.values()}
        if self.active is not None:
            waiting[self.active.reservation] = self.why(self.active, now)
        return {
            "stopping": self._stopping,
            "journal": self.unwritten,
            "active": survey.of_client(self.active, now, waiting) if self.active else None,
            "queue": [survey.of_client(client, now, waiting) for client in self.queue.values()],
            "nodes": [survey.of_node(node) for node in self.nodes.values()],
        }
