"""Numbers of leases: which one a scheduler begins with, so that none is granted twice (S2, R-35).

Pure. Layer 2.
"""

from __future__ import annotations

# A scheduler whose journal fails may have granted a few numbers that are not in it, at most one
# for each node: its successor begins above them.
UNWRITTEN = 1 << 20


def first_lease(highest: int, wall: float) -> int:
    """The number above which a scheduler begins to grant.

    highest  in the journal; 0: there is none.
    wall     seconds of the wall clock, which mostly goes forward: where the journal is lost, numbers
             rise all the same, at fewer than a million granted a second.
    """
    return max(highest + UNWRITTEN, int(wall) << 20)
