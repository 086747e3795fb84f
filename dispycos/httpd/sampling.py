"""Sampling: which tasks a monitor is told of one by one, so that a busy program is not kept from its work.

While there are few tasks each is told. While there are more than a person could look at, one in so
many is, by its number, from its beginning to its end; what is counted is counted of all. So what
watching costs is bounded a second, whatever the program does (MO-06).

The program's threads ask without a lock: two that ask at once may tell one task more than there is
room for. Pure: no I/O, clock or randomness. Layer 2. Rows MO-04, MO-06.
"""

from __future__ import annotations

import math

MOST = 1000  # tasks a second that are told, and as many that failed


class Sampling:
    """See the module's docstring.

    one_in     of so many tasks one is told; 1: each.
    left_out   changes of tasks that were not told.
    """

    def __init__(self) -> None:
        self.one_in = 1
        self.left_out = 0
        self._told: set[int] = set()  # that live
        self._room = MOST  # for tasks that are new, until the next `pace`
        self._failures = MOST

    def pace(self, tasks: int, seconds: float) -> None:
        """So many tasks began or ended in so many seconds, which are over now."""
        self.one_in = max(1, math.ceil(tasks / (MOST * seconds)))
        self._room = self._failures = math.ceil(MOST * min(seconds, 1.0))

    def begins(self, number: int) -> bool:
        """Whether a change of a task is to be told that may be its first."""
        if number in self._told:
            return True
        if self._room > 0 and number % self.one_in == 0:
            self._room -= 1
            self._told.add(number)
            return True
        self.left_out += 1
        return False

    def lives(self, number: int) -> bool:
        """Whether a task is to be told of in a survey of all that live."""
        if self.one_in > 1:
            return self.begins(number)
        self._told.add(number)
        return True

    def ends(self, number: int, failed: bool) -> bool:
        """Whether the end of a task is to be told: of one that failed even if it was not before."""
        if failed and self._failures > 0 and number not in self._told:
            self._failures -= 1
            return True
        told = self.begins(number)
        self._told.discard(number)
        return told

    def forget(self) -> None:
        """Nobody looks at tasks any more, or they are other ones."""
        self._told.clear()
