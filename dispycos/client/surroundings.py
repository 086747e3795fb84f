"""What a Client finds where it is made: a LocalCluster that is open, or nothing.

Layer 5.
"""

from __future__ import annotations

import weakref

from dispycos.records import record


@record
class Surroundings:
    """Of one Client, taken when it is made."""

    pulse_interval: float | None = None  # its default, and the shortest allowed; None: the configured ones
    private: bool = False  # True: there is a scheduler in this process, ask no other

    @staticmethod
    def now() -> Surroundings:
        """Those of the innermost open cluster of this program."""
        return _open[-1] if _open else _NONE


_NONE = Surroundings()
_open: list[Surroundings] = []  # as many as there are open LocalClusters, innermost last


_unopened: weakref.WeakSet[object] = weakref.WeakSet()  # LocalClusters that were never opened


def made(cluster: object) -> None:
    """A cluster was made, and is not open yet."""
    _unopened.add(cluster)


def is_unopened() -> bool:
    """Was a cluster made and never opened? True once for each of them."""
    found = bool(_unopened)
    _unopened.clear()
    return found


def enter(surroundings: Surroundings, cluster: object) -> None:
    """A cluster was opened: Clients made from now on use it."""
    _unopened.discard(cluster)
    _open.append(surroundings)


def renew() -> None:
    """In a forked child: the clusters are the parent's."""
    _open.clear()
    _unopened.clear()


def leave(surroundings: Surroundings) -> None:
    """It is closed. May be repeated."""
    if surroundings in _open:
        _open.remove(surroundings)
