"""Tasks as the client knows them, and what happens to them at the client.

Values of `client.dispatch`: what it is given, what it answers, and the stages of a task. What it
hears of servers stands in `client.events`. Pure. Layer 2.
"""

from __future__ import annotations

import enum
from typing import Any, Final

from dispycos.model import CodeHash, End, Incarnation, Outcome, Payload
from dispycos.records import record


# Integers, because the enum's own hash is Python code and stands in the hot path.
class Stage(enum.IntEnum):
    READY = 1  # to be placed or queued within this event
    QUEUED = 2  # waits in a line
    PLACED = 3  # has a server; its Submit is not said yet
    SENT = 4  # handed over
    PAUSED = 5  # waits before it is tried again
    ENDED = 6


class Cause(enum.IntEnum):
    QUEUE = 1
    PLACE = 2
    SEND = 3
    GIVE_BACK = 4  # it never began there, and never will
    PAUSE = 5  # its attempt was lost and another is allowed
    DUE = 6
    END = 7


# One dict in another: a tuple for each of a task's moves would cost as much as the lookup.
STAGES: dict[Stage, dict[Cause, Stage]] = {
    Stage.READY: {Cause.QUEUE: Stage.QUEUED, Cause.PLACE: Stage.PLACED, Cause.END: Stage.ENDED},
    Stage.QUEUED: {Cause.PLACE: Stage.PLACED, Cause.END: Stage.ENDED},
    Stage.PLACED: {Cause.SEND: Stage.SENT, Cause.GIVE_BACK: Stage.READY, Cause.END: Stage.ENDED},
    Stage.SENT: {Cause.GIVE_BACK: Stage.READY, Cause.PAUSE: Stage.PAUSED, Cause.END: Stage.ENDED},
    Stage.PAUSED: {Cause.DUE: Stage.READY, Cause.END: Stage.ENDED},
    Stage.ENDED: {},
}


FIRST: Final = 1 << 64  # a priority above any that a program asks for, as far as anybody has


class Submission:
    """One task. The first fields are the caller's, the others belong to `dispatch`.

    where      None: any server; a node's incarnation: any server there; a server's: only that.
    priority   higher first; equal ones in order of submission.
    retries    further attempts after SERVER_LOST, NODE_LOST or ABANDONED (R-41).
    timeout    seconds from its begin; 0: none (R-43).
    pinned     never moved once it was handed over.
    announce   Placed is answered for each placement.
    name       for texts, as `compute`.
    owner      the caller's own; never looked into, so that no table by id is needed beside ours.
    """

    __slots__ = (
        "announce",
        "args",
        "attempt",
        "begun",
        "cancel",
        "deaths",
        "force_at",
        "function",
        "id",
        "io",
        "line",
        "loss",
        "max_worker_deaths",
        "name",
        "order",
        "owner",
        "parked",
        "pinned",
        "position",
        "priority",
        "retries",
        "server",
        "since",
        "stage",
        "submitted",
        "timeout",
        "where",
    )

    def __init__(
        self,
        id: int,
        function: CodeHash,
        args: Payload | None,
        io: bool = False,
        where: Incarnation | None = None,
        priority: int = 0,
        retries: int = 0,
        timeout: float = 0.0,
        max_worker_deaths: int = 3,
        pinned: bool = False,
        announce: bool = True,
        name: str = "task",
        owner: Any = None,
    ) -> None:
        self.id = id
        self.function = function
        self.args = args  # None once it has ended
        self.io = io
        self.where = where
        self.priority = priority
        self.retries = retries
        self.timeout = timeout
        self.max_worker_deaths = max_worker_deaths
        self.pinned = pinned
        self.announce = announce
        self.name = name
        self.owner = owner
        self.stage = Stage.READY
        self.attempt = 1
        self.order = 0  # rises with each submission
        self.line: Any = None  # the Line, while QUEUED; both types stand above this file
        self.server: Any = None  # the Server, while PLACED or SENT
        self.position = 0  # there, from 1; CPU and I/O tasks each by itself
        self.submitted = 0.0  # when
        self.since = 0.0  # when it was submitted, placed last, or paused
        self.begun = 0.0  # when the CPU task ahead of it had ended; before `since`: none was ahead
        self.deaths: tuple[str, ...] = ()  # servers that died while an attempt had begun there
        self.parked = False  # what is sent to it waits behind what waits already (`client.parking`)
        self.cancel: tuple[End, str] | None = None  # somebody wants it ended, and why
        self.force_at = 0.0  # when its server ends it by force, if it was asked to; 0: it was not
        self.loss: tuple[End, str] | None = None  # how its last attempt was lost, if one was

    def __repr__(self) -> str:
        return f"{self.name}#{self.id & 0xFFFFFFFF}"

    def move(self, cause: Cause) -> None:
        """The only line that assigns a stage after the first."""
        self.stage = STAGES[self.stage][cause]


# Events, beside those of `client.events` and Heard of servers.


@record
class NodeExpected:
    """Tasks for this node wait from now on, also while it has no usable server."""

    node: Incarnation


@record
class NodeGone:
    """No server of this node will come any more: what waits for it is refused.

    lost  its name, if nobody closed it: the program is told what went with it.
    """

    node: Incarnation
    reason: str
    lost: str = ""


@record
class Closing:
    """No new tasks; AllDone is answered when none is left (I/O tasks count if `await_io`)."""

    reason: str
    await_io: bool


@record
class CancelAll:
    """End every task: those that have begun get KeyboardInterrupt, `grace` seconds, then force."""

    reason: str
    grace: float
    io_only: bool = False


@record
class CloseNow:
    """The client's turn is over: whatever lives ends here and now."""

    reason: str


# Actions, beside Say and Note.


@record(frozen=False)
class Placed:
    """This task is on its way to that server; may be answered again for another server."""

    task: Submission
    server: Incarnation


@record(frozen=False)
class Ended:
    """The task's final outcome (R-31). `poisoned`: errors.PoisonTask, its text is the outcome's."""

    task: Submission
    outcome: Outcome
    poisoned: bool = False


@record
class Drained:
    """A closing server has no CPU task of ours left."""

    server: Incarnation


@record
class EndServer:
    """Its process must be ended by force: a task there does not end (R-08, DC-57)."""

    server: Incarnation
    reason: str


@record
class AllDone:
    """After Closing: no task is left that it waits for."""
