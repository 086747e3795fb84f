"""A client's turn with a scheduler: asked for, waited for, held, given back.

Knows nothing of nodes. The scheduler may be this process itself (private), or be lost and
come back as another incarnation: then the turn is claimed again by its number (S3, R-17).

Pure. Rules S3, R-17, R-33. Rows DC-15, DC-39.
"""

from __future__ import annotations

import enum
from dataclasses import field

from dispycos.client.orders import BeginSchedule
from dispycos.errors import InternalError
from dispycos.events import Action, Dial, Say, StopDialling
from dispycos.messages import AddRule, CloseClient, Rule, Schedule, Unschedule
from dispycos.model import Incarnation, Location
from dispycos.records import record


class TurnState(enum.Enum):
    NONE = "not scheduled"
    QUEUED = "queued"
    SCHEDULED = "scheduled"
    CLOSING = "closing"
    CLOSED = "closed"


_T = TurnState

_MOVES: dict[tuple[TurnState, str], TurnState] = {
    (_T.NONE, "ask"): _T.QUEUED,
    (_T.QUEUED, "refused"): _T.NONE,
    (_T.QUEUED, "given up"): _T.NONE,
    (_T.QUEUED, "scheduled"): _T.SCHEDULED,
    (_T.SCHEDULED, "close"): _T.CLOSING,
    (_T.SCHEDULED, "ended"): _T.CLOSED,
    (_T.CLOSING, "ended"): _T.CLOSED,
    (_T.NONE, "ended"): _T.CLOSED,
    (_T.QUEUED, "ended"): _T.CLOSED,
}


@record(frozen=False)
class Turn:
    """The state of one turn and what is said for it.

    name, pid, our_location  what queue listings show of this client.
    rules                    grows while the turn lasts (DC-36).
    """

    our: Incarnation
    name: str
    pid: int
    our_location: Location | None
    rules: list[Rule]
    pulse_interval: float  # seconds
    silence: float  # seconds until a node counts as silent; 0: never
    abandon: bool
    state: TurnState = TurnState.NONE
    ticket: int = 0
    reservation: int = 0
    scheduler: Incarnation | None = None  # None: lost
    location: Location | None = None  # where it is dialled again
    announced: Location | None = None  # where it says it is
    ending: bool = False  # the nodes are being closed; CloseClient follows
    place: int = 0  # in the queue
    reason: str = ""  # what the scheduler says is waited for
    told_at: float = 0.0  # when it said so
    unheard_since: float | None = None  # when the scheduler was last heard; None: it is heard
    refused: str = "it was closed"  # why it did not begin, or is not to begin
    redact: tuple[str, ...] = ()  # names of arguments that no monitor of ours is to show
    tickets: list[int] = field(default_factory=list)  # orders answered when the turn is over

    def move(self, cause: str) -> None:
        """Take the state that `_MOVES` gives for this cause."""
        following = _MOVES.get((self.state, cause))
        if following is None:
            raise InternalError(f"a turn that is {self.state.value} can't take {cause!r}")
        self.state = following

    @property
    def waits(self) -> bool:
        """A scheduler is asked, or was asked, and has not let go."""
        return self.state in (_T.QUEUED, _T.SCHEDULED, _T.CLOSING)

    @property
    def reachable(self) -> bool:
        """The scheduler hears us now, as far as anybody knows."""
        return self.scheduler is not None and self.unheard_since is None

    def ask(self, out: list[Action]) -> None:
        """Tell the scheduler who we are and what we want or hold."""
        if self.scheduler is None:
            return
        out.append(
            Say(
                self.scheduler,
                Schedule(
                    self.ticket,
                    self.name,
                    self.our_location,
                    list(self.rules),
                    self.pulse_interval,
                    self.silence,
                    self.abandon,
                    self.reservation,
                    self.pid,
                ),
            )
        )
        if self.state is _T.CLOSING:
            out.append(Say(self.scheduler, CloseClient(self.reservation)))

    def begin(self, event: BeginSchedule, out: list[Action]) -> None:
        """Ask a scheduler for a turn, or claim the one we have from its successor."""
        if self.state is _T.NONE:
            self.ticket = event.ticket
            self.name = event.name or self.name
            self.move("ask")
        self.scheduler = event.scheduler
        self.location = event.location
        self.announced = event.announced
        self.unheard_since = None
        self.ask(out)

    def give_up(self, out: list[Action]) -> None:
        """Leave the queue."""
        self._say(Unschedule(self.ticket), out)
        self.move("given up")
        self._stop(out)

    def decline(self, ticket: int, out: list[Action]) -> None:
        """Nobody wants the turn that came."""
        self._say(Unschedule(ticket), out)

    def add_rule(self, rule: Rule, out: list[Action]) -> None:
        """One more rule, for the scheduler of now and any later one."""
        self.rules.append(rule)
        if self.state is _T.SCHEDULED:
            self._say(AddRule(self.reservation, rule), out)

    def close(self, out: list[Action]) -> None:
        """Tell the scheduler that the turn is over; it answers ClientEnded."""
        self.move("close")
        self._say(CloseClient(self.reservation), out)

    def end(self, out: list[Action]) -> None:
        """The turn is over, whoever says so."""
        self.move("ended")
        self._stop(out)

    def lost(self, now: float, out: list[Action]) -> None:
        """The scheduler's process is gone: another incarnation may follow at its address."""
        self.scheduler = None
        self.unheard_since = self.unheard_since if self.unheard_since is not None else now
        if self.location is not None and self.waits:
            out.append(Dial(self.location))

    def found(
        self, peer: Incarnation, location: Location | None, dialled: Location | None, out: list[Action]
    ) -> bool:
        """A scheduler appeared. True: it is the successor of ours, and was told of us.

        Whoever answers at the address of ours is its successor, also before its loss is noticed.
        """
        if peer == self.scheduler or not self.waits or self.location is None:
            return False
        if self.location not in (location, dialled) and (location is None or location != self.announced):
            return False
        self.scheduler = peer
        self.unheard_since = None
        self.ask(out)
        return True

    def why(self, now: float) -> str:
        """What the turn waits for; "" if for nothing."""
        if self.unheard_since is not None and self.waits:
            where = f" {self.location}" if self.location else ""
            return f"scheduler{where} is not reachable since {now - self.unheard_since:.0f} s"
        if self.state is _T.QUEUED:
            return f"queued at place {self.place}: {self.reason}" if self.place else "asked the scheduler"
        return ""

    def _say(self, message: object, out: list[Action]) -> None:
        if self.scheduler is not None:
            out.append(Say(self.scheduler, message))

    def _stop(self, out: list[Action]) -> None:
        if self.scheduler is None and self.location is not None:
            out.append(StopDialling(self.location))
