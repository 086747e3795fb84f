"""Executors: `concurrent.futures.Executor` over what runs calls elsewhere.

What all of ours share: who may still submit, the futures that are open, shutting down, and a
`map` that reads its input only as far ahead as there is work for, so that an input of any
length needs little memory.

I/O half. Layer 5. Row CW-07.
"""

from __future__ import annotations

import concurrent.futures
import itertools
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, NoReturn

from dispycos.arguments import integer, seconds_or_none
from dispycos.card import card
from dispycos.errors import Timeout
from dispycos.kernel.operation import kernel_threads
from dispycos.wording import many

LEAST_AHEAD = 16  # items of a map that are out or wait to be taken, however few can run at once

Future = concurrent.futures.Future


class PoolExecutor(concurrent.futures.Executor):
    """An executor; a subclass says how a call is begun."""

    _what = "executor"  # in refusals
    _refusal = ""  # why it takes no more calls

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._open: set[Future[Any]] = set()  # futures that have not ended
        self._maps: weakref.WeakSet[Mapped] = weakref.WeakSet()  # that have not read all their input
        self._awaited = False  # somebody waits in `shutdown`, and lets go himself
        self._let_go = False

    # A subclass says these.

    def _begin(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Future[Any]:
        """Have the call run; any thread."""
        raise NotImplementedError

    def _width(self) -> int:
        """How many calls can be out at a time, as far as is known."""
        raise NotImplementedError

    def _release(self) -> None:
        """Nothing is open and nothing comes any more; once, any thread."""
        raise NotImplementedError

    # What users call.

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have `fn(*args, **kwargs)` called; its Future. Any thread.

        What can't be pickled raises here. RuntimeError after `shutdown`.
        """
        if not callable(fn):
            raise TypeError(f"fn must be a function, not {fn!r:.200}")
        with self._lock:
            if self._refusal:
                raise RuntimeError(f"cannot schedule new futures after {self._refusal}")
            future = self._begin(fn, args, kwargs)
            self._open.add(future)
        future.add_done_callback(self._ended)
        return future

    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
    ) -> Iterator[Any]:
        """As the builtin `map`: the results in order, as they are taken.

        timeout    seconds from now until TimeoutError is raised in place of the next result.
        chunksize  items that travel and run as one call.

        The input is read only so far ahead that all workers are busy. The rest is read when results
        are taken, or by `shutdown`; a map that is dropped before its first result was taken runs
        whole, one that was begun is cancelled.
        """
        if not callable(fn):
            raise TypeError(f"fn must be a function, not {fn!r:.200}")
        size = integer("chunksize", chunksize, least=1)
        limit = seconds_or_none("timeout", timeout)
        with self._lock:
            if self._refusal:
                raise RuntimeError(f"cannot schedule new futures after {self._refusal}")
        mapped = Mapped(self, fn, iterables, size, limit)
        self._maps.add(mapped)
        mapped.fill()
        return mapped

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; with `wait`, return when those that were taken have ended.

        cancel_futures  what has not begun is cancelled.
        May be repeated.
        """
        if wait and threading.get_ident() in kernel_threads:
            raise RuntimeError("shutdown(wait=True) in a task would block all tasks: use wait=False")
        if not self._refusal:
            for mapped in list(self._maps):
                if cancel_futures:
                    mapped.cut()
                else:
                    mapped.fill(whole=True)
        with self._lock:
            self._refusal = self._refusal or "shutdown"
            self._awaited = self._awaited or wait
            still = list(self._open)
        if cancel_futures:
            for future in still:
                if not future.running():
                    future.cancel()
        try:
            if wait:
                concurrent.futures.wait(still)
        finally:
            if wait:
                self._awaited = False  # by Ctrl-C, say: then the last call that ends lets go
            self._settle()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Who presses Ctrl-C does not want to see the end of all that was asked for.
        interrupted = kind is KeyboardInterrupt
        self.shutdown(wait=not interrupted, cancel_futures=interrupted)

    # Inside.

    def _ended(self, future: Future[Any]) -> None:
        with self._lock:
            self._open.discard(future)
        if self._refusal and not self._awaited:
            self._settle()

    def _settle(self) -> None:
        with self._lock:
            # Who waited was told by the future, perhaps before we were.
            if self._let_go or not all(future.done() for future in self._open):
                return
            self._let_go = True
        self._release()

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} stays in its program")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._what}: {self._state()}, {many(len(self._open), 'call')}>"

    def _repr_html_(self) -> str:
        facts = [("of", self._what), ("calls that have not ended", f"{len(self._open):,}")]
        return card(type(self).__name__, self._state(), facts)

    def _state(self) -> str:
        return f"closed by {self._refusal}" if self._refusal else "open"


class Mapped:
    """The results of `PoolExecutor.map`, in order."""

    def __init__(
        self,
        executor: PoolExecutor,
        fn: Callable[..., Any],
        iterables: tuple[Iterable[Any], ...],
        chunksize: int,
        timeout: float | None,
    ) -> None:
        self._executor = executor
        self._function = fn
        self._items: Iterator[tuple[Any, ...]] | None = zip(*iterables, strict=False)
        self._size = chunksize
        self._seconds = timeout
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._futures: deque[Future[Any]] = deque()  # that nobody took yet, in order
        self._ready: deque[Any] = deque()  # results of a chunk that was taken
        self._begun = False  # somebody took a result, or tried to
        self._reading = threading.RLock()

    # Reading the input.

    def fill(self, *, whole: bool = False) -> None:
        """Read on, as far as there is work for, or to the end."""
        with self._reading:
            while self._items is not None:
                most = max(2 * self._executor._width() // self._size, LEAST_AHEAD)
                if len(self._futures) >= most and not whole:
                    return
                self._read_one()

    def _read_one(self) -> None:
        assert self._items is not None
        try:
            chunk = list(itertools.islice(self._items, self._size))
            if not chunk:
                self._items = None
            elif self._size == 1:
                self._futures.append(self._executor.submit(self._function, *chunk[0]))
            else:
                self._futures.append(self._executor.submit(_each, self._function, chunk))
        except BaseException as error:
            # In the place of its result, as all that comes before it is good.
            self._items = None
            if not isinstance(error, Exception):
                raise
            broken: Future[Any] = Future()
            broken.set_exception(error)
            self._futures.append(broken)

    def cut(self) -> None:
        """Read no more: what was not read has been cancelled."""
        with self._reading:
            if self._items is not None:
                self._items = None
                never: Future[Any] = Future()
                never.cancel()
                self._futures.append(never)

    # Taking the results.

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        self._begun = True
        while not self._ready:
            self.fill()
            if not self._futures:
                raise StopIteration
            try:
                result = self._result(self._futures[0])
            except BaseException:
                self.close()
                raise
            self._futures.popleft()
            if self._size > 1:
                self._ready.extend(result)
            else:
                self._ready.append(result)
        return self._ready.popleft()

    def _result(self, future: Future[Any]) -> Any:
        if self._deadline is None:
            return future.result()
        try:
            return future.result(max(0.0, self._deadline - time.monotonic()))
        except TimeoutError:
            if future.done():
                raise  # the call's own
            raise Timeout(
                f"the next result of a map did not come within timeout={self._seconds:g} s"
            ) from None

    def close(self) -> None:
        """Cancel what has not begun. May be repeated."""
        with self._reading:
            self._items = None
            futures, self._futures = self._futures, deque()
            self._ready.clear()
        for future in futures:
            if not future.running():
                future.cancel()

    def __del__(self) -> None:
        if self._begun:
            self.close()
        elif not self._executor._refusal:
            # Nobody wants the results, but what the calls do is wanted.
            self.fill(whole=True)


def _each(function: Callable[..., Any], chunk: list[tuple[Any, ...]]) -> list[Any]:
    return [function(*args) for args in chunk]
