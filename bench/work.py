"""The functions that workers run. Importable everywhere, so each peer ships it in its own way."""

from __future__ import annotations

import time


def same(value: object) -> object:
    """A task that does nothing."""
    return value


def busy(seconds: float) -> float:
    """Compute for so long."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
    return seconds


def check(results: list[int], n: int) -> None:
    """A peer that loses or mixes results is not measured."""
    if results != list(range(n)):
        raise RuntimeError(f"expected the numbers below {n} in order, got {len(results)} results")
