"""Measure: interleaved repeats, medians with their spread, ratios. Asserts no time, ever.

Each peer lives in a process of its own (`bench.runner`), so that no one's threads, loops or
settings touch another's. Within a workload the peers take turns, round after round; the ratio
is the median over the rounds, so what disturbs the machine for a while disturbs all alike.
Peers whose daemons work also while they have no turn (`Peer.restless`) would disturb the
others: each of them takes turns with dispycos alone, when the others have gone.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pkgutil
import platform
import selectors
import signal
import statistics
import string
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

import bench.peers
from bench import memory, scale, targets
from bench.targets import OURS
from bench.workloads import LESS, OWN, START, WORKERS, WORKLOADS, Workload

# Nothing any peer does may hang the run.
START_LIMIT = 90.0  # seconds for the workers to come up
TRY_LIMIT = 60.0  # for one try or repeat
STOP_LIMIT = 15.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to measure."""

    workloads: tuple[str, ...]  # ids
    repeats: int = 5
    seconds: float = 0.3  # that one repeat is to take; its size follows from a first try
    slow_start: float = 2.5  # a peer that starts slower is started only once for P8; inf: never


@dataclass(slots=True)
class Result:
    """One peer at one workload."""

    workload: str
    title: str
    unit: str
    peer: str
    version: str
    size: int  # units in one repeat
    figures: list[float]  # one a round
    ratios: list[float] = field(
        default_factory=list
    )  # ours to this one's, one a round; over 1: we are better

    @property
    def median(self) -> float:
        return statistics.median(self.figures)

    @property
    def ratio(self) -> float | None:
        return statistics.median(self.ratios) if self.ratios else None


@dataclass(slots=True)
class Report:
    """All that a run found."""

    results: list[Result] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)  # peers that are not installed
    failed: dict[str, str] = field(default_factory=dict)  # peer, or peer and workload -> why
    kernel: str = ""  # what bench.kernel printed
    seconds: float = 0.0  # that the run took

    def as_json(self) -> dict[str, Any]:
        return {
            "when": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.machine()}",
            "cpus": os.cpu_count(),
            "workers": WORKERS,
            "seconds": round(self.seconds, 1),
            "results": [
                asdict(result) | {"median": result.median, "ratio": result.ratio} for result in self.results
            ],
            "missing": self.missing,
            "failed": self.failed,
            "kernel": self.kernel,
        }


class Failed(Exception):
    """A peer did not do what it was asked; the text says what happened."""


class Runner:
    """A peer's process, seen from here.

    tree  the checkout that its dispycos comes from; None: this one.
    """

    def __init__(self, module: str, tree: Path | None = None) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.runner", module, *([str(tree)] if tree else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            bufsize=1,
            start_new_session=True,
        )

    def ask(self, limit: float, **command: Any) -> dict[str, Any]:
        """Have one command done; Failed with the reason if it isn't, or not in `limit` seconds."""
        assert self._process.stdin and self._process.stdout
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(command) + "\n")
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(limit):
                raise Failed(f"{command['do']} took more than {limit:.0f} s")
        line = self._process.stdout.readline()
        if not line:
            raise Failed(f"its process ended: {self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise Failed(answer["error"])
        return answer

    @property
    def pid(self) -> int:
        return self._process.pid

    def _last_words(self) -> str:
        self._process.wait(5)
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else f"exit status {self._process.returncode}"

    def close(self) -> None:
        """Stop the peer; then end every process that it started."""
        family = self._family()
        with contextlib.suppress(Failed, OSError):
            self.ask(STOP_LIMIT, do="stop")
        # Stopped, it can't have children that we don't see.
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGSTOP)
        for process in {*family, *self._family()}:
            # psutil refuses if the number was given out anew since.
            with contextlib.suppress(psutil.Error):
                process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            with contextlib.suppress(OSError):
                stream.close()  # type: ignore[union-attr]

    def _family(self) -> list[psutil.Process]:
        try:
            process = psutil.Process(self._process.pid)
            return [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []


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
            seconds, _ = outcome
            wanted = max(1, min(workload.most, int(n * plan.seconds / seconds)))
            if wanted <= 2 * n or n == workload.most:
                sizes[name], figures[name] = max(wanted, min(n, workload.first)), []
                break
            n = min(wanted, 10 * n)
    for _ in range(plan.repeats):
        for name in list(sizes):
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
    _add_ratios(results, less_is_better=workload.less)
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
            if seconds > plan.slow_start and peers[name].name != OURS:
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
    _add_ratios(results, less_is_better=True)
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


def _add_ratios(results: list[Result], less_is_better: bool = False) -> None:
    """Set ours ÷ theirs, round by round; theirs ÷ ours where less is better."""
    ours = next((result for result in results if result.peer == OURS), None)
    if ours is None:
        return
    for result in results:
        pairs = zip(ours.figures, result.figures, strict=False)
        result.ratios = [b / a if less_is_better else a / b for a, b in pairs if a and b]


def run_kernel(arguments: list[str]) -> str:
    """What `python -m bench.kernel` prints; it has its own peers, in one thread."""
    if importlib.util.find_spec("bench.kernel") is None:
        return "bench/kernel.py is not there yet"
    done = subprocess.run(
        [sys.executable, "-m", "bench.kernel", *arguments], capture_output=True, text=True, timeout=300
    )
    return done.stdout.strip() if done.returncode == 0 else f"failed: {done.stderr.strip()[-500:]}"


def table(report: Report) -> str:
    """Everything measured, best first within a workload, each aim beside what decides it."""
    lines = [
        f"{'':4}{'peer':28}{'median':>8}  {'lowest':>8} {'highest':>8}  {'runs':>4}  dispycos ÷ peer  aim"
    ]
    current = ""
    for result in sorted(report.results, key=_order):
        if result.workload != current:
            current = result.workload
            lines += ["", f"{result.workload}  {result.title} [{result.unit}]"]
        same = [other for other in report.results if other.workload == result.workload]
        aim = targets.said(result, same)
        ratio = f"{result.ratio:.2f}×" if result.ratio is not None and result.peer != OURS else ""
        lines.append(
            f"    {f'{result.peer} {result.version}'.strip():28}{_short(result.median):>8}"
            f"  {_short(min(result.figures)):>8} {_short(max(result.figures)):>8}"
            f"  {len(result.figures):>4}  {ratio:>15}  {aim}".rstrip()
        )
    if report.kernel:
        lines += ["", "P7  kernel alone, one thread", *(f"    {line}" for line in report.kernel.splitlines())]
    lines.append("")
    if report.missing:
        lines.append(f"not installed: {', '.join(report.missing)}  (make bench-peers installs them)")
    lines += [f"failed: {name}: {why}" for name, why in report.failed.items()]
    lines.append(
        f"{report.seconds:.0f} s, {WORKERS} workers, {os.cpu_count()} CPUs; only the ratios carry over"
    )
    return "\n".join(lines)


def _order(result: Result) -> tuple[int, str, float]:
    number = int(result.workload[1:].rstrip(string.ascii_uppercase))
    return (number, result.workload, result.median if result.workload in LESS else -result.median)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
