"""Room for bytes to come, which becomes a `bytes` without a copy.

A `bytes` can be written to by nobody, so what is received would be copied once into one: twice
the memory, and most of the time that a large value takes. Here the `bytes` is made first, full
of zeros, and filled through its address before anyone has seen it. That is done on CPython,
whose layout of `bytes` is known; elsewhere room is a bytearray, and is copied.

No I/O but the system's memory. Layer 0.
"""

from __future__ import annotations

import contextlib
import functools
import mmap
import sys
from typing import Any, Final

from dispycos.config import MIB
from dispycos.model import Buffer

# Below it a copy is as fast as what it takes to get at an address.
_WORTH_IT: Final = MIB

# From here on the allocator asks the system for pages each time.
_FRESH: Final = 16 * MIB
_MADV_HUGEPAGE: Final = getattr(mmap, "MADV_HUGEPAGE", None)

_KNOWN: Final = sys.implementation.name == "cpython"
_BEGINS: Final = bytes.__basicsize__ - 1  # where the bytes of a `bytes` begin; after them comes a zero


class _Room:
    """Memory of a `bytes` that nobody has seen."""

    whole: bytes  # keeps it


def room(size: int) -> Buffer:
    """Memory for `size` bytes to come; a large one is taken page by page as it is filled.

    MemoryError: there is none.
    """
    if size < _WORTH_IT or not _KNOWN:
        return bytearray(size)
    whole = bytes(size)
    address = id(whole) + _BEGINS
    found = _kind(size).from_address(address)
    found.whole = whole
    if size >= _FRESH and _MADV_HUGEPAGE is not None:
        _take_large_pages(address, size)
    return memoryview(found).cast("B")


def whole(view: Buffer) -> bytes:
    """What a view holds, as `bytes`; without a copy if it is of all of a room.

    Whoever asks says that nobody writes there any more.
    """
    if type(view) is memoryview and isinstance(view.obj, _Room) and len(view.obj.whole) == view.nbytes:
        return view.obj.whole
    return bytes(view)


@functools.lru_cache(maxsize=16)
def _kind(size: int) -> Any:
    import ctypes  # by who receives what is large: many never do

    return type("_SizedRoom", (_Room, ctypes.c_ubyte * size), {})


def _take_large_pages(address: int, size: int) -> None:
    """A fault for each 2 MiB instead of each 4 KiB: filling it takes a fifth of the time."""
    import ctypes

    begin = -(-address // mmap.PAGESIZE) * mmap.PAGESIZE
    with contextlib.suppress(AttributeError):  # a C library without it
        ctypes.CDLL(None).madvise(
            ctypes.c_void_p(begin), ctypes.c_size_t(address + size - begin), _MADV_HUGEPAGE
        )
