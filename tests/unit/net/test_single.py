"""Sessions of one connection: two ends, and bytes between them."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from dispycos.config import KIB, MIB, Limits
from dispycos.errors import LocalProtocolError, MessageTooLarge
from dispycos.net import frame as wire
from dispycos.net.keys import MacKey
from dispycos.net.outbox import OVERHEAD_BYTES
from dispycos.net.single import Message, SingleSession

ONE, OTHER = MacKey(b"one"), MacKey(b"other")
SMALL = replace(Limits(), max_queued_bytes=10 * KIB, max_message_bytes=MIB, max_control_bytes=KIB)


def ends(tags: bool = False, limits: Limits | None = None) -> tuple[SingleSession, SingleSession]:
    limits = limits or Limits()
    return (
        SingleSession(limits, (ONE, OTHER) if tags else None),
        SingleSession(limits, (OTHER, ONE) if tags else None),
    )


def written(session: SingleSession) -> bytes:
    """All that it has to write."""
    out = b""
    while session.waiting:
        out += b"".join(map(bytes, session.take()))
    assert session.queued == 0 and not session.take()
    return out


def fed(session: SingleSession, data: bytes, pieces: int = 1 << 30) -> list[Message]:
    """What it makes of the bytes, given so many at a time."""
    found: list[Message] = []
    for start in range(0, len(data), pieces):
        found += session.feed(data[start : start + pieces])
    return [(bytes(head), bytes(tail)) for head, tail in found]


@pytest.mark.parametrize("tags", [False, True])
@pytest.mark.parametrize("pieces", [1 << 30, 70_001, 7919])
def test_messages_arrive_in_order_and_whole(tags, pieces):
    one, other = ends(tags)
    said = []
    for number, size in enumerate([0, 1, 15_000, 64 * KIB, 3 * MIB + 5, 2, 0, 100_000, 20_000]):
        tail = random.Random(number).randbytes(size)
        one.put(b"%d" % number, (tail,) if size else ())
        said.append((b"%d" % number, tail))
    one.put(b"parts", (b"a", bytearray(b"b"), b"", memoryview(b"cd")))
    assert fed(other, written(one), pieces) == [*said, (b"parts", b"abcd")]
    assert not other.over


def test_what_nothing_waits_before_may_be_written_at_once():
    one, other = ends(limits=SMALL)
    first = one.alone(b"head", b"tail")
    one.put(b"waits")
    assert one.alone(b"head", b"tail") is None, "it would overtake"
    data = first + written(one) + one.alone(b"last", b"")
    assert fed(other, data) == [(b"head", b"tail"), (b"waits", b""), (b"last", b"")]
    assert one.alone(b"x", bytes(SMALL.max_control_bytes)) is None, "it is to be looked at"
    one.close()
    assert one.alone(b"x", b"") is None
    tagged, _ = ends(tags=True)
    assert tagged.alone(b"x", b"") is None, "it needs a tag"


def test_what_is_put_while_a_long_message_leaves_comes_behind_it_and_the_goodbye_behind_all():
    one, other = ends()
    one.put(b"long", (bytes(5 * MIB),))
    first = b"".join(map(bytes, one.take()))
    one.put(b"short")
    one.close()
    assert one.waiting and one.closed
    heads = [head for head, _ in fed(other, first + written(one))]
    assert heads == [b"long", b"short"]
    assert other.over == "the peer closed the connection"


def test_who_puts_too_much_is_told_to_wait_and_then_refused():
    one, _ = ends(limits=SMALL)
    while not one.stopped:
        one.put(b"x", (bytes(KIB),))
    assert 10 * KIB < one.queued <= 11 * KIB + 2 * OVERHEAD_BYTES
    one.put(b"x", (bytes(64 * KIB),))
    with pytest.raises(LocalProtocolError, match="wait until the session is writable"):
        one.put(b"x")
    assert one.stopped and not one.freed
    written(one)
    assert one.freed and not one.stopped


def test_what_is_too_long_is_refused_and_nothing_of_it_is_sent():
    one, _ = ends(limits=SMALL)
    with pytest.raises(MessageTooLarge, match="max_control_bytes=1024"):
        one.put(bytes(KIB + 1))
    with pytest.raises(MessageTooLarge, match="max_message_bytes=1048576"):
        one.put(b"x", (bytes(MIB),))
    assert not one.waiting


def frame(kind: int, seq: int, body: bytes = b"", *, word: int = 0, ack: int = 0) -> bytes:
    return b"".join(map(bytes, wire.encode(None, 0, kind, word, seq, ack, [body])))


@pytest.mark.row("SE-16")
@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (frame(wire.MESSAGE, 2, b"x", word=1), "MESSAGE frame 2 where frame 1 must come"),
        (frame(wire.MESSAGE, 1, b"x", word=1) * 2, "MESSAGE frame 1 where frame 2 must come"),
        (frame(wire.MESSAGE, 1, b"x", word=2), "says that its head has 2"),
        (frame(wire.MESSAGE, 1, b"x", word=1, ack=1), "acknowledges 1 in a session that keeps nothing"),
        (frame(wire.ATTACH, 1, bytes(32)), "ATTACH in a session of one connection"),
        (frame(wire.CLOSE, 1), "CLOSE in a session of one connection"),
        (frame(wire.SLICE, 1, b"x"), "no message has begun"),
        (frame(wire.SLICE, 2, bytes(200_000)), "SLICE frame 2 where frame 1 must come"),
        (frame(wire.BEGIN, 1, b"x"), "BEGIN of 1 bytes"),
        (b"\xff" * 100, "unknown kind 255"),
    ],
)
def test_the_first_violation_is_the_last_thing_heard(data, complaint):
    _, other = ends()
    heard = fed(other, data + frame(wire.MESSAGE, 1, b"more", word=4))
    assert len(heard) <= 1 and complaint in other.over
    assert other.over.startswith("the peer broke the wire's rules: ")


@pytest.mark.row("SE-16")
def test_a_byte_that_was_changed_on_the_way_is_noticed():
    one, _ = ends(tags=True)
    one.put(b"head", (b"tail",))
    data = written(one)
    for place in range(len(data)):
        _, other = ends(tags=True)
        forged = bytearray(data)
        forged[place] ^= 1
        # A length that was changed may still wait for bytes that never come; it is never heard.
        assert fed(other, bytes(forged)) == []


@pytest.mark.row("R-23")
def test_without_memory_for_a_message_the_session_is_over():
    one, other = ends()

    def none(size: int) -> bytes:
        raise MemoryError

    other._inbox.allocate = none
    one.put(b"before")
    one.put(b"long", (bytes(MIB),))
    assert fed(other, written(one)) == [(b"before", b"")]
    assert other.over == "there is no memory here for a message of 1048576 bytes"
