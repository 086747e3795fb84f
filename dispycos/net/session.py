"""Sessions: messages between two incarnations, in order, each exactly once.

A Session outlives its connections. Give it the bytes that arrived and it answers events;
ask it with `take` for the bytes to write. It never touches a socket: `net.endpoint` does
the reading and writing, after `net.auth` has seen the peer prove the key.

Rules. Numbered frames are kept until they are acknowledged and replayed on the next
connection (N2, R-40). Messages of one lane arrive in the order of `send`; there are two
lanes, ordinary and urgent, and only an urgent message overtakes, between two slices of a
long one. Nothing is joined or copied that is larger than 64 KiB. After the first
violation the session is over for good (SE-16). Not safe for threads: its owner has the lock.

After `attach`, `send`, `keepalive` and `received` there may be something to `take`.

Pure: no I/O, clock or randomness (the session id is an argument). Rules N1, N2, N4, N7.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Sequence
from typing import Final, TypeAlias

from dispycos.config import MIB, Limits
from dispycos.errors import Closed, LocalProtocolError, RemoteProtocolError
from dispycos.model import Buffer, Incarnation
from dispycos.net import frame as wire
from dispycos.net.frame import FrameError, FrameReader, FrameWriter
from dispycos.net.inbox import Inbox, Partial
from dispycos.net.keys import MacKey
from dispycos.net.outbox import Outbox
from dispycos.records import record

HALF_BYTES: Final = 16  # of a session id: each side draws one half
_UNKNOWN_HALF: Final = bytes(HALF_BYTES)

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


@record(frozen=False)
class Message:
    """A message arrived. Not frozen only because it is made for each one."""

    head: Buffer  # msgpack, to be decoded strictly
    tail: Buffer  # its attachments one after the other; the codec knows their lengths


@record(frozen=False)
class Undelivered:
    """A message arrived for whose tail there was no memory; its sender is to be told (R-23)."""

    head: Buffer
    size: int  # bytes of the tail that was thrown away


@record
class Writable:
    """The queue fell below half of its limit: waiting callers may go on."""


@record
class Resumed:
    """A new connection carries this session on; nothing was lost."""


@record
class Fresh:
    """The peer has no memory of this session, which is closed now: declare it lost, dial again."""


@record
class Stale:
    """The peer still has an older session and will drop it: close the connection, dial again."""


@record
class Ended:
    """The peer closed the session for good."""


@record
class Violation:
    """The peer broke the wire's rules; the session is closed now. Tell the peer nothing."""

    reason: str  # for our own log


Event: TypeAlias = Message | Undelivered | Writable | Resumed | Fresh | Stale | Ended | Violation


class Session:
    """One peer's end of a session. See the module's docstring."""

    __slots__ = (
        "_ack_due",
        "_attach_due",
        "_body_limits",
        "_credential",
        "_expected",
        "_farewell",
        "_inbox",
        "_keepalive_due",
        "_limits",
        "_may_send",
        "_our_half",
        "_outbox",
        "_owed_bytes",
        "_owed_frames",
        "_reader",
        "_received",
        "_state",
        "_story",
        "_their_half",
        "_writable_due",
        "_writer",
        "our",
        "their",
    )

    def __init__(self, our: Incarnation, their: Incarnation, limits: Limits) -> None:
        """Make the session of this process with the peer `their`.

        limits  with `max_message_bytes` as both HELLOs agreed on it.
        """
        self.our = our
        self.their = their
        self._limits = limits
        self._body_limits = wire.body_limits(limits)
        self._state = SessionState.NEW
        self._story: deque[str] = deque(maxlen=_MAX_STORY)
        self._credential: bytes | None = None  # whose key proved the first connection
        self._our_half = _UNKNOWN_HALF
        self._their_half = _UNKNOWN_HALF

        # Out.
        self._outbox = Outbox(limits)
        self._writer = FrameWriter(None)
        self._may_send = False  # numbered frames may go out: we know where the peer stands
        self._attach_due = False
        self._keepalive_due = False
        self._writable_due = False  # callers that waited are owed the event that they may go on
        self._farewell: list[Buffer] = []  # what is still to be written though the state forbids more

        # In.
        self._inbox = Inbox(limits)
        self._reader = FrameReader(None, self._body_limits, self._place)
        self._received = 0  # number of the last frame received
        self._expected = 0  # number that must come next; 0: their ATTACH must come first
        self._owed_bytes = 0  # received since we last acknowledged
        self._owed_frames = 0
        self._ack_due = False

    # State.

    @property
    def state(self) -> SessionState:
        """What the session can do now."""
        return self._state

    def _move(self, cause: Cause, text: str) -> None:
        target = TRANSITIONS.get((self._state, cause))
        if target is None:
            raise LocalProtocolError(f"a session that is {self._state.value} can't {cause.value}")
        if target is not self._state or cause is Cause.ATTACH:
            self._story.append(f"{cause.value}, {text} -> {target.value}")
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
        if not self.admits(credential):
            raise RemoteProtocolError(
                f"peer {self.their.hex()[:8]} can't resume: it proved another key or role than before"
            )
        self._move(Cause.ATTACH, f"{'dialled' if dialer else 'accepted'} at {now:.3f}")
        first = self._credential is None
        if first:
            self._credential = credential
            self._our_half = session_id
        self._outbox.rewind()
        self._writer = FrameWriter(send_key if tags else None)
        self._reader = FrameReader(receive_key if tags else None, self._body_limits, self._place)
        self._reader.bulk = self._inbox.busy
        # On the first connection the peer can't have received anything, so there is
        # nothing to learn before we may speak. Later its ATTACH says from where to go on.
        self._may_send = first
        self._expected = 0
        self._attach_due = True

    def admits(self, credential: bytes) -> bool:
        """Whether who proved this may carry the session on (SE-20)."""
        return self._credential in (None, credential)

    def detach(self, now: float) -> None:
        """The connection broke; what is not acknowledged is kept. May be repeated."""
        self._move(Cause.DETACH, f"at {now:.3f}")
        self._outbox.rewind()
        # What it read of a frame is void; who waits for a connection needs no buffer.
        self._reader = FrameReader(None, self._body_limits, self._place)
        self._may_send = self._attach_due = self._keepalive_due = False
        self._expected = 0

    def close(self, reason: str) -> None:
        """End the session for good; the next `take` answers what tells the peer. May be repeated."""
        attached = self._state is SessionState.ATTACHED
        self._move(Cause.CLOSE, reason)
        if attached:
            self._say_last(wire.CLOSE)

    def _say_last(self, kind: int | None) -> None:
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
        self._inbox.clear()
        return self._outbox.drain()

    # Out.

    @property
    def writable(self) -> bool:
        """False: callers must wait for Writable before the next ordinary `send`."""
        return not self._outbox.stopped

    @property
    def has_room(self) -> bool:
        """False: so much waits beyond `writable` that the next ordinary `send` is refused."""
        outbox = self._outbox
        return outbox.queued <= outbox.refuse_above

    @property
    def idle(self) -> bool:
        """True: everything that was sent has been received by the peer."""
        return self._outbox.empty

    @property
    def queued_bytes(self) -> int:
        """What waits to be written, with what it costs to keep it."""
        return self._outbox.queued

    @property
    def unacked_bytes(self) -> int:
        """What was written and is kept until the peer acknowledges it."""
        return self._outbox.unacked_bytes

    @property
    def due(self) -> bool:
        """False: `take` would answer nothing. Legal without the lock, for one's own messages."""
        return (
            self._ack_due
            or self._keepalive_due
            or self._attach_due
            or self._outbox.queued > 0
            or bool(self._outbox.replay)
            or bool(self._farewell)
        )

    def send(self, head: Buffer, attachments: Sequence[Buffer] = (), urgent: bool = False) -> None:
        """Queue one message. The buffers are kept, not copied: they must not change.

        Raises MessageTooLarge, Closed, or LocalProtocolError for a caller that went on far
        beyond `writable`; in each case nothing of the message is sent.
        """
        if self._state is SessionState.CLOSED:
            raise Closed(f"the session with {self.their.hex()[:8]} is closed: {self._story[-1]}")
        self._outbox.append(head, attachments, urgent)

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
        writer, outbox, received = self._writer, self._outbox, self._received
        if self._attach_due:
            self._put_attach()
        wrote = 0
        while self._may_send and wrote < max_bytes and (outbox.queued or outbox.replay):
            sent = outbox.next()
            if sent is None:
                break
            number, kind, word, parts, size = sent
            writer.put(kind, word, number, received, parts, size)
            wrote += size + wire.HEADER_BYTES
        if wrote:
            if outbox.stopped and 2 * outbox.queued <= self._limits.max_queued_bytes:
                outbox.stopped = False
                self._writable_due = True
        elif self._keepalive_due:
            writer.put(wire.KEEPALIVE, 0, 0, received, (), 0)
        elif self._ack_due:
            writer.put(wire.ACK, 0, 0, received, (), 0)
        else:
            return writer.take()
        self._owed_bytes = self._owed_frames = 0
        self._ack_due = self._keepalive_due = False
        return writer.take()

    def _put_attach(self) -> None:
        halves = self._our_half + self._their_half
        self._writer.put(wire.ATTACH, 0, 0, self._received, (halves,), len(halves))
        self._attach_due = False

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
        outbox = self._outbox
        try:
            for kind, word, seq, ack, body in self._reader.advance(count):
                if kind == wire.MESSAGE:
                    if seq != self._expected:
                        raise FrameError(self._disorder(kind, seq))
                    if ack != outbox.acked:
                        outbox.acknowledge(ack)
                    size = len(body)
                    if word == size:
                        events.append(Message(body.tobytes(), b""))
                    elif word < size:
                        events.append(Message(body[:word].tobytes(), memoryview(body[word:].tobytes())))
                    else:
                        raise FrameError(f"MESSAGE of {size} bytes says that its head has {word}")
                    self._received = seq
                    self._expected = seq + 1
                    self._owed_frames += 1
                    self._owed_bytes += size
                elif kind < wire.MESSAGE:
                    if not self._control(kind, word, seq, ack, body, events, now):
                        break
                else:
                    self._piece(kind, word, seq, ack, body, events)
        except FrameError as exc:
            self._move(Cause.VIOLATION, f"{exc}, at {now:.3f}")
            events.append(Violation(str(exc)))
            return events
        limits = self._limits
        if self._owed_bytes >= limits.ack_after_bytes or self._owed_frames >= limits.ack_after_frames:
            self._ack_due = True
        if self._writable_due:
            self._writable_due = False
            if not outbox.stopped:
                events.append(Writable())
        return events

    def _control(
        self, kind: int, word: int, seq: int, ack: int, body: memoryview, events: list[Event], now: float
    ) -> bool:
        # A frame without a number. False: nothing more is to be read.
        if seq or word:
            raise FrameError(f"{wire.NAMES[kind]} with number {seq} and word {word}")
        if kind == wire.ATTACH:
            return self._attached(ack, body, events, now)
        if not self._expected:
            raise FrameError(self._disorder(kind, seq))
        self._outbox.acknowledge(ack)
        if kind == wire.CLOSE:
            self._move(Cause.ENDED, f"at {now:.3f}")
            events.append(Ended())
            return False
        return True

    def _attached(self, ack: int, body: memoryview, events: list[Event], now: float) -> bool:
        if self._expected or len(body) != wire.ATTACH_BYTES:
            raise FrameError(f"ATTACH of {len(body)} bytes, or a second one on one connection")
        theirs, ours = body[:HALF_BYTES].tobytes(), body[HALF_BYTES:].tobytes()
        if theirs == _UNKNOWN_HALF:
            raise FrameError("ATTACH without a session id")
        known = self._their_half != _UNKNOWN_HALF
        if known and theirs != self._their_half:
            self._say_last(None)
            self._move(Cause.FRESH, f"at {now:.3f}")
            events.append(Fresh())
            return False
        if ours not in (_UNKNOWN_HALF, self._our_half):
            if known:
                raise FrameError("ATTACH names a session that we never had")
            self._say_last(None)
            self.detach(now)
            events.append(Stale())
            return False
        self._outbox.resume(ack)
        self._their_half = theirs
        self._expected = self._received + 1
        if not self._may_send:
            self._may_send = True
            events.append(Resumed())
        return True

    def _piece(
        self, kind: int, stream: int, seq: int, ack: int, body: memoryview, events: list[Event]
    ) -> None:
        # A part of a long message.
        if seq != self._expected:
            raise FrameError(self._disorder(kind, seq))
        self._outbox.acknowledge(ack)
        whole: Partial | None
        if kind == wire.BEGIN:
            whole = self._inbox.begin(stream, body)
        else:
            whole = self._inbox.filled(stream, len(body))
        self._reader.bulk = self._inbox.busy
        self._received = seq
        self._expected = seq + 1
        self._owed_frames += 1
        self._owed_bytes += len(body)
        if whole is None:
            return
        if whole.tail is None:
            events.append(Undelivered(whole.head, whole.size))
        else:
            events.append(Message(whole.head, whole.tail))

    def _place(self, kind: int, word: int, seq: int, length: int) -> memoryview | None:
        # Where the reader puts a large body; None: where it likes.
        if seq != self._expected:
            raise FrameError(self._disorder(kind, seq))
        return self._inbox.place(word, length) if kind == wire.SLICE else None

    def _disorder(self, kind: int, seq: int) -> str:
        if not self._expected:
            return f"{wire.NAMES[kind]} before ATTACH"
        return f"{wire.NAMES[kind]} frame {seq} where frame {self._expected} must come"

    # For tests and texts.

    def check(self) -> None:
        """Assert every invariant."""
        self._outbox.check()
        self._inbox.check()
        assert self._expected in (0, self._received + 1), self.story()
        assert not (self._expected and self._state is SessionState.DETACHED), self.story()
        assert not (self._may_send and self._state in (SessionState.NEW, SessionState.DETACHED)), self.story()

    def story(self) -> str:
        """What happened to this session, oldest first."""
        outbox = self._outbox
        return (
            f"session {self.our.hex()[:8]} with {self.their.hex()[:8]}: {self._state.value}, "
            f"sent {outbox.next_number - 1}, acknowledged {outbox.acked}, received {self._received}, "
            f"queued {outbox.queued} bytes; {' | '.join(self._story) or 'nothing happened'}"
        )
