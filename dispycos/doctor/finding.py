"""What the doctor found: one sentence each, and what to do about it.

Pure. Layer 8.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence

from dispycos.records import record


class Level(enum.Enum):
    """How bad it is."""

    GOOD = "good"
    NOTE = "note"  # worth knowing: it may be meant so
    WRONG = "wrong"


@record
class Finding:
    """One thing that was looked at."""

    area: str  # one word: settings, names, network, udp, key, ports, tcp, machine, clock
    level: Level
    found: str  # what was tried and what was seen
    todo: str = ""  # what mends it


def good(area: str, found: str) -> Finding:
    """All is well there."""
    return Finding(area, Level.GOOD, found)


def note(area: str, found: str, todo: str = "") -> Finding:
    """It may be meant so."""
    return Finding(area, Level.NOTE, found, todo)


def wrong(area: str, found: str, todo: str) -> Finding:
    """It keeps processes apart."""
    return Finding(area, Level.WRONG, found, todo)


def as_text(findings: Sequence[Finding]) -> str:
    """For people: a line for each, then what to do."""
    marks = {Level.GOOD: "ok   ", Level.NOTE: "note ", Level.WRONG: "WRONG"}
    lines = []
    for one in findings:
        lines.append(f"{marks[one.level]} {one.area:8} {one.found}")
        if one.todo:
            lines.append(f"{'':14} -> {one.todo}")
    bad = sum(one.level is Level.WRONG for one in findings)
    lines.append(f"{bad} of {len(findings)} things are wrong" if bad else "nothing wrong was found")
    return "\n".join(lines)


def as_values(findings: Sequence[Finding]) -> list[dict[str, str]]:
    """For programs."""
    return [
        {"area": one.area, "level": one.level.value, "found": one.found, "todo": one.todo} for one in findings
    ]
