"""Windows: how much may be on its way through a channel, so that what nobody takes is bounded.

Who sends has credit for so many bytes. An item waits at the other end until somebody takes it; of that
the sender is told in lots, and may send as much again. With `wire.ENOUGH` credit one item may go, however
large; each counts for a little more than its size.
"""

from __future__ import annotations

import threading

from dispycos.gateways import wire


class Window:
    """Of one end of a channel, both ways; any thread. Nothing waits under its lock.

    credit  bytes that may be sent.
    owed    bytes that were taken here, of which the other end was not told.
    A finalizer may read these at any moment.
    """

    __slots__ = ("_lock", "credit", "held", "owed")

    def __init__(self, credit: int = wire.WINDOW, owed: int = 0) -> None:
        self._lock = threading.Lock()
        self.credit = credit
        self.owed = owed
        self.held = 0  # bytes of items that wait here, in whatever queue

    # Sending.

    def enough(self, amount: int) -> bool:
        """Whether an item that counts for so many bytes may go."""
        return self.credit >= min(amount, wire.ENOUGH)

    def reserve(self, amount: int) -> bool:
        """Let one go; False if it may not yet."""
        with self._lock:
            if not self.enough(amount):
                return False
            self.credit -= amount
            return True

    def granted(self, amount: int) -> None:
        """The other end took items of so many bytes."""
        with self._lock:
            self.credit += amount

    # Receiving.

    def hold(self, size: int) -> bool:
        """An item of this size waits here; False if its sender can't have had credit for it."""
        with self._lock:
            if self.held > wire.WINDOW:
                return False
            self.held += size + wire.PER_ITEM
            return True

    def let_go(self, size: int) -> None:
        """An item waits no more, and is not taken yet."""
        with self._lock:
            self.held -= size + wire.PER_ITEM

    def taken(self, size: int, held: bool, tell: bool) -> int:
        """An item was taken: bytes of which the other end is to be told now; 0: later.

        held  it waited here.
        tell  the other end still wants to know.
        """
        amount = size + wire.PER_ITEM
        with self._lock:
            if held:
                self.held -= amount
            owed = self.owed + amount
            if owed < wire.LOT or not tell:
                self.owed = owed
                return 0
            self.owed = 0
            return owed

    def disown(self) -> None:
        """In a forked child, where a thread of the parent's may have the lock for ever."""
        self._lock = threading.Lock()
