"""Plain values as bytes: what is one, and what bytes can make."""

from __future__ import annotations

import io
import pickle
import subprocess

import pytest

from dispycos import gateways
from dispycos.gateways import DumpError, LoadError, dump, dumps, load, loads, plain

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
        assert name in dir(gateways)
    assert gateways.DataFormatError is LoadError
    assert issubclass(gateways.TimeoutError, TimeoutError)
    assert issubclass(gateways.HostNotFound, OSError)
    assert gateways.Channel.RemoteError is gateways.RemoteError
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = gateways.nothing


def test_the_names_cost_nothing_until_they_are_used(run_python):
    source = """
import sys
import dispycos.gateways
print([name for name in sys.modules if name.startswith("dispycos.") and name != "dispycos.gateways"])
dispycos.gateways.dumps
print("dispycos.net.link" in sys.modules, "dispycos.gateways.plain" in sys.modules)
"""
    code, out, err = run_python(source)
    assert (code, out.splitlines()) == (0, ["[]", "False True"]), err
