"""Clients: who waits, whose turn it is, and who of them is heard.

The register that the scheduler's machine keeps of its clients, and what they are told of their
places. It decides nothing: `turns` says when a turn begins and ends, `grants` which nodes it
brings, and both look here. Whoever the journal gave back is here again before anything else
happens (R-17).

Pure. Rules S1, S3, S4, S6, R-17, R-19.
"""

from __future__ import annotations

from typing import Any

from dispycos import messages as m
from dispycos.config import Limits
from dispycos.deadlines import Deadlines
from dispycos.events import Action, Dial, Say, StopDialling
from dispycos.model import Incarnation, Location
from dispycos.scheduler.events import DropClient, Entry, KeepLease, Restored
from dispycos.scheduler.roster import Client, ClientState, NodeState
from dispycos.story import About, Stories
from dispycos.wording import many


class Clients:
    """Those who wait, in the order of submission (DS-20), and the one whose turn it is.

    our            this process: a private scheduler's client is here, too.
    hold           H: seconds the work of a silent client is kept (R-19).
    longest_pulse  seconds; a client that asks for a longer pulse_interval gets this one (DS-18).
    restored       what the journal gave back (R-17).
    """

    def __init__(
        self,
        limits: Limits,
        deadlines: Deadlines[tuple[str, Any]],
        stories: Stories,
        *,
        our: Incarnation,
        hold: float,
        longest_pulse: float,
        restored: Restored,
    ) -> None:
        self.limits = limits
        self.active: Client | None = None  # whose turn it is, closing included
        self.queue: dict[int, Client] = {}  # by reservation, in order of submission
        self.connected = {our}  # processes with a live session, suspects included
        self.settling = restored.lost  # the journal is lost: a turn may still be claimed
        self.unwritten = ""  # why nothing can be written down: then no lease is given
        self.restored = sorted(restored.clients, key=lambda kept: kept.order)  # until `take_up`
        self._former_nodes = sorted(restored.nodes)
        self._hold = hold
        self._longest_pulse = longest_pulse
        self._order = 0
        self._of_peer: dict[Incarnation, dict[int, Client]] = {}  # a process's clients by ticket
        self._deadlines = deadlines
        self._stories = stories

    # Who is who.

    def knows(self, peer: Incarnation) -> bool:
        """Whether this process has a client that waits or runs."""
        return peer in self._of_peer

    def of(self, reservation: int) -> Client | None:
        """The client with this reservation."""
        if self.active is not None and self.active.reservation == reservation:
            return self.active
        return self.queue.get(reservation)

    def of_peer(self, peer: Incarnation) -> list[Client]:
        """The clients of one process."""
        return list(self._of_peer.get(peer, {}).values())

    def with_ticket(self, peer: Incarnation, ticket: int) -> Client | None:
        """The client that this process asked for by this ticket."""
        return self._of_peer.get(peer, {}).get(ticket)

    def spoken_by(self, peer: Incarnation, reservation: int, out: list[Action]) -> Client | None:
        """The client with this reservation if it is this process's; else that one registers again."""
        client = self.of(reservation)
        if client is not None and client.incarnation == peer:
            return client
        out.append(Say(peer, m.RegisterAgain(f"reservation {reservation} is not yours here")))
        return None

    def unclaimed_at(self, location: Location | None) -> list[Client]:
        """Clients of the journal that should be there, and have not come yet."""
        known = [client for client in (self.active, *self.queue.values()) if client is not None]
        return [c for c in known if not c.claimed and c.location is not None and c.location == location]

    def unkept(self) -> list[Client]:
        """Those whose request is not on disk yet."""
        return [client for client in self.queue.values() if not client.kept]

    # Coming and going.

    def enter(self, reservation: int, peer: Incarnation, message: m.Schedule, now: float) -> Client:
        """Queue a new client, as the last one."""
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
            message.pid,
        )
        self._of_peer.setdefault(peer, {})[message.ticket] = client
        self.queue[reservation] = client
        return client

    def take_up(self, now: float, out: list[Action]) -> None:
        """The clients of before our restart; each has to come and claim its place (R-17)."""
        for kept in self.restored:
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
            self.unheard(client, now)
            self._deadlines.set(("why", client.reservation), now + self.limits.visible_wait)
        self.restored = []
        if self.active is not None:
            self.unheard(self.active, now)

    def claimed(self, client: Client, out: list[Action]) -> None:
        """Its process has said that it still wants its place."""
        if not client.claimed:
            client.claimed = True
            if client.location is not None:
                out.append(StopDialling(client.location))

    def drop(self, client: Client, reason: str, now: float, out: list[Action]) -> None:
        """Forget a client that neither waits nor runs."""
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

    # Silence.

    def unheard(self, client: Client, now: float) -> None:
        """It is silent, or its silence is to be judged anew."""
        if client.unheard_since is None:
            client.unheard_since = now
        self._deadlines.set(("silent", client.reservation), client.unheard_since + self._patience(client))

    def heard(self, client: Client) -> None:
        """It is silent no more."""
        client.unheard_since = None
        self._deadlines.drop(("silent", client.reservation))

    def await_claim(self, client: Client, now: float) -> None:
        """It is alive, so it claims what it still wants soon (R-78)."""
        self._deadlines.set(("silent", client.reservation), now + self.limits.request_timeout)

    def silent_too_long(self, client: Client, gap_end: float, now: float) -> bool:
        """Whether it is to be given up; if not yet, that is asked again in time.

        gap_end  when our own clock last jumped: silence counts anew from there (R-46).
        """
        if client.unheard_since is None:
            return False
        patience = self._patience(client)
        if not client.claimed and client.incarnation in self.connected:
            patience = min(patience, self.limits.request_timeout)
        until = max(client.unheard_since, gap_end) + patience
        if now < until:
            self._deadlines.set(("silent", client.reservation), until)
            return False
        return True

    def _patience(self, client: Client) -> float:
        """Seconds a silent client is kept: H, or 2 Z where another one waits (R-19)."""
        if client is self.active and self.queue and client.silence:
            return min(2 * client.silence, self._hold)
        return self._hold

    # Waiting (S6).

    def why_queued(self, client: Client) -> str:
        """What a client in the queue waits for."""
        if self.unwritten:
            return f"the scheduler can't write down whose turn it is: {self.unwritten}"
        if self.settling:
            return "the scheduler lost its journal, and whoever holds the cluster may say so"
        if self.active is None:
            return f"client {client.label} is not heard"
        verb = "closes" if self.active.state is ClientState.CLOSING else "holds the cluster"
        return f"client {self.active.label} {verb}"

    def place(self, client: Client) -> int:
        """Its place in the queue, from 1; 0: it is not there."""
        return 1 + list(self.queue).index(client.reservation) if client.reservation in self.queue else 0

    def tell(self, client: Client, place: int, reason: str, out: list[Action]) -> None:
        """Tell a client what it waits for, also if it knows."""
        client.place, client.told = place, reason
        out.append(Say(client.incarnation, m.Queued(client.ticket, place, reason)))

    def tell_queue(self, out: list[Action]) -> None:
        """Whoever waits at another place than he was told, or for something else, is told."""
        for place, client in enumerate(self.queue.values(), 1):
            reason = self.why_queued(client)
            if client.kept and (place, reason) != (client.place, client.told):
                self.tell(client, place, reason, out)

    # What a journal keeps, and what is always true.

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

    def check(self) -> None:
        """Every invariant of the register."""
        orders = [client.order for client in self.queue.values()]
        assert orders == sorted(orders), "the queue is out of order"
        for place, client in enumerate(self.queue.values(), 1):
            assert client.place in (0, place), About(
                client.reservation, f"{client.name} is at place {place}, and was told {client.place}"
            )
            waits = client.state is ClientState.QUEUED and not client.nodes
            assert waits, About(
                client.reservation, f"{client.name} is queued, {client.state.value}, and has nodes"
            )
        if self.active is not None:
            assert self.active.state in (ClientState.SCHEDULED, ClientState.CLOSING)
            assert self.active.reservation not in self.queue
            granted = sum(node.state is NodeState.INITIALIZED for node in self.active.nodes.values())
            active = self.active
            assert granted == active.granted, About(
                active.reservation, f"{active.name} has {many(granted, 'node')} granted, not {active.granted}"
            )
            if active.state is ClientState.CLOSING:
                assert not active.nodes, About(
                    active.reservation, f"{active.name} is closing and holds nodes"
                )
                assert active.leaving, About(active.reservation, f"{active.name} is closed and kept")
        for clients in self._of_peer.values():
            for client in clients.values():
                assert client is self.active or self.queue.get(client.reservation) is client
