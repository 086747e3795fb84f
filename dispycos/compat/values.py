"""serialize and deserialize: what messages are made of, and what a program puts in their place.

A program that assigns `pycos.serialize` has its messages, arguments and results made by that;
the other side uses its own `pycos.deserialize`, or unpickles what came.

Layer 7. Row CO-10.
"""

from __future__ import annotations

import pickle
import types
from collections.abc import Callable
from typing import Any

from dispycos import serial
from dispycos.pickling import values

serialize = serial.serialize
deserialize = serial.deserialize

_unpack: Callable[[bytes], Any] = pickle.loads


def use_serialize(function: Callable[[Any], bytes]) -> None:
    """Make what leaves this process with `function` from now on."""
    values.packer = None if function is serialize else lambda value: _Packed(function(value))


def use_deserialize(function: Callable[[bytes], Any]) -> None:
    """Read what another process's own `serialize` made with `function` from now on."""
    global _unpack
    _unpack = pickle.loads if function is deserialize else function


class Program(types.ModuleType):
    """The class of the modules in which a program assigns them."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "serialize":
            use_serialize(value)
        elif name == "deserialize":
            use_deserialize(value)
        super().__setattr__(name, value)


class _Packed:
    """A value as the program's own `serialize` made it."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __reduce__(self) -> tuple[Callable[[bytes], Any], tuple[bytes]]:
        return unpack, (self._data,)


def unpack(data: bytes) -> Any:
    """The value again, where it arrives."""
    return _unpack(data)
