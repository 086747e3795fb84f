"""What tests ask of a scheduler's `Grants`: does all hold, and can it be as a node says.

Reads only. Pure. Rules S1, S2, R-62.
"""

from __future__ import annotations

from typing import Protocol

from dispycos import messages as m
from dispycos.model import Incarnation
from dispycos.scheduler.clients import Clients
from dispycos.scheduler.judge import Judge
from dispycos.scheduler.roster import HELD, ClientState, Node, NodeState
from dispycos.story import About


class Grants(Protocol):
    """What is read of the `Grants`, which stand above this file."""

    nodes: dict[Incarnation, Node]
    free: dict[Incarnation, Node]
    last_lease: int
    clients: Clients
    judge: Judge


def check(grants: Grants) -> None:
    """Assert every invariant of nodes and grants."""
    leases: set[int] = set()
    for incarnation, node in grants.nodes.items():
        problem = _problem(grants, incarnation, node, leases)
        assert not problem, About(incarnation, f"node {node.facts.name} {problem}")
        leases.add(node.lease if node.state in HELD else 0)
    for node, client, _ in grants.judge.questions.values():
        assert grants.nodes.get(node.incarnation) is node, About(node.incarnation, "a lost node is asked for")
        assert client.state is ClientState.SCHEDULED, About(client.reservation, "an ended client is asked")


def _problem(grants: Grants, incarnation: Incarnation, node: Node, leases: set[int]) -> str:
    """Which invariant this node breaks; "": none."""
    client = node.client
    if node.incarnation != incarnation:
        return "is filed under another's name"
    if (node.state is NodeState.DISCOVERED) != (incarnation in grants.free):
        return f"is {node.state.value}, and {'free' if incarnation in grants.free else 'not free'}"
    if node.question and node.question not in grants.judge.questions:
        return "waits for an answer that nobody was asked for"
    if node.state in HELD:
        if client is None or client.nodes.get(incarnation) is not node:
            return f"is {node.state.value}, and held by nobody"
        if client is not grants.clients.active:
            return "is held by a client whose turn it is not"
        if node.lease in leases:
            return f"has lease {node.lease}, which was granted twice"
        if node.lease > grants.last_lease:
            return f"has lease {node.lease}, above the last one, {grants.last_lease}"
    elif client is not None and (node.state is not NodeState.RELEASING or incarnation in client.nodes):
        return f"is {node.state.value}, and held by client {client.name}"
    return ""


def compare(grants: Grants, peer: Incarnation, message: m.NodeHere) -> None:
    """Assert, before it is heard, that the lease which a node says it holds can be ours (R-62)."""
    if not message.reservation:
        return
    for node in grants.nodes.values():
        client = node.client
        if node.state not in HELD or client is None or client.reservation != message.reservation:
            continue
        lease, name = message.lease, node.facts.name
        if node.incarnation != peer:
            assert lease != node.lease, About(peer, f"lease {lease} of node {name} is held twice")
        else:
            assert lease <= node.lease, About(peer, f"{name} was given lease {node.lease}, not {lease}")
