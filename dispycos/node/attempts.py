"""The attempts of one server: what happens to them, what is asked of their kernel, their stages.

Values of `node.execution`. Pure. Layer 2.
"""

from __future__ import annotations

import enum

from dispycos.model import End, Payload, TaskSpec
from dispycos.records import record

# Events, beside Heard, PeerUp, PeerBack and PeerGone of the client.


@record
class LeaseGiven:
    """Work under this lease number may begin for so many seconds from now; 0 ends it now."""

    number: int
    seconds: float


@record(frozen=False)
class Ended:
    """The kernel is through with an attempt; see `Execution.ended`."""

    id: int
    attempt: int
    end: End
    value: Payload | None
    text: str
    ran: float  # seconds


@record
class CloseWanted:
    """A task called dispycos_close_server or dispycos_close_node."""

    node: bool
    terminate: bool
    restart: bool


@record
class EndAll:
    """End everything within `grace` seconds: the node closes this server, or a signal came."""

    grace: float
    reason: str


# Actions, beside Say.


@record(frozen=False)
class Begin:
    """Start this attempt now."""

    spec: TaskSpec


@record
class Interrupt:
    """Raise KeyboardInterrupt in the task, at its yield."""

    id: int
    reason: str


@record
class BreakOff:
    """And if it is a plain call, which has no yield, raise it where that is."""

    id: int
    reason: str


@record
class ForceEnd:
    """Drop the task at its yield, whatever it wants."""

    id: int
    reason: str


@record
class EndProcess:
    """The task does not yield: end this process, as soon as what was said before is sent."""

    id: int
    reason: str


class Phase(enum.Enum):
    SERVING = "serving"
    DRAINING = "draining"  # takes nothing more, finishes what it has
    FINISHED = "finished"  # nothing is left, or the client is gone


PHASES: dict[tuple[Phase, str], Phase] = {
    (Phase.SERVING, "finish"): Phase.DRAINING,
    (Phase.DRAINING, "finish"): Phase.DRAINING,
    (Phase.DRAINING, "nothing left"): Phase.FINISHED,
    (Phase.SERVING, "process ends"): Phase.FINISHED,
    (Phase.DRAINING, "process ends"): Phase.FINISHED,
    (Phase.SERVING, "client lost"): Phase.FINISHED,
    (Phase.DRAINING, "client lost"): Phase.FINISHED,
}


# Integers, because the enum's own hash is Python code and stands in the hot path.
class Stage(enum.IntEnum):
    WAITING = 1
    BEGUN = 2
    INTERRUPTED = 3  # asked to end
    FORCED = 4  # dropped; its kernel has not said so yet
    ENDED = 5  # outcome made, or given back


class Cause(enum.IntEnum):
    BEGIN = 1
    INTERRUPT = 2
    FORCE = 3
    END = 4
    DROP = 5  # recalled, or cancelled before it began


# One dict in another: a tuple for each of a task's moves would cost as much as the lookup.
STAGES: dict[Stage, dict[Cause, Stage]] = {
    Stage.WAITING: {Cause.BEGIN: Stage.BEGUN, Cause.DROP: Stage.ENDED},
    Stage.BEGUN: {Cause.END: Stage.ENDED, Cause.INTERRUPT: Stage.INTERRUPTED},
    Stage.INTERRUPTED: {Cause.END: Stage.ENDED, Cause.FORCE: Stage.FORCED},
    Stage.FORCED: {Cause.END: Stage.ENDED},
    Stage.ENDED: {},
}


class Attempt:
    """One attempt that this server holds."""

    __slots__ = ("broken_off", "position", "reason", "spec", "stage", "wanted")

    def __init__(self, spec: TaskSpec, position: int) -> None:
        self.spec = spec
        self.position = position  # from 1, CPU and I/O tasks each by itself
        self.stage = Stage.WAITING
        self.wanted: End | None = None  # what its outcome shall be, once somebody has it ended
        self.reason = ""
        self.broken_off = False
