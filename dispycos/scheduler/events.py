"""What happens to `scheduler.machine` and what it asks for, beside what all machines share.

Pure. Layer 2.
"""

from __future__ import annotations

from dataclasses import dataclass

from dispycos.messages import Rule
from dispycos.model import Incarnation, Location

# Events.


@dataclass(frozen=True, slots=True)
class Stop:
    """End: refuse who waits, let the running client close, or end its turn if `terminate` (DS-19)."""

    terminate: bool
    reason: str


# Actions.


@dataclass(frozen=True, slots=True)
class Stopped:
    """After Stop: no client is left, every node was told to let go. Said once."""

    reason: str


# Entries of the journal: actions, to be on disk before the next action is carried out (R-35,
# A private scheduler drops them.


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class DropClient:
    """The client left the queue, or its turn is over."""

    reservation: int


@dataclass(frozen=True, slots=True)
class KeepLease:
    """This lease number is about to be granted; no number up to it may be granted again."""

    lease: int
    reservation: int
    node: Incarnation


@dataclass(frozen=True, slots=True)
class Restored:
    """What a journal gives back after a restart (R-17)."""

    clients: tuple[KeepClient, ...] = ()
    last_lease: int = 0
    former: frozenset[Incarnation] = frozenset()  # incarnations that kept this journal before
