"""The functions that workers run. Importable everywhere, so each peer ships it in its own way."""

from __future__ import annotations

import os
import time


def same(value: object) -> object:
    """A task that does nothing."""
    return value


def hold(seconds: float) -> tuple[int, float, float]:
    """Keep the worker so long without computing: which process it was, when that began and ended."""
    began = time.monotonic()
    time.sleep(seconds)
    return os.getpid(), began, time.monotonic()


def check(results: list[int], n: int) -> None:
    """A peer that loses or mixes results is not measured."""
    if results != list(range(n)):
        raise RuntimeError(f"expected the numbers below {n} in order, got {len(results)} results")
