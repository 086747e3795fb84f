"""What happens to a machine, and what a machine asks for.

Every machine of dispycos has one shape:

    handle(event, now) -> list of actions      now: seconds on this process's monotonic clock
    tick(now)          -> list of actions      called when next_deadline() has come
    next_deadline()    -> float | None         absolute; None: nothing is timed
    check()                                    asserts every invariant; tests call it after each event
    compare(peer, message)                     asserts that a peer can hold what it says it holds, before
                                               that is heard; machines that are told so have it
    story(id)          -> str                  what happened to one thing; goes into errors

The events and actions that all machines share stand here; those of one machine stand
beside it. Pure. Layer 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from dispycos.model import Incarnation, Location, Role
from dispycos.records import record

if TYPE_CHECKING:
    from dispycos.messages import Message


# Events.


# Not frozen only because one is made for each message.
@record(frozen=False)
class Heard:
    """A proven peer said something; delivered in order, each exactly once (N2)."""

    peer: Incarnation
    message: Message


@record
class PeerUp:
    """A session with this incarnation began; nothing was ever said on it before."""

    peer: Incarnation
    roles: Role
    location: Location | None  # where it can be dialled; None: only it can dial us
    name: str = ""
    dialled: Location | None = None  # where we reached it, which may be another address of it


@record
class PeerSuspect:
    """Its connection broke, or no byte came for `Limits.suspect_after`. Not proof of death."""

    peer: Incarnation


@record
class PeerBack:
    """A suspect peer is heard again; its session goes on where it stopped, nothing is missing."""

    peer: Incarnation


@record
class PeerGone:
    """It is gone for good, with the reason; no event of this incarnation follows."""

    peer: Incarnation
    reason: str


@record
class DialFailed:
    """A `Dial` could not be carried out this time; it is tried again until `StopDialling`."""

    location: Location
    reason: str
    told: bool = False  # waiting won't mend it, so that it stands in the log already
    refused: bool = False  # the host is there, and nobody listens at that port


PeerEvent: TypeAlias = PeerUp | PeerSuspect | PeerBack | PeerGone


# Actions.


@record(frozen=False)
class Say:
    """Send a message to a peer. To a peer that is lost it has no effect: PeerGone tells."""

    peer: Incarnation
    message: Message


@record
class Dial:
    """Reach for whoever listens there, again and again, until PeerUp or StopDialling.

    reservation  prove the key of that reservation (a server's) instead of the cluster's; 0: the cluster's.
    """

    location: Location
    reservation: int = 0


@record
class StopDialling:
    location: Location


@record
class Forget:
    """End the session with a peer for good; PeerGone is not reported for it."""

    peer: Incarnation
    reason: str = ""


@record
class Note:
    """One line for the log and the monitor: `level` is a name of `logging`, lower case."""

    level: str
    text: str


Action: TypeAlias = Any  # Say | Dial | StopDialling | Forget | Note | those of one machine
