"""Holders: which processes refer to an object, and what is on its way to others.

A reference that is sent is counted when it leaves and when it is read, by a token of its own, so
the object does not go while nobody but a message refers to it. What may be read at any time, or
was read twice, is not counted: then the object stays until it is closed.

Pure: no I/O, clock or randomness.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Final

from dispycos.messages import Change
from dispycos.model import Incarnation

MAX_TOKENS: Final = 10_000  # that are under way; with more of them it stays until it is closed
MAX_READ: Final = 1000  # that were read, remembered to know a second reader by


class Holders:
    """Those of one object. Not safe for threads: its owner has a lock."""

    def __init__(self) -> None:
        self.sent_on = False  # not only to who had it made
        self._kept = False
        self._held: Counter[Incarnation] = Counter()  # references that each process has made and not dropped
        self._under_way: set[bytes] = set()
        self._read: OrderedDict[bytes, bool] = OrderedDict()  # token -> whether it was sent, as far as heard

    @property
    def nobody(self) -> bool:
        """Whether nobody refers to it."""
        return not self._kept and not self._under_way and not self._held

    def change(self, peer: Incarnation, change: Change, token: bytes) -> None:
        """A process says what became of its references."""
        if change is Change.SENT:
            self._sent(token)
        elif change is Change.DROPPED:
            self._held[peer] -= 1
            if self._held[peer] <= 0:
                del self._held[peer]
        else:
            if change is Change.ARRIVED:
                self._held[peer] += 1
            self._arrived(token)

    def _sent(self, token: bytes) -> None:
        if not token:
            self._kept = True
        elif token in self._read:
            self._read[token] = True  # its reader was faster
        else:
            self._under_way.add(token)
            self.sent_on = self.sent_on or bool(self._held)
            if len(self._under_way) > MAX_TOKENS:
                self._kept = True
                self._under_way.clear()

    def _arrived(self, token: bytes) -> None:
        if token in self._read:
            self._kept = True
        sent = token in self._under_way
        self._under_way.discard(token)
        self._read[token] = sent
        if len(self._read) > MAX_READ:
            self._read.popitem(last=False)
