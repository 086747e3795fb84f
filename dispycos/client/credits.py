"""Servers as the dispatch knows them: credits, load, and who is loaded least.

A *credit* is the right to have one more task handed over to a server. A new server has few;
they grow and shrink with the mean service time, so that what is sent ahead covers a round trip
and no more: many tiny tasks, at most one long one (D1).

Pure. Layer 2.
"""

from __future__ import annotations

import enum
import heapq
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from dispycos.client.lines import Line
from dispycos.client.submission import Submission
from dispycos.config import Limits
from dispycos.model import CodeHash, Incarnation

FIRST_CREDITS = 2  # one runs, one is under way

# Sending ahead hides a round trip of about `send_ahead_time`. For tasks this many times longer
# it would hide less than one percent, and would make a task wait behind a long one.
TOO_LONG = 100

# A node without an idle server comes after every node that has one.
BUSY = 1e6


class Mode(enum.Enum):
    OPEN = "open"
    SUSPENDED = "suspended"
    CLOSING = "closing"
    DRAINED = "drained"  # closing, and no CPU task is left there
    GONE = "gone"


MODES: dict[tuple[Mode, str], Mode] = {
    (Mode.OPEN, "suspend"): Mode.SUSPENDED,
    (Mode.SUSPENDED, "suspend"): Mode.SUSPENDED,
    (Mode.OPEN, "resume"): Mode.OPEN,
    (Mode.SUSPENDED, "resume"): Mode.OPEN,
    (Mode.OPEN, "close"): Mode.CLOSING,
    (Mode.SUSPENDED, "close"): Mode.CLOSING,
    (Mode.CLOSING, "close"): Mode.CLOSING,
    (Mode.CLOSING, "suspend"): Mode.CLOSING,
    (Mode.CLOSING, "resume"): Mode.CLOSING,
    (Mode.CLOSING, "drained"): Mode.DRAINED,
    (Mode.DRAINED, "close"): Mode.DRAINED,
    (Mode.DRAINED, "suspend"): Mode.DRAINED,
    (Mode.DRAINED, "resume"): Mode.DRAINED,
    (Mode.DRAINED, "gone"): Mode.GONE,
    (Mode.OPEN, "gone"): Mode.GONE,
    (Mode.SUSPENDED, "gone"): Mode.GONE,
    (Mode.CLOSING, "gone"): Mode.GONE,
}


class Loaded(Protocol):
    order: int  # of arrival; breaks ties (D2)
    listed: float | None  # its key as the list knows it; None: not in the list

    def key(self) -> float | None:
        """The load; None: it takes nothing now."""


M = TypeVar("M", bound=Loaded)


class LeastFirst(Generic[M]):
    """Who takes tasks, by rising load, ties in order.

    A heap whose keys may lag: a load that rises is noticed when its turn comes, one that falls
    must be told (`fell`). So a task placed costs nothing here, and no task costs more than a
    logarithm of the number of servers.
    """

    __slots__ = ("_heap", "_members")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, M]] = []
        self._members: dict[M, None] = {}

    def add(self, member: M) -> None:
        self._members[member] = None
        member.listed = None

    def remove(self, member: M) -> None:
        self._members.pop(member, None)
        member.listed = None

    def __iter__(self) -> Iterator[M]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def first(self) -> M | None:
        """Who is loaded least of those that take tasks now."""
        heap = self._heap
        while heap:
            known, order, member = heap[0]
            if member.listed != known:
                heapq.heappop(heap)
                continue
            key = member.key()
            if key is None:
                heapq.heappop(heap)
                member.listed = None
            elif key > known:
                member.listed = key
                heapq.heapreplace(heap, (key, order, member))
            else:
                return member
        return None

    def fell(self, member: M) -> None:
        """Its load may have fallen, or it may take tasks again."""
        key = member.key()
        if key is None or member not in self._members:
            return
        listed = member.listed
        if listed is None or key < listed:
            member.listed = key
            heap = self._heap
            if len(heap) > 2 * len(self._members) + 16:
                # Entries that were overtaken are thrown away now and then.
                heap[:] = [entry for entry in set(heap) if entry[2].listed == entry[0]]
                heapq.heapify(heap)
            heapq.heappush(heap, (key, member.order, member))


class Node:
    """The servers of one node."""

    __slots__ = ("expected", "incarnation", "io_line", "line", "listed", "load", "order", "servers", "took")

    def __init__(self, incarnation: Incarnation, order: int) -> None:
        self.incarnation = incarnation
        self.order = order
        self.listed: float | None = None
        self.servers: LeastFirst[Server] = LeastFirst()
        self.load = 0  # CPU tasks handed over to its servers
        self.line = Line()
        self.io_line = Line()
        self.expected = False
        self.took: list[str] = []  # tasks that were lost with it: they are told of when it is gone

    def key(self) -> float | None:
        server = self.servers.first()
        if server is None:
            return None
        share = self.load / len(self.servers)
        return BUSY + share if server.sent else share


class Server:
    """One server, and what it was handed."""

    __slots__ = (
        "begun",
        "cpu_credits",
        "failures",
        "forced",
        "forced_for",
        "heard_at",
        "incarnation",
        "io",
        "io_line",
        "known",
        "lease",
        "line",
        "listed",
        "mean",
        "mode",
        "node",
        "number",
        "order",
        "outbox",
        "position",
        "position_io",
        "recalling",
        "refused",
        "sent",
        "stuck",
        "suspect",
        "timed",
        "timed_io",
        "unseen",
    )

    def __init__(self, incarnation: Incarnation, node: Node, lease: int, order: int, now: float) -> None:
        self.incarnation = incarnation
        self.node = node
        self.lease = lease
        self.order = order
        self.listed: float | None = None
        self.mode = Mode.OPEN
        self.suspect = False
        self.stuck = False  # and its node, which is heard, says that it does not step
        self.refused = 0.0  # it refused tasks: nothing goes there before this time; 0: it didn't
        self.failures = 0  # refusals in a row
        # What a Recall that is not answered asked for: no CPU tasks go there, so that positions tell.
        self.recalling: frozenset[int] = frozenset()
        self.sent: dict[int, Submission] = {}  # CPU tasks PLACED or SENT, in order; at most cpu_credits
        self.io: dict[int, Submission] = {}  # I/O tasks; at most max_io_credits
        self.outbox: list[Submission] = []  # what the next flush hands over
        self.line = Line()  # tasks for this server only
        self.io_line = Line()
        self.known: set[CodeHash] = set()  # definitions it has; bounded with the dispatch's table
        self.position = 0  # of the last CPU task handed over
        self.position_io = 0
        self.begun = 0  # position up to which CPU tasks are known to have begun
        self.timed = 0  # positions up to which we count time-outs ourselves
        self.timed_io = 0
        self.number = 0  # of its newest outcome
        self.unseen = 0  # outcomes not yet acknowledged
        self.cpu_credits = FIRST_CREDITS
        self.mean = -1.0  # seconds that a CPU task takes; -1: nobody knows
        self.heard_at = now  # when its last CPU outcome came, or its first task went out
        self.forced = ""  # why we had its process ended
        self.forced_for: Submission | None = None  # the task that said so itself: it did not yield

    def __repr__(self) -> str:
        return f"server {self.incarnation[:4].hex()}"

    def move(self, cause: str) -> None:
        """The only line that assigns a mode after the first."""
        self.mode = MODES[self.mode, cause]

    @property
    def closing(self) -> bool:
        return self.mode is Mode.CLOSING or self.mode is Mode.DRAINED

    @property
    def usable(self) -> bool:
        return self.mode is Mode.OPEN and not self.suspect and not self.refused

    @property
    def free(self) -> int:
        """CPU tasks that may be handed over now."""
        if self.mode is not Mode.OPEN or self.suspect or self.refused or self.recalling:
            return 0
        return self.cpu_credits - len(self.sent)

    def key(self) -> float | None:
        # `free`, written out: this is asked twice for each task.
        if self.mode is not Mode.OPEN or self.suspect or self.refused or self.recalling:
            return None
        load = len(self.sent)
        return load if load < self.cpu_credits else None

    def learn(self, spent: float, count: int, limits: Limits) -> None:
        """`count` CPU tasks took `spent` seconds: adapt the credits."""
        sample = max(spent / count, 1e-6)
        if self.mean < 0:
            self.mean = sample
        else:
            # Long tasks count at once: what is sent ahead would wait behind them.
            weight = 0.5 if sample > self.mean else min(1.0, 0.1 + count / 32)
            self.mean += weight * (sample - self.mean)
        if self.mean > TOO_LONG * limits.send_ahead_time:
            aim = 1
        else:
            aim = 1 + max(1, int(limits.send_ahead_time / self.mean))
        self.cpu_credits = min(aim, 2 * self.cpu_credits, limits.max_credits)
