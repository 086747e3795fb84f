"""Who watches what a client does, as a web monitor does.

A watcher is told on the threads where things happen, in order: it takes note and returns. It
changes nothing, and what it raises would be the program's trouble: it raises nothing. Without
watchers nothing of this costs anything but a look at an empty tuple.

Layer 5. Rows MO-03 to MO-05, MO-36.
"""

from __future__ import annotations

from typing import Any, Protocol

from dispycos.client.submission import Ended, Placed, Submission


class Watcher(Protocol):
    """One who is told."""

    @property
    def address(self) -> str:
        """Where people can see it; "": nowhere. Any thread."""

    def submitted(self, task: Submission, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A task is about to be placed; in the thread of who asked for it."""

    def placed(self, action: Placed) -> None:
        """It is on its way to a server; kernel thread."""

    def ended(self, action: Ended) -> None:
        """It has its outcome; kernel thread."""

    def news(self, action: Any) -> None:
        """Notify, PleaseClose or TurnEnded; kernel thread."""
