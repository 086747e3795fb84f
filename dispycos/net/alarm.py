"""One timer for the deadlines of machines, set from any thread.

I/O half. Layer 3.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

from dispycos.net.reactor import Reactor


class Alarm:
    """Calls `ring` on the reactor when the earliest deadline that was set has come."""

    def __init__(self, reactor: Reactor, ring: Callable[[], object]) -> None:
        self._reactor = reactor
        self._ring = ring
        self._timer: asyncio.TimerHandle | None = None
        self._due: float | None = None
        self._stopped = False
        self._lock = threading.Lock()  # of `_due`: two threads may each have an earlier one

    def set(self, *deadlines: float | None) -> None:
        """Ring at the earliest of these, or before; any thread."""
        for deadline in deadlines:
            # One that rings too early costs an empty tick; one too late would be a fault.
            due = self._due
            if deadline is None or (due is not None and due <= deadline):
                continue
            with self._lock:
                if self._due is not None and self._due <= deadline:
                    continue
                self._due = deadline
            if self._reactor.here:
                self._arm()
            else:
                self._reactor.call(self._arm)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._due is not None and not self._stopped:
            delay = max(0.0, self._due - time.monotonic())
            self._timer = self._reactor.loop.call_later(delay, self._fire)

    def _fire(self) -> None:
        self._timer = None
        with self._lock:
            self._due = None
        self._ring()

    def stop(self) -> None:
        """Ring no more; reactor thread."""
        self._stopped = True
        self._arm()
