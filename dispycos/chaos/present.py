"""Whether this process makes faults by itself, by its environment and nothing else.

Who could fail asks once, when it is made, and is given what to call: where the variable is not set that
does nothing, and nobody asks again. I/O half. Layer 3. Rules R-63, R-25.
"""

from __future__ import annotations

import functools
import os
import random
import time
from collections.abc import Callable
from typing import Any

from dispycos.chaos.faults import VARIABLE, Faults, parse


def present() -> Faults | None:
    """The faults of this process; None: none are wanted. BadChaos."""
    text = os.environ.get(VARIABLE, "")
    return _parsed(text) if text else None


_parsed = functools.lru_cache(maxsize=1)(parse)


def chance(faults: Faults, who: str) -> random.Random:
    """What decides for one process, alike whenever seed and name are the same."""
    return random.Random(f"{faults.seed} {who}")


def before_write(what: str) -> Callable[[], None]:
    """What to call before writing to a `what`: OSError where that is to fail. BadChaos."""
    faults = present()
    wanted = [one for one in faults.writes if one[0] == what] if faults is not None else []
    if not wanted:
        return _nothing
    _what, number, after = wanted[0]
    begins = time.monotonic() + after

    def fail() -> None:
        if time.monotonic() >= begins:
            raise OSError(number, f"{os.strerror(number)} ({VARIABLE} says so)")

    return fail


def _nothing() -> None:
    """Most processes fail by themselves."""


def jump_clock(seconds: float) -> None:
    """Let the wall clock of this process jump: for all its code, as if somebody had set it."""
    time.time = _later(time.time, seconds)
    time.time_ns = _later(time.time_ns, int(seconds * 1e9))
    time.localtime = _of_now(time.localtime)
    time.gmtime = _of_now(time.gmtime)


def _later(clock: Callable[[], Any], by: float) -> Callable[[], Any]:
    return lambda: clock() + by


def _of_now(convert: Callable[..., time.struct_time]) -> Callable[..., time.struct_time]:
    return lambda seconds=None: convert(time.time() if seconds is None else seconds)
