"""What the view of the monitor is told. Times are seconds since the epoch: they are shown to people.

Life of a task: TaskSubmitted; then any number of TaskPlaced; TaskEnded once. Whoever
missed some of it gets a Living, which says all there is.

Pure. Layer 2.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

from dispycos.model import End
from dispycos.records import record


@record
class Changed:
    """Values of one row; a key that is new makes a row. `values` names fields of `rows.KINDS`."""

    kind: str  # cluster, client, node or server
    key: Hashable  # its incarnation; of the cluster None
    values: dict[str, Any]
    node: Hashable = None  # of a new server: the key of its node


@record
class Gone:
    """It ended; its row stays, greyed, for a while (MO-09)."""

    kind: str
    key: Hashable
    why: str
    time: float


@record
class TaskSubmitted:
    number: int
    name: str
    io: bool
    attempts: int  # that are allowed
    time: float
    args: str | None  # as text; None: not recorded, `why_no_args` says why
    why_no_args: str = ""


@dataclass(slots=True)
class TaskPlaced:
    """It is on its way to that server. What TaskSubmitted said is here again: it may have been missed."""

    number: int
    name: str
    io: bool
    attempts: int
    server: Hashable
    attempt: int
    submitted: float
    time: float
    args: str | None = None
    why_no_args: str = ""


@dataclass(slots=True)
class TaskEnded:
    """It has its one outcome."""

    number: int
    name: str
    io: bool
    attempt: int
    end: End
    text: str  # why it did not finish, with the traceback; "" if it did
    server: Hashable  # that had it; None: it was at none
    submitted: float
    begun: float  # when it can have begun at the earliest: placed, and none ahead of it
    time: float


@dataclass(slots=True)
class LivingTask:
    """One task of a `Living`."""

    number: int
    name: str
    io: bool
    state: str  # waiting, sent or paused; the view knows which of those that were sent run
    attempt: int
    attempts: int
    server: Hashable
    submitted: float
    since: float  # when it was submitted, placed last, or paused
    begun: float  # when it began, if it is the first that its server has: as in `TaskEnded`
    args: str | None
    why_no_args: str = ""


@record
class PastTask:
    """A task that ended while nobody looked: when and where is not known."""

    number: int
    name: str
    attempt: int
    end: End
    text: str


@record
class Living:
    """All tasks that live, but for waiting ones beyond the first MAX_WAITING."""

    tasks: list[LivingTask]
    time: float
    ended: list[PastTask] = field(default_factory=list)  # the last that did, the oldest first


@record
class Sights:
    """What a server's tasks do just now: number -> (when it began, its stack)."""

    server: Hashable
    tasks: dict[int, tuple[float, list[tuple[str, int, str]]]]
    time: float


@record
class Lines:
    """Lines that a server printed, and how many were left out before them."""

    server: Hashable
    lines: list[str]
    left_out: int
    time: float


@record
class Sample:
    """Every 5 s: take a sample of everything for the charts (MO-13)."""

    time: float


@record
class Happened:
    """One line for the list of events (MO-11)."""

    level: str
    kind: str
    subject: str
    text: str
    time: float
    about: tuple[str, Hashable] | None = None  # kind and key of a row


@record
class Ended:
    """The program or its turn has ended: nothing changes any more."""

    reason: str
    time: float
    totals: dict[str, int] = field(default_factory=dict)
