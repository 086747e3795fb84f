"""The outbox of a session: what was sent and is not yet acknowledged.

A message waits in its lane, becomes one frame or several, and each frame stays in the
window until the peer has acknowledged it; after a broken connection the window is sent
again from its oldest frame. There are two lanes, ordinary and urgent. Messages of one lane
leave in order of `append`; an urgent one goes ahead of ordinary ones, also between two
slices of a long one. Nothing is copied: buffers are kept, and cut by views.

Pure. Rules N2, N4; requirements SE-18, R-40.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final, TypeAlias

from dispycos.config import Limits
from dispycos.errors import LocalProtocolError, MessageTooLarge
from dispycos.model import Buffer
from dispycos.net import frame as wire
from dispycos.net.frame import FrameError

# A queued message costs this much beside its bytes: tuple, deque cell, bytes header.
OVERHEAD_BYTES: Final = 160

# Streams of long messages, one per lane; version 1 of the wire has no others.
ORDINARY: Final = 0
URGENT: Final = 1

# The window keeps one such share for urgent frames, so that no pulse is held up by bulk.
_URGENT_SHARE: Final = 16

# head, attachments, bytes in all
_Queued: TypeAlias = tuple[Buffer, tuple[Buffer, ...], int]

# seq, kind, word, parts of the body, bytes in all
Sent: TypeAlias = tuple[int, int, int, tuple[Buffer, ...], int]


class _Lane:
    """Messages of one urgency, in order."""

    __slots__ = ("bulk", "queue", "stream")

    def __init__(self, stream: int) -> None:
        self.stream = stream
        self.queue: deque[_Queued] = deque()  # limit: max_queued_bytes, see `append`
        self.bulk: Bulk | None = None  # the long message that is being cut


class Bulk:
    """The tail of a long message, cut into slices without a copy."""

    __slots__ = ("_index", "_offset", "_parts", "remaining")

    def __init__(self, parts: Sequence[Buffer], size: int) -> None:
        self._parts = [memoryview(part) for part in parts]
        self._index = 0
        self._offset = 0
        self.remaining = size  # bytes not yet cut

    def cut(self, size: int) -> tuple[Buffer, ...]:
        """The next `size` bytes, as views of the sender's buffers."""
        self.remaining -= size
        cut: list[Buffer] = []
        while size:
            part = self._parts[self._index]
            piece = part[self._offset : self._offset + size]
            cut.append(piece)
            size -= len(piece)
            self._offset += len(piece)
            if self._offset == len(part):
                self._index += 1
                self._offset = 0
        return tuple(cut)


class Outbox:
    """One session's frames on their way out. A number is given once; replay keeps it."""

    __slots__ = (
        "_lanes",
        "_limits",
        "_single",
        "_unacked",
        "acked",
        "next_number",
        "queued",
        "refuse_above",
        "replay",
        "stopped",
        "unacked_bytes",
    )

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._single = min(wire.SINGLE_BYTES, limits.slice_bytes)
        # Beyond it an ordinary `append` is refused: a caller that was told to wait still has room
        # for what it held in its hands.
        self.refuse_above = 2 * limits.max_queued_bytes
        self._lanes = (_Lane(ORDINARY), _Lane(URGENT))
        self._unacked: deque[Sent] = deque()  # written to this connection; max_unacked_frames
        self.replay: deque[Sent] = deque()  # written to an earlier one, not yet to this
        self.queued = 0  # bytes in the lanes, with overhead
        self.stopped = False  # callers are to wait until the lanes are half empty
        self.next_number = 1  # of the next new frame
        self.acked = 0  # number of the last frame that the peer has received
        self.unacked_bytes = 0  # in _unacked and replay

    @property
    def empty(self) -> bool:
        """Nothing waits, nothing is unacknowledged."""
        return not (self.queued or self._unacked or self.replay)

    def append(self, head: Buffer, attachments: Sequence[Buffer], urgent: bool) -> None:
        """Queue one message. Raises MessageTooLarge, or LocalProtocolError if far too much waits."""
        limits = self._limits
        size = len(head)
        if size > limits.max_control_bytes:
            raise MessageTooLarge(
                f"head of {size} bytes exceeds max_control_bytes={limits.max_control_bytes}"
            )
        parts: tuple[Buffer, ...] = ()
        if len(attachments) == 1 and type(attachments[0]) is bytes and attachments[0]:
            # The usual case, made short.
            parts = (attachments[0],)
            size += len(attachments[0])
        elif attachments:
            parts = tuple(flat(part) for part in attachments if memoryview(part).nbytes)
            size += sum(map(len, parts))
        if size > limits.max_message_bytes:
            raise MessageTooLarge(
                f"message of {size} bytes exceeds max_message_bytes={limits.max_message_bytes}"
            )
        if self.queued > self.refuse_above and not (urgent and self._urgent_room()):
            raise LocalProtocolError(
                f"{self.queued} bytes wait already, max_queued_bytes={limits.max_queued_bytes}: "
                "wait until the session is writable"
            )
        self._lanes[urgent].queue.append((head, parts, size))
        self.queued += size + OVERHEAD_BYTES
        if self.queued > limits.max_queued_bytes:
            self.stopped = True

    def _urgent_room(self) -> bool:
        # However much bulk there is, a pulse has its place: only its own kind can take it.
        lane = self._lanes[True]
        waiting = sum(size + OVERHEAD_BYTES for _, _, size in lane.queue)
        return waiting + (lane.bulk.remaining if lane.bulk else 0) <= self._limits.max_queued_bytes

    def next(self) -> Sent | None:
        """The next frame to write, now in the window; None: nothing to write, or no room."""
        if self.replay:
            sent = self.replay.popleft()
            self._unacked.append(sent)
            return sent
        limits = self._limits
        ordinary, lane = self._lanes
        max_bytes, max_frames = limits.max_unacked_bytes, limits.max_unacked_frames
        if not lane.queue and lane.bulk is None:
            lane = ordinary
            if not lane.queue and lane.bulk is None:
                return None
            max_bytes -= max_bytes // _URGENT_SHARE
            max_frames -= max_frames // _URGENT_SHARE
        frames = len(self._unacked)
        room = max_bytes - self.unacked_bytes
        if frames >= max_frames:
            return None
        parts: tuple[Buffer, ...]
        bulk = lane.bulk
        if bulk is not None:
            kind, word = wire.SLICE, lane.stream
            size = min(bulk.remaining, limits.slice_bytes)
            if size > room and frames:
                return None
            parts = bulk.cut(size)
            self.queued -= size
            if not bulk.remaining:
                lane.bulk = None
        else:
            head, attachments, size = lane.queue[0]
            word = len(head)
            if size <= self._single:
                if size > room and frames:
                    return None
                kind = wire.MESSAGE
                parts = (head, *attachments) if attachments else (head,)
                self.queued -= size + OVERHEAD_BYTES
            else:
                tail = size - word
                kind, size, word = wire.BEGIN, word + wire.TAIL_LENGTH.size, lane.stream
                if size > room and frames:
                    return None
                parts = (wire.TAIL_LENGTH.pack(tail), head)
                if tail:
                    lane.bulk = Bulk(attachments, tail)
                self.queued -= len(head) + OVERHEAD_BYTES
            lane.queue.popleft()
        number = self.next_number
        self.next_number = number + 1
        self.unacked_bytes += size
        sent = (number, kind, word, parts, size)
        self._unacked.append(sent)
        return sent

    def acknowledge(self, number: int) -> None:
        """The peer has received all frames up to this number, which it got on this connection."""
        unacked = self._unacked
        if number < self.acked or number > (unacked[-1][0] if unacked else self.acked):
            raise FrameError(
                f"frame {number} is acknowledged after {self.acked}, {self.next_number - 1} were sent"
            )
        while unacked and unacked[0][0] <= number:
            self.unacked_bytes -= unacked.popleft()[4]
        self.acked = number

    def rewind(self) -> None:
        """The connection is over: everything unacknowledged is to be written again."""
        self._unacked.extend(self.replay)
        self.replay, self._unacked = self._unacked, deque()

    def resume(self, number: int) -> None:
        """The peer says on a new connection that it has all frames up to this number."""
        while self.replay and self.replay[0][0] <= number:
            self.acked, _, _, _, size = self.replay.popleft()
            self.unacked_bytes -= size
        self.acknowledge(number)

    def drain(self) -> list[Buffer]:
        """The heads of all messages that are not acknowledged in full; forgets everything."""
        heads: list[Buffer] = []
        for _, kind, _, parts, _ in (*self._unacked, *self.replay):
            if kind == wire.MESSAGE:
                heads.append(parts[0])
            elif kind == wire.BEGIN:
                heads.append(parts[1])
        for lane in self._lanes:
            heads.extend(head for head, _, _ in lane.queue)
            lane.queue.clear()
            lane.bulk = None
        self._unacked.clear()
        self.replay.clear()
        self.unacked_bytes = self.queued = 0
        return heads

    def check(self) -> None:
        """Assert every invariant."""
        kept = [*self._unacked, *self.replay]
        numbers = [sent[0] for sent in kept]
        if numbers:
            assert numbers == list(range(self.acked + 1, self.next_number)), (numbers, self.acked)
        assert self.unacked_bytes == sum(sent[4] for sent in kept)
        assert len(kept) <= self._limits.max_unacked_frames
        queued = 0
        for lane in self._lanes:
            queued += sum(size + OVERHEAD_BYTES for _, _, size in lane.queue)
            queued += lane.bulk.remaining if lane.bulk else 0
        assert queued == self.queued, (queued, self.queued)


def flat(part: Buffer) -> Buffer:
    """A view whose len is its bytes: a user's array may have items of any size and shape."""
    if isinstance(part, (bytes, bytearray)):
        return part
    view = memoryview(part)
    return view if view.format == "B" and view.ndim == 1 else view.cast("B")
