"""Timers: what is to be called after a delay, the earliest first.

The kernel reads no clock, so a delay that is asked for while a step runs counts from the next
`advance(now)`: never too short, however long the step took. Most timers are cancelled before
that (a `receive(timeout=10)` whose message is there within the step) and never enter the heap.
Cancelled ones are swept from the heap when they outnumber the live ones (R-95).

Pure: no I/O, clock or randomness. Rule K3.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

_SLACK = 64  # cancelled entries that are never worth a sweep


class Timer:
    """One call to come; `Timers.cancel` takes it back."""

    __slots__ = ("_args", "_delay", "_function", "_in_heap")

    def __init__(self, delay: float, function: Callable[..., object], args: tuple[Any, ...]) -> None:
        self._delay = delay  # seconds from the next `advance`
        self._function: Callable[..., object] | None = function  # None: cancelled or done
        self._args = args
        self._in_heap = False


class Timers:
    """Any number of timers. Kernel thread only."""

    __slots__ = ("_cancelled", "_number", "fresh", "heap")

    def __init__(self) -> None:
        self.heap: list[tuple[float, int, Timer]] = []  # (deadline, order, timer), a heap
        self._number = 0  # orders timers of one deadline as they were set
        self._cancelled = 0  # entries of the heap that are dead
        self.fresh: list[Timer] = []  # set since the last `advance`; at most one a waiting task

    def add(self, delay: float, function: Callable[..., object], *args: Any) -> Timer:
        """Call `function(*args)` once, `delay` seconds after the next `advance`."""
        timer = Timer(delay, function, args)
        self.fresh.append(timer)
        return timer

    def cancel(self, timer: Timer) -> None:
        """Take a timer back; one that was called or cancelled already stays so."""
        if timer._function is None:
            return
        timer._function = None
        timer._args = ()
        if timer._in_heap:
            self._cancelled += 1
            if self._cancelled > _SLACK and 2 * self._cancelled > len(self.heap):
                self.heap = [entry for entry in self.heap if entry[2]._function is not None]
                heapq.heapify(self.heap)
                self._cancelled = 0

    def advance(self, now: float) -> None:
        """Call what is due at `now`, in order of deadline; equal ones in the order they were set."""
        if self.fresh:
            fresh, self.fresh = self.fresh, []
            for timer in fresh:
                if timer._function is not None:
                    self._number += 1
                    timer._in_heap = True
                    heapq.heappush(self.heap, (now + timer._delay, self._number, timer))
        # A call may cancel timers, which may replace the heap: look it up each time.
        while self.heap and self.heap[0][0] <= now:
            timer = heapq.heappop(self.heap)[2]
            function = timer._function
            if function is None:
                self._cancelled -= 1
                continue
            args, timer._function, timer._args = timer._args, None, ()
            function(*args)

    def next_deadline(self) -> float | None:
        """When `advance` has something to call, as an absolute time; None if nothing waits.

        Counts only timers that have been through an `advance`.
        """
        heap = self.heap
        while heap and heap[0][2]._function is None:
            heapq.heappop(heap)
            self._cancelled -= 1
        return heap[0][0] if heap else None

    def __len__(self) -> int:
        """Entries held, cancelled ones included."""
        return len(self.heap) + len(self.fresh)
