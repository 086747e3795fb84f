"""What is asked while somebody watches: what tasks do just now, and what servers print and use.

Nothing is remembered of a question: whoever looks asks again and again, and who looks no more is
silent. So nothing of this costs anything while no monitor is looked at.

Pure. Layer 0.
"""

from __future__ import annotations

from typing import Any

from dispycos.model import Incarnation
from dispycos.protocol.facts import ServerSight, TaskSight
from dispycos.records import record

MAX_SIGHTS = 200  # tasks told of in one answer, those that run longest
MAX_STACK = 12  # lines of a stack, the innermost
MAX_PRINTED = 200  # lines that a node keeps of each server ...
MAX_PRINTED_BYTES = 64 * 1024  # ... and tells at most
NO_LINES = 1 << 62
MAX_ASKED = 256  # servers in one question


# A client says to its server.


@record
class LookAtTasks:
    """What do your tasks do just now? Answered by TasksSeen."""


# A client says to its node.


@record
class LookAtServers:
    """What do these servers of mine use, and what did they print after those lines? See ServersSeen."""

    reservation: int
    servers: list[Incarnation]
    after: list[int]  # number of the last line known of each; NO_LINES: none are wanted


# A server says to its client.


@record
class TasksSeen:
    """These run here, the longest first; more may."""

    tasks: list[TaskSight]


# A node says to its client.


@record
class ServersSeen:
    """What those of the servers do that are here."""

    reservation: int
    servers: list[ServerSight]


NUMBERS: dict[int, type[Any]] = {
    100: LookAtTasks,
    101: LookAtServers,
    105: TasksSeen,
    106: ServersSeen,
}
