"""Relays: tasks whose outcome goes to another program as it came.

Who passes tasks on for others must not load what they say: the outcome stays the bytes that
the server sent, and nothing here unpickles it.

I/O half. Layer 5. Row CW-01; rule SE-24.
"""

from __future__ import annotations

from collections.abc import Callable

from dispycos.client.tasks import ClientTask
from dispycos.model import Location, Outcome


class RelayTask(ClientTask):
    """A task that runs for somebody else; see `Work.relay`."""

    __slots__ = ("ended",)

    ended: Callable[[RelayTask, Outcome], object]

    @property
    def worker(self) -> Location | None:
        """The server that it was given to last; None: none yet."""
        return self._where[1]

    def conclude(self, outcome: Outcome, poisoned: bool) -> None:
        """Pass the outcome on; kernel thread."""
        self._end = outcome.end
        self._value = self._error = self._request = None
        self._submission = None  # it knows us: a cycle would be the collector's to free
        self.ended(self, outcome)
