"""Quoting: texts of users in error texts, and commands for a remote shell.

Pure: no I/O, clock or randomness. SE-53, SE-54.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Final

_SHOWN: Final = 40  # characters of a specification that an error shows


def excerpt(text: object) -> str:
    """The beginning of a text from a specification, as an error shows it."""
    text = str(text)
    return ascii(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")


def for_shell(words: Sequence[str]) -> str:
    """The text that a shell takes apart into exactly these words.

    The only way in which anything of ours reaches a remote shell.
    """
    return shlex.join(words)
