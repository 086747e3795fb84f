"""The scheduler: whose turn it is to hold the cluster, and which nodes that brings.

One client at a time, in the order of submission (DS-20). This machine brings each event to the
part that decides: `turns` about clients, of whom `clients` is the register, and `grants` about
nodes. It is the same for a private scheduler, which lives in its client's process, and a shared
one: a private scheduler's client is a peer with our own incarnation. It never sees a task, its
code or its result (rule 4).

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
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from dispycos import messages as m
from dispycos.config import Limits
from dispycos.deadlines import Deadlines
from dispycos.events import (
    Action,
    DialFailed,
    Heard,
    Note,
    PeerBack,
    PeerGone,
    PeerSuspect,
    PeerUp,
)
from dispycos.model import Incarnation
from dispycos.scheduler import survey
from dispycos.scheduler.clients import Clients
from dispycos.scheduler.events import (
    Entry,
    FollowWork,
    JournalFailed,
    NodesAwaited,
    Restored,
    Started,
    Stop,
    Written,
)
from dispycos.scheduler.grants import Grants
from dispycos.scheduler.roster import Client, ClientState, Node
from dispycos.scheduler.turns import Turns
from dispycos.story import Stories
from dispycos.wording import listed

CHANGED = 1.0  # seconds before a change is told: what comes with it is told as one


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
        redact: Sequence[str] = (),
        journalled: bool = False,
        restored: Restored | None = None,
        searching: Callable[[], str] = lambda: "",
        unreached: Callable[[], list[str]] = list,
    ) -> None:
        restored = restored or Restored()
        self.our = our
        self.limits = limits
        self.searching = searching
        self.unreached = unreached
        self._deadlines: Deadlines[tuple[str, Any]] = Deadlines()
        self._stories = Stories()
        self._clients = Clients(
            limits,
            self._deadlines,
            self._stories,
            our=our,
            hold=hold,
            longest_pulse=longest_pulse,
            restored=restored,
        )
        self._grants = Grants(
            limits,
            self._deadlines,
            self._stories,
            self._clients,
            our=restored.former | {our},
            last_lease=restored.last_lease,
            idle_limit=idle_limit,
            hold=hold,
            max_file_bytes=max_file_bytes,
            on_node_left=lambda client, now, out: self._turns.node_left(client, now, out),
        )
        self._turns = Turns(
            limits,
            self._deadlines,
            self._stories,
            self._clients,
            self._grants,
            our=our,
            numbers=reservation_numbers,
            journalled=journalled,
            redact=redact,
        )
        self._on: dict[type[Any], Callable[[Any, float, list[Action]], None]] = {
            Heard: self._heard,
            PeerUp: self._peer_up,
            PeerSuspect: self._peer_suspect,
            PeerBack: self._peer_back,
            PeerGone: self._peer_gone,
            DialFailed: self._dial_failed,
            Started: self._started,
            NodesAwaited: lambda event, now, out: self._nodes_changed(now),
            FollowWork: lambda event, now, out: self._turns.follow(event.every, out),
            Written: self._written,
            JournalFailed: self._journal_failed,
            Stop: self._stop,
        }
        grants, turns = self._grants, self._turns
        self._said: dict[type[Any], Callable[[Incarnation, Any, float, list[Action]], None]] = {
            m.Pulse: grants.pulse,
            m.NodeHere: grants.here,
            m.Reserved: grants.reserved,
            m.ReserveRefused: grants.refused,
            m.Released: grants.released,
            m.Allocated: grants.judge.allocated,
            m.Schedule: turns.schedule,
            m.Unschedule: turns.unschedule,
            m.AddRule: turns.add_rule,
            m.ReturnNode: turns.return_node,
            m.CloseClient: turns.close_client,
            m.Counts: turns.counts,
            m.Demand: turns.demand,
        }

    # The shape of every machine.

    @property
    def active(self) -> Client | None:
        """Whose turn it is, closing included."""
        return self._clients.active

    @property
    def queue(self) -> dict[int, Client]:
        """Who waits, by reservation, in the order of submission; to be read only."""
        return self._clients.queue

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
                self._grants.judge.due(key, now, out)
            elif kind == "why":
                self._show(key, now, out)
            elif kind == "silent":
                self._turns.silence_due(key, now, out)
            elif kind == "settle":
                self._turns.settled(now, out)
            else:
                self._turns.closing_due(key, now, out)
        return out

    def next_deadline(self) -> float | None:
        return self._deadlines.next()

    def check(self) -> None:
        self._grants.check()
        self._clients.check()
        self._turns.check()

    def compare(self, peer: Incarnation, message: Any) -> None:
        if type(message) is m.NodeHere:
            self._grants.compare(peer, message)

    def story(self, id: Any) -> str:
        """What happened to a node (its incarnation) or a client (its reservation)."""
        return self._stories.tell(id)

    def knows(self, peer: Incarnation) -> bool:
        """Whether this process has a client that waits or runs."""
        return self._clients.knows(peer)

    # Peers.

    def _wake(self, now: float, out: list[Action]) -> None:
        # What the journal gave back begins to count with the first event: here is a clock.
        if self._clients.restored:
            self._clients.take_up(now, out)
        # We came back late: silence of others counts anew from here.
        due = self._deadlines.next()
        if due is not None and now - due > self.limits.keepalive:
            self._grants.gap_end = now

    def _heard(self, event: Heard, now: float, out: list[Action]) -> None:
        said = self._said.get(type(event.message))
        if said is not None:
            said(event.peer, event.message, now, out)
            if type(event.message) is m.NodeHere:
                self._nodes_changed(now)

    def _peer_up(self, event: PeerUp, now: float, out: list[Action]) -> None:
        self._clients.connected.add(event.peer)
        for client in self._clients.unclaimed_at(event.location):
            if client.incarnation != event.peer:
                # Its address has another process now.
                self._turns.gone(client, "another process answers at its address", now, out)
        for client in self._clients.of_peer(event.peer):
            if not client.claimed:
                self._clients.await_claim(client, now)

    def _peer_suspect(self, event: PeerSuspect, now: float, out: list[Action]) -> None:
        node = self._grants.nodes.get(event.peer)
        if node is not None:
            self._grants.peer_suspect(node, now, out)
            self._nodes_changed(now)
        for client in self._clients.of_peer(event.peer):
            self._clients.unheard(client, now)

    def _peer_back(self, event: PeerBack, now: float, out: list[Action]) -> None:
        node = self._grants.nodes.get(event.peer)
        if node is not None:
            self._grants.peer_back(node, now, out)
            self._nodes_changed(now)
        self._turns.heard(event.peer, now, out)

    def _peer_gone(self, event: PeerGone, now: float, out: list[Action]) -> None:
        self._clients.connected.discard(event.peer)
        node = self._grants.nodes.get(event.peer)
        if node is not None:
            self._grants.peer_lost(node, event.reason, now, out)
            self._nodes_changed(now)
        for client in self._clients.of_peer(event.peer):
            self._turns.gone(client, event.reason, now, out)

    def _dial_failed(self, event: DialFailed, now: float, out: list[Action]) -> None:
        # Of a client that has a session, the session's own dials say whether it lives.
        if event.refused:
            for client in self._clients.unclaimed_at(event.location):
                client.refusals += 1
                if client.refusals >= self.limits.refusals_until_lost:
                    self._turns.gone(client, event.reason, now, out)

    # This process: it begins, and ends.

    def _started(self, event: Started, now: float, out: list[Action]) -> None:
        if self._clients.settling:
            self._deadlines.set(("settle", 0), now + self.limits.request_timeout)

    def _stop(self, event: Stop, now: float, out: list[Action]) -> None:
        self._turns.stop(event.reason, event.terminate, now, out)

    @property
    def stopping(self) -> str:
        """Why no client is taken any more; "": they are."""
        return self._turns.stopping

    # The journal.

    @property
    def unwritten(self) -> str:
        """Why entries can't be written; "" if they can, or there is no journal."""
        return self._clients.unwritten

    def entries(self) -> list[Entry]:
        """Everything that a journal has to keep, from nothing."""
        return self._clients.entries()

    def _written(self, event: Written, now: float, out: list[Action]) -> None:
        if self._clients.unwritten:
            self._clients.unwritten = ""
            out.append(Note("info", "the journal is written again"))
            self._grants.consider_all(now, out)
            self._turns.begin_next(now, out)
        self._turns.admit_kept(now, out)

    def _journal_failed(self, event: JournalFailed, now: float, out: list[Action]) -> None:
        news = event.reason != self._clients.unwritten
        if news:
            text = f"no new client is taken, the running one goes on: {event.reason}"
            out.append(Note("error", text))
        self._clients.unwritten = event.reason
        self._turns.refuse_unkept(event.reason, now, out)
        if news:
            self._clients.tell_queue(out)

    # Waiting (S6).

    def why(self, client: Client, now: float) -> str:
        """What this client waits for; "" if for nothing."""
        if client.state is ClientState.QUEUED:
            return self._clients.why_queued(client)
        if client.state is ClientState.CLOSING:
            names = listed([node.facts.name for node in client.leaving.values()])
            return f"nodes let go: {names}"
        if client.unheard_since is not None:
            return f"client {client.label} is not heard"
        if client.granted:
            return ""
        searching = self.searching()
        if (lost := self._grants.lost) is not None:
            # Nodes could be reached: what could keep them apart from the start is not what to look for.
            searching = f"node {lost[0]} was lost {now - lost[1]:.0f} s ago"
        return survey.why_no_node(client, self.nodes.values(), self.unreached(), searching)

    def _nodes_changed(self, now: float) -> None:
        """What the running client was told of nodes may be true no more: it is told anew, once in V."""
        client = self.active
        if client is None or not client.told or client.stale:
            return
        client.stale = True
        soon = max(now + CHANGED, client.shown_at + self.limits.visible_wait)
        latest = client.shown_at + self.limits.visible_wait_again
        self._deadlines.set(("why", client.reservation), min(soon, latest))

    def _show(self, reservation: int, now: float, out: list[Action]) -> None:
        client = self._clients.of(reservation)
        if client is None:
            return
        client.stale = False
        reason = self.why(client, now)
        again = client.shown_at + self.limits.visible_wait_again
        if not reason:
            client.told = ""
            return
        if reason == client.told and now < again:
            self._deadlines.set(("why", reservation), again)
            return
        client.shown_at = now
        if client.incarnation != self.our:
            # A client of this process says it itself, once it has heard it.
            out.append(Note("warning", f"client {client.label} waits: {reason}"))
        self._clients.tell(client, self._clients.place(client), reason, out)
        self._deadlines.set(("why", reservation), now + self.limits.visible_wait_again)

    def status(self, now: float) -> dict[str, Any]:
        """Running and queued clients, nodes, servers (DS-19)."""
        waiting = {client.reservation: self.why(client, now) for client in self.queue.values()}
        if self.active is not None:
            waiting[self.active.reservation] = self.why(self.active, now)
        return {
            "stopping": self.stopping,
            "journal": self.unwritten,
            "active": survey.of_client(self.active, now, waiting) if self.active else None,
            "queue": [survey.of_client(client, now, waiting) for client in self.queue.values()],
            "nodes": [survey.of_node(node) for node in self.nodes.values()],
        }
