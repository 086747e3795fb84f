"""`python -m bench.cost`: what a unit of P1 to P4 costs, on a machine that is busy otherwise, too.

A rate says little while others compute on the same processors. Processor time, calls, wake-ups
and system calls say nearly the same whoever else is there, so a change is judged by them. The
sides take turns, round after round; medians of the rounds are shown.

    us          microseconds of processor time, of user and system, by all threads
    wake-ups    how often a thread slept and was woken
    calls       Python functions entered on the threads that run tasks (dispycos only)
    syscalls    by strace, where it is there and may attach; in a run of its own
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from bench.harness import START_LIMIT, TRY_LIMIT, adapters
from bench.process import STOP_LIMIT, Failed, Runner
from bench.workloads import Workload, by_id

MEASURED = ("P1", "P2", "P3", "P4")
SIZES = {"P1": 20_000, "P2": 2_000, "P3": 2_000, "P4": 20_000}  # units of a round
COUNTED = {"P1": 5_000, "P2": 500, "P3": 500, "P4": 5_000}  # units while calls are counted
STRACE_WAIT = 2.0  # seconds that strace may take to attach to all threads

_SWITCHES = re.compile(r"^voluntary_ctxt_switches:\s*(\d+)", re.MULTILINE)
_TOTAL = re.compile(r"^\s*100\.00\s+\S+\s+\S*\s+(\d+)\s.*total$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Used:
    """What the processes of one side have used so far, the client's and all others'."""

    client: tuple[float, int]  # microseconds, wake-ups
    others: tuple[float, int]


def used(pid: int) -> Used:
    """Of the process that drives a peer, and of all below it."""
    family = [child.pid for child in psutil.Process(pid).children(recursive=True)]
    others = [_of_process(child) for child in family]
    return Used(_of_process(pid), (sum(us for us, _ in others), sum(woken for _, woken in others)))


def _of_process(pid: int) -> tuple[float, int]:
    us, woken = 0.0, 0
    # A thread or process that ends meanwhile is left out.
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                us += int((thread / "schedstat").read_text().split()[0]) / 1000
                woken += int(_SWITCHES.findall((thread / "status").read_text())[0])
    return us, woken


class Side:
    """One peer, from one tree."""

    def __init__(self, module: str, tree: Path | None) -> None:
        self.name = adapters()[module].name + (f" of {tree}" if tree else "")
        self.counts = module == "ours"
        self.runner = Runner(module, tree)
        self.runner.ask(START_LIMIT, do="start")

    def run(self, workload: Workload, n: int) -> dict[str, Any]:
        return self.runner.ask(TRY_LIMIT, do="run", method=workload.method, n=n)

    def round(self, workload: Workload, n: int) -> list[float]:
        """Client's us and wake-ups, the others', and units a second."""
        before = used(self.runner.pid)
        seconds = self.run(workload, n)["seconds"]
        after = used(self.runner.pid)
        pairs = zip((*after.client, *after.others), (*before.client, *before.others), strict=True)
        return [*((late - early) / n for late, early in pairs), n / seconds]

    def calls(self, workload: Workload, n: int) -> list[float]:
        """Python functions entered for a unit, by the client and by all servers."""
        if not self.counts:
            return []
        self.runner.ask(TRY_LIMIT, do="run", method="begin_counting", n=0)
        self.run(workload, n)
        counted: list[int] = self.runner.ask(TRY_LIMIT, do="run", method="counted", n=0)["value"]
        return [count / n for count in counted]

    def syscalls(self, workload: Workload, n: int) -> list[float]:
        """Of the client and of all others, for a unit; [] where strace can't tell."""
        if shutil.which("strace") is None:
            return []
        family = [child.pid for child in psutil.Process(self.runner.pid).children(recursive=True)]
        with _Strace([self.runner.pid]) as client, _Strace(family) as others:
            time.sleep(STRACE_WAIT)
            self.run(workload, n)
        counts = [client.count, others.count]
        return [count / n for count in counts if count is not None]


class _Strace:
    """Counts the system calls of some processes while it is entered."""

    def __init__(self, pids: list[int]) -> None:
        self.count: int | None = None  # None: nothing was learnt
        self._file = tempfile.NamedTemporaryFile()  # noqa: SIM115 - closed in __exit__
        which = [word for pid in pids for word in ("-p", str(pid))]
        self._process = subprocess.Popen(
            ["strace", "-f", "-c", "-q", "-o", self._file.name, *which], stderr=subprocess.DEVNULL
        )

    def __enter__(self) -> _Strace:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGINT)
        self._process.wait(STOP_LIMIT)
        found = _TOTAL.search(Path(self._file.name).read_text())
        self.count = int(found[1]) if found else None
        self._file.close()


def measure(sides: list[Side], workload: Workload, rounds: int, strace: bool) -> list[str]:
    """The table of one workload, a line for each side."""
    n, few = SIZES[workload.id], COUNTED[workload.id]
    figures: dict[Side, list[list[float]]] = {}
    for side in sides:
        with contextlib.suppress(Failed):  # it lacks the workload
            side.run(workload, n)
            figures[side] = []
    for _ in range(rounds):
        for side, found in figures.items():
            found.append(side.round(workload, n))
    lines = [f"{workload.id}  {workload.title}"]
    for side, found in figures.items():
        us, woken, others_us, others_woken, rate = (statistics.median(c) for c in zip(*found, strict=True))
        counted = [side.calls(workload, few), side.syscalls(workload, few) if strace else []]
        lines.append(
            f"    {side.name:34.34}{us:8.1f} +{others_us:7.1f}{us + others_us:8.1f}"
            f"{woken:9.3f} +{others_woken:6.3f}"
            + "".join(f"{c[0]:9.2f} +{c[1]:7.2f}" if len(c) == 2 else f"{'':18}" for c in counted)
            + f"{rate:10,.0f}"
        )
    return lines


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.cost", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", default=",".join(MEASURED), metavar="P1,P4", help="only these")
    parser.add_argument("--peers", default="ours", metavar="NAMES", help="adapters (default: ours)")
    parser.add_argument("--against", type=Path, metavar="TREE", help="a second dispycos, from its checkout")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="default: 5")
    parser.add_argument("--no-strace", action="store_true", help="count no system calls")
    options = parser.parse_args(arguments)
    ids = options.only.upper().split(",")
    names = options.peers.split(",")
    if unknown := (set(ids) - set(MEASURED)) | (set(names) - set(adapters())):
        parser.error(f"nothing is known of {', '.join(sorted(unknown))}")
    sides: list[Side] = []
    try:
        sides += [Side(name, None) for name in names]
        if options.against is not None:
            sides.append(Side("ours", options.against.resolve()))
        heads = f"{'us: client':>14} +{'others':>7}{'sum':>8}{'woken':>9} +{'others':>6}"
        print(f"{'':24}{heads}{'calls':>9} +{'servers':>7}{'syscalls':>9} +{'others':>7}{'rate':>10}")
        for id_ in ids:
            lines = measure(sides, by_id(id_), options.rounds, not options.no_strace)
            print("\n".join(lines), flush=True)
    finally:
        for side in sides:
            side.runner.close()
    print(f"medians of {options.rounds} rounds, on {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
