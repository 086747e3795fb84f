"""How many items of a map go into one task, learned from how long items take.

A task costs the same whatever is in it, so short items travel together; long ones travel
alone, so that no server works while others are idle. At the end of an input of known length
the chunks shrink, and all servers finish at about the same time: guided self-scheduling,
Polychronopoulos and Kuck, 1987.

Pure. Layer 2. Row DC-64.
"""

from __future__ import annotations

from dispycos.config import KIB

TARGET_TIME = 0.020  # seconds of work in a chunk: a hundred times what a task costs
TARGET_BYTES = 128 * KIB  # of arguments or results in a chunk
MAX_ITEMS = 10_000  # what is kept of endless inputs is counted in chunks, so these have an end too
GROWTH = 8  # times the largest chunk that was measured: one quick item proves little
SHARES = 3  # chunks for each server that are left to give out, at least, until the end
NEWEST = 0.5  # share of the newest chunk in what is expected of the next

IN_FLIGHT = 3  # chunks for each server that are not done: it has one, gets one, and one is on its way back
MOST_AHEAD = 100  # ... and so many more where a chunk takes far less than TARGET_TIME
SPARE = 2  # chunks beside those, for who has no server yet
KEPT = 4  # times as many may be done and not taken: behind one that takes long


class Chunking:
    """The sizes of the chunks of one map. `fixed`: the program's own choice; 0: by measurement."""

    __slots__ = ("_bytes", "_fixed", "_seconds", "_size")

    def __init__(self, fixed: int = 0) -> None:
        self._fixed = fixed
        self._size = 1
        self._seconds = -1.0  # of one item; negative: nothing is known yet
        self._bytes = 0.0  # of one item

    def size(self, servers: int, left: int | None) -> int:
        """Items for the next chunk, at least 1.

        left  items of the input that are not given out; None: nobody knows.
        """
        if self._fixed:
            return self._fixed
        if left is None:
            return self._size
        return max(1, min(self._size, left // (SHARES * max(servers, 1))))

    def ran(self, items: int, seconds: float, size: int) -> None:
        """A chunk of so many items took so long; `size`: the larger of its arguments and results, bytes."""
        if not items:
            return
        if self._seconds < 0:
            self._seconds, self._bytes = seconds / items, size / items
        else:
            self._seconds += NEWEST * (seconds / items - self._seconds)
            self._bytes += NEWEST * (size / items - self._bytes)
        wanted = min(
            TARGET_TIME / max(self._seconds, TARGET_TIME / MAX_ITEMS),
            TARGET_BYTES / max(self._bytes, TARGET_BYTES / MAX_ITEMS),
        )
        # A small chunk that comes back late does not take back what larger ones have proved.
        self._size = max(1, min(int(wanted), max(self._size, items * GROWTH)))

    def may_go_out(self, servers: int, in_flight: int, kept: int) -> bool:
        """Whether one more chunk may be given out; `kept`: those that nobody has taken, done or not."""
        each = IN_FLIGHT
        if self._seconds >= 0:
            chunk = self._seconds * (self._fixed or self._size)
            each += int(TARGET_TIME / max(chunk, TARGET_TIME / MOST_AHEAD))
        most = each * servers + SPARE
        return in_flight < most and kept < KEPT * most
