"""Telling: what a monitor's feed was told last of each row, so that only what is new is told.

What sources of every kind share. One thread at a time: that of the surveys.

Layer 7. Row MO-04.
"""

from __future__ import annotations

import time
from collections.abc import Container, Hashable
from typing import Any

from dispycos.httpd.events import Changed, Gone, Happened
from dispycos.httpd.feed import Feed

NO_PSUTIL = "psutil not installed on this node"  # why figures are unknown


def now() -> float:
    """Seconds since the epoch: for people, who see no more than milliseconds."""
    return round(time.time(), 3)


def wall_time(moment: float, wall: float, clock: float, digits: int | None = 3) -> float:
    """When a moment on the clock of the machines was or will be, in seconds since the epoch.

    wall, clock  the present, on either clock.
    digits       behind the point; None: none, as an int.
    """
    return round(wall - (clock - moment), digits)


class Telling:
    """What one source tells."""

    def __init__(self) -> None:
        self.feed = Feed()  # replaced by the monitor's
        self._told: dict[str, dict[Hashable, dict[str, Any]]] = {}  # by kind and key

    def put(self, kind: str, key: Hashable, values: dict[str, Any], node: Hashable = None) -> bool:
        """Tell a row's values, if they are others than before; True: it is new, or its state is.

        node  of a server: the key of its node.
        """
        told = self._told.setdefault(kind, {})
        before = told.get(key)
        if before == values:
            return False
        told[key] = values
        self.feed.put_always(Changed(kind, key, values, node))
        return before is None or before.get("state") != values.get("state")

    def absent(self, kind: str, present: Container[Hashable]) -> list[Any]:
        """The keys of rows that were told of and are there no more."""
        return [key for key in self._told.get(kind, ()) if key not in present]

    def gone(self, kind: str, key: Hashable, why: str, wall: float) -> None:
        """Tell that a row's thing has ended."""
        self._told.get(kind, {}).pop(key, None)
        self.feed.put_always(Gone(kind, key, why, wall))

    def happened(
        self, level: str, kind: str, subject: str, text: str, about: tuple[str, Hashable] | None = None
    ) -> None:
        """Tell a line for the list of events; any thread."""
        self.feed.put(Happened(level, kind, subject, text, now(), about))
