"""A soak: a steady load with a fault now and then, and whether memory or descriptors grow meanwhile.

    python -m tests.chaos.soak [--seconds 600] [--seed N]      (make soak SECONDS=600)

A server is killed every 30 s, a node every 5 minutes, the scheduler every 10. At the end the ledgers
balance; for each process that lived through the last two thirds it prints how its resident memory rose,
in MB in 10 minutes, and its descriptors. Exit code 1 if the ledgers do not balance, if memory rose by
MAX_RISE after the first ten minutes, or if descriptors rose (R-65).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from dispycos.records import record
from tests import helpers
from tests.chaos import ledgers
from tests.chaos.cluster import Cluster
from tests.chaos.run import HEAL, waiting
from tests.process.schedulers import Place

EVERY = {"server": 30.0, "node": 300.0, "scheduler": 600.0}  # seconds between two deaths
LOOK = 5.0  # seconds between two looks
SETTLED = 30.0  # seconds after which a process that was started again has what it needs
WARM = 600.0  # seconds after which memory is to be flat
MAX_RISE = 1.0  # MB in 10 minutes
MAX_DESCRIPTORS = 8  # more than at the first look: connections of servers come and go


@record
class Look:
    """One process at one moment."""

    when: float  # seconds since the run began
    memory: float  # MB, resident
    descriptors: int


@record
class Life:
    """One process, over the run."""

    name: str
    looks: list[Look]

    def rise(self, since: float) -> float | None:
        """MB in 10 minutes, by least squares; None: too few looks."""
        looks = [look for look in self.looks if look.when >= since]
        if len(looks) < 6:
            return None
        slope, _ = statistics.linear_regression([k.when for k in looks], [k.memory for k in looks])
        return slope * 600

    def more_descriptors(self, since: float) -> int:
        """At the last look, than at the first one from then on."""
        looks = [look for look in self.looks if look.when >= since]
        return looks[-1].descriptors - looks[0].descriptors if looks else 0


class Soak:
    """One run."""

    def __init__(self, cluster: Cluster, seconds: float) -> None:
        self.cluster = cluster
        self.seconds = seconds
        self.lives: dict[int, Life] = {}
        self.deaths: dict[str, Callable[[], None]] = {
            "server": lambda: cluster.signal_server(signal.SIGKILL),
            "node": lambda: cluster.random.choice(cluster.nodes).kill(),
            "scheduler": cluster.kill_scheduler,
        }

    def run(self) -> None:
        began = time.monotonic()
        due = dict(EVERY)
        while (passed := time.monotonic() - began) < self.seconds:
            for what, when in due.items():
                if passed >= when:
                    due[what] += EVERY[what]
                    with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                        self.deaths[what]()
            for name, pid in self._living():
                with contextlib.suppress(psutil.NoSuchProcess):
                    process = psutil.Process(pid)
                    look = Look(passed, process.memory_info().rss / 1e6, process.num_fds())
                    self.lives.setdefault(pid, Life(name, [])).looks.append(look)
            time.sleep(LOOK)

    def _living(self) -> Iterator[tuple[str, int]]:
        yield "client", self.cluster.program.pid
        yield "scheduler", self.cluster.shared.program.pid
        for node in self.cluster.nodes:
            yield f"node {node.name}", node.program.pid

    def judge(self) -> list[str]:
        """Print the figures; a sentence for each that is too high."""
        found = []
        since = self.seconds / 3
        for pid, life in self.lives.items():
            # A node that is started again has no servers at first.
            begun = max(since, life.looks[0].when + SETTLED)
            rise = life.rise(begun)
            if rise is None:
                continue
            more = life.more_descriptors(begun)
            last = life.looks[-1]
            lasted = last.when - life.looks[0].when
            print(
                f"soak: {life.name} ({pid}): {last.memory:.1f} MB, {rise:+.2f} MB in 10 minutes, "
                f"{more:+d} descriptors to {last.descriptors}, in {lasted:.0f} s"
            )
            if since >= WARM and rise > MAX_RISE:
                found.append(f"{life.name} grew by {rise:.2f} MB in 10 minutes")
            if more > MAX_DESCRIPTORS:
                found.append(f"{life.name} has {more} descriptors more")
        return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args()
    # As users run it: what checks itself after each event costs memory and time.
    os.environ.pop("DISPYCOS_VALIDATE", None)
    os.environ[helpers.RUN_MARK] = uuid.uuid4().hex
    print(f"soak: seed {options.seed}, {options.seconds:g} s", flush=True)
    with tempfile.TemporaryDirectory(prefix="dispycos-soak-") as folder, contextlib.ExitStack() as stack:
        cluster = Cluster(Place(Path(folder), stack), options.seed, calm=True)
        soak = Soak(cluster, options.seconds)
        try:
            soak.run()
            cluster.finish(HEAL)
            books = ledgers.read(cluster.ledgers)
            found = soak.judge() + books.problems()
            print(f"soak: {books}; {len(books.allowed) / options.seconds:.0f} a second")
            cluster.close()
        except AssertionError as exc:
            found = [f"{exc}", waiting(ledgers.read(cluster.ledgers))]
    for problem in found[:20]:
        print(f"soak: {problem}")
    print(f"soak: seed {options.seed} {'failed' if found else 'passed'}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
