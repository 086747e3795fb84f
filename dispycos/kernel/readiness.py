"""When descriptors are ready: one selector thread for the sockets and pipes of all tasks.

The thread does nothing but select; reading and writing is the tasks'. It starts at the first
wait and ends with the process's loop. Where the operating system allows changes while it
selects (epoll, kqueue) waits are entered directly; elsewhere the thread is woken for them.
"""

from __future__ import annotations

import errno
import selectors
import socket
import threading

from dispycos import forks
from dispycos.kernel import loop
from dispycos.kernel.operation import Operation

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE

MAX_DESCRIPTORS = 100_000  # with waits; beyond it `when` fails

_DIRECT = tuple(
    kind
    for kind in (getattr(selectors, "EpollSelector", None), getattr(selectors, "KqueueSelector", None))
    if kind is not None
)


class Readiness:
    """Operations that complete when a descriptor can be read or written."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._needs_wake = not isinstance(self._selector, _DIRECT)
        self._lock = threading.Lock()
        self._stopping = False
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._theirs.setblocking(False)
        self._selector.register(self._ours, READ, None)
        self._thread = threading.Thread(target=self._run, name="dispycos readiness", daemon=True)
        self._thread.start()

    def when(self, fd: int, event: int) -> Operation:
        """An Operation that completes when `fd` is ready for READ or WRITE; it fails if it is dropped.

        Ready may turn out to be not so: try, and wait again.
        """
        operation = Operation()
        waits: dict[int, list[Operation]] = {}
        try:
            with self._lock:
                known = self._waits(fd)
                if known is not None:
                    # Entered anew, because the number may belong to another descriptor by now.
                    # Who waits for the old one is woken, and finds it closed.
                    waits = known
                    self._selector.unregister(fd)
                elif len(self._selector.get_map()) > MAX_DESCRIPTORS:
                    raise OSError(errno.EMFILE, "too many descriptors are waited for")
                waits.setdefault(event, []).append(operation)
                self._selector.register(fd, _mask(waits), waits)
        except (OSError, ValueError) as error:
            for operations in waits.values() or ([operation],):
                for each in operations:
                    each.fail(error)
        else:
            self._wake_if_needed()
        return operation

    def forget(self, fd: int, operation: Operation) -> None:
        """Wait for `operation` no longer, if it still waits."""
        if operation.done():
            return
        with self._lock:
            waits = self._waits(fd)
            if waits is not None:
                for event, operations in list(waits.items()):
                    if operation in operations:
                        operations.remove(operation)
                        if not operations:
                            del waits[event]
                self._renew(fd, waits)

    def drop(self, fd: int, error: OSError) -> None:
        """Fail all that wait for `fd`; to be called before it is closed."""
        with self._lock:
            waits = self._waits(fd)
            if waits is None:
                return
            self._selector.unregister(fd)
        self._wake_if_needed()
        for operations in waits.values():
            for operation in operations:
                operation.fail(error)

    def close(self) -> None:
        """End the thread; may be repeated."""
        if not self._stopping:
            self._stopping = True
            self._wake()
            self._thread.join(1.0)
            self._selector.close()
            self._ours.close()
            self._theirs.close()

    def _waits(self, fd: int) -> dict[int, list[Operation]] | None:
        key = self._selector.get_map().get(fd)
        return None if key is None else key.data

    def _renew(self, fd: int, waits: dict[int, list[Operation]]) -> None:
        if waits:
            self._selector.modify(fd, _mask(waits), waits)
        else:
            self._selector.unregister(fd)

    def _wake_if_needed(self) -> None:
        if self._needs_wake:
            self._wake()

    def _wake(self) -> None:
        try:
            self._theirs.send(b"\0")
        except (BlockingIOError, OSError):
            pass  # there are unread wake-ups, or it is closed

    def _run(self) -> None:
        while not self._stopping:
            ready = self._selector.select()
            done: list[Operation] = []
            with self._lock:
                for key, mask in ready:
                    if key.fd == self._ours.fileno():
                        self._drain()
                        continue
                    waits = self._waits(key.fd)
                    if waits is None or waits is not key.data:
                        continue  # dropped, or another descriptor has the number by now
                    for event in (READ, WRITE):
                        if mask & event:
                            done += waits.pop(event, ())
                    self._renew(key.fd, waits)
            for operation in done:
                operation.complete()

    def _drain(self) -> None:
        try:
            while self._ours.recv(4096):
                pass
        except (BlockingIOError, InterruptedError):
            pass


def _mask(waits: dict[int, list[Operation]]) -> int:
    mask = 0
    for event in waits:
        mask |= event
    return mask


_shared: Readiness | None = None
_making = threading.Lock()


def shared() -> Readiness:
    """This process's, started at the first call."""
    global _shared
    if _shared is None:
        with _making:
            if _shared is None:
                _shared = Readiness()
                loop.default().at_exit(1000, _end)
    return _shared


def _end() -> None:
    global _shared
    with _making:
        readiness, _shared = _shared, None
    if readiness is not None:
        readiness.close()


def _after_fork() -> None:
    global _shared, _making
    _shared, _making = None, threading.Lock()


forks.in_child(_after_fork)
