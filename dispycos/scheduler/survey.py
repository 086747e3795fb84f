"""What a scheduler tells about itself: its clients, its nodes, and what somebody waits for.

Pure. Rules S6, R-33, R-52; rows DS-19, R-84.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import islice
from typing import Any

from dispycos.scheduler.roster import HELD, Client, Node, NodeState
from dispycos.wording import MAX_NAMED, left_out, many


def why_no_node(client: Client, nodes: Collection[Node], unreached: list[str], searching: str) -> str:
    """What keeps each node from the running client.

    unreached  of each node that was named and can't be reached: what was found there.
    searching  where nodes are looked for.
    """
    # Who was named and does not answer is what the user can mend, so it comes first.
    named = [*unreached[:MAX_NAMED], *left_out(len(unreached), one="more can't be reached")]
    if not nodes:
        return "; ".join(filter(None, ("no node is known", *named, searching)))
    reasons = [f"node {node.facts.name}: {_why_not(client, node)}" for node in islice(nodes, MAX_NAMED)]
    return "; ".join([*named, *reasons, *left_out(len(nodes), one="more node", several="more nodes")])


def _why_not(client: Client, node: Node) -> str:
    if node.state in HELD:
        return "it has not answered yet" if node.state is NodeState.RESERVING else "it is silent"
    if node.state is NodeState.RELEASING:
        return f"it lets go of its former client ({node.why})"
    if node.state is NodeState.SUSPENDED:
        return node.why_not_free()
    if node.incarnation in client.excluded:
        return "the client gave it back"
    if node.question:
        return "the client is asked for its rule"
    return client.ignored.get(node.incarnation, "it is about to be offered")


def of_client(client: Client, now: float, why: Mapping[int, str]) -> dict[str, Any]:
    """One client; `why` is what it waits for, by reservation."""
    return {
        "reservation": client.reservation,
        "name": client.name,
        "location": client.location,
        "pid": client.pid,
        "state": client.state.value,
        "since": now - client.since,
        "nodes": len(client.nodes),
        "counts": client.counts,
        "why": why[client.reservation],
    }


def of_node(node: Node) -> dict[str, Any]:
    """One node and its servers."""
    return {
        "incarnation": node.incarnation,
        "name": node.facts.name,
        "location": node.facts.location,
        "platform": node.facts.platform,
        "cpus": node.facts.cpus,
        "avail": node.avail,
        "state": node.state.value,
        "why": node.why_not_free() if node.state is NodeState.SUSPENDED else node.why,
        "reservation": node.client.reservation if node.client else 0,
        "client": node.client.label if node.client else "",
        "lease": node.lease,
        "servers": list(node.living),
    }


def lines(status: Mapping[str, Any]) -> list[str]:
    """A scheduler's `status()` as text, a line for each client and node (DS-19)."""
    found = []
    if status["stopping"]:
        found.append(f"the scheduler ends: {status['stopping']}")
    if status["journal"]:
        found.append(f"new clients are refused: {status['journal']}")
    clients = [client for client in (status["active"], *status["queue"]) if client is not None]
    place = 0
    for client in clients:
        place += client["state"] == "queued"
        state = f"at place {place} of the queue" if client["state"] == "queued" else client["state"]
        counts = client["counts"]
        tasks = f"; {many(counts.submitted, 'task')}, {counts.done} done" if counts is not None else ""
        why = f"; waits: {client['why']}" if client["why"] else ""
        where = f" at {client['location']}" if client["location"] else ""
        where += f" (process {client['pid']})" if client["pid"] else ""
        found.append(f"client {client['name']}{where} is {state} since {client['since']:.0f} s{tasks}{why}")
    for node in status["nodes"]:
        servers = f"{len(node['servers'])} of {node['cpus']} servers run"
        running = sum(server.running for server in node["servers"])
        lent = f", lent to {node['client']}; tasks that run: {running}" if node["client"] else ""
        why = f"; {node['why']}" if node["why"] else ""
        found.append(f"node {node['name']} at {node['location']} is {node['state']}; {servers}{lent}{why}")
    return found or ["no client, no node"]
