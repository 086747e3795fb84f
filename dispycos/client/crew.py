"""The crew: all servers of one client, from ServerStarted to their proved end.

The part of the fleet that decides about servers: which is dialled, set up, told to dispatch
as usable, suspended, held, closed, and what is told when one is gone. `fleet` decides about
nodes and hands over what concerns servers.

A server is gone when its node proves it (ServerEnded), when its node is gone, or when the
node can't be asked and the user chose not to wait (R-47). Exactly one ServerGone follows each
ServerUsable, one ServerClosed each ServerDiscovered (R-92).

Pure. Rules S2, R-05, R-09, R-12, R-47, R-92. Rows DC-08, DC-11, DC-12, DC-24 to DC-27.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import Any

from dispycos.client.events import (
    LeaseChanged,
    ServerBack,
    ServerClosing,
    ServerGone,
    ServerResumed,
    ServerSuspect,
    ServerSuspended,
    ServerUsable,
)
from dispycos.client.members import Node, NodeState, Server, ServerState
from dispycos.client.orders import Answered, Notify
from dispycos.config import Limits
from dispycos.deadlines import Deadlines
from dispycos.events import Action, Dial, Note, Say, StopDialling
from dispycos.messages import CloseServer, ServerEnded, ServerFacts, SetUpServer
from dispycos.model import DispycosStatus, End, Incarnation, Location, Payload, Status
from dispycos.records import record
from dispycos.story import Stories

# After a grace passed on the node, its word takes so many seconds before it is doubted.
WORD = 1.0

_NORMAL = (Status.ServerInitialized, Status.ServerResumed)


@record(frozen=False)
class CrewPlan:
    """What a client wants of every server."""

    reservation: int = 0
    setup: Payload | None = None  # server_setup without arguments
    wait: bool = False  # disable_servers: wait for enable_server
    restart: bool = False  # restart_servers
    silence: float = 0.0  # Z; 0: never
    # Fleet's: a node has lost its last server.
    on_empty: Callable[[Node, float, list[Action]], None] = field(default=lambda node, now, out: None)


class Crew:
    """Servers by incarnation and by location."""

    def __init__(self, limits: Limits, plan: CrewPlan, deadlines: Deadlines[Any], stories: Stories) -> None:
        self.limits = limits
        self.plan = plan
        self.servers: dict[Incarnation, Server] = {}
        self.at: dict[Location, Server] = {}  # the latest server at each location
        self.usable = 0  # servers that would get a task now
        self._deadlines = deadlines
        self._stories = stories

    # Its life.

    def started(self, node: Node, facts: ServerFacts, up: bool, now: float, out: list[Action]) -> None:
        """Its node announces it. `up`: a session to it lives already."""
        if facts.incarnation in self.servers:
            return
        server = Server(facts.incarnation, facts.location, node, facts.index, up=up)
        node.delayed.pop(facts.index, None)
        node.servers[facts.incarnation] = server
        self.servers[facts.incarnation] = server
        self.at[facts.location] = server
        self._stories.add(facts.incarnation, now, f"started at {facts.location}, pid {facts.pid}")
        if node.state not in (NodeState.INITIALIZED, NodeState.PREPARING):
            # Its node is closing or restarting: it comes too late to be of use.
            self.end(server, 0.0, False, node.why or "its node closes", now, out)
            return
        if not up:
            out.append(Dial(facts.location, self.plan.reservation))
        deaths = node.setup_deaths.get(facts.index, 0)
        if deaths >= self.limits.setup_retries:
            # Its setup has killed as many processes as may be: this one is kept for another try.
            server.move("failed")
            server.why = f"server_setup ended its process {deaths} times"
            return
        self._open_stream(server, out)
        self.set_up(server, out)

    def _open_stream(self, server: Server, out: list[Action]) -> None:
        server.shown = None
        self._notify(server, Status.ServerDiscovered, out)

    def set_up(self, server: Server, out: list[Action]) -> None:
        """Say SetUpServer as soon as it is reached and enabled."""
        node = server.node
        if server.state is not ServerState.DISCOVERED or not server.up:
            return
        if server.index in node.setups:
            setup = node.setups[server.index]
        elif not self.plan.wait:
            setup = self.plan.setup
        else:
            return
        server.move("set up")
        out.append(Say(server.incarnation, SetUpServer(self.plan.reservation, setup)))

    def enable(self, server: Server, setup: Payload | None, out: list[Action]) -> bool:
        """Set it up with these arguments; False if it does not wait for that (DC-38)."""
        if server.state is ServerState.FAILED:
            server.move("enable")
            server.why = ""
            server.node.setup_deaths.pop(server.index, None)
            self._open_stream(server, out)
        else:
            waits = server.state is ServerState.DISCOVERED and self.plan.wait
            if not waits or server.index in server.node.setups:
                return False
        server.node.setups[server.index] = setup
        self.set_up(server, out)
        return True

    def ready(self, server: Server, now: float, out: list[Action]) -> None:
        """Its server_setup is done."""
        if server.state is not ServerState.SETTING_UP:
            return
        server.move("ready")
        server.node.setup_deaths.pop(server.index, None)
        self._notify(server, Status.ServerInitialized, out)
        out.append(ServerUsable(server.incarnation, server.node.incarnation, server.node.lease))
        server.told = True
        self.usable += 1
        self._stories.add(server.incarnation, now, "set up")
        self.refresh(server, out)

    def setup_failed(self, server: Server, reason: str, now: float, out: list[Action]) -> None:
        """Its server_setup did not return 0: it is not used, and kept for another try (R-09)."""
        if server.state is not ServerState.SETTING_UP:
            return
        server.move("failed")
        server.why = reason
        self._stories.add(server.incarnation, now, reason)
        self._notify(server, Status.ServerClosed, out, f"server_setup failed: {reason}")
        out.append(Note("warning", f"server {server.location} is not used: server_setup failed: {reason}"))

    def ended(self, message: ServerEnded, now: float, out: list[Action]) -> None:
        """Its node proves that its process is gone."""
        server = self.servers.get(message.server)
        if server is None:
            return
        node, asked = server.node, message.asked
        if server.state is ServerState.SETTING_UP and not asked:
            node.setup_deaths[server.index] = node.setup_deaths.get(server.index, 0) + 1
        if server.restart and not message.restarts:
            node.delayed[server.index] = message.reason
        text = f"server {server.location} of node {node.facts.name}: {message.reason}"
        end = End.CANCELLED if asked else End.SERVER_LOST
        self.gone(server, text, message.begun, message.begun_io, end, not asked, now, out)

    def gone(
        self,
        server: Server,
        reason: str,
        begun: int,
        begun_io: int,
        end: End,
        lost: bool,
        now: float,
        out: list[Action],
    ) -> None:
        """It is no more; `lost`: nobody asked it to end."""
        node = server.node
        if not server.up:
            out.append(StopDialling(server.location))
        self._count(server, -1)
        server.move("gone")
        del self.servers[server.incarnation]
        del node.servers[server.incarnation]
        if self.at.get(server.location) is server:
            del self.at[server.location]
        self._deadlines.drop(("server", server.incarnation))
        self._stories.add(server.incarnation, now, f"gone: {reason}")
        if server.told:
            server.told = False
            out.append(ServerGone(server.incarnation, reason, begun, begun_io, end))
        if server.shown is not None:
            if lost:
                self._notify(server, Status.ServerAbandoned, out, reason)
            self._notify(server, Status.ServerClosed, out, reason)
        out.extend(Answered(ticket, 0) for ticket in server.tickets)
        server.tickets.clear()
        if not node.servers:
            self.plan.on_empty(node, now, out)

    # Closing.

    def close(
        self,
        server: Server,
        terminate: bool,
        restart: bool,
        why: str,
        now: float,
        out: list[Action],
        ticket: int | None = None,
    ) -> None:
        """End it when its tasks are done, or with them if `terminate` (DC-26)."""
        if ticket is not None:
            server.tickets.append(ticket)
        server.restart = restart
        server.why = why
        if server.node.silent:
            # It can't be asked, and the caller chose to close it: that ends the wait.
            self.end(server, 0.0, restart, why, now, out)
            self._give_up(server, now, out)
        elif server.state is ServerState.INITIALIZED:
            self._count(server, -1)
            server.move("close")
            out.append(ServerClosing(server.incarnation, terminate))
            self._set_force(server, terminate, now, out)
        elif server.state is ServerState.CLOSING:
            if terminate and server.force_at is None:
                out.append(ServerClosing(server.incarnation, True))
                self._set_force(server, True, now, out)
        elif server.state is not ServerState.ENDING:
            self.end(server, self.limits.grace, restart, why, now, out)

    def _set_force(self, server: Server, terminate: bool, now: float, out: list[Action]) -> None:
        if server.silent:
            self.end(server, 0.0, server.restart, server.why, now, out)
        elif terminate:
            server.force_at = now + self.limits.grace + WORD
            self._arm(server)

    def finished(self, server: Server, now: float, out: list[Action]) -> None:
        """It says that nothing is left to do there."""
        if server.state is ServerState.INITIALIZED:
            self.close(server, False, self.plan.restart, "it ended by itself", now, out)
        if server.state is ServerState.CLOSING:
            self.end(server, self.limits.grace, server.restart, server.why, now, out)

    def end(
        self, server: Server, grace: float, restart: bool, why: str, now: float, out: list[Action]
    ) -> None:
        """Have its node end it; ServerEnded answers."""
        self._count(server, -1)
        if server.state is not ServerState.ENDING:
            server.move("end")
        server.restart = restart
        server.why = why
        server.force_at = now + grace + WORD
        self._arm(server)
        node = server.node
        message = CloseServer(self.plan.reservation, server.incarnation, restart, grace, why)
        out.append(Say(node.incarnation, message))

    def _give_up(self, server: Server, now: float, out: list[Action]) -> None:
        text = f"{server.why}; node {server.node.facts.name} could not be asked, it is silent"
        self.gone(server, text, -1, -1, End.ABANDONED, False, now, out)

    # Its session.

    def peer_up(self, server: Server, out: list[Action]) -> None:
        server.up = True
        self.set_up(server, out)

    def peer_suspect(self, server: Server, now: float, out: list[Action]) -> None:
        server.suspect = True
        if self.plan.silence:
            server.silent_at = now + self.plan.silence
            self._arm(server)
        self.refresh(server, out)

    def peer_back(self, server: Server, out: list[Action]) -> None:
        server.suspect = server.silent = False
        server.silent_at = None
        self._arm(server)
        self.refresh(server, out)

    def peer_lost(self, server: Server, reason: str, now: float, out: list[Action]) -> None:
        """No session to it can be had; its node has the proof and the counters (R-05)."""
        server.lost = reason
        server.up = False
        server.silent_at = None
        server.proof_at = now + self.limits.request_timeout / 2
        self._arm(server)
        self.refresh(server, out)

    # What is told of it.

    def refresh(self, server: Server, out: list[Action]) -> None:
        """Tell dispatch and status_task what changed in suspension, silence or lease."""
        suspended, held = server.closed_to_tasks, server.held
        if server.told:
            was_free = not server.shown_suspended and not server.shown_held
            if suspended != server.shown_suspended:
                server.shown_suspended = suspended
                out.append((ServerSuspended if suspended else ServerResumed)(server.incarnation))
            if held != server.shown_held:
                server.shown_held = held
                out.append((ServerSuspect if held else ServerBack)(server.incarnation))
            is_free = not suspended and not held
            if server.state is ServerState.INITIALIZED:
                self.usable += is_free - was_free
        if server.shown is None or not server.told:
            return
        wanted = server.wanted_status()
        if wanted is not server.shown and not (wanted in _NORMAL and server.shown in _NORMAL):
            self._notify(server, wanted, out)

    def lease_changed(self, server: Server, out: list[Action]) -> None:
        if server.told:
            out.append(LeaseChanged(server.incarnation, server.node.lease))

    def _count(self, server: Server, by: int) -> None:
        if server.usable:
            self.usable += by

    def _notify(self, server: Server, status: Status, out: list[Action], reason: str = "") -> None:
        server.shown = None if status is Status.ServerClosed else status
        out.append(Notify(DispycosStatus(status, server.location, reason)))

    # Time.

    def _arm(self, server: Server) -> None:
        due = server.due
        if due is None:
            self._deadlines.drop(("server", server.incarnation))
        else:
            self._deadlines.set(("server", server.incarnation), due)

    def due(self, incarnation: Incarnation, gap_end: float, now: float, out: list[Action]) -> None:
        """A deadline of this server has come; silence counts anew from `gap_end` (R-46)."""
        server = self.servers.get(incarnation)
        if server is None:
            return
        node = server.node
        if server.silent_at is not None:
            server.silent_at = max(server.silent_at, gap_end + self.plan.silence)
        if server.silent_at is not None and now >= server.silent_at:
            server.silent_at = None
            server.silent = True
            self.refresh(server, out)
            if server.state is ServerState.CLOSING:
                self.end(server, 0.0, server.restart, server.why, now, out)
        if server.proof_at is not None and now >= server.proof_at:
            server.proof_at = None
            if node.unreachable:
                server.proof_at = now + 2 * WORD
            elif server.state is not ServerState.ENDING:
                why = f"it can't be reached any more: {server.lost}"
                self.end(server, 0.0, True, why, now, out)
        if server.force_at is not None and now >= server.force_at:
            server.force_at = None
            if server.state is ServerState.CLOSING:
                why = f"{server.why}; it did not end in {self.limits.grace:g} s"
                self.end(server, 0.0, server.restart, why, now, out)
            elif node.unreachable:
                self._give_up(server, now, out)
                return
            else:
                server.force_at = now + 2 * WORD
        self._arm(server)
