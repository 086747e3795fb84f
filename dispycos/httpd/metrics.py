"""Figures in the text form that Prometheus reads, made without a library (MO-35).

Names carry their unit; counters never fall; no label holds a text of users but names of
functions, of which there are at most MAX_NAMES.

Pure. Layer 2. Rows MO-35, SE-46, SE-110.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dispycos.config import RELEASE
from dispycos.httpd.tasks import ENDS
from dispycos.httpd.view import View
from dispycos.model import End

BOUNDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 600.0, 3600.0)  # seconds
MAX_NAMES = 100  # functions with a label of their own
OTHER = "other"
MAX_NODES = 1000  # with an age of their pulse; beyond it there is none


@dataclass(slots=True)
class Histogram:
    """How often something took how long."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    total: float = 0.0  # seconds

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds


@dataclass(slots=True)
class Tally:
    """What is counted of every task, also of those that no row is kept of. One writer."""

    ends: Counter[End] = field(default_factory=Counter)
    seconds: dict[str, Histogram] = field(default_factory=dict)  # function -> from placed to ended
    queued: Histogram = field(default_factory=Histogram)  # from submitted to placed first

    def ended(self, name: str, end: End, seconds: float) -> None:
        self.ends[end] += 1
        histogram = self.seconds.get(name)
        if histogram is None:
            known = len(self.seconds) < MAX_NAMES
            histogram = self.seconds.setdefault(name if known else OTHER, Histogram())
        # As `add`, without the call: this is done for each task.
        histogram.counts[bisect_left(BOUNDS, seconds)] += 1
        histogram.total += seconds


def text(view: View, figures: Mapping[str, Any], refused: Mapping[str, int], gaps: int, now: float) -> str:
    """All of them.

    figures  what the program tells beside: tally (Tally), bytes {direction: n}, sessions {state: n},
             refused {reason: n}.
    """
    cluster = view.cluster
    tally: Tally | None = figures.get("tally")  # None: tasks are not seen here
    lines: list[str] = []

    def family(name: str, kind: str, about: str, samples: Iterable[tuple[Mapping[str, str], float]]) -> None:
        lines.append(f"# HELP {name} {about}")
        lines.append(f"# TYPE {name} {kind}")
        lines.extend(f"{name}{_labels(labels)} {_number(value)}" for labels, value in samples)

    family("dispycos_build_info", "gauge", "The release that runs.", [({"release": RELEASE}, 1)])
    groups = ("initialized", "suspended", "zombie", "other")
    family(
        "dispycos_nodes", "gauge", "Nodes by state.", [({"state": s}, cluster[f"nodes_{s}"]) for s in groups]
    )
    states = ("busy", "idle", "other")
    family(
        "dispycos_servers",
        "gauge",
        "Server processes by state.",
        [({"state": s}, cluster[f"servers_{s}"]) for s in states],
    )
    family(
        "dispycos_tasks",
        "gauge",
        "Tasks that live, by state.",
        [({"state": s}, cluster[s]) for s in ("waiting", "running") if cluster[s] is not None],
    )
    if tally is not None:
        ends: Counter[str] = Counter()
        for end in End:
            ends[ENDS[end]] += tally.ends[end]
        family(
            "dispycos_tasks_total",
            "counter",
            "Tasks that ended, by outcome.",
            [({"outcome": name.replace(" ", "_")}, count) for name, count in sorted(ends.items())],
        )
        _histograms(lines, "dispycos_task_seconds", "From handed over to ended.", tally.seconds, "function")
        _histograms(lines, "dispycos_queue_seconds", "From submitted to handed over.", {"": tally.queued}, "")
    living = [node.row for node in view.nodes.values() if not node.closed]
    if len(living) <= MAX_NODES:
        family(
            "dispycos_pulse_age_seconds",
            "gauge",
            "Since the node was heard.",
            [
                ({"node": f"{row['address']}:{row['port']}"}, max(0.0, now - row["pulse"]))
                for row in living
                if row["pulse"] is not None
            ],
        )
    for name, metric, about, label in (
        ("bytes", "dispycos_bytes_total", "Bytes of messages to and from other processes.", "direction"),
        ("sessions", "dispycos_sessions", "Sessions with other processes.", "state"),
    ):
        family(
            metric,
            "counter" if metric.endswith("_total") else "gauge",
            about,
            [({label: key}, value) for key, value in sorted(figures.get(name, {}).items())],
        )
    all_refused = Counter({f"http_{reason}": count for reason, count in refused.items()})
    all_refused.update(figures.get("refused", {}))
    family(
        "dispycos_refused_total",
        "counter",
        "Connections and requests that were refused.",
        [({"reason": reason}, count) for reason, count in sorted(all_refused.items())],
    )
    family("dispycos_monitor_browsers", "gauge", "Browsers that watch.", [({}, cluster["browsers"])])
    family(
        "dispycos_monitor_gaps_total", "counter", "Browsers that missed updates twice in a row.", [({}, gaps)]
    )
    return "\n".join(lines) + "\n"


def _histograms(
    lines: list[str], name: str, help: str, histograms: Mapping[str, Histogram], label: str
) -> None:
    lines.append(f"# HELP {name} {help}")
    lines.append(f"# TYPE {name} histogram")
    for value, histogram in sorted(histograms.items()):
        labels = {label: value} if label else {}
        reached = 0
        for bound, count in zip((*BOUNDS, float("inf")), histogram.counts, strict=True):
            reached += count
            upper = "+Inf" if bound == float("inf") else f"{bound:g}"
            lines.append(f"{name}_bucket{_labels({**labels, 'le': upper})} {reached}")
        lines.append(f"{name}_sum{_labels(labels)} {_number(histogram.total)}")
        lines.append(f"{name}_count{_labels(labels)} {reached}")


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    inner = ",".join(f'{name}="{escaped(value)}"' for name, value in labels.items())
    return f"{{{inner}}}"


def escaped(value: str) -> str:
    """A label's value: quotes, backslashes and line ends escaped, other controls as text."""
    value = value[:200].replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return "".join(char if char.isprintable() else f"\\\\u{ord(char):04x}" for char in value)


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(round(value, 6))
