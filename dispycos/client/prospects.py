"""Prospects: whether a client's servers will come, what keeps them away, and who is told.

The part of the fleet that knows what is waited for: who waits for servers is answered here
(`client.awaited`), dispatch hears that none will come, and the log says now and then what keeps
them. It changes nothing about nodes and servers.

Pure. Rules S6, R-33, R-99. Row DC-60.
"""

from __future__ import annotations

from itertools import islice

from dispycos.client import orders as o
from dispycos.client import survey
from dispycos.client.awaited import Awaited
from dispycos.client.events import NoServers
from dispycos.client.holdings import Holdings
from dispycos.client.turn import Turn, TurnState
from dispycos.config import Limits
from dispycos.deadlines import Deadlines
from dispycos.errors import Closed, TaskRejected
from dispycos.events import Action, Note
from dispycos.model import Incarnation
from dispycos.wording import MAX_NAMED, left_out, listed

DUE = ("why", Incarnation(b""))


class Prospects:
    """What one client may hope for."""

    def __init__(
        self,
        limits: Limits,
        turn: Turn,
        holdings: Holdings,
        deadlines: Deadlines[tuple[str, Incarnation]],
    ) -> None:
        self.limits = limits
        self.awaited = Awaited(holdings.crew, deadlines)
        self.ignored = ""  # why the last node that no rule took was ignored
        self._hopeless = ""  # why no node will come from this program from now on; "": one may
        self._told_hopeless = ""  # what dispatch knows of it
        self._turn = turn
        self._holdings = holdings
        self._crew = holdings.crew
        self._deadlines = deadlines

    # Why.

    def why(self, now: float) -> str:
        """What keeps tasks from being placed, or the close from ending; "" if nothing does (S6)."""
        turn, nodes = self._turn, self._holdings.nodes
        if text := turn.why(now):
            return text
        if turn.ending:
            left = [node.facts.name for node in nodes.values()]
            return f"closing: {listed(left)}" if left else "closing: the scheduler takes the nodes back"
        if turn.state is not TurnState.SCHEDULED:
            return f"the client is {turn.state.value}"
        if self._crew.usable:
            return ""
        if not nodes:
            gone = self._holdings.last_gone
            missing = f"no node is left: {gone}" if gone else "no node was granted"
            ignored = f"the last one ignored: {self.ignored}" if self.ignored else ""
            return "; ".join(filter(None, (missing, self._as_told(now) or ignored)))
        unusable = [survey.why_unusable(node) for node in islice(nodes.values(), MAX_NAMED)]
        return "; ".join([*unusable, *left_out(len(nodes), one="more node", several="more nodes")])

    def why_no_more(self, now: float) -> str:
        """How many servers would get tasks, and what keeps more of them away (S6)."""
        usable = self._crew.usable
        if not usable:
            return f"there is none: {self.why(now)}"
        why = self._turn.why(now) or survey.why_no_more(self._holdings.nodes.values())
        ignored = f"; the last one ignored: {self.ignored}" if self.ignored else ""
        return f"there {'is' if usable == 1 else 'are'} {usable:,}: {why}{ignored}"

    def _as_told(self, now: float) -> str:
        """What the scheduler says of the nodes that are waited for, and how long ago it said so."""
        age = now - self._turn.told_at
        return (
            f"{self._turn.reason} (as of {age:.0f} s ago)"
            if self._turn.reason and age >= 1
            else self._turn.reason
        )

    # What happens.

    def await_servers(self, event: o.AwaitServers, now: float, out: list[Action]) -> None:
        """Somebody waits for servers."""
        self.awaited.add(event, now)
        if self._turn.state is not TurnState.SCHEDULED or self._turn.ending:
            self.awaited.fail(Closed, "the client is closed", out)
        elif self._waits_for_ours and self._hopeless:
            self.awaited.fail(TaskRejected, self._hopeless, out)

    def await_no_more(self, event: o.AwaitNoMore, now: float, out: list[Action]) -> None:
        """He does not any more."""
        self.awaited.drop(event.ticket)

    def no_nodes(self, event: o.NoNodes, now: float, out: list[Action]) -> None:
        """Whether this program can have nodes."""
        self._hopeless = event.reason if event.lasting else ""
        if not event.lasting and self._waits_for_ours:
            self._told_hopeless = ""
            out.append(NoServers(event.reason, lasting=False))
            self.awaited.fail(TaskRejected, event.reason, out)

    def told(self, reason: str, out: list[Action]) -> None:
        """The scheduler says what is waited for."""
        if self._scheduler_says_why:
            out.append(Note("warning", f"client {self._turn.name} waits: {reason}"))

    def awaited_due(self, now: float, out: list[Action]) -> None:
        """Somebody may have waited for servers for long enough."""
        self.awaited.due(now, self.why_no_more, out)

    def due(self, now: float, out: list[Action]) -> None:
        """What is waited for has been for so long that it is said."""
        why = self.why(now) or f"{self.awaited.most} servers are wanted; {self.why_no_more(now)}"
        out.append(Note("warning", f"client {self._turn.name} waits: {why}"))
        self._deadlines.set(DUE, now + self.limits.visible_wait_again)

    def watch(self, now: float, out: list[Action]) -> None:
        """After each event: who waits is told what it led to."""
        state = self._turn.state
        hopeless = self._hopeless if self._waits_for_ours else ""
        if hopeless != self._told_hopeless and state is TurnState.SCHEDULED:
            self._told_hopeless = hopeless
            out.append(NoServers(hopeless))
            if hopeless:
                self.awaited.fail(TaskRejected, hopeless, out)
        self.awaited.look(out)
        if state is TurnState.SCHEDULED and not self._turn.ending:
            waits = (self._crew.usable == 0 or bool(self.awaited)) and not self._scheduler_says_why
        else:
            waits = self._turn.waits
        if waits:
            self._deadlines.set_if_none(DUE, now + self.limits.visible_wait)
        else:
            self._deadlines.drop(DUE)

    @property
    def _scheduler_says_why(self) -> bool:
        """Whether nodes are waited for: only the scheduler knows what keeps them away, and tells after V."""
        scheduled = self._turn.state is TurnState.SCHEDULED and not self._turn.ending
        return scheduled and self._turn.reachable and not self._holdings.nodes

    @property
    def _waits_for_ours(self) -> bool:
        """Whether it waits for nodes of this program's: a shared scheduler's are not its to start.

        Whoever has a node waits for its servers, wherever that came from.
        """
        scheduled = self._turn.state is TurnState.SCHEDULED
        return scheduled and self._turn.scheduler == self._turn.our and not self._holdings.nodes
