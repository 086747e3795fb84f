"""NumPy's values between two ends: copies, made of bytes that can be nothing but numbers.

A number or text becomes Python's own. A time keeps its type, an array its type and shape; who
receives one needs NumPy. Long doubles differ between machines, arrays of objects or of fields and
subclasses of arrays are no plain data: they stay where they are.
NumPy is not imported before a program has it, or one of these comes.
"""

from __future__ import annotations

import importlib
import math
import re
import sys
from typing import Any, Final

from dispycos.errors import LoadError

PLAIN: Final = (bool, int, float, complex, str, bytes)  # what a number or text becomes

# How NumPy writes a type: truth values, integers, floats, complex numbers, times, bytes and texts.
_TYPE: Final = re.compile(
    r"[<>|]([biumMSU][1-9][0-9]{0,8}|f[248]|c8|c16)(\[([1-9][0-9]{0,7})?[A-Za-z]{1,3}\])?"
)
# Kinds of types.
_PLAIN: Final = "biufcSU"
_TIMES: Final = "mM"


def plain_of(value: Any) -> Any:
    """A number or text of NumPy's as Python's own; None if it is none, or would lose digits."""
    numpy: Any = sys.modules.get("numpy")
    generic: Any = getattr(numpy, "generic", ())
    # Not times, which are numbers of something.
    if not isinstance(value, generic) or value.dtype.kind not in _PLAIN:
        return None
    found = value.item()
    return found if type(found) in PLAIN else None


def parts_of(value: Any) -> tuple[str, tuple[int, ...] | None, bytes] | None:
    """The type, shape and bytes of an array; None if it is none, or holds more than plain data.

    A time has no shape.
    """
    numpy: Any = sys.modules.get("numpy")
    if numpy is None or type(value) not in (numpy.ndarray, numpy.datetime64, numpy.timedelta64):
        return None
    kind = value.dtype.str
    shape = value.shape if type(value) is numpy.ndarray else None
    return (kind, shape, value.tobytes()) if _TYPE.fullmatch(kind) else None


def made_of(parts: Any) -> Any:
    """An array, which may be written, or a time.

    LoadError for parts of another form, or where there is no NumPy.
    """
    if type(parts) is not tuple or len(parts) != 3 or (type(parts[0]), type(parts[2])) != (str, bytes):
        raise LoadError("an array of another form than this end knows")
    kind, shape, data = parts
    if shape is None and kind[1:2] in _TIMES:
        return made_of((kind, (), data))[()]
    if (
        type(shape) is not tuple
        or not _TYPE.fullmatch(kind)
        or not all(type(size) is int and size >= 0 for size in shape)
    ):
        raise LoadError("an array of another type or shape than this end knows")
    try:
        numpy = importlib.import_module("numpy")
    except ImportError:
        raise LoadError("an array came: install numpy here, or send array.tolist()") from None
    try:
        held = numpy.dtype(kind)
        if math.prod(shape) * held.itemsize != len(data):
            raise LoadError(f"an array of {math.prod(shape)} numbers came with {len(data)} bytes")
        if held.kind == "U" and data and numpy.frombuffer(data, f"{held.byteorder}u4").max() > sys.maxunicode:
            raise LoadError("an array of texts came with what is no text")
        return numpy.ndarray(shape, held, bytearray(data))
    except (TypeError, ValueError) as exc:
        raise LoadError(f"an array that NumPy does not take: {exc}") from None
