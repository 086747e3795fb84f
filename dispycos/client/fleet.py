"""The fleet: one client's nodes and servers, from NodeGranted to closed, statuses in order.

Decides about nodes; `crew` decides about servers, `turn` about the scheduler, and `prospects`
knows what is waited for. What it answers for `client.dispatch` stands in `client.events`, what it
asks of the I/O half in `client.orders`. Tasks, code and setups are opaque to it.

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
from typing import Any

from dispycos import messages as m
from dispycos.client import awaited, prospects, survey
from dispycos.client import orders as o
from dispycos.client.crew import CrewPlan
from dispycos.client.desk import Desk
from dispycos.client.holdings import Holdings
from dispycos.client.members import Node, NodeState, Server, ServerState, avail_info
from dispycos.client.prospects import Prospects
from dispycos.client.turn import Turn, TurnState
from dispycos.config import Limits
from dispycos.deadlines import Deadlines
from dispycos.errors import Closed, PeerLost
from dispycos.events import (
    Action,
    DialFailed,
    Heard,
    Note,
    PeerBack,
    PeerGone,
    PeerSuspect,
    PeerUp,
    Say,
)
from dispycos.model import DispycosStatus, End, Incarnation, Location, Payload, Role, Status
from dispycos.story import About, Stories

_CLOSE = ("close", Incarnation(b""))
_DEMAND = ("demand", Incarnation(b""))
_OFTEN = 0.1  # seconds: more often than that nobody needs to hear of our work


class Fleet:
    """Decides for one Client.

    our, name, pid, location  this process, as the scheduler shows it.
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
        pid: int = 0,
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
        self.turn = Turn(
            our, name, pid, location, list(rules or ()), pulse_interval, silence, abandon_zombies
        )
        self._demand_every = 0.0  # seconds between two Demands to the scheduler; 0: it wants none
        self._peers: dict[Incarnation, bool] = {}  # live sessions -> suspect; the endpoint bounds them
        self._deadlines: Deadlines[tuple[str, Incarnation]] = Deadlines()
        self._stories = Stories()
        self._plan = CrewPlan(
            setup=server_setup, wait=disable_servers, restart=restart_servers, silence=silence
        )
        self.holdings = Holdings(
            limits,
            self.turn,
            self._plan,
            self._deadlines,
            self._stories,
            self._peers,
            code=code,
            setup=node_setup,
            files=files,
            wait=disable_nodes,
            on_gone=self._closed_if_empty,
        )
        self.crew = self.holdings.crew
        self.prospects = Prospects(limits, self.turn, self.holdings, self._deadlines)
        self._desk = Desk(self.holdings, self.turn, self._plan)
        self._on: dict[type[Any], Callable[[Any, float, list[Action]], None]] = {
            Heard: self._heard,
            PeerUp: self._peer_up,
            PeerSuspect: self._peer_suspect,
            PeerBack: self._peer_back,
            PeerGone: self._peer_gone,
            DialFailed: self._dial_failed,
            o.BeginSchedule: self._begin_schedule,
            o.GiveUpSchedule: self._give_up_schedule,
            o.AddOneRule: self._add_one_rule,
            o.NoNodes: self.prospects.no_nodes,
            o.CloseAll: self._close_all,
            o.AwaitServers: self.prospects.await_servers,
            o.AwaitNoMore: self.prospects.await_no_more,
            **self._desk.orders,
        }
        self._of_scheduler: dict[type[Any], Callable[[Any, float, list[Action]], None]] = {
            m.Queued: self._queued,
            m.Scheduled: self._scheduled,
            m.ScheduleRefused: self._schedule_refused,
            m.NodeGranted: self._granted,
            m.NodeIgnored: self._node_ignored,
            m.LeaseRenewed: self.holdings.lease_renewed,
            m.NodeWithdrawn: self.holdings.withdrawn,
            m.ClientEnded: self._client_ended,
            m.CloseAsked: self._close_asked,
            m.RegisterAgain: self._register_again,
            m.TellDemand: self._tell_demand,
        }
        self._of_server: dict[type[Any], Callable[[Server, Any, float, list[Action]], None]] = {
            m.ServerReady: lambda server, said, now, out: self.crew.ready(server, now, out),
            m.SetUpFailed: lambda server, said, now, out: self.crew.setup_failed(
                server, said.reason, now, out
            ),
            m.Finished: lambda server, said, now, out: self.crew.finished(server, now, out),
            m.CloseRequest: self._close_request,
        }

    @property
    def nodes_held(self) -> dict[Incarnation, Node]:
        """The nodes that are ours, by incarnation; to be read only."""
        return self.holdings.nodes

    # The shape of every machine.

    def handle(self, event: Any, now: float) -> list[Action]:
        out: list[Action] = []
        self._mind_the_gap(now)
        self._on[type(event)](event, now, out)
        self.prospects.watch(now, out)
        return out

    def tick(self, now: float) -> list[Action]:
        out: list[Action] = []
        self._mind_the_gap(now)
        for key in self._deadlines.due(now):
            kind, incarnation = key
            if kind == "server":
                self.crew.due(incarnation, self.holdings.gap_end, now, out)
            elif kind == "node":
                self.holdings.due(incarnation, now, out)
            elif key == _DEMAND:
                out.append(o.SayDemand(anew=False))
                self._deadlines.set(_DEMAND, now + self._demand_every)
            elif key == awaited.DUE:
                self.prospects.awaited_due(now, out)
            elif key == prospects.DUE:
                self.prospects.due(now, out)
            else:
                self._close_due(now, out)
        self.prospects.watch(now, out)
        return out

    def next_deadline(self) -> float | None:
        return self._deadlines.next()

    def check(self) -> None:
        servers = 0
        usable = 0
        for incarnation, node in self.nodes_held.items():
            assert node.incarnation == incarnation
            problem = self._problem(node)
            assert not problem, About(incarnation, f"node {node.location} {problem}")
            for server in node.servers.values():
                servers += 1
                known = self.crew.servers.get(server.incarnation) is server and server.node is node
                assert known, About(server.incarnation, f"server {server.location} is lost sight of")
                if server.state is ServerState.ENDING:
                    assert server.force_at is not None, About(
                        server.incarnation, f"nobody ends {server.location}"
                    )
                if server.state is ServerState.INITIALIZED:
                    assert server.told, About(server.incarnation, f"dispatch does not know {server.location}")
                    usable += not server.held and not server.closed_to_tasks
        assert servers == len(self.crew.servers), "servers of no node"
        assert usable == self.crew.usable, f"{usable} servers are usable, not {self.crew.usable}"
        if self.turn.state in (TurnState.NONE, TurnState.QUEUED, TurnState.CLOSED):
            assert not self.nodes_held, "nodes without a turn"
        if self.turn.ending:
            assert self.turn.state in (TurnState.SCHEDULED, TurnState.CLOSING)

    def _problem(self, node: Node) -> str:
        if node.state is NodeState.CLOSED:
            return "is closed and still held"
        if node.incarnation in self.holdings.returned:
            return "is held and given back"
        if node.state is NodeState.CLOSING and not node.servers:
            return "is closed and kept"
        return "is shown nowhere" if node.initialized and node.shown is None else ""

    def story(self, id: Any) -> str:
        """What happened to a node or server (its incarnation)."""
        return self._stories.tell(id)

    # What a client asks of it without changing anything.

    def nodes(self) -> list[str]:
        """Addresses of the nodes in use; those that share one as `addr:port` (DC-33)."""
        return survey.addresses(self.nodes_held.values())

    def servers(self) -> list[Location]:
        """Locations of the servers in use (DC-34)."""
        return [s.location for s in self.crew.servers.values() if s.state is ServerState.INITIALIZED]

    def find_nodes(self, where: o.Where) -> list[Node]:
        """The nodes that `where` means; [] if it is unknown."""
        return self._desk.find_nodes(where)

    def find_server(self, where: o.Where) -> Server | None:
        """The server that `where` means: a Location or an incarnation."""
        return self._desk.find_server(where)

    def why(self, now: float) -> str:
        """What keeps tasks from being placed, or the close from ending; "" if nothing does (S6)."""
        return self.prospects.why(now)

    def status(self, now: float) -> dict[str, Any]:
        """Everything that a monitor shows of it."""
        return {
            "state": self.turn.state.value,
            "reservation": self.turn.reservation,
            "why": self.why(now),
            "usable": self.crew.usable,
            "nodes": [survey.describe(node) for node in self.nodes_held.values()],
        }

    # Peers.

    def _heard(self, event: Heard, now: float, out: list[Action]) -> None:
        kind = type(event.message)
        node = self.nodes_held.get(event.peer)
        if node is not None:
            self.holdings.heard(node, now, out)
            of_node = self.holdings.said.get(kind)
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
        if kind is m.Released and self.holdings.to_release.get(event.peer) == event.message.lease:
            del self.holdings.to_release[event.peer]
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
        if Role.SCHEDULER in event.roles and self.turn.found(event.peer, event.location, event.dialled, out):
            return
        node = self.nodes_held.get(event.peer)
        if node is not None:
            node.up = True
            node.suspect = False
            if node.state is NodeState.DISCOVERED:
                node.why = ""
            self.holdings.heard(node, now, out)
            self.holdings.prepare(node, out)
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
            self.holdings.refresh(node, out)
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
            self.holdings.heard(node, now, out)
            self.holdings.refresh(node, out)
        server = self.crew.servers.get(event.peer)
        if server is not None:
            self.crew.peer_back(server, out)

    def _peer_gone(self, event: PeerGone, now: float, out: list[Action]) -> None:
        self._peers.pop(event.peer, None)
        self.holdings.returned.pop(event.peer, None)
        self.holdings.to_release.pop(event.peer, None)
        if event.peer == self.turn.scheduler:
            self.turn.lost(now, out)
            if self.turn.state is TurnState.CLOSING:
                self._deadlines.set(_CLOSE, now + self._time_to_close())
        node = self.nodes_held.get(event.peer)
        if node is not None:
            node.up = False
            self.holdings.give_back(node, True, out)
            text = f"node {node.facts.name} at {node.location} is gone: {event.reason}"
            self.holdings.gone(node, text, End.NODE_LOST, True, now, out)
        server = self.crew.servers.get(event.peer)
        if server is not None:
            self.crew.peer_lost(server, event.reason, now, out)

    def _dial_failed(self, event: DialFailed, now: float, out: list[Action]) -> None:
        incarnation = self.holdings.at.get(event.location)
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
            self.holdings.gap_end = now

    # The scheduler speaks.

    def _begin_schedule(self, event: o.BeginSchedule, now: float, out: list[Action]) -> None:
        state = self.turn.state
        if state is TurnState.NONE:
            self.turn.begin(event, out)
        elif state is TurnState.CLOSED or self.turn.ending:
            out.append(o.Answered(event.ticket, -1, "the client is closed"))
        elif self.turn.scheduler is None:
            # The I/O half found the successor of a scheduler that we lost.
            self.turn.begin(event, out)
            out.append(o.Answered(event.ticket, 0))
        else:
            out.append(o.Answered(event.ticket, -1, f"the client is {state.value} already"))

    def _give_up_schedule(self, event: o.GiveUpSchedule, now: float, out: list[Action]) -> None:
        if self.turn.state is TurnState.QUEUED and self.turn.ticket == event.ticket:
            why = self.turn.why(now)
            self.turn.give_up(out)
            self.turn.refused = f"it was not scheduled in time: {why}"
            out.append(o.Answered(event.ticket, -1, self.turn.refused))

    def _register_again(self, message: m.RegisterAgain, now: float, out: list[Action]) -> None:
        if self.turn.waits:
            self.turn.ask(out)

    def _queued(self, message: m.Queued, now: float, out: list[Action]) -> None:
        if message.ticket == self.turn.ticket:
            if self.turn.state is TurnState.QUEUED and message.place != self.turn.place:
                text = f"client {self.turn.name} is at place {message.place} of the queue: {message.reason}"
                out.append(Note("info", text))
            self.turn.place = message.place
            self.turn.reason = message.reason
            self.turn.told_at = now
            self.prospects.told(message.reason, out)

    def _scheduled(self, message: m.Scheduled, now: float, out: list[Action]) -> None:
        if message.ticket != self.turn.ticket:
            return
        if not self.turn.waits:
            # It was refused or given up meanwhile: who holds the cluster for it is to let go.
            self.turn.decline(message.ticket, out)
            return
        # Also when it is said again, to who claimed its turn: another scheduler may ask for more.
        self.turn.redact = tuple(message.redact)
        self._follow_work(0.0, now)
        if self.turn.state is not TurnState.QUEUED:
            return
        self.turn.move("scheduled")
        self.turn.reservation = message.reservation
        self.turn.reason = ""  # it waits for nodes now
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
            self.turn.refused = f"its scheduler refused it: {message.reason}"
            out.append(o.Answered(message.ticket, -1, message.reason))
        elif self.turn.waits:
            self._over(f"the scheduler does not know our turn any more: {message.reason}", now, out)

    def _client_ended(self, message: m.ClientEnded, now: float, out: list[Action]) -> None:
        if message.reservation == self.turn.reservation and self.turn.waits:
            self._over(message.reason, now, out)

    def _tell_demand(self, message: m.TellDemand, now: float, out: list[Action]) -> None:
        if message.reservation == self.turn.reservation and self.turn.state is TurnState.SCHEDULED:
            self._follow_work(message.every, now)
            if self._demand_every:
                out.append(o.SayDemand(anew=True))

    def _follow_work(self, every: float, now: float) -> None:
        self._demand_every = max(_OFTEN, every) if every else 0.0
        if every:
            self._deadlines.set(_DEMAND, now + self._demand_every)
        else:
            self._deadlines.drop(_DEMAND)

    def _close_asked(self, message: m.CloseAsked, now: float, out: list[Action]) -> None:
        if message.reservation == self.turn.reservation and not self.turn.ending:
            out.append(o.PleaseClose(message.terminate, message.reason))

    def _granted(self, message: m.NodeGranted, now: float, out: list[Action]) -> None:
        if message.reservation != self.turn.reservation or not self.turn.waits:
            return
        if self.turn.ending:
            self.holdings.to_release[message.facts.incarnation] = message.lease
        else:
            self.turn.reason = ""
            self.holdings.granted(message, now, out)

    def _node_ignored(self, message: m.NodeIgnored, now: float, out: list[Action]) -> None:
        if message.reservation != self.turn.reservation or not self.turn.waits:
            return  # an end that the scheduler could not be told
        self.prospects.ignored = f"node {message.facts.name}: {message.reason}"
        info = avail_info(message.facts, 0, message.reason)
        out.append(o.Notify(DispycosStatus(Status.NodeIgnore, info, message.reason)))

    # A server or the program speaks.

    def _close_request(self, server: Server, message: m.CloseRequest, now: float, out: list[Action]) -> None:
        if message.node:
            self.holdings.close(server.node, message.terminate, "a task closed its node", now, out)
        else:
            restart = message.restart or self._plan.restart
            self.crew.close(server, message.terminate, restart, "a task closed its server", now, out)

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
            first = not self.turn.ending
            self.turn.ending = True
            self.prospects.awaited.fail(Closed, "the client closes", out)
            for node in list(self.nodes_held.values()):
                self.holdings.close(node, event.terminate, "the client closes", now, out)
            if first:
                self._closed_if_empty(now, out)

    def _closed_if_empty(self, now: float, out: list[Action]) -> None:
        if self.turn.ending and not self.nodes_held and self.turn.state is TurnState.SCHEDULED:
            self.turn.close(out)
            self._deadlines.set(_CLOSE, now + self._time_to_close())

    def _time_to_close(self) -> float:
        # The scheduler itself waits for the nodes: their grace, and its own request_timeout.
        # One that is gone may have ended with our turn, or be about to come back.
        known = self.turn.reachable
        return self.limits.request_timeout * (2 if known else 0.5) + self.limits.grace * known

    def _close_due(self, now: float, out: list[Action]) -> None:
        # The scheduler does not answer: the nodes are told directly.
        for incarnation, lease in self.holdings.to_release.items():
            message = m.Release(self.turn.reservation, True, "the client closed", lease)
            out.append(Say(incarnation, message))
        self._over("closed; the scheduler could not be told", now, out, -1)

    def _over(self, reason: str, now: float, out: list[Action], code: int = 0) -> None:
        """The turn is over: nothing of it may be left here."""
        asked = self.turn.ending or self.turn.state in (TurnState.NONE, TurnState.QUEUED)
        had_turn = self.turn.state in (TurnState.SCHEDULED, TurnState.CLOSING)
        self.turn.ending = False
        self.prospects.awaited.fail(PeerLost, f"the client's turn is over: {reason}", out)
        location = self._scheduler_location()
        for node in list(self.nodes_held.values()):
            self.holdings.gone(node, f"the turn is over: {reason}", End.CANCELLED, False, now, out)
        self.turn.end(out)
        self.holdings.to_release.clear()
        self.holdings.returned.clear()
        self._deadlines.drop(_CLOSE)
        self._deadlines.drop(_DEMAND)
        if not asked:
            out.append(Note("warning", f"the turn of client {self.turn.name} is over: {reason}"))
        if had_turn:
            out.append(o.Notify(DispycosStatus(Status.ClientClosed, location, reason)))
        self._answer_close(code, reason if code else "", out)
        out.append(o.TurnEnded(reason))

    def _answer_close(self, code: int, reason: str, out: list[Action]) -> None:
        out.extend(o.Answered(ticket, code, reason) for ticket in self.turn.tickets)
        self.turn.tickets.clear()
