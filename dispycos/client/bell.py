"""A bell: who waits for a change, in whatever way, hears of it.

I/O half: it has a lock. Layer 5.
"""

from __future__ import annotations

import threading

from dispycos.kernel.operation import Operation


class Bell:
    """Tells those who listen that something has changed; rung by any thread."""

    __slots__ = ("_listeners", "_lock")

    def __init__(self) -> None:
        self._listeners: Operation | None = None  # one for all who listen; None: nobody does
        self._lock = threading.Lock()

    def listen(self) -> Operation:
        """Done when it rings next. Whoever listens looks afterwards, so that nothing is missed."""
        with self._lock:
            if self._listeners is None:
                self._listeners = Operation()
            return self._listeners

    def ring(self) -> None:
        if self._listeners is None:
            return  # who begins to listen now will look
        with self._lock:
            listeners, self._listeners = self._listeners, None
        if listeners is not None:
            listeners.complete()
