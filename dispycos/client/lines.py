"""Waiting lines: tasks that no server has a credit for, highest priority first, then in order.

Pure. Layer 2.
"""

from __future__ import annotations

from bisect import insort
from collections import deque

from dispycos.client.submission import Cause, Stage, Submission

_QUEUED = Stage.QUEUED
_QUEUE = Cause.QUEUE


class Line:
    """One waiting line. A task that ends while it waits is only counted out; it leaves in its turn.

    Waiting work is never dropped (R-39): what a program submits without waiting is its own
    to bound, at some 500 bytes a task.
    """

    __slots__ = ("_lanes", "_priorities", "count")

    def __init__(self) -> None:
        self.count = 0  # of those that still wait
        self._lanes: dict[int, deque[Submission]] = {}
        self._priorities: list[int] = []  # negated, rising

    def __len__(self) -> int:
        return self.count

    def append(self, task: Submission) -> None:
        task.move(_QUEUE)
        task.line = self
        self.count += 1
        lane = self._lanes.get(task.priority)
        if lane is None:
            lane = self._open(task.priority)
        lane.append(task)

    def put_back(self, task: Submission) -> None:
        """It was ahead of all that wait now, and is again."""
        task.move(_QUEUE)
        task.line = self
        self.count += 1
        lane = self._lanes.get(task.priority)
        if lane is None:
            lane = self._open(task.priority)
        lane.appendleft(task)

    def _open(self, priority: int) -> deque[Submission]:
        lane = self._lanes[priority] = deque()
        insort(self._priorities, -priority)
        return lane

    def first(self) -> Submission | None:
        """Who is next; it stays in the line."""
        while self._priorities:
            lane = self._lanes[-self._priorities[0]]
            while lane:
                if lane[0].stage is _QUEUED:
                    return lane[0]
                lane.popleft()
            del self._lanes[-self._priorities.pop(0)]
        return None

    def pop(self) -> Submission | None:
        """Take out who is next; it is to be placed now."""
        task = self.first()
        if task is not None:
            self.count -= 1
            self._lanes[task.priority].popleft()
            task.line = None
        return task

    def left(self) -> None:
        """One of those that wait has ended."""
        self.count -= 1
        if not self.count:
            self._lanes.clear()
            self._priorities.clear()

    def waiting(self) -> list[Submission]:
        return [task for key in self._priorities for task in self._lanes[-key] if task.stage is _QUEUED]


def ahead(one: Submission, other: Submission) -> bool:
    """Whether `one` is served before `other`."""
    return (-one.priority, one.order) < (-other.priority, other.order)
