"""Failures that nobody asks for: they are logged when the last who could ask is gone.

Without it a task that fails, and that nobody awaits, joins or monitors, would be a line at its
node and nothing in the program that made it.

I/O half. Layer 5. Row KE-08; rule K5.
"""

from __future__ import annotations

import atexit
import logging
import sys
import time

from dispycos.model import LOST_WITH_NODE, End, Outcome
from dispycos.wording import many

log = logging.getLogger("dispycos")

_LINES = 10  # in _WITHIN seconds; what fails in thousands is told in a few lines and a number
_WITHIN = 10.0


class Unasked:
    """How a task failed, until somebody looks."""

    __slots__ = ("_asked", "_outcome", "_task")

    def __init__(self, task: str, outcome: Outcome) -> None:
        self._task = task
        self._outcome = outcome
        self._asked = False

    def look(self) -> Outcome:
        """Somebody asks."""
        self._asked = True
        return self._outcome

    def __del__(self) -> None:
        if not self._asked and not sys.is_finalizing():
            _lines.tell(self._task, self._outcome)


class _Lines:
    """As many lines as a person reads: equal failures are one line, and a number later on."""

    def __init__(self) -> None:
        self._began = 0.0  # time.monotonic() of the first line of this stretch
        self._told: set[str | End] = set()
        self._alike = 0  # in this stretch, after one of those
        self._others = 0

    def tell(self, task: str, outcome: Outcome) -> None:
        now = time.monotonic()
        if now - self._began >= _WITHIN:
            self.sum_up()
            self._began = now
            self._told.clear()
        text = (outcome.text or outcome.end.name).rstrip()
        # What is lost with a node has words of its own each, and the node's line has named and counted it.
        way = outcome.end if outcome.end in LOST_WITH_NODE else text
        if way in self._told:
            self._alike += 1
        elif len(self._told) == _LINES:
            self._others += 1
        else:
            self._told.add(way)
            log.error("%s failed, and nobody asked for its result: %s", task, text)

    def sum_up(self) -> None:
        """Tell how many were left out."""
        if self._alike:
            log.error("and %s failed in the same way", many(self._alike, "more task"))
        if self._others:
            log.error("%s failed, and nobody asked for a result", many(self._others, "more task"))
        self._alike = self._others = 0


_lines = _Lines()
atexit.register(_lines.sum_up)  # what nobody added up any more
