"""Bundles: small messages for tasks of one process that leave as one message.

To encode, frame, read and hear a small message costs many times what it costs to pickle it. So
those that are sent before anything is written to their process wait here, in order, and each
other message to that process sends them on first.

Pure: no I/O, clock or randomness. Rules N2, N4, N7.
"""

from __future__ import annotations

from typing import Final

from dispycos.config import KIB
from dispycos.messages import Deliveries

SMALL: Final = 2 * KIB  # bytes of a message; of a larger one the rest costs little
MAX_MESSAGES: Final = 256  # in one bundle: its receiver's tasks have their turn in between
MAX_BYTES: Final = 16 * KIB


class Bundle:
    """What waits to leave for one process. Not safe for threads: its owner has the lock."""

    __slots__ = ("_bytes", "_to", "_values", "open", "waits")

    def __init__(self) -> None:
        self.waits = False  # at least one
        self.open = False  # some wait, and more may join them
        self._to: list[int] = []
        self._values: list[bytes] = []
        self._bytes = 0

    def add(self, to: int, value: bytes) -> None:
        """A message, pickled, for the receiver of that number."""
        self._to.append(to)
        self._values.append(value)
        self._bytes += len(value)
        self.waits = True
        self.open = len(self._to) < MAX_MESSAGES and self._bytes < MAX_BYTES

    def take(self) -> Deliveries:
        """All that waits; nothing waits then."""
        message = Deliveries(self._to, self._values)
        self._to, self._values, self._bytes = [], [], 0
        self.waits = self.open = False
        return message
