"""Which clocks the package reads, checked in the source (R-51, R-25)."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Iterable, Mapping

import pytest

from dispycos.messages import NUMBERS
from tests import imports

# The one reader of the clock that deadlines, silences and delays are measured with is `time.monotonic`.
MEASURES = "monotonic"
# Where the wall clock is read, how often, and what for: it decides nothing of these but what is said.
WALL = {
    "chaos.present": "a clock that jumps on purpose",
    "client.work": "when a task was created, as its status says",
    "commands.dump": "the name of a report",
    "compat.logger": "the time of a log line",
    "compat.statuses": "when a task was created, as pycos's statuses say",
    "doctor.network": "how far another machine's clock is off",
    "httpd.client_surroundings": "times that a page shows",
    "httpd.monitor": "times that a page shows",
    "httpd.telling": "times that a page shows",
    "net.certificate": "whether a certificate holds today",
    "net.discovery": "the age of a datagram, which is a hint and no more (SE-30)",
    "node.hours": "service hours",
    "node.ties": "the age of a process where its start is told in wall clock time",
    "scheduler.journal": "names of damaged files; lease numbers that rise where the journal is lost",
    "terminal.screen": "times that are shown",
    "terminal.show": "times that are shown",
    "terminal.status": "times that are shown",
    "terminal.subscription": "times that are shown",
}  # fmt: skip
# The readers of any other clock: which one, and what it says that the one above cannot.
OTHER = {
    "demo": {"process_time": "what this process itself used of a CPU, to be told apart from waiting"},
    "node.ties": {"clock_gettime": "the age of a process, whose start Linux counts from the boot"},
}  # fmt: skip
_OF_WALL = {"time", "time_ns", "localtime", "gmtime", "strftime", "ctime", "asctime", "mktime"}
_ELSE = {
    "perf_counter",
    "perf_counter_ns",
    "monotonic_ns",
    "process_time",
    "clock_gettime",
    "clock_gettime_ns",
}


def reads(tree: ast.Module) -> set[str]:
    """What of `time`, and of datetime's clock, the module of that tree names."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id == "time":
                found.add(node.attr)
            elif node.value.id in ("datetime", "date") and node.attr in ("now", "utcnow", "today"):
                found.add("datetime." + node.attr)
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            found.update("from time import " + name.name for name in node.names)
    return found


def problems(read: Mapping[str, Iterable[str]]) -> list[str]:
    """A sentence for each clock that a module reads, by its name, and may not."""
    found = []
    for name, clocks in read.items():
        for what in clocks:
            if what in OTHER.get(name, ()):
                continue
            if what in _ELSE or what.startswith(("from time", "datetime.")):
                found.append(f"{name} reads {what}: measure with time.{MEASURES}")
            elif what in _OF_WALL and name not in WALL:
                found.append(f"{name} reads the wall clock (time.{what}), which may jump")
    return found


@pytest.mark.row("R-51", "R-25")
def test_what_is_measured_is_measured_by_the_clock_that_does_not_jump() -> None:
    read = {name: reads(module.tree) for name, module in imports.modules().items()}
    assert not problems(read)
    readers = {name for name, clocks in read.items() if _OF_WALL & clocks}
    assert readers == WALL.keys(), "the table names who reads the wall clock, and nobody else"
    others = {name: _ELSE & clocks for name, clocks in read.items()}
    assert {name: clocks for name, clocks in others.items() if clocks} == {
        name: clocks.keys() for name, clocks in OTHER.items()
    }, "the table names who reads another clock, and which"


@pytest.mark.row("R-51")
def test_a_module_that_read_another_clock_would_be_found() -> None:
    def of(source: str) -> list[str]:
        return problems({"errors": reads(ast.parse(source))})

    assert of("time.monotonic()") == []
    assert of("time.time()") and of("time.perf_counter()") and of("from time import monotonic")
    assert of("datetime.now(UTC)")
    assert of("time.process_time()"), "another module's leave is not this one's"


@pytest.mark.row("R-51")
def test_the_wire_carries_durations() -> None:
    moments = {"at", "when", "deadline", "until", "expires", "expiry", "now", "timestamp", "clock"}
    for kind in NUMBERS.values():
        for field in dataclasses.fields(kind):
            assert not moments & set(field.name.split("_")), f"{kind.__name__}.{field.name} is a moment"
