"""A client's nodes, servers and tasks as values of rows, read from its machines.

Reads only, on the thread of the reactor. Each read is of one attribute or of a copy of one
table, so that no lock is taken that tasks take (MO-04); what changes meanwhile is shown by the
next look.

Layer 7. Rows MO-10, MO-14, MO-16 to MO-19.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from dispycos.client.credits import Server as Placed
from dispycos.client.dispatch import Dispatch
from dispycos.client.members import Node, NodeState, Server, ServerState
from dispycos.client.submission import Stage, Submission
from dispycos.client.turn import TurnState
from dispycos.httpd.events import PastTask
from dispycos.httpd.tasks import MAX_WAITING
from dispycos.httpd.telling import NO_PSUTIL, wall_time
from dispycos.model import Incarnation

MAX_SURVEYED = 100_000  # tasks looked at in one survey

CLIENT_STATES = {
    TurnState.NONE: "not scheduled",
    TurnState.QUEUED: "queued",
    TurnState.SCHEDULED: "scheduled",
    TurnState.CLOSING: "closing",
    TurnState.CLOSED: "closed",
}
_NODE_STATES = {
    NodeState.DISCOVERED: "discovered",
    NodeState.PREPARING: "preparing",
    NodeState.INITIALIZED: "initialized",
    NodeState.RESTARTING: "restarting",
    NodeState.FAILED: "failed",
    NodeState.CLOSING: "closing",
    NodeState.CLOSED: "closed",
}
_SERVER_STATES = {
    ServerState.DISCOVERED: "discovered",
    ServerState.SETTING_UP: "setting up",
    ServerState.FAILED: "failed",
    ServerState.CLOSING: "closing",
    ServerState.ENDING: "closing",
    ServerState.CLOSED: "closed",
}


def node_values(node: Node, wall: float, clock: float) -> dict[str, Any]:
    """What changes of a node.

    wall, clock  the present, in seconds since the epoch and on the clock of the machines.
    """
    avail = node.facts.avail
    values: dict[str, Any] = {
        "state": node_state(node),
        "why": node_why(node),
        "cpu": None if avail.cpu is None else round(avail.cpu, 1),
        "memory": avail.memory,
        "swap": avail.swap,
        "disk": avail.disk,
        # To the tenth: the difference of two clocks is not the same twice.
        "pulse": wall_time(node.last_heard, wall, clock, 1),
        "notes": None,
    }
    missing = [name for name in ("cpu", "memory", "swap", "disk") if values[name] is None]
    if missing:
        values["notes"] = dict.fromkeys(missing, NO_PSUTIL)
    return values


def node_facts(node: Node, release: str, holder: str) -> dict[str, Any]:
    """What stays of a node while it is held."""
    facts = node.facts
    return {
        "address": facts.location.addr,
        "port": facts.location.port,
        "name": facts.name,
        "platform": facts.platform,
        "python": facts.python,
        "release": release,
        "cpus": facts.cpus,
        "granted": node.servers_granted,
        "incarnation": facts.incarnation.hex(),
        "lease": node.lease,
        "holder": holder,
    }


def node_state(node: Node) -> str:
    if node.silent:
        return "zombie"
    if node.state is NodeState.INITIALIZED and (node.suspended or not node.open):
        return "suspended"
    return _NODE_STATES[node.state]


def node_why(node: Node) -> str:
    if node.silent:
        return "nothing was heard of it for so long that it counts as silent"
    if node.lapsed:
        return "its lease ran out: the scheduler has not renewed it"
    if node.state is NodeState.DISCOVERED and not node.enabled:
        return "it waits for enable_node"
    if node.suspended:
        return "it was suspended by the program or an operator"
    for index, reason in list(node.delayed.items()):
        return f"server {index} can't be started: {reason}"
    return node.why


def server_state(server: Server, placed: Placed | None) -> str:
    if server.state is not ServerState.INITIALIZED:
        return _SERVER_STATES[server.state]
    if server.silent or server.node.silent or server.held:
        return "zombie"
    if server.closed_to_tasks:
        return "suspended"
    return "busy" if placed is not None and (placed.sent or placed.io) else "idle"


def server_why(server: Server, waits: bool) -> str:
    """waits  disable_servers: it must be enabled by the program."""
    if server.state is ServerState.DISCOVERED and waits and server.index not in server.node.setups:
        return "it waits for enable_server"
    if server.state is ServerState.INITIALIZED and server.held:
        return server.lost or ("its node's lease ran out" if server.node.lapsed else "it is not heard")
    if server.state is ServerState.INITIALIZED and server.suspended:
        return "it was suspended by the program or an operator"
    return server.why


def server_counts(placed: Placed | None) -> tuple[int, int]:
    """Tasks that run there, and those handed over that do not."""
    if placed is None:
        return 0, 0
    cpu, io = len(placed.sent), len(placed.io)
    running = 1 if cpu else 0
    return running + io, cpu - running


def done_before(placed: Placed) -> int:
    """Tasks that ended at a server before anybody counted."""
    return max(0, placed.position + placed.position_io - len(placed.sent) - len(placed.io))


def living(dispatch: Dispatch) -> Iterator[Submission]:
    """Tasks that live: all that a server has, and the first that wait."""
    waiting = 0
    for task in islice(list(dispatch.tasks.values()), MAX_SURVEYED):
        if task.server is None:
            waiting += 1
            if waiting > MAX_WAITING:
                continue
        if task.stage is not Stage.ENDED:
            yield task


def ended(dispatch: Dispatch) -> list[PastTask]:
    """The tasks that ended last, the oldest first."""
    return [
        PastTask(number, name, attempt, end, text)
        for number, attempt, name, end, text in list(dispatch.gate.ended)
    ]


def incarnation_of(task: Submission) -> Incarnation | None:
    """The server that has a task."""
    server = task.server
    return None if server is None else server.incarnation
