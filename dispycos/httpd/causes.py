"""Causes: what keeps tasks from running or clients from their turn, for people.

Pure. Layer 2. Rows MO-24, MO-25; rule S6.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from dispycos.httpd.situation import Place, Situation
from dispycos.wording import left_out

MAX_LINES = 10  # of evidence of one kind: each is of a node, server, client or task


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing that keeps tasks from running, or clients from their turn."""

    id: str  # for programs
    title: str  # for people, in a few words
    evidence: list[str]  # what was seen, a line each
    advice: str  # one thing to do
    usual: bool = False  # it is how things are meant to go


def text(found: Iterable[Cause]) -> str:
    """Causes for a terminal; "" if there is none."""
    parts = []
    for number, cause in enumerate(found, 1):
        lines = "\n".join(f"   {line}" for line in cause.evidence)
        parts.append(f"{number}. {cause.title}\n{lines}\n   -> {cause.advice}")
    return "\n".join(parts)


def silent(now: Situation, tail: Callable[[Place], str], advice: str) -> Cause | None:
    """Nodes are not heard; `tail` says of each what becomes of it."""
    found = [node for node in now.nodes if node.state == "zombie"]
    if not found:
        return None
    evidence = [
        f"{node.name} was last heard {ago(node.since, now)}{tail(node)}" for node in found[:MAX_LINES]
    ]
    return Cause(
        "silent", "nodes are silent", evidence + more(found), f"look at the machine and its network; {advice}"
    )


# Wording.


def ago(time: float | None, now: Situation) -> str:
    return "at a time that is not known" if time is None else f"{max(0.0, now.now - time):.0f} s ago"


def lasting(since: float | None, now: Situation) -> str:
    return "a time that is not known" if since is None else f"{max(0.0, now.now - since):.0f} s"


def places(places: list[Place], now: Situation) -> list[str]:
    lines = []
    for place in places[:MAX_LINES]:
        since = f" since {max(0.0, now.now - place.since):.0f} s" if place.since is not None else ""
        lines.append(f"{place.name} is {place.state}{since}{f': {place.why}' if place.why else ''}")
    return lines + more(places)


def some(lines: Sequence[str]) -> list[str]:
    return [*lines[:MAX_LINES], *more(lines)]


def more(found: Sequence[object]) -> list[str]:
    return left_out(len(found), MAX_LINES)
