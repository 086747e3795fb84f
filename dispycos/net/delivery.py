"""Delivery: every receiver of this process by number, reachable from any other process.

Local tasks and channels that a peer refers to are found by their number; what their owners
send to handles goes to the process that the handle names, dialled if need be. Questions
carry a ticket and are answered once: by the peer, by the time-out, or by the peer's loss,
so nothing waits in silence (N3). Values are pickled by whoever sends them and unpickled on
the kernel's thread, where user code receives them (N6).

I/O half. Layer 4. Rules 3 (one address, one delivery), N3.
"""

from __future__ import annotations

import itertools
import logging
from collections import OrderedDict, deque
from collections.abc import Callable
from functools import partial
from typing import Any

from dispycos.config import Limits
from dispycos.events import DialFailed, PeerLost, PeerUp
from dispycos.kernel.core import Kernel
from dispycos.kernel.operation import Operation
from dispycos.messages import Answer, Ask, Deliver, Kind, Locate, Located, Message, Undelivered, Verb
from dispycos.model import Address, Incarnation, Location, MonitorStatus, Payload, Role, Status
from dispycos.net import remote, values
from dispycos.net.endpoint import Endpoint
from dispycos.net.receivers import Exports, answer_to
from dispycos.net.remote import Handle, RemoteTask

log = logging.getLogger("dispycos")

ANYONE = Role.CLIENT | Role.SCHEDULER | Role.NODE | Role.SERVER | Role.PEER

KINDS = {"task": Kind.TASK, "channel": Kind.CHANNEL, "service": Kind.SERVICE}

MAX_WAITING = 10_000  # messages kept for one process that is being dialled; more are refused
MAX_GONE = 4096  # incarnations remembered as lost; the one lost first is forgotten


class _Ticket:
    """A question that waits for its answer."""

    __slots__ = ("handle", "operation", "peer", "timer", "verb")

    def __init__(self, operation: Operation, peer: Incarnation, verb: Verb | None, handle: Any) -> None:
        self.operation = operation
        self.peer = peer
        self.verb = verb
        self.handle = handle
        self.timer: Any = None


class Delivery:
    """The carrier of this process's handles, and its kernel's `network`.

    reservation  whose servers this process belongs to: its own, if it is a server; else 0.
    load         unpickles a value for user code; a server's resolves its client's names.
    absent       asked with (peer, message) when nobody has a message's number: True if it was kept.
    """

    def __init__(self, kernel: Kernel, endpoint: Endpoint, *, reservation: int = 0) -> None:
        self.kernel = kernel
        self.endpoint = endpoint
        self.reservation = reservation
        self.load: Callable[[Payload], Any] = values.load
        self.absent: Callable[[Incarnation, Message], bool] | None = None
        self._limits: Limits = endpoint.limits
        self._exports = Exports(kernel)
        self._numbers = itertools.count(1)
        self._tickets: dict[int, _Ticket] = {}  # each one's waiter is in this process
        self._watches: dict[tuple[Incarnation, int], list[Any]] = {}  # (task) -> who watches it here
        self._watched: dict[tuple[Incarnation, int], RemoteTask] = {}
        self._waiting: dict[Incarnation, tuple[Location, deque[Message]]] = {}
        self._gone: OrderedDict[Incarnation, str] = OrderedDict()
        self._searches: dict[int, tuple[Kind, str]] = {}  # tickets of names that any peer may know
        endpoint.bind_kernel(kernel)
        endpoint.watch(self._peer_event)
        for message, handler in (
            (Deliver, self._hear_deliver),
            (Ask, self._hear_ask),
            (Answer, self._hear_answer),
            (Undelivered, self._hear_undelivered),
            (Locate, self._hear_locate),
            (Located, self._hear_located),
        ):
            endpoint.handle(message, handler, who=ANYONE)  # type: ignore[arg-type]  # each takes its own kind
        kernel.network = self
        remote.carrier = self

    # As the kernel's network.

    @property
    def incarnation(self) -> Incarnation:
        return self.endpoint.incarnation

    @property
    def location(self) -> Location:
        location = self.endpoint.location
        assert location is not None, "a process's endpoint listens before its tasks refer to it"
        return location

    def reduce(self, receiver: Any) -> tuple[Any, ...]:
        """The pickle reduction of a local task or channel: it travels as a reference."""
        kind = self._exports.add(receiver)
        address = Address(self.incarnation, self.endpoint.location, receiver.number)
        return remote.reduction(kind, address, receiver.name, self.reservation)

    def find(self, number: int) -> Any:
        return self._exports.find(number)

    def locate(self, kind: str, name: str, location: Location | None, timeout: float | None) -> Operation:
        """The receiver registered as `name` at `location`, or, if None, at any peer; else None."""
        operation = Operation()
        limit = self._limits.request_timeout if timeout is None and location is not None else timeout
        self.endpoint.reactor.call(self._search, operation, KINDS[kind], name, location, limit)
        if location is None:
            # It may also appear here.
            self.kernel.post(self._search_here, operation, kind, name)
        return operation

    def _search_here(self, operation: Operation, kind: Any, name: str) -> None:
        found = self.kernel.names.find(kind, name)
        if found is not None:
            operation.complete(found)
        else:
            self.kernel.names.wait(kind, name, operation.complete)
            operation.add_done_callback(
                lambda _: self.kernel.post(self.kernel.names.forget, kind, name, operation.complete)
            )

    def _search(
        self, operation: Operation, kind: Kind, name: str, location: Location | None, timeout: float | None
    ) -> None:
        number = self._ticket(operation, Incarnation(b""), None, None, timeout)
        question = Locate(kind, name, number, -1.0 if timeout is None else timeout)
        if location is None:
            # Those present now, and those that appear until it is known.
            self._searches[number] = (kind, name)
            operation.add_done_callback(lambda _: self._searches.pop(number, None))
            for peer in self.endpoint.peers():
                self.endpoint.say(peer.incarnation, question)
            return
        peer = self.endpoint.peer_at(location)
        if peer is None:
            operation.complete(None)
            return
        self._tickets[number].peer = peer.incarnation
        self.endpoint.say(peer.incarnation, question)

    # As the handles' carrier; any thread.

    def send(self, handle: Handle, value: Any) -> int:
        payload = values.dump(value, what="a message")
        return self._post(handle, Deliver(handle.address.number, payload))

    def deliver(self, handle: Handle, value: Any, timeout: float | None) -> Operation:
        payload = values.dump(value, what="a message")
        operation = Operation()
        number = self._ticket(operation, handle.address.incarnation, None, handle, timeout, at_timeout=0)
        if self._post(handle, Deliver(handle.address.number, payload, number)):
            self._resolve(number, -1)
        return operation

    def tell(self, handle: Handle, verb: Verb, value: Any) -> int:
        payload = values.dump(value, what=f"the argument of {verb.name.lower()}")
        return self._post(handle, Ask(handle.address.number, verb, payload))

    def ask(self, handle: Handle, verb: Verb, value: Any, timeout: float | None) -> Operation:
        payload = values.dump(value, what=f"the argument of {verb.name.lower()}")
        operation = Operation()
        number = self._ticket(operation, handle.address.incarnation, verb, handle, timeout)
        if self._post(handle, Ask(handle.address.number, verb, payload, number)):
            self._lose_ticket(number, self._gone.get(handle.address.incarnation, "its process is gone"))
        return operation

    def watch(self, handle: RemoteTask, watcher: Any) -> int:
        key = (handle.address.incarnation, handle.number)
        self._watches.setdefault(key, []).append(watcher)
        self._watched[key] = handle
        if self.tell(handle, Verb.MONITOR, watcher):
            self._lose_watch(key, self._gone.get(key[0], "its process is gone"))
        return 0

    def _ticket(
        self,
        operation: Operation,
        peer: Incarnation,
        verb: Verb | None,
        handle: Any,
        timeout: float | None,
        at_timeout: Any = None,
    ) -> int:
        number = next(self._numbers)
        self._tickets[number] = _Ticket(operation, peer, verb, handle)
        if timeout is not None:
            self.endpoint.reactor.call(self._limit, number, timeout, at_timeout)
        return number

    def _limit(self, number: int, timeout: float, at_timeout: Any) -> None:
        ticket = self._tickets.get(number)
        if ticket is not None:
            loop = self.endpoint.reactor.loop
            ticket.timer = loop.call_later(timeout, self._resolve, number, at_timeout)

    def _resolve(self, number: int, value: Any) -> None:
        ticket = self._drop(number)
        if ticket is not None:
            ticket.operation.complete(value)

    def _drop(self, number: int) -> _Ticket | None:
        ticket = self._tickets.pop(number, None)
        if ticket is not None and ticket.timer is not None:
            ticket.timer.cancel()
        return ticket

    def _lose_ticket(self, number: int, reason: str) -> None:
        ticket = self._drop(number)
        if ticket is None:
            return
        if ticket.verb is Verb.RESULT:
            status = MonitorStatus(ticket.handle, Status.TaskAbandoned, reason)
            ticket.operation.complete(status)
        else:
            ticket.operation.complete(-1 if ticket.handle is not None else None)

    # Reaching processes.

    def _post(self, handle: Handle, message: Message) -> int:
        """Bring a message on its way: 0, or -1 if its process is known to be gone."""
        to = handle.address.incarnation
        if self.endpoint.queue(to, message):
            self.endpoint.flush()
            return 0
        if to == self.incarnation:
            return 0
        if to in self._gone or handle.address.location is None:
            return -1
        self.endpoint.reactor.call(self._reach, handle, message)
        return 0

    def _reach(self, handle: Handle, message: Message) -> None:
        to, location = handle.address.incarnation, handle.address.location
        assert location is not None
        if self.endpoint.queue(to, message):  # it came up meanwhile
            self.endpoint.flush()
            return
        waiting = self._waiting.get(to)
        if waiting is None:
            waiting = self._waiting[to] = (location, deque())
            # With a server's reservation key to a server, with the cluster's to others.
            self.endpoint.dial(location, reservation=handle.reservation or self.reservation)
        if len(waiting[1]) < MAX_WAITING:
            waiting[1].append(message)
        else:
            self._return(to, message, f"{MAX_WAITING} messages wait for {location} already")

    def _peer_event(self, event: Any) -> None:
        if isinstance(event, PeerUp):
            self._peer_up(event)
        elif isinstance(event, PeerLost):
            self._peer_lost(event.peer, event.reason)
        elif isinstance(event, DialFailed):
            for to, (location, _) in list(self._waiting.items()):
                if location == event.location:
                    self._give_up(to, event.reason)

    def _peer_up(self, event: PeerUp) -> None:
        waiting = self._waiting.pop(event.peer, None)
        if waiting is not None:
            for message in waiting[1]:
                self.endpoint.queue(event.peer, message)
            self.endpoint.flush()
        for to, (location, _) in list(self._waiting.items()):
            if event.location == location:
                self._give_up(to, f"another process answers at {location}")
        for number, (kind, name) in self._searches.items():
            self.endpoint.say(event.peer, Locate(kind, name, number, -1.0))

    def _give_up(self, to: Incarnation, reason: str) -> None:
        location, messages = self._waiting.pop(to)
        self.endpoint.stop_dialling(location)
        for message in messages:
            self._return(to, message, reason)
        self._peer_lost(to, reason)

    def _return(self, to: Incarnation, message: Message, reason: str) -> None:
        number = getattr(message, "ticket", 0)
        if number:
            self._lose_ticket(number, reason)
        else:
            log.warning("a message was not delivered: %s", reason)

    def _peer_lost(self, peer: Incarnation, reason: str) -> None:
        self._gone[peer] = reason
        if len(self._gone) > MAX_GONE:
            self._gone.popitem(last=False)
        for number in [number for number, ticket in self._tickets.items() if ticket.peer == peer]:
            self._lose_ticket(number, reason)
        for key in [key for key in self._watches if key[0] == peer]:
            self._lose_watch(key, reason)

    def _lose_watch(self, key: tuple[Incarnation, int], reason: str) -> None:
        handle = self._watched.pop(key, None)
        for watcher in self._watches.pop(key, ()):
            watcher.send(MonitorStatus(handle, Status.TaskAbandoned, reason))

    # Hearing: on the reactor's thread, handed to the kernel's, where values are unpickled.

    def _hear_deliver(self, peer: Incarnation, message: Deliver) -> None:
        self.kernel.post(self._take_deliver, peer, message)

    def _take_deliver(self, peer: Incarnation, message: Deliver) -> None:
        receiver = self._exports.find(message.to)
        if receiver is None:
            if self.absent is None or not self.absent(peer, message):
                self._say(peer, Undelivered(message.to, message.ticket, "it has ended, or never was here"))
            return
        try:
            value = self.load(message.value)
        except Exception as exc:
            log.warning("a message for %s can't be unpickled: %s", receiver, exc)
            self._say(peer, Undelivered(message.to, message.ticket, f"it can't be unpickled there: {exc}"))
            return
        if type(value) is MonitorStatus and isinstance(value.info, RemoteTask):
            self._watches.pop((value.info.address.incarnation, value.info.number), None)
            self._watched.pop((value.info.address.incarnation, value.info.number), None)
        if not message.ticket:
            receiver.send(value)
        else:
            self.kernel.spawn(self._deliver_locally, (receiver, value, peer, message.ticket), daemon=True)

    def _deliver_locally(self, receiver: Any, value: Any, peer: Incarnation, ticket: int) -> Any:
        taken = yield receiver.deliver(value)
        self._say(peer, Answer(ticket, values.dump(int(taken), what="an answer")))

    def _hear_ask(self, peer: Incarnation, message: Ask) -> None:
        self.kernel.post(self._take_ask, peer, message)

    def _take_ask(self, peer: Incarnation, message: Ask) -> None:
        receiver = self._exports.find(message.to)
        ended = self._exports.ended(message.to) if receiver is None else None
        if receiver is None and ended is None:
            if self.absent is None or not self.absent(peer, message):
                self._say(peer, Undelivered(message.to, message.ticket, "it has ended, or never was here"))
            return
        try:
            value = self.load(message.value)
            answer_to(
                self._exports, receiver or ended, message.verb, value, partial(self._answer, peer, message)
            )
        except Exception as exc:
            log.warning("%s of %s failed: %s", message.verb.name, receiver or message.to, exc)
            self._answer(peer, message, exc, failed=True)

    def _answer(self, peer: Incarnation, question: Ask, value: Any, failed: bool = False) -> None:
        if not question.ticket:
            return
        if failed:
            payload, text = values.dump_exception(value)
            answer = payload or values.dump(RuntimeError(text), what="an answer")
        else:
            answer = values.dump(value, what="an answer")
        self._say(peer, Answer(question.ticket, answer, failed))

    def _say(self, peer: Incarnation, message: Message) -> None:
        if not isinstance(message, Undelivered) or message.ticket or peer != self.incarnation:
            self.endpoint.say(peer, message)

    def _hear_answer(self, peer: Incarnation, message: Answer) -> None:
        ticket = self._tickets.get(message.ticket)
        if ticket is not None and ticket.peer == peer:
            self.kernel.post(self._take_answer, message)

    def _take_answer(self, message: Answer) -> None:
        ticket = self._drop(message.ticket)
        if ticket is None:
            return
        try:
            value = self.load(message.value)
        except Exception as exc:
            ticket.operation.fail(exc)
            return
        if message.failed:
            ticket.operation.fail(value)
        else:
            ticket.operation.complete(value)

    def _hear_undelivered(self, peer: Incarnation, message: Undelivered) -> None:
        if message.ticket:
            ticket = self._tickets.get(message.ticket)
            if ticket is not None and ticket.peer == peer:
                self._lose_ticket(message.ticket, message.reason)
        else:
            self._lose_watch((peer, message.to), message.reason)

    def _hear_locate(self, peer: Incarnation, message: Locate) -> None:
        self.kernel.post(self._take_locate, peer, message)

    def _take_locate(self, peer: Incarnation, message: Locate) -> None:
        kind = next(name for name, number in KINDS.items() if number is message.kind)
        found = self.kernel.names.find(kind, message.name)  # type: ignore[arg-type]  # one of KINDS
        if found is not None:
            self._located(peer, message, found)
            return

        def appeared(receiver: Any) -> None:
            timer.cancel()
            self._located(peer, message, receiver)

        self.kernel.names.wait(kind, message.name, appeared)  # type: ignore[arg-type]
        seconds = self._limits.visible_wait_again if message.timeout < 0 else message.timeout

        def too_late() -> None:
            self.kernel.post(self.kernel.names.forget, kind, message.name, appeared)
            self.endpoint.say(peer, Located(message.ticket, None))

        timer = _Timer(self.endpoint, seconds, too_late)

    def _located(self, peer: Incarnation, message: Locate, receiver: Any) -> None:
        self._exports.add(receiver)
        address = Address(self.incarnation, self.endpoint.location, receiver.number)
        self.endpoint.say(peer, Located(message.ticket, address, receiver.name))

    def _hear_located(self, peer: Incarnation, message: Located) -> None:
        ticket = self._tickets.get(message.ticket)
        if ticket is None or (ticket.peer and ticket.peer != peer):
            return
        if message.address is not None:
            entry = self._searches.get(message.ticket)
            kind = entry[0] if entry else Kind.TASK
            speaker = self.endpoint.peer(peer)
            reservation = speaker.reservation if speaker is not None else 0
            handle = remote.makers[kind](message.address, message.name, reservation)
            self._resolve(message.ticket, handle)
        elif ticket.peer:
            self._resolve(message.ticket, None)


class _Timer:
    """A call on the reactor after some seconds, cancelled from any thread."""

    def __init__(self, endpoint: Endpoint, seconds: float, function: Callable[[], object]) -> None:
        self._endpoint = endpoint
        self._handle: Any = None
        self._cancelled = False
        endpoint.reactor.call(self._start, seconds, function)

    def _start(self, seconds: float, function: Callable[[], object]) -> None:
        if not self._cancelled:
            self._handle = self._endpoint.reactor.loop.call_later(seconds, function)

    def cancel(self) -> None:
        self._cancelled = True
        self._endpoint.reactor.call(self._stop)

    def _stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
