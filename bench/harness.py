"""Measure: interleaved repeats, medians with their spread, ratios. Asserts no time, ever.

Each peer lives in a process of its own (`bench.runner`), so that no one's threads, loops or
settings touch another's. Within a workload the peers take turns, round after round; the ratio
is the median over the rounds, so what disturbs the machine for a while disturbs all alike.
Peers whose daemons work also while they have no turn (`Peer.restless`) would disturb the
others: each of them takes turns with dispycos alone, when the others have gone.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import bench.peers
from bench import memory, scale
from bench.process import Failed, Runner
from bench.results import OURS, Report, Result, add_ratios
from bench.workloads import OWN, START, WORKLOADS, Workload

# Nothing any peer does may hang the run.
START_LIMIT = 90.0  # seconds for the workers to come up
TRY_LIMIT = 60.0  # for one try or repeat


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to measure."""

    workloads: tuple[str, ...]  # ids
    repeats: int = 5
    seconds: float = 0.2  # that one repeat is to take; its size follows from a first try
    # A peer that takes longer to start, or for the least that a try can be, does it only once: it is no
    # rival there, and would take most of the run.
    slow: float = 2.5  # seconds; inf: never


def adapters() -> dict[str, Any]:
    """Module name -> Peer class, ours first."""
    names = [info.name for info in pkgutil.iter_modules(bench.peers.__path__)]
    names = [name for name in names if name != "base"]
    names.sort(key=lambda name: (name != "ours", name))
    return {name: importlib.import_module(f"bench.peers.{name}").Peer for name in names}


def run(plan: Plan, say: Callable[[str], None], peers: Iterable[str] | None = None) -> Report:
    """Measure what `plan` names. `say` gets a line for each step."""
    report = Report()
    began = time.monotonic()
    chosen = {name: peer for name, peer in adapters().items() if peers is None or name in peers}
    for peer in chosen.values():
        if not peer.installed():
            report.missing.append(peer.name)
    chosen = {name: peer for name, peer in chosen.items() if peer.installed()}
    starts: dict[str, float] = {}
    for group in groups(chosen):
        found = _run_group(plan, group, starts, report, say)
        # Ours as measured among the quiet ones is what the table shows; the ratios of the others
        # are worked out already.
        known = {(result.workload, result.peer) for result in report.results}
        report.results += [result for result in found if (result.workload, result.peer) not in known]
    if START in plan.workloads:
        say(f"{START} start to first result")
        report.results += _measure_starts(plan, starts, chosen, report)
    if any(peer.name == OURS for peer in chosen.values()):
        report.results += _measure_own(plan, report, say)
    report.seconds = time.monotonic() - began
    return report


def groups(chosen: dict[str, Any]) -> list[dict[str, Any]]:
    """Who is measured together: all that are quiet, then each restless one beside dispycos."""
    quiet = {name: peer for name, peer in chosen.items() if not peer.restless}
    ours = {name: peer for name, peer in quiet.items() if peer.name == OURS}
    restless = [ours | {name: peer} for name, peer in chosen.items() if peer.restless]
    return [group for group in (quiet, *restless) if group]


def _run_group(
    plan: Plan, peers: dict[str, Any], starts: dict[str, float], report: Report, say: Callable[[str], None]
) -> list[Result]:
    runners: dict[str, Runner] = {}
    results: list[Result] = []
    try:
        for name, peer in peers.items():
            say(f"starting {peer.name}")
            runner = runners[name] = Runner(name)
            try:
                seconds = runner.ask(START_LIMIT, do="start")["seconds"]
                starts.setdefault(name, seconds)
            except Failed as exc:
                report.failed[peer.name] = str(exc)
                runners.pop(name).close()
        for workload in WORKLOADS:
            able = [name for name in runners if hasattr(peers[name], workload.method)]
            # Ours was measured among the quiet ones: without a restless one it need not be again.
            again = len(able) < len(peers) and any(peer.restless for peer in peers.values())
            if workload.id in plan.workloads and able and not again:
                say(f"{workload.id} {workload.title}")
                results += _measure(workload, plan, {n: runners[n] for n in able}, peers, report)
    finally:
        for runner in runners.values():
            runner.close()
    return results


def _measure(
    workload: Workload, plan: Plan, runners: dict[str, Runner], peers: dict[str, Any], report: Report
) -> list[Result]:
    sizes: dict[str, int] = {}
    figures: dict[str, list[float]] = {}
    once: dict[str, float] = {}  # of those that are too slow for more

    def attempt(name: str, n: int) -> tuple[float, float] | None:
        """Seconds and figure of one try; None, and the peer is out, if it failed."""
        try:
            answer = runners[name].ask(TRY_LIMIT, do="run", method=workload.method, n=n)
        except Failed as exc:
            report.failed[f"{peers[name].name}, {workload.id}"] = str(exc)
            sizes.pop(name, None)
            figures.pop(name, None)
            return None
        seconds = max(answer["seconds"], 1e-9)
        return seconds, _figure(workload, n, seconds, answer["value"])

    for name in list(runners):
        n = workload.first
        # Tries that are too short to tell grow tenfold; the last one was warm.
        while outcome := attempt(name, n):
            seconds, figure = outcome
            if seconds > plan.slow and n == workload.first and peers[name].name != OURS:
                once[name] = figure
                break
            wanted = max(1, min(workload.most, int(n * plan.seconds / seconds)))
            if wanted <= 2 * n or n == workload.most:
                sizes[name], figures[name] = max(wanted, min(n, workload.first)), []
                break
            n = min(wanted, 10 * n)
    for name, figure in once.items():
        sizes[name], figures[name] = workload.first, [figure]
    for _ in range(plan.repeats):
        for name in list(sizes.keys() - once.keys()):
            if outcome := attempt(name, sizes[name]):
                figures[name].append(outcome[1])
    results = [
        Result(
            workload.id,
            workload.title,
            workload.unit,
            peers[name].name,
            peers[name].version(),
            sizes[name],
            f,
        )
        for name, f in figures.items()
    ]
    add_ratios(results, less_is_better=workload.less)
    return results


def _figure(workload: Workload, n: int, seconds: float, value: float | None) -> float:
    if value is not None:  # the adapter worked the figure out itself
        return value
    return n * 2 * workload.mebibytes / seconds if workload.mebibytes else n / seconds


def _measure_starts(
    plan: Plan, starts: dict[str, float], peers: dict[str, Any], report: Report
) -> list[Result]:
    figures: dict[str, list[float]] = {name: [] for name in starts}
    for _ in range(plan.repeats):
        for name, seconds in starts.items():
            if seconds > plan.slow and peers[name].name != OURS:
                figures[name] = [seconds]
                continue
            runner = Runner(name)
            try:
                figures[name].append(runner.ask(START_LIMIT, do="start")["seconds"])
            except Failed as exc:
                report.failed[f"{peers[name].name}, {START}"] = str(exc)
            finally:
                runner.close()
    results = [
        Result(START, "start to first result", "seconds", peers[name].name, peers[name].version(), 1, f)
        for name, f in figures.items()
        if f
    ]
    add_ratios(results, less_is_better=True)
    return results


def _measure_own(plan: Plan, report: Report, say: Callable[[str], None]) -> list[Result]:
    """What concerns dispycos alone, each in processes of its own."""
    found: dict[str, list[float]] = {}

    def measure(ids: str, work: Callable[[], dict[str, list[float]]]) -> None:
        if wanted := {*ids.split(",")} & {*plan.workloads}:
            say(f"{ids} {OWN[min(wanted)][0]}")
            try:
                figures = work()
            except (subprocess.SubprocessError, OSError) as exc:
                report.failed |= {f"{OURS}, {id_}": str(exc) for id_ in wanted}
            else:
                found.update((id_, figures[id_]) for id_ in sorted(wanted))

    measure("P8I", lambda: {"P8I": [_import_seconds() for _ in range(plan.repeats)]})
    measure("P9S,P9T", lambda: memory.measure(plan.repeats))
    measure("P10,P10D,P10F", lambda: scale.measure(plan.repeats))
    version = adapters()["ours"].version()
    return [Result(id_, OWN[id_][0], OWN[id_][1], OURS, version, 1, f) for id_, f in found.items()]


def _import_seconds() -> float:
    program = "import time; began = time.perf_counter(); import dispycos; print(time.perf_counter() - began)"
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=TRY_LIMIT
    )
    return float(done.stdout)


def run_kernel(arguments: list[str]) -> str:
    """What `python -m bench.kernel` prints; it has its own peers, in one thread."""
    if importlib.util.find_spec("bench.kernel") is None:
        return "bench/kernel.py is not there yet"
    done = subprocess.run(
        [sys.executable, "-m", "bench.kernel", *arguments], capture_output=True, text=True, timeout=300
    )
    return done.stdout.strip() if done.returncode == 0 else f"failed: {done.stderr.strip()[-500:]}"
