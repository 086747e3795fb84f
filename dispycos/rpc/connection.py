"""Connections as programs see them: `connect` gives one, a service's hooks get one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from typing import Any, Final, Self

from dispycos.errors import Timeout
from dispycos.net.link import FAREWELL
from dispycos.net.proof import Meeting
from dispycos.net.resting import Resting
from dispycos.net.stream import Stream
from dispycos.net.waiting import Waiting
from dispycos.objects import connection as objects
from dispycos.objects import wire
from dispycos.objects.pending_call import PendingCall
from dispycos.objects.requests import GET
from dispycos.rpc.errors import AsyncResultTimeout
from dispycos.rpc.presence import Presence

_CLOSING: Final = 5.0  # seconds for the last words of a connection that is closed


class Connection(objects.Connection):
    """One end of a connection. Any thread may use it.

    service  what this end offers: an instance.
    first    this end dialled.
    source   the address that the other end comes from; "" if this end dialled.
    gone     called once with this when nothing more will come.
    slots    bounds how many calls of the other end are done at once; None: each lane does its own.
    limit    seconds for the answer of each call that is waited for; None: as long as it takes.
    resting  watches the connection while nothing happens; then it has no threads.
    """

    def __init__(
        self,
        stream: Stream,
        meeting: Meeting,
        *,
        name: str,
        service: Any,
        first: bool,
        source: str = "",
        gone: Callable[[Connection], None] = lambda conn: None,
        slots: threading.Semaphore | None = None,
        limit: float | None = None,
        resting: Resting | None = None,
    ) -> None:
        self.service = service
        self.source = source
        self._dialled = first
        # What is called when nothing more will come.
        self._hooks: list[Callable[[], object]] = [lambda: gone(self)]
        self._slots = slots
        self._nested = threading.local()  # whether this thread has a slot
        self._root: Any = None
        self._hooks_lock = threading.Lock()
        self._served = threading.Event()  # nothing more will come
        self._presence = presence = Presence(service)
        super().__init__(
            stream,
            meeting,
            name=name,
            root=service,
            terms=service.terms,
            first=first,
            lost=self._is_lost,
            # Who dialled hears of it by `begin_here`, and has the connection before others use it.
            begin=None if first or not presence.is_awaited else presence.begin,
            limit=limit,
            resting=resting,
        )

    def begin_here(self) -> None:
        """Tell our service that it is there, if we dialled: what its hook raises closes it, and is raised."""
        if self._dialled and self._presence.is_awaited:
            try:
                self._presence.begin(self)
            except BaseException as exc:
                self.refuse(exc)
                raise

    def _is_lost(self, reason: str) -> None:
        self._served.set()
        try:
            self._presence.end(self)
        finally:
            with self._hooks_lock:
                hooks, self._hooks = self._hooks, []
            for hook in hooks:
                hook()

    def _disown(self, reason: str) -> None:
        super()._disown(reason)
        # A thread of the parent's may have had their locks.
        self._hooks_lock = threading.Lock()
        self._served = threading.Event()
        self._served.set()

    def expired(self, limit: float) -> Exception:
        """What a call raises that was not answered in `limit` seconds."""
        return AsyncResultTimeout(f"no answer in {limit:g} s; {self.name} was told to stop")

    def when_gone(self, hook: Callable[[], object]) -> None:
        """Call it when nothing more will come; at once if that is so."""
        with self._hooks_lock:
            if not self._served.is_set():
                self._hooks.append(hook)
                return
        hook()

    def perform(
        self, what: int, target: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Any, bool]:
        """As ever; with slots, when there is one. To be told what is offered takes none."""
        if target is self or self._slots is None or getattr(self._nested, "has_slot", False):
            return super().perform(what, target, name, args, kwargs)
        with self._slots:
            self._nested.has_slot = True
            try:
                return super().perform(what, target, name, args, kwargs)
            finally:
                self._nested.has_slot = False

    @property
    def root(self) -> Any:
        """What the other end offers."""
        if self._root is None or self.closed:
            self._root = super().root
        return self._root

    def ping(self, timeout: float = 3.0) -> None:
        """Ask the other end for a sign of life.

        TimeoutError after `timeout` seconds; PeerLost if it is gone.
        """
        answer: PendingCall = self.begin(GET, 0, "root", (), {}, lane=wire.FRESH)
        try:
            answer.result(timeout)
        except Timeout:
            self.cancel(answer)
            raise Timeout(f"{self.name} did not answer a ping in {timeout:g} s") from None

    # What the other end asks outside of our own calls is done by a thread of the connection.
    # These have it done by the thread that calls them.

    def serve(self, timeout: float | None = 1.0) -> None:
        """Do what the other end asks, for `timeout` seconds or until it is gone."""
        self.serve_until(Waiting(), lambda: False, timeout)

    def serve_all(self) -> None:
        """Do what the other end asks until it is gone."""
        self.serve(None)

    def poll_all(self, timeout: float = 0.0) -> None:
        """Do what the other end has asked by now, or asks in `timeout` seconds."""
        self.serve(timeout)

    def close(self) -> None:
        """Close both ends; calls that wait fail. May be repeated."""
        super().close()
        self.link.join(_CLOSING)

    def wait_closed(self, timeout: float | None = None) -> bool:
        """Wait until the connection is gone; False after `timeout` seconds."""
        return self._served.wait(timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def close_all(connections: Collection[Connection]) -> None:
    """Close several. All together take no longer than one whose other end does not listen."""
    for connection in connections:
        connection.link.say_goodbye()
    deadline = time.monotonic() + FAREWELL
    for connection in connections:
        connection.part(max(deadline - time.monotonic(), 0))
    deadline = time.monotonic() + _CLOSING
    for connection in connections:
        connection.link.join(max(deadline - time.monotonic(), 0))
