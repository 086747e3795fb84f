"""JSON answers: the rows of the view for programs, one address each (MO-33).

Names of fields are those of `rows`, for ever: they may become more, never others.

Pure. Layer 2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dispycos.httpd.rows import KINDS, Row
from dispycos.httpd.tasks import LIVE
from dispycos.httpd.view import View

MAX_ROWS = 10_000  # in one answer
DEFAULT_ROWS = 1000


class BadQuery(ValueError):
    """A query that is not described in docs/monitor-wire.md."""


def of_row(row: Row) -> dict[str, Any]:
    """One row with its id and the number of its last change."""
    return {"id": row.id, "seq": row.seq, **row.all()}


def cluster(view: View) -> dict[str, Any]:
    clients = [of_row(row) for row in view.clients.values()]
    return {"seq": view.seq, "cluster": of_row(view.cluster), "clients": clients}


def nodes(view: View, query: Mapping[str, str]) -> dict[str, Any]:
    _only(query, "after", "limit")
    return _page(view, "nodes", (node.row for node in view.nodes.values()), query)


def node(view: View, id: str) -> dict[str, Any] | None:
    row = view.find(id)
    if row is None or row.kind != "node":
        return None
    servers = [of_row(server.row) for server in view.nodes[row.key].servers.values()]
    return {"seq": view.seq, "node": of_row(row), "servers": servers}


def server(view: View, id: str) -> dict[str, Any] | None:
    row = view.find(id)
    if row is None or row.kind != "server":
        return None
    place = view.servers[row.key]
    log = [{"number": number, "time": time, "text": text} for number, time, text in place.log.after(-1)]
    tasks = [of_row(task) for task in place.tasks()]
    return {"seq": view.seq, "server": of_row(row), "tasks": tasks, "log": log}


def tasks(view: View, query: Mapping[str, str]) -> dict[str, Any]:
    _only(query, "state", "name", "server", "after", "limit")
    wanted = {name: query[name] for name in ("state", "name", "server") if name in query}
    states = {state for state in wanted.get("state", "").split(",") if state}
    known = KINDS["task"][1].text.split(", ")
    if states - set(known):
        raise BadQuery(f"state is one or more of {', '.join(known)}")
    rows = (
        row
        for group in (view.tasks.ended, view.tasks.living.values())
        for row in group
        if (not states or row["state"] in states)
        and wanted.get("name", "") in row["name"]
        and wanted.get("server", row["server"]) == row["server"]
    )
    # By number: what is asked for page by page keeps its order while tasks come and go.
    return _page(view, "tasks", sorted(rows, key=lambda row: row.key), query)


def task(view: View, id: str) -> dict[str, Any] | None:
    row = view.find(id)
    if row is None or row.kind != "task":
        return None
    whole = view.tasks.reason(row.key)
    reason = whole if whole is not None else row["reason"]
    return {"seq": view.seq, "task": of_row(row), "lives": row["state"] in LIVE, "reason": reason}


def events(view: View, query: Mapping[str, str]) -> dict[str, Any]:
    _only(query, "since", "limit")
    since = _number(query, "since", 0, 10**15)
    return _page(view, "events", (row for row in view.events if row.key > since), query)


def _page(view: View, name: str, rows: Iterable[Row], query: Mapping[str, str]) -> dict[str, Any]:
    """Some rows, and where the next ones begin."""
    limit = _number(query, "limit", DEFAULT_ROWS, MAX_ROWS)
    after = query.get("after", "")
    found: list[Row] = []
    skipping = bool(after)
    rows = list(rows)
    if skipping and not any(row.id == after for row in rows):
        # The row at the cursor went away: by its number the place is known all the same.
        rows, skipping = [row for row in rows if _order(row.id) > _order(after)], False
    for row in rows:
        if skipping:
            skipping = row.id != after
        elif len(found) < limit:
            found.append(row)
        else:
            return {"seq": view.seq, name: [of_row(row) for row in found], "next": found[-1].id}
    return {"seq": view.seq, name: [of_row(row) for row in found], "next": None}


def _order(id: str) -> int:
    digits = id[1:]
    if not digits.isdecimal():
        raise BadQuery("after must be the id that an earlier answer gave as next")
    return int(digits)


def _only(query: Mapping[str, str], *names: str) -> None:
    if set(query) - set(names):
        raise BadQuery(f"this may be asked for by {', '.join(names)}")


def _number(query: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= 15 and int(text) <= most):
        raise BadQuery(f"{name} must be a number from 0 to {most}")
    return int(text)
