"""Tickets: questions to other processes that wait for their answer.

Each is answered once: by the peer, by its time-out, or by the loss of the peer, whichever
comes first. So no waiter waits in silence (N3, R-70).

Any thread. Layer 4.
"""

from __future__ import annotations

import itertools
from typing import Any

from dispycos.kernel.operation import Operation
from dispycos.model import Incarnation
from dispycos.net.reactor import Later, Reactor
from dispycos.records import record


@record(frozen=False)
class Ticket:
    """One question that waits."""

    operation: Operation
    peer: Incarnation  # who may answer; empty: anyone
    if_lost: Any  # called with the reason: what the waiter gets, or an exception, if the peer is lost
    of: tuple[Incarnation, int] | None  # the object there that is asked, if it may go alone
    timer: Later | None = None


class Tickets:
    """The questions of one process, by number. As many as there are waiters in it."""

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._numbers = itertools.count(1)
        self._open: dict[int, Ticket] = {}

    def open(
        self,
        operation: Operation,
        peer: Incarnation,
        *,
        if_lost: Any,
        timeout: float | None,
        at_timeout: Any = None,
        of: tuple[Incarnation, int] | None = None,
    ) -> int:
        """Wait for an answer of `peer`; `at_timeout` is the answer after `timeout` seconds."""
        number = next(self._numbers)
        ticket = Ticket(operation, peer, if_lost, of)
        self._open[number] = ticket
        if timeout is not None:
            ticket.timer = self._reactor.later(timeout, self.resolve, number, at_timeout)
        return number

    def get(self, number: int, peer: Incarnation) -> Ticket | None:
        """The question of that number, if it waits for an answer of `peer`."""
        ticket = self._open.get(number)
        return ticket if ticket is not None and ticket.peer in (b"", peer) else None

    def resolve(self, number: int, value: Any) -> None:
        """Answer a question with a value; no effect if it was answered."""
        ticket = self._take(number)
        if ticket is not None:
            ticket.operation.complete(value)

    def fail(self, number: int, error: BaseException) -> None:
        """Answer a question with an exception; no effect if it was answered."""
        ticket = self._take(number)
        if ticket is not None:
            ticket.operation.fail(error)

    def lose(self, number: int, reason: str) -> None:
        """Nobody will answer this question; `reason` says why."""
        ticket = self._take(number)
        if ticket is not None:
            lost = ticket.if_lost(reason)
            if isinstance(lost, Exception):
                ticket.operation.fail(lost)
            else:
                ticket.operation.complete(lost)

    def lose_peer(self, peer: Incarnation, reason: str) -> None:
        """Nobody will answer what only `peer` may answer."""
        for number in [number for number, ticket in list(self._open.items()) if ticket.peer == peer]:
            self.lose(number, reason)

    def lose_object(self, of: tuple[Incarnation, int], reason: str) -> None:
        """Nobody will answer what only this object may answer."""
        for number in [number for number, ticket in list(self._open.items()) if ticket.of == of]:
            self.lose(number, reason)

    def _take(self, number: int) -> Ticket | None:
        ticket = self._open.pop(number, None)
        if ticket is not None and ticket.timer is not None:
            ticket.timer.cancel()
        return ticket
