"""Places: where the servers of a node live, one process each, numbered from 1.

A Place knows what its process is doing and what is due next; `node.machine` decides what to
do about it. Its moves are data; `move` is the only line that assigns a state.

Pure. Rules R-05, R-28, R-79.
"""

from __future__ import annotations

import enum

from dispycos.errors import InternalError
from dispycos.messages import ServerFacts
from dispycos.model import Incarnation, Location
from dispycos.records import record


class PlaceState(enum.Enum):
    EMPTY = "empty"  # no process; one is forked as soon as there is a zygote
    STARTING = "starting"  # asked for, not listening yet
    UP = "up"
    ENDING = "ending"  # asked to end; by force at `due`
    DELAYED = "delayed"  # could not be started; again at `due`
    CLOSED = "closed"  # no process and none wanted, until the node is restarted


E, S, U, N, D, C = PlaceState

_MOVES: dict[tuple[PlaceState, str], PlaceState] = {
    (E, "fork"): S,
    (D, "fork"): S,
    (S, "up"): U,
    (S, "failed"): D,
    (S, "end"): N,
    (U, "end"): N,
    (N, "end"): N,
    (N, "up"): N,  # it began to listen after it was asked to end
    (U, "gone"): E,
    (U, "useless"): D,  # ended before any task began in it: a failed start
    (N, "gone"): E,
    (N, "closed"): C,
    (E, "closed"): C,
    (D, "closed"): C,
    (D, "wake"): E,
    (C, "wake"): E,
}

LIVE = frozenset({S, U, N})  # a process is there, or may be


@record(frozen=False)
class Place:
    index: int  # from 1
    state: PlaceState = PlaceState.EMPTY
    due: float | None = None  # when the present state needs a decision
    incarnation: Incarnation | None = None  # of the server that is here
    location: Location | None = None
    pid: int = 0
    begun: int = 0  # last counters seen in its page
    begun_io: int = 0
    running: int = 0
    ended: int = 0
    unresponsive: float = 0.0
    asked: bool = False  # somebody told it to end
    restart: bool = False  # ... and wants another in its place
    why: str = ""  # why it was asked to end, or can't start
    orphan: str = ""  # what happened to its zygote
    up_at: float = 0.0  # when its server began to listen
    failures: int = 0  # starts failed in a row
    kills: int = 0  # times it was killed by force and stayed

    def move(self, cause: str) -> None:
        """Take the state that `_MOVES` gives for this cause."""
        following = _MOVES.get((self.state, cause))
        if following is None:
            raise InternalError(f"place {self.index} is {self.state.value}: it can't take {cause!r}")
        self.state = following

    @property
    def live(self) -> bool:
        """A process is here, or may be."""
        return self.state in LIVE

    def settle(self, incarnation: Incarnation, pid: int, location: Location) -> None:
        """A server listens here now."""
        self.incarnation = incarnation
        self.pid = pid
        self.location = location
        self.begun = self.begun_io = self.running = self.ended = 0
        self.unresponsive = 0.0

    def clear(self) -> None:
        """Its process is gone."""
        self.incarnation = None
        self.location = None
        self.pid = self.running = self.kills = 0
        self.asked = self.restart = False
        self.why = self.orphan = ""
        self.due = None

    def back_off(self, now: float, longest: float) -> None:
        """Count a failed start; the next one is due after 1, 2, 4 ... `longest` seconds."""
        self.due = now + min(2.0**self.failures, longest)
        self.failures = min(self.failures + 1, 30)

    def facts(self) -> ServerFacts:
        """What the node says of the server that is here."""
        assert self.incarnation is not None
        assert self.location is not None
        return ServerFacts(
            self.incarnation,
            self.location,
            self.index,
            self.pid,
            self.begun,
            self.begun_io,
            self.unresponsive,
            self.running,
            self.ended,
        )
