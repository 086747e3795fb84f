"""Expiry: one thread for all results of this process that expire; it runs while there are any."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from dispycos import forks

log = logging.getLogger("dispycos")


class Expiries:
    """Operations, and what is called when their time is over before they are done."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Have none: in a forked child, where the thread is the parent's, and may have had the lock."""
        self._changed = threading.Condition()
        # (monotonic time, a number that orders equal times, operation)
        self._queue: list[tuple[float, int, Any]] = []
        self._numbers = itertools.count()
        # Of each operation that is to expire: the number of its entry that counts, and what is called.
        self._due: dict[Any, tuple[int, Callable[[], None]]] = {}
        self._runs = False

    def add(self, operation: Any, timeout: float, expire: Callable[[], None]) -> None:
        """Call `expire()` in `timeout` seconds; in place of what was to be called before."""
        with self._changed:
            number = next(self._numbers)
            self._due[operation] = number, expire
            heapq.heappush(self._queue, (time.monotonic() + timeout, number, operation))
            self._changed.notify()
            if not self._runs:
                self._runs = True
                threading.Thread(target=self._run, name="dispycos expiry", daemon=True).start()
        # Nothing waits for what is done already.
        operation.add_done_callback(self.remove)

    def remove(self, operation: Any) -> None:
        """It does not expire any more."""
        with self._changed:
            if self._due.pop(operation, None) is not None:
                self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                expire = self._next()
                if expire is None:
                    self._runs = False
                    return
            try:
                expire()
            except Exception:
                log.exception("a result could not expire")

    def _next(self) -> Callable[[], None] | None:
        # Under the lock: waits for the next that expires; None if there is none.
        while self._due:
            when, number, operation = self._queue[0]
            known = self._due.get(operation)
            if known is None or known[0] != number:
                heapq.heappop(self._queue)
                continue
            rest = when - time.monotonic()
            if rest <= 0:
                heapq.heappop(self._queue)
                del self._due[operation]
                return known[1]
            self._changed.wait(rest)
        self._queue.clear()
        return None


expiries = Expiries()
forks.in_child(expiries.renew)
