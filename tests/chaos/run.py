"""A chaos run: hurt a cluster for a while, let it heal, and compare the ledgers.

    python -m tests.chaos.run [--seed N] [--seconds S] [--nodes N]      (make chaos SEED=N SECONDS=S)

Prints the seed first, then each verb with its time. In real processes a seed gives the same verbs and
tasks in the same order; the moments are the machine's. Exit code 1 if anything
was lost, doubled, left or hung.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import sys
import tempfile
import time
import uuid
from collections import Counter
from pathlib import Path

from tests import helpers
from tests.chaos import ledgers
from tests.chaos.cluster import Cluster
from tests.chaos.ledgers import Books
from tests.process.schedulers import Place

PAUSE = 0.7  # seconds between two verbs, on average
LONG = 30.0  # seconds; a run that takes as long kills a client at its end
HEAL = 90.0  # seconds at most until all has ended when nobody is hurt any more
# Beside the verbs: what every process of the cluster does to itself.
THEMSELVES = (
    "seed={seed},cut:session@poisson=5s,clock:+3600s@4s,clock:-7200s@9s,delay:result=5ms,drop:pulse=0.1,"
    "dup:pulse=0.1,dup:result=0.1,dup:seen=0.1,drop:report=0.1"
)


def chaos(folder: Path, seed: int, seconds: float, nodes: int = 2) -> tuple[Books, Counter[str]]:
    """One run; AssertionError says what is wrong. Answers the books, and how often each verb struck."""
    moments = random.Random(f"moments {seed}")
    struck: Counter[str] = Counter()
    with contextlib.ExitStack() as stack:
        cluster = Cluster(Place(folder, stack), seed, nodes)
        began = time.monotonic()
        print(f"chaos: seed {seed}, {seconds:g} s, {nodes} nodes, in {folder}", flush=True)
        while (passed := time.monotonic() - began) < seconds:
            time.sleep(min(moments.expovariate(1 / PAUSE), 3 * PAUSE))
            cluster.undo()
            name = cluster.strike()
            struck[name] += 1
            print(f"chaos: {passed:6.1f} s  {name}", flush=True)
            assert cluster.program.process.poll() is None, f"the program ended:\n{cluster.program.output}"
        try:
            cluster.finish(HEAL)
        except AssertionError as exc:
            raise AssertionError(f"{exc}\n{waiting(ledgers.read(cluster.ledgers))}") from None
        books = ledgers.read(cluster.ledgers)
        problems = books.problems()
        assert not problems, f"{len(problems)} problems:\n" + "\n".join(problems[:20])
        if seconds >= LONG:
            cluster.kill_client()
            struck["kill the client"] += 1
        cluster.close()
    return books, struck


def waiting(books: Books) -> str:
    """Which tasks have no end."""
    left = [task for task in books.allowed if task not in books.ended]
    return f"{books}; {len(left)} have not ended: " + ", ".join(
        f"{task} (began {books.begun[task]}, done {books.done[task]})" for task in left[:20]
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--nodes", type=int, default=2)
    options = parser.parse_args()
    os.environ["DISPYCOS_VALIDATE"] = "1"
    os.environ["DISPYCOS_CHAOS"] = THEMSELVES.format(seed=options.seed)
    os.environ[helpers.RUN_MARK] = uuid.uuid4().hex
    before = helpers.census()
    with tempfile.TemporaryDirectory(prefix="dispycos-chaos-") as folder:
        try:
            books, struck = chaos(Path(folder), options.seed, options.seconds, options.nodes)
            if left := helpers.leftovers(before):
                raise AssertionError("left behind: " + "; ".join(left))
        except AssertionError as exc:
            print(f"chaos: seed {options.seed} failed: {exc}", flush=True)
            return 1
    print(f"chaos: {books}")
    print("chaos: " + ", ".join(f"{count} times: {name}" for name, count in struck.most_common()))
    print(f"chaos: seed {options.seed} passed: nothing was lost, doubled, left or hung")
    return 0


if __name__ == "__main__":
    sys.exit(main())
