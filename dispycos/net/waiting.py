"""Waiting: threads that wait for something of a link, which one of them reads.

I/O half. Layer 3.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, Protocol

LONGEST: Final = 86400.0  # seconds of one poll or lock: poll(2) takes no more than 24 days


class Waiting:
    """A thread that waits for something of a link. Wake it from any thread, as often as you like."""

    __slots__ = ("_lock", "reads", "stir")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        # Of a thread that reads while it waits: its ident, and what takes it out of its poll.
        self.reads = 0
        self.stir: Callable[[], None] | None = None

    def wake(self) -> None:
        """It looks again whether it is ready."""
        if self.reads == threading.get_ident():
            return  # it does so after each message that it reads
        try:
            self._lock.release()
        except RuntimeError:
            pass  # it is awake already
        if self.reads and self.stir is not None:
            self.stir()

    def sleep(self, seconds: float) -> None:
        """Until somebody calls `wake`, or did so since the last sleep; at most so long, -1: for ever.

        It may end sooner: who sleeps looks again.
        """
        self._lock.acquire(timeout=min(seconds, LONGEST))


class Woken(Protocol):
    """Who is told of something by a call of `wake`, from any thread."""

    def wake(self) -> None: ...
