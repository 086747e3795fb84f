"""Delivery: every receiver of this process by number, reachable from any other process.

What the owners of handles send goes to the process that the handle names, dialled if need
be; what peers send finds the local task or channel by its number. Values are pickled by
whoever sends them and unpickled on the kernel's thread, where user code receives them (N6).
What can't be delivered comes back to whoever waits for it, with the reason (N3).

I/O half. Layer 4. Rule 3: one address, one delivery.
"""

from __future__ import annotations

import logging
from collections import OrderedDict, deque
from collections.abc import Callable
from functools import partial
from typing import Any

from dispycos.errors import PeerLost, RemoteProtocolError
from dispycos.events import DialFailed, PeerGone, PeerUp
from dispycos.kernel.core import Kernel
from dispycos.kernel.held import hold
from dispycos.kernel.network import Kind
from dispycos.kernel.operation import Operation
from dispycos.kernel.rps import RPS
from dispycos.messages import (
    Answer,
    Ask,
    Deliver,
    Deliveries,
    Message,
    ReceiverKind,
    Refer,
    Undelivered,
    Verb,
    Withdraw,
)
from dispycos.model import Address, Incarnation, Location, MonitorStatus, Payload, Role, Status
from dispycos.net import remote
from dispycos.net.bundle import SMALL
from dispycos.net.calls import Calls
from dispycos.net.endpoint import FIRST, Endpoint
from dispycos.net.naming import Naming
from dispycos.net.receivers import Exports, answer_to
from dispycos.net.remote import Handle, RemoteTask
from dispycos.net.remote_channel import RemoteChannel
from dispycos.net.remote_rps import RemoteRPS
from dispycos.net.tickets import Tickets
from dispycos.pickling import values

log = logging.getLogger("dispycos")

ANYONE = Role.CLIENT | Role.SCHEDULER | Role.NODE | Role.SERVER | Role.PEER

MAX_WAITING = 10_000  # messages kept for one process that is being dialled; more are refused
MAX_GONE = 4096  # incarnations remembered as lost; the one lost first is forgotten

remote.makers[ReceiverKind.CHANNEL] = RemoteChannel.of
remote.makers[ReceiverKind.RPS] = RemoteRPS.of

_Key = tuple[Incarnation, int]  # one task anywhere


class Delivery:
    """The carrier of this process's handles, and its kernel's `network`.

    reservation  whose servers this process belongs to, if it is one; else 0.
    load         unpickles a value for user code; a server's resolves its client's names.
    absent       asked with (peer, message) when nobody has a message's number: True if it was kept.
    """

    def __init__(self, kernel: Kernel, endpoint: Endpoint, *, reservation: int = 0) -> None:
        self.kernel = kernel
        self.endpoint = endpoint
        self.incarnation = endpoint.incarnation  # of this process
        self.reservation = reservation
        self.load: Callable[[Payload], Any] = values.load
        self.absent: Callable[[Incarnation, Message], bool] | None = None
        self.handles: dict[tuple[Any, ...], Any] = {}
        self._exports = Exports(kernel)
        self._naming = Naming(kernel, endpoint, self._exports, who=ANYONE)
        self._tickets = Tickets(endpoint.reactor)
        # Tasks elsewhere that somebody here monitors; as many as were asked for and have not ended.
        self._watched: dict[_Key, tuple[RemoteTask, list[Any]]] = {}
        self._waiting: dict[Incarnation, tuple[Location, deque[Message]]] = {}  # being dialled
        self._gone: OrderedDict[Incarnation, str] = OrderedDict()
        # Objects, here and elsewhere (`objects.keeper`, `objects.remote`).
        self.calls = Calls(endpoint, self._tickets, self._post, self._why_gone, ANYONE)
        endpoint.bind_kernel(kernel)
        endpoint.watch(self._peer_event)
        endpoint.handle(Deliver, self._hear_deliver, who=ANYONE, aside=True)
        endpoint.handle(Deliveries, self._hear_deliveries, who=ANYONE, aside=True)
        endpoint.handle(Ask, self._hear_ask, who=ANYONE, aside=True)
        endpoint.handle(Answer, self._hear_answer, who=ANYONE, aside=True)
        endpoint.handle(Undelivered, self._hear_undelivered, who=ANYONE, aside=True)
        kernel.network = self
        remote.carrier = self

    def close(self) -> None:
        """This process has no network any more."""
        if self.kernel.network is self:
            self.kernel.network = None
        if remote.carrier is self:
            remote.carrier = None
            remote.had_one = True

    # As the kernel's network.

    @property
    def location(self) -> Location:
        """Where this process is reached."""
        location = self.endpoint.location
        assert location is not None, "an endpoint listens before its tasks are referred to"
        return location

    def reduce(self, receiver: Any) -> tuple[Any, ...]:
        """The pickle reduction of a local task or channel: it travels as a reference."""
        number = receiver.number
        known = self._exports.references.get(number)
        if known is None:
            kind = self._exports.add(receiver)
            address = Address(self.incarnation, self.endpoint.location, number)
            known = remote.reduction(kind, address, receiver.name, self.reservation)
            if kind is ReceiverKind.TASK and address.location is not None:
                self._exports.refer(receiver, known)
        return known

    def find(self, number: int) -> Any:
        """The local receiver of that number, a task that has ended included; None if it is forgotten."""
        return self._exports.find(number) or self._exports.ended(number)

    def locate(self, kind: Kind, name: str, location: Location | None, timeout: float | None) -> Operation:
        """The receiver registered as `name` at `location`, or, if None, anywhere; None if there is none."""
        return self._naming.locate(kind, name, location, timeout)

    # As the handles' carrier; any thread.

    def send(self, handle: Handle, value: Any) -> int:
        data = values.dump_plain(value)
        if data is None:
            return self._post(handle, Deliver(handle.number, values.dump(value, what="a message")))
        if len(data) < SMALL:
            to = handle.address.incarnation
            bundled = self.endpoint.bundle(to, handle.number, data)
            if bundled:
                if bundled == FIRST:
                    self._see_off(to)
                return 0
        return self._post(handle, Deliver(handle.number, Payload(data)))

    def deliver(self, handle: Handle, value: Any, timeout: float | None) -> Operation:
        payload = values.dump(value, what="a message")
        operation = Operation()
        number = self._open(operation, handle, timeout, at_timeout=0)
        if self._post(handle, Deliver(handle.address.number, payload, number)):
            self._tickets.resolve(number, -1)
        return operation

    def tell(self, handle: Handle, verb: Verb, value: Any) -> int:
        payload = values.dump(value, what=f"the argument of {verb.name.lower()}")
        return self._post(handle, Ask(handle.address.number, verb, payload))

    def ask(
        self, handle: Handle, verb: Verb, value: Any, timeout: float | None, at_timeout: Any = None
    ) -> Operation:
        payload = values.dump(value, what=f"the argument of {verb.name.lower()}")
        operation = Operation()
        number = self._open(operation, handle, timeout, at_timeout=at_timeout, verb=verb)
        if self._post(handle, Ask(handle.address.number, verb, payload, number)):
            self._tickets.lose(number, self._why_gone(handle.address.incarnation))
        return operation

    def watch(self, handle: RemoteTask, watcher: Any) -> int:
        key = (handle.address.incarnation, handle.number)
        self._watched.setdefault(key, (handle, []))[1].append(watcher)
        if self.tell(handle, Verb.MONITOR, watcher):
            self._lose_watched(key, self._why_gone(key[0]))
        return 0

    def _open(
        self,
        operation: Operation,
        handle: Handle,
        timeout: float | None,
        *,
        at_timeout: Any = None,
        verb: Verb | None = None,
    ) -> int:
        def if_lost(reason: str) -> Any:
            if verb is Verb.CALL:
                return MonitorStatus(handle, PeerLost, reason)
            return MonitorStatus(handle, Status.TaskAbandoned, reason) if verb is Verb.RESULT else -1

        peer = handle.address.incarnation
        return self._tickets.open(operation, peer, if_lost=if_lost, timeout=timeout, at_timeout=at_timeout)

    def _why_gone(self, incarnation: Incarnation) -> str:
        return self._gone.get(incarnation, "its process is gone, and nothing tells where it was")

    # Reaching processes.

    def _post(self, handle: Handle, message: Message) -> int:
        """Bring a message on its way: 0, or -1 if its process is known to be gone."""
        to = handle.address.incarnation
        if self.endpoint.queue(to, message):
            self._see_off(to)
            return 0
        if to == self.incarnation:
            return 0
        if to in self._gone or handle.address.location is None:
            return -1
        self.endpoint.reactor.call(self._reach, handle, message)
        return 0

    def _see_off(self, to: Incarnation) -> None:
        self.endpoint.flush()
        if not self.endpoint.writable(to):
            self._hold_back(to)

    def _hold_back(self, to: Incarnation) -> None:
        """Let who sent so much wait: a task at its next yield, a plain thread here (N4)."""
        room = self.endpoint.when_writable(to)
        if self.kernel.here:
            hold(self.kernel, room)
        elif not self.endpoint.reactor.here:
            room.result()

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
            self._return(message, f"{MAX_WAITING} messages wait for {location} already")

    def _peer_event(self, event: object) -> None:
        if isinstance(event, PeerUp):
            self._peer_up(event)
        elif isinstance(event, PeerGone):
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
        self._naming.peer_up(event.peer)

    def _give_up(self, to: Incarnation, reason: str) -> None:
        location, messages = self._waiting.pop(to)
        self.endpoint.stop_dialling(location)
        for message in messages:
            self._return(message, reason)
        self._peer_lost(to, reason)

    def _return(self, message: Message, reason: str) -> None:
        number = getattr(message, "ticket", 0)
        if number:
            self._tickets.lose(number, reason)
        elif not isinstance(message, Refer | Withdraw):  # with its object goes what was said of it
            log.warning("a message was not delivered: %s", reason)

    def _peer_lost(self, peer: Incarnation, reason: str) -> None:
        self._gone[peer] = reason
        if len(self._gone) > MAX_GONE:
            self._gone.popitem(last=False)
        # Behind what it said before: that is on its way to the kernel, too.
        self.kernel.post(self._tell_lost, peer, reason)

    def _tell_lost(self, peer: Incarnation, reason: str) -> None:
        self._tickets.lose_peer(peer, reason)
        self._naming.peer_lost(peer, reason)
        for key in [key for key in list(self._watched) if key[0] == peer]:
            self._lose_watched(key, reason)

    def _lose_watched(self, key: _Key, reason: str) -> None:
        entry = self._watched.pop(key, None)
        if entry is not None:
            for watcher in entry[1]:
                watcher.send(MonitorStatus(entry[0], Status.TaskAbandoned, reason))

    # Hearing: handed to the kernel's next step, where values are unpickled, in order.

    def take(self, peer: Incarnation, message: Deliver | Ask) -> None:
        """Bring a message that was kept to its receiver, who is here now; kernel thread."""
        if isinstance(message, Deliver):
            self._take_deliver(peer, message)
        else:
            self._take_ask(peer, message)

    def _hear_deliver(self, peer: Incarnation, message: Deliver) -> None:
        self.kernel.post(self._take_deliver, peer, message)

    def _hear_deliveries(self, peer: Incarnation, message: Deliveries) -> None:
        if len(message.to) != len(message.values):
            raise RemoteProtocolError("Deliveries: as many values as receivers expected")
        self.kernel.post(self._take_deliveries, peer, message)

    def _take_deliveries(self, peer: Incarnation, message: Deliveries) -> None:
        tasks = self.kernel.tasks
        for number, data in zip(message.to, message.values, strict=True):
            receiver = tasks.get(number)
            if receiver is None or data[:1] == values.WITH_CODE:
                self._take_deliver(peer, Deliver(number, Payload(data)))
                continue
            # The usual case, written out: there are many of these.
            try:
                value = values.load_data(data)
            except Exception as exc:
                self._not_loaded(peer, receiver, Deliver(number, Payload(data)), exc)
                continue
            if type(value) is MonitorStatus:
                self._no_more_watched(value)
            receiver.send(value)

    def _take_deliver(self, peer: Incarnation, message: Deliver) -> None:
        receiver = self._exports.find(message.to)
        if receiver is None or isinstance(receiver, RPS):  # which takes calls, no messages
            self._nobody(peer, message)
            return
        try:
            value = self.load(message.value)
        except Exception as exc:
            self._not_loaded(peer, receiver, message, exc)
            return
        if type(value) is MonitorStatus:
            self._no_more_watched(value)
        if message.ticket:
            self.kernel.spawn(self._deliver_locally, (receiver, value, peer, message.ticket), daemon=True)
        else:
            receiver.send(value)

    def _not_loaded(self, peer: Incarnation, receiver: Any, message: Deliver, why: BaseException) -> None:
        log.warning("a message for %s can't be unpickled: %s", receiver, why)
        self.endpoint.say(peer, Undelivered(message.to, message.ticket, f"can't be unpickled: {why}"))

    def _no_more_watched(self, status: MonitorStatus) -> None:
        if isinstance(status.info, RemoteTask):
            self._watched.pop((status.info.address.incarnation, status.info.number), None)

    def _deliver_locally(self, receiver: Any, value: Any, peer: Incarnation, ticket: int) -> Any:
        taken = yield receiver.deliver(value)
        self.endpoint.say(peer, Answer(ticket, values.dump(int(taken), what="an answer")))

    def _nobody(self, peer: Incarnation, message: Deliver | Ask) -> None:
        if self.absent is None or not self.absent(peer, message):
            reason = "it has ended, or never lived in that process"
            self.endpoint.say(peer, Undelivered(message.to, message.ticket, reason))

    def _hear_ask(self, peer: Incarnation, message: Ask) -> None:
        self.kernel.post(self._take_ask, peer, message)

    def _take_ask(self, peer: Incarnation, message: Ask) -> None:
        receiver = self._exports.find(message.to) or self._exports.ended(message.to)
        if receiver is None:
            self._nobody(peer, message)
            return
        reply = partial(self._reply, peer, message)
        try:
            answer_to(self._exports, receiver, message.verb, self.load(message.value), reply)
        except Exception as exc:
            log.warning("%s of %s failed: %s", message.verb.name.lower(), receiver, exc)
            reply(exc, failed=True)

    def _reply(self, peer: Incarnation, question: Ask, value: Any, failed: bool = False) -> None:
        if not question.ticket:
            return
        if failed:
            answer = Answer(question.ticket, *_exception(value))
        else:
            answer = Answer(question.ticket, values.dump(value, what="an answer"))
        self.endpoint.say(peer, answer)

    def _hear_answer(self, peer: Incarnation, message: Answer) -> None:
        if self._tickets.get(message.ticket, peer) is not None:
            self.kernel.post(self._take_answer, message)

    def _take_answer(self, message: Answer) -> None:
        try:
            if message.failed:
                self._tickets.fail(message.ticket, values.load_exception(message.value, message.text))
            elif message.value is not None:
                self._tickets.resolve(message.ticket, self.load(message.value))
        except Exception as exc:
            self._tickets.fail(message.ticket, exc)

    def _hear_undelivered(self, peer: Incarnation, message: Undelivered) -> None:
        self.kernel.post(self._take_undelivered, peer, message)

    def _take_undelivered(self, peer: Incarnation, message: Undelivered) -> None:
        if not message.ticket:
            self._lose_watched((peer, message.to), message.reason)
        elif self._tickets.get(message.ticket, peer) is not None:
            self._tickets.lose(message.ticket, message.reason)


def _exception(error: BaseException) -> tuple[Payload | None, bool, str]:
    payload, text = values.dump_exception(error)
    return payload, True, text
