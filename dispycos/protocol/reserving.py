"""What a node and the scheduler say to each other.

Pure. Layer 0.
"""

from __future__ import annotations

from typing import Any

from dispycos.model import Incarnation
from dispycos.protocol.facts import Avail, NodeFacts, ServerFacts
from dispycos.records import record

# The node says to the scheduler.


@record
class NodeHere:
    """Who I am and what I hold; at each new session, on RegisterAgain, and when I become free."""

    facts: NodeFacts
    reservation: int  # 0: free
    lease: int  # the highest lease number seen in it; free: ever
    servers: list[ServerFacts]
    open: bool  # False: outside service hours, or about to quit
    scheduler: Incarnation | None = None  # whose reservation it is; None: free


@record
class Reserved:
    """I serve that client now."""

    reservation: int
    pulse_interval: float = 0.0  # the one I keep (DN-12); 0: the one asked for
    lease: int = 0  # of the Reserve that this answers; 0: it is not told


@record
class ReserveRefused:
    """I do not, and why."""

    reservation: int
    reason: str


@record
class Pulse:
    """I am alive; sent every pulse_interval, in the beginning sooner. The answer is Renew."""

    reservation: int
    avail: Avail
    servers: list[ServerFacts]


@record
class Released:
    """Everything of that reservation has ended here; I am free."""

    reservation: int
    reason: str = ""  # why, where nobody asked me to (DN-14, DN-21)
    lease: int = 0  # the grant that ended, so that an old word can't end the next one
    again: bool = True  # False: that client shall not get me again in its turn
    idle: bool = False  # it ran nothing here for too long (DN-14)


# The scheduler says to the node (Release: the reservation's client may say it too).


@record
class Reserve:
    """From now you serve this client only."""

    reservation: int
    lease: int
    lease_time: float  # seconds
    client: Incarnation
    servers: int  # how many to start
    pulse_interval: float  # seconds
    zombie_period: float  # seconds idle before you close this client; 0: never
    hold: float  # seconds to keep its work while it can't be heard (H)
    max_file_bytes: int = 0  # refuse its files that are larger (DS-10); 0: your own limit holds


@record
class Renew:
    """The answer to Pulse: your servers may begin work for so much longer."""

    reservation: int
    lease: int
    lease_time: float


@record
class Release:
    """The reservation is over: end its processes, remove its files, answer Released."""

    reservation: int
    terminate: bool
    reason: str
    lease: int = 0  # the grant that is over; 0: whichever


NUMBERS: dict[int, type[Any]] = {
    20: NodeHere,
    21: Reserved,
    22: ReserveRefused,
    23: Pulse,
    24: Released,
    30: Reserve,
    31: Renew,
    32: Release,
}
