"""What processes say to each other: one frozen dataclass a message, grouped "X says to Y".

A message is data only; `net.codec` turns it into msgpack by the type of each field and
refuses whatever does not fit. User values travel inside as `Payload`: opaque bytes that
the scheduler and the node daemon never look into (rule 6).

`NUMBERS` gives each message its number on the wire, for ever: append, never renumber.
Who may say what is registered with its handler (N5).

Pure. Layer 0.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, TypeAlias

from dispycos.model import Address, CodeHash, End, Incarnation, Location, Outcome, Payload, Role, TaskSpec

# Parts of messages.


@dataclass(frozen=True, slots=True)
class Avail:
    """What a node has to spare; None where psutil is missing there."""

    cpu: float | None = None  # percent idle
    memory: int | None = None  # free bytes
    disk: int | None = None  # free bytes of dest_path's partition
    swap: int | None = None  # free bytes


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What a node says of itself; what allocation rules are applied to."""

    incarnation: Incarnation
    location: Location  # where it is dialled
    name: str
    platform: str  # platform.platform()
    python: str  # version, as 3.11.7
    cpus: int  # servers it may start
    avail: Avail


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """One live server, as its node knows it."""

    incarnation: Incarnation
    location: Location
    index: int  # from 1: its place on the node
    pid: int
    begun: int  # position of the last CPU task begun, from the shared page
    begun_io: int  # likewise for I/O tasks
    unresponsive: float = 0.0  # seconds its kernel has not stepped; 0: it steps


@dataclass(frozen=True, slots=True)
class Rule:
    """One allocation rule as data (S5); see `scheduler.allocate`."""

    node: str  # address, host name or pattern with '*'
    port: int
    platform: str  # regular expression, searched without case; '' any
    cpus: int
    memory: int
    disk: int
    asks_client: bool = False  # a subclass: its `allocate` runs in the client that wrote it


# Anyone says to anyone.


@dataclass(frozen=True, slots=True)
class Introduction:
    """The first message of every session."""

    name: str
    roles: Role
    location: Location | None  # where I can be dialled
    python: str
    release: str  # version of dispycos


@dataclass(frozen=True, slots=True)
class Deliver:
    """A message for one receiver (task or channel). ticket 0: no answer wanted."""

    to: int
    value: Payload
    ticket: int = 0


class Verb(enum.IntEnum):
    """What may be asked of a receiver."""

    THROW = 1  # value: an exception to raise at its current yield
    TERMINATE = 2  # end it
    MONITOR = 3  # value: Address of the task that wants its status
    RESULT = 4  # answer: its MonitorStatus, when it has ended
    ALIVE = 5  # answer: bool
    RESUME = 6  # value: update for a suspended task
    SUBSCRIBE = 7  # of a channel; value: the subscriber
    UNSUBSCRIBE = 8
    BROADCAST = 9  # of a channel: deliver to at least n; value: (message, n); answer: recipients
    CLOSE = 10  # of a channel
    HOT_SWAP = 11  # value: (function, args, kwargs)
    REGISTER = 12  # value: name
    UNREGISTER = 13


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask something of one receiver here."""

    to: int
    verb: Verb
    value: Payload
    ticket: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to the sender's `ticket`: a value, or an exception if `failed`."""

    ticket: int
    value: Payload | None  # None: the exception can't travel
    failed: bool = False
    text: str = ""  # the exception's traceback there


@dataclass(frozen=True, slots=True)
class Undelivered:
    """N3: nobody here has this number (any more); the sender's monitors are told why."""

    to: int
    ticket: int
    reason: str


class Kind(enum.IntEnum):
    TASK = 1
    CHANNEL = 2


@dataclass(frozen=True, slots=True)
class Locate:
    """Who is registered under this name there? Answered when known, or at the timeout."""

    kind: Kind
    name: str
    ticket: int
    timeout: float


@dataclass(frozen=True, slots=True)
class Located:
    ticket: int
    address: Address | None
    kind: Kind
    name: str = ""


@dataclass(frozen=True, slots=True)
class FileOffer:
    """A file is coming. The answer is FileAnswer: go on, have it already, or refused."""

    ticket: int
    name: str  # relative POSIX path (SE-47)
    size: int
    mode: int  # permission bits
    modified: float  # seconds since the epoch
    digest: bytes  # SHA-256 of the content
    overwrite: bool


@dataclass(frozen=True, slots=True)
class FileSlice:
    """The next part of a file; an empty one gives the transfer up.

    The first SEND allows `2 * Limits.file_window` slices, each later one `file_window` more.
    """

    ticket: int
    offset: int
    data: Payload


class FileVerdict(enum.IntEnum):
    SEND = 1
    STORED = 2  # stored, or the identical file was there
    REFUSED = 3


@dataclass(frozen=True, slots=True)
class FileAnswer:
    ticket: int
    verdict: FileVerdict
    reason: str = ""


@dataclass(frozen=True, slots=True)
class FileDelete:
    ticket: int
    name: str


@dataclass(frozen=True, slots=True)
class RegisterAgain:
    """I don't know you (any more): say again who you are and what you hold (S3, R-37)."""

    reason: str


@dataclass(frozen=True, slots=True)
class Goodbye:
    """I end this session by choice; nothing of mine is to be waited for."""

    reason: str


# A node says to the scheduler.


@dataclass(frozen=True, slots=True)
class NodeHere:
    """Who I am and what I hold; at each new session, on RegisterAgain, and when I become free."""

    facts: NodeFacts
    reservation: int  # 0: free
    lease: int  # the highest lease number seen in it
    servers: list[ServerFacts]
    open: bool  # False: outside service hours, or about to quit
    scheduler: Incarnation | None = None  # whose reservation it is; None: free


@dataclass(frozen=True, slots=True)
class Reserved:
    reservation: int
    pulse_interval: float = 0.0  # the one I keep (DN-12); 0: the one asked for


@dataclass(frozen=True, slots=True)
class ReserveRefused:
    reservation: int
    reason: str


@dataclass(frozen=True, slots=True)
class Pulse:
    """I am alive; sent every pulse_interval. The answer is Renew."""

    reservation: int
    avail: Avail
    servers: list[ServerFacts]


@dataclass(frozen=True, slots=True)
class Released:
    """Everything of that reservation has ended here; I am free."""

    reservation: int
    reason: str = ""  # why, where nobody asked me to (DN-14, DN-21)
    lease: int = 0  # the grant that ended, so that an old word can't end the next one
    again: bool = True  # False: that client shall not get me again in its turn
    idle: bool = False  # it ran nothing here for too long (DN-14)


# The scheduler says to a node (Release: the reservation's client may say it too).


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class Renew:
    reservation: int
    lease: int
    lease_time: float


@dataclass(frozen=True, slots=True)
class Release:
    """The reservation is over: end its processes, remove its files, answer Released."""

    reservation: int
    terminate: bool
    reason: str
    lease: int = 0  # the grant that is over; 0: whichever


# A client says to the scheduler.


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class Unschedule:
    """Take me off the queue, or, if it is my turn, end it."""

    ticket: int


@dataclass(frozen=True, slots=True)
class AddRule:
    reservation: int
    rule: Rule


@dataclass(frozen=True, slots=True)
class Allocated:
    """The answer to AskAllocate: what the rule's own `allocate` returned, None if it failed."""

    question: int
    servers: int | None


@dataclass(frozen=True, slots=True)
class ReturnNode:
    """I have closed this node; don't give it to me again."""

    reservation: int
    node: Incarnation
    again: bool = False  # True: I gave it up for its silence; back and fresh, I take it
    lease: int = 0  # the grant it was mine under; 0: whichever


@dataclass(frozen=True, slots=True)
class CloseClient:
    """My turn is over."""

    reservation: int


@dataclass(frozen=True, slots=True)
class Counts:
    """Tasks of my turn so far, in batches (D4)."""

    reservation: int
    submitted: int
    done: int
    running: int


# The scheduler says to a client.


@dataclass(frozen=True, slots=True)
class Queued:
    ticket: int
    place: int  # from 1: how many turns until yours, this one's included
    reason: str  # what is being waited for


@dataclass(frozen=True, slots=True)
class Scheduled:
    ticket: int
    reservation: int


@dataclass(frozen=True, slots=True)
class ScheduleRefused:
    ticket: int
    reason: str


@dataclass(frozen=True, slots=True)
class AskAllocate:
    question: int
    rule: int  # index into the rules
    facts: NodeFacts


@dataclass(frozen=True, slots=True)
class NodeGranted:
    """This node is yours for your turn: prepare it."""

    reservation: int
    lease: int
    facts: NodeFacts
    servers: int
    pulse_interval: float = 0.0  # the one the node keeps; 0: the one asked for


@dataclass(frozen=True, slots=True)
class NodeIgnored:
    """No rule took this node, or it can't be reserved; `reason` says why."""

    reservation: int
    facts: NodeFacts
    reason: str


@dataclass(frozen=True, slots=True)
class LeaseRenewed:
    reservation: int
    node: Incarnation
    lease: int


@dataclass(frozen=True, slots=True)
class NodeWithdrawn:
    """This node is no longer yours."""

    reservation: int
    node: Incarnation
    reason: str
    silent: bool = False  # True: given up for its silence
    left: bool = False  # True: it ended the work by itself; neither: it is gone


@dataclass(frozen=True, slots=True)
class ClientEnded:
    """Your turn is over, and every node of it was told to let go."""

    reservation: int
    reason: str


@dataclass(frozen=True, slots=True)
class CloseAsked:
    """Please close: when your tasks are done, or now if `terminate` (DS-19)."""

    reservation: int
    terminate: bool
    reason: str


# A client says to a node.


@dataclass(frozen=True, slots=True)
class Prepare:
    """Start a zygote with my code; run node_setup in it; then fork the servers."""

    reservation: int
    code: Payload  # the components
    setup: Payload | None  # node_setup and its arguments
    servers: int
    restart: bool  # a server that closes comes back (restart_servers)
    lease: int = 0  # the grant this is for


@dataclass(frozen=True, slots=True)
class CloseServer:
    """End this server; `grace` seconds after it was asked to end by itself, by force."""

    reservation: int
    server: Incarnation
    restart: bool
    grace: float
    reason: str


@dataclass(frozen=True, slots=True)
class RestartNode:
    """End zygote and servers, run node_setup again, fork anew; None: the former setup."""

    reservation: int
    setup: Payload | None
    lease: int = 0  # the grant this is for


# A node says to a client.


@dataclass(frozen=True, slots=True)
class Prepared:
    reservation: int
    lease: int = 0  # the grant, as in all that a node says to its client


@dataclass(frozen=True, slots=True)
class PrepareFailed:
    reservation: int
    reason: str
    lease: int = 0


@dataclass(frozen=True, slots=True)
class ServerStarted:
    """It listens at its location; dial it with the reservation's key."""

    reservation: int
    server: ServerFacts
    lease: int = 0


@dataclass(frozen=True, slots=True)
class ServerEnded:
    """Its process is gone; this is proof (wait result)."""

    reservation: int
    server: Incarnation
    location: Location
    asked: bool  # True: it was told to close
    restarts: bool  # True: another one takes its place
    reason: str  # exit code or signal by name, and its last output
    begun: int  # position of the last CPU task begun
    begun_io: int


@dataclass(frozen=True, slots=True)
class ServerDelayed:
    """A server can't be started now; tried again by itself (R-28)."""

    reservation: int
    index: int
    reason: str


@dataclass(frozen=True, slots=True)
class NodeReport:
    """Every pulse_interval: what I have to spare and how my servers are."""

    reservation: int
    avail: Avail
    servers: list[ServerFacts]
    lease: int = 0  # the one my servers hold
    lease_left: float = 0.0  # seconds; 0: it lapsed, they begin nothing more


@dataclass(frozen=True, slots=True)
class NodeOpen:
    """Whether my servers shall get new tasks (DN-24); leaving: close me when these are done (DN-22)."""

    reservation: int
    open: bool
    leaving: bool
    reason: str


# A client says to a server.


@dataclass(frozen=True, slots=True)
class SetUpServer:
    """I am your client. Run server_setup (None: nothing to run); answer ServerReady."""

    reservation: int
    setup: Payload | None


@dataclass(frozen=True, slots=True)
class Define:
    """Code that later tasks name by this hash; goes ahead of its first use (D5)."""

    function: CodeHash
    code: Payload


@dataclass(frozen=True, slots=True)
class Submit:
    """Run these, in order. Refused as a whole under a lease that is not the current one.

    The server numbers CPU tasks and I/O tasks it receives from 1, each kind by itself; the
    client counts in the same way as it hands them over. Such a number is a *position*.
    """

    lease: int
    tasks: list[TaskSpec]


@dataclass(frozen=True, slots=True)
class Recall:
    """Give back what of these has not begun; answer Recalled (R-44)."""

    ids: list[int]


@dataclass(frozen=True, slots=True)
class CancelTask:
    """End it: KeyboardInterrupt, `grace` seconds, then by force. Not begun: it never begins."""

    id: int
    attempt: int
    end: int  # End.CANCELLED or End.TIMED_OUT: what its outcome shall be
    grace: float
    reason: str


@dataclass(frozen=True, slots=True)
class OutcomesSeen:
    """Outcomes up to this number need not be kept any longer.

    The positions say how many tasks I had handed over before I said this: where they are more
    than the server received, some never arrived, and the server says Holding at once (R-68).
    """

    number: int
    position: int = -1  # of the last CPU task handed over; -1: not said
    position_io: int = -1


@dataclass(frozen=True, slots=True)
class Finish:
    """No more tasks are coming: end when those you have are done (I/O tasks too if `await_io`)."""

    await_io: bool


# A server says to its client.


@dataclass(frozen=True, slots=True)
class ServerReady:
    pid: int
    name: str


@dataclass(frozen=True, slots=True)
class SetUpFailed:
    reason: str


@dataclass(frozen=True, slots=True)
class Outcomes:
    """How attempts ended, numbered from 1 by `number` of the first; kept until OutcomesSeen."""

    number: int
    outcomes: list[Outcome]
    spent: float  # seconds its CPU tasks ran since the last such message (D1)


@dataclass(frozen=True, slots=True)
class Recalled:
    """These had not begun and never will here. What else was asked for stays."""

    ids: list[int]


@dataclass(frozen=True, slots=True)
class SubmitRefused:
    """None of these was taken; `lease` is the one I hold (0: none)."""

    ids: list[int]
    lease: int
    reason: str


@dataclass(frozen=True, slots=True)
class Holding:
    """What I hold, as of `received` tasks taken in (R-36); at each attachment and every 30 s."""

    received: int  # CPU tasks received so far (positions)
    received_io: int
    waiting: list[int]
    begun: list[int]
    ended: list[int]  # outcome sent and not yet seen


@dataclass(frozen=True, slots=True)
class CloseRequest:
    """A task called dispycos_close_server or dispycos_close_node."""

    node: bool
    terminate: bool
    restart: bool


@dataclass(frozen=True, slots=True)
class Finished:
    """Nothing is left here: my process may end."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Ending:
    """My process is about to be ended by force, for this task did not yield (DC-57)."""

    id: int
    attempt: int
    end: End  # CANCELLED or TIMED_OUT: how that task ends
    reason: str


NUMBERS: dict[int, type[Any]] = {
    1: Introduction,
    2: Deliver,
    3: Ask,
    4: Answer,
    5: Undelivered,
    6: Locate,
    7: Located,
    8: FileOffer,
    9: FileSlice,
    10: FileAnswer,
    11: FileDelete,
    12: RegisterAgain,
    13: Goodbye,
    20: NodeHere,
    21: Reserved,
    22: ReserveRefused,
    23: Pulse,
    24: Released,
    30: Reserve,
    31: Renew,
    32: Release,
    40: Schedule,
    41: Unschedule,
    42: AddRule,
    43: Allocated,
    44: ReturnNode,
    45: CloseClient,
    46: Counts,
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
    60: Prepare,
    61: CloseServer,
    62: RestartNode,
    70: Prepared,
    71: PrepareFailed,
    72: ServerStarted,
    73: ServerEnded,
    74: ServerDelayed,
    75: NodeReport,
    76: NodeOpen,
    80: SetUpServer,
    81: Define,
    82: Submit,
    83: Recall,
    84: CancelTask,
    85: OutcomesSeen,
    86: Finish,
    90: ServerReady,
    91: SetUpFailed,
    92: Outcomes,
    93: Recalled,
    94: SubmitRefused,
    95: Holding,
    96: CloseRequest,
    97: Finished,
    98: Ending,
}

Message: TypeAlias = Any  # one of the values of NUMBERS
