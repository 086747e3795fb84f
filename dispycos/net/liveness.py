"""Liveness: when to speak to one peer, when to worry about it, when to dial it again.

Silence alone never makes a peer lost; it makes it suspect, and its connection is given up,
since only a new one can tell (R-15). A peer is lost when its address refuses dials often
enough in a short time (RELIABILITY, section 1), or when its owner says so: its parent saw
it end, or another incarnation answers. One that has no address to dial can't be proved
gone in any of these ways: it has H to dial us. That a peer is a *zombie* is decided elsewhere.

Pure: time and random fractions are arguments. Requirements R-15, R-16, R-46, R-50.
"""

from __future__ import annotations

import enum
from collections import deque
from typing import Final, TypeAlias

from dispycos.config import Limits
from dispycos.errors import LocalProtocolError
from dispycos.records import record
from dispycos.story import Stories


class Level(enum.Enum):
    """What is known of a peer."""

    NEW = "new"  # never reached
    RESPONSIVE = "responsive"  # connected, and heard of not long ago
    SUSPECT = "suspect"  # the connection broke, or nothing was heard for 3 K
    LOST = "lost"  # gone for good


class Cause(enum.Enum):
    """What moves a peer from one level to another."""

    CONNECTED = "connected"
    HEARD = "heard"
    SILENT = "silent"
    BROKE = "broke"
    GONE = "gone"


_L, _C = Level, Cause
TRANSITIONS: Final = {
    (_L.NEW, _C.CONNECTED): _L.RESPONSIVE,
    (_L.NEW, _C.GONE): _L.LOST,
    (_L.RESPONSIVE, _C.CONNECTED): _L.RESPONSIVE,  # another connection took over
    (_L.RESPONSIVE, _C.SILENT): _L.SUSPECT,
    (_L.RESPONSIVE, _C.BROKE): _L.SUSPECT,
    (_L.RESPONSIVE, _C.GONE): _L.LOST,
    (_L.SUSPECT, _C.CONNECTED): _L.RESPONSIVE,
    (_L.SUSPECT, _C.HEARD): _L.RESPONSIVE,
    (_L.SUSPECT, _C.BROKE): _L.SUSPECT,
    (_L.SUSPECT, _C.GONE): _L.LOST,
    (_L.LOST, _C.CONNECTED): _L.LOST,  # its work was fenced: it can't come back
    (_L.LOST, _C.BROKE): _L.LOST,
    (_L.LOST, _C.GONE): _L.LOST,
}


@record
class KeepAlive:
    """Say something, if only that we live."""


@record
class Suspected:
    """The peer became suspect; if its connection is still there, close it and say `broke`."""

    reason: str


@record
class Recovered:
    """The peer is responsive again."""


@record
class Dial:
    """Dial the peer, its name resolved anew; answer with `connected`, `dial_failed` or `no_address`."""


@record
class Lost:
    """The peer is gone for good."""

    reason: str


Action: TypeAlias = KeepAlive | Suspected | Recovered | Dial | Lost


class Redial:
    """The delays between dials, and whether refusals prove that nobody is there.

    Delays double from `redial_first` up to `longest`, each spread by a random share, so
    that the nodes of a cluster that lost the same peer don't dial in step (R-50).
    """

    __slots__ = ("_delay", "_limits", "_longest", "_refusals")

    def __init__(self, limits: Limits, longest: float) -> None:
        self._limits = limits
        self._longest = longest
        self._delay = limits.redial_first
        self._refusals: deque[float] = deque(maxlen=limits.refusals_until_lost)  # times

    def reset(self) -> None:
        """Start from the shortest delay again."""
        self._delay = self._limits.redial_first
        self._refusals.clear()

    def hurry(self, longest: float) -> None:
        """No delay is longer than this from now on."""
        self._longest = min(self._longest, longest)
        self._delay = min(self._delay, self._longest)

    def delay(self, fraction: float) -> float:
        """Seconds until the next dial; `fraction` is random, from 0 to 1."""
        limits = self._limits
        delay = self._delay
        self._delay = min(2 * delay, self._longest)
        if self._refusals:
            # Close enough together that a process that is gone is found out in one window,
            # however long the delays have grown meanwhile.
            within = limits.refusal_window / (limits.refusals_until_lost * (1 + limits.redial_jitter))
            delay = min(delay, within)
        return delay * (1 + limits.redial_jitter * (2 * fraction - 1))

    def refused(self, now: float) -> bool:
        """A dial was actively refused; True if that proves that nobody is there any more."""
        limits, refusals = self._limits, self._refusals
        while refusals and now - refusals[0] >= limits.refusal_window:
            refusals.popleft()
        refusals.append(now)
        return len(refusals) == limits.refusals_until_lost


class Liveness:
    """One peer, as seen from here. Each method answers what is to be done."""

    __slots__ = (
        "_broke",
        "_connected",
        "_dialing",
        "_dials",
        "_heard",
        "_level",
        "_limits",
        "_next_dial",
        "_redial",
        "_said",
        "_since",
        "_story",
        "_ticked_by",
    )

    def __init__(self, limits: Limits, now: float, *, dials: bool = False) -> None:
        """Know nothing yet.

        dials  True: this end knows where to dial, and answers Dial and Lost. False: the peer
               dials, or dialling is somebody else's business.
        """
        self._limits = limits
        self._dials = dials
        self._level = Level.NEW
        self._connected = False
        self._since = now  # of the connection
        self._broke = now  # when the last connection was over
        self._heard = now  # last byte of theirs
        self._said = now  # last byte of ours
        self._dialing = False  # a Dial is out, with no answer yet
        self._next_dial = now
        self._redial = Redial(limits, limits.redial_max)
        self._ticked_by = self._deadline()  # when `tick` was to be called
        self._story = Stories()

    @property
    def level(self) -> Level:
        """What is known of the peer."""
        return self._level

    @property
    def heard_at(self) -> float:
        """When the last byte came, or silence was forgiven."""
        return self._heard

    def _move(self, cause: Cause, now: float, text: str = "") -> None:
        target = TRANSITIONS.get((self._level, cause))
        if target is None:
            raise LocalProtocolError(f"a peer that is {self._level.value} can't be {cause.value}")
        if target is not self._level:
            self._story.add("peer", now, f"{cause.value}{': ' if text else ''}{text} -> {target.value}")
        self._level = target

    # What happens.

    def heard(self, now: float) -> list[Action]:
        """Bytes came from the peer. Called for each read: cheap."""
        self._heard = now
        if self._level is Level.SUSPECT and self._connected:
            self._move(Cause.HEARD, now)
            return [Recovered()]
        return []

    def note(self, now: float) -> Level:
        """Bytes came from the peer; another thread is to say `heard` if it is not RESPONSIVE."""
        self._heard = now
        return self._level

    def said(self, now: float) -> None:
        """Bytes went to the peer."""
        self._said = now

    def connected(self, now: float) -> list[Action]:
        """A proven connection carries the session."""
        before = self._level
        self._move(Cause.CONNECTED, now)
        if self._level is Level.LOST:
            return []
        self._connected, self._since, self._dialing = True, now, False
        self._heard = self._said = now
        self._ticked_by = self._deadline()
        return [Recovered()] if before is Level.SUSPECT else []

    def broke(self, now: float, fraction: float = 0.5) -> list[Action]:
        """The connection is over; `fraction` is random, from 0 to 1."""
        if not self._connected:
            return []
        before = self._level
        self._move(Cause.BROKE, now)
        self._connected = False
        self._broke = now
        limits = self._limits
        if before is not Level.LOST:
            # A link that comes and goes must not be dialled afresh each time.
            if now - self._since >= limits.redial_max_suspect:
                self._redial = Redial(limits, limits.redial_max_suspect)
            else:
                # But whoever was up is dialled as a suspect, however short it was.
                self._redial.hurry(limits.redial_max_suspect)
            self._next_dial = now + self._redial.delay(fraction)
        self._ticked_by = self._deadline()
        return [Suspected("its connection broke")] if before is Level.RESPONSIVE else []

    def dial_failed(self, refused: bool, now: float, fraction: float) -> list[Action]:
        """A Dial came to nothing.

        refused   actively, by the host itself; not a time-out, not a failed proof.
        fraction  random, from 0 to 1.
        """
        self._dialing = False
        if self._level is Level.SUSPECT and refused and self._redial.refused(now):
            limits = self._limits
            return self.gone(f"its address refused {limits.refusals_until_lost} dials in a row", now)
        self._next_dial = now + self._redial.delay(fraction)
        self._ticked_by = self._deadline()
        return []

    def no_address(self, now: float, fraction: float) -> list[Action]:
        """A Dial can't be made, for the peer never said where it listens: only it can dial us."""
        kept = self._limits.unreachable_kept
        if self._level is Level.SUSPECT and now - self._broke >= kept:
            return self.gone(f"it did not come back in {kept:g} s, and has no address to dial", now)
        actions = self.dial_failed(False, now, fraction)
        self._next_dial = min(self._next_dial, max(now, self._broke + kept))
        self._ticked_by = self._deadline()
        return actions

    def gone(self, reason: str, now: float) -> list[Action]:
        """The peer is proved to be gone. May be repeated."""
        before = self._level
        self._move(Cause.GONE, now, reason)
        self._connected = self._dialing = False
        return [] if before is Level.LOST else [Lost(reason)]

    # Time.

    def tick(self, now: float) -> list[Action]:
        """What is due now; to be called at `next_deadline()`, or more often."""
        limits = self._limits
        actions: list[Action] = []
        if self._ticked_by is not None and now - self._ticked_by > limits.keepalive:
            # We ourselves were away (SIGSTOP, a suspended machine): what came meanwhile
            # is still unread, so the silence proves nothing. Nor could anyone reach us.
            self._heard = self._broke = now
        if self._level is Level.LOST:
            return actions
        if self._connected:
            if now - self._said >= limits.keepalive:
                actions.append(KeepAlive())
                self._said = now
            if self._level is Level.RESPONSIVE and now - self._heard >= limits.suspect_after:
                reason = f"nothing was heard of it for {limits.suspect_after:g} s"
                self._move(Cause.SILENT, now, reason)
                actions.append(Suspected(reason))
        elif self._dials and not self._dialing and now >= self._next_dial:
            self._dialing = True
            actions.append(Dial())
        self._ticked_by = self._deadline()
        return actions

    def next_deadline(self) -> float | None:
        """When `tick` has something to do; None: not before something happens."""
        return self._deadline()

    def _deadline(self) -> float | None:
        if self._level is Level.LOST:
            return None
        if self._connected:
            speak = self._said + self._limits.keepalive
            if self._level is Level.RESPONSIVE:
                return min(speak, self._heard + self._limits.suspect_after)
            return speak
        return self._next_dial if self._dials and not self._dialing else None

    def check(self) -> None:
        """Assert every invariant."""
        assert not (self._level is Level.RESPONSIVE and not self._connected), self.story()
        assert not (self._level is Level.LOST and (self._connected or self._dialing)), self.story()
        assert not (self._level is Level.NEW and self._connected), self.story()
        assert not (self._dialing and not self._dials), self.story()

    def story(self) -> str:
        """What happened to this peer, oldest first."""
        return f"{self._level.value}: {self._story.tell('peer')}"
