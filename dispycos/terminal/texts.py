"""Values of rows as short texts for a terminal, and texts of others made harmless.

Pure. Layer 8. Rows MO-14, SE-55.
"""

from __future__ import annotations

from typing import Any

from dispycos.wording import harmless

DASH = "–"  # unknown (MO-14)
_BLANKS = str.maketrans("\n\t\r", "   ")
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def clean(text: str) -> str:
    """One line without anything that a terminal would obey: escapes, controls, turns of direction."""
    return harmless(text.translate(_BLANKS), keep="")


def count(value: int | None) -> str:
    return DASH if value is None else f"{value:,}"


def size(value: float | None) -> str:
    """Bytes with a unit: 1023 B, 1.5 GiB."""
    if value is None:
        return DASH
    for unit in _UNITS:
        if value < 1024 or unit == _UNITS[-1]:
            break
        value /= 1024
    return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"


def percent(value: float | None) -> str:
    return DASH if value is None else f"{value:.0f} %"


def rate(value: float | None) -> str:
    """Tasks a second."""
    return DASH if value is None else f"{value:,.1f}/s"


def span(seconds: float | None) -> str:
    """A duration: 0.25 s, 12 s, 3:05, 2:03:04, 5 d 01:02."""
    if seconds is None:
        return DASH
    seconds = max(0.0, seconds)
    if seconds < 10:
        return f"{seconds:.1f} s" if seconds >= 1 or seconds == 0 else f"{seconds:.2f} s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours // 24} d {hours % 24:02}:{minutes:02}"
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def stack(frames: list[Any] | None) -> str:
    """Where a task stands, innermost first, with short names: what fits is what matters."""
    return " ← ".join(
        f"{function.rpartition('<locals>.')[2]} {file.rpartition('/')[2]}:{line}"
        for file, line, function in reversed(frames or ())
    )


def nodes_of(cluster: dict[str, Any]) -> str:
    """2 initialized, 1 zombie."""
    return _parts(cluster, "nodes", "initialized", "suspended", "zombie", "other") or "none"


def servers_of(cluster: dict[str, Any]) -> str:
    return _parts(cluster, "servers", "busy", "idle", "other") or "none"


def _parts(cluster: dict[str, Any], of: str, *states: str) -> str:
    found = [(cluster[f"{of}_{state}"], state) for state in states]
    return ", ".join(f"{number:,} {state}" for number, state in found if number)


def tasks_of(cluster: dict[str, Any]) -> str:
    """5 running, 2 waiting, 10 done, 1 of them failed, 0.5/s: what of it is known."""
    found = [(cluster[name], name) for name in ("running", "waiting", "done")]
    known = [f"{number:,} {name}" for number, name in found if number is not None]
    failed = [f"{cluster['failed']:,} of them failed"] if cluster["failed"] else []
    ended = [] if cluster["rate"] is None else [rate(cluster["rate"])]
    return ", ".join([*known, *failed, *ended])


def ended_of(row: dict[str, Any]) -> str:
    """10 done, 2 of them failed: what of it is known."""
    found = ((row[name], word) for name, word in (("done", "done"), ("failed", "of them failed")))
    return ", ".join(f"{number:,} {name}" for number, name in found if number is not None)
