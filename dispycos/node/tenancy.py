"""One client's tenancy of a node: its zygote, the places of its servers, their ends.

`node.machine` decides whose the node is; a Tenancy decides which of its client's processes must
live, and proves to the client which have died. It never looks into code and setups.

Pure. Rules R-05, R-09 to R-11, R-28, R-48, R-79.
"""

from __future__ import annotations

import enum
from dataclasses import field

from dispycos.config import Limits
from dispycos.errors import InternalError
from dispycos.events import Action, Note, Say
from dispycos.messages import (
    Prepare,
    Prepared,
    PrepareFailed,
    RestartNode,
    ServerDelayed,
    ServerEnded,
    ServerStarted,
)
from dispycos.model import Incarnation, Location, Payload
from dispycos.node.events import (
    AskServerToEnd,
    CleanWorkspace,
    EndZygote,
    ForkServer,
    GiveLease,
    KillServer,
    ServerExited,
    ServerStartFailed,
    ServerUp,
    StartZygote,
    ZygoteDelayed,
    ZygoteExited,
    ZygoteFailed,
    ZygoteReady,
)
from dispycos.node.places import Place, PlaceState
from dispycos.records import record
from dispycos.story import About, Stories
from dispycos.wording import many


class NodeState(enum.Enum):
    FREE = "free"
    RESERVED = "reserved"  # for one client, which has not prepared it, or failed to
    PREPARING = "preparing"  # a zygote is to be made, or runs node_setup
    SERVING = "serving"  # the zygote stands; servers are there or on their way
    RELEASING = "releasing"  # the tenancy is over: processes end, files go
    ENDED = "ended"  # Exit was said; nothing matters any more


F, R, P, S, L, _ = NodeState

_MOVES: dict[tuple[NodeState, str], NodeState] = {
    (R, "prepare"): P,
    (P, "ready"): S,
    (P, "setup failed"): R,
    (S, "zygote lost"): P,
    (R, "restart"): P,
    (P, "restart"): P,
    (S, "restart"): P,
    (R, "release"): L,
    (P, "release"): L,
    (S, "release"): L,
    (L, "cleaned"): F,
}

# After its grace a process gets this many seconds to end by itself before it is killed.
KILL_MARGIN = 0.5

# A zygote that dies sooner than this after it was ready is started again with a delay.
QUICK_DEATH = 10.0


@record(frozen=False)
class Tenancy:
    """One reservation of this node, from Reserve to Released."""

    reservation: int
    grant: int  # the lease number it began with: names this grant
    lease: int
    lease_until: float
    client: Incarnation
    scheduler: Incarnation
    scheduler_at: Location | None = field(default=None, kw_only=True)  # where that one is dialled
    pulse: float  # seconds between pulses, when it has lasted a while
    pulse_gap: float = field(kw_only=True)  # ... and to the next one now
    max_file_bytes: int = field(default=0, kw_only=True)  # of one file; 0: the node's own limit
    hold: float  # seconds the client may be silent
    idle_limit: float  # seconds without a task until the client is closed here; 0: never
    idle_since: float
    next_pulse: float
    places: dict[int, Place]
    silent_since: float | None  # when the client was last heard; None: it is heard
    limits: Limits
    stories: Stories
    state: NodeState = NodeState.RESERVED
    measure_by: float | None = None  # a pulse waits for figures until then
    by_server: dict[Incarnation, Place] = field(default_factory=dict)
    code: Payload | None = None  # what Prepare brought
    setup: Payload | None = None
    zygote: int = 0  # its number; 0: none lives
    ending_by: float | None = None  # the zygote was told to end; by force then
    retire: bool = False  # the zygote is to be replaced (restart_node)
    ready_at: float | None = None  # when the zygote was ready
    zygote_after: float = 0.0  # not before this is the next zygote started
    quick_deaths: int = 0  # zygotes in a row that could not start, or were lost soon after they were ready
    tries: int = 0  # times a signal ended node_setup
    show_at: float | None = None  # when a long node_setup is mentioned
    cleaning: bool = False
    served: bool = False  # it was prepared once
    unasked: bool = False  # neither scheduler nor client asked for the release
    again: bool = True  # the client may have this node again
    idle: bool = False  # it ran nothing here for too long
    why: str = ""  # why it is released

    def move(self, cause: str, now: float) -> None:
        """Take the state that `_MOVES` gives for this cause."""
        following = _MOVES.get((self.state, cause))
        if following is None:
            raise InternalError(f"a node that is {self.state.value} can't take {cause!r}")
        self.stories.add(self.reservation, now, f"{cause}: {following.value}")
        self.state = following

    # The zygote.

    def prepare(self, message: Prepare, now: float) -> None:
        """The client says what to start."""
        self.code = message.code
        self.setup = message.setup
        self.tries = 0
        self.served = True
        self.idle_since = now
        if 0 < message.servers < len(self.places):
            self.places = {index: self.places[index] for index in range(1, message.servers + 1)}
        self.show_at = now + self.limits.visible_wait
        self.move("prepare", now)

    def restart(self, message: RestartNode, now: float, out: list[Action]) -> None:
        """A new zygote takes the place of this one, and new servers those of all (DC-31)."""
        if message.setup is not None:
            self.setup = message.setup
        self.tries = 0
        self.retire = self.zygote != 0
        self.show_at = now + self.limits.visible_wait
        for place in self.places.values():
            if place.state is PlaceState.CLOSED:
                place.move("wake")
            elif place.live:
                self.ask_to_end(place, self.limits.grace, True, "its node is restarted", now, out)
        self.move("restart", now)

    def zygote_ready(self, event: ZygoteReady, now: float, out: list[Action]) -> None:
        """It can fork: the servers follow."""
        if event.zygote != self.zygote or self.state is not NodeState.PREPARING or self.retire:
            return
        self.ready_at = now
        self.tries = 0
        self.show_at = None
        self.idle_since = now
        for place in self.places.values():
            if place.state is PlaceState.DELAYED:
                place.move("wake")
                place.due = None
        self.move("ready", now)
        if event.warning:
            out.append(Note("warning", event.warning))
        warning = event.warning[: self.limits.max_reason_chars]
        out.append(Say(self.client, Prepared(self.reservation, self.grant, warning)))

    def zygote_failed(self, event: ZygoteFailed, now: float, out: list[Action]) -> None:
        """It is of no use: the client is told why."""
        if event.zygote != self.zygote or self.state is not NodeState.PREPARING or self.retire:
            return
        self._setup_failed(event.reason, now, out)

    def _setup_failed(self, reason: str, now: float, out: list[Action]) -> None:
        self.show_at = None
        self.move("setup failed", now)
        self.end_zygote(now, out)
        out.append(Say(self.client, PrepareFailed(self.reservation, reason, self.grant)))

    def zygote_delayed(self, event: ZygoteDelayed, now: float, out: list[Action]) -> None:
        """Tried again after a while, which doubles (R-28)."""
        if event.zygote != self.zygote:
            return
        self.zygote = 0
        self.ending_by = None
        self.retire = False
        self.quick_deaths += 1
        pause = self._pause(self.quick_deaths)
        self.zygote_after = now + pause
        if self.state is NodeState.PREPARING:
            text = f"{event.reason}; it is tried again in {pause:g} s"
            out.append(Note("warning", text))
            out += [Say(self.client, ServerDelayed(self.reservation, place, text)) for place in self.places]

    def zygote_exited(self, event: ZygoteExited, now: float, out: list[Action]) -> None:
        """Its process is gone, told to end or not (R-10)."""
        if event.zygote != self.zygote:
            return
        told = self.retire or self.ending_by is not None
        ready_at, self.ready_at = self.ready_at, None
        self.zygote = 0
        self.ending_by = None
        self.retire = False
        self.stories.add(self.reservation, now, f"zygote {event.zygote} ended: {event.reason}")
        if told or self.state in (NodeState.RESERVED, NodeState.RELEASING):
            return
        if self.state is NodeState.PREPARING:
            self._setup_ended(event, now, out)
            return
        assert self.state is NodeState.SERVING
        end = f"its zygote {'was' if event.by_signal else 'ended with'} {event.reason}"
        for place in self.places.values():
            if place.live:
                place.orphan = end
                # They end with it; one that does not, because the tie broke, is killed.
                place.due = now + KILL_MARGIN
        if ready_at is not None and now - ready_at < QUICK_DEATH:
            self.zygote_after = now + self._pause(self.quick_deaths)
            self.quick_deaths += 1
        else:
            self.quick_deaths = 0
        out.append(Note("warning", f"{end}; a new one is prepared"))
        self.show_at = now + self.limits.visible_wait
        self.move("zygote lost", now)

    def _setup_ended(self, event: ZygoteExited, now: float, out: list[Action]) -> None:
        if not event.by_signal:
            self._setup_failed(f"the process that ran node_setup ended with {event.reason}", now, out)
            return
        self.tries += 1
        if self.tries >= self.limits.setup_retries:
            text = f"node_setup was {event.reason}, {many(self.tries, 'time')}"
            self._setup_failed(text, now, out)
        else:
            out.append(Note("warning", f"node_setup was {event.reason}; it is tried again"))

    def _pause(self, failures: int) -> float:
        """Seconds before the next try: none, then 1, 2, 4 ... (R-28)."""
        return 0.0 if failures == 0 else min(2.0 ** (failures - 1), self.limits.restart_backoff_max)

    def server_up(self, event: ServerUp, now: float, out: list[Action]) -> None:
        """A server listens."""
        place = self.places.get(event.index)
        if place is None or place.state not in (PlaceState.STARTING, PlaceState.ENDING):
            return
        place.move("up")
        place.settle(event.incarnation, event.pid, event.location)
        place.up_at = now
        self.idle_since = now  # nothing could run there before
        self.by_server[event.incarnation] = place
        self.stories.add(event.incarnation, now, f"up at {event.location}, pid {event.pid}")
        if place.state is PlaceState.ENDING:
            out.append(AskServerToEnd(event.index, event.incarnation, 0.0, place.why))
            return
        if not place.orphan:
            place.due = None
        left = self.lease_until - now
        if left > 0:
            out.append(GiveLease(event.index, event.incarnation, self.lease, left))
        out.append(Say(self.client, ServerStarted(self.reservation, place.facts(), self.grant)))

    def server_start_failed(self, event: ServerStartFailed, now: float, out: list[Action]) -> None:
        """Tried again after a while, which doubles (R-28)."""
        place = self.places.get(event.index)
        if place is None or not place.live or place.incarnation is not None:
            return
        if place.state is PlaceState.ENDING:
            place.move("gone" if place.restart else "closed")
            place.clear()
            return
        orphan = place.orphan
        place.move("failed")
        place.clear()
        if orphan or self.state is not NodeState.SERVING:
            place.move("wake")
            return
        place.why = event.reason
        place.back_off(now, self.limits.restart_backoff_max)
        out.append(Note("warning", f"server {event.index} {event.reason}"))
        out.append(Say(self.client, ServerDelayed(self.reservation, event.index, event.reason)))

    def server_exited(self, event: ServerExited, now: float, out: list[Action]) -> None:
        """The end of a server is proved to the client, and another forked (R-05)."""
        place = self.places.get(event.index)
        if place is not None and place.live and place.incarnation is None:
            # It ended before anybody heard that it listens.
            self.server_start_failed(ServerStartFailed(event.index, event.reason), now, out)
            return
        if place is None or place.incarnation != event.incarnation:
            return
        releasing = self.state is NodeState.RELEASING
        asked = place.asked
        restarts = not releasing and (place.restart if asked else True)
        reason = event.reason
        if place.orphan:
            reason = f"{place.orphan}; the server ended with it: {event.reason}"
        elif asked and place.why:
            # How it ended tells nothing where it did as it was asked.
            reason = place.why if event.clean else f"{place.why}; {event.reason}"
        assert place.location is not None
        if not asked and not place.orphan:
            # Who runs the node has only its log to see that servers die.
            # Its last lines stand in the node's output, of which this is one.
            how = reason.partition("\n")[0].partition("; last output")[0]
            out.append(Note("warning", f"server {event.index} {'' if event.own else 'died: '}{how}"))
        out.append(
            Say(
                self.client,
                ServerEnded(
                    self.reservation,
                    event.incarnation,
                    place.location,
                    asked,
                    restarts,
                    reason,
                    event.begun,
                    event.begun_io,
                ),
            )
        )
        self.stories.add(event.incarnation, now, reason)
        # One that ended before any task began in it is a failed start: not in a tight loop.
        quick = now - place.up_at < QUICK_DEATH and event.begun == 0 and event.begun_io == 0
        useless = place.state is PlaceState.UP and not place.orphan and quick
        del self.by_server[event.incarnation]
        if not useless:
            place.failures = 0
            place.move("gone" if restarts or place.state is PlaceState.UP else "closed")
            place.clear()
            return
        place.move("useless")
        place.clear()
        place.why = reason
        place.due = now + self._pause(place.failures)
        place.failures += 1

    def ask_to_end(
        self, place: Place, grace: float, restart: bool, why: str, now: float, out: list[Action]
    ) -> None:
        """Have the process at this place end, by force when its grace is over."""
        force_at = now + grace + KILL_MARGIN
        if place.state is PlaceState.ENDING and place.due is not None:
            force_at = min(force_at, place.due)
        starting = place.incarnation is None
        place.move("end")
        place.asked = True
        place.restart = restart
        place.why = why
        place.due = force_at
        if starting:
            out.append(KillServer(place.index))
        else:
            assert place.incarnation is not None
            out.append(AskServerToEnd(place.index, place.incarnation, grace, why))

    def place_due(self, place: Place, now: float, out: list[Action]) -> None:
        """The deadline of a place has come."""
        if place.state is PlaceState.DELAYED:
            place.due = None
            place.move("wake")
            return
        # Not started in time, not ended in time, or left over by its zygote: by force, until it is gone.
        out.append(KillServer(place.index))
        place.kills += 1
        place.due = now + max(self.limits.grace, 1.0)
        if place.kills == 2:
            text = f"server {place.index} can't be killed; its place stays taken until it ends (R-79)"
            out.append(Note("error", text))
            out.append(Say(self.client, ServerDelayed(self.reservation, place.index, text)))

    def end_zygote(self, now: float, out: list[Action]) -> None:
        """Tell the zygote to end; by force when its grace is over."""
        if self.zygote and self.ending_by is None:
            self.ending_by = now + self.limits.grace
            out.append(EndZygote(self.zygote, False))

    def hurry(self, now: float, out: list[Action]) -> None:
        """Asked twice: nothing is waited for (R-53)."""
        for place in self.places.values():
            if place.live:
                place.due = now + KILL_MARGIN
                out.append(KillServer(place.index))
        if self.zygote:
            self.ending_by = now + KILL_MARGIN
            out.append(EndZygote(self.zygote, True))

    # Lease and end.

    def take_lease(self, lease: int, seconds: float, now: float, out: list[Action]) -> None:
        """Its servers may begin work for so long; a lower number is an echo of the past (R-35)."""
        if lease < self.lease or self.state is NodeState.RELEASING:
            return
        self.lease = lease
        self.lease_until = now + seconds
        for server, place in self.by_server.items():
            if place.state is PlaceState.UP:
                out.append(GiveLease(place.index, server, lease, seconds))

    def end(self, why: str, unasked: bool, now: float, out: list[Action]) -> None:
        """It is over, for this reason: everything of it ends."""
        self.why = why
        self.unasked = unasked
        self.move("release", now)
        level = "warning" if unasked else "info"
        out.append(Note(level, f"reservation {self.reservation} ends: {why}"))
        for place in self.places.values():
            if place.live:
                self.ask_to_end(place, self.limits.grace, False, why, now, out)
            else:
                place.due = None
                if place.state is not PlaceState.CLOSED:
                    place.move("closed")

    # Time.

    def next_deadline(self) -> float | None:
        """When a process of it needs a decision."""
        times = [self.ending_by, *(place.due for place in self.places.values())]
        if self.state is NodeState.PREPARING:
            times.append(self.show_at)
            if self.zygote_after and not any(place.live for place in self.places.values()):
                times.append(self.zygote_after)
        return min((when for when in times if when is not None), default=None)

    def tick(self, now: float, out: list[Action]) -> None:
        """See to what is due."""
        if self.ending_by is not None and now >= self.ending_by:
            self.ending_by = now + self.limits.grace
            out.append(EndZygote(self.zygote, True))
        if self.state is NodeState.PREPARING and self.show_at is not None and now >= self.show_at:
            self.show_at = now + self.limits.visible_wait_again
            out.append(Note("info", f"reservation {self.reservation} waits for node_setup"))
        for place in self.places.values():
            if place.due is not None and now >= place.due:
                self.place_due(place, now, out)

    def advance(self, number: int, now: float, out: list[Action]) -> int:
        """Take every step that the present state allows; answers the number of the last zygote.

        number  of the last zygote that this node started.
        """
        if self.state is NodeState.SERVING:
            for place in self.places.values():
                if place.state is PlaceState.EMPTY:
                    place.move("fork")
                    place.due = now + 3 * self.limits.request_timeout
                    out.append(ForkServer(self.zygote, place.index))
        elif self.state is NodeState.RESERVED or any(place.live for place in self.places.values()):
            pass
        elif self.state is NodeState.RELEASING:
            if self.zygote:
                self.end_zygote(now, out)
            elif not self.cleaning:
                self.cleaning = True
                out.append(CleanWorkspace(self.reservation))
        elif self.zygote:
            if self.retire:
                self.end_zygote(now, out)
        elif now >= self.zygote_after:
            assert self.code is not None
            number += 1
            self.zygote = number
            self.zygote_after = 0.0
            out.append(StartZygote(self.zygote, self.reservation, self.code, self.setup))
        return number

    def check(self) -> None:
        """Every invariant of its processes."""
        living = {p.incarnation: p for p in self.places.values() if p.incarnation is not None}
        assert self.by_server == living, "the index of servers is wrong"
        for place in self.places.values():
            problem = self._problem(place)
            thing = self.reservation if place.incarnation is None else place.incarnation
            assert not problem, About(thing, f"place {place.index} {problem}")
        if self.state is NodeState.SERVING:
            assert self.zygote, About(self.reservation, "it serves without a zygote")
        if self.cleaning:
            lives = self.zygote or any(place.live for place in self.places.values())
            assert not lives, About(self.reservation, "files go before processes")

    def _problem(self, place: Place) -> str:
        if place.incarnation is not None and not place.live:
            return f"has a server, and is {place.state.value}"
        if place.state is PlaceState.DELAYED and place.due is None:
            return "waits for nothing"
        if self.state is NodeState.RELEASING and place.live and place.due is None:
            return "is never ended by force"
        # no place is left without a server and without a reason.
        if self.state is NodeState.SERVING and place.state is PlaceState.EMPTY:
            return "is idle"
        return ""
