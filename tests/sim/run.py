"""Thousands of seeds: whole clusters on a virtual clock, each with its own faults (make sim).

    python -m tests.sim.run [--seeds N] [--first S]      (make sim SEEDS=N)
    python -m tests.sim.run --seed S                     (make sim SEED=S)

Every seed runs in every scenario, on all processors; where it begins is drawn by chance and printed.
A seed that fails is named with its error and with the command that repeats it; `--seed` runs that one
seed and prints the last of what happened before the error. Exit code 1 if any failed.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from dispycos.records import record
from tests.sim import model, whole

SEEDS = 1500  # about three minutes on two processors
SHARE = 10  # seeds that a process gets at once
STORY = 60  # lines before the error

SCENARIOS: dict[str, Callable[[int], Any]] = {
    "tasks": model.run,
    "lost messages": lambda seed: model.run(seed, losses=0.1, faults=0.0),
    "shared scheduler": whole.run,
    "private scheduler": lambda seed: whole.run(seed, shared=False, clients=1),
    "two private schedulers": lambda seed: whole.run(seed, shared=False, clients=2),
}


@record
class Failure:
    """One seed that did not end well."""

    scenario: str
    seed: int
    error: str

    def __str__(self) -> str:
        return f"sim: {self.scenario}, seed {self.seed}: {self.error}; repeat: make sim SEED={self.seed}"


def share(seeds: Sequence[int]) -> list[Failure]:
    """These seeds in each scenario; what failed."""
    return [failure for seed in seeds for name in SCENARIOS for failure in attempt(name, seed)]


def attempt(name: str, seed: int) -> Iterator[Failure]:
    """One run."""
    try:
        SCENARIOS[name](seed)
    except Exception as exc:
        yield Failure(name, seed, f"{type(exc).__name__}: {exc}"[:500])


def many(first: int, count: int, processes: int) -> list[Failure]:
    """All seeds, on so many processes; what fails is printed when it does."""
    shares = [range(begin, min(begin + SHARE, first + count)) for begin in range(first, first + count, SHARE)]
    found: list[Failure] = []
    with ProcessPoolExecutor(processes) as pool:
        for failures in pool.map(share, shares):
            for failure in failures:
                print(failure, flush=True)
            found += failures
    return found


def one(seed: int) -> list[Failure]:
    """One seed, with the last of what happened in each run that fails."""
    found: list[Failure] = []
    os.environ["DISPYCOS_TRACE"] = "1"
    for name in SCENARIOS:
        trace = io.StringIO()
        with contextlib.redirect_stdout(trace):
            failures = list(attempt(name, seed))
        for failure in failures:
            print(*trace.getvalue().splitlines()[-STORY:], failure, sep="\n")
        found += failures
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many")
    parser.add_argument("--first", type=int, default=random.SystemRandom().randrange(10**9))
    parser.add_argument("--seed", type=int, help="only this one, with its story")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    os.environ["DISPYCOS_VALIDATE"] = "1"
    began = time.monotonic()
    if options.seed is not None:
        found, count = one(options.seed), 1
    else:
        count = options.seeds
        print(f"sim: {count} seeds from {options.first} on, in {len(SCENARIOS)} scenarios", flush=True)
        found = many(options.first, count, options.processes)
    seconds = time.monotonic() - began
    print(f"sim: {count * len(SCENARIOS)} runs in {seconds:.0f} s, {len(found)} failed")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
