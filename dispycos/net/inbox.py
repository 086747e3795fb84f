"""The inbox of a session: long messages on their way in.

A long message's tail is allocated once, at its final size, and filled where it will stay.
Lengths are checked before memory is taken, and what is announced costs nothing before it comes.

Pure. Rule N4; requirements SE-18, R-23.
"""

from __future__ import annotations

from collections.abc import Callable

from dispycos.config import Limits
from dispycos.model import Buffer
from dispycos.net import frame as wire
from dispycos.net.frame import FrameError
from dispycos.net.outbox import URGENT
from dispycos.room import room


class Partial:
    """A long message of which some slices may be missing."""

    __slots__ = ("filled", "head", "size", "tail")

    def __init__(self, head: bytes, size: int, tail: memoryview | None) -> None:
        self.head = head
        self.size = size  # of the whole tail
        self.filled = 0
        self.tail = tail  # None: there was no memory for it


class Inbox:
    """The long messages of one session, by stream, of which there are two."""

    __slots__ = ("_limits", "_partials", "allocate")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._partials: dict[int, Partial] = {}
        self.allocate: Callable[[int], Buffer] = room  # of tails; MemoryError: no room

    @property
    def busy(self) -> bool:
        """A long message is under way."""
        return bool(self._partials)

    def begin(self, stream: int, body: memoryview) -> Partial | None:
        """A BEGIN came; the message, if it is complete already."""
        if stream > URGENT or stream in self._partials:
            raise FrameError(f"BEGIN on stream {stream}, which is in use or unknown")
        if len(body) < wire.TAIL_LENGTH.size:
            raise FrameError(f"BEGIN of {len(body)} bytes")
        (size,) = wire.TAIL_LENGTH.unpack_from(body)
        head = body[wire.TAIL_LENGTH.size :].tobytes()
        whole = size + len(head)
        if whole > self._limits.max_message_bytes:
            raise FrameError(
                f"message of {whole} bytes exceeds max_message_bytes={self._limits.max_message_bytes}"
            )
        try:
            tail = memoryview(self.allocate(size))
        except MemoryError:
            tail = None
        partial = Partial(head, size, tail)
        if not size:
            return partial
        self._partials[stream] = partial
        return None

    def place(self, stream: int, length: int) -> memoryview:
        """Where the body of a SLICE belongs.

        Its tag is not checked yet: if it proves to be forged, the session ends and the
        message is never delivered.
        """
        partial = self._partials.get(stream)
        if partial is None:
            raise FrameError(f"SLICE on stream {stream}, on which no message has begun")
        missing = partial.size - partial.filled
        if not 0 < length <= missing:
            raise FrameError(f"SLICE of {length} bytes where {missing} are missing")
        if partial.tail is None:
            return memoryview(bytearray(length))
        return partial.tail[partial.filled : partial.filled + length]

    def filled(self, stream: int, length: int) -> Partial | None:
        """A SLICE came and is in its place; the message, if it is complete now."""
        partial = self._partials[stream]
        partial.filled += length
        if partial.filled < partial.size:
            return None
        return self._partials.pop(stream)

    def clear(self) -> None:
        """Give up what has not arrived in full."""
        self._partials.clear()

    def check(self) -> None:
        """Assert every invariant."""
        assert set(self._partials) <= set(range(URGENT + 1))
        assert all(partial.filled < partial.size for partial in self._partials.values())
