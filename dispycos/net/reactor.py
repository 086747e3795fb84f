"""The reactor: the one asyncio loop that carries this process's bytes, files and processes.

User tasks never run on it, so a task that blocks for a minute delays no pulse and loses no
message. Clients and servers run it in a thread of its own beside the kernel; daemons, which
run no user code, are nothing but a reactor.

I/O half. Layer 3.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar, cast

from dispycos.errors import Closed
from dispycos.kernel.operation import Operation

log = logging.getLogger(__name__)

T = TypeVar("T")

_LOOK: Final = 0.5  # seconds between looks of who waits for the loop whether it still runs


class Reactor:
    """An asyncio loop with a cheap way in from other threads.

    `call` from another thread wakes the loop once per burst: further calls join the first
    one's wake-up until the loop has taken them (crossing threads in batches).
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        # Appended by any thread, emptied by the loop. Bounded by what the program has under
        # way: each entry stands for one call that its maker made in this process.
        self._calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._awake = False  # True: the loop has been told to come and look
        self._over = False  # nobody will take calls any more
        self._thread: threading.Thread | None = None
        self._ident = 0  # of the thread that runs the loop
        self._work: set[asyncio.Task[Any]] = set()  # kept here, or the collector takes them

    @classmethod
    def running(cls) -> Reactor:
        """Wrap the loop that runs in this thread."""
        reactor = cls(asyncio.get_running_loop())
        reactor._ident = threading.get_ident()
        return reactor

    @classmethod
    def in_thread(cls, name: str = "dispycos-reactor") -> Reactor:
        """Start a loop in a thread of its own; uvloop's where it is installed."""
        reactor = cls(new_loop())
        started = threading.Event()

        def run() -> None:
            reactor._ident = threading.get_ident()
            asyncio.set_event_loop(reactor.loop)
            reactor.loop.call_soon(started.set)
            try:
                reactor.loop.run_forever()
            finally:
                _drain(reactor.loop)
                reactor.loop.close()
                reactor._over = True
                reactor._calls.clear()

        reactor._thread = threading.Thread(target=run, name=name, daemon=True)
        reactor._thread.start()
        started.wait()
        return reactor

    @property
    def here(self) -> bool:
        """Is the caller on the reactor's thread?"""
        return threading.get_ident() == self._ident

    def call(self, function: Callable[..., object], *args: Any) -> None:
        """Run `function(*args)` on the loop soon; legal from any thread, in order per thread."""
        self._calls.append((function, args))
        if self._over:
            # The process is ending, or its network: nobody is left to tell, and what is not told
            # must not be kept as long as a Task that somebody holds.
            self._calls.clear()
            log.debug("call of %r after the reactor's end", function)
        elif not self._awake:
            self._awake = True
            if threading.get_ident() == self._ident:
                self.loop.call_soon(self._take_calls)
            else:
                try:
                    self.loop.call_soon_threadsafe(self._take_calls)
                except RuntimeError:
                    log.debug("call of %r at the reactor's end", function)  # it is closing just now

    def _take_calls(self) -> None:
        # Cleared first: a call that comes while we take the others wakes the loop again.
        self._awake = False
        calls = self._calls
        for _ in range(len(calls)):
            function, args = calls.popleft()
            try:
                function(*args)
            except Exception:
                log.exception("a call on the reactor failed: %r", function)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> Operation:
        """Run a coroutine on the loop; the Operation gets its value or exception."""
        operation = Operation()
        self.call(self._run, coroutine, operation)
        return operation

    def wait(self, coroutine: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Run a short coroutine on the loop and block until it is done; any thread but the reactor's.

        Not for what waits on other processes: a task that called this would block all tasks.
        TimeoutError after `timeout` seconds; the coroutine goes on. Closed if the loop has ended.
        """
        done = threading.Event()
        operation = self.run(coroutine)
        operation.add_done_callback(lambda _: done.set())
        deadline = None if timeout is None else time.monotonic() + timeout
        while not done.wait(_LOOK if deadline is None else min(_LOOK, deadline - time.monotonic())):
            if self._over and not done.is_set():
                coroutine.close()
                raise Closed("the network of this process has ended, and did not do that any more")
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"the network did not do its work in {timeout:g} s")
        return cast(T, operation.result())

    def _run(self, coroutine: Coroutine[Any, Any, T], operation: Operation) -> None:
        def done(task: asyncio.Task[T]) -> None:
            if task.cancelled():
                operation.fail(asyncio.CancelledError())
            elif (error := task.exception()) is not None:
                operation.fail(error)
            else:
                operation.complete(task.result())

        self.spawn(coroutine).add_done_callback(done)

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start a coroutine as an asyncio task that is kept until it ends; reactor thread only."""
        task = self.loop.create_task(coroutine)
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        return task

    def later(self, seconds: float, function: Callable[..., object], *args: Any) -> Later:
        """Run `function(*args)` on the loop after some seconds; any thread may ask and cancel."""
        later = Later(self, function, args)
        self.call(later.start, seconds)
        return later

    def stop(self, timeout: float = 5.0) -> None:
        """End the reactor's thread; what still runs on it is cancelled. No effect on a wrapped loop."""
        thread = self._thread
        if thread is None or not thread.is_alive():
            return
        self.loop.call_soon_threadsafe(self.loop.stop)
        if threading.get_ident() != self._ident:
            thread.join(timeout)


class Later:
    """A call on the reactor that is due after some seconds."""

    __slots__ = ("_args", "_cancelled", "_function", "_reactor", "_timer")

    def __init__(self, reactor: Reactor, function: Callable[..., object], args: tuple[Any, ...]) -> None:
        self._reactor = reactor
        self._function = function
        self._args = args
        self._timer: asyncio.TimerHandle | None = None
        self._cancelled = False

    def start(self, seconds: float) -> None:
        """Begin to count; reactor thread."""
        if not self._cancelled:
            self._timer = self._reactor.loop.call_later(max(0.0, seconds), self._due)

    def _due(self) -> None:
        if not self._cancelled:
            self._function(*self._args)

    def cancel(self) -> None:
        """Take it back; any thread, may be repeated. A call under way in another thread is not stopped."""
        self._cancelled = True
        if self._timer is not None:
            self._reactor.call(self._timer.cancel)


def new_loop() -> asyncio.AbstractEventLoop:
    """A loop: uvloop's where it is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def _drain(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what is left and let it clean up, as asyncio.run does."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.run_until_complete(loop.shutdown_default_executor())
