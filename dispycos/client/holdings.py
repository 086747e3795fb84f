"""Holdings: the nodes that a client holds, from NodeGranted to given back or gone.

The part of the fleet that decides about nodes: which is dialled, prepared, silent, given up,
closed, and what is told when it is gone. `crew` decides about their servers, `fleet` hands
over what concerns nodes and gives the program's orders.

What was given back is never used again under the same grant: its lease number names it (S2).

Pure. Rules S1 to S3, R-09, R-11 to R-14, R-36, R-46, R-47, R-67, R-92.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dispycos import messages as m
from dispycos.client import orders as o
from dispycos.client.crew import Crew, CrewPlan
from dispycos.client.members import Node, NodeState
from dispycos.client.submission import NodeGone
from dispycos.client.turn import Turn
from dispycos.config import Limits
from dispycos.deadlines import Deadlines
from dispycos.events import Action, Dial, Note, Say, StopDialling
from dispycos.model import DispycosStatus, End, Incarnation, Location, Payload, Status
from dispycos.story import Stories

_NORMAL = (Status.NodeInitialized, Status.NodeResumed)


class Holdings:
    """Nodes by incarnation.

    peers    live sessions and whether each is suspect; the fleet keeps it.
    code, setup  what Prepare carries; `setup` where no arguments were given.
    files    SendFiles goes before Prepare (DC-03).
    wait     disable_nodes: a node waits to be enabled (DC-10).
    on_gone  told when a node is gone.
    """

    def __init__(
        self,
        limits: Limits,
        turn: Turn,
        plan: CrewPlan,
        deadlines: Deadlines[Any],
        stories: Stories,
        peers: dict[Incarnation, bool],
        *,
        code: Payload,
        setup: Payload | None,
        files: bool,
        wait: bool,
        on_gone: Callable[[float, list[Action]], None],
    ) -> None:
        self.limits = limits
        self.nodes: dict[Incarnation, Node] = {}
        self.at: dict[Location, Incarnation] = {}  # the nodes, by where they are dialled
        self.returned: dict[Incarnation, tuple[int, bool]] = {}  # live nodes given back: lease, again
        self.to_release: dict[Incarnation, int] = {}  # nodes that may not know that they are free: lease
        self.gap_end = 0.0  # when our own clock last jumped
        self.last_gone = ""  # why the last node that was ours is not any more; "": none was ours yet
        self.crew = Crew(limits, plan, deadlines, stories)
        plan.on_empty = self._emptied
        self._turn = turn
        self._plan = plan
        self._deadlines = deadlines
        self._stories = stories
        self._peers = peers
        self._code = code
        self._setup = setup
        self._files = files
        self._wait = wait
        self._on_gone = on_gone
        self.said: dict[type[Any], Callable[[Node, Any, float, list[Action]], None]] = {
            m.Prepared: self._prepared,
            m.PrepareFailed: self._prepare_failed,
            m.ServerStarted: self._server_started,
            m.ServerEnded: self._server_ended,
            m.ServerDelayed: self._server_delayed,
            m.NodeReport: self._node_report,
            m.NodeOpen: self._node_open,
            m.Released: self._released,
        }

    # What the scheduler says of nodes.

    def granted(self, message: m.NodeGranted, now: float, out: list[Action]) -> None:
        """A node is ours, unless we gave it back before (R-36)."""
        facts = message.facts
        incarnation = facts.incarnation
        node = self.nodes.get(incarnation)
        if node is not None and node.lease == message.lease:
            node.facts = facts
            return
        lease, again = self.returned.get(incarnation, (0, True))
        if message.lease <= lease or not again:
            # The scheduler did not hear of it.
            said = m.ReturnNode(self._turn.reservation, incarnation, again, message.lease)
            assert self._turn.scheduler is not None
            out.append(Say(self._turn.scheduler, said))
            return
        if node is not None:
            self.gone(node, "it was granted anew", End.NODE_LOST, True, now, out)
        former = self.nodes.get(self.at.get(facts.location, incarnation))
        if former is not None:
            # Two processes can't listen at one address: the former one is dead (rule 5, R-67).
            self.give_back(former, True, out)
            text = f"another process answers at {facts.location}"
            self.gone(former, text, End.NODE_LOST, True, now, out)
        self.returned.pop(incarnation, None)
        self.to_release.pop(incarnation, None)
        self._add(message, now, out)

    def _add(self, message: m.NodeGranted, now: float, out: list[Action]) -> None:
        facts = message.facts
        incarnation = facts.incarnation
        silence = self._turn.silence
        if silence:
            silence = max(silence, self.limits.zombie_pulses * message.pulse_interval)
        node = Node(
            facts,
            message.lease,
            message.servers,
            silence,
            now,
            up=incarnation in self._peers,
            suspect=self._peers.get(incarnation, False),
            enabled=not self._wait,
            setup=self._setup,
        )
        self.nodes[incarnation] = node
        self.at[node.location] = incarnation
        self._stories.add(incarnation, now, f"granted under lease {message.lease}")
        self._notify(node, Status.NodeDiscovered, out)
        if silence:
            self._deadlines.set(("node", incarnation), now + silence)
        if not node.up:
            out.append(Dial(node.location))
        self.prepare(node, out)

    def lease_renewed(self, message: m.LeaseRenewed, now: float, out: list[Action]) -> None:
        """The same grant goes on, under another number."""
        node = self.nodes.get(message.node)
        if node is not None and message.reservation == self._turn.reservation and message.lease > node.lease:
            node.lease = message.lease
            for server in node.servers.values():
                self.crew.lease_changed(server, out)

    def withdrawn(self, message: m.NodeWithdrawn, now: float, out: list[Action]) -> None:
        """The scheduler took it away."""
        node = self.nodes.get(message.node)
        if node is None or message.reservation != self._turn.reservation:
            return
        if node.up:
            self.returned[message.node] = (node.lease, True)
        if message.left:
            self.gone(node, message.reason, End.CANCELLED, False, now, out)
        else:
            end = End.ABANDONED if message.silent else End.NODE_LOST
            self.gone(node, message.reason, end, True, now, out)

    # A node speaks.

    def heard(self, node: Node, now: float, out: list[Action]) -> None:
        """A sign of life."""
        node.last_heard = now
        if node.silent:
            node.silent = False
            self._stories.add(node.incarnation, now, "heard again")
            self._deadlines.set(("node", node.incarnation), now + node.silence)
            self.refresh(node, out)

    def prepare(self, node: Node, out: list[Action]) -> None:
        """Take the steps to preparation that are possible now."""
        if node.state is not NodeState.DISCOVERED or not node.enabled or not node.up:
            return
        if self._files and node.files != "sent":
            if not node.files:
                node.files = "sending"
                out.append(o.SendFiles(node.incarnation))
            return
        node.move("prepare")
        node.renew_setup = False
        message = m.Prepare(
            self._turn.reservation,
            self._code,
            node.setup,
            node.servers_granted,
            self._plan.restart,
            node.lease,
        )
        out.append(Say(node.incarnation, message))

    def files_sent(self, event: o.FilesSent, now: float, out: list[Action]) -> None:
        """Its files are stored there, or could not be."""
        node = self.nodes.get(event.node)
        if node is None or node.files != "sending":
            return
        if event.reason:
            node.files = ""
            if node.state is NodeState.DISCOVERED:
                self._failed(node, event.reason, now, out)
            return
        node.files = "sent"
        self.prepare(node, out)

    def _prepared(self, node: Node, message: m.Prepared, now: float, out: list[Action]) -> None:
        if node.state is not NodeState.PREPARING:
            return
        node.move("prepared")
        node.why = ""
        self._stories.add(node.incarnation, now, "prepared")
        if message.warning:
            out.append(Note("warning", f"node {node.facts.name} at {node.location}: {message.warning}"))
        if not node.initialized:
            node.initialized = True
            self._notify(node, Status.NodeInitialized, out)
        self._answer(node, 0, "", out)
        self.refresh(node, out)

    def _prepare_failed(self, node: Node, message: m.PrepareFailed, now: float, out: list[Action]) -> None:
        if node.state in (NodeState.PREPARING, NodeState.INITIALIZED, NodeState.RESTARTING):
            self._failed(node, message.reason, now, out)

    def _failed(self, node: Node, reason: str, now: float, out: list[Action]) -> None:
        node.move("failed")
        node.why = reason
        node.initialized = False
        self._stories.add(node.incarnation, now, f"could not be prepared: {reason}")
        out.append(Note("warning", f"node {node.facts.name} at {node.location} is not used: {reason}"))
        self._notify(node, Status.NodeClosed, out, reason)
        self._answer(node, -1, reason, out)

    def _server_started(self, node: Node, message: m.ServerStarted, now: float, out: list[Action]) -> None:
        server = message.server
        self.crew.started(node, server, server.incarnation in self._peers, now, out)

    def _server_ended(self, node: Node, message: m.ServerEnded, now: float, out: list[Action]) -> None:
        self.crew.ended(message, now, out)

    def _server_delayed(self, node: Node, message: m.ServerDelayed, now: float, out: list[Action]) -> None:
        node.delayed[message.index] = message.reason

    def _node_report(self, node: Node, message: m.NodeReport, now: float, out: list[Action]) -> None:
        node.facts = replace(node.facts, avail=message.avail)
        if node.shown is not None:
            out.append(o.Notify(node.info()))
        lapsed = message.lease_left <= 0
        if lapsed != node.lapsed:
            node.lapsed = lapsed
            self.refresh(node, out)
            if not lapsed:
                for each in node.servers.values():
                    self.crew.lease_changed(each, out)
        seen = 0
        for facts in message.servers:
            server = node.servers.get(facts.incarnation)
            if server is not None:
                server.unresponsive = facts.unresponsive
                seen += 1
        if seen != len(node.servers):
            self._reconcile(node, {facts.incarnation for facts in message.servers}, now, out)

    def _reconcile(self, node: Node, living: set[Incarnation], now: float, out: list[Action]) -> None:
        # What it announced in this session and does not hold any more has ended unheard.
        for server in [s for s in node.servers.values() if s.incarnation not in living]:
            text = f"node {node.facts.name} has no record of server {server.location}"
            self.crew.gone(server, text, -1, -1, End.SERVER_LOST, True, now, out)

    def _node_open(self, node: Node, message: m.NodeOpen, now: float, out: list[Action]) -> None:
        node.open = message.open
        if node.state is NodeState.INITIALIZED or not message.open:
            node.why = message.reason
        self.refresh(node, out)
        if message.leaving:
            self.close(node, False, message.reason, now, out)

    def _released(self, node: Node, message: m.Released, now: float, out: list[Action]) -> None:
        reason = message.reason or "the node ended the work"
        self.gone(node, reason, End.CANCELLED, False, now, out)

    # Silence.

    def due(self, incarnation: Incarnation, now: float, out: list[Action]) -> None:
        """It may be silent for too long."""
        node = self.nodes.get(incarnation)
        if node is None or node.silent:
            return
        until = max(node.last_heard, self.gap_end) + node.silence
        if now < until:
            self._deadlines.set(("node", incarnation), until)
            return
        node.silent = True
        self._stories.add(incarnation, now, f"not heard for {node.silence:g} s")
        if node.state is NodeState.CLOSING:
            for server in list(node.servers.values()):
                self.crew.close(server, True, False, node.why, now, out)
        elif self._abandons(node):
            self.abandon(node, now, out)
        else:
            kept = "its tasks are kept until it is heard; Client(abandon_zombie_nodes=True) gives them up"
            out.append(Note("warning", f"node {node.facts.name} at {node.location} is silent: {kept}"))
            self.refresh(node, out)

    def _abandons(self, node: Node) -> bool:
        return self._turn.abandon if node.abandon is None else node.abandon

    def abandon(self, node: Node, now: float, out: list[Action]) -> None:
        """Give a silent node up: it may come back as a new one (R-13)."""
        self.give_back(node, True, out)
        text = f"node {node.facts.name} at {node.location} was silent and is given up"
        self.gone(node, text, End.ABANDONED, True, now, out)

    # The end of a node.

    def give_back(self, node: Node, again: bool, out: list[Action]) -> None:
        """Tell the scheduler that it is ours no more; `again`: a fresh one is welcome."""
        reservation = self._turn.reservation
        if node.up:
            self.returned[node.incarnation] = (node.lease, again)
        if self._turn.scheduler is not None:
            message = m.ReturnNode(reservation, node.incarnation, again, node.lease)
            out.append(Say(self._turn.scheduler, message))
        if node.up and not self._turn.reachable:
            # Nobody else can tell the node now.
            release = m.Release(reservation, True, "its client gave it back", node.lease)
            out.append(Say(node.incarnation, release))

    def gone(self, node: Node, reason: str, end: End, lost: bool, now: float, out: list[Action]) -> None:
        """It is ours no more. `lost`: it, or its work, was not closed by anybody."""
        incarnation = node.incarnation
        node.ousted = True
        for server in list(node.servers.values()):
            text = f"server {server.location}: {reason}"
            self.crew.gone(server, text, -1, -1, end, lost, now, out)
        if incarnation in self.nodes:
            self._forget(node, reason, lost, now, out)

    def _forget(self, node: Node, reason: str, lost: bool, now: float, out: list[Action]) -> None:
        incarnation = node.incarnation
        node.move("gone")
        del self.nodes[incarnation]
        self._deadlines.drop(("node", incarnation))
        if self.at.get(node.location) == incarnation:
            del self.at[node.location]
            if not node.up:
                out.append(StopDialling(node.location))
        self._stories.add(incarnation, now, f"gone: {reason}")
        self.last_gone = reason or f"node {node.facts.name} was closed"
        known = node.shown is not None and not self._turn.ending
        out.append(NodeGone(incarnation, reason, node.facts.name if lost and known else ""))
        if node.shown is not None:
            if lost:
                self._notify(node, Status.NodeAbandoned, out, reason)
            self._notify(node, Status.NodeClosed, out, reason)
        self._answer(node, 0, "", out)
        if node.up:
            self.to_release[incarnation] = node.lease
        self._on_gone(now, out)

    def _emptied(self, node: Node, now: float, out: list[Action]) -> None:
        """It has lost its last server."""
        if node.state is NodeState.RESTARTING:
            self.restart_if_empty(node, out)
        elif not node.ousted:
            self._closed_node(node, now, out)

    def close(
        self, node: Node, terminate: bool, why: str, now: float, out: list[Action], ticket: int | None = None
    ) -> None:
        """Close its servers, then give it back (DC-30)."""
        if ticket is not None:
            node.tickets.append(ticket)
        if node.state is not NodeState.CLOSING:
            node.move("close")
            node.why = why
        for server in list(node.servers.values()):
            self.crew.close(server, terminate, False, why, now, out)
        self._closed_node(node, now, out)

    def _closed_node(self, node: Node, now: float, out: list[Action]) -> None:
        if node.state is NodeState.CLOSING and not node.servers and node.incarnation in self.nodes:
            if not self._turn.ending:
                self.give_back(node, False, out)
            self._forget(node, node.why, False, now, out)

    def _notify(self, node: Node, status: Status, out: list[Action], reason: str = "") -> None:
        node.shown = None if status is Status.NodeClosed else status
        out.append(o.Notify(DispycosStatus(status, node.info(reason), reason)))

    def _answer(self, node: Node, code: int, reason: str, out: list[Action]) -> None:
        out.extend(o.Answered(ticket, code, reason) for ticket in node.tickets)
        node.tickets.clear()

    def refresh(self, node: Node, out: list[Action]) -> None:
        """Tell what changed in a node's suspension, silence or lease, and of its servers."""
        if node.initialized:
            wanted = node.wanted_status()
            if wanted is not node.shown and not (wanted in _NORMAL and node.shown in _NORMAL):
                self._notify(node, wanted, out, node.why)
        for server in node.servers.values():
            self.crew.refresh(server, out)

    def restart_if_empty(self, node: Node, out: list[Action]) -> None:
        if node.state is not NodeState.RESTARTING:
            return
        node.move("prepare")
        setup = node.setup if node.renew_setup else None
        node.renew_setup = False
        out.append(Say(node.incarnation, m.RestartNode(self._turn.reservation, setup, node.lease)))

    def enable(self, node: Node, setup: Payload | None, out: list[Action]) -> None:
        """Prepare it, with these arguments of node_setup."""
        if node.state is NodeState.FAILED:
            node.move("enable")
            node.why = ""
            self._notify(node, Status.NodeDiscovered, out)
        node.enabled = True
        node.setup = setup
        self.prepare(node, out)
