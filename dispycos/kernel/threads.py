"""Plain functions that block, run in threads while tasks wait for them: pools, and cursors on them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from dispycos import forks
from dispycos.kernel import loop
from dispycos.kernel.operation import Operation

MAX_JOBS = 1_000_000  # waiting in one pool; beyond it `async_task` raises

_Job: TypeAlias = tuple[Operation, Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class AsyncThreadPool:
    """Run functions in at most `num_threads` threads, which are started as they are needed.

    More functions than threads wait for their turn, in order. The threads are daemons: the
    end of the program waits for tasks, not for a function that no task waits for.
    """

    def __init__(self, num_threads: int) -> None:
        if num_threads < 1:
            raise ValueError(f"a pool has at least one thread, not {num_threads!r}")
        self._size = num_threads
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()  # at most MAX_JOBS
        self._threads: list[threading.Thread] = []
        self._changed = threading.Condition()
        self._unfinished = 0  # jobs that wait or run
        self._ended = False

    def async_task(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Operation:
        """Yield this: the value of `function(*args, **kwargs)`, or raises what it raised.

        RuntimeError after `terminate`, or if a million functions wait already.
        """
        operation = Operation()
        with self._changed:
            if self._ended:
                raise RuntimeError("this thread pool was terminated")
            if self._unfinished >= MAX_JOBS:
                raise RuntimeError(f"{self._unfinished} functions wait for this thread pool already")
            self._unfinished += 1
            if len(self._threads) < min(self._size, self._unfinished):
                thread = threading.Thread(target=self._work, name="dispycos pool", daemon=True)
                self._threads.append(thread)
                thread.start()
            self._jobs.put((operation, function, args, kwargs))
        return operation

    def join(self, timeout: float | None = None) -> bool:
        """Block until no function waits or runs; False after `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self._unfinished == 0, timeout)

    def terminate(self) -> None:
        """Refuse new functions, drop those that have not begun, and end the threads; may be repeated.

        Functions that run go on to their end. What was dropped raises RuntimeError in its task.
        """
        with self._changed:
            if self._ended:
                return
            self._ended = True
            threads, self._threads = self._threads, []
            dropped = []
            while True:
                try:
                    job = self._jobs.get_nowait()
                except queue.Empty:
                    break
                if job is not None:
                    dropped.append(job[0])
            self._unfinished -= len(dropped)
            self._changed.notify_all()
            for _ in threads:
                self._jobs.put(None)
        for operation in dropped:
            operation.fail(RuntimeError("this thread pool was terminated before the function began"))

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            operation, function, args, kwargs = job
            try:
                with forks.parent_goes_on():
                    value = function(*args, **kwargs)
            except BaseException as error:
                self._done()
                operation.fail(error)
            else:
                self._done()
                operation.complete(value)
            # Let go of the user's values while waiting for the next job.
            del job, operation, function, args, kwargs
            value = None

    def _done(self) -> None:
        with self._changed:
            self._unfinished -= 1
            if self._unfinished == 0:
                self._changed.notify_all()


class AsyncDBCursor:
    """A database cursor whose slow calls run in a pool's threads; other attributes are the cursor's.

    The cursor must allow calls from threads other than its own.
    """

    def __init__(self, pool: AsyncThreadPool, cursor: Any) -> None:
        self._pool = pool
        self._cursor = cursor

    def execute(self, query: str, args: Any = None) -> Operation:
        """Yield this: `cursor.execute(query, args)`."""
        if args is None:
            return self._pool.async_task(self._cursor.execute, query)
        return self._pool.async_task(self._cursor.execute, query, args)

    def executemany(self, query: str, args: Any) -> Operation:
        """Yield this: `cursor.executemany(query, args)`."""
        return self._pool.async_task(self._cursor.executemany, query, args)

    def callproc(self, proc: str, args: Sequence[Any] = ()) -> Operation:
        """Yield this: `cursor.callproc(proc, args)`."""
        return self._pool.async_task(self._cursor.callproc, proc, args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)


# Threads for what the kernel's own files and sockets can't do without blocking: reading
# regular files, looking up names.

_helpers: AsyncThreadPool | None = None
_making = threading.Lock()

HELPERS = 4  # threads


def helpers() -> AsyncThreadPool:
    """The pool that this process's files and sockets share; ended with the process's loop."""
    global _helpers
    with _making:
        if _helpers is None:
            _helpers = AsyncThreadPool(HELPERS)
            loop.default().at_exit(1000, _end_helpers)
        return _helpers


def _end_helpers() -> None:
    global _helpers
    with _making:
        pool, _helpers = _helpers, None
    if pool is not None:
        threads = pool._threads
        pool.terminate()
        for thread in threads:
            thread.join(1.0)
