"""Wording: how sentences count and name things or the nearest one, and how texts are shown
that are too long or can't be made.

Pure. Layer 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

# Things that a sentence names one by one: enough to see what is meant, few enough to read.
MAX_NAMED = 3


def many(number: int, one: str, more: str = "") -> str:
    """`1 node`, `2,000 nodes`. more: how one calls several, where it is not `one` with an s."""
    return f"{number:,} {one if number == 1 else more or f'{one}s'}"


def listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - MAX_NAMED
    return ", ".join(names[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")


def nearest(name: str, known: Iterable[str], likeness: float = 0.6) -> str:
    """The one of `known` that was meant, most likely; "" if none is like it."""
    import difflib  # for who is told: programs that begin never need it

    return next(iter(difflib.get_close_matches(name, list(known), 1, likeness)), "")


def shown(value: object, make: Callable[[Any], str] = repr) -> str:
    """Its repr, or its str by `make`; it says so if that can't be made.

    Code of others makes it: neither what that raises nor what it answers gets any further.
    """
    try:
        return str.__str__(make(value))  # a text of a class of its own would go on doing as it likes
    except (Exception, SystemExit, GeneratorExit) as exc:  # not Ctrl-C, which may come then
        return f"<its text can't be made: {type(exc).__name__}>"


def clip(text: str, chars: int, size: int) -> str:
    """The text, or its beginning and end if it is longer than `chars` or `size` bytes."""
    if len(text) <= chars and len(text.encode(errors="backslashreplace")) <= size:
        return text
    gap = "\n...\n"
    # Ten bytes is what a character takes at most, as an escape.
    keep = max(min(chars, size // 10) - len(gap), 0) if not text.isascii() else min(chars, size) - len(gap)
    return text[: keep // 2] + gap + text[len(text) - (keep - keep // 2) :]
