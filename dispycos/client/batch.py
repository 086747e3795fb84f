"""Batches: several calls in one task, as joblib makes them; what a server runs of them.

A server imports this and joblib, and none of what a client is made of.

I/O half: it reads the clock. Layer 5.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from dispycos.kernel.target import calls_plainly

_prepared = False


class Run:
    """Gives the results of a batch, and the seconds that it took.

    name  of the function that is called, by which statuses and the monitor name the batch.
    """

    def __init__(self, name: str) -> None:
        self.__name__ = name

    def __call__(self, batch: Callable[[], list[Any]]) -> tuple[list[Any], float]:
        _prepare()
        began = time.monotonic()
        results = batch()
        return results, time.monotonic() - began


calls_plainly.add(Run.__call__.__code__)


def _prepare() -> None:
    """Know our backend by name here too: a server has no others to give calls to, so it makes them itself."""
    global _prepared
    if not _prepared:
        _prepared = True
        from joblib.parallel import BACKENDS, SequentialBackend, register_parallel_backend

        if "dispycos" not in BACKENDS:
            register_parallel_backend("dispycos", SequentialBackend)
