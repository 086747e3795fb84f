"""What dispycos is to reach: each aim as data, and whether what was measured meets it.

An aim is a ratio to a peer of the same run, or, without a peer, a bound on our own figure. It is
shown beside the figure and judges nothing else: no test and no exit status depends on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.results import LIMIT, OURS, Result

BEST = "the best peer"  # the best that is no limit


@dataclass(frozen=True, slots=True)
class Target:
    """One aim."""

    workload: str
    bound: float
    peer: str = OURS  # ours ÷ this one's; OURS: our own figure
    at_most: bool = False  # the figure is to stay below the bound, not above it

    def met(self, figure: float) -> bool:
        return figure <= self.bound if self.at_most else figure >= self.bound

    def __str__(self) -> str:
        return f"{'≤' if self.at_most else '≥'} {self.bound:,g}" + ("" if self.peer == OURS else "×")


def _ratios(workload: str, **peers: float) -> tuple[Target, ...]:
    names = {"ProcessPool": "ProcessPoolExecutor", "Pool": "mp.Pool(chunk 1)", "limit": LIMIT, "best": BEST}
    return tuple(Target(workload, bound, names.get(peer, peer)) for peer, bound in peers.items())


TARGETS = (
    *_ratios("P1", ray=40, dask=80, pycos=80, ProcessPool=5, Pool=1),
    *_ratios("P2", ProcessPool=1.3, limit=0.4),
    *_ratios("P3", rpyc=1.3, execnet=1.3, limit=0.6),
    *_ratios("P4", execnet=3),
    *(target for id_ in ("P5", "P5A", "P5B", "P5C") for target in _ratios(id_, best=3, limit=0.35)),
    Target("P5M", 1.2, at_most=True),
    Target("P5N", 1.2, at_most=True),
    Target("P6", 0.95),
    Target("P6T", 0.95),
    Target("P8", 0.5, at_most=True),
    Target("P8I", 0.15, at_most=True),
    Target("P9S", 15, at_most=True),
    Target("P9T", 1024, at_most=True),
    Target("P10", 50_000),
    Target("P10F", 1.5, at_most=True),
    *_ratios("P12G", execnet=1.3),
    *_ratios("P12R", rpyc=1.3),
    *_ratios("P12E", EasyCluster=1.3),
)


def aims(result: Result, results: Sequence[Result]) -> list[tuple[Target, float]]:
    """The aims that `result` decides, each with the figure or ratio that was found.

    results  all of the same workload: who is best depends on them.
    """
    theirs = [other for other in results if other.peer not in (OURS, LIMIT) and other.ratios]
    # Where our ratio to a peer is lowest that peer is best, whichever way its figure counts.
    best = min(theirs, key=lambda other: other.ratio or 0.0, default=None)
    names = {result.peer, *([BEST] if result is best else [])}
    figure = result.median if result.peer == OURS else result.ratio
    if figure is None:
        return []
    found = (target for target in TARGETS if target.workload == result.workload and target.peer in names)
    return [(target, figure) for target in found]


def said(result: Result, results: Sequence[Result]) -> str:
    """`≥ 1.3× met` for each aim; empty if there is none."""
    return ", ".join(
        f"{target} {'met' if target.met(figure) else 'missed'}" for target, figure in aims(result, results)
    )
