"""Calls: objects that live in one process and are called from any.

Beside tasks and channels (`net.delivery`) a process may keep objects, each under the number of the
task that stands for it. Whoever holds a reference calls them by name; answers and losses come to
who waits as those of other questions do. What is called, and in which thread, is decided by the
keeper of the object, which hears calls at once, also while a task of its process does not yield.

I/O half. Layer 4. Rules N3, N6, rule 3.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Protocol

from dispycos.errors import Closed
from dispycos.kernel.operation import Operation
from dispycos.messages import Answer, Change, Dismiss, Invoke, Message, Refer, Undelivered, Withdraw
from dispycos.model import Incarnation, Payload, Role
from dispycos.net.endpoint import Endpoint
from dispycos.net.reactor import Later
from dispycos.net.tickets import Tickets
from dispycos.pickling import values
from dispycos.records import record

MAX_GONE = 1000  # objects of which it is remembered why they are gone; the first one is forgotten


class At(Protocol):
    """What refers to an object: the handle of the task that stands for it."""

    number: int
    reservation: int

    @property
    def address(self) -> Any: ...

    @property
    def name(self) -> str: ...


@record(frozen=False, eq=False)
class Call:
    """One call that came, to be answered once."""

    peer: Incarnation
    method: str
    value: Payload  # (args, kwargs); loading it runs code of the caller's
    ticket: int
    _endpoint: Endpoint
    _answered: bool = False

    def answer(self, value: Any) -> None:
        """What it returned. NotSerializable or MessageTooLarge if that can't be sent; any thread."""
        payload = values.dump(value, what=f"what {self.method}() returned")
        if not self._answered:
            self._endpoint.say(self.peer, Answer(self.ticket, payload))
            self._answered = True

    def refuse(self, error: BaseException) -> None:
        """What it raised, or why it is not done; without effect once it is answered. Any thread."""
        if self._answered:
            return
        self._answered = True
        payload, text = values.dump_exception(error)
        # What would end the program that called is no more than told.
        self._endpoint.say(
            self.peer, Answer(self.ticket, payload if isinstance(error, Exception) else None, True, text)
        )


class Keeper(Protocol):
    """Who keeps an object. Called by whoever hears: no code of users is run, nothing is waited for."""

    def invoke(self, call: Call) -> None: ...
    def withdraw(self, peer: Incarnation, ticket: int) -> None: ...
    def refer(self, peer: Incarnation, change: Change, token: bytes) -> None: ...
    def dismiss(self) -> Operation: ...


class Calls:
    """Those of this process: what it keeps, and what it asks of others.

    post  brings a message on its way to who a handle names: 0, or -1 if that is gone.
    gone  why a process is gone.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        tickets: Tickets,
        post: Callable[[At, Message], int],
        gone: Callable[[Incarnation], str],
        who: Role,
    ) -> None:
        self._endpoint = endpoint
        self._tickets = tickets
        self._post = post
        self._gone = gone
        self._kept: dict[int, Keeper] = {}
        self._closed: OrderedDict[int, str] = OrderedDict()  # of those that were kept
        self._lost: OrderedDict[tuple[Incarnation, int], str] = OrderedDict()  # of those elsewhere
        endpoint.handle(Invoke, self._hear_invoke, who=who, aside=True)
        endpoint.handle(Withdraw, self._hear_withdraw, who=who, aside=True)
        endpoint.handle(Refer, self._hear_refer, who=who, aside=True)
        endpoint.handle(Dismiss, self._hear_dismiss, who=who, aside=True)

    # What is kept here.

    def keep(self, number: int, keeper: Keeper) -> None:
        """Bring calls of the object of this number to `keeper`."""
        self._kept[number] = keeper

    def close(self, number: int, why: str) -> None:
        """It is gone; whoever calls it is told why. May be repeated."""
        if self._kept.pop(number, None) is not None:
            self._closed[number] = why
            if len(self._closed) > MAX_GONE:
                self._closed.popitem(last=False)

    # Asking; any thread.

    def invoke(
        self, at: At, method: str, value: Payload, operation: Operation, lost: Callable[[str], Exception]
    ) -> int:
        """Call a method; `operation` gets what it comes to. Answers the ticket, for `withdraw`.

        lost  makes the exception that is raised if nobody will answer, of the reason.
        """
        return self._ask(at, lambda ticket: Invoke(at.number, method, value, ticket), operation, lost)

    def withdraw(self, at: At, ticket: int) -> None:
        """Nobody waits for that call any more."""
        self._post(at, Withdraw(at.number, ticket))

    def refer(self, at: At, change: Change, token: bytes = b"") -> None:
        """Tell what became of references to an object."""
        self._post(at, Refer(at.number, change, token))

    def dismiss(self, at: At) -> Operation:
        """End an object: done when it is gone, also if it was before."""
        operation = Operation()
        self._ask(at, lambda ticket: Dismiss(at.number, ticket), operation, lambda reason: None)
        return operation

    def later(self, seconds: float, function: Callable[..., object], *args: Any) -> Later:
        """Call a function after some seconds."""
        return self._endpoint.reactor.later(seconds, function, *args)

    def lose(self, at: At, reason: str) -> None:
        """The object of that handle was lost, as this process knows: nobody answers calls of it."""
        of = (at.address.incarnation, at.number)
        self._lost[of] = reason
        if len(self._lost) > MAX_GONE:
            self._lost.popitem(last=False)
        self._tickets.lose_object(of, reason)

    def _ask(
        self, at: At, message: Callable[[int], Message], operation: Operation, lost: Callable[[str], Any]
    ) -> int:
        peer = at.address.incarnation
        of = (peer, at.number)
        ticket = self._tickets.open(operation, peer, if_lost=lost, timeout=None, of=of)
        if of in self._lost:
            self._tickets.lose(ticket, self._lost[of])
        elif self._post(at, message(ticket)):
            self._tickets.lose(ticket, self._gone(peer))
        return ticket

    # Hearing.

    def _hear_invoke(self, peer: Incarnation, message: Invoke) -> None:
        call = Call(peer, message.method, message.value, message.ticket, self._endpoint)
        keeper = self._kept.get(message.to)
        if keeper is not None:
            keeper.invoke(call)
        elif message.to in self._closed:
            call.refuse(Closed(self._closed[message.to]))
        else:
            self._nobody(peer, message)

    def _hear_withdraw(self, peer: Incarnation, message: Withdraw) -> None:
        keeper = self._kept.get(message.to)
        if keeper is not None:
            keeper.withdraw(peer, message.ticket)

    def _hear_refer(self, peer: Incarnation, message: Refer) -> None:
        keeper = self._kept.get(message.to)
        if keeper is not None:
            keeper.refer(peer, message.change, message.token)

    def _hear_dismiss(self, peer: Incarnation, message: Dismiss) -> None:
        keeper = self._kept.get(message.to)
        if keeper is None:
            self._nobody(peer, message)
            return

        def gone(done: Operation) -> None:
            error = done.exception()
            payload, text = (values.dump(None), "") if error is None else values.dump_exception(error)
            self._endpoint.say(peer, Answer(message.ticket, payload, error is not None, text))

        keeper.dismiss().add_done_callback(gone)

    def _nobody(self, peer: Incarnation, message: Invoke | Dismiss) -> None:
        reason = "it has ended, or never lived in that process"
        self._endpoint.say(peer, Undelivered(message.to, message.ticket, reason))
