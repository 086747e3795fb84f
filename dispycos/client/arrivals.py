"""Arrivals: values that come one after another, and all the ways to wait for them (DC-60).

    for value in arrivals                       in a plain thread
    async for value in arrivals                 in an asyncio program or an `async def` task
    value = yield arrivals.next(None)           in a generator task; None: that were all
    yield arrivals, await arrivals, .result()   a list of all that are to come

Whatever makes them come is done in the thread of who waits. Several may wait: each value is
given to one of them. Who is interrupted or cancelled while he waits says so to what he waits for:
a map ends then, as an async generator does whose `__anext__` is cancelled (also by `asyncio.timeout`).

I/O half. Layer 5. Rows DC-60, DC-64.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Generator, Iterator
from operator import length_hint
from types import TracebackType
from typing import Any, Self

from dispycos.arguments import seconds_or_none
from dispycos.client.bell import Bell
from dispycos.client.deadline import Deadline
from dispycos.errors import Timeout
from dispycos.kernel import event_loop
from dispycos.kernel.loop import current_kernel
from dispycos.kernel.operation import Operation, kernel_threads
from dispycos.kernel.wait import Waitable, Waiter, late

_NOTHING: Iterator[Any] = iter(())


class Arrivals(Waitable):
    """What `client.map`, `as_completed` and `progress` give. A subclass says what arrives.

    timeout  seconds from now until TimeoutError is raised at who waits; None: never.
    """

    _closed = True  # until it is whole: whoever makes it says when
    _released = False  # what it held is let go

    def __init__(self, timeout: float | None) -> None:
        limit = seconds_or_none("timeout", timeout)
        self._bell = Bell()
        self._taking = threading.RLock()  # one for each stream; who makes them come has it
        self._making = False
        self._batch = _NOTHING  # has arrived and is to be taken
        self._deadline = None if limit is None else Deadline(current_kernel(), limit, self._bell.ring)

    # A subclass says these.

    def _take(self) -> list[Any] | None:
        """What has arrived since the last time, in order; None: that were all. Or raises a failure.

        Whatever changes the answer rings the bell.
        """
        raise NotImplementedError

    def _release(self) -> None:
        """Nobody takes any more; any thread, once."""
        raise NotImplementedError

    def _unfinished(self) -> str:
        """What is still waited for, in a few words."""
        raise NotImplementedError

    def _why(self) -> str:
        """What keeps the next of them, as far as is known; ""."""
        return ""

    def _interrupted(self) -> None:
        """Ctrl-C, a cancelled `await` or a task's end came to who waits. Most kinds still serve others."""

    def _late(self, when: str) -> Timeout:
        return late(f"{self._unfinished()} {when}", self._why)

    # Taking them.

    def close(self) -> None:
        """Take no more. May be repeated; so ends `with`, and who keeps no reference."""
        self._closed = True
        # Who makes them come just now lets go in our place: what it is about to make is then released, too.
        if self._taking.acquire(blocking=False):
            try:
                if not self._making and not self._released:
                    self._released = True
                    self._batch = _NOTHING
                    if self._deadline is not None:
                        self._deadline.cancel()
                    self._release()
                    self._bell.ring()
            finally:
                self._taking.release()

    def _turn(self) -> Operation | None:
        """Have a batch, or be closed: None. Else answer what is done when it is worth to look again."""
        try:
            with self._taking:
                return self._made()
        finally:
            if self._closed:
                self.close()

    def _made(self) -> Operation | None:
        if self._closed or length_hint(self._batch):
            return None
        bell = self._bell.listen()
        self._making = True
        try:
            batch = self._take()
            if batch:
                self._batch = iter(batch)
                self._bell.ring()  # others who wait here have some of it
                return None
            if batch is None:
                self._closed = True
                return None
            if self._deadline is not None and self._deadline.over:
                raise self._late(f"within timeout={self._deadline.seconds:g} s")
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                self._interrupted()
            self._closed = True
            raise
        finally:
            self._making = False
        return bell

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        while True:
            for value in self._batch:
                return value
            if self._closed:
                raise StopIteration
            if (bell := self._turn()) is None:
                continue
            if threading.get_ident() in kernel_threads:
                raise RuntimeError(
                    "a `for` over this in a task would block all tasks: "
                    "`value = yield it.next(None)` or `async for` waits for one, `yield it` for all"
                )
            if not bell.done() and event_loop.is_held_up():
                raise RuntimeError(
                    "a `for` over this in a running event loop would block all that runs there: "
                    "`async for` waits for one, `await it` for all"
                )
            self._hear(bell, None)

    def _hear(self, bell: Operation, timeout: float | None) -> None:
        try:
            bell.result(timeout)
        except KeyboardInterrupt:
            self._interrupted()
            raise

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        while True:
            for value in self._batch:
                return value
            if self._closed:
                raise StopAsyncIteration
            if (bell := self._turn()) is not None:
                await self._await(bell)

    async def _await(self, bell: Operation) -> None:
        try:
            await bell
        except (KeyboardInterrupt, asyncio.CancelledError):
            # asyncio tells of Ctrl-C by cancelling its main task: nobody can tell it from another cancel.
            self._interrupted()
            raise

    def next(self, default: Any = None) -> Generator[Any, Any, Any]:
        """Yield this in a task: the next one, or `default` if there are no more."""
        while True:
            for value in self._batch:
                return value
            if self._closed:
                return default
            if (bell := self._turn()) is not None:
                yield from self._yielded(bell)

    def _yielded(self, bell: Operation) -> Generator[Any, Any, None]:
        try:
            yield bell
        except KeyboardInterrupt:
            self._interrupted()
            raise

    # Taking all.

    def _all(self) -> Generator[Any, Any, list[Any]]:
        values: list[Any] = []
        while not self._closed:
            values += self._batch
            bell = self._turn()
            if bell is not None:
                yield from self._yielded(bell)
        return values

    def _wait(self, task: Waiter) -> None:
        task._kernel._call(task, self._all())

    async def _awaited(self) -> list[Any]:
        # Who is cancelled in asyncio while he waits for all has none, and wants no more of them.
        with self:
            return [value async for value in self]

    def __await__(self) -> Generator[Any, Any, list[Any]]:
        return self._awaited().__await__()

    def result(self, timeout: float | None = None) -> list[Any]:
        """All that are to come, in a list, waited for in a plain thread.

        TimeoutError after `timeout` seconds; what has come until then is kept for the next time.
        """
        limit = seconds_or_none("timeout", timeout)
        deadline = None if limit is None else time.monotonic() + limit
        values: list[Any] = []
        while not self._closed:
            values += self._batch
            bell = self._turn()
            if bell is None:
                continue
            try:
                self._hear(bell, None if deadline is None else max(0.0, deadline - time.monotonic()))
            except Timeout:
                self._batch = iter(values)
                raise self._late(f"in {limit:g} s") from None
        return values

    # The end.

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if not self._closed:
            self.close()
