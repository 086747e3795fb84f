"""What a source can tell of tasks; the rest is unknown, and shown as such (MO-14).

Pure. Layer 2.
"""

from __future__ import annotations

from dataclasses import dataclass

# What servers count and nodes add up.
COUNTS = ("submitted", "done", "failed", "running", "waiting")


@dataclass(frozen=True, slots=True)
class Known:
    """See the module's docstring."""

    counts: tuple[str, ...] = COUNTS  # what it can count at servers; in the order of COUNTS
    by_pulse: bool = False  # the figures come with pulses; else they are of now


EVERYTHING = Known()
