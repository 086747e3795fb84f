"""Asynchronous calls: what is called at the other end goes on there, and here too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dispycos.arguments import seconds
from dispycos.objects.pending_call import PendingCall
from dispycos.objects.proxy import Method, Proxy
from dispycos.objects.requests import METHOD
from dispycos.rpc.connection import Connection
from dispycos.rpc.errors import AsyncResultTimeout
from dispycos.rpc.expiry import expiries


class AsyncResult(PendingCall):
    """What an asynchronous call will answer.

    Wait for it by `value`, `wait()`, `result(timeout)`, by `await` in asyncio, by `yield` in a task.
    """

    __slots__ = ("_connection", "_expired")

    _connection: Connection
    _expired: bool

    @property
    def ready(self) -> bool:
        """Whether the answer is here, be it a value or an exception."""
        return self.done() and not self.expired

    @property
    def value(self) -> Any:
        """What it answers; waits for it. Raises what the call raised, or AsyncResultTimeout."""
        return self.result()

    @property
    def error(self) -> bool:
        """Whether the answer is here and is an exception."""
        return self.ready and self.exception() is not None

    @property
    def expired(self) -> bool:
        """Whether its time was over before the answer came."""
        return getattr(self, "_expired", False)

    def wait(self) -> None:
        """Wait for the answer. AsyncResultTimeout if it expires before."""
        self._block(None)
        if self.expired:
            self.result()

    def add_callback(self, function: Callable[[AsyncResult], object]) -> None:
        """Call `function(self)` when the answer is here or its time is over; at once if it is."""
        self.add_done_callback(function)

    def set_expiry(self, timeout: float | None) -> None:
        """Expire in `timeout` seconds from now, unless the answer comes before: the call is stopped there.

        None: it does not expire.
        """
        if timeout is None:
            expiries.remove(self)
        else:
            limit = seconds("timeout", timeout)
            expiries.add(self, limit, lambda: self._run_out(limit))

    def _run_out(self, limit: float) -> None:
        if not self.done():
            self._expired = True
            error = AsyncResultTimeout(f"no answer in {limit:g} s; {self._connection.name} was told to stop")
            self._connection.cancel(self, error)
            if self.exception() is not error:
                self._expired = False  # it came in the last moment

    def __repr__(self) -> str:
        state = "expired" if self.expired else "ready" if self.done() else "pending"
        return f"<AsyncResult object ({state}) at {id(self):#x}>"


class Async:
    """What `async_` gives. Each call of it is a call at the other end, in their order."""

    __slots__ = ("_name", "_proxy", "_shown")

    def __init__(self, proxy: Proxy, name: str, shown: Any) -> None:
        self._proxy = proxy
        self._name = name
        self._shown = shown

    def __call__(self, *args: Any, **kwargs: Any) -> AsyncResult:
        """Begin a call. The result is kept until its answer is here, also if nobody holds it."""
        connection: Any = self._proxy._connection
        begun: AsyncResult = connection.begin(
            METHOD, self._proxy._number, self._name, args, kwargs, kind=AsyncResult
        )
        begun._connection = connection
        return begun

    def __repr__(self) -> str:
        return f"async({self._shown!r})"


class Timed:
    """What `timed` gives."""

    __slots__ = ("_call", "_limit")

    def __init__(self, call: Async, limit: float | None) -> None:
        self._call = call
        self._limit = limit

    def __call__(self, *args: Any, **kwargs: Any) -> AsyncResult:
        """Begin a call that expires in time."""
        begun = self._call(*args, **kwargs)
        begun.set_expiry(self._limit)
        return begun

    def __repr__(self) -> str:
        return f"timed({self._call._shown!r}, {self._limit!r})"


def async_(function: Any) -> Async:
    """A function or method of the other end whose calls answer an AsyncResult at once.

    Calls of one connection are done one after the other there. TypeError for what is not at the other end.
    """
    if isinstance(function, Method):
        return Async(function.proxy, function.__name__, function)
    if isinstance(function, Proxy):
        return Async(function, "__call__", function)
    if isinstance(function, Async):
        return function
    raise TypeError(f"async_ takes a function of the other end of a connection, not {function!r:.200}")


def timed(function: Any, timeout: float | None) -> Timed:
    """As `async_`; each result expires in `timeout` seconds."""
    return Timed(async_(function), None if timeout is None else seconds("timeout", timeout))
