"""The screen of `dispycos top`: a desk and a model, drawn to the size of the terminal.

Every line is made here and cut to its cells, so that a frame is exactly as high as the screen.
Colour means a state and nothing else; each state is a word, too.

Layer 8. Rows MO-14 to MO-16, MO-46, SE-55.
"""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterable
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from dispycos.terminal import columns, texts
from dispycos.terminal.desk import HELP, MENU, Desk
from dispycos.terminal.model import Model, Row
from dispycos.wording import many

_STYLES = {
    "initialized": "green", "running": "green", "busy": "green", "scheduled": "green",
    "suspended": "yellow", "preparing": "yellow", "restarting": "yellow", "setting up": "yellow",
    "closing": "yellow", "queued": "yellow", "warning": "yellow", "sent": "cyan", "waiting": "cyan",
    "zombie": "magenta", "lost": "red", "failed": "red", "error": "red", "timed out": "red",
    "abandoned": "red", "rejected": "red", "closed": "dim", "cancelled": "dim",
}  # fmt: skip
_STATES = frozenset({"STATE", "LEVEL"})  # columns with a colour
_HEAD = 5  # lines above the table: who, two of counts, the menu, the titles
_WITH_CLOCK = 40  # cells of a line that has room for the time of day
_WITH_REASONS = 10  # lines of a screen that has room for why values are unknown
_LOG_SHARE = 3  # of a server's page its log has one of so many parts


@dataclass(frozen=True, slots=True)
class Link:
    """How the connection is."""

    place: str
    live: bool
    text: str  # what to say of it; "" if all is well


def draw(desk: Desk, model: Model, link: Link, width: int, height: int, now: float) -> Text:
    """One frame. now: seconds since the epoch, on our clock."""
    lines = list(_head(model, link, width, now))
    if desk.help:
        lines += [_line(width), *_help(width)]
        body: list[Text] = []
    else:
        facts = _facts(desk, model, width, model.time(now))
        log = _log(desk, model, width, max(0, height - _HEAD - len(facts) - 1))
        unknown = _unknown(desk, model, width, height, model.time(now))
        desk.height = max(1, height - _HEAD - 1 - len(facts) - len(unknown) - len(log))
        lines.append(_menu(desk, model, width))
        lines += facts
        body = [*_table(desk, model, width, now), *unknown, *log]
    lines += body
    lines = lines[: height - 1]
    lines += [_line(width)] * (height - 1 - len(lines))
    lines.append(_foot(desk, width))
    return Text("\n").join(lines)


def _line(width: int, *parts: tuple[str, str]) -> Text:
    """Parts of text with their styles, cut and filled to the width."""
    line = Text(no_wrap=True, end="")
    left = width
    for text, style in parts:
        text = texts.clean(text)
        if cell_len(text) > left:
            text = set_cell_size(text, max(0, left - 1)) + "…" if left else ""
        line.append(text, style)
        left -= cell_len(text)
    line.append(" " * left)
    return line


def _clock(time_: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(time_))


# Above the table.


def _head(model: Model, link: Link, width: int, now: float) -> Iterable[Text]:
    cluster = model.cluster
    if cluster is None:
        yield _line(width, ("dispycos", "bold"), (f"  {link.text or 'connecting'} · {link.place}", ""))
        yield _line(width)
        yield _line(width)
        return
    state = "ended" if model.bye is not None else cluster["state"]
    clock = f" {_clock(now)}" if width >= _WITH_CLOCK else ""
    said = _connection(model, link, now)
    first = _line(
        width - len(clock),
        (model.program, "bold"),
        ("  ", ""),
        (state, _STYLES.get(state, "")),
        (f"  {said}", "" if link.live or model.bye is not None else "bold red"),
    )
    yield first.append(clock)
    counts = f"nodes {texts.nodes_of(cluster)} · servers {texts.servers_of(cluster)}"
    yield _line(width, (f"{counts}{_clients(cluster)}", ""))
    stuck = "" if cluster["elsewhere"] else "why nothing runs: "
    why = f" · {stuck}{cluster['why']}" if cluster["why"] else ""
    yield _line(width, (f"tasks {texts.tasks_of(cluster)}", ""), (why, "bold yellow"))


def _clients(cluster: Row) -> str:
    waiting = cluster["waiting_clients"]
    holder = f" · client {cluster['client']}" if cluster["client"] else ""
    return f"{holder}{f', {waiting} waiting' if waiting else ''}"


def _connection(model: Model, link: Link, now: float) -> str:
    bye = model.bye
    if bye is not None:
        text = f": {bye['text'].splitlines()[-1]}" if bye["text"] else ""
        return f"the program {bye['reason']} at {_clock(bye['time'] - model.ahead)}{text}; its last state"
    if link.live:
        return f"live · {link.place}"
    heard = f", as of {_clock(model.heard)}" if model.heard else ""
    return f"{link.text}{heard}"


def _menu(desk: Desk, model: Model, width: int) -> Text:
    parts: list[tuple[str, str]] = []
    root = desk.trail[0].page.name
    for number, name in enumerate(MENU, 1):
        parts += [(f"{number} {name}", "bold reverse" if name == root else ""), ("  ", "")]
    for place in desk.trail[1:]:
        parts += [("› ", "dim"), (f"{_name(model, place.row)}  ", "bold")]
    column = desk.here.page.columns[desk.here.sort].title.lower()
    order = f"{'held' if desk.held else 'by'} {column} {'▼' if desk.here.falling else '▲'}"
    if desk.filter or desk.typing:
        parts.append((f"/{desk.filter}{'▏' if desk.typing else ''}  ", "bold yellow"))
    used = sum(cell_len(texts.clean(text)) for text, _ in parts)
    parts.append((" " * max(0, width - used - cell_len(order)) + order, "dim"))
    return _line(width, *parts)


def _name(model: Model, row_id: str) -> str:
    row = model.find(row_id)
    return str(row.get("name") or row.get("location") or row_id) if row is not None else row_id


def _facts(desk: Desk, model: Model, width: int, now: float) -> list[Text]:
    """What is known of the one whose page this is."""
    place = desk.here
    if place.topic in model.gone:
        return [_line(width, (model.gone[place.topic], "bold yellow"))]
    row = model.find(place.row) if place.row else None
    if row is None:
        return []
    facts = _of_node(row, model, now) if place.page.name == "node" else _of_server(row, model)
    return [_line(width, (" · ".join(filter(None, line)), "")) for line in facts]


def _of_node(row: Row, model: Model, now: float) -> list[list[str]]:
    """Two lines about a node; a part is "" where it is not known."""
    said = {
        name: texts.size(row.get(name)) for name in ("memory", "swap", "disk") if row.get(name) is not None
    }
    return [
        [
            f"{row['address']}:{row['port']} {row['state']}{_because(row)}",
            many(row["cpus"], "CPU") if row.get("cpus") is not None else "",
            f"Python {row['python']}" if row.get("python") else "",
            f"dispycos {row['release']}" if row.get("release") else "",
            row.get("platform") or "",
        ],
        [
            f"CPU free {texts.percent(row['cpu'])}" if row["cpu"] is not None else "",
            *(f"{name} free {text}" for name, text in said.items()),
            texts.ended_of(row),
            f"lent to {row['holder']}" if model.elsewhere and row.get("holder") else "",
            f"heard {texts.span(max(0.0, now - row['pulse']))} ago" if row["pulse"] is not None else "",
        ],
    ]


def _of_server(row: Row, model: Model) -> list[list[str]]:
    node = model.find(row.get("node") or "")
    if "done" not in row:
        return []  # its own topic is not here yet
    return [
        [
            f"{row['location']} {row['state']}{_because(row)}",
            f"on {node['name']}" if node is not None else "",
            texts.ended_of(row),
            f"a task takes {texts.span(row['mean'])}" if row["mean"] is not None else "",
            f"CPU {texts.percent(row['cpu'])}" if row["cpu"] is not None else "",
            f"memory {texts.size(row['memory'])}" if row["memory"] is not None else "",
            f"a task has not yielded for {texts.span(row['unresponsive'])}" if row["unresponsive"] else "",
        ]
    ]


def _because(row: Row) -> str:
    return f" ({row['why']})" if row.get("why") else ""


# The table.


def _table(desk: Desk, model: Model, width: int, now: float) -> Iterable[Text]:
    page = desk.here.page
    moment = model.time(now)
    rows = desk.rows(model, moment)
    known = columns.known(page.columns, [row for _, row in rows], model, moment, model.elsewhere)
    fitting = columns.fitting(known, width)
    sorted_by = page.columns[desk.here.sort]
    yield _cells(
        width,
        [
            (set_cell_size(column.title, size) if not column.right else column.title[:size].rjust(size),
             "bold underline" if column is sorted_by else "bold")
            for column, size in fitting
        ],
    )  # fmt: skip
    place = desk.here
    if not rows and model.cluster is not None:
        empty = model.elsewhere if page.kind == "task" and model.elsewhere else page.empty
        text = f"no row has {desk.filter!r} in it" if desk.filter else empty
        yield from (_line(width, (line, "dim")) for line in textwrap.wrap(texts.clean(text), width))
    for row_id, row in rows[place.first : place.first + desk.height]:
        chosen = row_id == place.cursor
        yield _cells(
            width,
            [
                (_cell(column, size, row, model, moment), _style(column, row, chosen))
                for column, size in fitting
            ],
            "reverse" if chosen else "",
        )


def _cells(width: int, cells: list[tuple[str, str]], style: str = "") -> Text:
    line = Text(no_wrap=True, end="", style=style)
    for at, (text, own) in enumerate(cells):
        line.append(" " if at else "")
        line.append(text, own)
    line.truncate(width, pad=True)
    return line


def _cell(column: columns.Column, size: int, row: Row, model: Model, now: float) -> str:
    value = column.value(row, model, now)
    text = texts.DASH if value is None else texts.clean(column.text(value))
    if cell_len(text) > size:
        return set_cell_size(text, size - 1) + "…"
    return " " * (size - cell_len(text)) + text if column.right else set_cell_size(text, size)


def _style(column: columns.Column, row: Row, chosen: bool) -> str:
    if column.title not in _STATES or chosen:
        return ""
    return _STYLES.get(str(row.get("state") or row.get("level")), "")


# Below it.


def _unknown(desk: Desk, model: Model, width: int, height: int, now: float) -> list[Text]:
    """Why there are dashes. Of all rows of the page, so that the line stays where it is while one moves."""
    page = desk.here.page
    if height < _WITH_REASONS:
        return []
    rows = [row for _, row in model.rows(desk.here.topic, page.kind)]
    known = columns.known(page.columns, rows, model, now, model.elsewhere)
    found = columns.reasons(known, rows)
    return [_line(width, (f"{texts.DASH} {'; '.join(found)}", "dim"))] if found else []


def _log(desk: Desk, model: Model, width: int, room: int) -> list[Text]:
    """The last lines that a server printed."""
    if desk.here.page.name != "server" or model.elsewhere:
        return []
    if desk.here.topic not in model.topics or room < 6:
        return []
    lines = list(model.topics[desk.here.topic].log)[-(room // _LOG_SHARE) :]
    title = "printed last" if lines else "it printed nothing that was seen"
    return [_line(width, (f"── {title} ", "dim")), *(_line(width, (line, "")) for line in lines)]


def _help(width: int) -> Iterable[Text]:
    wide = max(cell_len(keys) for keys, _ in HELP)
    for keys, text in HELP:
        yield _line(width, (f"  {set_cell_size(keys, wide)}  ", "bold"), (text, ""))


def _foot(desk: Desk, width: int) -> Text:
    if desk.typing:
        text = "type what rows must have in them · Enter: done · Esc: all rows"
    elif desk.help:
        text = "any key: back · q end"
    else:
        opens = " · Enter open" if desk.here.page.opens else ""
        back = " · Esc back" if len(desk.trail) > 1 or desk.filter else ""
        text = f"q end · ? help · 1-5 page{opens}{back} · s sort · r reverse · / filter · p hold"
    return _line(width, (text, "reverse"))
