"""ClientThread: jobs, and a callback for each result.

I/O half. Layer 7. Row CW-06.
"""

from __future__ import annotations

import queue
import threading
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any, Never, Self

from dispycos import forks
from dispycos.arguments import integer, seconds
from dispycos.errors import Closed
from dispycos.guidance import hints
from dispycos.wording import many
from dispycos.workers import places
from dispycos.workers.cluster_executor import CONNECT_WITHIN
from dispycos.workers.connection import Connection, Masters, masters
from dispycos.workers.errors import RemoteException


class ClientThread(threading.Thread):
    """Have functions called by the workers of a master, and `callback(jobid, result)` here.

        with ClientThread(print) as client:
            client.submit("a job", square, 7)
            client.wait()

    callback  called in this thread, once for each job that has returned. What it raises ends
              the thread's work: `wait` raises it.
    host      where the master is: a name, an address, or HOST:PORT.
    retries   further attempts for a job whose worker is lost.
    timeout   seconds in which the master has to answer at `start`; else NoMaster.

    Leaving `with` waits for the jobs, unless an exception leaves it.
    """

    def __init__(
        self,
        callback: Callable[[Any, Any], object],
        host: str = "localhost",
        port: int | None = None,
        *,
        retries: int = 0,
        timeout: float = CONNECT_WITHIN,
        **unknown: Never,
    ) -> None:
        hints.refuse(type(self), unknown)
        super().__init__(name="dispycos-client-thread", daemon=True)
        if not callable(callback):
            raise TypeError(f"callback must be a function, not {callback!r:.200}")
        self._callback = callback
        self._where = places.location(host, port)
        self._retries = integer("retries", retries, least=0, most=1000)
        self._limit = seconds("timeout", timeout)
        self._masters: Masters | None = None
        self._connection: Connection | None = None
        self._changed = threading.Condition()
        self._jobs = 0  # submitted, and not called back or failed yet
        self._failure: BaseException | None = None  # the first since the last `wait`
        self._ended: queue.SimpleQueue[tuple[Any, Any, BaseException | None] | None] = queue.SimpleQueue()
        self._stopped = False

    # What users call.

    def start(self) -> None:
        """Connect with the master, and begin. NoMaster says where it was looked for."""
        if self._stopped:
            raise Closed("this ClientThread was stopped: make another one")
        if self._connection is None:
            self._masters = masters(self._where)
            self._connection = self._masters.connect(self._where, self._limit)
        super().start()

    def submit(self, jobid: Any, func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> None:
        """Have `func(*args, **kwargs)` called; `callback(jobid, result)` follows. Any thread.

        What can't be pickled raises here; Closed before `start` and after `stop`.
        """
        if self._connection is None or self._stopped:
            raise Closed(f"this ClientThread was {'stopped' if self._stopped else 'not started yet'}")
        with self._changed:
            self._jobs += 1
        try:
            self._connection.submit(_Job(self, jobid), func, args, kwargs, self._retries)
        except BaseException:
            self._done()
            raise

    def wait(self, timeout: float | None = None) -> None:
        """Return when every job has ended; then raise the first RemoteException, if one failed.

        TimeoutError after `timeout` seconds.
        """
        if threading.current_thread() is self:
            raise RuntimeError("a callback that waits for all jobs would wait for itself")
        with self._changed:
            if not self._changed.wait_for(lambda: not self._jobs, timeout):
                raise TimeoutError(f"{many(self._jobs, 'job has', 'jobs have')} not ended in {timeout} s")
            failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def stop(self) -> None:
        """Take no more jobs; return when those that are out have been called back. May be repeated."""
        if self._stopped:
            return
        self._stopped = True
        connection = self._connection
        if connection is None:
            return
        if threading.current_thread() is not self:
            with self._changed:
                self._changed.wait_for(lambda: not self._jobs)
        assert self._masters is not None
        self._ended.put(None)
        self._masters.let_go(connection)
        if threading.current_thread() is not self:
            self.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.wait()
        finally:
            self.stop()

    # The thread.

    def run(self) -> None:
        """Call back; not for users."""
        while (ended := self._ended.get()) is not None:
            jobid, value, error = ended
            try:
                if error is None:
                    with forks.parent_goes_on():
                        self._callback(jobid, value)
                else:
                    failure = RemoteException("".join(traceback.format_exception(error)).rstrip(), jobid)
                    failure.__cause__ = error
                    self._failed(failure)
            except Exception as broken:
                self._failed(broken)
            del ended, jobid, value, error
            self._done()

    def job_ended(self, jobid: Any, value: Any, error: BaseException | None) -> None:
        """A job has ended; the connection's thread."""
        self._ended.put((jobid, value, error))

    def _failed(self, failure: BaseException) -> None:
        with self._changed:
            self._failure = self._failure or failure

    def _done(self) -> None:
        with self._changed:
            self._jobs -= 1
            self._changed.notify_all()


class _Job:
    """Whom the connection tells of one job."""

    __slots__ = ("_client", "_id")

    def __init__(self, client: ClientThread, jobid: Any) -> None:
        self._client = client
        self._id = jobid

    def begin(self) -> bool:
        """Always: it can't be cancelled."""
        return True

    def end(self, value: Any, error: BaseException | None) -> None:
        """See `connection.Call`."""
        self._client.job_ended(self._id, value, error)
