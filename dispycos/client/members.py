"""Members: the nodes and servers of one client, what state each is in and what was told of it.

Two records and their transition tables; `move` is the only line that assigns a state. Silence,
suspension and a lapsed lease are not states: they come and go beside them, and `shown` is the
last status of the current stream (R-92).

Pure. Rules S1, R-92. Rows ST-01 to ST-04.
"""

from __future__ import annotations

import enum
from dataclasses import field

from dispycos.errors import InternalError
from dispycos.messages import NodeFacts
from dispycos.model import DispycosNodeAvailInfo, Incarnation, Location, Payload, Status
from dispycos.records import record


class NodeState(enum.Enum):
    DISCOVERED = "discovered"  # granted; waits to be enabled, reached, given its files
    PREPARING = "preparing"  # it was told to prepare
    INITIALIZED = "initialized"
    RESTARTING = "restarting"  # its servers close, then it is prepared again
    FAILED = "failed"  # could not be prepared; stays ours, may be enabled again
    CLOSING = "closing"  # its servers close, then it is given back
    CLOSED = "closed"


class ServerState(enum.Enum):
    DISCOVERED = "discovered"  # its node announced it; waits to be enabled and reached
    SETTING_UP = "setting up"
    INITIALIZED = "initialized"
    FAILED = "failed"  # server_setup failed; its process stays, it may be enabled again
    CLOSING = "closing"  # finishes its tasks
    ENDING = "ending"  # its node was told to end it
    CLOSED = "closed"


_N, _S = NodeState, ServerState

NODE_MOVES: dict[tuple[NodeState, str], NodeState] = {
    (_N.DISCOVERED, "prepare"): _N.PREPARING,
    (_N.FAILED, "enable"): _N.DISCOVERED,
    (_N.PREPARING, "prepared"): _N.INITIALIZED,
    (_N.DISCOVERED, "failed"): _N.FAILED,
    (_N.PREPARING, "failed"): _N.FAILED,
    (_N.INITIALIZED, "failed"): _N.FAILED,
    (_N.INITIALIZED, "restart"): _N.RESTARTING,
    (_N.RESTARTING, "prepare"): _N.PREPARING,
    (_N.RESTARTING, "failed"): _N.FAILED,
    **{
        (state, "close"): _N.CLOSING
        for state in (_N.DISCOVERED, _N.PREPARING, _N.INITIALIZED, _N.RESTARTING, _N.FAILED)
    },
    **{(state, "gone"): _N.CLOSED for state in NodeState if state is not _N.CLOSED},
}

SERVER_MOVES: dict[tuple[ServerState, str], ServerState] = {
    (_S.DISCOVERED, "set up"): _S.SETTING_UP,
    (_S.SETTING_UP, "ready"): _S.INITIALIZED,
    (_S.SETTING_UP, "failed"): _S.FAILED,
    (_S.DISCOVERED, "failed"): _S.FAILED,
    (_S.FAILED, "enable"): _S.DISCOVERED,
    (_S.INITIALIZED, "close"): _S.CLOSING,
    **{
        (state, "end"): _S.ENDING
        for state in (_S.DISCOVERED, _S.SETTING_UP, _S.INITIALIZED, _S.FAILED, _S.CLOSING)
    },
    **{(state, "gone"): _S.CLOSED for state in ServerState if state is not _S.CLOSED},
}


@record(frozen=False, eq=False)
class Server:
    incarnation: Incarnation
    location: Location
    node: Node
    index: int  # its place on the node
    state: ServerState = ServerState.DISCOVERED
    shown: Status | None = None  # last status of its stream; None: no stream is open
    up: bool = False  # a session to it lives
    told: bool = False  # dispatch was told ServerUsable, and not ServerGone
    suspended: bool = False  # by the user, at the server
    shown_suspended: bool = False  # what dispatch was told last ...
    shown_held: bool = False  # ... of Suspended/Resumed and Suspect/Back
    suspect: bool = False  # its session is silent
    silent: bool = False  # ... for so long that it is shown (Z)
    lost: str = ""  # why its session is lost; its node has not proved its end yet
    restart: bool = False  # another one is to take its place
    why: str = ""  # why it ends, or failed
    tickets: list[int] = field(default_factory=list)  # orders answered when it is gone
    force_at: float | None = None  # then it is ended by force, or given up
    proof_at: float | None = None  # then its node is asked to end what answers no more
    silent_at: float | None = None  # then its silence is shown
    unresponsive: float = 0.0  # seconds, as its node reports

    def move(self, cause: str) -> None:
        """Take the state that the table gives for this cause."""
        following = SERVER_MOVES.get((self.state, cause))
        if following is None:
            raise InternalError(f"server {self.location} is {self.state.value}: it can't take {cause!r}")
        self.state = following

    @property
    def held(self) -> bool:
        """No new tasks: it or its node is not heard, or its lease lapsed (R-12, R-18)."""
        return self.suspect or bool(self.lost) or self.node.held

    @property
    def closed_to_tasks(self) -> bool:
        """No new tasks: suspended by the user or by its node's hours."""
        return self.suspended or self.node.suspended or not self.node.open

    @property
    def usable(self) -> bool:
        """It would get a task now, as dispatch was told."""
        free = self.told and not self.shown_suspended and not self.shown_held
        return free and self.state is ServerState.INITIALIZED

    @property
    def due(self) -> float | None:
        """The earliest of its deadlines."""
        times = [t for t in (self.force_at, self.proof_at, self.silent_at) if t is not None]
        return min(times, default=None)

    def wanted_status(self) -> Status:
        """What a stream that was initialized should show last."""
        if self.silent or self.node.silent:
            return Status.ServerDisconnected
        return Status.ServerSuspended if self.closed_to_tasks else Status.ServerResumed


@record(frozen=False, eq=False)
class Node:
    facts: NodeFacts
    lease: int  # names the grant
    servers_granted: int
    silence: float  # seconds until it counts as silent; 0: never
    last_heard: float
    state: NodeState = NodeState.DISCOVERED
    shown: Status | None = None
    initialized: bool = False  # its present stream had NodeInitialized
    up: bool = False  # a session to it lives
    suspect: bool = False
    silent: bool = False  # Z passed without a word
    lapsed: bool = False  # its servers' lease ran out (R-18)
    open: bool = True  # within its hours of service
    suspended: bool = False  # by the user
    abandon: bool | None = None  # the user's choice for this node; None: the client's
    enabled: bool = False
    ousted: bool = False  # it was taken from us: nothing of it is closed in order any more
    files: str = ""  # "", "sending", "sent"
    setup: Payload | None = None  # node_setup with its last arguments
    renew_setup: bool = False  # restart_node came with new ones
    why: str = ""  # why it closes, failed, or is not ready
    tickets: list[int] = field(default_factory=list)  # orders answered when it is gone or prepared
    servers: dict[Incarnation, Server] = field(default_factory=dict)
    setups: dict[int, Payload | None] = field(default_factory=dict)  # index -> last server_setup
    setup_deaths: dict[int, int] = field(default_factory=dict)  # index -> processes server_setup killed
    delayed: dict[int, str] = field(default_factory=dict)  # index -> why no server starts there

    @property
    def incarnation(self) -> Incarnation:
        return self.facts.incarnation

    @property
    def location(self) -> Location:
        return self.facts.location

    @property
    def held(self) -> bool:
        """Its servers get no new tasks."""
        return self.suspect or self.silent or self.lapsed

    @property
    def unreachable(self) -> bool:
        """Nothing can be asked of it now."""
        return not self.up or self.suspect or self.silent

    def move(self, cause: str) -> None:
        """Take the state that the table gives for this cause."""
        following = NODE_MOVES.get((self.state, cause))
        if following is None:
            raise InternalError(f"node {self.location} is {self.state.value}: it can't take {cause!r}")
        self.state = following

    def info(self, reason: str = "") -> DispycosNodeAvailInfo:
        """What statuses and availability messages carry (ST-02, ST-08)."""
        return avail_info(self.facts, self.servers_granted, reason)

    def wanted_status(self) -> Status:
        """What a stream that was initialized should show last."""
        if self.silent:
            return Status.NodeDisconnected
        return Status.NodeSuspended if self.suspended or not self.open else Status.NodeResumed


def avail_info(facts: NodeFacts, servers: int, reason: str = "") -> DispycosNodeAvailInfo:
    """A node's facts as users see them."""
    avail = facts.avail
    return DispycosNodeAvailInfo(
        facts.location,
        avail.cpu,
        avail.memory,
        avail.disk,
        avail.swap,
        facts.name,
        servers,
        facts.platform,
        reason,
    )
