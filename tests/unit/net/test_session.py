"""Sessions between two honest ends: order, resume, windows, long messages, back-pressure."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dispycos.config import MIB, Limits
from dispycos.errors import Closed, LocalProtocolError, MessageTooLarge, RemoteProtocolError
from dispycos.net import frame as wire
from dispycos.net.frame import FrameReader
from dispycos.net.keys import MacKey
from dispycos.net.session import (
    TRANSITIONS,
    Cause,
    Ended,
    Fresh,
    Message,
    Resumed,
    Session,
    SessionState,
    Stale,
    Undelivered,
    Writable,
)
from tests.unit.net.pairs import SMALL, A, B, Pair, messages, random, read

FULL = Limits()


def sent(number: int, size: int, urgent: bool) -> tuple[bytes, bytes]:
    """A message whose content tells which one it is."""
    return f"{'urgent' if urgent else 'ordinary'} {number}".encode(), random(number, size)


@pytest.mark.rule("N2")
@pytest.mark.parametrize("tags", [True, False])
@pytest.mark.parametrize("size", [0, 1, 10, 60, 64, 65, 500, 2000])
def test_a_message_arrives_as_it_was_sent(tags: bool, size: int) -> None:
    pair = Pair(tags=tags)
    head, tail = b"head", random("tail", size)
    pair.a.send(head, [tail[: size // 3], b"", tail[size // 3 :]])
    pair.b.send(head)
    pair.settle()
    assert pair.arrived(pair.b) == [(head, tail)]
    assert pair.arrived(pair.a) == [(head, b"")]


@pytest.mark.rule("N2")
def test_a_long_head_without_a_tail_arrives() -> None:
    pair = Pair()
    pair.a.send(b"h" * 500)
    pair.settle()
    assert pair.arrived(pair.b) == [(b"h" * 500, b"")]
    large = Pair(FULL)
    head = random("head", 200_000)
    large.a.send(head)
    large.settle()
    assert large.arrived(large.b) == [(head, b"")]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.booleans(), st.integers(0, 4) | st.integers(0, 400), st.booleans()),
        st.tuples(st.just("take"), st.booleans(), st.integers(1, 600)),
        st.tuples(
            st.just("deliver"), st.booleans(), st.integers(1, 700), st.lists(st.integers(1, 200), max_size=4)
        ),
        st.tuples(st.just("keepalive"), st.booleans()),
        st.tuples(st.just("cut")),
        st.tuples(st.just("cut and connect")),
        st.tuples(st.just("connect over")),
    ),
    max_size=60,
)


@pytest.mark.rule("N2")
@pytest.mark.row("R-40")
@settings(max_examples=200, suppress_health_check=list(HealthCheck))
@given(steps=STEPS, tags=st.booleans())
def test_whatever_is_cut_where_each_message_arrives_once_and_in_order(steps: list[tuple], tags: bool) -> None:
    pair = Pair(tags=tags)
    said: dict[Session, list[tuple[bytes, bytes]]] = {pair.a: [], pair.b: []}
    for number, (verb, *rest) in enumerate(steps):
        session = pair.a if rest and rest[0] else pair.b
        if verb == "send":
            _, size, urgent = rest
            if not session.writable:
                continue
            head, tail = sent(number, size, urgent)
            session.send(head, [tail], urgent=urgent)
            said[session].append((head, tail))
        elif verb == "take":
            pair.take(session, rest[1])
        elif verb == "deliver":
            pair.deliver(session, rest[1], rest[2])
        elif verb == "keepalive":
            session.keepalive()
        elif verb == "cut":
            pair.cut()
        elif verb == "cut and connect":
            pair.cut()
            pair.connect()
        else:
            pair.connect()
    if pair.a.state is not SessionState.ATTACHED:
        pair.connect()
    pair.settle()
    for session in (pair.a, pair.b):
        arrived = pair.arrived(pair.other(session))
        for urgent in (b"urgent", b"ordinary"):
            assert [m for m in arrived if m[0].startswith(urgent)] == [
                m for m in said[session] if m[0].startswith(urgent)
            ]
        session.keepalive()
    pair.settle()
    assert pair.a.idle
    assert pair.b.idle


@pytest.mark.rule("N2")
@pytest.mark.row("R-40")
@pytest.mark.parametrize("tags", [True, False])
def test_a_session_cut_after_any_byte_resumes_with_nothing_lost_or_doubled(tags: bool) -> None:
    content = [(b"one", b""), (b"two", random(2, 200)), (b"three", b"3"), (b"four", random(4, 70))]
    model = Pair(tags=tags)
    for head, tail in content:
        model.a.send(head, [tail])
    length = len(model.take(model.a))
    assert length > 300
    for cut in range(length + 1):
        pair = Pair(tags=tags)
        for head, tail in content:
            pair.a.send(head, [tail])
        pair.take(pair.a)
        pair.deliver(pair.b, cut)
        pair.cut()
        pair.a.send(b"while away")
        pair.connect()
        pair.settle()
        assert pair.arrived(pair.b) == [*content, (b"while away", b"")], cut
        assert any(isinstance(event, Resumed) for event in pair.events[pair.a])


def test_only_the_first_connection_says_nothing_of_a_resume() -> None:
    pair = Pair()
    pair.settle()
    assert pair.events == {pair.a: [], pair.b: []}
    pair.connect()
    pair.settle()
    assert pair.events == {pair.a: [Resumed()], pair.b: [Resumed()]}


@pytest.mark.rule("N4")
@pytest.mark.row("R-40", "SE-18")
def test_the_window_holds_what_is_not_acknowledged_and_no_more() -> None:
    pair = Pair()
    pair.settle()
    for number in range(100):
        pair.a.send(b"%d" % number)
    pair.take(pair.a)
    # A share of the 16 frames is kept for urgent ones.
    assert pair.a._outbox.next_number == 16
    assert pair.take(pair.a) == b""
    pair.a.send(b"pulse", urgent=True)
    assert pair.take(pair.a) != b""
    pair.a.send(b"pulse", urgent=True)
    assert pair.take(pair.a) == b""
    pair.settle()
    assert len(pair.arrived(pair.b)) == 102


@pytest.mark.rule("N4")
def test_the_window_counts_bytes_too() -> None:
    pair = Pair()
    pair.settle()
    pair.a.send(b"head", [random(0, 2000)])
    pair.take(pair.a)
    assert 300 < pair.a.unacked_bytes <= SMALL.max_unacked_bytes
    pair.settle()
    assert pair.arrived(pair.b) == [(b"head", random(0, 2000))]


def test_acknowledgements_ride_on_what_is_said_anyway() -> None:
    pair = Pair()
    pair.settle()
    pair.a.send(b"question")
    pair.take(pair.a)
    pair.deliver(pair.b)
    assert pair.take(pair.b) == b""
    pair.b.send(b"answer")
    pair.take(pair.b)
    pair.deliver(pair.a)
    assert pair.a.idle


@pytest.mark.parametrize(("count", "size"), [(SMALL.ack_after_frames, 1), (1, SMALL.ack_after_bytes)])
def test_much_without_an_answer_is_acknowledged_by_itself(count: int, size: int) -> None:
    pair = Pair()
    pair.settle()
    for _ in range(count):
        pair.a.send(b"x" * size)
    pair.take(pair.a)
    pair.deliver(pair.b)
    assert pair.take(pair.b) != b""
    pair.deliver(pair.a)
    assert pair.a.idle


def test_a_keepalive_carries_what_was_received() -> None:
    pair = Pair()
    pair.settle()
    pair.a.send(b"x")
    pair.take(pair.a)
    pair.deliver(pair.b)
    pair.b.keepalive()
    assert pair.take(pair.b) != b""
    assert pair.take(pair.b) == b""
    assert pair.deliver(pair.a) == []
    assert pair.a.idle


@pytest.mark.rule("N7")
def test_a_lone_message_leaves_at_once_and_a_burst_is_one_write() -> None:
    pair = Pair(FULL)
    pair.settle()
    pair.a.send(b"lone")
    assert len(pair.a.take()) == 1
    for number in range(1000):
        pair.a.send(b"%d" % number, [b"attached"])
    assert len(pair.a.take()) == 1


@pytest.mark.rule("N6")
def test_bulk_is_neither_joined_nor_copied_on_the_way_out() -> None:
    session = Session(A, B, FULL)
    session.attach(None, None, False, dialer=True, session_id=random("id", 16), now=0.0)
    whole = bytearray(3 * MIB + 17)
    session.send(b"head", [whole])
    parts = []
    while more := session.take():
        parts += more
    views = [part for part in parts if isinstance(part, memoryview)]
    assert all(view.obj is whole for view in views)
    assert sum(map(len, views)) >= 3 * MIB
    assert sum(len(part) for part in parts if isinstance(part, bytes)) < 1000


@pytest.mark.rule("N6")
@pytest.mark.row("R-23")
def test_bulk_is_received_into_one_buffer_of_its_final_size() -> None:
    pair = Pair(FULL)
    pair.settle()
    made: list[bytearray] = []

    def allocate(size: int) -> bytearray:
        made.append(bytearray(size))
        return made[-1]

    pair.b._inbox.allocate = allocate
    content = random("bulk", 2 * MIB + 5)
    pair.a.send(b"head", [content])
    straight = 0
    received: list[Message] = []
    while not received:
        way = bytes(pair.take(pair.a))
        pair.way[pair.b].clear()
        while way:
            buffer = pair.b.get_buffer()
            count = min(len(buffer), len(way))
            buffer[:count] = way[:count]
            straight += count if made and buffer.obj is made[0] else 0
            way = way[count:]
            events = pair.b.received(count, 0.0)
            received += [event for event in events if isinstance(event, Message)]
        pair.take(pair.b)
        pair.deliver(pair.a)
    assert [len(buffer) for buffer in made] == [len(content)]
    assert isinstance(received[0].tail, memoryview)
    assert received[0].tail.obj is made[0]
    assert received[0].tail == content
    # Only what one read caught behind BEGIN, and a little of each further slice, was copied.
    assert straight > len(content) - wire.RECEIVE_BYTES - 2 * wire.BULK_WINDOW_BYTES


def test_attachments_of_any_shape_are_sent_as_their_bytes() -> None:
    numpy = pytest.importorskip("numpy")
    pair = Pair()
    pair.settle()
    table = numpy.arange(60, dtype="int32").reshape(5, 12)
    empty = numpy.zeros((0, 3))
    pair.a.send(b"head", [memoryview(table), memoryview(empty)])
    pair.settle()
    assert pair.arrived(pair.b) == [(b"head", table.tobytes())]


@pytest.mark.row("R-23")
def test_an_urgent_message_overtakes_bulk_between_two_slices() -> None:
    pair = Pair()
    pair.settle()
    pair.a.send(b"bulk", [random("bulk", 1500)])
    pair.a.send(b"after")
    pair.take(pair.a, 1)
    pair.take(pair.a, 1)
    pair.a.send(b"pulse", urgent=True)
    pair.a.send(b"long pulse", [random("long", 200)], urgent=True)
    pair.settle()
    assert [head for head, _ in pair.arrived(pair.b)] == [b"pulse", b"long pulse", b"bulk", b"after"]


@pytest.mark.row("R-23", "SE-18")
def test_a_message_over_the_limit_is_refused_before_its_first_byte() -> None:
    pair = Pair()
    pair.settle()
    with pytest.raises(MessageTooLarge, match="max_message_bytes=2048"):
        pair.a.send(b"head", [bytes(2045)])
    with pytest.raises(MessageTooLarge, match="max_control_bytes=512"):
        pair.a.send(bytes(513))
    assert pair.take(pair.a) == b""
    pair.a.send(b"head", [bytes(2044)])
    pair.settle()
    assert pair.arrived(pair.b) == [(b"head", bytes(2044))]


@pytest.mark.row("R-23")
def test_without_memory_for_its_tail_a_message_is_thrown_away_and_the_session_lives() -> None:
    pair = Pair()
    pair.settle()

    def allocate(size: int) -> bytearray:
        raise MemoryError

    pair.b._inbox.allocate = allocate
    pair.a.send(b"large", [random(1, 1000)])
    pair.a.send(b"small", [b"tail"])
    pair.settle()
    assert [event for event in pair.events[pair.b] if isinstance(event, Undelivered)] == [
        Undelivered(b"large", 1000)
    ]
    assert pair.arrived(pair.b) == [(b"small", b"tail")]


@pytest.mark.rule("N4")
@pytest.mark.row("SE-18")
def test_a_full_queue_makes_callers_wait_and_then_lets_them_go_on() -> None:
    pair = Pair()
    pair.settle()
    while pair.a.writable:
        pair.a.send(b"x" * 100)
    assert pair.a.queued_bytes > SMALL.max_queued_bytes
    # Who was told in the middle of a batch may finish it; who does not wait is refused.
    pair.a.send(b"one more")
    with pytest.raises(LocalProtocolError, match="wait until the session is writable"):
        for _ in range(1000):
            pair.a.send(b"x" * 100)
    assert pair.a.queued_bytes < 3 * SMALL.max_queued_bytes
    pair.a.send(b"pulse", urgent=True)
    pair.settle()
    assert pair.a.writable
    assert [event for event in pair.events[pair.a] if isinstance(event, Writable)] == [Writable()]


@pytest.mark.rule("N4")
@pytest.mark.row("R-23", "SE-18")
def test_no_bulk_takes_the_place_of_urgent_messages_and_they_have_a_limit_of_their_own() -> None:
    pair = Pair()
    pair.settle()
    pair.cut()
    while pair.a.has_room:
        pair.a.send(b"x" * 100)
    taken = 0
    with pytest.raises(LocalProtocolError, match="wait until the session is writable"):
        for _ in range(1000):
            pair.a.send(b"pulse" * 10, urgent=True)
            taken += 1
    assert taken >= SMALL.max_queued_bytes // 250
    assert pair.a.queued_bytes < 4 * SMALL.max_queued_bytes


@pytest.mark.rule("N4")
def test_what_is_sent_while_away_is_kept_up_to_the_limit() -> None:
    pair = Pair()
    pair.settle()
    pair.cut()
    count = 0
    while pair.a.writable:
        pair.a.send(b"%d" % count)
        count += 1
    assert pair.a.take() == []
    pair.connect()
    pair.settle()
    assert [head for head, _ in pair.arrived(pair.b)] == [b"%d" % number for number in range(count)]


def test_messages_wait_for_the_first_connection() -> None:
    session = Session(A, B, SMALL)
    session.send(b"early")
    assert session.take() == []
    session.attach(None, None, False, dialer=True, session_id=random("id", 16), now=0.0)
    assert b"early" in b"".join(session.take())


def test_closing_tells_the_peer_once_and_refuses_more() -> None:
    pair = Pair()
    pair.settle()
    pair.a.close("the test is over")
    pair.a.close("again")
    with pytest.raises(Closed, match="the test is over"):
        pair.a.send(b"late")
    assert pair.take(pair.a) != b""
    assert pair.take(pair.a) == b""
    assert pair.deliver(pair.b) == [Ended()]
    assert pair.b.state is SessionState.CLOSED
    assert pair.take(pair.b) == b""


@pytest.mark.rule("N3")
def test_a_closed_session_gives_back_what_was_not_acknowledged() -> None:
    pair = Pair()
    pair.a.send(b"seen")
    pair.settle()
    pair.b.keepalive()
    pair.settle()
    pair.a.send(b"written")
    pair.a.send(b"begun", [random(1, 400)])
    pair.take(pair.a, 100)
    pair.a.send(b"queued", [b"tail"])
    with pytest.raises(LocalProtocolError):
        pair.a.undelivered()
    pair.a.close("the test is over")
    assert pair.a.undelivered() == [b"written", b"begun", b"queued"]
    assert pair.a.undelivered() == []
    pair.a.check()


@pytest.mark.row("R-40", "SE-89")
@pytest.mark.parametrize("forgetful", ["a", "b"])
def test_a_peer_that_lost_its_session_is_found_out_and_nothing_is_replayed(forgetful: str) -> None:
    pair = Pair()
    pair.a.send(b"old")
    pair.b.send(b"old")
    pair.settle()
    pair.a.send(b"never acknowledged")
    pair.cut()
    lost = pair.other(getattr(pair, forgetful))
    if forgetful == "a":
        pair.a = Session(A, B, SMALL)
    else:
        pair.b = Session(B, A, SMALL)
    fresh = getattr(pair, forgetful)
    pair.events = {pair.a: [], pair.b: []}
    fresh.send(b"new")
    pair.connect()
    pair.settle()
    assert pair.events[lost] == [Fresh()]
    assert lost.state is SessionState.CLOSED
    assert messages(pair.events[lost]) == []
    assert pair.arrived(fresh) == []
    # Both start anew, and what the new one had to say arrives.
    if forgetful == "a":
        pair.b = Session(B, A, SMALL)
        pair.events[pair.b] = []
    else:
        pair.a = Session(A, B, SMALL)
        pair.events[pair.a] = []
    pair.connect()
    pair.settle()
    assert pair.arrived(pair.other(fresh)) == [(b"new", b"")]


def test_a_new_session_steps_back_from_a_connection_of_an_old_one() -> None:
    pair = Pair()
    pair.settle()
    pair.cut()
    pair.a = Session(A, B, SMALL)
    pair.events = {pair.a: [], pair.b: []}
    pair.connect()
    pair.take(pair.b)
    assert pair.deliver(pair.a) == [Stale()]
    assert pair.a.state is SessionState.DETACHED
    # Even so it says which session it is, so that the peer learns that its own is over.
    pair.take(pair.a)
    assert pair.deliver(pair.b) == [Fresh()]


@pytest.mark.row("SE-20", "SE-89")
def test_another_credential_cannot_resume_a_session() -> None:
    session = Session(A, B, SMALL)
    options = {"dialer": True, "now": 0.0}
    session.attach(None, None, False, session_id=random(1, 16), credential=b"cluster 1", **options)
    session.detach(1.0)
    with pytest.raises(RemoteProtocolError, match="another key"):
        session.attach(None, None, False, session_id=random(2, 16), credential=b"3 8", **options)
    assert session.state is SessionState.DETACHED
    session.attach(None, None, False, session_id=random(3, 16), credential=b"cluster 1", **options)


def test_states_change_by_the_table_only() -> None:
    targets = set(SessionState)
    assert set(TRANSITIONS.values()) <= targets
    session = Session(A, B, SMALL)
    session.close("at once")
    with pytest.raises(LocalProtocolError, match="closed can't attach"):
        session.attach(None, None, False, dialer=True, session_id=random(1, 16), now=0.0)
    session.detach(0.0)
    assert session.take() == []
    assert session.received(0, 0.0) == []
    assert (SessionState.CLOSED, Cause.ATTACH) not in TRANSITIONS
    assert "at once" in session.story()


def test_tags_need_keys_and_a_session_id_needs_randomness() -> None:
    session = Session(A, B, SMALL)
    with pytest.raises(LocalProtocolError, match="both keys"):
        session.attach(None, None, True, dialer=True, session_id=random(1, 16), now=0.0)
    with pytest.raises(LocalProtocolError, match="session id"):
        session.attach(None, None, False, dialer=True, session_id=bytes(16), now=0.0)
    assert session.state is SessionState.NEW


def test_the_buffer_is_never_empty_however_reads_fall() -> None:
    key = MacKey(b"k")
    limits = wire.body_limits(FULL)
    data = b"".join(
        b"".join(wire.encode(key, number, wire.MESSAGE, 0, 0, 0, [random(number, 60_000)]))
        for number in range(20)
    )
    for size in (1009, 65_000, 262_144):
        reader = FrameReader(key, limits, lambda *_: None)
        bodies = []
        rest = data
        while rest:
            buffer = reader.get_buffer()
            assert len(buffer) > 0
            count = min(size, len(buffer), len(rest))
            buffer[:count] = rest[:count]
            rest = rest[count:]
            bodies += [bytes(frame[4]) for frame in reader.advance(count)]
        assert bodies == [random(number, 60_000) for number in range(20)]


def test_reads_stay_short_while_a_long_message_is_under_way() -> None:
    pair = Pair(FULL)
    pair.settle()
    assert len(pair.b.get_buffer()) == wire.RECEIVE_BYTES
    pair.a.send(b"head", [bytes(3 * MIB)])
    read(pair.b, b"".join(pair.a.take()))
    assert len(pair.b.get_buffer()) == wire.BULK_WINDOW_BYTES


def test_shrunk_limits_of_one_side_only_are_a_violation_and_no_crash() -> None:
    pair = Pair()
    pair.settle()
    pair.a._outbox._limits = replace(SMALL, slice_bytes=128)
    pair.a.send(b"head", [bytes(1000)])
    pair.settle()
    assert pair.b.state is SessionState.CLOSED
