"""Single sessions: messages in order over one connection, for as long as it lives.

What `net.session` is to peers that find each other again, this is to the two ends of a link: the
stream carries what is written or breaks, and with it the session ends. So nothing is kept after it
was written, nothing is acknowledged, and nothing need be said before the first message. The frames
are those of every connection (`net.frame`): numbered from 1, with the tag of the proof's keys.

`put` may be called by any thread that holds its owner's lock, as `take`; `received` by the one
thread that reads. After the first violation the session is over (SE-16).

Pure: no I/O, clock or randomness. Rules N1, N2, N4, N7.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final, TypeAlias

from dispycos.config import MIB, Limits
from dispycos.errors import LocalProtocolError, MessageTooLarge
from dispycos.model import Buffer
from dispycos.net import frame as wire
from dispycos.net.frame import FrameError, FrameReader, FrameWriter
from dispycos.net.inbox import Inbox
from dispycos.net.keys import MacKey
from dispycos.net.outbox import OVERHEAD_BYTES, Bulk, flat

_STREAM: Final = 0  # of long messages: there is one, and nothing overtakes

# Head and tail.
Message: TypeAlias = tuple[Buffer, Buffer]


class SingleSession:
    """One end. See the module's docstring.

    limits  with `max_message_bytes` as both ends agreed on it.
    keys    to send and to receive with; None on a connection without tags.
    """

    __slots__ = (
        "_alone",
        "_bulk",
        "_closing",
        "_expected",
        "_inbox",
        "_limits",
        "_next",
        "_queue",
        "_reader",
        "_readied",
        "_refuse_above",
        "_single",
        "_tags",
        "_writer",
        "closed",
        "freed",
        "get_buffer",
        "more",
        "over",
        "queued",
        "ready",
        "stopped",
    )

    def __init__(self, limits: Limits, keys: tuple[MacKey, MacKey] | None) -> None:
        self._limits = limits

        # Out.
        self._tags = keys is not None
        self._single = min(wire.SINGLE_BYTES, limits.slice_bytes)
        # Bytes of a message that may be one piece with its header; 0: it needs a tag.
        self._alone = 0 if self._tags else min(wire.JOIN_BYTES, self._single, limits.max_control_bytes)
        self._writer = FrameWriter(keys[0] if keys else None)
        self._next = 1  # number of the next frame
        self.ready: list[Buffer] = []  # frames to be written; `_queue` comes after them
        self._readied = 0  # what they count for in `queued`
        # What waits behind a long message, and that one, with their sizes. Limit: see `put`.
        self._queue: deque[tuple[Buffer, Sequence[Buffer], int]] = deque()
        self._bulk: Bulk | None = None
        self.more = False  # there is one of them
        self._closing = False  # CLOSE follows what waits
        self.queued = 0  # bytes that wait to be taken, with what it costs to keep them
        self._refuse_above = 2 * limits.max_queued_bytes
        self.stopped = False  # callers are to wait until half of the limit is taken
        self.freed = False  # that was so and is no more: set here, cleared by who tells them
        self.closed = False  # nothing more may be put

        # In.
        self._inbox = Inbox(limits)
        self._reader = FrameReader(keys[1] if keys else None, wire.body_limits(limits), self._place)
        self.get_buffer = self._reader.get_buffer  # where the next bytes go; then call `received`
        self._expected = 1  # number of the frame that must come next
        self.over = ""  # why nothing more will come

    # Out.

    @property
    def waiting(self) -> bool:
        """Whether `take` would answer something."""
        return bool(self.ready) or self.more

    def put(self, head: Buffer, parts: Sequence[Buffer] = ()) -> None:
        """Queue one message. The buffers are kept, not copied: they must not change.

        MessageTooLarge, or LocalProtocolError for a caller that went on far beyond `stopped`; then
        nothing of the message is sent.
        """
        size = word = len(head)
        limits = self._limits
        if len(parts) == 1 and type(parts[0]) is bytes:
            size += len(parts[0])  # the usual case, made short
        elif parts:
            parts = [flat(part) for part in parts if memoryview(part).nbytes]
            size += sum(map(len, parts))
        queued = self.queued
        if word > limits.max_control_bytes or size > limits.max_message_bytes or queued > self._refuse_above:
            raise self._refusal(word, size)
        cost = size + OVERHEAD_BYTES
        self.queued = queued = queued + cost
        if queued > limits.max_queued_bytes:
            self.stopped = True
        if size > self._single or self.more:
            self._queue.append((head, parts, size))
            self.more = True
            return
        self._writer.put(wire.MESSAGE, word, self._next, 0, (head, *parts), size)
        self.ready += self._writer.take()
        self._next += 1
        self._readied += cost

    def alone(self, head: bytes, tail: bytes) -> bytes | None:
        """The frame of a message, to be written at once; None: nothing was done, and `put` is to be asked.

        For messages that nothing waits before: the usual case, made short.
        """
        size = len(head) + len(tail)
        if self.queued or self.closed or size > self._alone:
            return None
        number = self._next
        self._next = number + 1
        return wire.HEADER.pack(size, wire.MESSAGE, 0, len(head), number, 0) + head + tail

    def _refusal(self, word: int, size: int) -> Exception:
        limits = self._limits
        if word > limits.max_control_bytes:
            return MessageTooLarge(
                f"head of {word} bytes exceeds max_control_bytes={limits.max_control_bytes}"
            )
        if size > limits.max_message_bytes:
            return MessageTooLarge(
                f"message of {size} bytes exceeds max_message_bytes={limits.max_message_bytes}"
            )
        return LocalProtocolError(
            f"{self.queued} bytes wait already, max_queued_bytes={limits.max_queued_bytes}: "
            "wait until the session is writable"
        )

    def close(self) -> None:
        """Put no more; the peer is told behind all that was put. May be repeated."""
        if not self.closed:
            self.closed = self._closing = True
            self._say_last()

    def _say_last(self) -> None:
        if self._closing and not self.more:
            self._closing = False
            self._writer.put(wire.CLOSE, 0, 0, 0, (), 0)
            self.ready += self._writer.take()

    def take(self, max_bytes: int = MIB) -> list[Buffer]:
        """What to write now, in this order; empty if nothing is waiting.

        Of long messages about `max_bytes`: call again once they are written.
        """
        out, self.ready = self.ready, []
        self.queued -= self._readied
        self._readied = 0
        if self.more:
            self._cut(max_bytes)
            out += self._writer.take()
            self._say_last()
            out += self.ready
            self.ready = []
        if self.stopped and 2 * self.queued <= self._limits.max_queued_bytes:
            self.stopped, self.freed = False, True
        return out

    def _cut(self, max_bytes: int) -> None:
        # Frames of the long message, and of what waits behind it.
        writer, queue = self._writer, self._queue
        wrote = 0
        while wrote < max_bytes:
            bulk = self._bulk
            if bulk is not None:
                size = min(bulk.remaining, self._limits.slice_bytes)
                writer.put(wire.SLICE, _STREAM, self._next, 0, bulk.cut(size), size)
                self.queued -= size
                if not bulk.remaining:
                    self._bulk = None
            elif not queue:
                break
            else:
                head, parts, size = queue.popleft()
                word = len(head)
                self.queued -= OVERHEAD_BYTES
                if size <= self._single:
                    writer.put(wire.MESSAGE, word, self._next, 0, (head, *parts), size)
                    self.queued -= size
                else:
                    tail = size - word
                    if tail:
                        self._bulk = Bulk(parts, tail)
                    self.queued -= word
                    begin = (wire.TAIL_LENGTH.pack(tail), head)
                    size = word + wire.TAIL_LENGTH.size
                    writer.put(wire.BEGIN, _STREAM, self._next, 0, begin, size)
            self._next += 1
            wrote += size
        self.more = bool(queue) or self._bulk is not None

    # In.

    def feed(self, data: Buffer) -> list[Message]:
        """Take bytes that were read elsewhere, such as those that came with the proof."""
        messages: list[Message] = []
        rest = memoryview(data)
        while rest and not self.over:
            buffer = self.get_buffer()
            count = min(len(buffer), len(rest))
            buffer[:count] = rest[:count]
            rest = rest[count:]
            messages += self.received(count)
        return messages

    def received(self, count: int) -> list[Message]:
        """`count` bytes were read into the last `get_buffer()`: what they say.

        When `over` is set, these were the last ones.
        """
        lone = self._reader.lone(count, self._expected)
        if lone is not None:
            self._expected += 1
            return [lone]
        messages: list[Message] = []
        try:
            for kind, word, seq, ack, body in self._reader.advance(count):
                if seq != self._expected or ack:
                    if kind == wire.CLOSE and not (seq or ack or word):
                        self.over = "the peer closed the connection"
                        return messages
                    raise FrameError(self._disorder(kind, seq, ack))
                if kind == wire.MESSAGE:
                    size = len(body)
                    if word == size:
                        messages.append((body.tobytes(), b""))
                    elif word < size:
                        messages.append((body[:word].tobytes(), body[word:].tobytes()))
                    else:
                        raise FrameError(f"MESSAGE of {size} bytes says that its head has {word}")
                elif not self._piece(kind, word, body, messages):
                    return messages
                self._expected = seq + 1
        except FrameError as exc:
            self.over = f"the peer broke the wire's rules: {exc}"
        return messages

    def _piece(self, kind: int, stream: int, body: memoryview, messages: list[Message]) -> bool:
        # A part of a long message. False: nothing more is to be read.
        if kind == wire.BEGIN:
            whole = self._inbox.begin(stream, body)
        elif kind == wire.SLICE:
            whole = self._inbox.filled(stream, len(body))
        else:
            raise FrameError(f"{wire.NAMES[kind]} in a session of one connection")
        self._reader.bulk = self._inbox.busy
        if whole is not None:
            if whole.tail is None:
                self.over = f"there is no memory here for a message of {whole.size} bytes"
                return False
            messages.append((whole.head, whole.tail))
        return True

    def _place(self, kind: int, word: int, seq: int, length: int) -> memoryview | None:
        # Where the reader puts a large body; None: where it likes.
        if seq != self._expected:
            raise FrameError(self._disorder(kind, seq, 0))
        if kind != wire.SLICE:
            return None
        return self._inbox.place(word, length)

    def _disorder(self, kind: int, seq: int, ack: int) -> str:
        name = wire.NAMES[kind]
        if ack:
            return f"{name} frame {seq} acknowledges {ack} in a session that keeps nothing"
        return f"{name} frame {seq} where frame {self._expected} must come"
