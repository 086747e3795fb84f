"""The roster: the nodes and clients that a scheduler knows, and what state each is in.

Records and their transition tables; `move` is the only line that assigns a state (S1).

Pure. Rule S1.
"""

from __future__ import annotations

import enum
import math
from dataclasses import field, replace

from dispycos.errors import InternalError
from dispycos.events import Say
from dispycos.messages import Avail, Counts, Demand, NodeFacts, Rule, ServerFacts
from dispycos.model import Incarnation, Location
from dispycos.records import record
from dispycos.scheduler.events import KeepClient


class NodeState(enum.Enum):
    DISCOVERED = "discovered"  # here and free
    SUSPENDED = "suspended"  # here, can't be granted: not heard, closed, held elsewhere, refused
    RESERVING = "reserving"  # told to serve the client, has not answered
    INITIALIZED = "initialized"  # granted to the client
    ZOMBIE = "zombie"  # granted, and silent for Z
    RELEASING = "releasing"  # told to let go, or found with work that is over
    CLOSED = "closed"  # its process is gone


class ClientState(enum.Enum):
    QUEUED = "queued"
    SCHEDULED = "scheduled"
    CLOSING = "closing"  # its nodes let go
    CLOSED = "closed"


_N, _C = NodeState, ClientState

NODE_MOVES: dict[tuple[NodeState, str], NodeState] = {
    (_N.DISCOVERED, "reserve"): _N.RESERVING,
    (_N.DISCOVERED, "suspend"): _N.SUSPENDED,
    (_N.SUSPENDED, "free"): _N.DISCOVERED,
    (_N.RESERVING, "reserved"): _N.INITIALIZED,
    (_N.RESERVING, "refused"): _N.SUSPENDED,
    (_N.INITIALIZED, "silent"): _N.ZOMBIE,
    (_N.ZOMBIE, "heard"): _N.INITIALIZED,
    (_N.SUSPENDED, "adopt"): _N.INITIALIZED,
    (_N.RELEASING, "let go"): _N.SUSPENDED,
    **{(state, "release"): _N.RELEASING for state in (_N.RESERVING, _N.INITIALIZED, _N.ZOMBIE, _N.SUSPENDED)},
    **{(state, "left"): _N.SUSPENDED for state in (_N.RESERVING, _N.INITIALIZED, _N.ZOMBIE)},
    **{(state, "lost"): _N.CLOSED for state in NodeState if state is not _N.CLOSED},
}

CLIENT_MOVES: dict[tuple[ClientState, str], ClientState] = {
    (_C.QUEUED, "schedule"): _C.SCHEDULED,
    (_C.QUEUED, "leave"): _C.CLOSED,
    (_C.SCHEDULED, "end"): _C.CLOSING,
    (_C.CLOSING, "over"): _C.CLOSED,
}

# Granted, or about to be.
HELD = frozenset({_N.RESERVING, _N.INITIALIZED, _N.ZOMBIE})


@record(frozen=False, eq=False)
class Node:
    facts: NodeFacts
    state: NodeState = NodeState.SUSPENDED
    suspect: bool = False  # its session is silent
    open: bool = True  # serves new clients (DN-24)
    foreign: int = 0  # a reservation it holds that is not ours, or not yet
    former: bool = False  # that one was given by a process whose journal we have, or lost
    refused: str = ""  # why it refused; forgotten when it says again what it is
    client: Client | None = None  # whose it is, or was until it has let go
    lease: int = 0  # of the present or last grant
    lease_until: float = 0.0  # when it lapses, unless it is renewed
    since: float = 0.0  # when it was granted
    servers: int = 0  # granted
    pulse: float = 0.0  # seconds between its pulses
    last_heard: float = 0.0
    avail: Avail = field(default_factory=Avail)  # newest figures; `described` puts them into the facts
    renewal: Say | None = None  # what it is told at each pulse
    living: list[ServerFacts] = field(default_factory=list)  # as it last said
    question: int = 0  # AskAllocate that is pending about it
    why: str = ""  # why it is in this state

    @property
    def incarnation(self) -> Incarnation:
        return self.facts.incarnation

    @property
    def free(self) -> bool:
        """It may be granted."""
        return self.open and not self.suspect and not self.foreign and not self.refused

    def move(self, cause: str) -> None:
        """Take the state that the table gives for this cause."""
        following = NODE_MOVES.get((self.state, cause))
        if following is None:
            name = f"node {self.facts.name} at {self.facts.location}"
            raise InternalError(f"{name} is {self.state.value}: it can't take {cause!r}")
        self.state = following

    def described(self) -> NodeFacts:
        """Its facts with the newest figures."""
        if self.avail != self.facts.avail:
            self.facts = replace(self.facts, avail=self.avail)
        return self.facts

    def why_not_free(self) -> str:
        """Why it can't be granted."""
        if self.suspect:
            return "it is not heard"
        if self.foreign:
            return "it is in use through another scheduler"
        if not self.open:
            return "it takes no new clients now"
        return self.refused or self.why


@record(frozen=False, eq=False)
class Client:
    reservation: int
    order: int  # rises in the order of submission
    incarnation: Incarnation
    ticket: int  # the client's number for its request
    name: str
    location: Location | None
    rules: list[Rule]
    pulse: float  # seconds, as it asked
    silence: float  # Z, seconds; 0: a node is never a zombie
    abandon: bool
    since: float  # when it came, and then when its turn began
    pid: int = 0  # of its process; 0: not told
    state: ClientState = ClientState.QUEUED
    claimed: bool = True  # False: known from the journal only; its process has not said so yet
    holds: bool = False  # the cluster, though the journal has it in the queue
    kept: bool = True  # False: its request is not on disk yet, so it was told nothing
    refusals: int = 0  # dials that were refused where a client that is not claimed should be
    unheard_since: float | None = None  # when it was last heard; None: it is heard
    nodes: dict[Incarnation, Node] = field(default_factory=dict)  # granted, or about to be
    leaving: dict[Incarnation, Node] = field(default_factory=dict)  # told to let go, waited for
    excluded: set[Incarnation] = field(default_factory=set)  # live nodes it is not to get
    ignored: dict[Incarnation, str] = field(default_factory=dict)  # live nodes no rule took: why
    dialled: set[Location] = field(default_factory=set)  # nodes that its rules or the journal name
    granted: int = 0  # nodes in state initialized
    counts: Counts | None = None
    demand: Demand | None = None  # its work; None: it was not asked, or did not say yet
    place: int = 0  # in the queue, as it was told last; 0: it was not told yet, or has none
    told: str = ""  # what it waits for, as it was told last; "": it was not told yet, or waits no more
    shown_at: float = -math.inf  # when it was last told because it waits for long
    stale: bool = False  # what it was told may be true no more, and it is told anew soon
    reason: str = ""  # why its turn ends
    went_idle: bool = False  # a node closed it for idleness

    @classmethod
    def of(cls, entry: KeepClient, now: float) -> Client:
        """One that the journal gave back."""
        return cls(
            entry.reservation,
            entry.order,
            entry.incarnation,
            entry.ticket,
            entry.name,
            entry.location,
            list(entry.rules),
            entry.pulse_interval,
            entry.silence,
            entry.abandon,
            now,
            entry.pid,
            claimed=False,
        )

    def entry(self) -> KeepClient:
        """What the journal keeps of it."""
        return KeepClient(
            self.reservation,
            self.order,
            self.state is not ClientState.QUEUED,
            self.incarnation,
            self.ticket,
            self.name,
            self.location,
            tuple(self.rules),
            self.pulse,
            self.silence,
            self.abandon,
            self.pid,
        )

    @property
    def label(self) -> str:
        """What sentences call it: programs of one machine have one name."""
        return f"{self.name} (process {self.pid})" if self.pid else self.name

    def move(self, cause: str) -> None:
        """Take the state that the table gives for this cause."""
        following = CLIENT_MOVES.get((self.state, cause))
        if following is None:
            raise InternalError(f"client {self.name} is {self.state.value}: it can't take {cause!r}")
        self.state = following
