"""The World: whole clusters of machines in one process, on a virtual clock, from one seed.

A test derives from `Process` what its parties are made of (any objects with the shape that
`events.py` states), starts them in a `World`, lets faults happen and runs it. The World plays
what the I/O half promises: sessions between two incarnations whose messages arrive in order,
each exactly once, also across a cut (N2, R-40); PeerUp, PeerSuspect, PeerBack and PeerGone as
`events.py` describes them; a clock of its own for each process; timers; children that end with
their parent. What it may choose it draws from the seed: delays, which message of a killed
process still arrives, when a silence is noticed.

Each machine's `check()` runs after each of its events. `Ledger` keeps what no party may judge
of itself: each task one outcome, no attempt begun twice. The same seed gives the same trace;
`each_seed` prints the one command that replays a failing one (R-55).

The parts stand in `dispycos.simulation`. For tests only; it opens nothing and waits for nothing.
"""

from __future__ import annotations

from dispycos.simulation.chaos import Chaos
from dispycos.simulation.ledger import Ledger
from dispycos.simulation.link import Condition, Link
from dispycos.simulation.process import Machine, Process
from dispycos.simulation.seeds import each_seed, replay, seeds
from dispycos.simulation.world import World

__all__ = [
    "Chaos",
    "Condition",
    "Ledger",
    "Link",
    "Machine",
    "Process",
    "World",
    "each_seed",
    "replay",
    "seeds",
]
