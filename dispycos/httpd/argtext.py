"""Arguments of tasks as text, made where they are submitted and bounded in every way (MO-36).

Plain types are walked by hand, so that a list of a million items costs no more than six; arrays
are told by type and shape, bytes by their length. Only of classes of users `__str__` is called,
once, for it is theirs to say what to show; what it raises is shown instead.

Pure. Layer 2. Rows MO-36, MO-37, SE-109, SE-111.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

DEPTH = 3  # levels of containers
ITEMS = 6  # of a container
EACH = 200  # characters of one value
ALL = 2000  # characters of all arguments of a task
HIDDEN = "***"

_ARRAYS = frozenset({"numpy", "pandas", "torch", "jax", "jaxlib", "tensorflow", "polars", "xarray", "cupy"})
_PLAIN = (bool, int, float, complex, type(None))


def text(args: Sequence[Any], kwargs: Mapping[str, Any], redact: Sequence[str] = ()) -> str:
    """`(1, 'two', key=3)`, at most ALL characters.

    redact  patterns of names of keyword arguments whose values are not shown.
    """
    parts = []
    left = ALL
    for name, value in (*((None, value) for value in args), *kwargs.items()):
        if left <= 0:
            parts.append("…")
            break
        if name is None:
            part = one(value)
        elif any(fnmatch.fnmatchcase(name, pattern) for pattern in redact):
            part = f"{name}={HIDDEN}"
        else:
            part = f"{name}={one(value)}"
        parts.append(part)
        left -= len(part)
    return _cut(f"({', '.join(parts)})", ALL)


def one(value: Any, depth: int = DEPTH) -> str:
    """One value, at most EACH characters."""
    kind = type(value)
    if kind is int:
        # The decimal digits of a huge number take long to find.
        return repr(value) if value.bit_length() <= 4 * EACH else f"<int of {value.bit_length():,} bits>"
    if kind in _PLAIN:
        return repr(value)
    if kind is str:
        return _cut(repr(value[:EACH]) if len(value) <= EACH else f"{value[:EACH]!r}…", EACH)
    if kind in (bytes, bytearray, memoryview):
        size = value.nbytes if kind is memoryview else len(value)
        return f"<{kind.__name__} of {size:,} bytes>"
    if kind in (list, tuple, set, frozenset, dict):
        return _cut(_container(value, kind, depth), EACH)
    shape = _shape(kind)
    if shape is not None:
        return _cut(f"<{kind.__name__} {_safely(lambda: shape(value), kind)}>", EACH)
    return _cut(_safely(lambda: str(value), kind), EACH)


def _container(value: Any, kind: type, depth: int) -> str:
    if depth <= 0:
        return f"<{kind.__name__} of {len(value):,}>"
    more = ", …" if len(value) > ITEMS else ""
    if kind is dict:
        first = islice(value.items(), ITEMS)
        pairs = (f"{one(key, depth - 1)}: {one(item, depth - 1)}" for key, item in first)
        return f"{{{', '.join(pairs)}{more}}}"
    items = ", ".join(one(item, depth - 1) for item in islice(value, ITEMS))
    if kind is list:
        return f"[{items}{more}]"
    if kind is tuple:
        return f"({items}{',' if len(value) == 1 else ''}{more})"
    if not value:
        return f"{kind.__name__}()"
    inner = f"{{{items}{more}}}"
    return inner if kind is set else f"frozenset({inner})"


def _shape(kind: type) -> Any:
    """How arrays and tables of others are told; None: it is none."""
    if str(kind.__module__).partition(".")[0] not in _ARRAYS or not hasattr(kind, "shape"):
        return None
    return lambda value: f"{tuple(value.shape)} {getattr(value, 'dtype', '')}".rstrip()


def _safely(make: Any, kind: type) -> str:
    """What users' code says, or what it failed with: nothing of theirs may stop a submission."""
    try:
        made = make()
    except Exception as error:
        return f"<str of {kind.__name__} failed: {type(error).__name__}>"
    return made if type(made) is str else str.__str__(made)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def patterns(given: Iterable[str]) -> tuple[str, ...]:
    """Patterns of names, as `--redact` gives them."""
    return tuple(pattern for pattern in given if pattern)
