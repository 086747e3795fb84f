"""What goes from the watched program to the monitor's thread: one bounded queue (MO-04).

Whoever puts never waits and takes no lock. When the queue is full, changes of single tasks are
left out and counted; the monitor then asks for a survey of all that lives, so that what was
collapsed is made good (S3).

I/O half. Layer 7. Rows MO-04, MO-05.
"""

from __future__ import annotations

from collections import deque
from typing import Any

MAX_EVENTS = 10_000


class Feed:
    """One for each monitor. Any thread may put; the monitor's takes."""

    def __init__(self) -> None:
        self._events: deque[Any] = deque()  # at most MAX_EVENTS, and a few of those that may not be lost
        self.collapsed = 0  # changes that were left out so far
        self.survey_wanted = False  # some were, since the last survey

    def put(self, event: Any) -> None:
        """Tell the monitor something; it may be left out."""
        if len(self._events) < MAX_EVENTS:
            self._events.append(event)
        else:
            self.collapsed += 1
            self.survey_wanted = True

    def put_always(self, event: Any) -> None:
        """Tell it what may not be left out, and is rare: surveys and figures, one for each tick."""
        if len(self._events) < 2 * MAX_EVENTS:
            self._events.append(event)
        else:
            self.survey_wanted = True

    def take(self) -> list[Any]:
        """All that was put so far; the monitor's thread only."""
        events = self._events
        return [events.popleft() for _ in range(len(events))]
