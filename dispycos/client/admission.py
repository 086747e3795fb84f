"""Admission: a task that is at no server is placed, waits in its line, or is refused.

A part of `client.dispatch`. It is refused only if what it is meant for will never take it. What
comes back from a server before it began waits again ahead of all, the oldest first (R-44).

Pure. Layer 2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dispycos.client.credits import Node, Server
from dispycos.client.gate import Gate
from dispycos.client.placement import Placement
from dispycos.client.submission import Cause, Stage, Submission
from dispycos.model import Incarnation

_SENT = Stage.SENT


class Admission:
    """The way of one client's tasks to a server, the first time and again.

    gone  servers and nodes that are no more, and why.
    """

    __slots__ = ("_gate", "_gone", "_placement")

    def __init__(self, gate: Gate, placement: Placement, gone: Mapping[Incarnation, str]) -> None:
        self._gate = gate
        self._placement = placement
        self._gone = gone

    def place_or_queue(self, task: Submission, front: bool, now: float, actions: list[Any]) -> None:
        """Place a READY task, or have it wait: at the front if it waited before."""
        line = self._placement.line_of(task)
        server = None if line is None or line.count else self._placement.candidate(task)
        if server is not None:
            self._placement.place(task, server, now, actions)
        else:
            self.wait_or_refuse(task, front, now, actions)

    def wait_or_refuse(self, task: Submission, front: bool, now: float, actions: list[Any]) -> None:
        """No server takes it now: it waits, unless none ever will."""
        line = self._placement.line_of(task)
        if line is None:
            self._gate.reject(task, self._why_nowhere(task), now, actions)
        elif task.where is None and self._placement.hopeless:
            self._gate.reject(task, self._placement.hopeless, now, actions)
        elif front:
            line.put_back(task)
        else:
            line.append(task)

    def _why_nowhere(self, task: Submission) -> str:
        assert task.where is not None
        if task.where in self._placement.servers:
            why = "it is being closed"
        else:
            why = self._gone.get(task.where, "it is not known here")
        return f"the server or node that it is meant for takes no tasks: {why}"

    # At no server any more.

    def given_back(self, server: Server, ids: list[int], now: float, actions: list[Any]) -> None:
        """The server says that these never began there and never will."""
        tasks = []
        for key in ids:
            task = server.sent.get(key) or server.io.get(key)
            if task is not None and task.stage is _SENT:
                self._placement.take(task)
                tasks.append(task)
        self.again(tasks, now, actions)
        # Whoever idles comes first; only then may the server that gave them back take some again.
        self._placement.place_waiting(server.node, now, actions)
        self._placement.settle(server, now, actions)
        self._placement.balance(now, actions)

    def unplace(self, server: Server, now: float, actions: list[Any]) -> None:
        """What is only noted for a server that takes nothing now goes elsewhere."""
        if not server.usable and server.outbox:
            noted = self._placement.unsaid(server)
            for task in noted:
                self._placement.take(task)
            self.again(noted, now, actions)

    def again(self, tasks: Iterable[Submission], now: float, actions: list[Any]) -> None:
        """These are at no server and never began: they wait again, ahead of all, oldest first."""
        for task in sorted(tasks, key=lambda t: t.order, reverse=True):
            task.move(Cause.GIVE_BACK)
            if task.cancel is not None:
                end, reason = task.cancel
                self._gate.end(task, end, f"{reason}; {task!r} never began", actions)
            else:
                self.wait_or_refuse(task, True, now, actions)

    def refuse_lines(
        self, place: Server | Node | Placement, why: str, now: float, actions: list[Any]
    ) -> None:
        """Refuse what waits for this place: nothing will be taken there any more."""
        for task in [*place.line.waiting(), *place.io_line.waiting()]:
            self._gate.reject(task, why, now, actions)
