"""The stage: virtual time, one source of chance, the wires between hosts, and a trace.

Layer 7. For tests only.
"""

from __future__ import annotations

import heapq
import os
import random
from collections.abc import Callable
from typing import Any

from dispycos.config import Limits
from dispycos.events import Heard

EPOCH = 1e9  # what every wall clock shows at the beginning


class Stage:
    """Time, chance, the state of the wires, and the trace of what happened.

    limits     what machines are made with; the stage takes its own waits from it.
    max_delay  seconds that a message is under way, at most.
    """

    def __init__(self, seed: int, *, limits: Limits | None = None, max_delay: float = 0.02) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.limits = limits or Limits()
        self.max_delay = max_delay
        self.now = 0.0
        self.trace: list[tuple[float, str, str, str]] = []
        self.verbose = os.environ.get("DISPYCOS_TRACE") == "1"
        self.blocked: set[tuple[str, str]] = set()  # (from host, to host)
        self.vanished: set[str] = set()  # hosts without power: they answer nothing, not even a refusal
        self.twice: dict[type[Any], float] = {}  # kind of message -> how likely it is heard a second time
        self.lost: dict[type[Any], float] = {}  # kind of message -> how likely it is not heard
        self.wall: dict[str, float] = {}  # host -> seconds that its wall clock was set by
        self.events = 0
        self._plans: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._number = 0

    # Time.

    def plan(self, delay: float, function: Callable[..., None], *args: Any) -> None:
        """Call it `delay` seconds from now, whatever lives then."""
        self._number += 1
        heapq.heappush(self._plans, (self.now + max(0.0, delay), self._number, function, args))

    def run(self, seconds: float = float("inf"), until: Callable[[], bool] | None = None) -> bool:
        """Let time pass, until the condition holds or nothing is planned. False: it never held."""
        end = self.now + seconds
        if until is not None and until():
            return True
        while self._plans and self._plans[0][0] <= end:
            when, _, function, args = heapq.heappop(self._plans)
            self.now = max(self.now, when)
            self.events += 1
            function(*args)
            if until is not None and until():
                return True
        if until is None and end != float("inf"):
            self.now = end
        return until is None

    def delay(self) -> float:
        """Seconds that one message is under way: mostly short, now and then long."""
        draw = self.random.random()
        return self.max_delay * draw * draw * draw

    def times_heard(self, message: Any) -> int:
        """How often a message that arrives is heard: once, but for these faults."""
        kind = type(message)
        if self.lost and self.random.random() < self.lost.get(kind, 0.0):
            return 0
        if self.twice and self.random.random() < self.twice.get(kind, 0.0):
            return 2
        return 1

    def wall_clock(self, host: str) -> float:
        """Seconds, as the wall clock of that host says: it may be set at any time, either way."""
        return EPOCH + self.now + self.wall.get(host, 0.0)

    def silence(self) -> float:
        """Seconds until a silence is noticed."""
        return self.limits.suspect_after * self.random.uniform(1.0, 1.4)

    # What happened.

    def record(self, name: str, verb: str, what: Any) -> None:
        if isinstance(what, Heard):
            verb, what = "hears", what.message
        text = what if isinstance(what, str) else type(what).__name__
        self.trace.append((self.now, name, verb, text))
        if self.verbose:
            print(f"{self.now:10.4f} {name:10} {verb} {what!r}")

    def story(self, last: int = 60) -> str:
        """The last lines of the trace."""
        return "\n".join(f"{at:10.4f} {name:10} {verb} {text}" for at, name, verb, text in self.trace[-last:])
