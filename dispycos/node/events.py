"""What happens to `node.machine` and what it asks for, beside the events that all machines share.

Facts come from the daemon's I/O half, which promises: of each zygote exactly one ZygoteExited,
after its process is gone; of each ForkServer either ServerUp or ServerStartFailed; of each
ServerUp exactly one ServerExited, after that process is gone, with the counters read then.
When a zygote dies its servers die with it; ZygoteExited comes first, their ServerExited follow.

Pure. Layer 2.
"""

from __future__ import annotations

import enum

from dispycos.messages import Avail
from dispycos.model import Incarnation, Location, Payload
from dispycos.records import record

# Events: facts of processes. `zygote` is the number that StartZygote gave.


@record
class ZygoteReady:
    """Components are loaded, node_setup returned 0: it can fork."""

    zygote: int
    warning: str = ""  # what the client should know


@record
class ZygoteDelayed:
    """It can't be started now, for want of descriptors, processes or memory; nothing else is said of it."""

    zygote: int
    reason: str


@record
class ZygoteFailed:
    """It could not be started, or a component, or node_setup failed; `reason` for the user."""

    zygote: int
    reason: str


@record
class ZygoteExited:
    """Its process is gone (wait result); said also after EndZygote and after ZygoteFailed."""

    zygote: int
    reason: str  # `killed by signal 9 (SIGKILL)`, `exit code 3`, with its last output
    by_signal: bool


@record
class ServerUp:
    """It listens."""

    index: int
    pid: int
    incarnation: Incarnation
    location: Location


@record
class ServerStartFailed:
    """The fork failed, or the process ended before it listened; nothing of it is left."""

    index: int
    reason: str  # `can't start: EAGAIN ...`


@record
class ServerExited:
    """Its process is gone."""

    index: int
    incarnation: Incarnation
    reason: str  # signal by name or exit code, and its last output
    begun: int  # from the shared page: position of the last CPU task begun
    begun_io: int
    clean: bool = False  # with exit code 0
    own: bool = False  # it said why it ended


@record
class ServerSample:
    """One live server, as its shared page shows it."""

    index: int
    begun: int
    begun_io: int
    running: int  # tasks begun and not ended, of both kinds
    unresponsive: float  # seconds since its kernel stepped; 0: it steps
    ended: int = 0  # tasks that ended, of both kinds


@record
class AvailMeasured:
    """The answer to Measure; may also come unasked."""

    avail: Avail
    servers: tuple[ServerSample, ...] = ()


@record
class CleanedUp:
    """The answer to CleanWorkspace; `reason` says what could not be removed."""

    reservation: int
    reason: str = ""


# Events: orders of the person who runs the node.


class Order(enum.Enum):
    CLOSE = "close"  # end the client's work here now (DN-21)
    QUIT = "quit"  # take no more, let running tasks end, exit (DN-22)
    TERMINATE = "terminate"  # end the client's work now, exit (DN-23); also SIGTERM


@record
class Ordered:
    order: Order


class Hours(enum.Enum):
    OPEN = "open"  # clients are served
    CLOSED = "closed"  # past service_stop: no new tasks, running ones go on
    ENDED = "ended"  # past service_end: running tasks are ended too


@record
class ServiceHours:
    """The hours of service changed to this (DN-24)."""

    hours: Hours


# Actions.


@record
class StartZygote:
    """Start a fresh interpreter in a new node directory, give it `code`, run `setup` in it.

    A directory of an earlier zygote of the same reservation is kept: files sent by the
    client before node_setup lie in it.
    """

    zygote: int  # rises; names it in the facts
    reservation: int
    code: Payload
    setup: Payload | None


@record
class EndZygote:
    """Close its pipe, so that it exits; `force`: kill it. ZygoteExited answers."""

    zygote: int
    force: bool


@record
class ForkServer:
    """Have the zygote fork the server with this place; ServerUp or ServerStartFailed answers."""

    zygote: int
    index: int  # from 1


@record
class AskServerToEnd:
    """Have it raise KeyboardInterrupt in its tasks and end in `grace` seconds at the latest."""

    index: int
    server: Incarnation
    grace: float
    reason: str


@record
class KillServer:
    """Kill what is at this place, started or starting. Repeated until it is gone (R-79)."""

    index: int


@record
class GiveLease:
    """Tell the server: this lease number is valid for so many seconds from now (S2)."""

    index: int
    server: Incarnation
    number: int
    seconds: float


@record
class OpenReservationKey:
    """Sessions proved with this reservation's key are accepted from now on (SE-09)."""

    reservation: int


@record
class CloseReservationKey:
    reservation: int


@record
class CleanWorkspace:
    """No process of the reservation is left: remove its files. CleanedUp answers."""

    reservation: int


@record
class Measure:
    """Read the figures now: AvailMeasured answers, at once if possible (a pulse waits for it)."""


@record
class Exit:
    """Everything is over: end this process with this code."""

    code: int
    reason: str
