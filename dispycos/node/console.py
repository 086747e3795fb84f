"""What a person may type at a node, and what is shown: status, close, quit, exit, terminate.

Layer 5. Rows DN-20 to DN-23.
"""

from __future__ import annotations

from typing import Any

from dispycos.node.events import Order
from dispycos.wording import many

ORDERS = {
    "close": Order.CLOSE,
    "quit": Order.QUIT,
    "exit": Order.QUIT,
    "terminate": Order.TERMINATE,
}
HELP = "commands: status (or an empty line), close, quit, exit, terminate"


def show_status(status: dict[str, Any]) -> str:
    """The machine's status as text (DN-20)."""
    client = status["client"]
    if status["reservation"]:
        using = (
            f"used by client {client.hex()[:8]} (reservation {status['reservation']})" if client else "in use"
        )
    else:
        using = "free" if status["open"] else "closed for clients"
    node = f"node {status['name']} at {status['location']}: {status['state']}, {using}"
    lines = [f"{node}, {many(status['served'], 'client')} served"]
    for server in status["servers"]:
        where = server["location"] or server["state"]
        running = many(server["running"], "task")
        line = f"  {server['name']} at {where}, pid {server['pid']}, running {running}"
        if client:
            line += f", client {client.hex()[:8]}"
        lines.append(f"{line}: {server['reason']}" if server["reason"] else line)
    return "\n".join(lines)
