"""Frames: how bytes of a connection are cut into pieces with a length, a number and a tag.

    [tag 16]  header 24: body length u32 | kind u8 | flags u8 | word u16 | seq u64 | ack u64  body

The tag is there only on connections with tags; it is the truncated HMAC-SHA256 over the
count of frames before it on this connection and direction (8 bytes, not sent), the header
and the body. It stands first so that header and body are one run of memory. `word` is the
length of the head in a MESSAGE and the stream in BEGIN and SLICE.

This module knows neither order nor acknowledgement; that is `net.session`. A FrameReader
fills large bodies where they finally belong, a FrameWriter never joins them.

Pure. Rules N2, N4, N6; requirements SE-16, SE-18.
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeAlias

from dispycos.config import KIB, Limits
from dispycos.errors import RemoteProtocolError
from dispycos.model import Buffer
from dispycos.net.keys import TAG_BYTES, MacKey

# Kinds. The first four carry no number: they are never replayed.
ATTACH: Final = 1  # first frame of each connection: which session it carries
ACK: Final = 2  # says only what was received
KEEPALIVE: Final = 3  # the same, and that we live
CLOSE: Final = 4  # the session is over for good
MESSAGE: Final = 5  # a whole message: head, then tail
BEGIN: Final = 6  # starts a long message: length of its tail (u64), then the head
SLICE: Final = 7  # a piece of the tail of a long message

NAMES: Final = ("0", "ATTACH", "ACK", "KEEPALIVE", "CLOSE", "MESSAGE", "BEGIN", "SLICE")

HEADER: Final = struct.Struct("!IBBHQQ")
HEADER_BYTES: Final = HEADER.size
TAIL_LENGTH: Final = struct.Struct("!Q")
ATTACH_BYTES: Final = 32

# A message up to this size is one MESSAGE frame: to copy it once out of the receive buffer
# costs less than a BEGIN, and its head's length fits in the header's u16.
SINGLE_BYTES: Final = 64 * KIB - 1

# What the receive buffer holds. Large enough for a burst of small frames in one read; there
# is one for each connection that is read from, none for a session without a connection.
RECEIVE_BYTES: Final = 256 * KIB

# While a long message is under way, reads into the receive buffer are kept this short:
# what they catch of the next slice has to be copied to where it belongs.
BULK_WINDOW_BYTES: Final = 16 * KIB

# Larger parts are written as they are; smaller ones are cheaper to join.
JOIN_BYTES: Final = 16 * KIB

_HOLD_BYTES: Final = TAG_BYTES + HEADER_BYTES + SINGLE_BYTES
_UNKNOWN: Final = -1

# kind, word, seq, ack, body; the body is valid until the next frame is asked for, unless
# `place` said where it belongs.
Frame: TypeAlias = tuple[int, int, int, int, memoryview]

# (kind, word, seq, length) -> where the body belongs, or None; raises FrameError.
Place: TypeAlias = Callable[[int, int, int, int], memoryview | None]


class FrameError(RemoteProtocolError):
    """A peer sent bytes that are no frame we can take; its session ends for good."""


def body_limits(limits: Limits) -> tuple[int, ...]:
    """The largest body of each kind; -1 for kinds that don't exist."""
    table = [_UNKNOWN] * 256
    table[ATTACH] = ATTACH_BYTES
    table[ACK] = table[KEEPALIVE] = table[CLOSE] = 0
    table[MESSAGE] = min(SINGLE_BYTES, limits.max_frame_bytes)
    table[BEGIN] = min(TAIL_LENGTH.size + limits.max_control_bytes, limits.max_frame_bytes)
    table[SLICE] = min(limits.slice_bytes, limits.max_frame_bytes)
    return tuple(table)


class FrameReader:
    """Cuts the bytes of one connection into frames.

    Read into `get_buffer()`, then consume `advance(count)` to its end: it answers the
    frames that are complete, one at a time, so that each is acted on before the next
    one's place is asked for. It raises FrameError at the first byte that can't be; the
    reader is of no use afterwards.
    """

    __slots__ = (
        "_alone",
        "_buffer",
        "_count",
        "_end",
        "_filled",
        "_key",
        "_large",
        "_limits",
        "_place",
        "_prefix",
        "_start",
        "bulk",
    )

    def __init__(self, key: MacKey | None, limits: tuple[int, ...], place: Place) -> None:
        self._key = key  # None: no tags on this connection
        self._limits = limits
        # Bytes of the largest frame that `lone` answers.
        self._alone = HEADER_BYTES + limits[MESSAGE] if key is None else 0
        self._place = place
        self._buffer = memoryview(b"")  # made when it is first asked for
        self._start = 0  # of what is not yet consumed, in _buffer
        self._end = 0
        self._count = 0  # frames so far: part of each tag
        self._large: memoryview | None = None  # a body that is read to where it belongs
        self._filled = 0  # of _large
        self._prefix = b""  # tag and header of _large
        self.bulk = False  # set by the session while a long message is under way

    def get_buffer(self) -> memoryview:
        """Where the next bytes of the connection go; never empty."""
        if self._large is not None:
            return self._large[self._filled :]
        if self._start == self._end:
            self._start = self._end = 0
            if not self._buffer:
                self._buffer = memoryview(bytearray(RECEIVE_BYTES))
            return self._buffer[:BULK_WINDOW_BYTES] if self.bulk else self._buffer
        if RECEIVE_BYTES - self._start < _HOLD_BYTES:
            rest = self._end - self._start
            self._buffer[:rest] = self._buffer[self._start : self._end]
            self._start, self._end = 0, rest
        if self.bulk:
            return self._buffer[self._end : self._end + BULK_WINDOW_BYTES]
        return self._buffer[self._end :]

    def lone(self, count: int, expected: int) -> tuple[bytes, bytes] | None:
        """Head and tail, if these bytes are one MESSAGE of this number, without tag and acknowledgement.

        None: nothing was done, and `advance(count)` is to be asked. Made for a usual case.
        """
        if self._end or self._large is not None or not HEADER_BYTES <= count <= self._alone:
            return None
        buffer = self._buffer
        length, kind, flags, word, seq, ack = HEADER.unpack_from(buffer)
        if kind != MESSAGE or length + HEADER_BYTES != count or seq != expected:
            return None
        if flags or ack or word > length:
            return None
        self._count += 1
        tail = HEADER_BYTES + word
        return buffer[HEADER_BYTES:tail].tobytes(), buffer[tail:count].tobytes()

    def advance(self, count: int) -> Iterator[Frame]:
        """`count` bytes were read into the last `get_buffer()`: the frames they complete."""
        if self._large is not None:
            self._filled += count
            if self._filled < len(self._large):
                return
            yield self._finish_large(self._large)
            return
        self._end += count
        buffer, key, limits = self._buffer, self._key, self._limits
        tag_bytes = 0 if key is None else TAG_BYTES
        while True:
            start = self._start
            header = start + tag_bytes
            body = header + HEADER_BYTES
            if body > self._end:
                return
            length, kind, flags, word, seq, ack = HEADER.unpack_from(buffer, header)
            if length > limits[kind] or flags:
                raise FrameError(self._complaint(kind, flags, length))
            end = body + length
            place = None
            if kind == SLICE or length > SINGLE_BYTES:
                place = self._place(kind, word, seq, length)
                if end > self._end:
                    self._begin_large(place, start, body, length)
                    return
            if end > self._end:
                return
            if key is not None:
                tag = key.tag(self._count.to_bytes(8, "big"), buffer[header:end])
                if not hmac.compare_digest(tag, buffer[start:header]):
                    raise FrameError(f"frame {self._count} of the connection has a wrong tag")
            self._count += 1
            self._start = end
            if place is None:
                yield kind, word, seq, ack, buffer[body:end]
            else:
                place[:] = buffer[body:end]
                yield kind, word, seq, ack, place

    def _begin_large(self, place: memoryview | None, start: int, body: int, length: int) -> None:
        large = memoryview(bytearray(length)) if place is None else place
        caught = self._end - body
        large[:caught] = self._buffer[body : self._end]
        self._prefix = self._buffer[start:body].tobytes()
        self._large, self._filled = large, caught
        self._start = self._end = 0

    def _finish_large(self, large: memoryview) -> Frame:
        prefix, key = self._prefix, self._key
        if key is None:
            header = prefix
        else:
            header = prefix[TAG_BYTES:]
            tag = key.tag(self._count.to_bytes(8, "big") + header, large)
            if not hmac.compare_digest(tag, prefix[:TAG_BYTES]):
                raise FrameError(f"frame {self._count} of the connection has a wrong tag")
        self._count += 1
        self._large = None
        _, kind, _, word, seq, ack = HEADER.unpack(header)
        return kind, word, seq, ack, large

    def _complaint(self, kind: int, flags: int, length: int) -> str:
        limit = self._limits[kind]
        if limit == _UNKNOWN:
            return f"frame {self._count} of the connection has the unknown kind {kind}"
        if flags:
            return f"frame {self._count} of the connection has the unknown flags {flags:#x}"
        return f"{NAMES[kind]} frame of {length} bytes exceeds the limit of its kind, {limit}"


class FrameWriter:
    """Makes the bytes of one connection out of frames.

    What `put` collects, `take` answers: small pieces joined, large ones as they are.
    """

    __slots__ = ("_count", "_key", "_out", "_pieces")

    def __init__(self, key: MacKey | None, count: int = 0) -> None:
        self._key = key  # None: no tags on this connection
        self._count = count  # frames so far: part of each tag
        self._pieces: list[Buffer] = []  # small ones, to be joined
        self._out: list[Buffer] = []

    def put(self, kind: int, word: int, seq: int, ack: int, parts: Sequence[Buffer], size: int) -> None:
        """Add a frame whose body is `parts`, `size` bytes in all."""
        header = HEADER.pack(size, kind, 0, word, seq, ack)
        pieces = self._pieces
        if self._key is not None:
            first = self._count.to_bytes(8, "big") + header
            self._count += 1
            if len(parts) == 1:
                pieces.append(self._key.tag(first, parts[0]))
            else:
                pieces.append(self._key.mac(first, *parts)[:TAG_BYTES])
        pieces.append(header)
        if size <= JOIN_BYTES:
            pieces.extend(parts)
            return
        for part in parts:
            if len(part) <= JOIN_BYTES:
                pieces.append(part)
            else:
                self._out.append(b"".join(pieces))
                self._out.append(part)
                pieces.clear()

    def take(self) -> list[Buffer]:
        """Everything put since the last call, as buffers to write in this order."""
        out = self._out
        if self._pieces:
            out.append(b"".join(self._pieces))
            self._pieces.clear()
        self._out = []
        return out


def encode(
    key: MacKey | None, count: int, kind: int, word: int, seq: int, ack: int, parts: Sequence[Buffer]
) -> list[Buffer]:
    """One frame by itself: the buffers of the `count`-th frame of a connection."""
    writer = FrameWriter(key, count)
    writer.put(kind, word, seq, ack, parts, sum(len(part) for part in parts))
    return writer.take()
