"""Servers of other kinds: with a bound on calls, with a process a connection, for one connection."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from dispycos.arguments import integer
from dispycos.rpc.connection import Connection
from dispycos.rpc.server import Server
from dispycos.rpc.services import Unmade, made_of
from dispycos.wording import listed

log = logging.getLogger("dispycos")

_PROVED: Final = b"+"
_WRONG: Final = b"-"
_LAST_HOOK: Final = 5.0  # seconds for `on_disconnect` before its server ends without it
_GRACE: Final = 2.0  # seconds more for a child whose server closes, then it is killed; last words may take 1


class ThreadPoolServer(Server):
    """At most `nbThreads` calls are done at once, over all connections; others wait for their turn."""

    def __init__(self, *args: Any, nbThreads: int = 20, **more: Any) -> None:  # noqa: N803 - RPyC's name
        self._pool = threading.BoundedSemaphore(integer("nbThreads", nbThreads, least=1))
        super().__init__(*args, **more)

    def _slots(self) -> threading.Semaphore | None:
        return self._pool


class OneShotServer(Server):
    """Serves one connection that proves the key, and ends with it."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._once = threading.Lock()
        self._told = threading.Event()  # the connection is gone, and its service has heard of it
        self._taken = False
        self._over = False

    def _is_done(self) -> bool:
        return self._over or self._stopping

    def _take(self) -> bool:
        with self._once:
            if self._taken:
                return False
            self._taken = True
            return True

    def _keep(self, make: Callable[[], Connection]) -> Connection | None:
        connection = super()._keep(make)
        if connection is not None and not isinstance(connection.service, Unmade):
            # In the thread of the handshake, which is of no more use.
            connection.wait_closed()
            if not self._told.wait(_LAST_HOOK):
                _given_up(connection.service, f"the server at {self.address}")
                self._forget(connection)
        return connection

    def _forget(self, connection: Connection) -> None:
        super()._forget(connection)
        self._over = True
        self._told.set()
        self._door.look()


def _given_up(service: Any, who: str) -> None:
    log.warning("on_disconnect of %r has not returned in %g s: %s ends without it", service, _LAST_HOOK, who)


@dataclass(slots=True)
class _Child:
    source: str  # the address of its client
    news: int  # a pipe: what became of the proof; -1: it was read


class ForkingServer(Server):
    """Serves each connection in a process of its own, which ends with it or with the server.

    With it means when the service's `on_disconnect` has returned, however long that takes; with the
    server it has 5 s for that, and the process ends without it.
    Start it in the main thread of a program that has no others: a fork takes only one along.
    """

    def __init__(self, *args: Any, **more: Any) -> None:
        if not hasattr(os, "fork"):
            raise OSError("ForkingServer needs fork, which this system has not: use ThreadedServer")
        super().__init__(*args, **more)
        self._children: dict[int, _Child] = {}  # by pid
        # Its end tells the children that we are gone, however that came.
        self._tie, self._tied = os.pipe()

    def start(self) -> None:
        """As ever."""
        before = signal.SIG_DFL
        in_main = threading.current_thread() is threading.main_thread()
        if in_main:
            before = signal.signal(signal.SIGCHLD, lambda *_: self._door.look())  # type: ignore[assignment]
        try:
            super().start()
        finally:
            if in_main:
                signal.signal(signal.SIGCHLD, before)

    def _is_done(self) -> bool:
        self._hear()
        self._reap(os.WNOHANG)
        return self._stopping

    def _admit(self, sock: socket.socket, source: str) -> None:
        if not self._reception.admit(source):
            sock.close()
            return
        news, tell = os.pipe()
        try:
            pid = os.fork()
        except OSError as exc:
            log.warning("no process for a connection from %s: %s", source, exc.strerror)
            self._reception.leave(source)
            sock.close()
            os.close(news)
            os.close(tell)
            return
        if pid:
            sock.close()
            os.close(tell)
            self._children[pid] = _Child(source, news)
            self._door.watch(news)
            return
        status = 1
        try:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.close(self._tied)
            self._door.listener.close()
            for child in (_Child(source, news), *self._children.values()):
                if child.news >= 0:
                    os.close(child.news)
            self._serve(sock, source, tell)
            status = 0
        except BaseException:
            log.exception("the process that serves %s failed", source)
        finally:
            # Nothing of the parent's program runs here any more.
            os._exit(status)

    def _serve(self, sock: socket.socket, source: str, tell: int) -> None:
        received = self._reception.receive(sock, source)
        os.write(tell, _WRONG if received is None else _PROVED)
        os.close(tell)
        if received is None:
            return
        stream, meeting = received
        gone, told = os.pipe()
        service = made_of(self.service)
        connection: Connection = service.connection_class(
            stream,
            meeting,
            name=f"a client at {source}",
            service=service,
            first=False,
            gone=lambda _: os.close(told),
            limit=self._limit,
        )
        poll = select.poll()
        poll.register(gone, select.POLLIN)
        poll.register(self._tie, select.POLLIN)
        poll.poll()
        connection.part()  # and not `close`, which waits for what is waited for here
        # Where the server has closed, the service hears of it only now, whichever thread tells it.
        poll.unregister(self._tie)
        if not poll.poll(_LAST_HOOK * 1000):
            _given_up(service, f"the process that serves {source}")

    def _hear(self) -> None:
        # What became of proofs. Who has none yet counts here, where the next one is let in.
        poll = select.poll()
        waiting = {child.news: child for child in self._children.values() if child.news >= 0}
        for news in waiting:
            poll.register(news, select.POLLIN)
        for news, _ in poll.poll(0):
            self._told(waiting[news])

    def _told(self, child: _Child) -> None:
        said = os.read(child.news, 1)
        self._door.forget(child.news)
        os.close(child.news)
        child.news = -1
        self._reception.leave(child.source)
        if said != _PROVED:
            self._reception.fail(child.source)

    def _reap(self, options: int) -> None:
        for pid in list(self._children):
            try:
                done, _ = os.waitpid(pid, options)
            except ChildProcessError:
                done = pid  # somebody else waited for it
            if done:
                child = self._children.pop(pid)
                if child.news >= 0:
                    self._told(child)  # it ended since we looked

    def close(self) -> None:
        """Serve no more: the listener, and all processes, end. May be repeated."""
        if self._closed:
            return
        super().close()
        os.close(self._tied)
        patience = _LAST_HOOK + _GRACE
        deadline = time.monotonic() + patience
        while self._children and time.monotonic() < deadline:
            self._reap(os.WNOHANG)
            time.sleep(0.01)
        self._reap(os.WNOHANG)
        if self._children:
            log.warning(
                "the server at %s killed what had not ended %g s after it closed, being stopped or in a call "
                "that lets no other thread run: %s",
                self.address,
                patience,
                listed([f"process {pid} of {child.source}" for pid, child in self._children.items()]),
            )
        for pid in self._children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._reap(0)
        os.close(self._tie)
