"""Waiting until a client has so many servers; `client.awaited` decides.

I/O half. Layer 5. Row DC-60.
"""

from __future__ import annotations

from typing import Protocol

from dispycos.client.orders import ServersMissing, ServersThere
from dispycos.client.request import Process, Request


class Waits(Process, Protocol):
    """Who is asked for the servers."""

    def await_no_more(self, ticket: int) -> None: ...
    def why_no_more(self) -> str: ...


class ServersWait(Request):
    """Gives the Locations of the servers, as soon as there are enough."""

    __slots__ = ("_count", "_ticket")

    _process: Waits

    def __init__(self, process: Waits, ticket: int, count: int) -> None:
        super().__init__(process)
        self._ticket = ticket
        self._count = count

    def answer(self, answer: ServersThere | ServersMissing) -> None:
        """What became of it; once."""
        if isinstance(answer, ServersThere):
            self.complete(list(answer.servers))
        else:
            self.fail(answer.error(answer.reason))

    def _title(self) -> str:
        return f"client.wait_for_servers({self._count})"

    def _why(self) -> str:
        return self._process.why_no_more()

    def _unawaited(self) -> None:
        self._process.await_no_more(self._ticket)
