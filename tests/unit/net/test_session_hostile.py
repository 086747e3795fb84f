"""Sessions with a hostile peer, or a hostile path: every byte that can be wrong."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispycos.config import KIB, Limits
from dispycos.net import frame as wire
from dispycos.net.frame import HEADER, encode
from dispycos.net.keys import MacKey
from dispycos.net.session import Event, Message, Session, SessionState, Violation
from tests.unit.net.pairs import SMALL, A, B, Pair, messages, random, read

KEY = MacKey(random("their key"))
THEIR_HALF = random("their half", 16)


def victim(limits: Limits = SMALL, *, tags: bool = True, attached: bool = True) -> Session:
    """A session whose peer is this test; `say` makes the peer's frames."""
    session = Session(B, A, limits)
    session.attach(MacKey(random("our key")), KEY, tags, dialer=False, session_id=random("half", 16), now=0.0)
    session.take()
    if attached:
        assert read(session, say(0, wire.ATTACH, body=THEIR_HALF + bytes(16), tags=tags)) == []
    return session


def say(
    count: int, kind: int, *, word: int = 0, seq: int = 0, ack: int = 0, body: bytes = b"", tags: bool = True
) -> bytes:
    return b"".join(encode(KEY if tags else None, count, kind, word, seq, ack, [body]))


def is_violation(events: list[Event]) -> bool:
    return bool(events) and isinstance(events[-1], Violation)


CONTENT = [(b"one", b""), (b"two", random(2, 150)), (b"three", b"3" * 9)]


def recorded(tags: bool = True) -> tuple[Pair, list[bytes]]:
    """A pair, and the frames with which `a` says CONTENT on its first connection."""
    pair = Pair(tags=tags)
    for head, tail in CONTENT:
        pair.a.send(head, [tail])
    frames = []
    while data := b"".join(pair.a.take(1)):
        # The first take answers ATTACH and a frame.
        frames += [data] if frames else [data[: 16 * tags + 24 + 32], data[16 * tags + 24 + 32 :]]
    assert len(frames) == 1 + 1 + 4 + 1
    return pair, frames


def again(pair: Pair) -> Session:
    """A listener that is in the state in which `pair.b` began."""
    return Pair(pair.limits, tags=pair.tags).b


@pytest.mark.row("SE-16", "SE-80")
def test_no_flipped_bit_of_a_whole_session_changes_a_value() -> None:
    pair, frames = recorded()
    whole = b"".join(frames)
    assert messages(read(again(pair), whole)) == CONTENT
    for bit in range(len(whole) * 8):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        session = again(pair)
        events = read(session, changed)
        arrived = messages(events)
        assert arrived == CONTENT[: len(arrived)], bit
        assert len(arrived) < len(CONTENT), bit
        if session.state is SessionState.CLOSED:
            assert is_violation(events), bit
            assert read(session, whole) == [], bit


@pytest.mark.row("SE-81", "SE-16")
@pytest.mark.parametrize("change", ["doubled", "swapped", "dropped"])
def test_frames_doubled_swapped_or_dropped_end_the_session(change: str) -> None:
    pair, frames = recorded()
    for place in range(len(frames)):
        altered = list(frames)
        if change == "doubled":
            altered.insert(place, frames[place])
        elif change == "dropped":
            del altered[place]
        elif place + 1 < len(frames):
            altered[place], altered[place + 1] = frames[place + 1], frames[place]
        else:
            continue
        session = again(pair)
        events = read(session, b"".join(altered))
        arrived = messages(events)
        assert arrived == CONTENT[: len(arrived)]
        # Without its last frame a session just waits.
        if change == "dropped" and place == len(frames) - 1:
            assert session.state is SessionState.ATTACHED
        else:
            assert is_violation(events), (change, place)


@pytest.mark.row("SE-81")
@pytest.mark.parametrize("change", ["doubled", "swapped", "dropped"])
def test_numbers_alone_notice_it_where_there_are_no_tags(change: str) -> None:
    pair, frames = recorded(tags=False)
    for place in range(1, len(frames) - 1):
        altered = list(frames)
        if change == "doubled":
            altered.insert(place, frames[place])
        elif change == "dropped":
            del altered[place]
        else:
            altered[place], altered[place + 1] = frames[place + 1], frames[place]
        assert is_violation(read(again(pair), b"".join(altered))), (change, place)


@pytest.mark.row("SE-81")
def test_a_doubled_keepalive_is_noticed_by_its_tag() -> None:
    session = victim()
    keepalive = say(1, wire.KEEPALIVE)
    assert read(session, keepalive) == []
    assert is_violation(read(session, keepalive))


@pytest.fixture
def used() -> None:
    """A violation that nobody measures: records make their methods at their first use."""
    assert is_violation(read(victim(), bytes(16) + HEADER.pack(1 << 31, 0, 0, 0, 1, 0)))


@pytest.mark.row("SE-81")
def test_frames_moved_to_the_other_direction_end_the_session() -> None:
    pair, frames = recorded()
    events = read(pair.a, b"".join(frames))
    assert is_violation(events)
    assert messages(events) == []


@pytest.mark.row("SE-73", "SE-20")
def test_a_recorded_session_is_worth_nothing_on_another_connection() -> None:
    pair, frames = recorded()
    pair.connect()
    events = read(pair.b, b"".join(frames))
    assert is_violation(events)
    assert messages(events) == []


@pytest.mark.row("SE-16")
@settings(max_examples=200)
@given(st.binary(max_size=400), st.booleans(), st.booleans())
def test_random_bytes_never_crash_or_deliver(data: bytes, tags: bool, attached: bool) -> None:
    session = victim(tags=tags, attached=attached)
    events = read(session, data)
    if tags:
        assert messages(events) == []
    assert all(isinstance(event, (Violation, Message)) or not tags for event in events)


@pytest.mark.usefixtures("used")
@pytest.mark.rule("N4")
@pytest.mark.row("SE-78", "SE-16")
@pytest.mark.parametrize("kind", range(256))
def test_lengths_beyond_the_limit_of_a_kind_move_no_memory(kind: int) -> None:
    limits = Limits()
    table = wire.body_limits(limits)
    over = table[kind] + 1
    for length in {over, 1 << 31, (1 << 32) - 1}:
        session = victim(limits)
        data = bytes(16) + HEADER.pack(length, kind, 0, 0, 1, 0)
        tracemalloc.start()
        events = read(session, data)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert is_violation(events), (kind, length)
        assert session.state is SessionState.CLOSED
        assert peak < 64 * KIB


@pytest.mark.row("SE-78")
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (wire.ATTACH, b""),
        (wire.ATTACH, bytes(31)),
        (wire.BEGIN, b""),
        (wire.BEGIN, bytes(7)),
        (wire.SLICE, b""),
    ],
)
def test_bodies_that_are_too_short_for_their_kind_end_the_session(kind: int, body: bytes) -> None:
    session = victim(attached=kind != wire.ATTACH)
    count = 0 if kind == wire.ATTACH else 1
    seq = 0 if kind == wire.ATTACH else 1
    assert is_violation(read(session, say(count, kind, seq=seq, body=body)))


@pytest.mark.usefixtures("used")
@pytest.mark.row("SE-78", "R-23")
@pytest.mark.parametrize("size", [SMALL.max_message_bytes - 3, 1 << 31, (1 << 63), (1 << 64) - 1])
def test_a_message_that_is_announced_too_long_moves_no_memory(size: int) -> None:
    session = victim()
    tracemalloc.start()
    events = read(session, say(1, wire.BEGIN, seq=1, body=struct.pack("!Q", size) + b"head"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert is_violation(events)
    assert peak < 64 * KIB


@pytest.mark.row("SE-79")
@pytest.mark.parametrize("tags", [True, False])
def test_a_body_that_stays_short_delivers_nothing_and_is_no_violation(tags: bool) -> None:
    message = say(1, wire.MESSAGE, word=4, seq=1, body=b"headtail", tags=tags)
    for cut in range(len(message)):
        session = victim(tags=tags)
        assert read(session, message[:cut]) == []
        assert session.state is SessionState.ATTACHED
        assert messages(read(session, message[cut:])) == [(b"head", b"tail")]


@pytest.mark.row("SE-82")
@pytest.mark.parametrize("kind", [*range(2, 8), 0, 8, 255])
def test_every_kind_before_attach_ends_the_session(kind: int) -> None:
    session = victim(attached=False)
    bodies = {wire.BEGIN: struct.pack("!Q", 5), wire.SLICE: b"x", wire.MESSAGE: b"x"}
    number = 1 if kind in bodies else 0
    data = say(0, kind, word=int(kind == wire.MESSAGE), seq=number, body=bodies.get(kind, b""))
    assert is_violation(read(session, data))


@pytest.mark.row("SE-82")
def test_unknown_kinds_and_flags_end_the_session() -> None:
    for kind in (0, 8, 100, 255):
        assert is_violation(read(victim(), say(1, kind)))
    for bit in range(8):
        data = bytearray(say(1, wire.KEEPALIVE, tags=False))
        data[5] = 1 << bit
        assert is_violation(read(victim(tags=False), data))


def wrong_frames() -> Iterator[tuple[str, bytes]]:
    """Frames with a right tag, each wrong in one way, right after the peer's ATTACH."""
    tail = struct.pack("!Q", 100)
    yield "second ATTACH", say(1, wire.ATTACH, body=THEIR_HALF + bytes(16))
    yield "numbered keep-alive", say(1, wire.KEEPALIVE, seq=1)
    yield "word in an ACK", say(1, wire.ACK, word=1)
    yield "body in an ACK", say(1, wire.ACK, body=b"x")
    yield "number 0", say(1, wire.MESSAGE, word=1, seq=0, body=b"x")
    yield "number 2", say(1, wire.MESSAGE, word=1, seq=2, body=b"x")
    yield "number 2^64-1", say(1, wire.MESSAGE, word=1, seq=(1 << 64) - 1, body=b"x")
    yield "ack of what was never sent", say(1, wire.ACK, ack=1)
    yield "the same in a message", say(1, wire.MESSAGE, word=1, seq=1, ack=1, body=b"x")
    yield "head longer than the message", say(1, wire.MESSAGE, word=2, seq=1, body=b"x")
    yield "slice of nothing", say(1, wire.SLICE, seq=1, body=b"x")
    yield "begin on a third stream", say(1, wire.BEGIN, word=2, seq=1, body=tail)
    yield (
        "slice of another stream",
        say(1, wire.BEGIN, seq=1, body=tail) + say(2, wire.SLICE, word=1, seq=2, body=b"x"),
    )
    yield "begin twice", say(1, wire.BEGIN, seq=1, body=tail) + say(2, wire.BEGIN, seq=2, body=tail)
    yield (
        "slice too long",
        say(1, wire.BEGIN, seq=1, body=struct.pack("!Q", 5)) + say(2, wire.SLICE, seq=2, body=b"123456"),
    )
    yield "empty slice", say(1, wire.BEGIN, seq=1, body=tail) + say(2, wire.SLICE, seq=2)


@pytest.mark.row("SE-81", "SE-82", "SE-18")
@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data in wrong_frames()])
def test_a_proven_peer_that_breaks_a_rule_ends_the_session_for_good(data: bytes) -> None:
    session = victim()
    session.send(b"waits")
    events = read(session, data)
    assert is_violation(events)
    assert messages(events) == []
    # No error text, no second chance (SE-16).
    assert session.take() == []
    assert read(session, say(1, wire.KEEPALIVE)) == []


def test_streams_are_few_however_many_a_peer_opens() -> None:
    opened = 0
    for stream in range(1 << 16):
        session = victim(tags=False)
        if not is_violation(
            read(session, say(1, wire.BEGIN, word=stream, seq=1, body=struct.pack("!Q", 1), tags=False))
        ):
            opened += 1
        if stream > 300:
            break
    assert opened == 2


@pytest.mark.row("SE-89")
@pytest.mark.parametrize("ack", [0, 1, 4, 1 << 40])
def test_resume_numbers_of_the_past_or_the_future_end_the_session(ack: int) -> None:
    pair = Pair()
    for number in range(3):
        pair.a.send(b"%d" % number)
        pair.settle()
    pair.b.keepalive()
    pair.settle()
    assert pair.a.idle
    pair.cut()
    pair.connect()
    _, from_b = pair.keys()
    half = random((1, False), 16)
    data = b"".join(encode(from_b, 0, wire.ATTACH, 0, 0, ack, [half + random((1, True), 16)]))
    assert is_violation(read(pair.a, data))


@pytest.mark.row("SE-89")
def test_a_session_id_of_others_is_no_way_into_this_session() -> None:
    pair = Pair()
    pair.a.send(b"secret")
    pair.settle()
    pair.cut()
    pair.a.send(b"for b only")
    pair.connect()
    _, from_b = pair.keys()
    half = random((1, False), 16)
    data = b"".join(encode(from_b, 0, wire.ATTACH, 0, 0, 0, [half + random("another", 16)]))
    assert is_violation(read(pair.a, data))
    assert b"for b only" not in b"".join(pair.a.take())


@pytest.mark.row("SE-16")
def test_messages_before_a_violation_are_delivered_and_none_after() -> None:
    session = victim()
    good = say(1, wire.MESSAGE, word=4, seq=1, body=b"good")
    bad = say(2, wire.MESSAGE, word=3, seq=7, body=b"bad")
    later = say(3, wire.MESSAGE, word=5, seq=2, body=b"later")
    events = read(session, good + bad + later)
    assert messages(events) == [(b"good", b"")]
    assert is_violation(events)


@pytest.mark.row("SE-16", "SE-80")
def test_a_forged_slice_never_reaches_a_reader_of_the_message() -> None:
    limits = Limits()
    session = victim(limits)
    body = random("slice", 200_000)
    begin = say(1, wire.BEGIN, seq=1, body=struct.pack("!Q", len(body)) + b"head")
    piece = bytearray(say(2, wire.SLICE, seq=2, body=body))
    piece[-1] ^= 1
    events = read(session, begin + piece, [1000, 70_000])
    assert is_violation(events)
    assert messages(events) == []
