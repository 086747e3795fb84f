"""Two ends in one process: handshakes and sessions joined by lists of bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from dispycos.config import Limits
from dispycos.model import Buffer, Incarnation, Location, Role
from dispycos.net.auth import Failed, Handshake, Proven
from dispycos.net.keys import ClusterKey, Keyring, MacKey
from dispycos.net.session import Event, Message, Session, SessionState

K = ClusterKey(b"k" * 32)
OTHER = ClusterKey(b"o" * 32)
A = Incarnation(b"A" * 16)
B = Incarnation(b"B" * 16)

SMALL = replace(
    Limits(),
    slice_bytes=64,
    max_control_bytes=512,
    max_message_bytes=2048,
    max_unacked_bytes=512,
    max_unacked_frames=16,
    max_queued_bytes=8192,
    ack_after_bytes=128,
    ack_after_frames=4,
)


def random(seed: object, size: int = 32) -> bytes:
    """Bytes that look random and are the same in each run."""
    return hashlib.shake_128(repr(seed).encode()).digest(size)


def dialer(**options: Any) -> Handshake:
    defaults = {"incarnation": A, "roles": Role.CLIENT, "keyring": Keyring(K), "nonce": random("dialer")}
    return Handshake(dialer=True, **{**defaults, **options})


def listener(**options: Any) -> Handshake:
    defaults = {"incarnation": B, "roles": Role.NODE, "keyring": Keyring(K), "nonce": random("listener")}
    return Handshake(dialer=False, **{**defaults, **options})


def shake(one: Handshake, two: Handshake) -> tuple[Proven | Failed | None, Proven | Failed | None]:
    """Let both speak until neither has anything to say: how it ended for each."""
    ends: list[Proven | Failed | None] = [None, None]
    said = [one.opening(), two.opening()]
    while any(said):
        for side, hand in ((1, two), (0, one)):
            data, said[1 - side] = said[1 - side], b""
            if data and ends[side] is None:
                answer, ends[side] = hand.received(data)
                said[side] += answer
    for side, hand in enumerate((one, two)):
        # Who has failed closes the connection.
        if ends[side] is None and ends[1 - side] is not None:
            ends[side] = hand.broken()
    return ends[0], ends[1]


def proven(**options: Any) -> tuple[Proven, Proven]:
    """Both ends of a handshake that must succeed."""
    one, two = shake(dialer(**options), listener(**options))
    assert isinstance(one, Proven), one
    assert isinstance(two, Proven), two
    return one, two


LOOPBACK = Location("127.0.0.1", 40000), Location("127.0.0.1", 9706)


def read(session: Session, data: Buffer, sizes: Sequence[int] = (), now: float = 0.0) -> list[Event]:
    """Give a session bytes in reads of these sizes, the last again and again; check after each."""
    events: list[Event] = []
    rest = memoryview(data)
    turn = iter(sizes)
    size = len(rest)
    while len(rest) and session.state is SessionState.ATTACHED:
        size = next(turn, size)
        buffer = session.get_buffer()
        assert len(buffer) > 0
        count = min(size or 1, len(rest), len(buffer))
        buffer[:count] = rest[:count]
        rest = rest[count:]
        events += session.received(count, now)
        session.check()
    return events


def messages(events: Sequence[Event]) -> list[tuple[bytes, bytes]]:
    return [(bytes(event.head), bytes(event.tail)) for event in events if isinstance(event, Message)]


class Pair:
    """Two sessions and the connection between them, which can be cut at any byte."""

    def __init__(self, limits: Limits = SMALL, *, tags: bool = True) -> None:
        self.limits = limits
        self.tags = tags
        self.connections = 0
        self.a = Session(A, B, limits)
        self.b = Session(B, A, limits)
        self.way: dict[Session, bytearray] = {}  # bytes on their way to that session
        self.events: dict[Session, list[Event]] = {self.a: [], self.b: []}
        self.connect()

    def keys(self) -> tuple[MacKey, MacKey]:
        return MacKey(random(("a to b", self.connections))), MacKey(random(("b to a", self.connections)))

    def other(self, session: Session) -> Session:
        return self.b if session is self.a else self.a

    def connect(self) -> None:
        self.connections += 1
        ab, ba = self.keys()
        number = self.connections
        self.way = {self.a: bytearray(), self.b: bytearray()}
        for session, send, receive in ((self.a, ab, ba), (self.b, ba, ab)):
            session.attach(
                send,
                receive,
                self.tags,
                dialer=session is self.a,
                session_id=random((number, session is self.a), 16),
                now=0.0,
            )

    def cut(self) -> None:
        self.a.detach(0.0)
        self.b.detach(0.0)
        self.way = {self.a: bytearray(), self.b: bytearray()}

    def take(self, session: Session, max_bytes: int = 1 << 20) -> bytes:
        data = b"".join(session.take(max_bytes))
        session.check()
        self.way[self.other(session)] += data
        return data

    def deliver(self, session: Session, count: int | None = None, sizes: Sequence[int] = ()) -> list[Event]:
        way = self.way[session]
        data = bytes(way[:count])
        del way[: len(data)]
        events = read(session, data, sizes)
        self.events[session] += events
        return events

    def settle(self) -> None:
        """Let both speak until neither has anything to say."""
        while self.take(self.a) or self.take(self.b) or self.way[self.a] or self.way[self.b]:
            self.deliver(self.b)
            self.deliver(self.a)

    def arrived(self, session: Session) -> list[tuple[bytes, bytes]]:
        return messages(self.events[session])
