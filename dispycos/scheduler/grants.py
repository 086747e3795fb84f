"""Grants: which node the running client holds, under which lease, and what becomes of it.

The part of the scheduler's machine that decides about nodes; whose turn it is, `turns` decides
and `clients` knows. Lease numbers only rise; each grant has its own, which its renewals
keep. A node is free again only when it says so itself: Released, then NodeHere.

Pure. Rules S1 to S3, S5, R-13, R-34 to R-37, R-46, R-78.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dispycos import messages as m
from dispycos.config import Limits
from dispycos.deadlines import Deadlines
from dispycos.events import Action, Dial, Note, Say
from dispycos.model import Incarnation
from dispycos.scheduler import audit
from dispycos.scheduler.clients import Clients
from dispycos.scheduler.events import KeepLease
from dispycos.scheduler.judge import Judge
from dispycos.scheduler.roster import HELD, Client, ClientState, Node, NodeState
from dispycos.story import Stories


class Grants:
    """The nodes, by incarnation.

    our          incarnations that reservations of ours may name: this process and its forerunners.
    on_node_left told when a client lost a node, or a node has let go of one.
    """

    def __init__(
        self,
        limits: Limits,
        deadlines: Deadlines[Any],
        stories: Stories,
        clients: Clients,
        *,
        our: frozenset[Incarnation],
        last_lease: int,
        idle_limit: float,
        hold: float,
        max_file_bytes: int,
        on_node_left: Callable[[Client, float, list[Action]], None],
    ) -> None:
        self.limits = limits
        self.nodes: dict[Incarnation, Node] = {}
        self.free: dict[Incarnation, Node] = {}  # those in state discovered
        self.lost: tuple[str, float] | None = None  # the node that was lost last: its name, and when
        self.last_lease = last_lease
        self.gap_end = 0.0  # when our own clock last jumped
        self._our = our
        self._over: deque[int] = deque(maxlen=limits.max_ended_records)  # reservations of turns that ended
        self._idle_limit = idle_limit
        self._hold = hold
        self._max_file_bytes = max_file_bytes
        self._deadlines = deadlines
        self._stories = stories
        self.clients = clients
        self._on_node_left = on_node_left
        self.judge = Judge(limits, deadlines, clients, self._reserve)

    # What a node says of itself.

    def here(self, peer: Incarnation, message: m.NodeHere, now: float, out: list[Action]) -> None:
        """It registers: at each session, on RegisterAgain, when something changed."""
        facts = message.facts
        if facts.incarnation != peer:
            # Who speaks is known from its proof, whatever it says.
            facts = replace(facts, incarnation=peer)
        node = self.nodes.get(peer)
        if node is None:
            node = self.nodes[peer] = Node(facts)
            self._stories.add(peer, now, f"here at {facts.location}")
        node.facts = facts
        node.avail = facts.avail
        node.living = message.servers
        node.last_heard = now
        node.open = message.open
        node.refused = node.why = ""
        self._heard(node, now, out)
        self.last_lease = max(self.last_lease, message.lease)
        node.foreign = 0
        if message.reservation == 0:
            self._says_free(node, now, out)
        elif node.state in HELD or node.state is NodeState.RELEASING:
            # It holds what we gave it, or has not heard yet that it is over.
            assert node.client is None or node.lease
        else:
            self._says_taken(node, message, now, out)
        self.settle(node, now, out)

    def _says_free(self, node: Node, now: float, out: list[Action]) -> None:
        if node.state is NodeState.RELEASING:
            self._let_go(node, now, out)
        elif node.state in (NodeState.INITIALIZED, NodeState.ZOMBIE):
            # It knows nothing of its grant: reconcile, never assume (S3).
            self._left(node, "the node forgot its reservation", True, now, out)

    def _says_taken(self, node: Node, message: m.NodeHere, now: float, out: list[Action]) -> None:
        client = self.clients.of(message.reservation)
        wanted = client is not None and client.state is ClientState.SCHEDULED
        if client is not None and wanted and node.incarnation not in client.excluded:
            self._adopt(node, client, message.lease, now, out)
            return
        ours = message.scheduler in self._our
        if client is None:
            over = message.reservation in self._over or (ours and not self.clients.settling)
        else:
            # In the journal's queue, it may hold the cluster all the same, and claim that yet.
            over = client.claimed or client.state is not ClientState.QUEUED
        if over:
            text = "that turn is over"
            out.append(Say(node.incarnation, m.Release(message.reservation, True, text, message.lease)))
            if node.state is NodeState.DISCOVERED:
                self._move(node, "suspend", now)
            self._move(node, "release", now)
            node.lease = message.lease
            node.why = text
        else:
            node.foreign = message.reservation
            node.former = ours
            node.lease = message.lease

    def _adopt(self, node: Node, client: Client, lease: int, now: float, out: list[Action]) -> None:
        """Take up a grant from before our restart (R-17)."""
        if node.state is NodeState.DISCOVERED:
            self._move(node, "suspend", now)
        node.foreign = 0
        node.client = client
        node.lease = lease
        node.servers = node.servers or node.facts.cpus
        node.pulse = node.pulse or client.pulse
        client.nodes[node.incarnation] = node
        self._move(node, "adopt", now)
        self._granted(node, client, now, out)
        self._renew(node, client, now, out)

    def adopt_foreign(self, client: Client, now: float, out: list[Action]) -> None:
        """A client claimed a turn that nodes named before it did."""
        for node in list(self.nodes.values()):
            if node.foreign == client.reservation and node.state is NodeState.SUSPENDED:
                self._adopt(node, client, node.lease, now, out)

    def settled(self, out: list[Action]) -> None:
        """What nobody has claimed is over: each node says again what it holds, and is told."""
        for node in self.nodes.values():
            if node.former and node.foreign:
                out.append(Say(node.incarnation, m.RegisterAgain("nobody claimed the turn you serve")))

    def not_held(self, client: Client, out: list[Action]) -> None:
        """It waits, or left: each node that serves it as if it had its turn says so again, and is told."""
        for node in self.nodes.values():
            if node.foreign == client.reservation:
                out.append(Say(node.incarnation, m.RegisterAgain("that client does not hold the cluster")))

    def pulse(self, peer: Incarnation, message: m.Pulse, now: float, out: list[Action]) -> None:
        """A sign of life; answered by Renew if the node holds what we gave it."""
        node = self.nodes.get(peer)
        if node is None:
            out.append(Say(peer, m.RegisterAgain("this scheduler does not know you")))
            return
        node.last_heard = now
        client = node.client
        if client is not None and message.reservation == client.reservation:
            node.living = message.servers
            if node.state is NodeState.ZOMBIE:
                self._heard(node, now, out)
            if node.state is NodeState.INITIALIZED:
                self._renew(node, client, now, out)
        elif message.reservation and not node.foreign and node.state is not NodeState.RELEASING:
            # Pulse and our record disagree: its NodeHere decides (S3).
            out.append(
                Say(peer, m.RegisterAgain(f"reservation {message.reservation} is not the one you hold"))
            )
        node.avail = message.avail
        if message.reservation == 0 and node.state is NodeState.DISCOVERED:
            self.judge.consider(node, now, out)

    def reserved(self, peer: Incarnation, message: m.Reserved, now: float, out: list[Action]) -> None:
        """It serves the client from now on."""
        node = self.nodes.get(peer)
        if node is None or node.client is None or node.client.reservation != message.reservation:
            return
        node.last_heard = now
        if node.state is not NodeState.RESERVING or message.lease not in (0, node.lease):
            return  # the answer to an earlier question, which it was too late for
        client = node.client
        node.pulse = message.pulse_interval or client.pulse
        self._move(node, "reserved", now)
        self._granted(node, client, now, out)

    def _granted(self, node: Node, client: Client, now: float, out: list[Action]) -> None:
        client.granted += 1
        node.since = node.last_heard = now
        self._arm_silence(node, client, now)
        self._say_granted(node, client, out)

    def grant_again(self, client: Client, out: list[Action]) -> None:
        """The client is back: it hears again what is its own (S3)."""
        for node in client.nodes.values():
            if node.state in (NodeState.INITIALIZED, NodeState.ZOMBIE):
                self._say_granted(node, client, out)

    def _say_granted(self, node: Node, client: Client, out: list[Action]) -> None:
        facts, pulse = node.described(), node.pulse
        granted = m.NodeGranted(client.reservation, node.lease, facts, node.servers, pulse)
        out.append(Say(client.incarnation, granted))

    def refused(self, peer: Incarnation, message: m.ReserveRefused, now: float, out: list[Action]) -> None:
        """It can't serve the client; it says NodeHere when that changes."""
        node = self.nodes.get(peer)
        if node is None or node.client is None or node.client.reservation != message.reservation:
            return
        node.refused = message.reason
        if node.state is NodeState.RELEASING:
            self._let_go(node, now, out)
        if node.state is not NodeState.RESERVING or node.client is None:
            return
        client = node.client
        self._detach(node, client)
        self._move(node, "refused", now)
        self.judge.ignore(node, client, f"it refused: {message.reason}", out)
        self._on_node_left(client, now, out)

    def released(self, peer: Incarnation, message: m.Released, now: float, out: list[Action]) -> None:
        """Nothing of a reservation is left there; NodeHere follows and frees it."""
        node = self.nodes.get(peer)
        if node is None or message.lease not in (0, node.lease):
            return
        node.last_heard = now
        client = node.client
        if node.state is NodeState.RELEASING:
            if client is not None:
                client.leaving.pop(peer, None)
                node.client = None
                self._on_node_left(client, now, out)
        elif node.state in HELD and client is not None and client.reservation == message.reservation:
            client.went_idle |= message.idle
            self._left(node, message.reason or "the node ended the work", message.again, now, out)

    def _left(self, node: Node, reason: str, again: bool, now: float, out: list[Action]) -> None:
        """It ended the client's work by itself."""
        client = node.client
        assert client is not None
        if not again:
            client.excluded.add(node.incarnation)
        was_granted = node.state is not NodeState.RESERVING
        self._detach(node, client)
        self._move(node, "left", now)
        # NodeHere says when it is free.
        node.why = reason
        if was_granted:
            text = f"node {node.facts.name}: {reason}"
            withdrawn = m.NodeWithdrawn(client.reservation, node.incarnation, text, left=True)
            out.append(Say(client.incarnation, withdrawn))
        self._on_node_left(client, now, out)

    def _let_go(self, node: Node, now: float, out: list[Action]) -> None:
        client = node.client
        node.client = None
        self._move(node, "let go", now)
        if client is not None and client.leaving.pop(node.incarnation, None) is not None:
            self._on_node_left(client, now, out)

    # Sessions.

    def peer_suspect(self, node: Node, now: float, out: list[Action]) -> None:
        node.suspect = True
        self.settle(node, now, out)

    def peer_back(self, node: Node, now: float, out: list[Action]) -> None:
        node.suspect = False
        node.last_heard = now
        self._heard(node, now, out)
        self.settle(node, now, out)

    def peer_lost(self, node: Node, reason: str, now: float, out: list[Action]) -> None:
        """Its process is gone: withdrawn at once (R-11)."""
        incarnation = node.incarnation
        client = node.client
        told = node.state in (NodeState.INITIALIZED, NodeState.ZOMBIE)
        self.free.pop(incarnation, None)
        self._deadlines.drop(("node", incarnation))
        self.judge.forget(node)
        if client is not None:
            self._detach(node, client)
        self._move(node, "lost", now)
        del self.nodes[incarnation]
        active = self.clients.active
        if active is not None:
            active.excluded.discard(incarnation)
            active.ignored.pop(incarnation, None)
            if node.facts.location in active.dialled:
                out.append(Dial(node.facts.location))
        text = f"node {node.facts.name} at {node.facts.location} is gone: {reason}"
        out.append(Note("info", text))
        self.lost = node.facts.name, now
        if client is not None:
            if told:
                withdrawn = m.NodeWithdrawn(client.reservation, incarnation, text)
                out.append(Say(client.incarnation, withdrawn))
            self._on_node_left(client, now, out)

    def settle(self, node: Node, now: float, out: list[Action]) -> None:
        """Make a node that nobody holds discovered or suspended, as it is; offer it if it is free."""
        if node.state is NodeState.SUSPENDED and node.free:
            self._move(node, "free", now)
            self.free[node.incarnation] = node
            self.judge.consider(node, now, out)
        elif node.state is NodeState.DISCOVERED and not node.free:
            self.judge.forget(node)
            self._move(node, "suspend", now)
        elif node.state is NodeState.DISCOVERED:
            self.judge.consider(node, now, out)

    # Granting.

    def consider_all(self, now: float, out: list[Action]) -> None:
        """A turn began, or its rules grew: every free node is judged."""
        for node in list(self.free.values()):
            self.judge.consider(node, now, out)

    def _reserve(self, node: Node, client: Client, servers: int, now: float, out: list[Action]) -> None:
        incarnation = node.incarnation
        seconds = self.limits.zombie_pulses * client.pulse
        # A number is used once, whatever becomes of this grant (S2, R-35).
        self.last_lease += 1
        node.lease = self.last_lease
        node.lease_until = now + seconds
        node.client = client
        node.servers = servers
        client.nodes[incarnation] = node
        client.ignored.pop(incarnation, None)
        self._move(node, "reserve", now)
        self._deadlines.set(("node", incarnation), now + self.limits.request_timeout)
        out.append(KeepLease(node.lease, client.reservation, incarnation, node.facts.location))
        out.append(
            Say(
                incarnation,
                m.Reserve(
                    client.reservation,
                    node.lease,
                    seconds,
                    client.incarnation,
                    servers,
                    client.pulse,
                    self._idle_limit,
                    self._hold,
                    self._max_file_bytes,
                ),
            )
        )

    def _renew(self, node: Node, client: Client, now: float, out: list[Action]) -> None:
        # The same words at each pulse: made once a grant (P10).
        renewal = node.renewal
        if renewal is None or renewal.message.lease != node.lease:
            seconds = self.limits.zombie_pulses * (node.pulse or client.pulse)
            message = m.Renew(client.reservation, node.lease, seconds)
            renewal = node.renewal = Say(node.incarnation, message)
        node.lease_until = now + renewal.message.lease_time
        out.append(renewal)

    # Letting go.

    def release(self, node: Node, reason: str, now: float, out: list[Action]) -> None:
        """Tell a node that its grant is over; it is waited for if it can be heard."""
        client = node.client
        assert client is not None
        heard = not node.suspect and node.state is not NodeState.ZOMBIE
        self._detach(node, client)
        self._move(node, "release", now)
        self._deadlines.drop(("node", node.incarnation))
        node.client = client
        node.why = reason
        if heard:
            client.leaving[node.incarnation] = node
        out.append(Say(node.incarnation, m.Release(client.reservation, True, reason, node.lease)))

    def returned(self, client: Client, message: m.ReturnNode, now: float, out: list[Action]) -> None:
        """The client gave a node back."""
        if not message.again and message.node in self.nodes:
            client.excluded.add(message.node)
        node = client.nodes.get(message.node)
        if node is not None and message.lease in (0, node.lease):
            self.release(node, "the client gave it back", now, out)
            self._on_node_left(client, now, out)

    def _detach(self, node: Node, client: Client) -> None:
        if node.state is NodeState.INITIALIZED:
            client.granted -= 1
        client.nodes.pop(node.incarnation, None)
        client.leaving.pop(node.incarnation, None)
        node.client = None

    def turn_over(self, client: Client) -> None:
        """Whoever comes later and still holds something of its turn is to let go."""
        self._over.append(client.reservation)

    def client_gone(self, client: Client) -> None:
        """Its turn is over: what still lets go does so for nobody."""
        for node in client.leaving.values():
            node.client = None
        client.leaving.clear()

    # Silence.

    def _silence(self, node: Node, client: Client) -> float:
        if not client.silence:
            return 0.0
        return max(client.silence, self.limits.zombie_pulses * node.pulse)

    def _arm_silence(self, node: Node, client: Client, now: float) -> None:
        silence = self._silence(node, client)
        if silence:
            self._deadlines.set(("node", node.incarnation), now + silence)
        else:
            self._deadlines.drop(("node", node.incarnation))

    def _heard(self, node: Node, now: float, out: list[Action]) -> None:
        client = node.client
        if node.state is not NodeState.ZOMBIE or client is None:
            return
        self._move(node, "heard", now)
        client.granted += 1
        self._arm_silence(node, client, now)
        self._renew(node, client, now, out)
        renewed = m.LeaseRenewed(client.reservation, node.incarnation, node.lease)
        out.append(Say(client.incarnation, renewed))

    def due(self, incarnation: Incarnation, now: float, out: list[Action]) -> None:
        """A node did not answer Reserve in time, or may be silent for too long."""
        node = self.nodes.get(incarnation)
        if node is None or node.client is None:
            return
        client = node.client
        if node.state is NodeState.RESERVING:
            self.release(node, "it did not answer in time", now, out)
            self.judge.ignore(node, client, "it did not answer in time", out)
            self._on_node_left(client, now, out)
        elif node.state is NodeState.INITIALIZED:
            until = max(node.last_heard, self.gap_end) + self._silence(node, client)
            if now < until:
                self._deadlines.set(("node", incarnation), until)
                return
            client.granted -= 1
            self._move(node, "silent", now)
            text = f"node {node.facts.name} at {node.facts.location} was not heard for {client.silence:g} s"
            out.append(Note("warning", text))
            if client.abandon:
                withdrawn = m.NodeWithdrawn(client.reservation, incarnation, text, silent=True)
                self.release(node, "it was silent and given up", now, out)
                out.append(Say(client.incarnation, withdrawn))
            self._on_node_left(client, now, out)

    def _move(self, node: Node, cause: str, now: float) -> None:
        if node.state is NodeState.DISCOVERED:
            self.free.pop(node.incarnation, None)
        node.move(cause)
        self._stories.add(node.incarnation, now, f"{cause}: {node.state.value}")

    def check(self) -> None:
        """Assert every invariant of nodes and grants."""
        audit.check(self)

    def compare(self, peer: Incarnation, message: m.NodeHere) -> None:
        """Assert, before it is heard, that the lease which a node says it holds can be ours (R-62)."""
        audit.compare(self, peer, message)
