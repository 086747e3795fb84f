"""Each fault of the contract is tried in real processes, not only in machines (R-58)."""

from __future__ import annotations

import re

import pytest

from tests.helpers import ROOT

FAULTS = {f"R-{number:02}" for number in range(1, 31)}
# Where processes, sockets or hosts are real.
REAL = ("process", "chaos", "netns", "io")
_MARKED = re.compile(r"mark\.row\(([^)]*)\)")


@pytest.mark.row("R-58")
def test_every_fault_of_the_contract_is_tried_for_real() -> None:
    files = [path for folder in REAL for path in (ROOT / "tests" / folder).rglob("test_*.py")]
    tried = {row for path in files for row in re.findall(r"R-\d+", str(_MARKED.findall(path.read_text())))}
    assert not FAULTS - tried
