"""Which messages may be lost or heard twice: what DISPYCOS_CHAOS may do, and what is said again by itself."""

from __future__ import annotations

from typing import Any

from dispycos.chaos.faults import KINDS, NOTICED, REPEATED
from dispycos.messages import NodeHere, RegisterAgain, Schedule
from dispycos.testing import World

# Said again anyway, so that one that is lost is made good by the next.
LOSABLE = tuple(kind for word in sorted(REPEATED) for kind in KINDS[word])
# Heard a second time without effect.
TWICE = (*(kind for word in sorted(NOTICED) for kind in KINDS[word]), NodeHere, RegisterAgain, Schedule)


def disturb(world: World, twice: float | None, lost: float | None) -> None:
    """Have so many of these messages heard twice, or not; None: as many as chance wants."""
    draw: Any = world.random
    twice = draw.choice((0.0, 0.1, 0.5)) if twice is None else twice
    lost = draw.choice((0.0, 0.1, 0.3)) if lost is None else lost
    world.twice = dict.fromkeys(TWICE, twice)
    world.lost = dict.fromkeys(LOSABLE, lost)
