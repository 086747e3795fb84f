"""Seeds: which ones a test runs, and how one that failed is replayed (R-55).

Layer 7. For tests only.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any


def seeds(count: int) -> Sequence[int]:
    """0 to count - 1, or the one that DISPYCOS_SEED names."""
    chosen = os.environ.get("DISPYCOS_SEED")
    return range(count) if chosen is None else [int(chosen)]


def each_seed(scenario: Callable[[int], Any], count: int) -> None:
    """Run `scenario(seed)` for each seed; the first that fails says how it is replayed."""
    for seed in seeds(count):
        try:
            scenario(seed)
        except Exception as exc:
            exc.add_note(f"seed {seed}; replay: {replay(seed)}")
            raise


def replay(seed: int) -> str:
    """The command that runs this seed of the current test, with its trace."""
    test = os.environ.get("PYTEST_CURRENT_TEST", "tests/sim").rpartition(" (")[0] or "tests/sim"
    return f"DISPYCOS_SEED={seed} DISPYCOS_TRACE=1 python -m pytest -s '{test}'"
