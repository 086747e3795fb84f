"""ClusterExecutor: `concurrent.futures` on the workers of a master.

I/O half. Layer 7. Row CW-07.
"""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from functools import partial
from typing import Any, Never

from dispycos import forks
from dispycos.arguments import integer, seconds
from dispycos.client.executor import PoolExecutor
from dispycos.guidance import habits, hints
from dispycos.workers import places
from dispycos.workers.connection import masters

CONNECT_WITHIN = 10.0  # seconds in which a master has to answer

Future = concurrent.futures.Future


class ClusterExecutor(PoolExecutor):
    """Have functions called by the workers of a master.

        with ClusterExecutor() as executor:
            print(list(executor.map(square, range(10))))

    host     where the master is: a name, an address, or HOST:PORT.
    retries  further attempts for a job whose worker is lost; 0: it fails with WorkerLost. It may
             then begin more than once; an exception of the job is its result.
    timeout  seconds in which the master has to answer; else NoMaster.

    A future raises what its job raised, with the traceback from there; WorkerLost; MasterLost.
    """

    _refusal = "it could not be made"  # until it is

    def __init__(
        self,
        host: str = "localhost",
        port: int | None = None,
        *,
        retries: int = 0,
        timeout: float = CONNECT_WITHIN,
        **unknown: Never,
    ) -> None:
        hints.refuse(type(self), unknown, habits.OF_EXECUTORS)
        super().__init__()
        self._retries = integer("retries", retries, least=0, most=1000)
        where = places.location(host, port)
        self._what = f"the workers of {where}"
        self._masters = masters(where)
        self._connection = self._masters.connect(where, seconds("timeout", timeout))
        self._refusal = ""

    def _begin(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Future[Any]:
        future = JobFuture()
        self._connection.submit(future, fn, args, kwargs, self._retries)
        return future

    def _width(self) -> int:
        return self._connection.room

    def _release(self) -> None:
        self._masters.let_go(self._connection)

    def __del__(self) -> None:
        if not self._refusal:
            self.shutdown(wait=False)


class JobFuture(Future[Any]):
    """The future of a job; it runs once it was sent to the master."""

    begin = Future.set_running_or_notify_cancel

    def add_done_callback(self, fn: Callable[[Future[Any]], object]) -> None:
        """See `concurrent.futures.Future`."""
        super().add_done_callback(partial(_tell, fn))

    def end(self, value: Any, error: BaseException | None) -> None:
        """See `connection.Call`."""
        if error is not None:
            self.set_exception(error)
        else:
            self.set_result(value)


def _tell(function: Callable[[Future[Any]], object], future: Future[Any]) -> None:
    with forks.parent_goes_on():
        function(future)
