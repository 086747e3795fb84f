"""What a run found, as text: each peer of each workload, and each aim beside what decides it."""

from __future__ import annotations

import os
import string

from bench import targets
from bench.results import OURS, Report, Result
from bench.workloads import LESS, WORKERS


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
