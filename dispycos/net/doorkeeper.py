"""The doorkeeper: who may knock, before anything is known of them (SE-15).

It counts unfinished handshakes, in all and per source, and shuts out a source that failed
too often. What it remembers is bounded, so that knocking costs us nothing but the knock.

Pure: no I/O, clock or randomness.
"""

from __future__ import annotations

import ipaddress
from collections import Counter, OrderedDict, deque

from dispycos.config import Limits
from dispycos.wording import many

# Reasons of one source that each have a line of their own; the others share one, so that who
# has ever new ones fills no log.
_REASONS = 8


class Repeats:
    """When a log line is due: one in `failure_window` for a source and reason, with a count (SE-55)."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        # source -> reason -> when its last line was due, and how many were left out since; the
        # source whose line is the oldest is dropped beyond max_failure_sources.
        self._lines: OrderedDict[str, dict[str, tuple[float, int]]] = OrderedDict()

    def due(self, source: str, now: float, reason: str = "") -> int | None:
        """None: no line this time. Else how many were left out before it."""
        reasons = self._lines.setdefault(source, {})
        if reason not in reasons and len(reasons) >= _REASONS:
            reason = ""
        last, left_out = reasons.get(reason, (float("-inf"), 0))
        if now - last < self._limits.failure_window:
            reasons[reason] = (last, left_out + 1)
            return None
        reasons[reason] = (now, 0)
        self._lines.move_to_end(source)
        if len(self._lines) > self._limits.max_failure_sources:
            self._lines.popitem(last=False)
        return left_out

    def check(self) -> None:
        """Assert the bounds."""
        assert len(self._lines) <= self._limits.max_failure_sources
        assert all(len(reasons) <= _REASONS + 1 for reasons in self._lines.values())


def others(count: int) -> str:
    """What a line says of those that were left out before it."""
    return f" (and {many(count, 'other')} like it meanwhile)" if count else ""


# Descriptors that are kept for what is no session: listeners, files, pipes to child processes.
_KEPT_DESCRIPTORS = 64
_NEARLY = 0.8  # of the room: from here on it is said that there is little


def room(limits: Limits, descriptors: int | None) -> tuple[int, str]:
    """How many sessions this process can have, and what bounds them, in words.

    descriptors  how many this process may have open; None: no limit.
    """
    if descriptors is not None:
        most = descriptors - min(_KEPT_DESCRIPTORS, descriptors // 4)
        if most < limits.max_sessions:
            return most, f"this process may open only {descriptors} descriptors: raise `ulimit -n`"
    return limits.max_sessions, f"max_sessions={limits.max_sessions}"


def nearly_full(sessions: int, most: int) -> bool:
    """Is it time to say that there is little room left?"""
    return sessions >= _NEARLY * most


class Doorkeeper:
    """Admits or refuses connections; `now` is seconds on a monotonic clock."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._unfinished: Counter[str] = Counter()
        # source -> times of its last failures, at most max_handshake_failures of them; the
        # source that failed longest ago is dropped beyond max_failure_sources.
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()
        self.refused = 0  # connections closed at accept
        self.failed: Counter[str] = Counter()  # failed handshakes by reason code

    def admit(self, source: str, now: float) -> bool:
        """May a connection from this address begin its handshake? Every True needs one `leave`."""
        limits = self._limits
        if (
            self._unfinished.total() >= limits.max_unfinished_handshakes
            or self._unfinished[source] >= limits.max_unfinished_per_source
            or self._shut_out(source, now)
        ):
            self.refused += 1
            return False
        self._unfinished[source] += 1
        return True

    def leave(self, source: str) -> None:
        """A handshake that was admitted has ended, one way or the other."""
        self._unfinished[source] -= 1
        if self._unfinished[source] <= 0:
            del self._unfinished[source]

    def fail(self, source: str, code: str, now: float) -> bool:
        """Count a failed handshake; True if it is the one that shuts the source out."""
        self.failed[code] += 1
        # A faulty program of this host must not shut its neighbours out.
        if ipaddress.ip_address(source).is_loopback:
            return False
        times = self._failures.pop(source, None) or deque(maxlen=self._limits.max_handshake_failures)
        before = self._shut_out_by(times, now)
        times.append(now)
        self._failures[source] = times
        if len(self._failures) > self._limits.max_failure_sources:
            self._failures.popitem(last=False)
        return not before and self._shut_out_by(times, now)

    def shut_out(self, source: str, now: float) -> bool:
        """Did this address fail too often? Else one that was not admitted may be later."""
        return self._shut_out(source, now)

    def _shut_out(self, source: str, now: float) -> bool:
        times = self._failures.get(source)
        return times is not None and self._shut_out_by(times, now)

    def _shut_out_by(self, times: deque[float], now: float) -> bool:
        full = len(times) == self._limits.max_handshake_failures
        return full and now - times[0] < self._limits.failure_window

    def check(self) -> None:
        """Assert the bounds."""
        assert self._unfinished.total() <= self._limits.max_unfinished_handshakes
        assert all(0 < count <= self._limits.max_unfinished_per_source for count in self._unfinished.values())
        assert len(self._failures) <= self._limits.max_failure_sources
