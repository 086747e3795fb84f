"""Each row that is cited has its line in docs/rows.md."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tests.helpers import ROOT

PAGE = ROOT / "docs" / "rows.md"
# R-07, or a range: to 36.
_CITED = re.compile(r"\b([A-Z]{1,2})-(\d{2,3})(?:\s+to\s+(?:\1-)?(\d{2,3}))?\b")


def rows(text: str) -> Iterator[str]:
    """The rows that a text cites, those inside a range too."""
    for prefix, first, last in _CITED.findall(text):
        for number in range(int(first), int(last or first) + 1):
            yield f"{prefix}-{number:02}"


def cited() -> dict[str, Path]:
    """Every row of code and tests, and a file that cites it."""
    sources = [path for folder in ("dispycos", "tests") for path in (ROOT / folder).rglob("*.py")]
    return {row: path for path in sources if path != Path(__file__) for row in rows(path.read_text())}


def test_every_row_that_is_cited_has_its_line() -> None:
    explained = re.findall(r"^\| ([A-Z]+-\d+) \| \S", PAGE.read_text(), re.MULTILINE)
    assert len(explained) == len(set(explained))
    missing = {row: str(path.relative_to(ROOT)) for row, path in cited().items() if row not in explained}
    assert not missing, f"say in docs/rows.md what these promise: {missing}"


def test_a_range_cites_what_is_inside_it() -> None:
    assert list(rows("Rows R-34 to R-36, DC-05; SE-109.")) == ["R-34", "R-35", "R-36", "DC-05", "SE-109"]
