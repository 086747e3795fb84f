"""joblib on a cluster: `import dispycos.joblib` makes the backend "dispycos" known to joblib.

    with joblib.parallel_config(backend="dispycos", client=client):
        ...                     # Parallel, and all that uses it, runs on the servers of the client

Without `client=` the backend has a Client of its own: on the LocalCluster that is open, or on one
that it starts, which ends with it. It keeps to what `ParallelBackendBase` says to its subclasses.

Threads: joblib calls a backend from the thread that calls Parallel, and from the thread in which the
backend says that a batch has ended. That is one of ours, and not the kernel's: joblib takes the next
calls from the program's own iterator there, which may do anything.

I/O half. Layer 7.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, Never

from dispycos.arguments import integer
from dispycos.client.batch import Run
from dispycos.client.client import Client
from dispycos.client.future import Future
from dispycos.client.submitter import Submitter
from dispycos.client.surroundings import Surroundings
from dispycos.clusters.local import LocalCluster
from dispycos.guidance import habits, hints
from dispycos.kernel.operation import kernel_threads
from dispycos.kernel.target import name_of
from dispycos.runtime import runtime

try:
    from joblib.parallel import (
        ParallelBackendBase,
        SequentialBackend,
        get_active_backend,
        register_parallel_backend,
    )
except ImportError as error:
    raise ImportError(f"dispycos.joblib needs joblib ({error}): pip install 'dispycos[joblib]'") from error

BATCH = 0.1  # seconds that a batch should take: long beside its way to a server, short beside the end of all
LATEST = 0.3  # of the mean seconds of a call: how much the latest batch counts
TURN_WITHIN = 10.0  # seconds until a client of our own has its turn; in a LocalCluster at once, or never
SERVERS_WITHIN = 30.0  # seconds until a first server is there
SETTLED = 0.2  # seconds without a new server: those of one node come one after the other
ENDS_WITHIN = 20.0  # seconds that the end of our own cluster may take

# What Parallel always passes on, for backends that share memory by files: arrays travel as buffers here.
_OF_OTHERS = frozenset({"max_nbytes", "temp_folder", "mmap_mode", "prefer", "require", "verbose", "context"})


class DispycosBackend(ParallelBackendBase):  # type: ignore[misc]  # joblib has no types
    """The backend "dispycos" of `joblib.parallel_config` and `joblib.Parallel`.

    client   a scheduled Client, or `client.options(...)` of one; None: one of its own.
    retries  further attempts for a batch whose server is lost; without, that is TaskLost (R-41).

    `n_jobs=-1` stands for all servers; a positive number is the most batches that run at a time.
    RuntimeError: there is no server, or no turn at the cluster.
    """

    supports_retrieve_callback = True
    default_n_jobs = -1

    def __init__(
        self,
        nesting_level: int | None = None,
        inner_max_num_threads: int | None = None,
        *,
        client: Submitter | None = None,
        retries: int = 0,
        **unknown: Never,
    ) -> None:
        hints.refuse(type(self), unknown, habits.OPTIONS)
        super().__init__(nesting_level=nesting_level, inner_max_num_threads=inner_max_num_threads)
        self._set(client, retries)
        self._own: _Own | None = None  # what we started, and end
        self._lock = threading.RLock()
        self._courier: concurrent.futures.ThreadPoolExecutor | None = None  # tells joblib of what has ended
        self._most = 0  # batches that may be out at a time; 0: any number
        self._out: set[Any] = set()  # futures of batches that have not ended
        self._waiting: deque[tuple[Any, Callable[[Any], object]]] = deque()  # for one of those to end
        self._runs: dict[str, Run] = {}  # of each function: what is sent once need not be pickled again
        self._mean = 0.0  # seconds of a call
        self._size = 1  # calls of a batch

    def _set(self, client: Submitter | None, retries: int) -> None:
        if client is not None and not isinstance(client, Submitter):
            raise TypeError(f"client must be a Client, or the options() of one, not {client!r:.200}")
        self._given = client
        self._retries = integer("retries", retries, least=0)

    # Who runs it.

    def configure(self, n_jobs: int = 1, parallel: Any = None, **options: Any) -> int:
        """Begin a call of Parallel; how many batches it should have out at a time.

        options  `client` and `retries`, as Parallel was given them.
        """
        known = _OF_OTHERS | {"client", "retries"}
        unknown = {name: value for name, value in options.items() if name not in known}
        hints.refuse(type(self), unknown, habits.OPTIONS)
        if "client" in options or "retries" in options:
            self._set(options.get("client", self._given), options.get("retries", self._retries))
        return self.effective_n_jobs(n_jobs)

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """How many batches run at a time: 1 says that all runs here, one call after the other."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning: -1 stands for all servers")
        if n_jobs is None or n_jobs == 1 or _at_a_server():
            return 1  # a server has no others to give work to, and its processor is taken
        if threading.get_ident() in kernel_threads:
            raise RuntimeError(
                "joblib.Parallel in a task would block all tasks: "
                "`yield AsyncThreadPool(1).async_task(function)` has it called in a thread"
            )
        servers = self._servers(n_jobs)
        self._most = n_jobs if n_jobs > 0 else max(servers + 1 + n_jobs, 1) if n_jobs < -1 else 0
        # At least 2, for joblib itself runs what has 1, and the program wants it on a server.
        return max(min(self._most or servers, servers), 2)

    def _servers(self, n_jobs: int) -> int:
        """How many there are; waits for the first ones."""
        client, expected = self._submitter(n_jobs)
        work = client._work
        assert work is not None, "it was scheduled"
        began = changed = time.monotonic()
        found = 0
        while True:
            now, before, found = time.monotonic(), found, work.servers
            changed = changed if found == before else now
            if found and (now - changed >= SETTLED or 0 < expected <= found):
                return found
            if not work.open:
                raise RuntimeError(f"joblib has no server: the client is {work.state}")
            if now - began >= SERVERS_WITHIN:
                raise RuntimeError(
                    f"joblib has no server: none came in {SERVERS_WITHIN:g} s; "
                    "does dispycosnode run with the same key?"
                )
            time.sleep(0.005)

    def _submitter(self, n_jobs: int) -> tuple[Submitter, int]:
        """Who submits, and how many servers are to be expected; 0: that is not known."""
        client, expected = self._given, 0
        if client is None:
            with self._lock:
                if self._own is None:
                    self._own = _Own(max(n_jobs, 0))
                    weakref.finalize(
                        self, self._own.close
                    ).atexit = False  # a program ends its clusters itself
                client, expected = self._own.client, self._own.servers
        elif client._work is None or not client._work.open:
            raise RuntimeError(f"joblib can't use the given client: {client._why_refused()}")
        return (client.options(retries=self._retries) if self._retries else client), expected

    def get_nested_backend(self) -> tuple[Any, None]:
        """What a Parallel inside a call uses: nothing beside itself, since each processor has its server."""
        return SequentialBackend(nesting_level=(self.nesting_level or 0) + 1), None

    # Batches.

    def submit(self, func: Any, callback: Callable[[Any], object] | None = None) -> Any:
        """Have a batch run; `callback` is told of its end, in the courier's thread. Its Future.

        What can't be sent is a failure of the Future: joblib calls this where nobody would hear of it.
        """
        tell = callback or _nothing
        with self._lock:
            if self._most and len(self._out) >= self._most:
                self._waiting.append((func, tell))
                return None  # joblib keeps it, and looks only at what `callback` gets
            return self._begin(func, tell)

    def _begin(self, func: Any, tell: Callable[[Any], object]) -> Any:
        future: Any
        try:
            client, _ = self._submitter(0)
            future = client.submit(self._run_of(func), func)
        except Exception as error:
            future = concurrent.futures.Future()
            future.set_exception(error)
        if self._courier is None:
            self._courier = concurrent.futures.ThreadPoolExecutor(1, "dispycos-joblib")
        courier = self._courier
        self._out.add(future)

        def ended(future: Any) -> None:
            try:
                courier.submit(self._ended, future, tell)
            except RuntimeError:
                pass  # the call of Parallel is over, or the program is: nobody asks any more

        future.add_done_callback(ended)
        return future

    def _run_of(self, batch: Any) -> Run:
        items = getattr(batch, "items", None) or [(batch,)]
        name = name_of(items[0][0])
        run = self._runs.get(name)
        if run is None:
            run = self._runs[name] = Run(name)
        return run

    def _ended(self, future: Any, tell: Callable[[Any], object]) -> None:
        try:
            with self._lock:
                self._out.discard(future)
                if self._waiting and len(self._out) < self._most:
                    self._begin(*self._waiting.popleft())
        finally:
            tell(future)  # whatever came of the next one: Parallel waits for this one
            _forget(future)  # Parallel looks at none that failed after the first one

    def retrieve_result_callback(self, out: Any) -> list[Any]:
        """The results of a batch that has ended, or raises what it raised."""
        results: list[Any]
        results, seconds = out.result()
        mean = seconds / max(len(results), 1)
        with self._lock:
            self._mean = mean if not self._mean else (1 - LATEST) * self._mean + LATEST * mean
        return results

    def compute_batch_size(self) -> int:
        """As many calls as take some `BATCH` seconds, as far as is known; at most twice as many as before."""
        with self._lock:
            if self._mean:
                self._size = max(1, min(int(BATCH / self._mean), 2 * self._size))
            return self._size

    # The end.

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """A call has failed: what has not begun never does; what runs is interrupted where it yields.

        On a cluster of our own, which is nobody else's, what never yields is ended with its server.
        """
        with self._lock:
            self._waiting.clear()
            futures, self._out = list(self._out), set()
        for future in futures:
            _forget(future)
            if self._own is not None or not future.running():
                future.cancel()

    def terminate(self) -> None:
        """A call of Parallel is over. What it started ends, but what `parallel_config` keeps for the next."""
        with self._lock:
            courier, self._courier = self._courier, None
            self._waiting.clear()
            futures, self._out = list(self._out), set()
            own = self._own
            kept = get_active_backend()[0] is self
            if not kept:
                self._own = None
        for future in futures:
            _forget(future)
        if courier is not None:
            # Not waited for: it may be in the program's iterator.
            courier.shutdown(wait=False, cancel_futures=True)
        if own is not None and not kept:
            own.close()


class _Own:
    """A client of our own, and the LocalCluster that it needed, if there was none.

    servers  for the cluster, 0: one for each processor.
    """

    def __init__(self, servers: int) -> None:
        self._closed = False
        self._cluster = None if Surroundings.now().private else LocalCluster(servers).start()
        self.servers = 0 if self._cluster is None else self._cluster.cpus
        self.client = Client()
        try:
            if self.client.schedule(timeout=TURN_WITHIN).result() != 0:
                raise RuntimeError(
                    f"joblib had no turn at the cluster in {TURN_WITHIN:g} s; if another client has it, "
                    'name that: parallel_config(backend="dispycos", client=client)'
                )
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End all of it, and wait for that where it is allowed. May be repeated."""
        if self._closed:
            return
        self._closed = True
        # In a thread of its own: the collector may call this in any, under any lock.
        thread = threading.Thread(target=self._close, name="dispycos-joblib-ends")
        thread.start()
        network = runtime.present
        if threading.get_ident() not in kernel_threads and not (network is not None and network.reactor.here):
            thread.join(ENDS_WITHIN)

    def _close(self) -> None:
        try:
            self._end()
        except asyncio.CancelledError:
            pass  # the program has ended meanwhile, and its network with all of this

    def _end(self) -> None:
        if self._cluster is not None:
            self._cluster.kill()  # what still runs was given up, and may sleep for an hour
        try:
            self.client.close(terminate=True).result(ENDS_WITHIN)
        finally:
            if self._cluster is not None:
                self._cluster.close()


def _at_a_server() -> bool:
    network = runtime.present
    return network is not None and not network.endpoint.keyring.holds_cluster_key


def _forget(future: Any) -> None:
    if isinstance(future, Future):  # and not what could not be sent
        future.forget()


def _nothing(future: Any) -> None:
    pass


register_parallel_backend("dispycos", DispycosBackend)
