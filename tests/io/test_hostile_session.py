"""An endpoint under attack after the proof: by who holds the key, and by who changes frames.

The first violation ends the session and nothing else; memory and time that a peer may take
stay bounded, and what it sends is never loaded (SECURITY, sections 9 and 10).
"""

import dataclasses
import enum
import itertools
import os
import pickle
import socket
import time
import types
import typing
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import msgpack
import pytest

from dispycos.config import MIB
from dispycos.errors import LocalProtocolError
from dispycos.events import DialFailed, PeerBack, PeerGone, PeerSuspect, PeerUp
from dispycos.messages import NUMBERS, CancelTask, Deliver, Goodbye, Introduction, Recalled
from dispycos.model import CodeHash, Incarnation, Location, Payload, Role
from dispycos.net import frame as wire
from dispycos.net.auth import PROOF, Failed, Proven
from dispycos.net.codec import encode
from dispycos.net.hello import HELLO
from dispycos.peers import Peers
from tests.helpers import wait_until
from tests.io.hostile import (
    EVERYONE,
    LIMITS,
    K,
    Party,
    Player,
    Trap,
    exchange,
    flipped,
    meet,
    peak_bytes,
    reset_peak,
    traced_bytes,
    unharmed,
)

pytestmark = pytest.mark.usefixtures("clean_log")


@pytest.mark.row("SE-80")
def test_no_flipped_byte_of_a_session_changes_a_value(one, other):
    """One bit in each byte that a dialer sends: each session fails or waits, none brings another value."""
    with Player(one.location, K, tags=True) as player:
        whole = len(recite(player))
        wait_until(lambda: one.numbers()[-3:] == [1, 2, 3], 5)
    wait_until(lambda: player.incarnation not in one.known, 5, "the end of a session by its last frame")
    with unharmed(one, other):
        one.heard.clear()
        for place in range(whole):

            def change(offset: int, data: bytes, place: int = place) -> bytes:
                if offset <= place < offset + len(data):
                    return flipped(data, 8 * (place - offset) + place % 8)
                return data

            with Player(one.location, K, tags=True, change=change) as player:
                recite(player)
                player.sock.shutdown(socket.SHUT_WR)
                player.ended()
        wait_until(one.at_rest, 5)
        assert set(one.numbers()) <= {1, 2, 3}
        assert {message.value.data for message in one.heard} <= {b"value"}
        one.forget(*one.known - {other.endpoint.incarnation})


def recite(player: Player) -> bytes:
    """A short session: three messages, and its end. What was sent, handshake and all."""
    if not isinstance(player.prove(), Proven):
        return b""
    said = player.attach() + player.introduction()
    said += b"".join(player.says(Deliver(number, Payload(b"value"))) for number in (1, 2, 3))
    said += player.frame(wire.CLOSE)
    player.send(said)
    return bytes(HELLO.size + PROOF.size) + said


@pytest.mark.row("SE-81")
@pytest.mark.parametrize("what", ["doubled", "swapped", "dropped", "turned round", "from another connection"])
def test_frames_that_are_not_where_they_belong_end_the_session(one, other, what):
    with unharmed(one, other), Player(one.location, K, tags=True) as player:
        player.open()
        wait_until(lambda: one.saw(PeerUp, player.incarnation), 5)
        first, second, third = (player.says(Deliver(n, Payload(b"x"))) for n in (91, 92, 93))
        if what == "doubled":
            player.send(first + first + second)
        elif what == "swapped":
            player.send(second + first + third)
        elif what == "dropped":
            player.send(first + third)
        elif what == "turned round":
            player.read(1)
            player.send(player.got[HELLO.size + PROOF.size :] + player.read(16 + wire.HEADER_BYTES + 31))
        else:
            with Player(one.location, K, tags=True) as stranger:
                stranger.open()
                player.send(stranger.says(Deliver(94, Payload(b"x"))))
                player.ended()
                one.forget(stranger.incarnation)
        player.ended()
        wait_until(lambda: one.saw(PeerGone, player.incarnation), 5)
        assert [n for n in one.numbers() if 90 < n < 95] in ([], [91])


# Holders of the key: what they send after the proof.


@pytest.fixture
def player(one, other) -> Iterator[Callable[..., Player]]:
    """Makes peers with open sessions, under attack of which `one` and `other` stay unharmed."""
    with unharmed(one, other), ExitStack() as held:

        def make(**options: Any) -> Player:
            player = held.enter_context(Player(one.location, K, **options)).open()
            wait_until(lambda: one.saw(PeerUp, player.incarnation), 5)
            return player

        yield make


def lost(one: Party, player: Player, because: str = "") -> None:
    """Its session is over, and it was told nothing but the end of the connection."""
    player.ended()
    wait_until(lambda: one.saw(PeerGone, player.incarnation), 5)
    assert because in one.saw(PeerGone, player.incarnation)[0].reason
    wait_until(lambda: player.incarnation not in one.known, 5)


def header(length: int, kind: int, *, flags: int = 0, word: int = 0, seq: int = 0, ack: int = 0) -> bytes:
    return wire.HEADER.pack(length, kind, flags, word, seq, ack)


LONGEST = {kind: size for kind, size in enumerate(wire.body_limits(LIMITS)) if size >= 0}


@pytest.mark.row("SE-78", "SE-18")
@pytest.mark.parametrize("tags", [True, False], ids=["tags", "no tags"])
def test_a_length_over_its_limit_takes_no_memory(one, player, tags):
    before = reset_peak()
    for kind, longest in LONGEST.items():
        for length in (longest + 1, 1 << 31, (1 << 32) - 1):
            hostile = player(tags=tags)
            hostile.send(bytes(16 * tags) + header(length, kind, seq=2 * (kind >= wire.MESSAGE)))
            lost(one, hostile, "exceeds the limit of its kind")
    for size in (LIMITS.max_message_bytes, 1 << 31, 1 << 63, (1 << 64) - 1):
        hostile = player(tags=tags)
        hostile.send(hostile.begin(size))
        lost(one, hostile, "max_message_bytes")
    assert peak_bytes() - before < 32 * MIB


@pytest.mark.row("SE-78")
@pytest.mark.parametrize("kind", [wire.ATTACH, wire.MESSAGE, wire.BEGIN, wire.SLICE])
def test_a_length_of_zero_ends_the_session(one, player, kind):
    hostile = player()
    hostile.send(header(0, kind, seq=2 if kind >= wire.MESSAGE else 0))
    lost(one, hostile)


@pytest.mark.row("SE-78", "SE-79")
def test_a_long_message_takes_memory_as_it_comes_not_as_it_is_announced(one, player):
    before = reset_peak()
    for stream in (0, 1):
        hostile = player()
        hostile.send(hostile.begin(LIMITS.max_message_bytes - 1, stream=stream))
        hostile.send(hostile.slice(bytes(MIB), stream))
        assert peak_bytes() - before < 32 * MIB
        one.forget(hostile.incarnation)


@pytest.mark.row("SE-79")
def test_a_body_that_stops_short_is_given_up_with_its_connection(parties):
    one, other = parties("one", limits=replace(LIMITS, keepalive=0.2, suspect_after=1.0)), parties("other")
    meet(other, one)
    cuts = [
        lambda p: p.message(bytes(100))[:10],
        lambda p: p.message(bytes(60000))[:-1],
        lambda p: p.begin(10, bytes(MIB))[:-1],
        lambda p: p.begin(MIB) + p.slice(bytes(MIB))[:-1],
    ]
    with unharmed(one, other), ExitStack() as held:
        hostile = [held.enter_context(Player(one.location, K)).open() for _ in cuts]
        for each, cut in zip(hostile, cuts, strict=True):
            each.send(cut(each))
        for each in hostile:
            each.ended()
            wait_until(lambda each=each: one.saw(PeerSuspect, each.incarnation), 5)
            assert one.ask(lambda each=each: one.endpoint.peer(each.incarnation).connection) is None
        one.forget(*(each.incarnation for each in hostile))


@pytest.mark.row("SE-82")
@pytest.mark.parametrize("tags", [True, False], ids=["tags", "no tags"])
def test_unknown_kinds_and_flags_end_the_session(one, player, tags):
    for kind, flags in [(0, 0), (8, 0), (127, 0), (255, 0), (wire.KEEPALIVE, 1), (wire.MESSAGE, 128)]:
        hostile = player(tags=tags)
        hostile.send(bytes(16 * tags) + header(0, kind, flags=flags))
        lost(one, hostile, "unknown")


@pytest.mark.row("SE-82")
@pytest.mark.parametrize("kind", range(1, 8), ids=wire.NAMES[1:])
def test_each_kind_before_attach_ends_the_session(one, other, kind):
    with unharmed(one, other), Player(one.location, K) as hostile:
        hostile.prove()
        if kind == wire.ATTACH:
            hostile.send(hostile.frame(kind, body=bytes(32)))
        else:
            hostile.send(
                hostile.frame(kind, seq=kind >= wire.MESSAGE, body=bytes(9 * (kind >= wire.MESSAGE)))
            )
        hostile.ended()
        wait_until(lambda: hostile.incarnation not in one.known, 5)
    assert not one.saw(PeerUp, hostile.incarnation)


@pytest.mark.row("SE-82", "SE-88")
@pytest.mark.parametrize(
    "frame",
    [
        lambda p: p.attach(),
        lambda p: p.frame(wire.KEEPALIVE, seq=1),
        lambda p: p.frame(wire.ACK, word=1),
        lambda p: p.frame(wire.ACK, ack=1000),
        lambda p: p.frame(wire.KEEPALIVE, ack=(1 << 64) - 1),
        lambda p: p.frame(wire.MESSAGE, seq=1, body=b"\x90"),
        lambda p: p.frame(wire.MESSAGE, seq=3, body=b"\x90"),
        lambda p: p.frame(wire.MESSAGE, seq=(1 << 64) - 1, body=b"\x90"),
        lambda p: p.frame(wire.MESSAGE, seq=2, word=65535, body=b"\x90"),
        lambda p: p.frame(wire.SLICE, seq=2, word=0, body=b"\x90"),
        lambda p: p.frame(wire.BEGIN, seq=2, word=2, body=bytes(20)),
        lambda p: p.begin(100, stream=65535),
        lambda p: p.begin(100) + p.begin(100),
        lambda p: p.begin(100) + p.slice(bytes(101)),
        lambda p: p.begin(100) + p.slice(bytes(50), stream=1),
    ],
)
def test_frames_against_the_rules_end_the_session(one, player, frame):
    hostile = player()
    hostile.send(frame(hostile))
    lost(one, hostile, "broke the rules of the wire")


@pytest.mark.row("SE-82", "SE-19")
@pytest.mark.parametrize("message", [Deliver(1, Payload(b"x")), Goodbye("x")])
def test_any_message_before_the_introduction_ends_the_session(one, other, message):
    with unharmed(one, other), Player(one.location, K) as hostile:
        hostile.prove()
        hostile.send(hostile.attach() + hostile.says(message))
        hostile.ended()
        wait_until(lambda: hostile.incarnation not in one.known, 5)
    assert not one.saw(PeerUp, hostile.incarnation)


def deep(levels: int) -> bytes:
    return b"\x91" * levels + b"\x90"


pack = msgpack.packb

HEADS = {
    "nothing": b"",
    "nil": b"\xc0",
    "never used": b"\xc1",
    "no number": pack([]),
    "unknown number": pack([250, 1]),
    "negative number": pack([-1]),
    "depth 17": b"\x92\x02" + deep(17),
    "depth 100000": deep(100_000)[:60_000],
    "depth 600000": deep(600_000),
    "array of 2**32-1": b"\xdd\xff\xff\xff\xff",
    "text of 2**32-1": b"\xdb\xff\xff\xff\xff",
    "bytes of 2**32-1": b"\xc6\xff\xff\xff\xff",
    "map of 2**32-1": b"\xdf\xff\xff\xff\xff",
    "map": pack({"op": 1}),
    "doubled keys": b"\x82\xa1a\x01\xa1a\x02",
    "field missing": pack([2, 1, b"x"]),
    "field too many": pack([2, 1, b"x", 0, 0]),
    "bool for int": pack([2, True, b"x", 0]),
    "float for int": pack([2, 1.0, b"x", 0]),
    "2**63": pack([2, 1 << 63, b"x", 0]),
    "2**64-1": pack([2, (1 << 64) - 1, b"x", 0]),
    "negative int": pack([2, -1, b"x", 0]),
    "nan as duration": pack([6, 1, "name", 1, float("nan")]),
    "infinity as duration": pack([6, 1, "name", 1, float("inf")]),
    "int as duration": pack([6, 1, "name", 1, 1]),
    "extension": pack([2, 1, msgpack.ExtType(1, b"x"), 0]),
    "timestamp": pack([2, 1, msgpack.Timestamp(1), 0]),
    "bytes as text": pack([6, 1, b"name", 1, 1.0]),
    "text as bytes": pack([2, 1, "x", 0]),
    "no utf-8": b"\x95\x06\x01\xa2\xff\xfe\x01\xca\x00\x00\x00\x00",
    "name of 70 kB": pack([6, 1, "n" * 70_000, 1, 1.0]),
    "name of 256": pack([6, 1, "n" * 256, 1, 1.0]),
    "unknown enum": pack([6, 99, "name", 1, 1.0]),
    "10001 elements": pack([2, *range(10_001)]),
    "further bytes": pack([2, 1, b"x", 0]) + b"\x00",
    "an introduction of a role that is not": pack([1, "name", 32, None, "3", "0"]),
    "location with a name": pack([1, "n", 1, ["evil.test", 80], "3", "0"]),
    "pickle": b"\x80\x04\x95\x1d\x00\x00\x00cos\nsystem\n(S'true'\ntR.",
}


@pytest.mark.row("SE-83", "SE-23")
@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("first", [True, False], ids=["first", "later"])
def test_a_head_that_is_no_message_ends_the_session(one, other, name, first):
    with unharmed(one, other), Player(one.location, K) as hostile:
        hostile.prove()
        said = hostile.attach() + (b"" if first else hostile.introduction())
        head = HEADS[name]
        hostile.send(said + (hostile.message(head) if len(head) < 65536 else hostile.begin(0, head)))
        hostile.ended()
        wait_until(lambda: hostile.incarnation not in one.known, 5)
    assert not one.numbers()


@pytest.mark.row("SE-86", "SE-25")
@pytest.mark.parametrize(
    ("payload", "tail"),
    [
        ([0, [1] * 1025], bytes(1025)),
        ([0, [0] * 1_000_000], b""),
        ([5, [3, 4]], bytes(7)),
        ([5, [3, 4]], bytes(13)),
        ([(1 << 63) - 1, [(1 << 63) - 1]], bytes(7)),
        ([-1, [8]], bytes(7)),
        ([b"x", [7, -7, 7]], bytes(7)),
        ([b"x", [True]], bytes(1)),
        ([b"x", [1.0]], bytes(1)),
        ([b"x", []], b""),
        ([b"x", [[1]]], bytes(1)),
    ],
)
def test_buffers_that_overlap_overrun_or_are_too_many_end_the_session(one, player, payload, tail):
    hostile = player()
    head = pack([2, 5, payload, 0])
    if len(head) < 60_000:
        hostile.send(hostile.message(head, tail))
    else:
        hostile.send(hostile.begin(len(tail), head))
    lost(one, hostile, "broke the rules of the wire")
    assert 5 not in one.numbers()


# What a holder of the key says within the rules of the wire, to harm.


class Canary:
    """Unpickling it makes a file."""

    def __init__(self, path: os.PathLike[str]) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (open, (str(self.path), "w"))


def filled(hint: Any, poison: bytes) -> Any:
    """A value of that type with the poison in each place that could hold it."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return filled(inner[0], poison)
    if origin is list:
        return [filled(inner[0], poison)]
    if hint in (Incarnation, CodeHash):
        return poison[:16].ljust(16, b"!")
    if hint is Location:
        return Location("127.0.0.1", 9)
    if hint is Payload:
        return Payload(poison, (poison * 10,))
    if hint is str:
        return poison.decode("latin-1")
    if hint is bytes:
        return poison
    if dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        return hint(**{item.name: filled(hints[item.name], poison) for item in dataclasses.fields(hint)})
    return next(iter(hint)) if issubclass(hint, enum.Enum) else hint(1)


@pytest.mark.row("SE-84", "SE-24")
def test_a_pickle_in_any_field_of_any_message_is_never_loaded(parties, one, other, tmp_path):
    canary = tmp_path / "canary"
    poison = pickle.dumps(Canary(canary), 5)
    heard: list[Any] = []
    for kind in NUMBERS.values():
        if kind not in (Deliver, Introduction, Goodbye):
            one.endpoint.handle(kind, lambda _peer, message: heard.append(message), who=EVERYONE)
    said = [filled(kind, poison) for kind in NUMBERS.values() if kind not in (Deliver, Introduction, Goodbye)]
    with unharmed(one, other):
        with Player(one.location, K) as player:
            player.open(name=poison.decode("latin-1"))
            for message in said:
                player.send(player.says(message))
            player.send(player.says(filled(Deliver, poison)))
            wait_until(lambda: len(heard) == len(said) and 1 in one.numbers(), 5)
            player.send(player.says(filled(Goodbye, poison)))
            lost(one, player)
        for first in (poison, pickle.dumps(Canary(canary), 0)):
            with Player(one.location, K) as player:
                player.prove()
                player.send(player.attach() + player.message(first))
                player.ended()
            with Player(one.location, K) as player:
                player.prove()
                player.send(first)
                player.sock.shutdown(socket.SHUT_WR)
                player.ended()
    assert not canary.exists()


@pytest.mark.row("SE-87", "SE-19", "SE-82")
@pytest.mark.parametrize("role", [Role.CLIENT, Role.NODE, Role.SERVER, Role.SCHEDULER, Role.PEER])
def test_what_is_not_for_this_role_to_say_ends_the_session(one, other, role):
    """Of each message that somebody else may say here, and of those that nobody may."""
    kinds = [kind for kind in NUMBERS.values() if kind not in (Deliver, Introduction, Goodbye)]
    for kind in kinds[: len(kinds) // 2]:
        one.endpoint.handle(kind, lambda _peer, _message: pytest.fail("handled"), who=EVERYONE & ~role)
    with unharmed(one, other):
        for kind in kinds:
            with Player(one.location, K, roles=role) as player:
                player.open()
                player.send(player.says(filled(kind, b"x")))
                lost(one, player, f"said {kind.__name__}, which is not for")


def frames(heads: list[bytes], first: int = 2) -> bytes:
    """Messages without tags, one after the other."""
    return b"".join(
        header(len(head), wire.MESSAGE, word=len(head), seq=seq) + head
        for seq, head in enumerate(heads, first)
    )


@pytest.mark.row("SE-88")
def test_a_million_tiny_frames_delay_nobody_for_long(one, other, player):
    hostile = player()
    burst = header(0, wire.KEEPALIVE) * 50_000
    took = []
    for _ in range(20):
        hostile.send(burst)
        begun = time.monotonic()
        exchange(one, other)
        took.append(time.monotonic() - begun)
    # Half of them: a busy machine delays some, what waits behind the frames is delayed each time.
    assert sorted(took)[10] < 2
    hostile.close()
    one.forget(hostile.incarnation)


@pytest.mark.row("SE-88")
def test_a_hundred_thousand_cancels_of_tasks_that_nobody_has_leave_nothing(one, other, player):
    cancelled = itertools.count(1)
    last = [0]

    def cancel(_peer: Incarnation, _message: CancelTask) -> None:
        last[0] = next(cancelled)

    one.endpoint.handle(CancelTask, cancel, who=Role.CLIENT)
    heads = [encode(CancelTask(number, 1, 3, 1.0, "no"))[0] for number in range(10_000)]
    hostile = player()
    before = reset_peak()
    for turn in range(10):
        hostile.send(frames(heads, first=2 + turn * len(heads)))
        exchange(one, other)
    wait_until(lambda: last[0] == 100_000, 20)
    assert peak_bytes() - before < 16 * MIB
    one.forget(hostile.incarnation)


@pytest.mark.row("SE-88")
def test_many_streams_are_two_at_most(one, player):
    for stream in (2, 3, 4095, 65535):
        hostile = player()
        hostile.send(hostile.begin(100, stream=0) + hostile.begin(100, stream=1))
        hostile.send(hostile.begin(100, stream=stream))
        lost(one, hostile, "in use or unknown")


SMALL_QUEUE = replace(LIMITS, max_queued_bytes=MIB)


@pytest.mark.row("SE-88", "SE-18")
def test_who_never_reads_is_lost_and_nobody_else_is(parties, caplog):
    """Messages of an honest peer make us say more and more to one that takes nothing."""
    one = parties("one", limits=SMALL_QUEUE)
    other = parties("other")
    meet(other, one)
    with Player(one.location, K) as hostile:
        hostile.open()
        wait_until(lambda: one.saw(PeerUp, hostile.incarnation), 5)
        data = os.urandom(100_000)
        greedy = hostile.incarnation
        one.endpoint.handle(
            Recalled,
            lambda _peer, _message: one.endpoint.say(greedy, Deliver(1, Payload(data))),
            who=EVERYONE,
        )
        with unharmed(one, other):
            for _ in range(300):
                other.endpoint.say(one.endpoint.incarnation, Recalled([1]))
            wait_until(lambda: one.saw(PeerGone, greedy), 5)
    assert "does not take" in one.saw(PeerGone, greedy)[0].reason


@pytest.mark.row("SE-88")
def test_who_reads_but_acknowledges_nothing_costs_a_window_and_a_queue(parties):
    one = parties("one", limits=replace(SMALL_QUEUE, max_unacked_bytes=MIB))
    with Player(one.location, K) as hostile:
        hostile.open()
        wait_until(lambda: one.saw(PeerUp, hostile.incarnation), 5)
        data = os.urandom(50_000)

        def say_all() -> None:
            with pytest.raises(LocalProtocolError, match="max_queued_bytes"):
                for _ in range(1000):
                    one.endpoint.say(hostile.incarnation, Deliver(1, Payload(data)))

        say_all()
        session = one.endpoint.peer(hostile.incarnation).session
        assert session.unacked_bytes + session.queued_bytes < 4 * MIB
        assert not session.has_room
        one.forget(hostile.incarnation)
        hostile.ended()


@pytest.mark.row("SE-89", "SE-20")
@pytest.mark.parametrize(
    "attach",
    [
        lambda p, earlier, half: p.attach(half=half, theirs=os.urandom(16)),
        lambda p, earlier, half: p.attach(half=half, theirs=earlier, ack=1000),
        lambda p, earlier, half: p.attach(half=half, theirs=earlier, ack=0) + p.attach(),
        lambda p, earlier, half: p.attach(half=os.urandom(16), theirs=earlier),
        lambda p, earlier, half: p.attach(half=bytes(16), theirs=earlier),
    ],
    ids=["a session of others", "frames never sent", "twice", "another session of ours", "no session"],
)
def test_a_resume_that_does_not_fit_ends_that_session_only(one, other, attach):
    with unharmed(one, other):
        with Player(one.location, K) as first:
            first.open()
            wait_until(lambda: one.saw(PeerUp, first.incarnation), 5)
            ours = one.endpoint.peer(first.incarnation).session._our_half
        wait_until(lambda: one.saw(PeerSuspect, first.incarnation), 5)
        with Player(one.location, K, incarnation=first.incarnation) as second:
            second.prove()
            second.send(attach(second, ours, first.half))
            lost(one, second)


@pytest.mark.row("SE-89", "R-40")
def test_an_honest_resume_goes_on_and_repeats_nothing(one, other):
    with unharmed(one, other):
        with Player(one.location, K) as first:
            first.open()
            first.send(first.says(Deliver(71, Payload(b"x"))))
            wait_until(lambda: 71 in one.numbers(), 5)
            ours = one.endpoint.peer(first.incarnation).session._our_half
        wait_until(lambda: one.saw(PeerSuspect, first.incarnation), 5)
        with Player(one.location, K, incarnation=first.incarnation) as second:
            second.prove()
            second.seq = first.seq
            second.send(second.attach(half=first.half, theirs=ours) + second.says(Deliver(72, Payload(b"x"))))
            wait_until(lambda: 72 in one.numbers(), 5)
        one.forget(first.incarnation)
    assert one.saw(PeerBack, first.incarnation)
    assert [number for number in one.numbers() if number in (71, 72)] == [71, 72]


@pytest.mark.row("SE-18")
@pytest.mark.parametrize("longest", [0, 1, 1000, MIB - 1])
def test_who_takes_no_message_gets_no_session(one, other, longest):
    with unharmed(one, other), Player(one.location, K, max_message_bytes=longest) as player:
        assert isinstance(player.prove(), Failed)
        assert player.got == b""


@pytest.mark.row("SE-61", "SE-15")
@pytest.mark.parametrize("attached", [True, False])
def test_who_proves_the_key_and_leaves_without_a_name_is_forgotten(one, other, attached):
    with unharmed(one, other):
        for _ in range(50):
            with Player(one.location, K) as player:
                player.prove()
                if attached:
                    player.send(player.attach())
                    player.sock.shutdown(socket.SHUT_WR)
                    player.ended()
        wait_until(lambda: len(one.known) == 1, 5)
    assert len(one.events) == 1


@pytest.mark.row("SE-61")
def test_a_session_without_a_connection_holds_no_buffer(one, other, traced):
    with ExitStack() as held:
        players = [held.enter_context(Player(one.location, K)).open() for _ in range(20)]
        wait_until(lambda: len(one.saw(PeerUp)) == 21, 5)
        while_here = traced_bytes()
    wait_until(lambda: len(one.saw(PeerSuspect)) == 20, 5)
    exchange(one, other)
    assert while_here - traced_bytes() > 15 * wire.RECEIVE_BYTES
    one.forget(*(player.incarnation for player in players))


def test_a_location_that_a_server_claims_is_dialled_all_the_same(parties, one, other):
    """Else any task could cut its client off from a node, by taking the node's address."""
    third = parties("third")
    key = one.ask(lambda: one.keyring.open_reservation(7)[0])
    with Player(one.location, key, roles=Role.SERVER) as player:
        player.open(location=third.location)
        wait_until(lambda: one.saw(PeerUp, player.incarnation), 5)
        meet(one, third)
        assert one.endpoint.peer_at(third.location).incarnation == third.endpoint.incarnation
        one.forget(player.incarnation)


def test_nobody_is_found_where_a_server_says_it_is(one, other):
    """Who asks for a process by its place gets who answers there, not who claims the place."""
    key = one.ask(lambda: one.keyring.open_reservation(7)[0])
    peers = one.ask(lambda: Peers(one.endpoint))
    with socket.socket() as closed, Player(one.location, key, roles=Role.SERVER) as player:
        closed.bind(("127.0.0.1", 0))
        place = Location("127.0.0.1", closed.getsockname()[1])
        player.open(location=place)
        wait_until(lambda: one.saw(PeerUp, player.incarnation), 5)
        assert one.do(peers.reach(place)) is None
        assert one.do(peers.reach(other.location)).incarnation == other.endpoint.incarnation
        one.forget(player.incarnation)


def test_a_dial_goes_on_if_who_answers_breaks_off_before_it_says_who_it_is(one, other):
    said: list[Any] = []

    def play(sock: socket.socket) -> None:
        player = Player(sock, K, dialer=False, roles=Role.NODE)
        ended = player.prove()
        assert isinstance(ended, Proven)
        said.append(ended)
        if len(said) == 1:
            assert len(player.read(wire.HEADER_BYTES + wire.ATTACH_BYTES)) > wire.HEADER_BYTES
            player.send(player.attach() + player.message(b"\xc1"))
            player.ended()
        elif len(said) > 2:
            player.send(player.attach() + player.introduction())
            player.wait_end(5)

    with Trap(play) as trap:
        one.dial(trap.location)
        wait_until(lambda: len(one.saw(PeerUp)) == 2, 5)
        one.forget(one.saw(PeerUp)[-1].peer)
    assert one.saw(DialFailed)


@pytest.mark.row("SE-55", "SE-27")
def test_a_name_can_forge_no_line_of_the_log(one, player, caplog):
    name = "node\n2026-01-01 dispycos - all is well\x1b[2J\u202e"
    for _ in range(2):
        hostile = player()
        hostile.close()
        one.forget(hostile.incarnation)
    hostile = Player(one.location, K).open(name=name)
    with hostile:
        wait_until(lambda: one.saw(PeerUp, hostile.incarnation), 5)
        hostile.send(header(0, 99))
        lost(one, hostile)
    (line,) = [text for text in caplog.messages if "unknown kind 99" in text]
    assert line.isprintable() and "all is well" in line
    assert hostile.incarnation.hex()[:8] in line


@pytest.mark.row("SE-55")
def test_a_hundred_violations_are_one_line(one, player, caplog):
    for _ in range(100):
        hostile = player()
        hostile.send(header(0, 99))
        lost(one, hostile)
    assert len([text for text in caplog.messages if "unknown kind 99" in text]) == 1


def hang_up(sock: socket.socket) -> None:
    """Accept, say nothing, close."""


@pytest.mark.row("SE-09", "SE-22")
def test_a_server_can_not_make_a_holder_of_the_key_dial_another_host(one: Party) -> None:
    key = one.ask(lambda: one.keyring.open_reservation(7)[0])
    with Trap(hang_up, host="127.0.0.2") as stranger, Trap(hang_up) as its_own:
        for trap in (stranger, its_own):
            with Player(one.location, key, roles=Role.SERVER) as server:
                server.open(location=trap.location)
                wait_until(lambda server=server: one.saw(PeerUp, server.incarnation), 5)
        # Both are gone now; the one at the other's address would have been dialled before.
        wait_until(lambda: its_own.dials >= 2, 10)
        assert stranger.dials == 0
    one.forget(*one.known)


@pytest.mark.row("R-50")
def test_who_holds_the_cluster_s_key_is_dialled_where_he_says(one: Party) -> None:
    with Trap(hang_up, host="127.0.0.2") as there:
        with Player(one.location, K, roles=Role.NODE) as node:
            node.open(location=there.location)
            wait_until(lambda: one.saw(PeerUp, node.incarnation), 5)
        wait_until(lambda: there.dials >= 1, 10)
    one.forget(*one.known)
