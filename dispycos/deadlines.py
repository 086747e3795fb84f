"""Deadlines: one a key, the earliest first; what the machines' `next_deadline` stands on.

A heap with lazy deletion: setting and dropping cost O(log n), whatever the number of keys.
Abandoned entries are swept when they outnumber the live ones (R-95). Equal times come in
the order in which they were set, so that equal histories give equal answers (S4).

Pure. Layer 0.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

_SLACK = 64  # abandoned entries that are never worth a sweep


class Deadlines(Generic[K]):
    """A deadline for each of any number of keys."""

    __slots__ = ("_heap", "_live", "_number")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, K]] = []
        self._live: dict[K, tuple[float, int]] = {}
        self._number = 0

    def set(self, key: K, when: float) -> None:
        """Set or replace the deadline of `key`."""
        self._number += 1
        self._live[key] = (when, self._number)
        heapq.heappush(self._heap, (when, self._number, key))
        if len(self._heap) > 2 * len(self._live) + _SLACK:
            self._heap = [(when, number, key) for key, (when, number) in self._live.items()]
            heapq.heapify(self._heap)

    def set_if_none(self, key: K, when: float) -> None:
        """Set the deadline of `key` unless it has one."""
        if key not in self._live:
            self.set(key, when)

    def drop(self, key: K) -> None:
        """Forget the deadline of `key`, if it has one."""
        self._live.pop(key, None)

    def next(self) -> float | None:
        """The earliest deadline, or None."""
        heap, live = self._heap, self._live
        while heap:
            when, number, key = heap[0]
            if live.get(key) == (when, number):
                return when
            heapq.heappop(heap)
        return None

    def due(self, now: float) -> Iterator[K]:
        """Take out each key whose deadline has come; one set meanwhile for `now` comes too."""
        while (when := self.next()) is not None and when <= now:
            key = heapq.heappop(self._heap)[2]
            del self._live[key]
            yield key

    def __contains__(self, key: K) -> bool:
        return key in self._live

    def __len__(self) -> int:
        return len(self._live)
