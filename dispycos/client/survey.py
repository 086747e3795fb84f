"""Surveys: what can be said of a client's nodes and servers, for users, monitors and reasons.

Pure. Rule S6. Rows DC-33, DC-34.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import islice
from typing import Any

from dispycos.client.members import Node, NodeState, Server, ServerState
from dispycos.wording import MAX_NAMED, left_out, listed


def addresses(nodes: Iterable[Node]) -> list[str]:
    """Those in use by address; those that share one as `addr:port` (DC-33)."""
    used = [node for node in nodes if node.state is NodeState.INITIALIZED]
    count: dict[str, int] = {}
    for node in used:
        count[node.location.addr] = count.get(node.location.addr, 0) + 1
    return [str(node.location) if count[node.location.addr] > 1 else node.location.addr for node in used]


def why_unusable(node: Node) -> str:
    """Why no server of this node gets tasks."""
    name = f"node {node.facts.name} at {node.location}"
    because = f": {node.why}" if node.why else ""
    if node.silent:
        return f"{name} is silent"
    if node.suspended or not node.open:
        return f"{name} is suspended{because}"
    if node.lapsed:
        return f"{name} has no valid lease: the scheduler has not renewed it"
    if node.state is NodeState.DISCOVERED:
        if not node.enabled:
            return f"{name} waits for enable_node"
        return f"{name} can't be reached{because}" if node.why else f"{name} is being reached"
    if node.state is not NodeState.INITIALIZED:
        return f"{name} is {node.state.value}{because}"
    one = _why_one_is_not(node)
    return f"{name}: {one}" if one else f"{name} starts its servers"


def why_no_more(nodes: Collection[Node]) -> str:
    """What keeps further servers of these nodes away, or further nodes, where some are usable."""
    short = {node: usable for node in nodes if (usable := _usable(node)) < node.servers_granted}
    if not short:
        return f"no node was granted but {listed([node.facts.name for node in nodes])}"
    first = islice(short.items(), MAX_NAMED)
    reasons = [_why_fewer(node, usable) if usable else why_unusable(node) for node, usable in first]
    return "; ".join([*reasons, *left_out(len(short), one="more node", several="more nodes")])


def _usable(node: Node) -> int:
    return sum(server.usable for server in node.servers.values())


def _why_fewer(node: Node, usable: int) -> str:
    one = _why_one_is_not(node)
    has = f"node {node.facts.name} at {node.location} has {usable} of {node.servers_granted}"
    return f"{has}: {one}" if one else has


def _why_one_is_not(node: Node) -> str:
    """Why one server of this node gets no tasks; "": nothing is known of any."""
    for server in node.servers.values():
        if server.state is not ServerState.INITIALIZED or server.held or server.suspended:
            why = server.why or server.lost
            return f"server {server.location} is {_stage(server)}{f': {why}' if why else ''}"
    return next((f"server {index}: {reason}" for index, reason in node.delayed.items()), "")


def _stage(server: Server) -> str:
    if server.state is not ServerState.INITIALIZED:
        return str(server.state.value)
    return "not heard" if server.held else "suspended"


def describe(node: Node) -> dict[str, Any]:
    """Everything that a monitor shows of a node."""
    return {
        "incarnation": node.incarnation,
        "name": node.facts.name,
        "location": node.location,
        "state": node.state.value,
        "silent": node.silent,
        "suspended": node.suspended or not node.open,
        "lapsed": node.lapsed,
        "why": node.why,
        "servers": [
            {
                "incarnation": server.incarnation,
                "location": server.location,
                "index": server.index,
                "state": server.state.value,
                "suspended": server.closed_to_tasks,
                "held": server.held,
                "unresponsive": server.unresponsive,
                "why": server.why,
            }
            for server in node.servers.values()
        ],
    }
