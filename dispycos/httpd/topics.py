"""Topics: what a browser may look at, as a snapshot or as the difference from an earlier number.

cluster     the totals, clients, nodes and one cell for each server
node/ID     one node with all that is known of it, its servers, its hour
server/ID   one server, its tasks with their stacks, its last 50 ended ones, its log
tasks       every row of a task
timeline    what bars are drawn of: tasks that have begun
events      the list of events

Both forms hold plain values, ready for JSON; docs/monitor-wire.md describes them.

Pure. Layer 2. Rows MO-26 to MO-29, MO-31, MO-65.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from dispycos.httpd.history import SERIES, STEP
from dispycos.httpd.rows import FULL, INDEX, NAMES, OF_LETTER, OVERVIEW, Row
from dispycos.httpd.view import View

MAX_TOPICS = 8  # of one browser
MAX_BARS = 2500  # of the timeline in one difference; beyond it only each n-th is sent (MO-21)
SIMPLE = ("cluster", "tasks", "timeline", "events")

_NO_STACK = FULL["task"] & ~(1 << INDEX["task"]["where"])
_BAR = sum(1 << INDEX["task"][name] for name in ("name", "server", "begun", "ended", "state"))


class UnknownTopic(ValueError):
    """There is no such topic, or nothing of that id is known any more."""


def check(view: View, topic: str) -> None:
    """UnknownTopic says why a browser can't have it."""
    if topic in SIMPLE:
        return
    kind, _, row_id = topic.partition("/")
    if kind not in ("node", "server"):
        raise UnknownTopic(f"there is no topic {topic[:40]!r}")
    row = view.find(row_id)
    if row is None or row.kind != kind:
        raise UnknownTopic(f"no {kind} {row_id[:40]!r} is known; rows of closed ones stay for 10 minutes")


def snapshot(view: View, topic: str) -> dict[str, Any]:
    """Everything of a topic, as columns and rows of values."""
    check(view, topic)
    masks = _masks(topic)
    rows: dict[str, list[Any]] = {}
    picks = {kind: _positions(mask) for kind, mask in masks.items()}
    for row in _members(view, topic):
        pick = picks[row.kind]
        values = row.values
        rows[row.id] = [values[at] for at in pick]
    columns = {kind: [NAMES[kind][at] for at in pick] for kind, pick in picks.items()}
    made: dict[str, Any] = {
        "type": "snapshot",
        "topic": topic,
        "to": view.seq,
        "columns": columns,
        "rows": rows,
    }
    _more(view, topic, None, made)
    return made


def delta(view: View, topic: str, since: int) -> dict[str, Any] | None:
    """What changed in a topic after that number; None if nothing did. It must be reached (`Changes`)."""
    difference = view.changes.after(since)
    masks = _masks(topic)
    belongs = _belongs(view, topic)
    changed: dict[str, tuple[Row, int]] = {}
    for row_id, mask in difference.masks.items():
        allowed = masks.get(_kind(row_id), 0) & mask
        if allowed:
            row = view.rows.get(row_id)
            if row is not None and belongs(row):
                changed[row_id] = (row, allowed)
    scope = topic.partition("/")[2] or topic
    gone = []
    for where, row_id in difference.gone:
        if where in ("", scope) and _kind(row_id) in masks:
            row = view.rows.get(row_id)
            if row is None or not belongs(row):
                gone.append(row_id)
    made: dict[str, Any] = {"type": "delta", "topic": topic, "from": since, "to": view.seq}
    if topic == "timeline" and len(changed) > MAX_BARS:
        changed, made["sampled"] = _thin_out(changed)
    made["changes"] = _grouped(changed.values())
    if gone:
        made["gone"] = sorted(gone)
    _more(view, topic, since, made)
    return made if len(made) > 5 or changed else None


def _grouped(changed: Iterable[tuple[Row, int]]) -> list[dict[str, Any]]:
    """Rows of which the same fields changed, together: their names are said once."""
    groups: dict[tuple[str, int], tuple[list[int], dict[str, list[Any]]]] = {}
    for row, mask in changed:
        group = groups.get((row.kind, mask))
        if group is None:
            group = groups[row.kind, mask] = (_positions(mask), {})
        values = row.values
        group[1][row.id] = [values[at] for at in group[0]]
    return [
        {"fields": [NAMES[kind][at] for at in pick], "rows": rows}
        for (kind, _), (pick, rows) in groups.items()
    ]


def _kind(row_id: str) -> str:
    return "cluster" if row_id == "cluster" else OF_LETTER[row_id[0]]


def _positions(mask: int) -> list[int]:
    return [at for at in range(mask.bit_length()) if mask >> at & 1]


def _masks(topic: str) -> dict[str, int]:
    """Which fields of which kinds a topic has."""
    if topic == "cluster":
        return {kind: OVERVIEW[kind] for kind in ("cluster", "client", "node", "server")}
    if topic.startswith("node/"):
        return {"node": FULL["node"], "server": FULL["server"]}
    if topic.startswith("server/"):
        return {"server": FULL["server"], "task": FULL["task"]}
    if topic == "events":
        return {"event": FULL["event"]}
    return {"task": _BAR if topic == "timeline" else _NO_STACK}


def _belongs(view: View, topic: str) -> Callable[[Row], bool]:
    """Whether a row of a right kind is in the topic."""
    kind, _, row_id = topic.partition("/")
    if kind == "node":
        return lambda row: row.id == row_id or (row.kind == "server" and row["node"] == row_id)
    if kind == "server":
        own = view.find(row_id)
        place = view.server_of(own) if own is not None else None
        if place is None:
            return lambda row: False
        tasks = {row.id for row in place.tasks()}
        return lambda row: row.id == row_id or row.id in tasks
    if topic == "timeline":
        begun = INDEX["task"]["begun"]
        return lambda row: row.values[begun] is not None
    return lambda row: True


def _members(view: View, topic: str) -> Iterable[Row]:
    """The rows of a topic, in an order that a page can keep."""
    kind, _, row_id = topic.partition("/")
    if topic == "cluster":
        return _overview(view)
    if topic == "events":
        return view.events
    if topic == "tasks":
        return _tasks(view)
    if topic == "timeline":
        return (row for row in _tasks(view) if row["begun"] is not None)
    row = view.rows[row_id]
    if kind == "node":
        node = view.nodes[row.key]
        return [row, *(server.row for server in node.servers.values())]
    return [row, *view.servers[row.key].tasks()]


def _overview(view: View) -> Iterator[Row]:
    yield view.cluster
    yield from view.clients.values()
    for node in view.nodes.values():
        yield node.row
    for server in view.servers.values():
        yield server.row


def _tasks(view: View) -> Iterator[Row]:
    yield from view.tasks.ended
    yield from view.tasks.living.values()


def _thin_out(changed: dict[str, tuple[Row, int]]) -> tuple[dict[str, tuple[Row, int]], int]:
    """Each n-th bar only, whole, and n; what failed is always shown."""
    step = -(-len(changed) // MAX_BARS)
    kept = {
        row_id: (row, _BAR)
        for row_id, (row, _) in changed.items()
        if row.key % step == 0 or row["state"] not in ("running", "finished", "sent", "waiting", "paused")
    }
    return kept, step


def _more(view: View, topic: str, since: int | None, made: dict[str, Any]) -> None:
    """Samples for charts, and the lines of a log; since None: all there are."""
    kind, _, row_id = topic.partition("/")
    if kind in ("cluster", "node"):
        new = len(view.samples) if since is None else sum(1 for seq in view.samples if seq > since)
        if since is not None and not new:
            return
        history: dict[str, Any] = {"end": view.sampled, "step": STEP, "series": list(SERIES)}
        if kind == "cluster":
            history["hour"] = view.history.hour.last(new)
            fresh = len(view.minutes) if since is None else sum(1 for seq in view.minutes if seq > since)
            if fresh or since is None:
                history["day"] = view.history.day.last(fresh)
        else:
            node = view.nodes[view.rows[row_id].key] if row_id in view.rows else None
            ring = node.history if node is not None else None
            living = ring is not None and node is not None and not (node.closed and since is not None)
            history["hour"] = ring.last(new) if ring is not None and living else []
        made["history"] = history
    elif kind == "server":
        row = view.find(row_id)
        place = view.server_of(row) if row is not None else None
        lines = place.log.after(-1 if since is None else since) if place is not None else []
        if lines or since is None:
            made["log"] = [list(line) for line in lines]
