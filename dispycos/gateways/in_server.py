"""The far end of a gateway inside a dispycos server.

It is an I/O task of that server, named `gateway`, which carries the bytes; code runs in threads
beside the server's tasks, and what waits runs as tasks among them. The process is not ours to end:
when the near end is gone code is interrupted, and the task lasts as long as it takes; a task that is
terminated waits GRACE seconds for it.

I/O half. Layer 7.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import socket
import threading
from collections.abc import Callable, Generator
from typing import Any, Final

from dispycos.config import Limits
from dispycos.errors import DispycosError
from dispycos.gateways.channel import Channel
from dispycos.gateways.far import GRACE, FarEnd
from dispycos.gateways.order import Order
from dispycos.gateways.task_stream import TaskStream
from dispycos.gateways.tasks import watched
from dispycos.kernel.operation import Operation
from dispycos.kernel.task import Task
from dispycos.net.keys import ClusterKey, Keyring
from dispycos.net.proof import prove
from dispycos.net.stream import Stream

log = logging.getLogger("dispycos")

PROOF_TIME: Final = 30.0  # seconds for both ends to prove the key


def gateway(near: Task, options: dict[str, Any], task: Any = None) -> Generator[Any, Any, Any]:
    """Be the far end of a gateway, as a task of this server.

    near     the task that carries the bytes at the near end.
    options  its name, and the key that both ends prove.
    Answers why it ended.
    """
    yield task.receive()  # now it knows us
    ours, theirs = socket.socketpair()
    ended: Operation = Operation()
    threading.Thread(
        target=_serve, args=(theirs, options, ended), name=f"dispycos gateway {options['id']}", daemon=True
    ).start()
    try:
        with contextlib.closing(TaskStream(ours)) as stream:
            yield stream.run(near, task)
        yield ended
    except KeyboardInterrupt as exc:
        try:
            yield ended.within(GRACE)
        except TimeoutError:
            log.warning("code of gateway %s goes on: it does not end when it is interrupted", options["id"])
        return str(exc)
    return "its code has ended"


def _serve(theirs: socket.socket, options: dict[str, Any], ended: Operation) -> None:
    # The thread that code has first.
    try:
        stream = Stream.of_socket(theirs, private=True)
        keyring = Keyring(ClusterKey(bytes.fromhex(options["key"])))
        try:
            meeting = prove(stream, keyring, Limits(), dialer=True, timeout=PROOF_TIME)
        except BaseException:
            stream.close()
            raise
        end = _ServerEnd(stream, meeting, options, _Tasks())
        end.serve()
        end.wait()
    except (DispycosError, OSError) as exc:
        # The near end says why there is no gateway, or has closed it already.
        log.debug("gateway %s did not begin: %s", options["id"], exc)
    finally:
        ended.complete(True)


class _ServerEnd(FarEnd):
    """A far end whose process is not its own."""

    def __init__(self, stream: Stream, meeting: Any, options: dict[str, Any], tasks: _Tasks) -> None:
        self._guard = threading.Lock()  # of those that run code
        self._executing: dict[int, threading.Event] = {}  # by ident, with what tells their end
        super().__init__(stream, meeting, options, tasks)

    def _execute(self, channel: Channel, order: Order) -> Callable[[], object]:
        ident = threading.get_ident()
        ended = threading.Event()
        try:
            with self._guard:
                self._executing[ident] = ended
            try:
                return super()._execute(channel, order)
            finally:
                self._leave(ident, ended)
        except KeyboardInterrupt:
            # It came while this thread left; there is one for each.
            self._leave(ident, ended)
            return lambda: None

    def _leave(self, ident: int, ended: threading.Event) -> None:
        with self._guard:
            self._executing.pop(ident, None)
            # An interrupt that comes too late is not for what this thread does next.
            _interrupt(ident, None)
        ended.set()

    def _lost(self, reason: str) -> None:
        if self._threads.close() or self._executing:
            threading.Thread(target=self._interrupt, name="dispycos interrupt", daemon=True).start()

    def _interrupt(self) -> None:
        self._let_take(lambda: bool(self._executing))
        with self._guard:
            for ident in self._executing:
                _interrupt(ident, KeyboardInterrupt)

    def wait(self) -> None:
        """Until no code runs."""
        while True:
            with self._guard:
                waited = next(iter(self._executing.values()), None)
            if waited is None:
                return
            waited.wait()


def _interrupt(ident: int, error: type[BaseException] | None) -> None:
    # None takes back what has not been raised yet.
    raised = ctypes.py_object(error) if error is not None else None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), raised)


class _Tasks:
    """Runs generator functions and `async def` among the server's tasks."""

    def __init__(self) -> None:
        self._running: set[Task] = set()

    @property
    def busy(self) -> int:
        """How many run."""
        return len(self._running)

    def begin(self, call: Callable[[], Any], done: Callable[[BaseException | None], object]) -> None:
        """See `far.Tasks`."""

        def over(error: BaseException | None) -> None:
            self._running.discard(task)
            done(error)

        task = Task(watched, call, over)
        self._running.add(task)

    def close(self) -> None:
        """See `far.Tasks`."""
        for task in list(self._running):
            task.terminate("its gateway is gone")
