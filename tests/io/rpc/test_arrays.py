"""NumPy's values in services: copies, without a pickle; and in classic mode."""

from __future__ import annotations

import struct
import sys
from typing import Any

import pytest

from dispycos import rpc
from dispycos.errors import LoadError
from dispycos.objects import arrays, references
from dispycos.objects.references import Reference
from tests.arrays import ODD, PLAIN, TIMES, is_copy, numpy


class Mill(rpc.Service):
    def exposed_same(self, value: Any) -> Any:
        return value

    def exposed_mean(self, array: Any) -> Any:
        array += 1  # a copy of the caller's
        return array.mean(), array.max(), array.any()

    def exposed_read(self, array: Any) -> Any:
        return array[0]


@pytest.mark.row("RP-12")
def test_arrays_of_numbers_times_and_texts_are_copied() -> None:
    with rpc.connect_thread(remote_service=Mill) as conn:
        given = numpy.arange(6).reshape(2, 3)
        assert conn.root.mean(given) == (3.5, 6, True) and given.max() == 5
        back = conn.root.exposed_same({"in": list(PLAIN.values())})["in"]
        for found, array in zip(back, PLAIN.values(), strict=True):
            assert found is not array and is_copy(found, array)


@pytest.mark.row("RP-12")
def test_numbers_and_texts_become_pythons_own_and_times_stay_times() -> None:
    with rpc.connect_thread(remote_service=Mill) as conn:
        assert [type(number) for number in conn.root.mean(numpy.zeros(3))] == [float, float, bool]
        for value in (numpy.uint64(2**64 - 1), numpy.str_("ü"), numpy.bytes_(b"a"), numpy.complex64(1j)):
            found = conn.root.same(value)
            assert found == value and type(found) in (int, str, bytes, complex)
        for time in TIMES:
            found = conn.root.same(time)
            assert found == time and found.dtype == time.dtype and found is not time
        assert numpy.isnat(conn.root.same(numpy.datetime64("NaT", "s")))


@pytest.mark.row("RP-12", "RP-16")
def test_what_is_more_than_plain_data_stays_where_it_is() -> None:
    with rpc.connect_thread(remote_service=Mill) as conn:
        for odd in (*ODD.values(), numpy.longdouble(1) / 3, numpy.void(b"ab")):
            assert conn.root.exposed_same(odd) is odd
            with pytest.raises(TypeError):
                conn.root.read(odd)


@pytest.mark.row("RP-12")
def test_classic_mode_copies_arrays_of_all_kinds_where_it_is_told_to() -> None:
    with rpc.classic.connect_thread() as conn:
        array = conn.modules.numpy.arange(3)
        assert isinstance(array, rpc.BaseNetref) and (array + 1)[2] == 3
        there = conn.deliver(numpy.zeros(9000))
        there[0] = 5
        assert there[0] == 5
        for given in {**PLAIN, **ODD}.values():
            assert is_copy(rpc.classic.obtain(conn.deliver(given)), given)


@pytest.mark.row("GN-05")
@pytest.mark.parametrize(
    "parts",
    [
        ("|O", (1,), b"\1" * 8),
        ("O8", (1,), b"\1" * 8),
        ("<i8,<i8", (1,), b"\1" * 16),
        ("V8", (1,), b"\1" * 8),
        ("<U0", (10**18,), b""),
        ("<i8", (10**9,), b"\1" * 8),
        ("<i8", (-1, -1), b"\1" * 8),
        ("<i8", (True,), b"\1" * 8),
        ("<i8", [1], b"\1" * 8),
        ("<i8", (1,), "12345678"),
        ("<i3", (1,), b"\1" * 3),
        ("<M8[xy]", (1,), b"\1" * 8),
        ("<M8[s]", None, b"\1" * 7),
        ("<i8", None, b"\1" * 8),
        ("", None, b""),
        ("<f16", (1,), b"\1" * 16),
        ("<c32", (1,), b"\1" * 32),
        ("<i8", (1,) * 100, b"\1" * 8),
        None,
    ],
)
def test_an_array_of_another_form_is_refused(parts) -> None:
    with pytest.raises(LoadError):
        arrays.made_of(parts)


@pytest.mark.row("RP-12")
def test_an_array_needs_numpy_where_it_comes(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(LoadError, match=r"array\.tolist"):
        arrays.made_of(("<f8", (1,), struct.pack("<d", 1)))
    assert arrays.plain_of(1) is None and arrays.parts_of([1]) is None


@pytest.mark.row("GN-05")
def test_an_array_that_is_named_again_is_the_same_and_costs_nothing_more() -> None:
    with rpc.connect_thread(remote_service=Mill) as conn:
        given = numpy.zeros(1 << 20, "u1")
        back = conn.root.same([given] * 300)
        assert len(back) == 300 and all(one is back[0] for one in back)


@pytest.mark.row("GN-05")
def test_bytes_of_one_array_make_no_second_one() -> None:
    parts = ("|u1", (100,), bytes(100))
    first, second = (Reference(parts, references._OF_ARRAYS) for _ in range(2))
    settle = references.Settling(lambda number, shape: None, lambda number: None)
    with pytest.raises(LoadError, match="the bytes of one array came for another one"):
        settle([first, second])
    small = [Reference(("|u1", (1,), b"a"), references._OF_ARRAYS) for _ in range(2)]
    one, other = references.Settling(lambda number, shape: None, lambda number: None)(small)
    assert one is not other


@pytest.mark.row("GN-05")
@pytest.mark.parametrize("parts", [("<U1", (1,), b"\xff" * 4), ("<M8[0s]", (1,), b"\1" * 8)], ids=str)
def test_arrays_that_could_not_be_printed_are_refused(parts: Any) -> None:
    with pytest.raises(LoadError):
        arrays.made_of(parts)
