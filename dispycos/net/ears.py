"""Ears: the kernel's thread reads what is meant for its tasks itself, while it has nothing else to do.

Otherwise a message for a task that waits would wake two threads, the reactor's and then the
kernel's, and on a machine that idles a wake-up costs more than all else that is done about the
message. So the kernel's thread waits in a poll of its own, for whoever rouses it and for the
connections of those who talk to tasks, and the reactor does not watch these. While the kernel
is busy it looks now and then, and a task that keeps it from looking is noticed: the reactor
guards the ears with a timer, and reads itself until the kernel looks again.

Linux only: elsewhere the kernel's thread waits for a lock. I/O half. Layer 3.
"""

from __future__ import annotations

import contextlib
import os
import select
import time
from collections.abc import Callable
from typing import Final, Protocol

from dispycos.kernel.core import Kernel
from dispycos.net.patience import Patience
from dispycos.net.reactor import Reactor

AVAILABLE: Final = hasattr(select, "epoll") and hasattr(os, "eventfd")

# Seconds without a look of the kernel's after which the reactor reads; how often it sees, while
# it does, whether it need not; looks that find the kernel in one and the same wait before the
# timer rests until that ends.
GUARD_EVERY: Final = 0.005
GUARD_BUSY_EVERY: Final = 0.05
_REST_AFTER: Final = 10

_LONGEST: Final = 86_400.0  # seconds of one wait; epoll counts milliseconds in 31 bits
_BUFFERS: Final = 8  # of one connection, in one look


class Readable(Protocol):
    """A connection, as far as ears need it."""

    def fileno(self) -> int: ...
    def read_aside(self) -> None: ...  # on the kernel's thread
    def let_reactor_read(self, flag: bool) -> None: ...  # on the reactor's


class Ears:
    """Where one kernel's thread waits; a `kernel.loop.Waiter`."""

    def __init__(self, kernel: Kernel, reactor: Reactor) -> None:
        self._closed = True  # until all is made: see __del__
        self._kernel = kernel
        self._reactor = reactor
        # Called on the reactor at each of its looks that finds the kernel kept from looking.
        self.when_kept: list[Callable[[], object]] = []
        self._poll = select.epoll()
        self._roused = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll.register(self._roused, select.EPOLLIN)
        self._watched: dict[int, Readable] = {}  # one for each open connection
        # Written by the kernel's thread.
        self._looks = 0
        self._waiting = False
        self._patience = Patience()
        # Who looks keeps a processor: there must be another one for whom we wait for.
        self._may_look = len(os.sched_getaffinity(0)) > 1
        # Whether the timer runs, as far as the kernel's thread need know. Who leaves a wait sees to
        # it; it rests only in a wait.
        self._guarded = False
        # The reactor's.
        self._ticks = False  # the timer runs
        self._looks_seen = 0
        self._same = 0  # times in a row that the kernel was seen in the same wait
        self._reactor_reads = False
        self._closed = False

    def watch(self, connection: Readable) -> None:
        """From now on the kernel's thread reads from this connection; reactor thread."""
        self._watched[connection.fileno()] = connection
        connection.let_reactor_read(self._reactor_reads)
        self._poll.register(connection.fileno(), select.EPOLLIN)
        # The kernel may be in a step that began long ago, and never have waited here.
        self._guarded = True
        self._start_guard()

    def forget(self, connection: Readable) -> None:
        """Before the connection's socket is closed; may be repeated; any thread."""
        if self._watched.pop(connection.fileno(), None) is not None:
            # A forked child that closes its copy takes it out of the one epoll that both have.
            with contextlib.suppress(OSError):
                self._poll.unregister(connection.fileno())

    def disown(self) -> None:
        """In a forked child, which has the same epoll as its parent: read nothing, change nothing."""
        self._closed = True
        self._watched.clear()

    def close(self) -> None:
        """Guard no more, when the kernel's thread is told to wait elsewhere; reactor thread."""
        self._closed = True
        self.when_kept.clear()

    def __del__(self) -> None:
        # Not before: a thread may be inside `wake` or `wait`, and the descriptor's number must not
        # be another's then.
        if hasattr(self, "_roused"):
            os.close(self._roused)

    # The kernel's thread, but for `wake`.

    def wake(self) -> None:
        """Let `wait` return, now or when it is called next; any thread, signal handlers included."""
        os.eventfd_write(self._roused, 1)

    def wait(self, timeout: float | None) -> None:
        """Wait until roused, until there is work, or for so many seconds, rounded up to milliseconds."""
        kernel, clock = self._kernel, time.monotonic
        left = _LONGEST if timeout is None else min(timeout, _LONGEST)
        until = clock() + left
        while True:
            self._looks += 1
            self._waiting = True
            events = self._events(left)
            self._waiting = False
            # Awake from here on: what is read need not rouse this thread.
            kernel.asleep = False
            roused = self._read(events)
            if kernel.has_work or roused or not events or (left := until - clock()) <= 0:
                break
            # A sign of life, or a part of what is long: a step would find nothing to do, and the
            # reactor's timer nothing to guard.
            if not self._waits_on():
                break
        if not self._guarded:
            # In this order: `_guard` clears its flag before it looks whether we wait.
            self._guarded = True
            self._reactor.call(self._start_guard)

    def _waits_on(self) -> bool:
        """Do what a loop does between two waits; whether there is still no work."""
        kernel = self._kernel
        for call in kernel.before_wait:
            call()
        kernel.asleep = True
        if kernel.has_work:
            return False
        kernel.idles += 1
        return True

    def _events(self, timeout: float) -> list[tuple[int, int]]:
        clock, poll, patience = time.monotonic, self._poll.poll, self._patience
        began = clock()
        moment = patience.moment if self._may_look else 0.0
        if moment:
            until = began + min(moment, timeout)
            while True:
                events = poll(0)
                if events:
                    patience.found()
                    return events
                if clock() >= until:
                    break
        events = poll(timeout)
        patience.slept(clock() - began)
        return events

    def look(self) -> None:
        """Read what is there, but no more than a few buffers full, while there is other work."""
        self._looks += 1
        for _ in range(_BUFFERS):
            events = self._poll.poll(0)
            if not events:
                return
            self._read(events)

    def _read(self, events: list[tuple[int, int]]) -> bool:
        """Whether somebody roused this thread."""
        roused = False
        for descriptor, _ in events:
            if descriptor == self._roused:
                os.eventfd_read(descriptor)
                roused = True
            else:
                connection = self._watched.get(descriptor)
                if connection is not None:
                    connection.read_aside()
        return roused

    # The reactor's thread.

    def _start_guard(self) -> None:
        if not self._ticks:
            self._ticks = True
            self._looks_seen, self._same = self._looks, 0
            self._reactor.loop.call_later(GUARD_EVERY, self._guard)

    def _guard(self) -> None:
        if self._closed:
            return
        same, waits = self._looks == self._looks_seen, self._waiting
        self._looks_seen = self._looks
        self._same = self._same + 1 if same and waits else 0
        if waits or not same:
            self._let_reactor_read(False)
        else:
            self._let_reactor_read(True)
            for call in list(self.when_kept):
                call()
        if self._same >= _REST_AFTER:
            self._guarded = False
            if self._waiting and self._looks == self._looks_seen:
                self._ticks = False
                return
            self._guarded = True
        every = GUARD_BUSY_EVERY if self._reactor_reads else GUARD_EVERY
        self._reactor.loop.call_later(every, self._guard)

    def _let_reactor_read(self, flag: bool) -> None:
        if flag is not self._reactor_reads:
            self._reactor_reads = flag
            for connection in list(self._watched.values()):
                connection.let_reactor_read(flag)
