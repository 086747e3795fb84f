"""What the view knows of one node or server beside its row.

Pure. Layer 2.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from dispycos.httpd.history import Ring
from dispycos.httpd.rows import Row

LAST_ENDED = 50  # tasks shown of those that ended at a server
MAX_LINES = 200  # of a server's log ...
MAX_LOG = 64 * 1024  # ... and characters
MAX_LINE = 4096  # characters of one line; the rest is cut
MOST_SAMPLES = 24  # of a node over which its tasks per second are taken, however slow its pulse


@dataclass(slots=True)
class Log:
    """The last lines that a server printed."""

    lines: deque[tuple[int, int, float, str]] = field(default_factory=deque)  # tick, number, time, text
    count: int = 0  # lines ever
    size: int = 0  # characters kept

    def add(self, seq: int, time: float, text: str) -> None:
        text = text[:MAX_LINE]
        self.count += 1
        self.size += len(text)
        self.lines.append((seq, self.count, time, text))
        while len(self.lines) > MAX_LINES or self.size > MAX_LOG:
            self.size -= len(self.lines.popleft()[3])

    def after(self, seq: int) -> list[tuple[int, float, str]]:
        """Number, time and text of the lines that came after that tick."""
        return [(number, time, text) for tick, number, time, text in self.lines if tick > seq]


@dataclass(slots=True, eq=False)
class ServerPlace:
    """A server and the tasks that it has."""

    row: Row
    node: NodePlace
    cpu: dict[int, Row] = field(default_factory=dict)  # in the order in which they were handed over
    io: dict[int, Row] = field(default_factory=dict)
    ended: deque[Row] = field(default_factory=deque)  # the last LAST_ENDED
    log: Log = field(default_factory=Log)
    closed: bool = False

    def tasks(self) -> list[Row]:
        """All that are shown with it."""
        return [*self.cpu.values(), *self.io.values(), *self.ended]


@dataclass(slots=True, eq=False)
class NodePlace:
    """A node, its servers and its history."""

    row: Row
    retired: dict[str, int]  # counts of servers that were forgotten
    servers: dict[str, ServerPlace] = field(default_factory=dict)  # by row id
    history: Ring | None = None  # made with the first sample
    done_before: deque[int] = field(default_factory=lambda: deque(maxlen=MOST_SAMPLES))  # at the last ones
    closed: bool = False
