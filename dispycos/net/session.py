"""Sessions: messages between two incarnations, in order, each exactly once.

A Session outlives its connections. Give it the bytes that arrived and it answers events;
ask it with `take` for the bytes to write. It never touches a socket: `net.endpoint` does
the reading and writing, after `net.auth` has seen the peer prove the key.

Rules. Numbered frames are kept until they are acknowledged and replayed on the next
connection (N2, R-40). Messages of one lane arrive in the order of `send`; there are two
lanes, ordinary and urgent, and only an urgent message overtakes, between two slices of a
long one. Nothing is joined or copied that is larger than 64 KiB. After the first
violation the session is over for good (SE-16).

After `attach`, `send`, `keepalive` and `received` there may be something to `take`.

Pure: no I/O, clock or randomness (the session id is an argument). Rules N1, N2, N4, N7.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from dispycos.config import MIB, Limits
from dispycos.errors import Closed, InternalError, LocalProtocolError, MessageTooLarge, RemoteProtocolError
from dispycos.model import Buffer, Incarnation
from dispycos.net import frame as wire
from dispycos.net.frame import FrameError, FrameReader, FrameWriter
from dispycos.net.keys import MacKey

HALF_BYTES: Final = 16  # of a session id: each side draws one half
_UNKNOWN_HALF: Final = bytes(HALF_BYTES)

# A queued message costs this much beside its bytes: tuple, deque cell, bytes header.
OVERHEAD_BYTES: Final = 160

# Streams of long messages, one per lane; version 1 of the wire has no others.
ORDINARY: Final = 0
URGENT: Final = 1

# A window keeps this share for urgent frames, so that a pulse is not held up by bulk.
_URGENT_SHARE: Final = 16

_MAX_STORY: Final = 32  # changes of state remembered; the oldest is forgotten


class SessionState(enum.Enum):
    """What a session can do now."""

    NEW = "new"  # never had a connection
    ATTACHED = "attached"  # has a connection
    DETACHED = "detached"  # lost it; keeps what is not acknowledged
    CLOSED = "closed"  # over for good


class Cause(enum.Enum):
    """What moves a session from one state to another."""

    ATTACH = "attach"  # a connection was proven
    DETACH = "detach"  # the connection broke
    CLOSE = "close"  # this program ended it
    ENDED = "ended"  # the peer ended it
    FRESH = "fresh"  # the peer knows no such session
    VIOLATION = "violation"  # the peer broke the wire's rules


_S, _C = SessionState, Cause
TRANSITIONS: Final = {
    (_S.NEW, _C.ATTACH): _S.ATTACHED,
    (_S.NEW, _C.DETACH): _S.NEW,
    (_S.NEW, _C.CLOSE): _S.CLOSED,
    (_S.ATTACHED, _C.ATTACH): _S.ATTACHED,
    (_S.ATTACHED, _C.DETACH): _S.DETACHED,
    (_S.ATTACHED, _C.CLOSE): _S.CLOSED,
    (_S.ATTACHED, _C.ENDED): _S.CLOSED,
    (_S.ATTACHED, _C.FRESH): _S.CLOSED,
    (_S.ATTACHED, _C.VIOLATION): _S.CLOSED,
    (_S.DETACHED, _C.ATTACH): _S.ATTACHED,
    (_S.DETACHED, _C.DETACH): _S.DETACHED,
    (_S.DETACHED, _C.CLOSE): _S.CLOSED,
    (_S.CLOSED, _C.DETACH): _S.CLOSED,
    (_S.CLOSED, _C.CLOSE): _S.CLOSED,
}


@dataclass(slots=True)
class Message:
    """A message arrived. Not frozen only because it is made for each one."""

    head: Buffer  # msgpack, to be decoded strictly
    tail: Buffer  # its attachments one after the other; the codec knows their lengths


@dataclass(slots=True)
class Undelivered:
    """A message arrived for whose tail there was no memory; its sender is to be told (R-23)."""

    head: Buffer
    size: int  # bytes of the tail that was thrown away


@dataclass(frozen=True, slots=True)
class Writable:
    """The queue fell below half of its limit: waiting callers may go on."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """A new connection carries this session on; nothing was lost."""


@dataclass(frozen=True, slots=True)
class Fresh:
    """The peer has no memory of this session, which is closed now: declare it lost, dial again."""


@dataclass(frozen=True, slots=True)
class Stale:
    """The peer still has an older session and will drop it: close the connection, dial again."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The peer closed the session for good."""


@dataclass(frozen=True, slots=True)
class Violation:
    """The peer broke the wire's rules; the session is closed now. Tell the peer nothing."""

    reason: str  # for our own log


Event: TypeAlias = Message | Undelivered | Writable | Resumed | Fresh | Stale | Ended | Violation

# head, attachments, bytes in all
_Queued: TypeAlias = tuple[Buffer, tuple[Buffer, ...], int]

# seq, kind, word, parts, bytes in all
_Sent: TypeAlias = tuple[int, int, int, tuple[Buffer, ...], int]


class _Lane:
    """Messages of one urgency, in order of send."""

    __slots__ = ("bulk", "queue", "stream")

    def __init__(self, stream: int) -> None:
        self.stream = stream
        self.queue: deque[_Queued] = deque()  # limit: Limits.max_queued_bytes, see `send`
        self.bulk: _Bulk | None = None  # the long message that is being cut


class _Bulk:
    """The tail of a long message on its way out, cut into slices without a copy."""

    __slots__ = ("_index", "_offset", "_parts", "remaining")

    def __init__(self, parts: Sequence[Buffer], size: int) -> None:
        self._parts = [memoryview(part) for part in parts]
        self._index = 0
        self._offset = 0
        self.remaining = size  # bytes not yet cut

    def cut(self, size: int) -> tuple[Buffer, ...]:
        """The next `size` bytes, as views of the caller's buffers."""
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


class _Partial:
    """A long message on its way in: its tail is allocated once and filled in place."""

    __slots__ = ("filled", "head", "size", "tail")

    def __init__(self, head: bytes, size: int, tail: memoryview | None) -> None:
        self.head = head
        self.size = size  # of the whole tail
        self.filled = 0
        self.tail = tail  # None: there was no memory for it


class Session:
    """One peer's end of a session. See the module's docstring."""

    __slots__ = (
        "_ack_due",
        "_acked",
        "_attach_due",
        "_body_limits",
        "_credential",
        "_expected",
        "_farewell",
        "_keepalive_due",
        "_lanes",
        "_limits",
        "_may_send",
        "_next",
        "_our_half",
        "_owed_bytes",
        "_owed_frames",
        "_partials",
        "_queued",
        "_reader",
        "_received",
        "_refuse_above",
        "_replay",
        "_single",
        "_state",
        "_stopped",
        "_story",
        "_their_half",
        "_unacked",
        "_unacked_bytes",
        "_writable_due",
        "_writer",
        "allocate",
        "our",
        "their",
    )

    def __init__(self, our: Incarnation, their: Incarnation, limits: Limits) -> None:
        """Make the session of this process with the peer `their`.

        limits  with `max_message_bytes` as both HELLOs agreed on it.
        """
        self.our = our
        self.their = their
        self.allocate = bytearray  # of large tails; a test may put its own
        self._limits = limits
        self._body_limits = wire.body_limits(limits)
        self._single = min(wire.SINGLE_BYTES, limits.slice_bytes)
        # A caller that was told to wait still has room for what it held in its hands.
        self._refuse_above = (2 * limits.max_queued_bytes, 3 * limits.max_queued_bytes)
        self._state = SessionState.NEW
        self._story: deque[str] = deque(maxlen=_MAX_STORY)
        self._credential: bytes | None = None  # whose key proved the first connection
        self._our_half = _UNKNOWN_HALF
        self._their_half = _UNKNOWN_HALF

        # Out. A frame is in a lane, then in _unacked, and in _replay after a break.
        self._writer = FrameWriter(None)
        self._lanes = (_Lane(ORDINARY), _Lane(URGENT))
        self._queued = 0  # bytes in the lanes, with overhead
        self._stopped = False  # callers are to wait
        self._writable_due = False  # ... and are owed the event that they may go on
        self._next = 1  # number of the next new frame
        self._acked = 0  # what the peer has received
        self._unacked: deque[_Sent] = deque()  # written to this connection
        self._replay: deque[_Sent] = deque()  # written to an earlier one, not yet to this
        self._unacked_bytes = 0  # in both
        self._may_send = False  # numbered frames may go out: we know where the peer stands
        self._attach_due = False
        self._keepalive_due = False
        self._farewell: list[Buffer] = []

        # In.
        self._reader = FrameReader(None, self._body_limits, self._place)
        self._received = 0  # number of the last frame received
        self._expected = 0  # number that must come next; 0: their ATTACH must come first
        self._partials: dict[int, _Partial] = {}  # by stream, of which there are two
        self._owed_bytes = 0  # received since we last acknowledged
        self._owed_frames = 0
        self._ack_due = False

    # State.

    @property
    def state(self) -> SessionState:
        """What the session can do now."""
        return self._state

    def _move(self, cause: Cause, text: str = "") -> None:
        target = TRANSITIONS.get((self._state, cause))
        if target is None:
            raise LocalProtocolError(f"a session that is {self._state.value} can't {cause.value}")
        if target is not self._state or cause is Cause.ATTACH:
            self._story.append(f"{cause.value}{': ' if text else ''}{text} -> {target.value}")
        self._state = target

    def attach(
        self,
        send_key: MacKey | None,
        receive_key: MacKey | None,
        tags: bool,
        *,
        dialer: bool,
        session_id: bytes,
        now: float,
        credential: bytes = b"",
    ) -> None:
        """Go on over a new connection, whose peer has proved to be `their`.

        session_id  16 random bytes, new for each call; the first ones become our half.
        credential  `Proven.credential`: whoever proved another kind of key than on the first
                    connection gets RemoteProtocolError, and the session is as it was (SE-20).
        A connection that is attached already is forgotten; its owner closes it.
        """
        if len(session_id) != HALF_BYTES or session_id == _UNKNOWN_HALF:
            raise LocalProtocolError(f"a session id has {HALF_BYTES} random bytes, not {len(session_id)}")
        if tags and (send_key is None or receive_key is None):
            raise LocalProtocolError("a connection with tags needs both keys")
        if self._credential is not None and self._credential != credential:
            raise RemoteProtocolError(
                f"peer {self.their.hex()[:8]} can't resume: it proved another key than before"
            )
        first = self._credential is None
        self._move(Cause.ATTACH, f"{'dialed' if dialer else 'accepted'} at {now:.3f}")
        self._credential = credential
        if first:
            self._our_half = session_id
        self._rewind()
        self._writer = FrameWriter(send_key if tags else None)
        self._reader = FrameReader(receive_key if tags else None, self._body_limits, self._place)
        self._reader.bulk = bool(self._partials)
        # On the first connection the peer can't have received anything, so there is
        # nothing to learn before we may speak. Later its ATTACH says from where to go on.
        self._may_send = first
        self._expected = 0
        self._attach_due = True

    def detach(self, now: float) -> None:
        """The connection broke; what is not acknowledged is kept. May be repeated."""
        self._move(Cause.DETACH, f"at {now:.3f}")
        self._rewind()
        self._may_send = self._attach_due = self._keepalive_due = False
        self._expected = 0

    def _rewind(self) -> None:
        if self._unacked:
            self._unacked.extend(self._replay)
            self._unacked, self._replay = self._replay, self._unacked
            self._unacked.clear()

    def close(self, reason: str) -> None:
        """End the session for good; the next `take` answers what tells the peer. May be repeated."""
        attached = self._state is SessionState.ATTACHED
        self._move(Cause.CLOSE, reason)
        if attached:
            self._say_last(wire.CLOSE)

    def _say_last(self, kind: int | None = None) -> None:
        # What the next `take` answers though the connection is done with.
        if self._attach_due:
            self._put_attach()
        if kind is not None:
            self._writer.put(kind, 0, 0, self._received, (), 0)
        self._farewell = self._writer.take()

    def undelivered(self) -> list[Buffer]:
        """Heads of the messages that the peer has not acknowledged; forgets them (N3).

        Only for a CLOSED session. The peer may have received some of them.
        """
        if self._state is not SessionState.CLOSED:
            raise LocalProtocolError("undelivered() is for a closed session")
        heads: list[Buffer] = []
        for _, kind, _, parts, _ in (*self._unacked, *self._replay):
            if kind == wire.MESSAGE:
                heads.append(parts[0])
            elif kind == wire.BEGIN:
                heads.append(parts[1])
        for lane in self._lanes:
            heads.extend(head for head, _, _ in lane.queue)
            lane.queue.clear()
            lane.bulk = None
        self._unacked.clear()
        self._replay.clear()
        self._partials.clear()
        self._unacked_bytes = self._queued = 0
        return heads

    # Out.

    @property
    def writable(self) -> bool:
        """False: callers must wait for Writable before the next ordinary `send`."""
        return not self._stopped

    @property
    def idle(self) -> bool:
        """True: everything that was sent has been received by the peer."""
        return not (self._queued or self._unacked or self._replay)

    @property
    def queued_bytes(self) -> int:
        """What waits to be written, with what it costs to keep it."""
        return self._queued

    @property
    def unacked_bytes(self) -> int:
        """What was written and is kept until the peer acknowledges it."""
        return self._unacked_bytes

    def send(self, head: Buffer, attachments: Sequence[Buffer] = (), urgent: bool = False) -> None:
        """Queue one message. The buffers are kept, not copied: they must not change.

        Raises MessageTooLarge, Closed, or LocalProtocolError for a caller that went on far
        beyond `writable`; in each case nothing of the message is sent.
        """
        if self._state is SessionState.CLOSED:
            raise Closed(f"the session with {self.their.hex()[:8]} is closed: {self._story[-1]}")
        size = len(head)
        if size > self._limits.max_control_bytes:
            raise MessageTooLarge(
                f"head of {size} bytes exceeds max_control_bytes={self._limits.max_control_bytes}"
            )
        if attachments:
            attachments = tuple(_flat(part) for part in attachments if memoryview(part).nbytes)
            size += sum(map(len, attachments))
            if size > self._limits.max_message_bytes:
                raise MessageTooLarge(
                    f"message of {size} bytes exceeds max_message_bytes={self._limits.max_message_bytes}"
                )
        if self._queued > self._refuse_above[urgent]:
            raise LocalProtocolError(
                f"{self._queued} bytes wait for {self.their.hex()[:8]}: wait until the session is writable"
            )
        self._lanes[urgent].queue.append((head, attachments, size))  # type: ignore[arg-type]  # a tuple by now
        self._queued += size + OVERHEAD_BYTES
        if self._queued > self._limits.max_queued_bytes:
            self._stopped = True

    def keepalive(self) -> None:
        """See to it that the next `take` says something, if only that we live."""
        self._keepalive_due = self._state is SessionState.ATTACHED

    def take(self, max_bytes: int = MIB) -> list[Buffer]:
        """What to write to the connection now, in this order; empty if nothing may be.

        Ends soon after `max_bytes`: call again once they are written, so that an urgent
        message finds its way.
        """
        if self._state is not SessionState.ATTACHED:
            farewell, self._farewell = self._farewell, []
            return farewell
        writer = self._writer
        if self._attach_due:
            self._put_attach()
        wrote = spoke = 0
        if self._may_send:
            put, received, unacked = writer.put, self._received, self._unacked
            while wrote < max_bytes:
                if self._replay:
                    sent = self._replay.popleft()
                else:
                    new = self._next_frame()
                    if new is None:
                        break
                    sent = new
                unacked.append(sent)
                put(sent[1], sent[2], sent[0], received, sent[3], sent[4])
                wrote += sent[4] + wire.HEADER_BYTES
                spoke = 1
        if spoke:
            if self._stopped and self._queued * 2 <= self._limits.max_queued_bytes:
                self._stopped = False
                self._writable_due = True
        elif self._keepalive_due:
            writer.put(wire.KEEPALIVE, 0, 0, self._received, (), 0)
        elif self._ack_due:
            writer.put(wire.ACK, 0, 0, self._received, (), 0)
        else:
            return writer.take()
        self._owed_bytes = self._owed_frames = 0
        self._ack_due = self._keepalive_due = False
        return writer.take()

    def _put_attach(self) -> None:
        halves = self._our_half + self._their_half
        self._writer.put(wire.ATTACH, 0, 0, self._received, (halves,), len(halves))
        self._attach_due = False

    def _next_frame(self) -> _Sent | None:
        # The next new frame, moved from its lane into the window; None: nothing to send,
        # or no room for it.
        limits = self._limits
        ordinary, lane = self._lanes
        max_bytes, max_frames = limits.max_unacked_bytes, limits.max_unacked_frames
        if not lane.queue and lane.bulk is None:
            lane = ordinary
            max_bytes -= max_bytes // _URGENT_SHARE
            max_frames -= max_frames // _URGENT_SHARE
            if not lane.queue and lane.bulk is None:
                return None
        frames = len(self._unacked)
        if frames >= max_frames:
            return None
        parts: tuple[Buffer, ...]
        bulk = lane.bulk
        if bulk is not None:
            kind, word = wire.SLICE, lane.stream
            size = min(bulk.remaining, limits.slice_bytes)
            if frames and self._unacked_bytes + size > max_bytes:
                return None
            parts = bulk.cut(size)
            self._queued -= size
            if not bulk.remaining:
                lane.bulk = None
        else:
            head, attachments, size = lane.queue[0]
            word = len(head)
            if size <= self._single:
                if frames and self._unacked_bytes + size > max_bytes:
                    return None
                kind = wire.MESSAGE
                parts = (head, *attachments) if attachments else (head,)
                self._queued -= size + OVERHEAD_BYTES
            else:
                tail = size - word
                kind, size, word = wire.BEGIN, word + wire.TAIL_LENGTH.size, lane.stream
                if frames and self._unacked_bytes + size > max_bytes:
                    return None
                if tail:
                    lane.bulk = _Bulk(attachments, tail)
                parts = (wire.TAIL_LENGTH.pack(tail), head)
                self._queued -= len(head) + OVERHEAD_BYTES
            lane.queue.popleft()
        seq = self._next
        self._next = seq + 1
        self._unacked_bytes += size
        return seq, kind, word, parts, size

    # In.

    def get_buffer(self) -> memoryview:
        """Where the connection's next bytes go; never empty. Then call `received`."""
        return self._reader.get_buffer()

    def feed(self, data: Buffer, now: float) -> list[Event]:
        """Take bytes that were read elsewhere, such as those that came with the proof."""
        events: list[Event] = []
        rest = memoryview(data)
        while rest and self._state is SessionState.ATTACHED:
            buffer = self.get_buffer()
            count = min(len(buffer), len(rest))
            buffer[:count] = rest[:count]
            rest = rest[count:]
            events += self.received(count, now)
        return events

    def received(self, count: int, now: float) -> list[Event]:
        """`count` bytes were read into the last `get_buffer()`: what they say."""
        events: list[Event] = []
        if self._state is not SessionState.ATTACHED:
            return events
        owed_frames = owed_bytes = 0
        try:
            for kind, word, seq, ack, body in self._reader.advance(count):
                if kind == wire.MESSAGE:
                    if seq != self._expected:
                        raise FrameError(self._disorder(kind, seq))
                    size = len(body)
                    if word == size:
                        events.append(Message(body.tobytes(), b""))
                    elif word < size:
                        events.append(Message(body[:word].tobytes(), memoryview(body[word:].tobytes())))
                    else:
                        raise FrameError(f"MESSAGE of {size} bytes says that its head has {word}")
                    self._received = seq
                    self._expected = seq + 1
                    owed_frames += 1
                    owed_bytes += size
                    if ack != self._acked:
                        self._acknowledge(ack)
                elif not self._handle(kind, word, seq, ack, body, events, now):
                    break
        except FrameError as exc:
            self._move(Cause.VIOLATION, f"{exc} at {now:.3f}")
            events.append(Violation(str(exc)))
            return events
        self._owed_frames += owed_frames
        self._owed_bytes += owed_bytes
        limits = self._limits
        if self._owed_bytes >= limits.ack_after_bytes or self._owed_frames >= limits.ack_after_frames:
            self._ack_due = True
        if self._writable_due:
            self._writable_due = False
            if not self._stopped:
                events.append(Writable())
        return events

    def _handle(
        self, kind: int, word: int, seq: int, ack: int, body: memoryview, events: list[Event], now: float
    ) -> bool:
        # A frame that is no MESSAGE. False: nothing more is to be read.
        if kind == wire.ATTACH:
            return self._attached(word, seq, ack, body, events, now)
        if kind < wire.MESSAGE:
            if seq or word or not self._expected:
                raise FrameError(self._disorder(kind, seq))
            self._acknowledge(ack)
            if kind == wire.CLOSE:
                self._move(Cause.ENDED, f"at {now:.3f}")
                events.append(Ended())
                return False
            return True
        if seq != self._expected:
            raise FrameError(self._disorder(kind, seq))
        self._acknowledge(ack)
        if kind == wire.BEGIN:
            self._begin(word, body)
        else:
            self._partials[word].filled += len(body)
        self._received = seq
        self._expected = seq + 1
        self._owed_frames += 1
        self._owed_bytes += len(body)
        partial = self._partials[word]
        if partial.filled == partial.size:
            del self._partials[word]
            self._reader.bulk = bool(self._partials)
            if partial.tail is None:
                events.append(Undelivered(partial.head, partial.size))
            else:
                events.append(Message(partial.head, partial.tail))
        return True

    def _attached(
        self, word: int, seq: int, ack: int, body: memoryview, events: list[Event], now: float
    ) -> bool:
        if seq or word or self._expected or len(body) != wire.ATTACH_BYTES:
            raise FrameError(self._disorder(wire.ATTACH, seq))
        theirs, ours = body[:HALF_BYTES].tobytes(), body[HALF_BYTES:].tobytes()
        if theirs == _UNKNOWN_HALF:
            raise FrameError("ATTACH without a session id")
        known = self._their_half != _UNKNOWN_HALF
        if known and theirs != self._their_half:
            self._move(Cause.FRESH, f"at {now:.3f}")
            events.append(Fresh())
            return False
        if ours not in (_UNKNOWN_HALF, self._our_half):
            if known:
                raise FrameError("ATTACH names a session that we never had")
            self._say_last()
            self.detach(now)
            events.append(Stale())
            return False
        if ack < self._acked or ack >= self._next:
            raise FrameError(f"ATTACH acknowledges frame {ack} of {self._next - 1} sent")
        self._their_half = theirs
        self._expected = self._received + 1
        while self._replay and self._replay[0][0] <= ack:
            self._acked, _, _, _, size = self._replay.popleft()
            self._unacked_bytes -= size
        self._acknowledge(ack)
        if not self._may_send:
            self._may_send = True
            events.append(Resumed())
        return True

    def _acknowledge(self, ack: int) -> None:
        unacked = self._unacked
        if ack < self._acked or ack > (unacked[-1][0] if unacked else self._acked):
            raise FrameError(f"frame {ack} is acknowledged after {self._acked}, {self._next - 1} were sent")
        while unacked and unacked[0][0] <= ack:
            self._unacked_bytes -= unacked.popleft()[4]
        self._acked = ack

    def _begin(self, stream: int, body: memoryview) -> None:
        if stream > URGENT or stream in self._partials:
            raise FrameError(f"BEGIN on stream {stream}, which is in use or unknown")
        if len(body) < wire.TAIL_LENGTH.size:
            raise FrameError(f"BEGIN of {len(body)} bytes")
        (size,) = wire.TAIL_LENGTH.unpack_from(body)
        head = body[wire.TAIL_LENGTH.size :].tobytes()
        if size + len(head) > self._limits.max_message_bytes:
            raise FrameError(
                f"message of {size + len(head)} bytes exceeds "
                f"max_message_bytes={self._limits.max_message_bytes}"
            )
        try:
            tail = memoryview(self.allocate(size))
        except MemoryError:
            tail = None
        self._partials[stream] = _Partial(head, size, tail)
        self._reader.bulk = True

    def _place(self, kind: int, word: int, seq: int, length: int) -> memoryview | None:
        # Where the reader puts a large body. Its tag is not checked yet: a slice that
        # proves to be forged ends the session, and its message is never delivered.
        if kind != wire.SLICE:
            return None
        if seq != self._expected:
            raise FrameError(self._disorder(kind, seq))
        partial = self._partials.get(word)
        if partial is None:
            raise FrameError(f"SLICE on stream {word}, on which no message has begun")
        if not 0 < length <= partial.size - partial.filled:
            raise FrameError(f"SLICE of {length} bytes where {partial.size - partial.filled} are missing")
        if partial.tail is None:
            return memoryview(bytearray(length))
        return partial.tail[partial.filled : partial.filled + length]

    def _disorder(self, kind: int, seq: int) -> str:
        if not self._expected:
            return f"{wire.NAMES[kind]} before ATTACH"
        return f"{wire.NAMES[kind]} frame {seq} where frame {self._expected} must come"

    # For tests and texts.

    def check(self) -> None:
        """Assert every invariant; InternalError is a bug of ours."""
        numbers = [sent[0] for sent in (*self._unacked, *self._replay)]
        problems = []
        if numbers and numbers != list(range(self._acked + 1, self._next)):
            problems.append(f"kept {numbers}, acked {self._acked}, next {self._next}")
        if self._unacked_bytes != sum(sent[4] for sent in (*self._unacked, *self._replay)):
            problems.append(f"unacked_bytes is {self._unacked_bytes}")
        queued = 0
        for lane in self._lanes:
            queued += sum(size + OVERHEAD_BYTES for _, _, size in lane.queue)
            queued += lane.bulk.remaining if lane.bulk else 0
        if queued != self._queued:
            problems.append(f"queued is {self._queued}, found {queued}")
        if self._expected not in (0, self._received + 1):
            problems.append(f"expected {self._expected}, received {self._received}")
        if any(partial.filled > partial.size for partial in self._partials.values()):
            problems.append("a partial message is too full")
        if len(self._unacked) + len(self._replay) > self._limits.max_unacked_frames:
            problems.append(f"{len(self._unacked)} frames in flight")
        if problems:
            raise InternalError(f"{self.story()}: {'; '.join(problems)}")

    def story(self) -> str:
        """What happened to this session, oldest first."""
        return (
            f"session {self.our.hex()[:8]} with {self.their.hex()[:8]}: {self._state.value}, "
            f"sent {self._next - 1}, acknowledged {self._acked}, received {self._received}, "
            f"queued {self._queued} bytes; {' | '.join(self._story) or 'nothing happened'}"
        )


def _flat(part: Buffer) -> Buffer:
    # A view whose len is its bytes: a user's array may have items of any size and shape.
    if isinstance(part, (bytes, bytearray)):
        return part
    view = memoryview(part)
    return view if view.format == "B" and view.ndim == 1 else view.cast("B")
