"""Links: the session between two incarnations, and the wire below it.

Layer 7. For tests only.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from dispycos.events import Heard, PeerBack, PeerGone, PeerSuspect
from dispycos.model import Incarnation, Location
from dispycos.simulation.stage import Stage


class Condition(enum.Enum):
    """How a process is."""

    NEW = "new"  # not started
    RUNNING = "running"
    FROZEN = "frozen"  # SIGSTOP: what comes waits, it sees nothing
    DEAD = "dead"


class End(Protocol):
    """What a session needs of the process at each end."""

    name: str
    host: str
    location: Location | None
    incarnation: Incarnation
    condition: Condition
    links: dict[Incarnation, Link]

    @property
    def alive(self) -> bool: ...
    def hear(self, event: Any) -> None: ...
    def call(
        self, incarnation: Incarnation, function: Callable[..., None], args: tuple[Any, ...]
    ) -> None: ...


class Link:
    """The session between two incarnations, and the wire below it."""

    def __init__(self, world: Stage, one: End, other: End) -> None:
        self.world = world
        self.ends = (one, other)
        self.names = (one.incarnation, other.incarnation)
        self.connected = True  # False: the wire broke; both sides dial until it holds again
        self.over = False  # ended for good
        self.lags = [0.0, 0.0]  # seconds that what end i sends is under way, beside the usual ones
        self.suspects = [False, False]  # does end i suspect the other end?
        self._queues: tuple[deque[Any], deque[Any]] = (deque(), deque())  # from end i, not yet arrived
        self._latest = [0.0, 0.0]  # when the newest message of that direction may arrive

    def side(self, process: End) -> int:
        return 0 if self.names[0] == process.incarnation else 1

    def blocked(self, side: int) -> bool:
        """Nothing that end `side` sends arrives."""
        return (self.ends[side].host, self.ends[1 - side].host) in self.world.blocked

    @property
    def cut(self) -> bool:
        return self.blocked(0) or self.blocked(1)

    def lives(self, side: int) -> bool:
        end = self.ends[side]
        return end.alive and end.incarnation == self.names[side]

    def say(self, sender: End, message: Any) -> None:
        side = self.side(sender)
        if not self.over:
            self._queues[side].append(message)
            self._plan_arrival(side)

    def _plan_arrival(self, side: int) -> None:
        when = max(self._latest[side], self.world.now + self.lags[side] + self.world.delay())
        self._latest[side] = when
        self.world.plan(when - self.world.now, self._arrive, side)

    def _arrive(self, side: int) -> None:
        # While the wire is down the message stays; the reconnection plans its arrival again.
        if self._queues[side] and self.connected and not self.over and not self.blocked(side):
            message = self._queues[side].popleft()
            for _ in range(self.world.times_heard(message)):
                self._hand_over(side, Heard(self.names[side], message))

    def _hand_over(self, side: int, event: Any) -> None:
        """Give the event to the end opposite to `side`."""
        receiver = self.ends[1 - side]
        if self.lives(1 - side):
            receiver.call(self.names[1 - side], self.hear, (receiver, event))

    def hear(self, receiver: End, event: Any) -> None:
        """An end hears of the other, unless it has forgotten this session."""
        if receiver.links.get(event.peer) is self:
            if isinstance(event, PeerGone):
                del receiver.links[event.peer]
            receiver.hear(event)

    def suspect(self, side: int) -> None:
        """End `side` begins to suspect the other."""
        if not self.suspects[side] and not self.over:
            self.suspects[side] = True
            self._hand_over(1 - side, PeerSuspect(self.names[1 - side]))

    def back(self, side: int) -> None:
        if self.suspects[side] and not self.over:
            self.suspects[side] = False
            self._hand_over(1 - side, PeerBack(self.names[1 - side]))

    def lose(self, side: int, reason: str) -> None:
        """End `side` is told that the other is gone; once."""
        if not self.over:
            self.over = True
            self._hand_over(1 - side, PeerGone(self.names[1 - side], reason))

    # Faults.

    def was_cut(self) -> None:
        for side in (0, 1):
            if self.blocked(1 - side):
                self.world.plan(self.world.silence(), self._silent, side)

    def _silent(self, side: int) -> None:
        """End `side` has not heard a byte for so long that it gives the connection up."""
        if self.over or not self.blocked(1 - side) or not self.lives(side):
            return
        self.connected = False
        self.suspect(side)
        # The other end's bytes are not acknowledged, so it gives up as well.
        self.world.plan(self.world.silence(), self._broken, 1 - side)

    def _broken(self, side: int) -> None:
        if not self.connected:
            self.suspect(side)

    def was_healed(self) -> None:
        if self.over or self.cut:
            return
        if not (self.lives(0) and self.lives(1)):
            self._refuse_soon()
        elif self.connected:
            # The wire held; what was sent meanwhile is sent again.
            for side in (0, 1):
                self._send_again(side)
            self.thawed()
        else:
            self.world.plan(
                self.world.random.uniform(0, self.world.limits.redial_max_suspect), self._reconnect
            )

    def _reconnect(self) -> None:
        if self.over or self.connected or self.cut or not (self.lives(0) and self.lives(1)):
            return
        if any(end.condition is Condition.FROZEN for end in self.ends):
            return  # a frozen process answers no dial; thawing tries again
        self.connected = True
        for side in (0, 1):
            self.back(side)
        for side in (0, 1):
            self._send_again(side)

    def _send_again(self, side: int) -> None:
        self._latest[side] = self.world.now
        for _ in self._queues[side]:
            self._plan_arrival(side)

    def frozen(self, process: End) -> None:
        other = 1 - self.side(process)
        self.world.plan(self.world.silence(), self._frozen_long, other, process)

    def _frozen_long(self, side: int, process: End) -> None:
        if process.condition is Condition.FROZEN:
            self.suspect(side)

    def thawed(self) -> None:
        """Bytes come again."""
        if self.connected:
            for side in (0, 1):
                self.world.plan(self.world.delay(), self._heard_again, side)
        else:
            self.was_healed()

    def _heard_again(self, side: int) -> None:
        if self.connected and not self.cut and self.ends[1 - side].condition is Condition.RUNNING:
            self.back(side)

    def died(self, process: End) -> None:
        """This end's process ended: some of what it sent last still arrives, then its address refuses."""
        side = self.side(process)
        if self.connected and not self.blocked(side) and self._queues[side]:
            arriving = self.world.random.randint(0, len(self._queues[side]))
            for _ in range(arriving):
                message = self._queues[side].popleft()
                if lag := self.lags[side]:
                    # It left in time, and others may tell of the death before it arrives.
                    self.world.plan(lag, self._last_word, side, message)
                else:
                    self._hand_over(side, Heard(self.names[side], message))
        self._queues[0].clear()
        self._queues[1].clear()
        self.connected = False
        if process.host not in self.world.vanished:
            self._refuse_soon()
        else:
            self.world.plan(self.world.silence(), self.suspect, 1 - side)

    def _last_word(self, side: int, message: Any) -> None:
        if not self.over and not self.blocked(side):
            self._hand_over(side, Heard(self.names[side], message))

    def _refuse_soon(self) -> None:
        for side in (0, 1):
            if self.lives(side):
                if not self.cut:
                    self.world.plan(self.world.delay(), self.suspect, side)
                wait = self.world.random.uniform(0.2, self.world.limits.refusal_window)
                self.world.plan(wait, self._refused, side)

    def _refused(self, side: int) -> None:
        other = self.ends[1 - side]
        if (
            self.over
            or not self.lives(side)
            or self.lives(1 - side)
            or self.cut
            or other.host in self.world.vanished
        ):
            return
        if other.location is not None:
            self.suspect(side)
            self.lose(side, f"{other.location} refused three dials")

    def replaced(self) -> None:
        """Another incarnation answers at the address of the end that died."""
        for side in (0, 1):
            if self.lives(side) and not self.lives(1 - side) and not self.cut:
                self.lose(side, f"another incarnation answers at {self.ends[1 - side].location}")

    def end(self, process: End, reason: str) -> None:
        """This end forgets the session; the other is told, if it can be reached."""
        side = self.side(process)
        process.links.pop(self.names[1 - side], None)
        if not self.over:
            self.over = True
            self.world.plan(self.world.delay(), self._ended, side, reason)

    def _ended(self, side: int, reason: str) -> None:
        self._hand_over(side, PeerGone(self.names[side], f"it ended the session: {reason}"))
