"""Patience: how long a thread with nothing to do goes on looking before it sleeps.

To sleep and to be woken costs 5 to 150 microseconds, most on a virtual machine whose processor
has to be called back. Two processes that answer each other in less time than that spend most of
it on waking up. Who looks for as long as sleeping would cost, and then sleeps, never spends more
than twice what was needed (A. Karlin, K. Li, M. Manasse, S. Owicki: Empirical Studies of
Competitive Spinning for a Shared-Memory Multiprocessor, 1991). Even that is spent only while it
helps: after some short waits in a row, and each moment in vain asks for twice as many. Who is put
aside while he looks shares his processor: he takes the time of whom he waits for, perhaps, and of
others. It is long before he looks again, and longer if he had found nothing meanwhile.

Pure: no I/O, clock or randomness.
"""

from __future__ import annotations

from typing import Final

MOMENT: Final = 0.0003  # seconds of looking at most: what a short task and its way there and back take
SHORT: Final = 2 * MOMENT  # seconds of a sleep, the waking included, that looking might have spared
FIRST: Final = 4  # short sleeps in a row after which it is tried ...
MOST: Final = 1024  # ... and at most, after it was in vain again and again
ASIDE: Final = 16  # times as many after who looked was put aside: most at the second time in a row
AWAY: Final = 0.00005  # seconds from one look to the next: more, and others had the processor


class Patience:
    """Of one thread that waits."""

    __slots__ = ("_after", "_short", "moment")

    def __init__(self) -> None:
        self._after = FIRST  # short sleeps in a row that it takes
        self._short = 0  # that there were
        self.moment = 0.0  # seconds to look before the next sleep; 0: sleep at once

    def found(self) -> None:
        """Something came while we looked."""
        if self._after > FIRST:
            self._after >>= 1
            if self._short >= self._after:
                self.moment = MOMENT

    def put_aside(self) -> None:
        """Others had the processor while we looked."""
        self._after = min(ASIDE * self._after, MOST)
        self._short = 0
        self.moment = 0.0

    def slept(self, seconds: float) -> None:
        """Nothing came while we looked, if we did; from then until something came it took so long."""
        if seconds < SHORT:
            self._short += 1
            if self._short >= self._after:
                self.moment = MOMENT
        else:
            if self._short >= self._after:
                self._after = min(2 * self._after, MOST)
            self._short = 0
            self.moment = 0.0
