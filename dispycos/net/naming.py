"""Naming: finding receivers that other processes have registered under a name.

A search with a location asks that process; without one it asks everybody present, this
process too, and whoever appears until it is answered or its time is over.

I/O half. Layer 4. KE-14, KE-18.
"""

from __future__ import annotations

from typing import Any

from dispycos.config import Limits
from dispycos.kernel.core import Kernel
from dispycos.kernel.network import Kind
from dispycos.kernel.operation import Operation
from dispycos.messages import Locate, Located, ReceiverKind
from dispycos.model import Address, Incarnation, Location, Role
from dispycos.net import remote
from dispycos.net.endpoint import Endpoint
from dispycos.net.receivers import Exports
from dispycos.net.tickets import Tickets

KINDS: dict[Kind, ReceiverKind] = {
    "task": ReceiverKind.TASK,
    "channel": ReceiverKind.CHANNEL,
    "rps": ReceiverKind.RPS,
}
_NAMES: dict[ReceiverKind, Kind] = {number: name for name, number in KINDS.items()}

_ANYONE = Incarnation(b"")


class Naming:
    """Searches of this process, and answers to those of others."""

    def __init__(self, kernel: Kernel, endpoint: Endpoint, exports: Exports, *, who: Role) -> None:
        self._kernel = kernel
        self._endpoint = endpoint
        self._exports = exports
        self._limits: Limits = endpoint.limits
        self._tickets = Tickets(endpoint.reactor)
        self._searches: dict[int, Locate] = {}  # those that anyone may answer; each has a waiter here
        endpoint.handle(Locate, self._hear_locate, who=who)
        endpoint.handle(Located, self._hear_located, who=who)

    # Searching.

    def locate(self, kind: Kind, name: str, location: Location | None, timeout: float | None) -> Operation:
        """The receiver of that name, or None after `timeout` seconds."""
        operation = Operation()
        if location is not None:
            limit = self._limits.request_timeout if timeout is None else timeout
            self._endpoint.reactor.call(self._ask_one, operation, KINDS[kind], name, location, limit)
        else:
            self._endpoint.reactor.call(self._ask_all, operation, KINDS[kind], name, timeout)
            self._kernel.post(self._look_here, operation, kind, name)
        return operation

    def _look_here(self, operation: Operation, kind: Kind, name: str) -> None:
        names = self._kernel.names
        found = names.find(kind, name)
        if found is not None:
            operation.complete(found)
            return
        names.wait(kind, name, operation.complete)
        operation.add_done_callback(lambda _: self._kernel.post(names.forget, kind, name, operation.complete))

    def _ask_one(
        self, operation: Operation, kind: ReceiverKind, name: str, location: Location, timeout: float
    ) -> None:
        peer = self._endpoint.peer_at(location)
        if peer is None:
            operation.complete(None)
            return
        number = self._open(operation, peer.incarnation, timeout)
        self._endpoint.say(peer.incarnation, Locate(kind, name, number, max(0.0, timeout)))

    def _ask_all(self, operation: Operation, kind: ReceiverKind, name: str, timeout: float | None) -> None:
        number = self._open(operation, _ANYONE, timeout)
        # A peer keeps such a question no longer than this; a search without end asks again then.
        patience = self._limits.visible_wait_again if timeout is None else max(0.0, timeout)
        question = self._searches[number] = Locate(kind, name, number, patience)
        operation.add_done_callback(lambda _: self._searches.pop(number, None))
        if timeout is None:
            self._endpoint.reactor.later(patience, self._ask_again, number)
        self._ask_present(question)

    def _ask_present(self, question: Locate) -> None:
        for peer in self._endpoint.peers():
            self._endpoint.say(peer.incarnation, question)

    def _ask_again(self, number: int) -> None:
        question = self._searches.get(number)
        if question is not None:
            self._ask_present(question)
            self._endpoint.reactor.later(question.timeout, self._ask_again, number)

    def _open(self, operation: Operation, peer: Incarnation, timeout: float | None) -> int:
        return self._tickets.open(operation, peer, if_lost=_nobody, timeout=timeout)

    def peer_up(self, peer: Incarnation) -> None:
        """Somebody appeared: ask him too."""
        for question in list(self._searches.values()):
            self._endpoint.say(peer, question)

    def peer_lost(self, peer: Incarnation, reason: str) -> None:
        self._tickets.lose_peer(peer, reason)

    def _hear_located(self, peer: Incarnation, message: Located) -> None:
        ticket = self._tickets.get(message.ticket, peer)
        if ticket is None:
            return
        if message.address is not None:
            speaker = self._endpoint.peer(peer)
            reservation = speaker.reservation if speaker is not None else 0
            maker = remote.makers[message.kind]
            self._tickets.resolve(message.ticket, maker(message.address, message.name, reservation))
        elif ticket.peer:
            self._tickets.resolve(message.ticket, None)

    # Answering.

    def _hear_locate(self, peer: Incarnation, message: Locate) -> None:
        self._kernel.post(self._answer, peer, message)

    def _answer(self, peer: Incarnation, message: Locate) -> None:
        names, kind = self._kernel.names, _NAMES[message.kind]
        found = names.find(kind, message.name)
        if found is not None or message.timeout <= 0:
            self._tell(peer, message, found)
            return

        def appeared(receiver: Any) -> None:
            timer.cancel()
            self._tell(peer, message, receiver)

        def too_late() -> None:
            self._kernel.post(names.forget, kind, message.name, appeared)
            self._tell(peer, message, None)

        names.wait(kind, message.name, appeared)
        timer = self._endpoint.reactor.later(message.timeout, too_late)

    def _tell(self, peer: Incarnation, message: Locate, receiver: Any) -> None:
        if receiver is None:
            self._endpoint.say(peer, Located(message.ticket, None, message.kind))
            return
        self._exports.add(receiver)
        address = Address(self._endpoint.incarnation, self._endpoint.location, receiver.number)
        self._endpoint.say(peer, Located(message.ticket, address, message.kind, receiver.name))


def _nobody(_reason: str) -> None:
    return None
