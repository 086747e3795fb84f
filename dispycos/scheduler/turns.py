"""Turns: when the cluster becomes a client's, and when it is no more.

One client at a time holds the cluster, in the order of submission (DS-20). The part of the
scheduler's machine that hears clients: they queue, claim what they held before, add rules, and
end their turn; who is proved dead, or silent for too long, loses it. `clients` is the register
that this goes by, and `grants` sees to the nodes of whoever runs.

Pure. Rules S1, S3, S6; R-17, R-22, R-54, R-78.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from dispycos import messages as m
from dispycos.config import Limits
from dispycos.deadlines import Deadlines
from dispycos.events import Action, Dial, Note, Say, StopDialling
from dispycos.model import Incarnation
from dispycos.scheduler import allocate
from dispycos.scheduler.clients import Clients
from dispycos.scheduler.events import Stopped
from dispycos.scheduler.grants import Grants
from dispycos.scheduler.roster import Client, ClientState
from dispycos.story import Stories
from dispycos.wording import listed, many


class Turns:
    """Begins and ends them.

    numbers     for reservations: none was ever used, here or elsewhere.
    journalled  `written` or `refuse_unkept` follows each new client's entry; until then it waits.
    our         this process, whose clients' work is known here.
    redact      patterns of names of arguments that no client's monitor is to show.
    """

    def __init__(
        self,
        limits: Limits,
        deadlines: Deadlines[tuple[str, Any]],
        stories: Stories,
        clients: Clients,
        grants: Grants,
        *,
        our: Incarnation,
        numbers: Iterator[int],
        journalled: bool,
        redact: Sequence[str],
    ) -> None:
        self.limits = limits
        self.stopping = ""  # why no client is taken any more
        self._stopped = False
        self._our = our
        self._follow = 0.0  # seconds between looks at the work of whose turn it is; 0: nobody looks
        self._numbers = numbers
        self._journalled = journalled
        self._redact = list(redact)
        self._deadlines = deadlines
        self._stories = stories
        self._clients = clients
        self._grants = grants

    # Into the queue.

    def schedule(self, peer: Incarnation, message: m.Schedule, now: float, out: list[Action]) -> None:
        """A client wants the cluster, or says again that it does."""
        if message.reservation:
            self._claim(peer, message, now, out)
            return
        clients = self._clients
        known = clients.with_ticket(peer, message.ticket)
        if known is not None:
            clients.claimed(known, out)
            self._grants.not_held(known, out)
            self.heard(peer, now, out)
            if known.kept:
                self._tell_again(known, out)
            return
        if why := self._why_refused():
            out.append(Say(peer, m.ScheduleRefused(message.ticket, why)))
            return
        client = clients.enter(next(self._numbers), peer, message, now)
        client.kept = not self._journalled
        out.append(client.entry())
        self._stories.add(client.reservation, now, f"client {client.label} queued")
        if clients.active is not None and clients.active.unheard_since is not None:
            clients.unheard(clients.active, now)
        if client.kept:
            self._admit(client, now, out)

    def _why_refused(self) -> str:
        """Why nobody new is queued; "" if he is."""
        clients = self._clients
        if self.stopping:
            return self.stopping
        if len(clients.queue) >= self.limits.max_queued_clients:
            return f"{many(len(clients.queue), 'client waits', 'clients wait')} already"
        if clients.unwritten:
            return f"the scheduler can't write down who waits: {clients.unwritten}"
        return ""

    def _admit(self, client: Client, now: float, out: list[Action]) -> None:
        """It waits, and nothing that happens to us makes it lose its place."""
        self.begin_next(now, out)
        if client.state is ClientState.QUEUED:
            self._deadlines.set(("why", client.reservation), now + self.limits.visible_wait)

    def _tell_again(self, client: Client, out: list[Action]) -> None:
        clients = self._clients
        if client.state is ClientState.QUEUED:
            clients.tell(client, clients.place(client), clients.why_queued(client), out)
        elif client.state is ClientState.SCHEDULED:
            self._say_scheduled(client, client.ticket, out)
            self._grants.grant_again(client, out)

    def _say_scheduled(self, client: Client, ticket: int, out: list[Action]) -> None:
        """Its turn has come, or it has it still; under the number that it asked with now, or at first."""
        out.append(Say(client.incarnation, m.Scheduled(ticket, client.reservation, self._redact)))
        if self._follow:
            self._ask_for_work(client, out)

    def _ask_for_work(self, client: Client, out: list[Action]) -> None:
        if client.incarnation != self._our:
            out.append(Say(client.incarnation, m.TellDemand(client.reservation, self._follow)))

    def admit_kept(self, now: float, out: list[Action]) -> None:
        """All entries are on disk: whoever waited for that is in the queue for good."""
        for client in self._clients.unkept():
            client.kept = True
            self._admit(client, now, out)

    def refuse_unkept(self, reason: str, now: float, out: list[Action]) -> None:
        """Entries can't be written: whoever is not on disk has to come again."""
        for client in self._clients.unkept():
            out.append(Say(client.incarnation, m.ScheduleRefused(client.ticket, self._why_refused())))
            self._leave(client, reason, now, out)

    # Claims: what somebody held before we, or it, lost sight of the other (S3).

    def _claim(self, peer: Incarnation, message: m.Schedule, now: float, out: list[Action]) -> None:
        clients = self._clients
        client = clients.of(message.reservation)
        if client is None and clients.active is None and not self.stopping:
            # Our journal is lost: what the living say is the truth now.
            self._begin(clients.enter(message.reservation, peer, message, now), now, out)
            if clients.settling:
                self.settled(now, out)
            else:
                clients.tell_queue(out)
            return
        if client is None or client.incarnation != peer or not self._may_claim(client):
            out.append(Say(peer, m.ScheduleRefused(message.ticket, "that turn is over")))
            return
        client.rules = message.rules[: self.limits.max_client_rules]
        client.pid = message.pid
        clients.claimed(client, out)
        if client.state is ClientState.QUEUED:
            self._overtake(client, now, out)
            return
        self.heard(peer, now, out)
        if client.state is ClientState.SCHEDULED:
            self._say_scheduled(client, message.ticket, out)
            self._grants.grant_again(client, out)
            self._dial_rules(client, out)
            self._grants.consider_all(now, out)

    def _may_claim(self, client: Client) -> bool:
        """In the journal's queue, it may hold the cluster all the same: that could not be written (R-22)."""
        if client.state is not ClientState.QUEUED:
            return True
        active = self._clients.active
        overtaken = active is None or not active.claimed
        return not client.claimed and overtaken and not self.stopping

    def _overtake(self, client: Client, now: float, out: list[Action]) -> None:
        """It holds the cluster and goes on, at once: what waits behind it does so in its order."""
        clients = self._clients
        clients.heard(client)
        client.holds = True
        clients.queue = {client.reservation: client, **clients.queue}
        if clients.active is not None:
            reason = f"client {client.label} holds the cluster by now"
            self._leave(clients.active, reason, now, out, lost=True)
        else:
            self.begin_next(now, out)

    def settled(self, now: float, out: list[Action]) -> None:
        """After a loss of the journal: whoever held the cluster has said so, or had the time to."""
        self._clients.settling = False
        self._grants.settled(out)
        self._deadlines.drop(("settle", 0))
        self.begin_next(now, out)

    # The beginning of a turn.

    def begin_next(self, now: float, out: list[Action]) -> None:
        """If nobody holds the cluster, it is the turn of the first who waits and is heard.

        Whoever still waits is told for what, if that is news.
        """
        clients = self._clients
        if clients.active is None and not self.stopping:
            for client in clients.queue.values():
                if self._may_begin(client):
                    self._begin(client, now, out)
                    break
        clients.tell_queue(out)
        if clients.active is None and self.stopping and not self._stopped:
            self._stopped = True
            out.append(Stopped(self.stopping))

    def _may_begin(self, client: Client) -> bool:
        if client.holds:
            return True  # nothing begins: it had its turn before
        # A turn that could not be written down would be another's after a restart.
        waits = self._clients.unwritten or self._clients.settling or not client.kept
        return not waits and client.unheard_since is None

    def _begin(self, client: Client, now: float, out: list[Action]) -> None:
        clients = self._clients
        del clients.queue[client.reservation]
        client.move("schedule")
        client.since = now
        client.place, client.told = 0, ""
        clients.active = client
        self._stories.add(client.reservation, now, f"turn of client {client.label}")
        out.append(client.entry())
        self._say_scheduled(client, client.ticket, out)
        out.append(Note("info", f"client {client.label} is scheduled"))
        # Most who wait with no node at all have started none, or can't reach it.
        patience = self.limits.visible_wait if self._grants.nodes else self.limits.first_word
        self._deadlines.set(("why", client.reservation), now + patience)
        self._dial_rules(client, out)
        self._grants.adopt_foreign(client, now, out)
        self._grants.consider_all(now, out)

    def _dial_rules(self, client: Client, out: list[Action]) -> None:
        """Nodes that rules name are contacted, and retried while the turn lasts (DC-05)."""
        for rule in client.rules:
            location = allocate.concrete(rule)
            if location is not None and location not in client.dialled:
                client.dialled.add(location)
                out.append(Dial(location))

    # What its client says.

    def add_rule(self, peer: Incarnation, message: m.AddRule, now: float, out: list[Action]) -> None:
        """One more rule, for the nodes that are free and those to come."""
        client = self._clients.spoken_by(peer, message.reservation, out)
        if client is None:
            return
        if len(client.rules) >= self.limits.max_client_rules:
            out.append(
                Note("warning", f"client {client.label} has {len(client.rules)} rules: one more is ignored")
            )
            return
        client.rules.append(message.rule)
        out.append(client.entry())
        if client.state is ClientState.SCHEDULED:
            self._dial_rules(client, out)
            self._grants.consider_all(now, out)

    def return_node(self, peer: Incarnation, message: m.ReturnNode, now: float, out: list[Action]) -> None:
        """It gives a node back."""
        client = self._clients.spoken_by(peer, message.reservation, out)
        if client is not None and client.state is ClientState.SCHEDULED:
            self._grants.returned(client, message, now, out)

    def counts(self, peer: Incarnation, message: m.Counts, now: float, out: list[Action]) -> None:
        """What its tasks came to."""
        client = self._clients.spoken_by(peer, message.reservation, out)
        if client is not None:
            client.counts = message

    def demand(self, peer: Incarnation, message: m.Demand, now: float, out: list[Action]) -> None:
        """The work that it has."""
        client = self._clients.spoken_by(peer, message.reservation, out)
        if client is not None:
            client.demand = message

    def follow(self, every: float, out: list[Action]) -> None:
        """Have whose turn it is say its work every so many seconds, if it is another; 0: no more."""
        if every == self._follow:
            return
        self._follow = every
        active = self._clients.active
        if active is not None and active.state is ClientState.SCHEDULED:
            active.demand = None
            self._ask_for_work(active, out)

    def unschedule(self, peer: Incarnation, message: m.Unschedule, now: float, out: list[Action]) -> None:
        """It wants the cluster no more; it may not have heard yet that it has it."""
        client = self._clients.with_ticket(peer, message.ticket)
        if client is not None:
            self._leave(client, "taken off by its client", now, out)

    def close_client(self, peer: Incarnation, message: m.CloseClient, now: float, out: list[Action]) -> None:
        """It ends its turn."""
        client = self._clients.of(message.reservation)
        if client is None or client.incarnation != peer:
            out.append(Say(peer, m.ClientEnded(message.reservation, "that turn is over")))
            return
        self._leave(client, "its client closed it", now, out)

    # Whether it is heard.

    def heard(self, peer: Incarnation, now: float, out: list[Action]) -> None:
        """This process is heard again, and with it its clients."""
        for client in self._clients.of_peer(peer):
            if client.claimed and client.unheard_since is not None:
                self._clients.heard(client)
                if client is self._clients.active:
                    # Nothing was granted to it meanwhile.
                    self._grants.consider_all(now, out)
        self.begin_next(now, out)

    def silence_due(self, reservation: int, now: float, out: list[Action]) -> None:
        """A client may have been silent for too long (R-19)."""
        client = self._clients.of(reservation)
        if client is None or client.unheard_since is None:
            return
        if self._clients.silent_too_long(client, self._grants.gap_end, now):
            reason = f"client {client.label} was not heard for {now - client.unheard_since:.0f} s"
            out.append(Note("warning", reason))
            self._leave(client, reason, now, out, lost=True)

    def gone(self, client: Client, evidence: str, now: float, out: list[Action]) -> None:
        """Its process is proved dead (R-78)."""
        reason = f"client {client.label} is gone: {evidence}"
        out.append(Note("info", reason))
        self._leave(client, reason, now, out, lost=True)

    # The end of a turn.

    def _leave(self, client: Client, reason: str, now: float, out: list[Action], lost: bool = False) -> None:
        """Off the queue, or its turn ends. `lost`: there is nobody to wait for or to tell."""
        if client.state is ClientState.QUEUED:
            client.move("leave")
            del self._clients.queue[client.reservation]
            self._clients.drop(client, reason, now, out)
            self._grants.not_held(client, out)
            self._clients.tell_queue(out)
            return
        ends = client.state is ClientState.SCHEDULED
        if ends:
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
        if ends and client.state is ClientState.CLOSING:
            self._clients.tell_queue(out)

    def _over_if_empty(self, client: Client, now: float, out: list[Action]) -> None:
        if client.state is ClientState.CLOSING and not client.leaving:
            self._over(client, now, out)

    def _over(self, client: Client, now: float, out: list[Action]) -> None:
        client.move("over")
        self._grants.turn_over(client)
        self._clients.active = None
        out.append(Say(client.incarnation, m.ClientEnded(client.reservation, client.reason)))
        self._clients.drop(client, client.reason, now, out)
        self.begin_next(now, out)

    def closing_due(self, reservation: int, now: float, out: list[Action]) -> None:
        """Its nodes have had the time to let go."""
        client = self._clients.active
        if client is not None and client.reservation == reservation and client.state is ClientState.CLOSING:
            names = listed([node.facts.name for node in client.leaving.values()])
            text = f"nodes that have not let go of client {client.label} in time: {names}"
            out.append(Note("warning", text))
            self._grants.client_gone(client)
            self._over(client, now, out)

    def node_left(self, client: Client, now: float, out: list[Action]) -> None:
        """The client lost a node, or a node has let go of it."""
        if client.state is ClientState.CLOSING:
            self._over_if_empty(client, now, out)
        elif client.state is ClientState.SCHEDULED:
            self._deadlines.set_if_none(("why", client.reservation), now + self.limits.visible_wait)
            if client.went_idle and not client.nodes:
                # Every node closed it for idleness: so is the client (DS-14).
                self._leave(client, "it ran nothing for too long", now, out)

    def stop(self, reason: str, terminate: bool, now: float, out: list[Action]) -> None:
        """Take no client any more; the running one is asked to end, or ended (`terminate`)."""
        first = not self.stopping
        self.stopping = self.stopping or reason or "the scheduler ends"
        for client in list(self._clients.queue.values()):
            out.append(Say(client.incarnation, m.ScheduleRefused(client.ticket, reason)))
            self._leave(client, reason, now, out)
        active = self._clients.active
        if active is not None and terminate:
            self._leave(active, reason, now, out)
        elif active is not None and first and active.state is ClientState.SCHEDULED:
            out.append(Say(active.incarnation, m.CloseAsked(active.reservation, False, reason)))
        self.begin_next(now, out)

    def check(self) -> None:
        """Nobody waits for a turn that is free."""
        assert self._journalled or not self._clients.unkept()
        if self._clients.active is None and not self.stopping:
            waiting = [client for client in self._clients.queue.values() if self._may_begin(client)]
            assert not waiting, "clients wait and nobody runs"
