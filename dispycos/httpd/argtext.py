"""Arguments of tasks as text, made where they are submitted and bounded in every way (MO-36).

Plain types are walked by hand, so that a list of a million items costs no more than six; arrays
are told by type and shape, bytes by their length. Only of classes of users `__str__` is called,
once, for it is theirs to say what to show; what it raises is shown instead.

What a name says to be secret is hidden: the name of a keyword argument or a key of a dict, at any
depth that is shown. A positional argument has no name here.

Pure. Layer 2. Rows MO-36, MO-37, SE-109, SE-111.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

DEPTH = 3  # levels of containers
ITEMS = 6  # of a container
EACH = 200  # characters of one value
ALL = 2000  # characters of all arguments of a task
HIDDEN = "***"
PATTERNS = 100  # of names to hide
LONGEST_PATTERN = 255  # characters; a name is hardly longer

Secret = Callable[[str], object]  # truth: what has this name is not shown

_ARRAYS = frozenset({"numpy", "pandas", "torch", "jax", "jaxlib", "tensorflow", "polars", "xarray", "cupy"})
_PLAIN = (bool, int, float, complex, type(None))


def text(args: Sequence[Any], kwargs: Mapping[str, Any], secret: Secret | None = None) -> str:
    """`(1, 'two', key=3)`, at most ALL characters."""
    parts = []
    left = ALL
    for name, value in (*((None, value) for value in args), *kwargs.items()):
        if left <= 0:
            parts.append("…")
            break
        if name is None:
            part = one(value, secret=secret)
        elif secret is not None and secret(name):
            part = f"{name}={HIDDEN}"
        else:
            part = f"{name}={one(value, secret=secret)}"
        parts.append(part)
        left -= len(part)
    return _cut(f"({', '.join(parts)})", ALL)


def one(value: Any, depth: int = DEPTH, secret: Secret | None = None) -> str:
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
        return _cut(_container(value, kind, depth, secret), EACH)
    shape = _shape(kind)
    if shape is not None:
        return _cut(f"<{kind.__name__} {_safely(lambda: shape(value), kind)}>", EACH)
    return _cut(_safely(lambda: str(value), kind), EACH)


def _container(value: Any, kind: type, depth: int, secret: Secret | None) -> str:
    if depth <= 0:
        return f"<{kind.__name__} of {len(value):,}>"
    more = ", …" if len(value) > ITEMS else ""
    if kind is dict:
        first = islice(value.items(), ITEMS)
        pairs = (f"{one(key, depth - 1)}: {_item(key, item, depth - 1, secret)}" for key, item in first)
        return f"{{{', '.join(pairs)}{more}}}"
    items = ", ".join(one(item, depth - 1, secret) for item in islice(value, ITEMS))
    if kind is list:
        return f"[{items}{more}]"
    if kind is tuple:
        return f"({items}{',' if len(value) == 1 else ''}{more})"
    if not value:
        return f"{kind.__name__}()"
    inner = f"{{{items}{more}}}"
    return inner if kind is set else f"frozenset({inner})"


def _item(key: Any, value: Any, depth: int, secret: Secret | None) -> str:
    if secret is not None and type(key) is str and secret(key):
        return HIDDEN
    return one(value, depth, secret)


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


def patterns(given: str | Iterable[str]) -> tuple[str, ...]:
    """Patterns of names as `redact` and `--redact` give them, checked; TypeError, ValueError.

    A text alone is one pattern: taken as many, its letters would hide nothing.
    """
    if isinstance(given, str):
        given = (given,)
    found: list[str] = []
    for pattern in given:
        if not isinstance(pattern, str):
            raise TypeError(f"redact takes patterns of names such as 'pass*', not {pattern!r:.200}")
        if not pattern.strip() or len(pattern) > LONGEST_PATTERN or not pattern.isprintable():
            raise ValueError(
                f"redact takes patterns of names, of 1 to {LONGEST_PATTERN} characters, not {pattern!r:.50}"
            )
        found.append(pattern)
    if len(found) > PATTERNS:
        raise ValueError(f"redact takes up to {PATTERNS} patterns, not {len(found)}")
    return tuple(found)


def secret(patterns: Sequence[str]) -> Secret | None:
    """Whether a name fits one of these patterns, as file names do: `*`, `?`, `[...]`; None: none can.

    `API_KEY` is no less secret than `api_key`: capitals make no difference.
    """
    if not patterns:
        return None
    return re.compile("|".join(map(fnmatch.translate, patterns)), re.IGNORECASE).match
