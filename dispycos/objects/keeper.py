"""Keepers: an object of this process, and the threads that do what others ask of it.

Calls are begun in the order in which they come, and done in threads of the object's own, so they
need not wait for a task of this process that computes. The first thread makes the object; with one
at a time it is the only one. Methods that are generators or `async def` run as tasks here.

I/O half. Layer 5.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from types import CoroutineType, GeneratorType
from typing import Any, Final

from dispycos import forks
from dispycos.errors import Closed, LocalProtocolError, RemoteError, TaskCancelled
from dispycos.kernel import trace
from dispycos.kernel.core import Kernel
from dispycos.kernel.operation import Operation
from dispycos.kernel.target import Runnable, begin, runs
from dispycos.kernel.task import Task
from dispycos.messages import Change
from dispycos.model import Incarnation, Payload
from dispycos.net.calls import Call
from dispycos.objects.exposure import Exposure, Table, table_of
from dispycos.objects.holders import Holders
from dispycos.objects.stopping import Stoppable
from dispycos.pickling import values

# Calls that wait for their turn (N4); more are refused. 10,000 is a burst, a million a mistake.
MOST_WAITING: Final = 50_000

_Key = tuple[Incarnation, int]  # caller and ticket


class _Running:
    """A call that a thread does now."""

    def __init__(self, call: Call, kernel: Kernel) -> None:
        self.call = call
        self.code = Stoppable()
        self.task: Task | None = None  # that runs it, once it has begun
        self._kernel = kernel

    def wake(self) -> None:
        """End the task for which the thread waits."""
        self._kernel.post(_end_task, self)


class Keeper:
    """One object. Every method may be called by any thread.

    load     unpickles what a caller sent.
    release  called once nobody refers to it any more; with True if that should be looked at again a
             little later, since references to it were sent about.
    """

    def __init__(
        self,
        exposure: Exposure,
        kernel: Kernel,
        load: Callable[[Payload], Any],
        release: Callable[[bool], None],
    ) -> None:
        self.made = Operation()  # the table, or what the constructor raised
        self.ended = Operation()  # why: somebody dismissed it, or nobody refers to it
        self.gone = Operation()  # its last thread has let go of it
        self._exposure = exposure
        self._kernel = kernel
        self._load = load
        self._release = release
        self._holders = Holders()
        self._ready = threading.Condition()
        self._waiting: deque[Call] = deque()
        self._running: dict[_Key, _Running] = {}
        self._threads = 0
        self._idle = 0
        self._why = ""  # it is closed
        self._object: Any = None
        self._table: Table
        self._making = Stoppable()

    def start(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Make the object; `made` tells."""
        self._threads = 1
        threading.Thread(
            target=self._begin, args=(args, kwargs), name=self._exposure.name, daemon=True
        ).start()

    def close(self, why: str) -> None:
        """Refuse all calls, and let go of the object when what runs has ended. May be repeated."""
        with self._ready:
            if self._why:
                return
            self._why = why
            waiting, running = list(self._waiting), list(self._running.values())
            self._waiting.clear()
            self._ready.notify_all()
        self.ended.complete(why)
        self._making.stop()
        for call in waiting:
            call.refuse(Closed(why))
        for one in running:
            one.call.refuse(Closed(why))
            one.code.stop()

    # As `net.calls` hears of it.

    def invoke(self, call: Call) -> None:
        """Do a call when its turn comes."""
        with self._ready:
            why = self._why
            full = len(self._waiting) >= MOST_WAITING
            if not why and not full:
                self._waiting.append(call)
                if len(self._waiting) <= self._idle:
                    self._ready.notify()
                elif self._threads < self._exposure.concurrency:
                    self._threads += 1
                    threading.Thread(target=self._work, name=self._exposure.name, daemon=True).start()
                return
        if why:
            call.refuse(Closed(why))
        else:
            text = f"{MOST_WAITING} calls of this {self._exposure.name} wait already: wait for some of them"
            call.refuse(LocalProtocolError(text))

    def withdraw(self, peer: Incarnation, ticket: int) -> None:
        """Nobody waits for that call: it does not begin, or is interrupted."""
        with self._ready:
            found = next((c for c in self._waiting if c.ticket == ticket and c.peer == peer), None)
            if found is not None:
                self._waiting.remove(found)
        if found is not None:
            found.refuse(TaskCancelled("it was cancelled before it began"))
            return
        running = self._running.get((peer, ticket))
        if running is not None:
            running.code.stop()

    def refer(self, peer: Incarnation, change: Change, token: bytes) -> None:
        """Count who refers to it."""
        with self._ready:
            self._holders.change(peer, change, token)
            nobody = self._holders.nobody
        if nobody:
            self._release(self._holders.sent_on)

    def release_if_nobody(self) -> None:
        """Close it, if still nobody refers to it."""
        with self._ready:
            nobody = self._holders.nobody
        if nobody:
            self.close(f"nobody referred to this {self._exposure.name} any more")

    def dismiss(self) -> Operation:
        """Somebody called `close()`."""
        self.close(f"this {self._exposure.name} was closed")
        return self.gone

    # Its threads.

    def _begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        try:
            self._object = self._making.run(self._exposure.make, *args, **kwargs)
            self._table = table_of(self._object, self._exposure)
        except BaseException as exc:
            self._threads = 0
            self._object = None
            trace.trim(exc)
            self.made.fail(_told(exc))
            self.gone.complete()
            return
        self.made.complete(self._table)
        self._work()

    def _work(self) -> None:
        while (running := self._next()) is not None:
            self._do(running)
            with self._ready:
                self._running.pop((running.call.peer, running.call.ticket), None)
        with self._ready:
            self._threads -= 1
            last = not self._threads
        if last:
            self._let_go()

    def _next(self) -> _Running | None:
        with self._ready:
            while not self._waiting and not self._why:
                self._idle += 1
                self._ready.wait()
                self._idle -= 1
            if self._why:
                return None
            running = _Running(self._waiting.popleft(), self._kernel)
            self._running[running.call.peer, running.call.ticket] = running
            return running

    def _do(self, running: _Running) -> None:
        call = running.call
        try:
            args, kwargs = self._load(call.value)
            call.answer(running.code.run(self._perform, running, args, kwargs))
        except BaseException as exc:
            trace.trim(exc)
            call.refuse(exc)

    def _perform(self, running: _Running, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        function = self._table.use(self._object, running.call.method)
        if runs(function):
            return running.code.shelter(self._run, running, lambda task: begin(function, args, kwargs, task))
        value = function(*args, **kwargs)
        if type(value) is GeneratorType or type(value) is CoroutineType:
            return running.code.shelter(self._run, running, lambda task: value)
        return value

    def _run(self, running: _Running, make: Callable[[Task], Runnable]) -> Any:
        """The result of a task of this process, for which this thread waits."""
        done = Operation()

        def spawn() -> None:
            if running.code.due:
                done.fail(TaskCancelled("it was cancelled before it began"))
                return
            name = running.call.method
            running.task = self._kernel.spawn(_caught, (make,), name=name, on_done=done.complete)

        running.code.waits = running
        self._kernel.post(spawn)
        outcome, ended = done.result()._outcome(True)
        if ended is not None:
            raise ended
        value, error = outcome
        if error is not None:
            raise error
        return value

    def _let_go(self) -> None:
        # A file, a connection: what has a `close` expects it at the end.
        close = getattr(self._object, "close", None)
        self._object = None
        try:
            if callable(close):
                with forks.parent_goes_on():
                    close()
        except BaseException as exc:
            trace.trim(exc)
            self.gone.fail(_told(exc))
            return
        self.gone.complete()


def _end_task(running: _Running) -> None:
    if running.task is not None:
        running.task.terminate("its call was cancelled")


def _caught(make: Callable[[Any], Runnable], task: Any = None) -> Any:
    # What it raises is for who called it, and no failure of ours to be logged.
    try:
        return (yield make(task)), None
    except Exception as exc:
        return None, exc


def _told(error: BaseException) -> BaseException:
    """What would end the task that waits, which stands for the object, is no more than told."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    return RemoteError(values.dump_exception(error)[1])


trace.leading.add(__name__)
