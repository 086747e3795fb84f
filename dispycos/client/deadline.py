"""A deadline: a time at which something is called on the kernel's thread.

I/O half: it reads the clock. Layer 5.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from dispycos.kernel.core import Kernel
from dispycos.kernel.timers import Timer


class Deadline:
    """Calls a function on the kernel's thread when a time has come."""

    __slots__ = ("_call", "_kernel", "_timer", "at", "seconds")

    def __init__(self, kernel: Kernel, seconds: float, call: Callable[[], object]) -> None:
        self.seconds = seconds
        self.at = time.monotonic() + seconds
        self._kernel = kernel
        self._call = call
        self._timer: Timer | None = None
        kernel.post(self._begin)

    @property
    def over(self) -> bool:
        return time.monotonic() >= self.at

    def cancel(self) -> None:
        """Call it no more; any thread."""
        self._kernel.post(self._end)

    def _begin(self) -> None:
        left = max(0.0, self.at - time.monotonic())
        self._timer = self._kernel.call_later(left, self._call)

    def _end(self) -> None:
        if self._timer is not None:
            self._kernel.timers.cancel(self._timer)
