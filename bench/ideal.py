"""P6: how long each task takes, and the ideal schedule of them.

Ideal is that no worker idles while a task waits: each task, in the order of submission, goes to
the worker that is free first. How long a task takes is known to nobody before, so no order is better
than another. The tasks hold their worker without computing: what else the machine does then delays
them little, and how they are spread is what is measured.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence

from bench.workloads import EVEN, UNEVEN, WORKERS

Held = tuple[int, float, float]  # the worker's process, when a task began and ended there


def uneven(n: int) -> list[float]:
    """Seconds of each of n tasks, mixed the same way each time."""
    values = [UNEVEN[i % len(UNEVEN)] for i in range(n)]
    random.Random(1).shuffle(values)
    return values


def even(n: int) -> list[float]:
    return [EVEN] * n


def seconds(values: Sequence[float], workers: int = WORKERS) -> float:
    """Seconds from the first task's beginning to the last one's end."""
    free = [0.0] * workers
    for value in values:
        heapq.heapreplace(free, free[0] + value)
    return max(free)
