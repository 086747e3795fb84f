"""Plain values as bytes: what is one, and what bytes can make."""

from __future__ import annotations

import array
import io
import pickle
import pickletools
import random
import subprocess

import pytest

from dispycos import gateways
from dispycos.gateways import DumpError, LoadError, dump, dumps, load, loads, plain
from dispycos.pickling.lone import is_lone

pytestmark = pytest.mark.row("EX-29")

VALUES = [
    None, True, False, 0, -(2**70), 1.5, float("inf"), 2j, "", "text \N{SNOWMAN} \udc80", b"", b"x" * 70_000,
    bytearray(b"y"), [], [1, [2, [3]]], (), (1,), {}, {"a": {1: (None,)}}, set(), {1, 2}, frozenset({"a"}),
]  # fmt: skip


class Mine(int):
    pass


class Odd:
    def __reduce__(self):
        return subprocess.Popen, (["true"],)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: f"{type(value).__name__}-{len(repr(value))}")
def test_a_plain_value_is_the_same_afterwards(value):
    back = loads(dumps(value))
    assert back == value and type(back) is type(value)


@pytest.mark.parametrize(
    "value",
    [Mine(3), Odd(), len, int, range(3), [object()], {"a": {1: Exception("x")}}, {Mine(1)}, (1).real.__add__],
)
def test_anything_else_is_refused_with_its_type(value):
    with pytest.raises(DumpError, match="plain values only"):
        dumps(value)


@pytest.mark.row("EX-09")
def test_of_an_array_it_is_told_what_to_send_instead():
    for value in (array.array("i", [1]), [[array.array("d")]]):
        with pytest.raises(DumpError, match=r"a array\.array: .*; send what its tolist\(\) gives"):
            dumps(value)


def test_a_value_that_is_nested_without_end_is_refused():
    value: list[object] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(DumpError, match="nested too deeply"):
        dumps(value)


def test_the_bytes_are_those_of_protocol_5_which_all_supported_pythons_have():
    for value in VALUES:
        assert pickle.loads(dumps(value)) == value
        assert dumps(value)[:2] == b"\x80\x05"


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("value", [Odd(), Mine(3), len, subprocess.Popen])
def test_bytes_that_name_anything_are_not_read(value, protocol):
    with pytest.raises(LoadError):
        loads(pickle.dumps(value, protocol))


@pytest.mark.parametrize("value", VALUES, ids=lambda value: f"{type(value).__name__}-{len(repr(value))}")
def test_damaged_bytes_are_a_load_error_or_another_plain_value(value):
    data = dumps(value)[:200]
    for place in range(len(data)):
        for damaged in (data[:place], data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :]):
            try:
                got = loads(damaged)
            except LoadError:
                continue
            dumps(got)


@pytest.mark.parametrize(
    "data", [b"", b"\x80", b"\x80\x05", b"not a pickle", b"\x80\x05.", b"\x80\x05B\xff\xff\xff\x7fx"]
)
def test_other_bytes_are_a_load_error(data):
    with pytest.raises(LoadError):
        loads(data)


def test_a_channel_means_nothing_outside_a_gateway():
    class Channel:
        pass

    data = plain.pack([Channel()], lambda value: 7 if isinstance(value, Channel) else None)
    assert plain.unpack(data, lambda number: f"channel {number}") == ["channel 7"]
    with pytest.raises(LoadError, match="no plain value"):
        loads(data)


def test_values_are_written_to_a_file_one_after_the_other():
    file = io.BytesIO()
    for value in VALUES:
        dump(file, value)
    with pytest.raises(DumpError):
        dump(file, object())
    file.seek(0)
    assert [load(file) for _ in VALUES] == VALUES
    with pytest.raises(LoadError):
        load(file)


def test_execnets_names_are_here():
    for name in gateways.__all__:
        assert getattr(gateways, name) is not None
    assert gateways.DataFormatError is LoadError
    assert issubclass(gateways.TimeoutError, TimeoutError)
    assert issubclass(gateways.HostNotFound, OSError)
    assert gateways.Channel.RemoteError is gateways.RemoteError


def test_the_names_cost_nothing_until_they_are_used(run_python):
    source = """
import sys
import dispycos.gateways
print([name for name in sys.modules if name.startswith("dispycos.") and name != "dispycos.gateways"])
dispycos.gateways.dumps
print("dispycos.net.link" in sys.modules, "dispycos.gateways.plain" in sys.modules)
"""
    code, out, err = run_python(source)
    assert (code, out.splitlines()) == (0, ["['dispycos.surface']", "False True"]), err


# Channels, by hand-made pickles. `CHANNEL` pushes what a pickle calls for one.

CHANNEL = b"\x80\x05cdispycos.gateways.plain\n_channel\n"
ONE = CHANNEL + b"K\x01\x85R"  # the channel 1


class Known:
    """Stands where a channel does, and shows what was done to it."""

    def __init__(self):
        self.number = 0


def reader():
    """What `unpack` asks for channels, and those that it answered."""
    made: dict[int, Known] = {}
    return (lambda number: made.setdefault(number, Known())), made


@pytest.mark.parametrize(
    "data",
    [
        ONE + b"}X\x06\x00\x00\x00numberK\x07sb.",  # BUILD with a dict
        ONE + b"N}X\x06\x00\x00\x00numberK\x07s\x86b.",  # BUILD with slots
        ONE + b"N}X\x05\x00\x00\x00wrongK\x07s\x86b.",
        CHANNEL + b"N}X\x08\x00\x00\x00__call__K\x07s\x86b.",  # BUILD of the word
        CHANNEL + b"}X\x08\x00\x00\x00__self__K\x07sb.",
        CHANNEL + b".",  # the word itself
        CHANNEL + b"\x85\x85.",
        CHANNEL + b"K\x00\x85R.",
        CHANNEL + b"N\x85R.",
    ],
)
def test_a_pickle_changes_no_channel_and_nothing_that_makes_one(data):
    find, made = reader()
    try:
        value = plain.unpack(data, find)
    except LoadError:
        assert not made
    else:
        assert value is made[7] and list(made) == [7] and vars(value) == {"number": 0}
    assert plain.unpack(ONE + b".", find) is made[1]


def test_tuples_that_are_shared_are_settled_once():
    find, made = reader()
    value = plain.unpack(ONE + b"\x85" + b"2\x86" * 60 + b".", find)
    for _ in range(60):
        assert value[0] is value[1]
        value = value[0]
    assert value == (made[1],)


def test_channels_take_their_places_in_every_container_and_in_what_holds_itself():
    find, made = reader()
    numbers = {id(known): number for number in (1, 2) for known in [find(number)]}
    one, two = made[1], made[2]
    held = [one]
    loop = (one, held)
    held.append(loop)
    value = [one, (two, [one]), {one: {two}, "x": frozenset({one})}, loop]
    data = plain.pack(value, lambda known: numbers.get(id(known)))
    back = plain.unpack(data, find)
    assert back[:3] == value[:3]
    assert back[3][0] is one and back[3][1][0] is one and back[3][1][1] is back[3]


def test_the_channels_in_one_value_are_bounded_at_both_ends():
    find, made = reader()
    with pytest.raises(LoadError, match="more than 10000 channels"):
        plain.unpack(b"\x80\x05](" + ONE[2:] * 10_001 + b"e.", find)
    assert not made
    with pytest.raises(DumpError, match="more than 10000 channels"):
        plain.pack([Known() for _ in range(10_001)], lambda known: 1 if type(known) is Known else None)


def test_what_is_read_without_care_can_name_nothing():
    """A lone simple value has one opcode; whatever bytes are taken for one have no other."""
    harmless = {"PROTO", "FRAME", "MEMOIZE", "STOP", "NONE", "NEWTRUE", "NEWFALSE", "BINFLOAT", "LONG1"}
    harmless |= {"BININT", "BININT1", "BININT2", "SHORT_BINUNICODE", "SHORT_BINBYTES"}
    values = [None, True, 7, 300, 70_000, -5, 1 << 90, 2.5, "", "text", b"", b"bytes"]
    whole = [plain.dumps(value) for value in values]
    assert all(map(is_lone, whole))
    dice = random.Random(29)
    taken = 0
    for _ in range(20_000):
        data = bytearray(dice.choice(whole))
        for _ in range(dice.randrange(1, 4)):
            data[dice.randrange(2, len(data))] = dice.randrange(256)
        if dice.random() < 0.5:
            data[dice.randrange(2, len(data)) : 0] = dice.choice([b"c", b"i", b"R", b"\x93", b"."])
        if not is_lone(data):
            continue
        taken += 1
        try:
            assert {opcode.name for opcode, _, _ in pickletools.genops(bytes(data))} <= harmless
        except ValueError:
            with pytest.raises(LoadError):
                plain.loads(bytes(data))
    assert taken > 1000
