"""`make bench`, or `python -m bench`: measure dispycos beside the peers that are installed."""

from __future__ import annotations

import argparse
import json
import math
import signal
import sys
import time
from pathlib import Path

from bench import harness, plot
from bench.results import Report
from bench.table import table
from bench.workloads import IDS, KERNEL, OWN, START, WORKLOADS, ids_of

HERE = Path(__file__).parent


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--all", action="store_true", help="every workload, longer repeats, every start")
    parser.add_argument("--only", metavar="P1,P2", help=f"only these of {', '.join(IDS)}")
    parser.add_argument("--peers", metavar="NAMES", help=f"only these of {', '.join(harness.adapters())}")
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="rounds, at least 5 (default: 5)")
    parser.add_argument("--json", type=Path, default=HERE / "results.json", metavar="FILE", help="where to")
    options = parser.parse_args(arguments)
    if options.repeats < 5:
        parser.error("fewer than 5 repeats tell nothing")
    names = options.only.upper().split(",") if options.only else ()
    if unknown := [name for name in names if not ids_of(name)]:
        parser.error(f"no workload {', '.join(sorted(unknown))}; there are {', '.join(IDS)}")
    named = dict.fromkeys(id_ for name in names for id_ in ids_of(name))
    options.ids = tuple(named) or default_ids(options.all)
    options.peers = options.peers.split(",") if options.peers else None
    if unknown := set(options.peers or ()) - set(harness.adapters()):
        parser.error(f"no peer {', '.join(sorted(unknown))}; there are {', '.join(harness.adapters())}")
    return options


def default_ids(everything: bool) -> tuple[str, ...]:
    measured = (workload.id for workload in WORKLOADS if everything or workload.short)
    return (*measured, KERNEL, START, *OWN)


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    # As Ctrl-C does: what the peers started ends with us.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    plan = harness.Plan(
        workloads=options.ids,
        repeats=options.repeats,
        seconds=1.0 if options.all else 0.2,
        slow=math.inf if options.all else 2.5,
    )

    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:4.0f} s  {text}", file=sys.stderr, flush=True)

    if set(options.ids) == {KERNEL}:
        report = Report()
    else:
        report = harness.run(plan, say, options.peers)
    if KERNEL in options.ids:
        say(f"{KERNEL} kernel alone")
        report.kernel = harness.run_kernel([])
    print(table(report))
    options.json.write_text(json.dumps(report.as_json(), indent=1) + "\n")
    print(f"written: {options.json}", end="")
    if report.results:
        picture = options.json.with_suffix(".svg")
        picture.write_text(plot.svg(report))
        print(f", {picture}", end="")
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
