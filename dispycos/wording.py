"""Wording: how sentences name many things.

Pure. Layer 0.
"""

from __future__ import annotations

from collections.abc import Sequence

# Things that a sentence names one by one: enough to see what is meant, few enough to read.
MAX_NAMED = 3


def listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - MAX_NAMED
    return ", ".join(names[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
