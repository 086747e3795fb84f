"""What a Client finds where it is made: a LocalCluster that is open, or nothing.

Layer 5.
"""

from __future__ import annotations

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


def enter(surroundings: Surroundings) -> None:
    """A cluster was opened: Clients made from now on use it."""
    _open.append(surroundings)


def forget() -> None:
    """In a forked child: the clusters are the parent's."""
    _open.clear()


def leave(surroundings: Surroundings) -> None:
    """It is closed. May be repeated."""
    if surroundings in _open:
        _open.remove(surroundings)
