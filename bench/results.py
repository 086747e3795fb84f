"""What a run found: figures, one a round, and the ratios between them."""

from __future__ import annotations

import os
import platform
import statistics
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.workloads import WORKERS

OURS = "dispycos"
LIMIT = "limit: blocking socket"


@dataclass(slots=True)
class Result:
    """One peer at one workload."""

    workload: str
    title: str
    unit: str
    peer: str
    version: str
    size: int  # units in one repeat
    figures: list[float]  # one a round
    ratios: list[float] = field(
        default_factory=list
    )  # ours to this one's, one a round; over 1: we are better

    @property
    def median(self) -> float:
        return statistics.median(self.figures)

    @property
    def ratio(self) -> float | None:
        return statistics.median(self.ratios) if self.ratios else None


@dataclass(slots=True)
class Report:
    """All that a run found."""

    results: list[Result] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)  # peers that are not installed
    failed: dict[str, str] = field(default_factory=dict)  # peer, or peer and workload -> why
    kernel: str = ""  # what bench.kernel printed
    seconds: float = 0.0  # that the run took

    def as_json(self) -> dict[str, Any]:
        return {
            "when": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.machine()}",
            "cpus": os.cpu_count(),
            "workers": WORKERS,
            "seconds": round(self.seconds, 1),
            "results": [
                asdict(result) | {"median": result.median, "ratio": result.ratio} for result in self.results
            ],
            "missing": self.missing,
            "failed": self.failed,
            "kernel": self.kernel,
        }


def add_ratios(results: list[Result], less_is_better: bool = False) -> None:
    """Set ours ÷ theirs, round by round; theirs ÷ ours where less is better."""
    ours = next((result for result in results if result.peer == OURS), None)
    if ours is None:
        return
    for result in results:
        pairs = zip(ours.figures, result.figures, strict=False)
        result.ratios = [b / a if less_is_better else a / b for a, b in pairs if a and b]
