"""What changed in which tick, kept for a while: where a browser's missing part is taken from.

A tick has a number; whatever changes before it ends carries that number. Two things can happen to
a row: some of its fields change, or it is gone from a scope (everywhere, or from one topic).

Pure. Layer 2. Rules MO-26, MO-28, MO-30, MO-31.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from dispycos.httpd.rows import STATE, Row

KEPT = 120  # ticks (MO-26)

EVERYWHERE = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """What is different from an earlier number."""

    masks: dict[str, int]  # row id -> fields, a bit for each
    gone: set[tuple[str, str]] = field(default_factory=set)  # (scope, row id)


class Changes:
    """The ticks of the last minute."""

    def __init__(self) -> None:
        self.seq = 0  # number of the last tick in which something changed
        self._masks: dict[str, int] = {}
        self._gone: set[tuple[str, str]] = set()
        self._more = False  # something else than rows changed
        # (number, masks, gone) of the last KEPT ticks
        self._ticks: deque[tuple[int, dict[str, int], set[tuple[str, str]]]] = deque(maxlen=KEPT)

    def mark(self, row: Row, mask: int) -> None:
        """These fields of the row have changed."""
        if mask:
            row.seq = number = self.seq + 1
            if mask & STATE[row.kind]:
                row.state_seq = number
            masks, row_id = self._masks, row.id
            masks[row_id] = masks.get(row_id, 0) | mask

    def remove(self, row_id: str, scope: str = EVERYWHERE) -> None:
        """The row is gone from there: the id of a row that has a topic, or a topic's name."""
        self._gone.add((scope, row_id))

    def touch(self) -> None:
        """Something that is no row has changed: samples, lines of a log."""
        self._more = True

    def end_tick(self) -> bool:
        """Number what changed since the last call; False: nothing did."""
        if not (self._masks or self._gone or self._more):
            return False
        self.seq += 1
        self._ticks.append((self.seq, self._masks, self._gone))
        self._masks, self._gone, self._more = {}, set(), False
        return True

    def reaches(self, since: int) -> bool:
        """Whether all that changed after that number is still known."""
        return since == self.seq or (bool(self._ticks) and self._ticks[0][0] - 1 <= since < self.seq)

    def after(self, since: int) -> Difference:
        """What changed after that number; it must be reached."""
        masks: dict[str, int] = {}
        gone: set[tuple[str, str]] = set()
        for number, changed, left in reversed(self._ticks):
            if number <= since:
                break
            if not masks:
                masks = dict(changed)
            else:
                for row_id, mask in changed.items():
                    masks[row_id] = masks.get(row_id, 0) | mask
            gone |= left
        return Difference(masks, gone)
