"""Tables of a page, for a terminal: columns whose cells are filled, or a list where those are too narrow.

Pure. Layer 8.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence

_CELL = re.compile(r"(?<!\\)\|")
_GAP = 2  # blanks between columns


def laid_out(lines: Sequence[str], width: int) -> list[str]:
    """The lines of a table of Markdown: its head, a rule, its rows; at most `width` wide, if words are."""
    head, _, *rows = [[*map(_told, _CELL.split(line.strip().strip("|")))] for line in lines]
    widths = _widths([head, *rows], width)
    if not widths:
        return _listed(head, rows, width)
    apart = any(len(cell) > widths[at] for row in rows for at, cell in enumerate(row))
    found = [*_row(head, widths), (" " * _GAP).join("-" * one for one in widths)]
    for row in rows:
        if apart and row is not rows[0]:
            found.append("")
        found += _row(row, widths)
    return found


def _told(cell: str) -> str:
    return cell.strip().replace(r"\|", "|")


def _widths(rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """That of each column, so that the table is low; none: some of its words would not fit."""
    columns = [*zip(*rows, strict=True)]
    wanted = [max(1, *map(len, column)) for column in columns]
    widths = [max((len(word) for cell in column for word in cell.split()), default=1) for column in columns]
    left = width - _GAP * (len(columns) - 1) - sum(widths)
    if left < 0:
        return []

    def height(wider: int) -> float:
        wide = [one + (at == wider) for at, one in enumerate(widths)]
        return sum(max(len(cell) / one for cell, one in zip(row, wide, strict=True)) for row in rows)

    while left and (open_ones := [at for at, one in enumerate(widths) if one < wanted[at]]):
        widths[min(open_ones, key=height)] += 1
        left -= 1
    return widths


def _row(cells: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    filled = [_lines(cell, one) for cell, one in zip(cells, widths, strict=True)]
    for at in range(max(map(len, filled))):
        parts = [lines[at] if at < len(lines) else "" for lines in filled]
        yield (" " * _GAP).join(f"{part:<{one}}" for part, one in zip(parts, widths, strict=True)).rstrip()


def _listed(head: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Each row as its first cell, and below it the others with their heads."""
    found: list[str] = []
    for first, *others in rows:
        found += ["", *_lines(first, width)]
        for title, cell in zip(head[1:], others, strict=True):
            told = f"{title}: {cell}" if title and cell else cell
            found += [f"    {line}" for line in _lines(told, width - 4) if line]
    return found[1:]


def _lines(text: str, width: int) -> list[str]:
    # What is typed stays in one piece.
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]
