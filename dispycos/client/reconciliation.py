"""Reconciliation: what a server says that it holds, against what it was given (R-36).

A part of `client.dispatch`. A server says so on each new session, now and then, and when it misses
something. A task that it ought to hold and does not is lost; one that it ought not to hold is
cancelled there.

Pure. Layer 2.
"""

from __future__ import annotations

from typing import Any

from dispycos.client.acknowledgements import Acknowledgements
from dispycos.client.attendance import Attendance
from dispycos.client.credits import Server
from dispycos.client.lost_attempts import LostAttempts
from dispycos.client.placement import Placement
from dispycos.client.submission import Stage, Submission
from dispycos.config import Limits
from dispycos.events import Say
from dispycos.messages import CancelTask, Holding
from dispycos.model import End

_SENT = Stage.SENT


class Reconciliation:
    """Compares one client's servers with its tasks."""

    __slots__ = ("_acks", "_attendance", "_limits", "_lost_attempts", "_placement")

    def __init__(
        self,
        limits: Limits,
        placement: Placement,
        lost_attempts: LostAttempts,
        acks: Acknowledgements,
        attendance: Attendance,
    ) -> None:
        self._limits = limits
        self._placement = placement
        self._lost_attempts = lost_attempts
        self._acks = acks
        self._attendance = attendance

    def holding(self, server: Server, message: Holding, now: float, actions: list[Any]) -> None:
        """What the server holds, and how far it received what it was told."""
        held = {*message.waiting, *message.begun, *message.ended}
        for task in _missing(server, message, held):
            self._placement.take(task)
            why = "the server has no record of it, though it was handed over"
            self._lost_attempts.take(task, server, End.SERVER_LOST, why, True, now, actions)
        for key in (*message.waiting, *message.begun):
            if key not in server.sent and key not in server.io:
                why = f"its client knows of no task {key} on this server"
                cancel = CancelTask(key, 0, End.CANCELLED, self._limits.grace, why)
                actions.append(Say(server.incarnation, cancel))
        # None of them waits there: the Recall was answered, or asks for nothing any more.
        if server.recalling.isdisjoint(message.waiting):
            server.recalling = frozenset()
        if message.received < server.position or message.received_io < server.position_io:
            # Either it is under way still, or it never arrived: our count will tell the server.
            server.unseen = 1
        self._acks.say([server], actions)
        self._attendance.accepts(server, now, actions)


def _missing(server: Server, message: Holding, held: set[int]) -> list[Submission]:
    """What it must have received and does not hold; what has a later position is under way still."""
    return [
        task
        for tasks, received in ((server.sent, message.received), (server.io, message.received_io))
        for task in tasks.values()
        if task.stage is _SENT and task.position <= received and task.id not in held
    ]
