"""Columns: what the tables of `dispycos top` show, how it is written, and by what it is sorted.

Pure. Layer 8. Rows MO-16, MO-18 to MO-20, MO-22.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from dispycos.terminal import texts
from dispycos.terminal.model import Model, Row

# A value of a row, for one moment of the program's clock.
Value = Callable[[Row, Model, float], Any]


@dataclass(frozen=True, slots=True)
class Column:
    """One column."""

    title: str
    width: int  # cells; of one that grows the least
    value: Value  # by which it is sorted
    text: Callable[[Any], str] = str  # of a value that is not None
    right: bool = False  # numbers
    grows: bool = False  # it gets what is left of the line
    most: int = 0  # cells that it may have before another one grows; 0: its width
    need: int = 1  # in a narrow terminal the columns with the highest go first; 0 stays
    of: str = ""  # the field whose note says why the value is unknown
    lacking: str = ""  # why it is, where no note says so


def field(name: str) -> Value:
    return lambda row, model, now: row.get(name)


def since(name: str) -> Value:
    """Seconds since a time."""

    def passed(row: Row, model: Model, now: float) -> float | None:
        time = row.get(name)
        return None if time is None else max(0.0, now - time)

    return passed


def _elapsed(row: Row, model: Model, now: float) -> float | None:
    """Seconds that the present or last attempt took so far."""
    begun, ended = row.get("begun"), row.get("ended")
    return None if begun is None else max(0.0, (now if ended is None else ended) - begun)


def _named(name: str, wanted: str) -> Value:
    """A field of the row that this one refers to."""

    def value(row: Row, model: Model, now: float) -> Any:
        other = model.find(row.get(name) or "")
        return None if other is None else other.get(wanted)

    return value


def _first(*values: Value) -> Value:
    """The first that is neither unknown nor empty."""

    def value(row: Row, model: Model, now: float) -> Any:
        return next((found for each in values if (found := each(row, model, now))), "")

    return value


def _id(row: Row, model: Model, now: float) -> int:
    """Of a task, as events name it."""
    return int(row["id"][1:])


def _standing(row: Row, model: Model, now: float) -> str:
    return texts.stack(row.get("where"))


_OF_ADDRESSES = frozenset("0123456789abcdef:[")  # how they begin


def order(value: Any) -> tuple[int, Any]:
    """By what a value is sorted: numbers and addresses by their size, what is unknown last."""
    if value is None or value == "":
        return (3, 0)
    if isinstance(value, (int, float)):
        return (0, value)
    text = str(value)
    if text[0] in _OF_ADDRESSES:
        head, _, tail = text.rpartition(":")
        for host, port in ((text, "0"), (head, tail)):
            try:
                address = ip_address(host.strip("[]"))
                return (1, (address.version, int(address), int(port)))
            except ValueError:
                continue
    return (2, text.casefold())


def _number(title: str, name: str, width: int = 9, need: int = 1) -> Column:
    return Column(title, width, field(name), texts.count, right=True, need=need, of=name)


def _state(width: int = 12) -> Column:
    return Column("STATE", width, field("state"), need=0)


NODES = (
    Column("ADDRESS", 15, field("address"), need=0),
    Column("NAME", 12, field("name"), grows=True, need=2),
    _state(),
    _number("SERVERS", "servers", 7, 4),
    Column("CPU FREE", 8, field("cpu"), texts.percent, right=True, need=3, of="cpu"),
    Column("MEMORY", 9, field("memory"), texts.size, right=True, need=5, of="memory"),
    Column("DISK", 9, field("disk"), texts.size, right=True, need=7, of="disk"),
    _number("RUNNING", "running", 7),
    _number("WAITING", "waiting", 7, 6),
    _number("DONE", "done", 10, 2),
    _number("FAILED", "failed", 8, 3),
    Column("HEARD", 8, since("pulse"), texts.span, right=True, need=6),
)
SERVERS = (
    Column("SERVER", 21, field("location"), need=0),
    Column("NODE", 12, _named("node", "name"), grows=True, need=2),
    _state(),
    _number("RUNNING", "running", 7),
)
NODE_SERVERS = (
    Column("SERVER", 21, field("location"), need=0),
    _state(),
    _number("RUNNING", "running", 7),
    _number("WAITING", "waiting", 7, 4),
    _number("DONE", "done", 10, 2),
    _number("FAILED", "failed", 8, 3),
    Column("CPU", 6, field("cpu"), texts.percent, right=True, need=3, of="cpu"),
    Column("MEMORY", 9, field("memory"), texts.size, right=True, need=4, of="memory"),
    Column(
        "MEAN", 7, field("mean"), texts.span, right=True, need=5, of="mean", lacking="no task has ended there"
    ),
    Column("WHY", 10, field("why"), grows=True, need=6),
)
_WAITS = "the task has not begun"
SERVER_TASKS = (
    Column("TASK", 14, field("name"), most=24, need=0),
    Column("ID", 6, _id, "#{}".format, right=True, need=4),
    _state(),
    Column("ELAPSED", 8, _elapsed, texts.span, right=True, of="begun", lacking=_WAITS),
    Column("WHERE, OR HOW IT ENDED", 14, _first(_standing, field("reason")), grows=True, need=2),
    Column("ARGUMENTS", 24, field("args"), need=3, of="args"),
)
TASKS = (
    Column("TASK", 14, field("name"), most=24, need=0),
    Column("ID", 6, _id, "#{}".format, right=True, need=4),
    _state(),
    Column("TRY", 3, field("attempt"), texts.count, right=True, need=6),
    Column("SERVER", 21, _named("server", "location"), need=3, of="server", lacking=_WAITS),
    Column("ELAPSED", 8, _elapsed, texts.span, right=True, of="begun", lacking=_WAITS),
    Column("AGE", 8, since("submitted"), texts.span, right=True, need=5, of="submitted"),
    Column("REASON, OR ARGUMENTS", 14, _first(field("reason"), field("args")), grows=True, need=2),
)
EVENTS = (
    Column("AGO", 8, since("time"), texts.span, right=True, need=0),
    Column("LEVEL", 7, field("level"), need=1),
    Column("ABOUT", 22, field("subject"), need=2),
    Column("WHAT HAPPENED", 20, field("text"), grows=True, need=0),
)

CLIENTS = (
    Column("PLACE", 6, field("place"), lambda place: str(place or "has it"), right=True, need=0),
    Column("CLIENT", 14, field("name"), most=24, need=0),
    _state(),
    Column("AT", 21, field("location"), need=4),
    Column("PROCESS", 8, field("pid"), right=True, need=6),
    Column("FOR", 8, since("since"), texts.span, right=True),
    _number("NODES", "nodes", 6, 5),
    _number("SERVERS", "servers", 7, 3),
    _number("RUNNING", "running", 7, 3),
    _number("DONE", "done", 10, 4),
    Column("WAITS FOR, OR ITS MONITOR", 20, _first(field("why"), field("monitor")), grows=True, need=2),
)


def known(
    columns: tuple[Column, ...], rows: Sequence[Row], model: Model, now: float, elsewhere: str
) -> tuple[Column, ...]:
    """Without those of which a scheduler can't tell anything: its tasks are seen elsewhere."""
    if not elsewhere or not rows:
        return columns
    return tuple(each for each in columns if any(each.value(row, model, now) is not None for row in rows))


def reasons(columns: tuple[Column, ...], rows: Iterable[Row]) -> list[str]:
    """Why values of these rows are unknown: each reason once, in the order of the columns."""
    found: dict[str, int] = {}
    explained = [column for column in columns if column.of]
    for row in rows:
        for at, column in enumerate(explained):
            if row.get(column.of, "") is None:
                found.setdefault((row.get("notes") or {}).get(column.of) or column.lacking, at)
    found.pop("", None)
    return sorted(found, key=found.__getitem__)


def fitting(columns: tuple[Column, ...], width: int) -> list[tuple[Column, int]]:
    """The columns that a line of so many cells has room for, and their widths."""
    chosen = list(columns)
    while len(chosen) > 1 and sum(column.width + 1 for column in chosen) - 1 > width:
        last = max(chosen, key=lambda column: column.need)
        if last.need == 0:
            break
        chosen.remove(last)
    left = width - (sum(column.width + 1 for column in chosen) - 1)
    widths = [column.width for column in chosen]
    for at, column in enumerate(chosen):
        more = min(left, column.most - column.width)
        if more > 0:
            widths[at] += more
            left -= more
    for at, column in enumerate(chosen):
        if column.grows and left > 0:
            widths[at] += left
            left = 0
    return list(zip(chosen, widths, strict=True))
