"""What the shared tuples of a pickle would cost to hash is told before it is read."""

from __future__ import annotations

import pickle
import random
import time
from typing import Any

import pytest

from dispycos import sharing
from dispycos.errors import LoadError
from dispycos.gateways import dumps, loads


def shared(levels: int, width: int = 2, base: Any = ()) -> Any:
    value = base
    for _ in range(levels):
        value = (value,) * width
    return value


def as_set(value: Any) -> bytes:
    """Of a set with this element, which nobody could make."""
    inside = pickle.dumps(value, 5)
    assert inside[2:3] == b"\x95" or len(inside) < 16
    body = inside[11:-1] if inside[2:3] == b"\x95" else inside[2:-1]
    return b"\x80\x05\x8f(" + body + b"\x90."


def as_key(value: Any) -> bytes:
    return as_set(value).replace(b"\x8f(", b"}", 1)[:-2] + b"Ns."


def as_frozenset(value: Any) -> bytes:
    return as_set(value).replace(b"\x8f(", b"(", 1)[:-2] + b"\x91."


@pytest.mark.row("EX-09")
@pytest.mark.parametrize("made", [as_set, as_key, as_frozenset])
@pytest.mark.parametrize(
    "value",
    [
        shared(200),
        shared(60, 3),
        shared(4, 1000),
        shared(40, 2, (1, "x")),
        ("x", [shared(1)], shared(50)),
    ],
    ids=["deep", "wide", "wider", "of something", "inside"],
)
def test_what_would_take_for_ever_to_hash_is_refused_at_once(made, value):
    data = made(value)
    began = time.monotonic()
    with pytest.raises(LoadError, match="take for ever to hash"):
        sharing.check(data)
    with pytest.raises(LoadError, match="take for ever to hash"):
        loads(data)
    assert time.monotonic() - began < 1


@pytest.mark.row("EX-09")
def test_it_can_t_be_hidden():
    deep = as_set(shared(100))
    for data in (
        deep.replace(b"\x90.", b"\x90N0."),
        deep.replace(b"\x80\x05", b"\x80\x05N0(1\x8c\x03abc0"),
        deep.replace(b"\x80\x05", b"\x80\x05X\x04\x00\x00\x00.\x90..0"),
        # The same by other instructions: what is doubled, and what is remembered by number.
        b"\x80\x05\x8f()" + b"2\x86" * 100 + b"\x90.",
        b"\x80\x05\x8f()" + b"q\x00h\x00\x86" * 100 + b"\x90.",
        b"\x80\x05\x8f()" + b"r\x00\x00\x00\x00j\x00\x00\x00\x00\x86" * 100 + b"\x90.",
        b"\x80\x05\x8f()" + b"p0\ng0\n\x86" * 100 + b"\x90.",
        b"\x80\x05()" + b"(22tt" * 2 + b"2\x86" * 100 + b"Nd.",
    ):
        with pytest.raises(LoadError, match="take for ever to hash"):
            sharing.check(data)
    # By instructions that nobody sends.
    with pytest.raises(LoadError, match="not those of a value"):
        sharing.check(b"\x80\x05\x8f()Pa\n0" + b"2\x86" * 100 + b"\x90.")


@pytest.mark.row("EX-09")
def test_what_is_shared_as_it_should_be_is_read():
    point = (1, "a", (2.0, b"b"))
    values = [
        [point] * 1000,
        {point: 1, (point, point): [point]},
        {frozenset({point, (point,)}), (point, point)},
        [{"name": str(n), "at": (n, "x")} for n in range(2000)],
        {(n % 7, "x" * 300): n for n in range(100)},
        [("x" * 1000, b"y" * 70_000, 10**400, -5, 3.5, None, True)] * 20,
        {(str(n), point) for n in range(2000)},
        bytearray(1000),
    ]
    for value in values:
        assert loads(dumps(value)) == value
    assert len(loads(dumps(shared(200)))) == 2  # in no set


@pytest.mark.row("EX-09")
def test_it_finds_its_way_through_whatever_is_sent():
    """The instructions are followed to the same end as pickle finds, for values of all kinds."""
    chance = random.Random(5)

    def made(depth: int) -> Any:
        kind = chance.randrange(9 if depth else 6)
        inside = [made(depth - 1) for _ in range(chance.randrange(5))] if kind > 5 else []
        if kind > 5 and inside:
            inside.append(inside[0])
        match kind:
            case 0:
                return chance.choice([None, True, False])
            case 1:
                return chance.choice([0, 255, 256, 65_535, 65_536, -1, 2**31, 2**80, -(2**3000)])
            case 2:
                return chance.random()
            case 3:
                return "ä" * chance.choice([0, 1, 5, 127, 128, 300])
            case 4:
                return bytes(chance.choice([0, 1, 255, 256, 70_000]))
            case 5:
                return bytearray(3)
            case 6:
                return inside
            case 7:
                return tuple(inside)
            case _:
                return dict(enumerate(inside))

    for _ in range(200):
        data = pickle.dumps(made(4), 5)
        followed = sharing._Followed(memoryview(data))
        followed.to_the_end()
        assert followed._place == len(data) - 1
        assert len(followed._stack) == 1
        sharing.check(data)


@pytest.mark.row("EX-09")
def test_damaged_bytes_are_left_to_their_reader():
    data = dumps([(1, 2, "x")] * 3 + [{(1, 2): (3,)}] * 3)
    for place in range(2, len(data)):
        sharing.check(data[:place])
        with pytest.raises(LoadError):
            loads(data[:place])
