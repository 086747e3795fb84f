"""Event and Condition with the names that `threading` had before.

Layer 7. Row CO-02.
"""

from __future__ import annotations

from dispycos.kernel import sync


class Event(sync.Event):
    """An event; see `dispycos.Event`."""

    def isSet(self) -> bool:  # noqa: N802 - as pycos names it
        """Whether it is set."""
        return self.is_set()


class Condition(sync.Condition):
    """A condition; see `dispycos.Condition`."""

    def notifyAll(self) -> None:  # noqa: N802 - as pycos names it
        """Wake all who wait."""
        self.notify_all()
