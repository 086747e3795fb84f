"""Arrays and numbers of NumPy's of every kind, and how a copy of one is told from a mistake."""

from __future__ import annotations

from typing import Any

import pytest

numpy: Any = pytest.importorskip("numpy")

_GRID: Any = numpy.arange(12).reshape(3, 4)
_LARGE: Any = numpy.arange(9000.0).reshape(90, 100)  # beside a pickle, not in it
_FIELDS: Any = numpy.array([(1, 2.5, b"")], [("x", ">i4"), ("y", "f8"), ("z", "S0")])

# Plain data: numbers, times and texts, however they lie in memory.
PLAIN: dict[str, Any] = {
    "nothing": numpy.zeros((3, 0, 2), "i4"),
    "no texts": numpy.zeros(0, "U5"),
    "empty texts": numpy.zeros(3, "S0"),
    "one number": numpy.array(5.5),
    "one time": numpy.array("2020-01-01", "M8[D]"),
    "columns first": numpy.asfortranarray(_GRID),
    "columns first, large": numpy.asfortranarray(_LARGE),
    "backwards": _GRID[::-1, ::-2],
    "backwards, large": _LARGE[:, ::-1],
    "every third": numpy.arange(20)[::3],
    "repeated": numpy.broadcast_to(numpy.arange(3), (4, 3)),
    "swapped": numpy.arange(5, dtype=">c16"),
    "swapped, large": _LARGE.astype(">f4"),
    "swapped texts": numpy.array(["ab", "ü"], ">U4"),
    "swapped times": numpy.array(["2020-01-01", "NaT"], ">M8[s]"),
    "nanoseconds": numpy.array([1, -1], "m8[25ns]"),
    "truths": numpy.array([True, False]),
    "bytes": numpy.array([b"a\0b", b""]),
}
# All others.
ODD: dict[str, Any] = {
    "long double": numpy.array([1, 3], numpy.longdouble) / 3,
    "fields": _FIELDS,
    "texts without length": _FIELDS["z"],
    "fields, large": numpy.zeros(4000, "i4,f8"),
    "records": numpy.rec.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
    "objects": numpy.array([{}, [1], None, "x"], object),
    "one object": numpy.array({"a": 1}, object),
    "masked": numpy.ma.array([1, 2, 3], mask=[0, 1, 0], fill_value=9),
    "masked, large": numpy.ma.masked_less(_LARGE, 5),
    "memory": numpy.zeros(3, "V5"),
}
TIMES: tuple[Any, ...] = (
    numpy.datetime64("2020-01-01"),
    numpy.datetime64(5, "ns"),
    numpy.timedelta64(-7, "s"),
)


def is_copy(found: Any, given: Any) -> bool:
    """Whether it has the same type, shape and values, and may be written."""
    assert type(found) is type(given)
    assert found.shape == given.shape
    # A pickle of NumPy's own turns times around.
    assert found.dtype == given.dtype or (found.dtype.kind, found.dtype.newbyteorder()) == ("M", given.dtype)
    assert numpy.array_equal(numpy.ma.getmaskarray(found), numpy.ma.getmaskarray(given))
    if found.dtype.kind in "fcM":
        assert numpy.array_equal(found, given, equal_nan=True)
    else:
        assert found.tolist() == given.tolist()
    return bool(found.flags.writeable)
