"""Who waits until a client has so many servers, and what each is answered.

A server counts while it would get a task (`members.Server.usable`). Each wait is answered once:
there are enough, its time is over, or no more will come.

Pure. Rule S6. Row DC-60.
"""

from __future__ import annotations

from collections.abc import Callable

from dispycos.client.crew import Crew
from dispycos.client.orders import AwaitServers, ServersMissing, ServersThere
from dispycos.deadlines import Deadlines
from dispycos.errors import DispycosError, Timeout
from dispycos.events import Action
from dispycos.model import Incarnation
from dispycos.records import record

DUE = ("awaited", Incarnation(b""))


@record
class _Wait:
    """One who waits."""

    count: int  # servers
    timeout: float | None  # seconds, as it was asked for
    deadline: float | None  # then it has waited long enough

    @property
    def call(self) -> str:
        """What its program wrote."""
        return f"client.wait_for_servers({self.count})"


class Awaited:
    """Those who wait, by their tickets: as many as the program has begun."""

    def __init__(self, crew: Crew, deadlines: Deadlines[tuple[str, Incarnation]]) -> None:
        self._crew = crew
        self._deadlines = deadlines
        self._waits: dict[int, _Wait] = {}

    def __bool__(self) -> bool:
        return bool(self._waits)

    @property
    def most(self) -> int:
        """Servers that somebody waits for; 0: nobody does."""
        return max((wait.count for wait in self._waits.values()), default=0)

    def add(self, event: AwaitServers, now: float) -> None:
        """One more; `look` follows."""
        deadline = None if event.timeout is None else now + event.timeout
        self._waits[event.ticket] = _Wait(event.count, event.timeout, deadline)
        self._arm()

    def drop(self, ticket: int) -> None:
        """It waits no more, and is not answered. May be repeated."""
        if self._waits.pop(ticket, None) is not None:
            self._arm()

    def look(self, out: list[Action]) -> None:
        """Answer those who have enough now."""
        enough = [ticket for ticket, wait in self._waits.items() if wait.count <= self._crew.usable]
        if enough:
            there = tuple(server.location for server in self._crew.servers.values() if server.usable)
            out.extend(ServersThere(ticket, there) for ticket in enough)
            self._forget(enough)

    def due(self, now: float, why: Callable[[float], str], out: list[Action]) -> None:
        """The time of some is over; `why` says what they waited for."""
        over = {ticket: wait for ticket, wait in self._waits.items() if _is_over(wait, now)}
        for ticket, wait in over.items():
            text = f"{wait.call} was not done in {wait.timeout:g} s: {why(now)}"
            out.append(ServersMissing(ticket, Timeout, text))
        self._forget(over)

    def fail(self, error: type[DispycosError], reason: str, out: list[Action]) -> None:
        """No more come, for none of them."""
        for ticket, wait in self._waits.items():
            out.append(ServersMissing(ticket, error, f"{wait.call}: {reason}"))
        self._forget(list(self._waits))

    def _forget(self, tickets: list[int] | dict[int, _Wait]) -> None:
        for ticket in tickets:
            del self._waits[ticket]
        self._arm()

    def _arm(self) -> None:
        deadlines = [wait.deadline for wait in self._waits.values() if wait.deadline is not None]
        if deadlines:
            self._deadlines.set(DUE, min(deadlines))
        else:
            self._deadlines.drop(DUE)


def _is_over(wait: _Wait, now: float) -> bool:
    return wait.deadline is not None and wait.deadline <= now
