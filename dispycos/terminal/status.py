"""`dispycos status`: what the monitor knows, printed once, as a table or as JSON.

I/O half. Layer 8. Rows MO-16, MO-33.
"""

from __future__ import annotations

import json
import time
from typing import Any

from dispycos.httpd import asking, lending
from dispycos.httpd.asking import Link
from dispycos.terminal import columns, texts
from dispycos.terminal.model import Model
from dispycos.wording import left_out, many

_CLIENTS = 10  # named one by one
_ROWS = 10_000  # asked for at a time: the most that is answered


def text(link: Link) -> str:
    """For people. OSError says what went wrong."""
    found = _ask(link)
    cluster = found["cluster"]
    lines = [
        f"{cluster['name']}: {cluster['state']}, at {link.place}",
        f"nodes    {texts.nodes_of(cluster)}",
        f"servers  {texts.servers_of(cluster)}",
        f"tasks    {texts.tasks_of(cluster)}",
    ]
    lines += _clients(found["clients"])
    if cluster["elsewhere"]:
        lines.append(f"seen     {cluster['elsewhere']}")
    if cluster["why"]:
        lines.append(f"stuck    {cluster['why']}: see `dispycos why`")
    if found["nodes"]:
        lines += ["", *_table(found["nodes"], cluster["elsewhere"])]
    return "\n".join(texts.clean(line) for line in lines)


def as_json(link: Link) -> str:
    """For programs: cluster, clients and nodes with the fields of docs/monitor-wire.md."""
    return json.dumps(_ask(link), indent=1)


def _ask(link: Link) -> dict[str, Any]:
    found = asking.get(link, "/api/v1/cluster")
    nodes: list[dict[str, Any]] = []
    after: str | None = ""
    while after is not None:
        answer = asking.get(link, f"/api/v1/nodes?limit={_ROWS}{f'&after={after}' if after else ''}")
        nodes += answer["nodes"]
        after = answer["next"]
    return {"cluster": found["cluster"], "clients": found["clients"], "nodes": nodes}


def _clients(rows: list[dict[str, Any]]) -> list[str]:
    """Who has the cluster, and who waits for it."""
    now = time.time()
    lines = []
    for row in sorted((row for row in rows if row["state"] != "closed"), key=lambda row: row["place"]):
        who = lending.who(row["name"], row["location"], row["pid"])
        what = f"waits at place {row['place']}" if row["state"] == "queued" else f"is {row['state']}"
        since = f" for {texts.span(now - row['since'])}" if row["since"] else ""
        has = f": {many(row['servers'], 'server')} on {many(row['nodes'], 'node')}" if row["nodes"] else ""
        why = f": {row['why']}" if row["why"] else ""
        lines.append(f"client   {who} {what}{since}{has}{why}")
    lines[_CLIENTS:] = [f"         {more}" for more in left_out(len(lines), _CLIENTS)]
    return lines


def _table(nodes: list[dict[str, Any]], elsewhere: str) -> list[str]:
    """The nodes, by address; each column as wide as it must be."""
    model, now = Model(), time.time()
    address = columns.NODES[0].value
    nodes = sorted(nodes, key=lambda row: columns.order(address(row, model, now)))
    chosen = columns.known(columns.NODES, nodes, model, now, elsewhere)
    cells = [[column.title for column in chosen]]
    for row in nodes:
        values = [column.value(row, model, now) for column in chosen]
        cells.append(
            [
                texts.DASH if value is None else column.text(value)
                for column, value in zip(chosen, values, strict=True)
            ]
        )
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if column.right else cell.ljust(width)
            for cell, column, width in zip(line, chosen, widths, strict=True)
        ).rstrip()
        for line in cells
    ]
