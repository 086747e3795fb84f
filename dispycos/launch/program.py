"""The program that a bare Python is given on its standard input.

A line that is a program (`launch.boot`), a line that says what to do, and packed modules.

Pure: no I/O, clock or randomness.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

# What that Python is told to run, as its argument -c. No single quotes: any shell can pass it on.
COMMAND: Final = 'import sys;exec(eval(getattr(sys.stdin,"buffer",sys.stdin).readline()))'


def program(boot: str, order: Mapping[str, Any], packed: bytes) -> bytes:
    """The bytes of the program."""
    return f"{boot!r}\n{dict(order)!r}\n".encode("ascii", "backslashreplace") + packed
