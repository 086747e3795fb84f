"""Remote objects: objects that live in a server, as every process of a client holds them.

A RemoteObject may be sent to any task of the same client, and is used there in the same way: a
call of a method gives an Operation (yield it, await it, or ask `.result()`). Arguments and results
travel by value. One process has one RemoteObject for one object; the object goes when no process
has any, and none is on its way.

I/O half. Layer 5.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from dispycos.arguments import seconds_or_none
from dispycos.errors import Closed, TaskCancelled, TaskLost, Timeout
from dispycos.guidance import habits, hints
from dispycos.kernel.operation import Operation
from dispycos.messages import Change
from dispycos.model import Address, Incarnation, Location, Payload
from dispycos.net import remote
from dispycos.net.calls import Calls
from dispycos.net.remote import RemoteTask
from dispycos.objects.exposure import Table
from dispycos.pickling import values

_TOKEN_BYTES = 16

_here: weakref.WeakValueDictionary[tuple[Incarnation, int], RemoteObject] = weakref.WeakValueDictionary()
_lock = threading.Lock()  # of `_here`


class RemoteObject:
    """An object of a server. What its table names may be used of it, and nothing else."""

    __slots__ = ("__weakref__", "_at", "_closed", "_table", "_timeout", "_why_gone")

    def __init__(self, at: RemoteTask, table: Table, timeout: float | None) -> None:
        self._at = at
        self._table = table
        self._timeout = timeout  # seconds for a call
        self._closed = False
        self._why_gone: Callable[[], str] = str

    def comes_from(self, why_gone: Callable[[], str]) -> None:
        """A client of this process made it.

        why_gone  as "the client is ...", why nothing of that is reached any more; "": it is.
        """
        self._why_gone = why_gone

    @property
    def location(self) -> Location | None:
        """The server that it lives in."""
        return self._at.location

    def close(self) -> Operation:
        """End it: calls that wait fail with Closed, its own `close()` is called if it has one.

        Yield the answer to wait until it is gone. May be repeated.
        """
        self._closed = True
        if self._why_gone():
            return Operation(None)
        return remote.here().calls.dismiss(self._at)

    def __getattr__(self, name: str) -> Any:
        table = self._table
        if name in table.methods:
            return RemoteMethod(self, name, self._timeout)
        if name in table.attributes:
            return self._call(name, (), {}, self._timeout)
        raise table.refuse(name)

    def __setattr__(self, name: str, value: object) -> None:
        if name not in RemoteObject.__slots__:
            raise AttributeError(f"{name!r} of {self!r} can't be set from afar: give it a method that does")
        object.__setattr__(self, name, value)

    def __call__(self, *args: Any, **kwargs: Any) -> Asked:
        if "__call__" not in self._table.methods:
            raise TypeError(f"{self!r} can't be called")
        return self._call("__call__", args, kwargs, self._timeout)

    def __dir__(self) -> list[str]:
        return sorted({*self._table.methods - {"__call__"}, *self._table.attributes, "close", "location"})

    def __repr__(self) -> str:
        return f"<{self._table.kind} at {self._at.location}{', closed' if self._closed else ''}>"

    def _call(
        self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any], timeout: float | None
    ) -> Asked:
        if self._closed:
            raise Closed(f"{self!r} was closed by this program")
        name = f"{self._table.kind}.{method}" if method != "__call__" else self._table.kind
        if why := self._why_gone():
            raise Closed(
                f"{name}() was not called: the client that made {self!r} is {why}; "
                "an object lives no longer than its client, so make one by a client that stays open"
            )
        return Asked(self, name, method, values.dump_call(args, kwargs, name=name), timeout)

    def __reduce__(self) -> tuple[Any, ...]:
        at, table = self._at, self._table
        where = None if at.location is None else (at.location.addr, at.location.port)
        token = os.urandom(_TOKEN_BYTES) if values.read_once() else b""
        remote.here().calls.refer(at, Change.SENT, token)
        return restore, (
            (bytes(at.address.incarnation), where, at.number, at.name, at.reservation),
            (table.kind, sorted(table.methods), sorted(table.attributes)),
            self._timeout,
            token,
        )

    def __copy__(self) -> RemoteObject:
        return self

    def __deepcopy__(self, memo: object) -> RemoteObject:
        return self


class RemoteMethod:
    """A method of an object of a server: calling it asks that, and gives an Operation."""

    __slots__ = ("__name__", "_object", "_timeout")

    def __init__(self, object: RemoteObject, name: str, timeout: float | None) -> None:
        self._object = object
        self.__name__ = name
        self._timeout = timeout

    def __call__(self, *args: Any, **kwargs: Any) -> Asked:
        return self._object._call(self.__name__, args, kwargs, self._timeout)

    def options(self, *, timeout: float | None) -> RemoteMethod:
        """The same method with a deadline: its call ends with Timeout then, here and there."""
        return RemoteMethod(self._object, self.__name__, seconds_or_none("timeout", timeout))

    def __dir__(self) -> Iterable[str]:
        return hints.own(super().__dir__(), habits.OF_REMOTE_METHODS)

    def __repr__(self) -> str:
        return f"<method {self.__name__} of {self._object!r}>"


hints.tell(RemoteMethod, habits.OF_REMOTE_METHODS)


class Asked(Operation):
    """What a call will return, or raise: what the method raised, with the traceback from there.

    Closed: the object was closed; TaskLost: its server is gone; Timeout: its deadline is over;
    TaskCancelled: somebody ended it.
    """

    __slots__ = ("_name", "_of", "_ticket")

    def __init__(
        self, of: RemoteObject, name: str, method: str, payload: Payload, timeout: float | None
    ) -> None:
        super().__init__()
        self._of = of  # so that it does not go while it is asked
        self._name = name
        carrier = remote.here()
        self._ticket = carrier.calls.invoke(of._at, method, payload, self, self._lost)
        if timeout is not None:
            timer = carrier.calls.later(timeout, self._end, Timeout(f"{name}() did not end in {timeout:g} s"))
            self.add_done_callback(lambda _: timer.cancel())

    def cancel(self, reason: str = "") -> bool:
        """Wait for it no more: it does not begin, or is interrupted. False if it was done."""
        return self._end(TaskCancelled(reason or f"the call of {self._name}() was cancelled"))

    def _unawaited(self) -> None:
        self.cancel(f"the call of {self._name}() was cancelled: what awaited it in asyncio was")

    def _end(self, error: Exception) -> bool:
        if not self.fail(error):
            return False
        remote.here().calls.withdraw(self._of._at, self._ticket)
        return True

    def _lost(self, reason: str) -> TaskLost:
        return TaskLost(f"{self._name}() gets no answer, {self._of!r} is gone: {reason}")

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"the call of {self._name}() stays in its program: send its result")


def restore(
    at: tuple[bytes, tuple[str, int] | None, int, str, int],
    table: tuple[str, list[str], list[str]],
    timeout: float | None,
    token: bytes,
) -> RemoteObject:
    """A reference that arrived."""
    incarnation, where, number, name, reservation = at
    key = (Incarnation(incarnation), number)
    calls = remote.here().calls
    with _lock:
        found = _here.get(key)
        if found is None:
            location = None if where is None else Location(*where)
            task = RemoteTask.of(Address(key[0], location, number), name, reservation)
            kind, methods, attributes = table
            made = RemoteObject(task, Table(kind, frozenset(methods), frozenset(attributes)), timeout)
            weakref.finalize(made, _dropped, task).atexit = False
            _here[key] = made
    if found is None:
        calls.refer(task, Change.ARRIVED, token)
        return made
    calls.refer(found._at, Change.AGAIN, token)
    return found


def _dropped(at: RemoteTask) -> None:
    # In any thread, at any moment, perhaps under a lock of the network's: it only leaves word.
    carrier = remote.carrier
    if carrier is not None:
        carrier.kernel.post(_tell_dropped, carrier.calls, at)


def _tell_dropped(calls: Calls, at: RemoteTask) -> None:
    calls.refer(at, Change.DROPPED)
