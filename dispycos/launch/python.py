"""Python: which one a specification wants, as a command.

Pure: no I/O, clock or randomness. Row EX-15.
"""

from __future__ import annotations

import re
import shlex
from typing import Any, Final

from dispycos.launch.quoting import excerpt

# A stand-in for the Python that runs where the command is started.
SAME: Final = ""

_VERSION: Final = re.compile(r"[0-9]+(?:\.[0-9]+)*")


def python_of(wanted: Any, default: str) -> list[str]:
    """The words that start the Python of `python=`; a bare version is `pythonX.Y`. ValueError."""
    if wanted is None:
        return [default]
    try:
        words = [] if wanted is True else shlex.split(wanted)
    except ValueError:
        words = []  # a quotation without its end
    if not words or not words[0] or words[0].startswith("-"):
        raise ValueError(f"python={excerpt(wanted)} names no program")
    if _VERSION.fullmatch(words[0]):
        words[0] = f"python{words[0]}"
    return words
