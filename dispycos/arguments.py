"""Arguments of public calls, checked where the program makes them.

Each check answers the value in its plain type, or raises TypeError (of another kind) or
ValueError (of that kind, and out of range) with the argument's name and what was given.

Pure. Layer 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any


def seconds(name: str, value: Any) -> float:
    """A duration: finite, not negative."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds, not {value!r:.200}")
    try:
        duration = float(value)
    except OverflowError:  # of an int
        duration = math.inf
    # nan compares with nothing, and would be a deadline that never comes.
    if not math.isfinite(duration) or duration < 0:
        raise ValueError(f"{name} must be a finite number of seconds from 0 on, not {_short(value)}")
    return duration


def seconds_or_none(name: str, value: Any) -> float | None:
    """A timeout as users give it: None for ever, or a duration."""
    return None if value is None else seconds(name, value)


def integer(name: str, value: Any, *, least: int | None = None, most: int | None = None) -> int:
    """A whole number; True and False are none."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number, not {value!r:.200}")
    if least is not None and value < least:
        raise ValueError(f"{name} must be at least {least}, not {_short(value)}")
    if most is not None and value > most:
        raise ValueError(f"{name} must be at most {most}, not {_short(value)}")
    return value


def _short(value: float) -> str:
    """A number for people; Python refuses to print an int of thousands of digits."""
    return f"{value!r}" if not isinstance(value, int) or value.bit_length() <= 64 else "one of so many digits"


def port(name: str, value: Any, *, least: int = 0) -> int:
    """A TCP or UDP port; 0, where it is allowed, is any free one."""
    return integer(name, value, least=least, most=65535)


def text(name: str, value: Any) -> str:
    """A string."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, not {value!r:.200}")
    return value


def a_name(name: str, value: Any, *, most: int) -> str:
    """What a process is called: something that can be read in a line; "" is none."""
    found = text(name, value)
    if not found.isprintable():
        raise ValueError(f"{name} must be something that can be read in a line, not {found!r:.200}")
    if len(found) > most:
        raise ValueError(f"{name} must have at most {most} characters, not {len(found)}")
    return found


def texts(name: str, value: Any) -> tuple[str, ...]:
    """Several strings; one alone, which is several letters, is a mistake."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise TypeError(f"{name} must be several strings, not {value!r:.200}")
    found = tuple(value)
    for one in found:
        if not isinstance(one, str):
            raise TypeError(f"{name} must be strings, not {one!r:.200}")
    return found


def flag(name: str, value: Any) -> bool:
    """True or False; 1 and 0 are taken for them, other truths are mistakes."""
    if not isinstance(value, int) or value not in (0, 1):
        raise TypeError(f"{name} must be True or False, not {value!r:.200}")
    return bool(value)
