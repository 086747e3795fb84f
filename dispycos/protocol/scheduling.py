"""What a client and the scheduler say to each other.

Pure. Layer 0.
"""

from __future__ import annotations

from dataclasses import field
from typing import Any

from dispycos.model import Incarnation, Location
from dispycos.protocol.facts import NodeFacts, NodeLoad, Rule
from dispycos.records import record

# The client says to the scheduler.


@record
class Schedule:
    """Queue me. ticket: the client's number for this request."""

    ticket: int
    name: str  # for queue listings
    location: Location | None
    rules: list[Rule]  # empty: any node
    pulse_interval: float
    zombie_period: float
    abandon_zombies: bool
    reservation: int = 0  # one I hold already, from before you forgot me (S3)
    pid: int = 0  # of my process, for people; 0: it is not told


@record
class Unschedule:
    """Take me off the queue, or, if it is my turn, end it."""

    ticket: int


@record
class AddRule:
    """One more rule for my turn."""

    reservation: int
    rule: Rule


@record
class Allocated:
    """The answer to AskAllocate: what the rule's own `allocate` returned, None if it failed."""

    question: int
    servers: int | None


@record
class ReturnNode:
    """I have closed this node; don't give it to me again."""

    reservation: int
    node: Incarnation
    again: bool = False  # True: I gave it up for its silence; back and fresh, I take it
    lease: int = 0  # the grant it was mine under; 0: whichever


@record
class CloseClient:
    """My turn is over."""

    reservation: int


@record
class Counts:
    """Tasks of my turn so far, in batches (D4), and where people can see them."""

    reservation: int
    submitted: int
    done: int
    monitor: str = ""  # address of my web monitor, without its token; "": I have none


@record
class Demand:
    """The work of my turn now, as TellDemand asked: by it nodes are started and drained."""

    reservation: int
    tasks: int  # CPU tasks that run, or wait for any server
    waiting_io: int  # I/O tasks that wait for any server
    done: int  # that ever ended
    seconds: float  # that a CPU task takes; below 0: nobody knows
    busy: list[NodeLoad]  # nodes that have tasks
    servers: int  # that somebody waits for, whatever is to run there


# The scheduler says to the client.


@record
class Queued:
    """You wait, in this place of the queue and for this reason; said again when they change."""

    ticket: int
    place: int  # from 1: how many turns until yours, this one's included
    reason: str  # what is being waited for


@record
class Scheduled:
    """Your turn has come, under this reservation number.

    redact: patterns of names of arguments that your web monitor is not to show (MO-37).
    """

    ticket: int
    reservation: int
    redact: list[str] = field(default_factory=list)


@record
class ScheduleRefused:
    """You get no turn."""

    ticket: int
    reason: str


@record
class AskAllocate:
    """What does your own `allocate` say of this node?"""

    question: int
    rule: int  # index into the rules
    facts: NodeFacts


@record
class NodeGranted:
    """This node is yours for your turn: prepare it."""

    reservation: int
    lease: int
    facts: NodeFacts
    servers: int
    pulse_interval: float = 0.0  # the one the node keeps; 0: the one asked for


@record
class NodeIgnored:
    """No rule took this node, or it can't be reserved; `reason` says why."""

    reservation: int
    facts: NodeFacts
    reason: str


@record
class LeaseRenewed:
    """A node of yours got its lease renewed."""

    reservation: int
    node: Incarnation
    lease: int


@record
class NodeWithdrawn:
    """This node is no longer yours."""

    reservation: int
    node: Incarnation
    reason: str
    silent: bool = False  # True: given up for its silence
    left: bool = False  # True: it ended the work by itself; neither: it is gone


@record
class ClientEnded:
    """Your turn is over, and every node of it was told to let go."""

    reservation: int
    reason: str


@record
class CloseAsked:
    """Please close: when your tasks are done, or now if `terminate` (DS-19)."""

    reservation: int
    terminate: bool
    reason: str


@record
class TellDemand:
    """Who starts nodes here goes by your work: say Demand now, and when it is another."""

    reservation: int
    every: float  # seconds between two of them at least; 0: say none any more


NUMBERS: dict[int, type[Any]] = {
    40: Schedule,
    41: Unschedule,
    42: AddRule,
    43: Allocated,
    44: ReturnNode,
    45: CloseClient,
    46: Counts,
    47: Demand,
    50: Queued,
    51: Scheduled,
    52: ScheduleRefused,
    53: AskAllocate,
    54: NodeGranted,
    55: NodeIgnored,
    56: LeaseRenewed,
    57: NodeWithdrawn,
    58: ClientEnded,
    59: CloseAsked,
    48: TellDemand,
}
