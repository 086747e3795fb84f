"""Tasks that somebody wants ended, and those that do not end when they must.

A part of `client.dispatch`. The server decides a race with the task's own end (R-43). A task
that neither ends nor is ended by its server has the server's process ended: its node does that,
which holds even where C code keeps the interpreter to itself (R-08, DC-57).

Pure. Layer 2.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

from dispycos.client.credits import Server
from dispycos.client.gate import Gate
from dispycos.client.placement import Placement
from dispycos.client.submission import EndServer, Stage, Submission
from dispycos.config import Limits
from dispycos.events import Say
from dispycos.messages import CancelTask, Ending, NodeReport
from dispycos.model import End

FORCE_ALLOWANCE = 2.0  # seconds beyond a task's grace, before its server is ended for it

_SENT = Stage.SENT

# What an agenda calls: (subject, now, actions).
Due = Callable[[Any, float, list[Any]], None]


class Agenda:
    """What is to be looked at later. Whoever is called sees whether it still matters.

    Bounded by what lives: a cancelled or lost task has one entry, a refusing server likewise.
    """

    __slots__ = ("_entries", "_number")

    def __init__(self) -> None:
        self._entries: list[tuple[float, int, Due, Any]] = []
        self._number = 0

    def add(self, when: float, function: Due, subject: Any) -> None:
        self._number += 1
        heapq.heappush(self._entries, (when, self._number, function, subject))

    @property
    def first(self) -> float | None:
        return self._entries[0][0] if self._entries else None

    def run(self, now: float, actions: list[Any]) -> None:
        """Call what is due."""
        while self._entries and self._entries[0][0] <= now:
            _, _, function, subject = heapq.heappop(self._entries)
            function(subject, now, actions)


class Cancels:
    """The wishes to end tasks, of one client."""

    __slots__ = ("_agenda", "_gate", "_limits", "_placement")

    def __init__(self, limits: Limits, gate: Gate, placement: Placement, agenda: Agenda) -> None:
        self._limits = limits
        self._gate = gate
        self._placement = placement
        self._agenda = agenda

    def cancel(
        self, task: Submission, reason: str, end: End, grace: float | None, now: float, actions: list[Any]
    ) -> None:
        """End a living task: at once if it was not handed over, else its server is asked."""
        if task.stage is not _SENT:
            server = self._placement.take(task) if task.server is not None else None
            self._gate.end(task, End.CANCELLED, f"{reason}; {task!r} had not begun", actions)
            if server is not None:
                self._placement.settle(server, now, actions)
            return
        wait = self._limits.grace if grace is None else grace
        # Asked again: the shorter grace counts, as of a map that was dropped before its client closes.
        if task.cancel is None or now + wait < task.force_at:
            server = task.server
            assert server is not None
            task.cancel = task.cancel or (End.CANCELLED, reason)
            task.force_at = now + wait
            actions.append(Say(server.incarnation, CancelTask(task.id, task.attempt, end, wait, reason)))
            self._agenda.add(now + wait + FORCE_ALLOWANCE, self._overdue, (task, task.attempt, server))

    def all(self, reason: str, grace: float, io_only: bool, now: float, actions: list[Any]) -> None:
        # Those that wait come first, or each server that falls free would be given the next of them.
        for task in sorted(self._gate.tasks.values(), key=lambda t: t.stage):
            if task.io or not io_only:
                self.cancel(task, reason, End.FAILED, grace, now, actions)

    def _overdue(self, subject: tuple[Submission, int, Server], now: float, actions: list[Any]) -> None:
        """Neither the task nor its server did what they had to: the node must end the process."""
        task, attempt, server = subject
        if task.server is not server or task.attempt != attempt or task.stage is not _SENT:
            return
        if server.suspect and not server.stuck:  # kept means kept: the answer may only be under way
            self._agenda.add(now + FORCE_ALLOWANCE, self._overdue, subject)
        elif not server.forced:
            if task.cancel is None:
                task.cancel = (End.TIMED_OUT, f"it ran longer than its timeout of {task.timeout:g} s")
            server.forced = f"{task!r} did not end when it had to ({task.cancel[1]})"
            actions.append(EndServer(server.incarnation, server.forced))

    def progress(self, report: NodeReport, now: float) -> None:
        """What a node saw begin on its servers: from here on we count time-outs too (R-08)."""
        for facts in report.servers:
            server = self._placement.servers.get(facts.incarnation)
            if server is not None:
                self._time(server, server.sent, server.timed, facts.begun, now)
                self._time(server, server.io, server.timed_io, facts.begun_io, now)
                server.stuck = facts.unresponsive > 0
                server.begun = max(server.begun, facts.begun)
                server.timed = max(server.timed, facts.begun)
                server.timed_io = max(server.timed_io, facts.begun_io)

    def _time(self, server: Server, tasks: dict[int, Submission], timed: int, begun: int, now: float) -> None:
        if begun <= timed:
            return
        for task in tasks.values():
            if task.timeout and timed < task.position <= begun:
                wait = task.timeout + self._limits.grace + FORCE_ALLOWANCE
                self._agenda.add(now + wait, self._overdue, (task, task.attempt, server))

    def ending(self, server: Server, message: Ending) -> None:
        """A server is about to end its process for the sake of this task."""
        task = server.sent.get(message.id) or server.io.get(message.id)
        if task is not None and task.attempt == message.attempt:
            task.cancel = (message.end, message.reason)
            server.forced = f"{task!r} did not yield ({message.reason})"
            server.forced_for = task
