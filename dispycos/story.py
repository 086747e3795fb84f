"""Stories: what happened to one thing, for errors and for whoever asks.

A machine writes a line when a thing changes state. Only the last lines of each thing are
kept, and only so many things: those of the longest silence go first (R-38).

Pure. Layer 0.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable

from dispycos.records import record

MAX_LINES = 24  # of one thing: a life has about ten; a flapping link must not fill memory
MAX_THINGS = 4096


@record
class About:
    """What an invariant is asserted of: `assert holds, About(thing, "what is wrong")`.

    The text goes into the AssertionError; whose story to tell is read from it (`validation`).
    """

    thing: Hashable  # as the machine's `story` knows it
    text: str

    def __str__(self) -> str:
        return self.text


class Stories:
    """The last lines about each of many things."""

    __slots__ = ("_lines",)

    def __init__(self) -> None:
        self._lines: dict[Hashable, deque[tuple[float, str]]] = {}

    def add(self, thing: Hashable, now: float, text: str) -> None:
        """Write down that this happened to `thing`."""
        lines = self._lines.pop(thing, None)
        if lines is None:
            lines = deque(maxlen=MAX_LINES)
            if len(self._lines) >= MAX_THINGS:
                del self._lines[next(iter(self._lines))]
        lines.append((now, text))
        self._lines[thing] = lines

    def tell(self, thing: Hashable) -> str:
        """Its lines, oldest first, with seconds since the first one kept."""
        lines = self._lines.get(thing)
        if not lines:
            return "nothing is known of it"
        start = lines[0][0]
        return "; ".join(f"+{when - start:.1f} s {text}" for when, text in lines)
