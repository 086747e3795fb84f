"""Endings: why a link is over, as all of its parts see it.

Pure: no I/O, clock or randomness.
"""

from __future__ import annotations

from dispycos.errors import TaskCancelled


class Ending:
    """Of one link. The first reason stays; of two that come at once, either."""

    __slots__ = ("reason", "told")

    def __init__(self) -> None:
        self.reason = ""  # why nothing more will come or go; "" while the link is alive
        self.told = False  # all that came was delivered, and `lost` was called or is being called

    def end(self, reason: str) -> bool:
        """The link is over; False if it was before."""
        if self.reason:
            return False
        self.reason = reason
        return True

    def is_told(self) -> bool:
        """`told`, for loops: to type checkers an attribute stays what it was."""
        return self.told


def interrupts(exc: BaseException) -> bool:
    """Whether it is none of what was called: Ctrl-C, or what stops a call from another thread."""
    return isinstance(exc, TaskCancelled) or not isinstance(exc, Exception)


def broken(what: str, exc: BaseException) -> str:
    """The reason, where a message was being `what` (sent, read, delivered) and this was raised."""
    if interrupts(exc):
        return f"interrupted in the middle of a message that was {what}: {type(exc).__name__}"
    return f"an error of this end in the middle of a message that was {what}: {exc!r}"
