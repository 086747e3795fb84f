"""The fleet: one client's nodes and servers, from NodeGranted to closed, statuses in order.

Decides about nodes; `crew` decides about servers, `turn` about the scheduler. What it answers
for `client.dispatch` stands in `client.events`, what it asks of the I/O half in
`client.orders`. Tasks, code and setups are opaque to it.

What it promises
- each node's and each server's statuses keep their order, none twice, each stream closed once,
  ClientClosed last (ST-01, R-92);
- silence ends nothing by itself: silent nodes are kept or given up as the user chose (R-13);
- what was returned to the scheduler is never used again under the same grant (S2);
- whoever waits is told for what (S6, R-33).

Pure: no I/O, clock or randomness. Rules S1 to S3, R-09 to R-14, R-36, R-46, R-47, R-92.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dispycos import messages as m
from dispycos.client import orders as o
from dispycos.client.crew import Crew, CrewPlan
from dispycos.client.members import Node, NodeState, Server, ServerState, avail_info
from dispycos.client.submission import NodeGone
from dispycos.client.turn import Turn, TurnState
from dispycos.config import Limits
from dispycos.deadlines import Deadlines
from dispycos.events import (
    Action,
    Dial,
    DialFailed,
    Heard,
    Note,
    PeerBack,
    PeerLost,
    PeerSuspect,
    PeerUp,
    Say,
    StopDialling,
)
from dispycos.model import DispycosStatus, End, Incarnation, Location, Payload, Role, Status
from dispycos.story import Stories

_NORMAL = (Status.NodeInitialized, Status.NodeResumed)
_WHY = ("why", Incarnation(b""))
_CLOSE = ("close", Incarnation(b""))

# Nodes that a reason names one by one.
MAX_NAMED = 3


class Fleet:
    """Decides for one Client.

    our, name, location  this process, as the scheduler shows it.
    code, node_setup, server_setup  what Prepare and SetUpServer carry where no arguments were given.
    files            components that are files go to each node before it is prepared (SendFiles).
    silence          Z, seconds; 0: silent nodes are never shown or given up.
    """

    def __init__(
        self,
        our: Incarnation,
        limits: Limits,
        *,
        name: str,
        location: Location | None,
        code: Payload,
        node_setup: Payload | None = None,
        server_setup: Payload | None = None,
        files: bool = False,
        rules: list[m.Rule] | None = None,
        pulse_interval: float = 50.0,
        silence: float | None = None,
        disable_nodes: bool = False,
        disable_servers: bool = False,
        restart_servers: bool = False,
        abandon_zombies: bool = False,
    ) -> None:
        if silence is None:
            silence = limits.zombie_pulses * pulse_interval
        self.limits = limits
        self.turn = Turn(our, name, location, list(rules or ()), pulse_interval, silence, abandon_zombies)
        self.nodes_held: dict[Incarnation, Node] = {}
        self._code = code
        self._node_setup = node_setup
        self._files = files
        self._disable_nodes = disable_nodes
        self._closing = False
        self._ignored = ""  # why the last node that no rule took was ignored
        self._peers: dict[Incarnation, bool] = {}  # live sessions -> suspect; the endpoint bounds them
        self._returned: dict[Incarnation, tuple[int, bool]] = {}  # live nodes given back: lease, again
        self._to_release: dict[Incarnation, int] = {}  # nodes that may not know that they are free: lease
        self._at: dict[Location, Incarnation] = {}  # the nodes that are held, by where they are dialled
        self._deadlines: Deadlines[tuple[str, Incarnation]] = Deadlines()
        self._stories = Stories()
        self._gap_end = 0.0
        self._plan = CrewPlan(
            setup=server_setup,
            wait=disable_servers,
            restart=restart_servers,
            silence=silence,
            on_empty=self._node_empty,
        )
        self.crew = Crew(limits, self._plan, self._deadlines, self._stories)
        self._on: dict[type[Any], Callable[[Any, float, list[Action]], None]] = {
            Heard: self._heard,
            PeerUp: self._peer_up,
            PeerSuspect: self._peer_suspect,
            PeerBack: self._peer_back,
            PeerLost: self._peer_lost,
            DialFailed: self._dial_failed,
            o.BeginSchedule: self._begin_schedule,
            o.GiveUpSchedule: self._give_up_schedule,
            o.EnableNode: self._enable_node,
            o.EnableServer: self._enable_server,
            o.Suspend: self._suspend,
            o.Resume: self._suspend,
            o.CloseOneServer: self._close_one_server,
            o.ForceServer: self._force_server,
            o.CloseNode: self._close_nodes,
            o.RestartOneNode: self._restart_nodes,
            o.AbandonZombie: self._abandon_zombie,
            o.AddOneRule: self._add_one_rule,
            o.CloseAll: self._close_all,
            o.FilesSent: self._files_sent,
        }
        self._of_scheduler: dict[type[Any], Callable[[Any, float, list[Action]], None]] = {
            m.Queued: self._queued,
            m.Scheduled: self._scheduled,
            m.ScheduleRefused: self._schedule_refused,
            m.NodeGranted: self._granted,
            m.NodeIgnored: self._node_ignored,
            m.LeaseRenewed: self._lease_renewed,
            m.NodeWithdrawn: self._withdrawn,
            m.ClientEnded: self._client_ended,
            m.CloseAsked: self._close_asked,
            m.RegisterAgain: self._register_again,
        }
        self._of_node: dict[type[Any], Callable[[Node, Any, float, list[Action]], None]] = {
            m.Prepared: self._prepared,
            m.PrepareFailed: self._prepare_failed,
            m.ServerStarted: self._server_started,
            m.ServerEnded: self._server_ended,
            m.ServerDelayed: self._server_delayed,
            m.NodeReport: self._node_report,
            m.NodeOpen: self._node_open,
            m.Released: self._released,
        }
        self._of_server: dict[type[Any], Callable[[Server, Any, float, list[Action]], None]] = {
            m.ServerReady: lambda server, said, now, out: self.crew.ready(server, now, out),
            m.SetUpFailed: lambda server, said, now, out: self.crew.setup_failed(
                server, said.reason, now, out
            ),
            m.Finished: lambda server, said, now, out: self.crew.finished(server, now, out),
            m.CloseRequest: self._close_request,
        }

    # The shape of every machine.

    def handle(self, event: Any, now: float) -> list[Action]:
        out: list[Action] = []
        self._mind_the_gap(now)
        self._on[type(event)](event, now, out)
        self._watch(now)
        return out

    def tick(self, now: float) -> list[Action]:
        out: list[Action] = []
        self._mind_the_gap(now)
        for key in self._deadlines.due(now):
            kind, incarnation = key
            if kind == "server":
                self.crew.due(incarnation, self._gap_end, now, out)
            elif kind == "node":
                self._silence_due(incarnation, now, out)
            elif key == _WHY:
                out.append(Note("info", f"client {self.turn.name} waits: {self.why(now)}"))
                self._deadlines.set(_WHY, now + self.limits.visible_wait_again)
            else:
                self._close_due(now, out)
        self._watch(now)
        return out

    def next_deadline(self) -> float | None:
        return self._deadlines.next()

    def check(self) -> None:
        servers = 0
        usable = 0
        for incarnation, node in self.nodes_held.items():
            assert node.incarnation == incarnation
            assert node.state is not NodeState.CLOSED, f"closed node {node.location} is still held"
            assert incarnation not in self._returned, f"{node.location} is held and given back"
            assert not (node.state is NodeState.CLOSING and not node.servers), "a closed node is kept"
            if node.initialized:
                assert node.shown is not None, f"no stream is open for node {node.location}"
            for server in node.servers.values():
                servers += 1
                assert self.crew.servers.get(server.incarnation) is server
                assert server.node is node
                if server.state is ServerState.ENDING:
                    assert server.force_at is not None, f"nobody ends {server.location}"
                if server.state is ServerState.INITIALIZED:
                    assert server.told, f"dispatch does not know {server.location}"
                    usable += not server.held and not server.closed_to_tasks
        assert servers == len(self.crew.servers), "servers of no node"
        assert usable == self.crew.usable, f"{usable} servers are usable, not {self.crew.usable}"
        if self.turn.state in (TurnState.NONE, TurnState.QUEUED, TurnState.CLOSED):
            assert not self.nodes_held, "nodes without a turn"
        if self._closing:
            assert self.turn.state in (TurnState.SCHEDULED, TurnState.CLOSING)

    def story(self, id: Any) -> str:
        """What happened to a node or server (its incarnation)."""
        return self._stories.tell(id)

    # What a client asks of it without changing anything.

    def nodes(self) -> list[str]:
        """Addresses of the nodes in use; those that share one as `addr:port` (DC-33)."""
        used = [node for node in self.nodes_held.values() if node.state is NodeState.INITIALIZED]
        count: dict[str, int] = {}
        for node in used:
            count[node.location.addr] = count.get(node.location.addr, 0) + 1
        return [str(node.location) if count[node.location.addr] > 1 else node.location.addr for node in used]

    def servers(self) -> list[Location]:
        """Locations of the servers in use (DC-34)."""
        return [s.location for s in self.crew.servers.values() if s.state is ServerState.INITIALIZED]

    def find_nodes(self, where: o.Where) -> list[Node]:
        """The nodes that `where` means; [] if it is unknown."""
        if where is None:
            return list(self.nodes_held.values())
        if isinstance(where, bytes):
            node = self.nodes_held.get(Incarnation(where))
            return [node] if node else []
        if isinstance(where, Location):
            return [node for node in self.nodes_held.values() if node.location == where]
        return [
            node
            for node in self.nodes_held.values()
            if where == node.location.addr or where == str(node.location)
        ]

    def find_server(self, where: o.Where) -> Server | None:
        """The server that `where` means: a Location or an incarnation."""
        if isinstance(where, Location):
            return self.crew.at.get(where)
        return self.crew.servers.get(Incarnation(where)) if isinstance(where, bytes) else None

    def why(self, now: float) -> str:
        """What keeps tasks from being placed, or the close from ending; "" if nothing does (S6)."""
        if text := self.turn.why(now):
            return text
        if self._closing:
            left = [node.facts.name for node in self.nodes_held.values()]
            return f"closing: {_listed(left)}" if left else "closing: the scheduler takes the nodes back"
        if self.turn.state is not TurnState.SCHEDULED:
            return f"the client is {self.turn.state.value}"
        if self.crew.usable:
            return ""
        if not self.nodes_held:
            return "no node was granted" + (
                f"; the last one ignored: {self._ignored}" if self._ignored else ""
            )
        return "; ".join(self._why_node(node) for node in list(self.nodes_held.values())[:MAX_NAMED])

    def _why_node(self, node: Node) -> str:
        name = f"node {node.facts.name} at {node.location}"
        if node.silent:
            return f"{name} is silent"
        if node.suspended or not node.open:
            return f"{name} is suspended{': ' + node.why if node.why else ''}"
        if node.lapsed:
            return f"{name} has no valid lease: the scheduler has not renewed it"
        if node.state is NodeState.DISCOVERED:
            if not node.enabled:
                return f"{name} waits for enable_node"
            return f"{name} can't be reached: {node.why}" if node.why else f"{name} is being reached"
        if node.state is not NodeState.INITIALIZED:
            return f"{name} is {node.state.value}{': ' + node.why if node.why else ''}"
        for server in node.servers.values():
            if server.state is not ServerState.INITIALIZED or server.held or server.suspended:
                return f"{name}: server {server.location} is {server.state.value}" + (
                    f": {server.why or server.lost}" if server.why or server.lost else ""
                )
        for index, reason in node.delayed.items():
            return f"{name}: server {index}: {reason}"
        return f"{name} starts its servers"

    def status(self, now: float) -> dict[str, Any]:
        """Everything that a monitor shows of it."""
        return {
            "state": self.turn.state.value,
            "reservation": self.turn.reservation,
            "why": self.why(now),
            "usable": self.crew.usable,
            "nodes": [
                {
                    "incarnation": node.incarnation,
                    "name": node.facts.name,
                    "location": node.location,
                    "state": node.state.value,
                    "silent": node.silent,
                    "suspended": node.suspended or not node.open,
                    "lapsed": node.lapsed,
                    "why": node.why,
                    "servers": [
                        {
                            "incarnation": server.incarnation,
                            "location": server.location,
                            "index": server.index,
                            "state": server.state.value,
                            "suspended": server.closed_to_tasks,
                            "held": server.held,
                            "unresponsive": server.unresponsive,
                            "why": server.why,
                        }
                        for server in node.servers.values()
                    ],
                }
                for node in self.nodes_held.values()
            ],
        }

    # Peers.

    def _heard(self, event: Heard, now: float, out: list[Action]) -> None:
        kind = type(event.message)
        node = self.nodes_held.get(event.peer)
        if node is not None:
            self._node_heard(node, now, out)
            of_node = self._of_node.get(kind)
            if of_node is not None:
                if self._of_grant(node, event.message):
                    of_node(node, event.message, now, out)
                return
        server = self.crew.servers.get(event.peer)
        if server is not None:
            of_server = self._of_server.get(kind)
            if of_server is not None:
                of_server(server, event.message, now, out)
            return
        if kind is m.Released and self._to_release.get(event.peer) == event.message.lease:
            del self._to_release[event.peer]
        of_scheduler = self._of_scheduler.get(kind)
        if of_scheduler is not None and event.peer == self.turn.scheduler:
            of_scheduler(event.message, now, out)

    def _of_grant(self, node: Node, message: Any) -> bool:
        # A word of an earlier grant of the same node may arrive after the next one began.
        if message.reservation != self.turn.reservation:
            return False
        return getattr(message, "lease", 0) in (0, node.lease)

    def _peer_up(self, event: PeerUp, now: float, out: list[Action]) -> None:
        self._peers[event.peer] = False
        if Role.SCHEDULER in event.roles and self.turn.found(event.peer, event.location, out):
            return
        node = self.nodes_held.get(event.peer)
        if node is not None:
            node.up = True
            node.suspect = False
            if node.state is NodeState.DISCOVERED:
                node.why = ""
            self._node_heard(node, now, out)
            self._prepare(node, out)
        server = self.crew.servers.get(event.peer)
        if server is not None:
            self.crew.peer_up(server, out)

    def _peer_suspect(self, event: PeerSuspect, now: float, out: list[Action]) -> None:
        self._peers[event.peer] = True
        if event.peer == self.turn.scheduler and self.turn.unheard_since is None:
            self.turn.unheard_since = now
        node = self.nodes_held.get(event.peer)
        if node is not None:
            node.suspect = True
            self._refresh(node, out)
        server = self.crew.servers.get(event.peer)
        if server is not None:
            self.crew.peer_suspect(server, now, out)

    def _peer_back(self, event: PeerBack, now: float, out: list[Action]) -> None:
        self._peers[event.peer] = False
        if event.peer == self.turn.scheduler:
            self.turn.unheard_since = None
        node = self.nodes_held.get(event.peer)
        if node is not None:
            node.suspect = False
            self._node_heard(node, now, out)
            self._refresh(node, out)
        server = self.crew.servers.get(event.peer)
        if server is not None:
            self.crew.peer_back(server, out)

    def _peer_lost(self, event: PeerLost, now: float, out: list[Action]) -> None:
        self._peers.pop(event.peer, None)
        self._returned.pop(event.peer, None)
        self._to_release.pop(event.peer, None)
        if event.peer == self.turn.scheduler:
            self.turn.lost(now, out)
        node = self.nodes_held.get(event.peer)
        if node is not None:
            node.up = False
            self._give_back(node, True, out)
            text = f"node {node.facts.name} at {node.location} is gone: {event.reason}"
            self._node_gone(node, text, End.NODE_LOST, True, now, out)
        server = self.crew.servers.get(event.peer)
        if server is not None:
            self.crew.peer_lost(server, event.reason, now, out)

    def _dial_failed(self, event: DialFailed, now: float, out: list[Action]) -> None:
        incarnation = self._at.get(event.location)
        node = self.nodes_held.get(incarnation) if incarnation is not None else None
        if node is not None and not node.up:
            node.why = event.reason
        server = self.crew.at.get(event.location)
        if server is not None and not server.up:
            server.why = event.reason

    def _mind_the_gap(self, now: float) -> None:
        # We came back late: silence of others counts anew from here.
        due = self._deadlines.next()
        if due is not None and now - due > self.limits.keepalive:
            self._gap_end = now

    # The scheduler speaks.

    def _begin_schedule(self, event: o.BeginSchedule, now: float, out: list[Action]) -> None:
        state = self.turn.state
        if state is TurnState.NONE:
            self.turn.begin(event.ticket, event.scheduler, event.location, out)
        elif state is TurnState.CLOSED or self._closing:
            out.append(o.Answered(event.ticket, -1, "the client is closed"))
        elif self.turn.scheduler is None:
            # The I/O half found the successor of a scheduler that we lost.
            self.turn.begin(event.ticket, event.scheduler, event.location, out)
            out.append(o.Answered(event.ticket, 0))
        else:
            out.append(o.Answered(event.ticket, -1, f"the client is {state.value} already"))

    def _give_up_schedule(self, event: o.GiveUpSchedule, now: float, out: list[Action]) -> None:
        if self.turn.state is TurnState.QUEUED and self.turn.ticket == event.ticket:
            why = self.turn.why(now)
            self.turn.give_up(out)
            out.append(o.Answered(event.ticket, -1, f"it was not scheduled in time: {why}"))

    def _register_again(self, message: m.RegisterAgain, now: float, out: list[Action]) -> None:
        if self.turn.waits:
            self.turn.ask(out)

    def _queued(self, message: m.Queued, now: float, out: list[Action]) -> None:
        if message.ticket == self.turn.ticket:
            self.turn.place = message.place
            self.turn.reason = message.reason

    def _scheduled(self, message: m.Scheduled, now: float, out: list[Action]) -> None:
        if self.turn.state is not TurnState.QUEUED or message.ticket != self.turn.ticket:
            return
        self.turn.move("scheduled")
        self.turn.reservation = message.reservation
        self._plan.reservation = message.reservation
        out.append(o.Notify(DispycosStatus(Status.ClientScheduled, self._scheduler_location())))
        out.append(o.Answered(message.ticket, 0))

    def _scheduler_location(self) -> Location | None:
        private = self.turn.scheduler == self.turn.our
        return self.turn.our_location if private else self.turn.location

    def _schedule_refused(self, message: m.ScheduleRefused, now: float, out: list[Action]) -> None:
        if message.ticket != self.turn.ticket:
            return
        if self.turn.state is TurnState.QUEUED:
            self.turn.move("refused")
            out.append(o.Answered(message.ticket, -1, message.reason))
        elif self.turn.waits:
            self._over(f"the scheduler does not know our turn any more: {message.reason}", now, out)

    def _client_ended(self, message: m.ClientEnded, now: float, out: list[Action]) -> None:
        if message.reservation == self.turn.reservation and self.turn.waits:
            self._over(message.reason, now, out)

    def _close_asked(self, message: m.CloseAsked, now: float, out: list[Action]) -> None:
        if message.reservation == self.turn.reservation and not self._closing:
            out.append(o.PleaseClose(message.terminate, message.reason))

    def _granted(self, message: m.NodeGranted, now: float, out: list[Action]) -> None:
        if message.reservation != self.turn.reservation or not self.turn.waits:
            return
        facts = message.facts
        incarnation = facts.incarnation
        if self._closing:
            self._to_release[incarnation] = message.lease
            return
        node = self.nodes_held.get(incarnation)
        if node is not None and node.lease == message.lease:
            node.facts = facts
            return
        lease, again = self._returned.get(incarnation, (0, True))
        if message.lease <= lease or not again:
            # A scheduler that did not hear that we gave it back.
            said = m.ReturnNode(self.turn.reservation, incarnation, again, message.lease)
            out.append(Say(self._scheduler(), said))
            return
        if node is not None:
            self._node_gone(node, "it was granted anew", End.NODE_LOST, True, now, out)
        former = self.nodes_held.get(self._at.get(facts.location, incarnation))
        if former is not None:
            # Two processes can't listen at one address: the former one is dead (rule 5, R-67).
            self._give_back(former, True, out)
            text = f"another process answers at {facts.location}"
            self._node_gone(former, text, End.NODE_LOST, True, now, out)
        self._returned.pop(incarnation, None)
        self._to_release.pop(incarnation, None)
        self._add_node(message, now, out)

    def _scheduler(self) -> Incarnation:
        assert self.turn.scheduler is not None
        return self.turn.scheduler

    def _add_node(self, message: m.NodeGranted, now: float, out: list[Action]) -> None:
        facts = message.facts
        incarnation = facts.incarnation
        silence = self.turn.silence
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
            enabled=not self._disable_nodes,
            setup=self._node_setup,
        )
        self.nodes_held[incarnation] = node
        self._at[node.location] = incarnation
        self._stories.add(incarnation, now, f"granted under lease {message.lease}")
        self._notify(node, Status.NodeDiscovered, out)
        if silence:
            self._deadlines.set(("node", incarnation), now + silence)
        if not node.up:
            out.append(Dial(node.location))
        self._prepare(node, out)

    def _node_ignored(self, message: m.NodeIgnored, now: float, out: list[Action]) -> None:
        if message.reservation != self.turn.reservation:
            return
        self._ignored = f"node {message.facts.name}: {message.reason}"
        info = avail_info(message.facts, 0, message.reason)
        out.append(o.Notify(DispycosStatus(Status.NodeIgnore, info, message.reason)))

    def _lease_renewed(self, message: m.LeaseRenewed, now: float, out: list[Action]) -> None:
        node = self.nodes_held.get(message.node)
        if node is not None and message.reservation == self.turn.reservation and message.lease > node.lease:
            node.lease = message.lease
            for server in node.servers.values():
                self.crew.lease_changed(server, out)

    def _withdrawn(self, message: m.NodeWithdrawn, now: float, out: list[Action]) -> None:
        node = self.nodes_held.get(message.node)
        if node is None or message.reservation != self.turn.reservation:
            return
        if node.up:
            self._returned[message.node] = (node.lease, True)
        if message.left:
            self._node_gone(node, message.reason, End.CANCELLED, False, now, out)
        else:
            end = End.ABANDONED if message.silent else End.NODE_LOST
            self._node_gone(node, message.reason, end, True, now, out)

    # A node speaks.

    def _node_heard(self, node: Node, now: float, out: list[Action]) -> None:
        node.last_heard = now
        if node.silent:
            node.silent = False
            self._stories.add(node.incarnation, now, "heard again")
            self._deadlines.set(("node", node.incarnation), now + node.silence)
            self._refresh(node, out)

    def _prepare(self, node: Node, out: list[Action]) -> None:
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
            self.turn.reservation,
            self._code,
            node.setup,
            node.servers_granted,
            self._plan.restart,
            node.lease,
        )
        out.append(Say(node.incarnation, message))

    def _files_sent(self, event: o.FilesSent, now: float, out: list[Action]) -> None:
        node = self.nodes_held.get(event.node)
        if node is None or node.files != "sending":
            return
        if event.reason:
            node.files = ""
            if node.state is NodeState.DISCOVERED:
                self._failed(node, event.reason, now, out)
            return
        node.files = "sent"
        self._prepare(node, out)

    def _prepared(self, node: Node, message: m.Prepared, now: float, out: list[Action]) -> None:
        if node.state is not NodeState.PREPARING:
            return
        node.move("prepared")
        node.why = ""
        self._stories.add(node.incarnation, now, "prepared")
        if not node.initialized:
            node.initialized = True
            self._notify(node, Status.NodeInitialized, out)
        self._answer(node, 0, "", out)
        self._refresh(node, out)

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
            self._refresh(node, out)
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
        self._refresh(node, out)
        if message.leaving:
            self._close_node(node, False, message.reason, now, out)

    def _released(self, node: Node, message: m.Released, now: float, out: list[Action]) -> None:
        reason = message.reason or "the node ended the work"
        self._node_gone(node, reason, End.CANCELLED, False, now, out)

    def _close_request(self, server: Server, message: m.CloseRequest, now: float, out: list[Action]) -> None:
        if message.node:
            self._close_node(server.node, message.terminate, "a task closed its node", now, out)
        else:
            restart = message.restart or self._plan.restart
            self.crew.close(server, message.terminate, restart, "a task closed its server", now, out)

    # Silence.

    def _silence_due(self, incarnation: Incarnation, now: float, out: list[Action]) -> None:
        node = self.nodes_held.get(incarnation)
        if node is None or node.silent:
            return
        until = max(node.last_heard, self._gap_end) + node.silence
        if now < until:
            self._deadlines.set(("node", incarnation), until)
            return
        node.silent = True
        self._stories.add(incarnation, now, f"not heard for {node.silence:g} s")
        if node.state is NodeState.CLOSING:
            for server in list(node.servers.values()):
                self.crew.close(server, True, False, node.why, now, out)
        elif self._abandons(node):
            self._abandon(node, now, out)
        else:
            out.append(Note("warning", f"node {node.facts.name} at {node.location} is silent"))
            self._refresh(node, out)

    def _abandons(self, node: Node) -> bool:
        return self.turn.abandon if node.abandon is None else node.abandon

    def _abandon(self, node: Node, now: float, out: list[Action]) -> None:
        """Give a silent node up: it may come back as a new one (R-13)."""
        self._give_back(node, True, out)
        text = f"node {node.facts.name} at {node.location} was silent and is given up"
        self._node_gone(node, text, End.ABANDONED, True, now, out)

    def _abandon_zombie(self, event: o.AbandonZombie, now: float, out: list[Action]) -> None:
        nodes = self.find_nodes(event.where)
        if event.where is None:
            self.turn.abandon = event.flag
        elif not nodes:
            out.append(o.Answered(event.ticket, -1, f"no node at {event.where!r}"))
            return
        for node in nodes:
            node.abandon = event.flag
            if event.flag and node.silent:
                self._abandon(node, now, out)
        out.append(o.Answered(event.ticket, 0))

    # The end of a node.

    def _give_back(self, node: Node, again: bool, out: list[Action]) -> None:
        reservation = self.turn.reservation
        if node.up:
            self._returned[node.incarnation] = (node.lease, again)
        if self.turn.scheduler is not None:
            message = m.ReturnNode(reservation, node.incarnation, again, node.lease)
            out.append(Say(self.turn.scheduler, message))
        if node.up and not self.turn.reachable:
            # Nobody else can tell the node now.
            release = m.Release(reservation, True, "its client gave it back", node.lease)
            out.append(Say(node.incarnation, release))

    def _node_gone(
        self, node: Node, reason: str, end: End, lost: bool, now: float, out: list[Action]
    ) -> None:
        """It is ours no more. `lost`: it, or its work, was not closed by anybody."""
        incarnation = node.incarnation
        node.ousted = True
        for server in list(node.servers.values()):
            text = f"server {server.location}: {reason}"
            self.crew.gone(server, text, -1, -1, end, lost, now, out)
        if incarnation in self.nodes_held:
            self._forget(node, reason, lost, now, out)

    def _forget(self, node: Node, reason: str, lost: bool, now: float, out: list[Action]) -> None:
        incarnation = node.incarnation
        node.move("gone")
        del self.nodes_held[incarnation]
        self._deadlines.drop(("node", incarnation))
        if self._at.get(node.location) == incarnation:
            del self._at[node.location]
            if not node.up:
                out.append(StopDialling(node.location))
        self._stories.add(incarnation, now, f"gone: {reason}")
        out.append(NodeGone(incarnation, reason))
        if node.shown is not None:
            if lost:
                self._notify(node, Status.NodeAbandoned, out, reason)
            self._notify(node, Status.NodeClosed, out, reason)
        self._answer(node, 0, "", out)
        if node.up:
            self._to_release[incarnation] = node.lease
        self._closed_if_empty(now, out)

    def _node_empty(self, node: Node, now: float, out: list[Action]) -> None:
        """It has lost its last server."""
        if node.state is NodeState.RESTARTING:
            self._restart(node, out)
        elif not node.ousted:
            self._closed_node(node, now, out)

    def _close_node(
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
        if node.state is NodeState.CLOSING and not node.servers and node.incarnation in self.nodes_held:
            if not self._closing:
                self._give_back(node, False, out)
            self._forget(node, node.why, False, now, out)

    def _notify(self, node: Node, status: Status, out: list[Action], reason: str = "") -> None:
        node.shown = None if status is Status.NodeClosed else status
        out.append(o.Notify(DispycosStatus(status, node.info(reason), reason)))

    def _answer(self, node: Node, code: int, reason: str, out: list[Action]) -> None:
        out.extend(o.Answered(ticket, code, reason) for ticket in node.tickets)
        node.tickets.clear()

    def _refresh(self, node: Node, out: list[Action]) -> None:
        """Tell what changed in a node's suspension, silence or lease, and of its servers."""
        if node.initialized:
            wanted = node.wanted_status()
            if wanted is not node.shown and not (wanted in _NORMAL and node.shown in _NORMAL):
                self._notify(node, wanted, out, node.why)
        for server in node.servers.values():
            self.crew.refresh(server, out)

    # The program's orders.

    def _unknown(self, event: Any, out: list[Action]) -> None:
        out.append(o.Answered(event.ticket, -1, f"nothing is known of {event.where!r}"))

    def _enable_node(self, event: o.EnableNode, now: float, out: list[Action]) -> None:
        waiting = [node for node in self.find_nodes(event.where) if self._waits_for_enable(node)]
        for node in waiting:
            self._enable(node, event.setup, out)
        if waiting:
            out.append(o.Answered(event.ticket, 0))
        else:
            text = f"no node at {event.where!r} waits to be enabled"
            out.append(o.Answered(event.ticket, -1, text))

    def _waits_for_enable(self, node: Node) -> bool:
        if node.state is NodeState.FAILED:
            return True
        return node.state is NodeState.DISCOVERED and not node.enabled

    def _enable(self, node: Node, setup: Payload | None, out: list[Action]) -> None:
        if node.state is NodeState.FAILED:
            node.move("enable")
            node.why = ""
            self._notify(node, Status.NodeDiscovered, out)
        node.enabled = True
        node.setup = setup
        self._prepare(node, out)

    def _enable_server(self, event: o.EnableServer, now: float, out: list[Action]) -> None:
        server = self.find_server(event.where)
        if server is None:
            self._unknown(event, out)
        elif self.crew.enable(server, event.setup, out):
            out.append(o.Answered(event.ticket, 0))
        else:
            out.append(o.Answered(event.ticket, -1, f"server {server.location} does not wait to be enabled"))

    def _suspend(self, event: o.Suspend | o.Resume, now: float, out: list[Action]) -> None:
        suspended = isinstance(event, o.Suspend)
        if event.node:
            nodes = self.find_nodes(event.where)
            for node in nodes:
                node.suspended = suspended
                if not suspended:
                    for server in node.servers.values():
                        server.suspended = False
                self._refresh(node, out)
            known = bool(nodes)
        else:
            found = self.find_server(event.where)
            if found is not None:
                found.suspended = suspended
                self.crew.refresh(found, out)
            known = found is not None
        if known:
            out.append(o.Answered(event.ticket, 0))
        else:
            self._unknown(event, out)

    def _close_one_server(self, event: o.CloseOneServer, now: float, out: list[Action]) -> None:
        server = self.find_server(event.where)
        if server is None:
            self._unknown(event, out)
            return
        restart = event.restart or self._plan.restart
        self.crew.close(server, event.terminate, restart, "the client closed it", now, out, event.ticket)

    def _force_server(self, event: o.ForceServer, now: float, out: list[Action]) -> None:
        server = self.crew.servers.get(event.server)
        if server is not None and server.state is not ServerState.ENDING:
            restart = server.restart if server.state is ServerState.CLOSING else True
            self.crew.end(server, 0.0, restart, event.reason, now, out)

    def _close_nodes(self, event: o.CloseNode, now: float, out: list[Action]) -> None:
        nodes = self.find_nodes(event.where)
        if not nodes:
            self._unknown(event, out)
            return
        # One answer for all of them: it hangs on the last.
        for node in nodes[:-1]:
            self._close_node(node, event.terminate, "the client closed it", now, out)
        self._close_node(nodes[-1], event.terminate, "the client closed it", now, out, event.ticket)

    def _restart_nodes(self, event: o.RestartOneNode, now: float, out: list[Action]) -> None:
        ready = (NodeState.INITIALIZED, NodeState.FAILED)
        nodes = [node for node in self.find_nodes(event.where) if node.state in ready]
        if not nodes:
            self._unknown(event, out)
            return
        nodes[-1].tickets.append(event.ticket)
        for node in nodes:
            if event.setup is not None:
                node.setup = event.setup
                node.renew_setup = True
            if node.state is NodeState.FAILED:
                self._enable(node, node.setup, out)
                continue
            node.move("restart")
            for server in list(node.servers.values()):
                self.crew.close(server, event.terminate, False, "its node is restarted", now, out)
            if not node.servers:
                self._restart(node, out)

    def _restart(self, node: Node, out: list[Action]) -> None:
        if node.state is not NodeState.RESTARTING:
            return
        node.move("prepare")
        setup = node.setup if node.renew_setup else None
        node.renew_setup = False
        out.append(Say(node.incarnation, m.RestartNode(self.turn.reservation, setup, node.lease)))

    def _add_one_rule(self, event: o.AddOneRule, now: float, out: list[Action]) -> None:
        self.turn.add_rule(event.rule, out)

    # The end of the turn.

    def _close_all(self, event: o.CloseAll, now: float, out: list[Action]) -> None:
        self.turn.tickets.append(event.ticket)
        if self.turn.state is TurnState.CLOSED:
            self._answer_close(0, "", out)
        elif self.turn.state is TurnState.QUEUED:
            self.turn.give_up(out)
            out.append(o.Answered(self.turn.ticket, -1, "the client was closed"))
            self._over("closed before it was scheduled", now, out)
        elif self.turn.state is TurnState.NONE:
            self._over("closed before it was scheduled", now, out)
        else:
            first = not self._closing
            self._closing = True
            for node in list(self.nodes_held.values()):
                self._close_node(node, event.terminate, "the client closes", now, out)
            if first:
                self._closed_if_empty(now, out)

    def _closed_if_empty(self, now: float, out: list[Action]) -> None:
        if self._closing and not self.nodes_held and self.turn.state is TurnState.SCHEDULED:
            self.turn.close(out)
            known = self.turn.reachable
            # The scheduler itself waits for the nodes: their grace, and its own request_timeout.
            wait = self.limits.request_timeout * (2 if known else 0.5) + self.limits.grace * known
            self._deadlines.set(_CLOSE, now + wait)

    def _close_due(self, now: float, out: list[Action]) -> None:
        # The scheduler does not answer: the nodes are told directly.
        for incarnation, lease in self._to_release.items():
            message = m.Release(self.turn.reservation, True, "the client closed", lease)
            out.append(Say(incarnation, message))
        self._over("closed; the scheduler could not be told", now, out, -1)

    def _over(self, reason: str, now: float, out: list[Action], code: int = 0) -> None:
        """The turn is over: nothing of it may be left here."""
        asked = self._closing or self.turn.state in (TurnState.NONE, TurnState.QUEUED)
        had_turn = self.turn.state in (TurnState.SCHEDULED, TurnState.CLOSING)
        self._closing = False
        location = self._scheduler_location()
        for node in list(self.nodes_held.values()):
            self._node_gone(node, f"the turn is over: {reason}", End.CANCELLED, False, now, out)
        self.turn.end(out)
        self._to_release.clear()
        self._returned.clear()
        self._deadlines.drop(_CLOSE)
        if not asked:
            out.append(Note("warning", f"the turn of client {self.turn.name} is over: {reason}"))
        if had_turn:
            out.append(o.Notify(DispycosStatus(Status.ClientClosed, location, reason)))
        self._answer_close(code, reason if code else "", out)
        out.append(o.TurnEnded(reason))

    def _answer_close(self, code: int, reason: str, out: list[Action]) -> None:
        out.extend(o.Answered(ticket, code, reason) for ticket in self.turn.tickets)
        self.turn.tickets.clear()

    # Waiting (S6).

    def _watch(self, now: float) -> None:
        state = self.turn.state
        if state is TurnState.SCHEDULED and not self._closing:
            waits = self.crew.usable == 0
        else:
            waits = self.turn.waits
        if waits:
            self._deadlines.set_if_none(_WHY, now + self.limits.visible_wait)
        else:
            self._deadlines.drop(_WHY)


def _listed(names: list[str]) -> str:
    more = len(names) - MAX_NAMED
    return ", ".join(names[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
