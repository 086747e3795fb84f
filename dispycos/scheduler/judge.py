"""Which free node the running client takes: its rules say so, or it is asked (S5).

Whoever it takes is handed on to be reserved; whoever it does not, it is told of once.

Pure. Rules S5, R-46; row ST-13.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dispycos import messages as m
from dispycos.config import Limits
from dispycos.deadlines import Deadlines
from dispycos.events import Action, Say
from dispycos.model import Incarnation
from dispycos.scheduler import allocate
from dispycos.scheduler.clients import Clients
from dispycos.scheduler.roster import Client, ClientState, Node, NodeState


class Judge:
    """Considers one free node at a time.

    taken  told which node the client takes, and how many of its servers.
    """

    def __init__(
        self,
        limits: Limits,
        deadlines: Deadlines[Any],
        clients: Clients,
        taken: Callable[[Node, Client, int, float, list[Action]], None],
    ) -> None:
        self._limits = limits
        self.questions: dict[int, tuple[Node, Client, int]] = {}  # number -> node, asked, rule
        self._number = 0  # of the last question
        self._deadlines = deadlines
        self._clients = clients
        self._taken = taken

    def consider(self, node: Node, now: float, out: list[Action]) -> None:
        """Offer a free node to the running client."""
        client = self._clients.active
        if client is None or client.state is not ClientState.SCHEDULED:
            return
        if node.question or self._clients.unwritten:
            return
        # A client that is not heard gets nothing new: another may need it sooner.
        if client.unheard_since is not None:
            return
        if node.state is NodeState.DISCOVERED and node.incarnation not in client.excluded:
            self._judged(node, client, allocate.choose(client.rules, node.described()), now, out)

    def _judged(
        self, node: Node, client: Client, verdict: allocate.Verdict, now: float, out: list[Action]
    ) -> None:
        if verdict.ask is not None:
            self._number += 1
            node.question = self._number
            self.questions[self._number] = (node, client, verdict.ask)
            self._deadlines.set(("question", self._number), now + self._limits.request_timeout)
            question = m.AskAllocate(self._number, verdict.ask, node.described())
            out.append(Say(client.incarnation, question))
        elif verdict.servers > 0:
            self._taken(node, client, verdict.servers, now, out)
        else:
            self.ignore(node, client, verdict.reason, out)

    def ignore(self, node: Node, client: Client, reason: str, out: list[Action]) -> None:
        """Tell the client why it has not this node: once, though it is judged again as its figures change."""
        if node.incarnation not in client.ignored:
            ignored = m.NodeIgnored(client.reservation, node.described(), reason)
            out.append(Say(client.incarnation, ignored))
        client.ignored[node.incarnation] = reason

    def allocated(self, peer: Incarnation, message: m.Allocated, now: float, out: list[Action]) -> None:
        """The client's own rule answered (S5)."""
        asked = self.questions.get(message.question)
        if asked is not None and asked[1].incarnation == peer:
            self._answered(message.question, message.servers, now, out)

    def _answered(self, question: int, servers: int | None, now: float, out: list[Action]) -> None:
        node, client, index = self.questions[question]
        self.forget(node)
        running = client is self._clients.active and client.state is ClientState.SCHEDULED
        if self._clients.unwritten or not running:
            return
        if node.state is NodeState.DISCOVERED and node.incarnation not in client.excluded:
            verdict = allocate.answered(client.rules, node.described(), index, servers)
            self._judged(node, client, verdict, now, out)

    def forget(self, node: Node) -> None:
        """Nobody need answer any more what was asked about this node."""
        if node.question:
            self.questions.pop(node.question, None)
            self._deadlines.drop(("question", node.question))
            node.question = 0

    def due(self, question: int, now: float, out: list[Action]) -> None:
        """The client did not answer: as if its rule had failed (ST-13)."""
        if question in self.questions:
            self._answered(question, None, now, out)
