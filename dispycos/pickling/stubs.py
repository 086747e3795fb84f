"""The words that pickles of code are made of.

A pickle names these functions; the Namespace that loads it puts its own methods in their
place, so that no pickle.load but its own rebuilds code.
"""

from __future__ import annotations

import pickle
import struct
import sys
from typing import Any

TAG = sys.implementation.cache_tag or sys.version
MAGIC = b"\x00dcode1\x00"  # no pickle begins so
HEADER = struct.Struct(">8s8s16sQ")  # magic, origin, digest of the table, its length
WHOLE = 0  # "line" under which the whole text of a file stands


def _stub(name: str) -> Any:
    def stub(*args: Any) -> Any:
        raise pickle.UnpicklingError(f"{name} is part of dispycos code and loaded by its Namespace only")

    stub.__name__ = stub.__qualname__ = name
    return stub


ref = _stub("ref")
new_function = _stub("new_function")
set_function = _stub("set_function")
new_class = _stub("new_class")
new_enum = _stub("new_enum")
set_class = _stub("set_class")
cached = _stub("cached")
dispatched = _stub("dispatched")
cell = _stub("cell")
module_named = _stub("module_named")
sentinel = _stub("sentinel")
STUBS = {"ref", "new_function", "set_function", "new_class", "new_enum", "set_class", "cached", "cell"}
STUBS |= {"dispatched", "module_named", "sentinel"}
