"""What happens to `scheduler.machine` and what it asks for, beside what all machines share.

Pure. Layer 2.
"""

from __future__ import annotations

from typing import TypeAlias

from dispycos.messages import Rule
from dispycos.model import Incarnation, Location
from dispycos.records import record

# Events.


@record
class Stop:
    """End: refuse who waits, let the running client close, or end its turn if `terminate` (DS-19)."""

    terminate: bool
    reason: str


@record
class Started:
    """The clock runs: what the journal gave back counts from here."""


@record
class NodesAwaited:
    """What keeps nodes that this process starts is not what it was."""


@record
class FollowWork:
    """Who starts nodes in this process goes by the work of whose turn it is, also another process's."""

    every: float  # seconds between two looks at it; 0: nobody does any more


@record
class Written:
    """Every entry that was answered so far is on disk."""


@record
class JournalFailed:
    """Entries could not be written, and why; Written follows when all of them are (R-22)."""

    reason: str


# Actions.


@record
class Stopped:
    """After Stop: no client is left, every node was told to let go. Said once."""

    reason: str


# Entries of the journal: actions, to be on disk before anything is said that was answered with
# or after them; then Written is fed. A private scheduler drops them.


@record
class KeepClient:
    """This client waits, or has its turn; replaces what was kept under its reservation."""

    reservation: int
    order: int  # rises in the order of submission
    scheduled: bool  # True: it is its turn
    incarnation: Incarnation
    ticket: int
    name: str
    location: Location | None
    rules: tuple[Rule, ...]
    pulse_interval: float
    silence: float
    abandon: bool
    pid: int = 0  # of its process; 0: not told


@record
class DropClient:
    """The client left the queue, or its turn is over."""

    reservation: int


@record
class KeepLease:
    """This lease number is about to be granted; no number up to it may be granted again."""

    lease: int
    reservation: int
    node: Incarnation
    location: Location  # where that node is dialled


Entry: TypeAlias = KeepClient | DropClient | KeepLease
ENTRIES = (KeepClient, DropClient, KeepLease)


@record
class Restored:
    """What a journal gives back after a restart (R-17)."""

    clients: tuple[KeepClient, ...] = ()
    last_lease: int = 0  # no number up to it is granted again
    former: frozenset[Incarnation] = frozenset()  # incarnations that kept this journal before
    nodes: tuple[Location, ...] = ()  # granted to the running client
    lost: bool = False  # there was one, and it can't be read: somebody may hold the cluster
