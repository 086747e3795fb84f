"""Room: memory that is filled first and is a `bytes` then, without a copy."""

from __future__ import annotations

import gc
import sys

import pytest

from dispycos.config import MIB
from dispycos.room import room, whole

pytestmark = pytest.mark.skipif(sys.implementation.name != "cpython", reason="elsewhere it is copied")


@pytest.mark.parametrize("size", [MIB, 3 * MIB + 1, 17 * MIB + 4097])
def test_what_fills_all_of_it_is_its_bytes(size: int) -> None:
    view = memoryview(room(size))
    assert view.nbytes == size and not view.readonly and view.format == "B"
    view[:3], view[-3:] = b"abc", b"xyz"
    found = whole(view)
    assert type(found) is bytes and len(found) == size
    assert found[:4] == b"abc\0" and found[-4:] == b"\0xyz"
    # However it is looked at, and however often.
    assert whole(view.toreadonly()) is whole(view[:]) is found


def test_it_lives_as_long_as_anybody_has_it() -> None:
    view = memoryview(room(MIB))
    view[:] = b"x" * MIB
    found = whole(view)
    before = hash(found)
    del view
    gc.collect()
    assert found == b"x" * MIB and hash(found) == before
    view = memoryview(room(MIB))
    gc.collect()
    view[:] = b"y" * MIB
    assert whole(view)[:2] == b"yy" and found[:2] == b"xx"


def test_a_part_of_it_and_small_room_are_copied() -> None:
    view = memoryview(room(2 * MIB))
    part = whole(view[1:])
    view[1] = 7
    assert part[0] == 0 and whole(view)[1] == 7
    small = memoryview(room(10))
    assert whole(small) == bytes(10) and type(small.obj) is bytearray
    assert whole(b"abc") == whole(bytearray(b"abc")) == b"abc"


def test_there_is_no_room_for_more_than_there_is() -> None:
    with pytest.raises(MemoryError):
        room(1 << 60)
