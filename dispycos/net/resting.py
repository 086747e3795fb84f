"""Resting: links at which nothing happens, watched by one thread for all of them.

A link has a thread of its own that reads while nobody else does. In a server with thousands of
connections most of these would sleep; a link that is given a Resting ends its thread instead when
nothing came for a while, and gets a new one when something does. The watching thread reads nothing:
what is read may run code of users, and nobody waits for that here.

Where the system has no epoll(7), links keep their threads. I/O half. Layer 3. Row RP-17.
"""

from __future__ import annotations

import logging
import select
import socket
import threading
import time
from typing import Final, Protocol

log = logging.getLogger("dispycos")

REST_AFTER: Final = 1.0  # seconds without a message; a new thread costs a ten-thousandth of that
_NO_THREAD: Final = 0.1  # seconds until it is tried again to start one


class Sleeper(Protocol):
    """What rests: descriptors that become readable when there is something to do, and who does it."""

    def descriptors(self) -> tuple[int, ...]: ...
    def resume(self) -> None: ...


class Resting:
    """Those of one server. Its thread begins with the first of them, and ends by `close`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # of all that follows
        self._poll: select.epoll | None = None
        self._by_descriptor: dict[int, Sleeper] = {}
        self._wake, self._woken = socket.socketpair()
        self._thread: threading.Thread | None = None
        self._closed = not hasattr(select, "epoll")
        if self._closed:
            self._shut()

    def add(self, sleeper: Sleeper) -> bool:
        """Have it resumed when there is something to do for it, perhaps at once. False: it may not rest."""
        with self._lock:
            if self._closed:
                return False
            if self._poll is None:
                poll = select.epoll()
                poll.register(self._woken, select.EPOLLIN)
                thread = threading.Thread(
                    target=self._run, args=(poll,), name="dispycos resting", daemon=True
                )
                try:
                    thread.start()
                except RuntimeError:
                    poll.close()
                    return False  # there are too many threads for one more
                self._poll, self._thread = poll, thread
            watched: list[int] = []
            try:
                for descriptor in sleeper.descriptors():
                    self._poll.register(descriptor, select.EPOLLIN)
                    watched.append(descriptor)
            except OSError:
                for descriptor in watched:
                    self._poll.unregister(descriptor)
                return False  # the system watches no more for us
            self._by_descriptor.update(dict.fromkeys(watched, sleeper))
            return True

    def close(self) -> None:
        """Watch no more: who rests is resumed. May be repeated."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            thread = self._thread
            if thread is None:
                self._shut()
                return
            self._wake.send(b"\0")
        thread.join()

    def _run(self, poll: select.epoll) -> None:
        while not self._closed:
            for descriptor, _ in poll.poll():
                sleeper = self._take(descriptor)
                if sleeper is not None:
                    self._resume(sleeper)
        for descriptor in list(self._by_descriptor):
            sleeper = self._take(descriptor)
            if sleeper is not None:
                self._resume(sleeper)
        with self._lock:
            poll.close()
            self._shut()

    def _take(self, descriptor: int) -> Sleeper | None:
        with self._lock:
            sleeper = self._by_descriptor.get(descriptor)
            if sleeper is not None:
                assert self._poll is not None
                for one in sleeper.descriptors():
                    del self._by_descriptor[one]
                    self._poll.unregister(one)
            return sleeper

    def _resume(self, sleeper: Sleeper) -> None:
        told = False
        while True:
            try:
                sleeper.resume()
                return
            except RuntimeError as exc:
                # Until another thread of this program ends; nothing else could be done meanwhile.
                if not told:
                    log.warning("a connection that wakes waits for a thread: %s", exc)
                told = True
                time.sleep(_NO_THREAD)

    def _shut(self) -> None:
        self._wake.close()
        self._woken.close()
