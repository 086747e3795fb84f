"""Attendance: which servers and nodes are there to take tasks, and what becomes of tasks when that changes.

A part of `client.dispatch`, fed by the events of `client.events`: a server may be used, is
suspended, silent, told to close, gone. What had not begun there goes elsewhere; what had begun is
lost (`lost_attempts`). A server that refuses is held back for a while.

Pure. Layer 2. Rules D4, R-05, R-31, R-32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dispycos.client.acknowledgements import Acknowledgements
from dispycos.client.admission import Admission
from dispycos.client.cancels import Agenda, Cancels, Due
from dispycos.client.credits import Server
from dispycos.client.events import (
    LeaseChanged,
    NoServers,
    ServerBack,
    ServerClosing,
    ServerGone,
    ServerResumed,
    ServerSuspect,
    ServerSuspended,
    ServerUsable,
)
from dispycos.client.gate import Gate, Phase
from dispycos.client.lost_attempts import LostAttempts
from dispycos.client.placement import Placement
from dispycos.client.submission import FIRST, NodeExpected, NodeGone, Stage, Submission
from dispycos.events import Note, Say
from dispycos.messages import Ending, Finish
from dispycos.model import LOST_WITH_NODE, End, Incarnation
from dispycos.wording import listed, many

REFUSED_FIRST = 0.1  # seconds until a server that refused tasks is tried again; doubles ...
REFUSED_MAX = 5.0  # ... up to this; news of its lease end the wait at once
MAX_GONE = 1024  # servers remembered after their end, to tell late words from strange ones

_OPEN = Phase.OPEN
_SENT = Stage.SENT


class Attendance:
    """The servers of one client, as far as its tasks are concerned.

    gone  why servers and nodes are no more: kept here for all parts of dispatch, at most MAX_GONE,
          the oldest is forgotten.
    name  a server's, as reasons have it.
    """

    __slots__ = (
        "_acks",
        "_admission",
        "_agenda",
        "_cancels",
        "_gate",
        "_gone",
        "_lost_attempts",
        "_name",
        "_placement",
        "handlers",
    )

    def __init__(
        self,
        gate: Gate,
        placement: Placement,
        admission: Admission,
        agenda: Agenda,
        cancels: Cancels,
        lost_attempts: LostAttempts,
        acks: Acknowledgements,
        gone: dict[Incarnation, str],
        name: Callable[[Server], str],
    ) -> None:
        self._gate = gate
        self._placement = placement
        self._admission = admission
        self._agenda = agenda
        self._cancels = cancels
        self._lost_attempts = lost_attempts
        self._acks = acks
        self._gone = gone
        self._name = name
        self.handlers: dict[type, Due] = {
            ServerUsable: self._usable,
            ServerSuspended: self._suspended,
            ServerResumed: self._resumed,
            ServerSuspect: self._suspect,
            ServerBack: self._back,
            LeaseChanged: self._lease_changed,
            ServerClosing: self._closing,
            ServerGone: self._server_gone,
            NoServers: self._no_servers,
            NodeExpected: self._node_expected,
            NodeGone: self._node_gone,
        }

    # Servers come, change and go.

    def _usable(self, event: ServerUsable, now: float, actions: list[Any]) -> None:
        if event.server in self._placement.servers:
            return
        node = self._placement.node(event.node)
        server = self._placement.add(event.server, node, event.lease, now)
        for task in event.first:
            # Ahead of all that waits, whatever that is worth: so nothing runs there before.
            task.priority = FIRST
            self._gate.enter(task, now)
            if self._gate.phase is _OPEN and (line := self._placement.line_of(task)) is not None:
                line.append(task)
            else:
                self._gate.reject(task, "the client closed before its server came", now, actions)
        self._placement.settle(server, now, actions)

    def _suspended(self, event: ServerSuspended, now: float, actions: list[Any]) -> None:
        if server := self._placement.servers.get(event.server):
            server.move("suspend")
            self._takes_nothing(server, now, actions)

    def _resumed(self, event: ServerResumed, now: float, actions: list[Any]) -> None:
        if server := self._placement.servers.get(event.server):
            server.move("resume")
            self._placement.settle(server, now, actions)

    def _suspect(self, event: ServerSuspect, now: float, actions: list[Any]) -> None:
        if server := self._placement.servers.get(event.server):
            server.suspect = True
            server.stuck = False  # what was said before is no news of this silence
            self._takes_nothing(server, now, actions)

    def _back(self, event: ServerBack, now: float, actions: list[Any]) -> None:
        if server := self._placement.servers.get(event.server):
            server.suspect = False
            self._placement.settle(server, now, actions)
            self._placement.balance(now, actions)

    def _takes_nothing(self, server: Server, now: float, actions: list[Any]) -> None:
        self._admission.unplace(server, now, actions)
        self._placement.settle(server, now, actions)
        self._placement.place_waiting(server.node, now, actions)

    def _closing(self, event: ServerClosing, now: float, actions: list[Any]) -> None:
        server = self._placement.servers.get(event.server)
        if server is None:
            return
        first = not server.closing
        server.move("close")
        self._placement.recount(server)
        if first:
            self._admission.refuse_lines(server, "that server is being closed", now, actions)
            self._admission.unplace(server, now, actions)
            self._placement.recall(server, len(server.sent), None, now, actions)
        if event.terminate:
            reason = f"{self._name(server)} was closed with terminate=True"
            for task in [*server.sent.values(), *server.io.values()]:
                self._cancels.cancel(task, reason, End.FAILED, None, now, actions)
        if first:
            # In order: what it recalled it need not finish.
            actions.append(Say(server.incarnation, Finish(await_io=False)))
            self._acks.say([server], actions)
        self._takes_nothing(server, now, actions)

    def _server_gone(self, event: ServerGone, now: float, actions: list[Any]) -> None:
        server = self._placement.servers.get(event.server)
        if server is None:
            return
        server.move("gone")
        self._placement.remove(server)
        self._acks.drop(server)
        self._note_gone(event.server, event.reason)
        why = event.reason
        if server.forced:
            why = f"its process was ended because {server.forced}; {why}"
        never: list[Submission] = []
        for tasks, begun in ((server.sent, event.begun), (server.io, event.begun_io)):
            for task in tasks.values():
                if task.stage is not _SENT or 0 <= begun < task.position:
                    task.server = None
                    task.position = 0
                    never.append(task)
                else:
                    if event.end in LOST_WITH_NODE:
                        server.node.took.append(repr(task))
                    self._lost_attempts.take(task, server, event.end, why, begun >= 0, now, actions)
        self._admission.refuse_lines(server, f"that server is gone: {why}", now, actions)
        self._admission.again(never, now, actions)
        self._placement.place_waiting(server.node, now, actions)

    def _no_servers(self, event: NoServers, now: float, actions: list[Any]) -> None:
        self._placement.hopeless = event.reason if event.lasting else ""
        if event.reason:
            self._admission.refuse_lines(self._placement, event.reason, now, actions)

    # Nodes, which only group servers here.

    def _node_expected(self, event: NodeExpected, now: float, actions: list[Any]) -> None:
        self._placement.node(event.node)

    def _node_gone(self, event: NodeGone, now: float, actions: list[Any]) -> None:
        node = self._placement.nodes.get(event.node)
        if event.lost:
            took = node.took if node is not None else []
            what = event.reason if event.reason.startswith("node ") else f"node {event.lost}: {event.reason}"
            with_it = f"{many(len(took), 'task')} with it: {listed(took)}" if took else "no task was lost"
            actions.append(Note("warning", f"{what}; {with_it}"))
        if node is not None and not len(node.servers):
            self._admission.refuse_lines(node, f"that node is gone: {event.reason}", now, actions)
            del self._placement.nodes[event.node]
            self._note_gone(event.node, event.reason)

    def _note_gone(self, incarnation: Incarnation, reason: str) -> None:
        self._gone[incarnation] = reason
        if len(self._gone) > MAX_GONE:
            del self._gone[next(iter(self._gone))]

    # Servers that refuse tasks for now.

    def refused(self, server: Server, now: float) -> None:
        """It takes nothing just now: try again later, or when its lease changes."""
        wait = min(REFUSED_FIRST * 2.0 ** min(server.failures, 16), REFUSED_MAX)
        server.failures += 1
        server.refused = now + wait
        self._placement.recount(server)
        self._agenda.add(now + wait, self._try_again, server)

    def ending(self, server: Server, message: Ending, now: float, actions: list[Any]) -> None:
        """It is about to end its process, for the sake of a task."""
        self.refused(server, now)
        self._takes_nothing(server, now, actions)
        self._cancels.ending(server, message)

    def accepts(self, server: Server, now: float, actions: list[Any]) -> None:
        """It takes tasks again, as far as is known."""
        if server.incarnation in self._placement.servers:
            server.refused = 0.0
            self._placement.settle(server, now, actions)

    def _lease_changed(self, event: LeaseChanged, now: float, actions: list[Any]) -> None:
        if server := self._placement.servers.get(event.server):
            server.lease = event.lease
            self.accepts(server, now, actions)

    def _try_again(self, server: Server, now: float, actions: list[Any]) -> None:
        if 0 < server.refused <= now:
            self.accepts(server, now, actions)
