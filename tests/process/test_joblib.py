"""joblib's Parallel on the servers of a client, and of a cluster that it starts itself."""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import os
import resource
import signal
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy
import pytest
from joblib import Parallel, delayed, parallel_config

import dispycos.joblib
from dispycos import AsyncThreadPool, Client, LocalCluster, NotSerializable, RemoteError, TaskLost
from tests.helpers import run_python, unavailable, wait_until
from tests.process.clusters import LIMIT, opened, run

MIB = 2**20


def where(n: int) -> tuple[int, int]:
    return n, os.getpid()


def nested(n: int) -> tuple[list[int], list[tuple[int, int]]]:
    """What Parallel gives inside a call, without and with the name of the backend."""
    return (
        Parallel(n_jobs=4)(delayed(pow)(n, k) for k in range(3)),
        Parallel(n_jobs=4, backend="dispycos")(delayed(where)(k) for k in range(2)),
    )


def span(seconds: float) -> tuple[float, float]:
    began = time.monotonic()
    time.sleep(seconds)
    return began, time.monotonic()


def fails_at(n: int, folder: str) -> int:
    Path(folder, str(n)).touch()
    if n == 5:
        raise ValueError(n)
    time.sleep(0.01)
    return n


def dies_once(path: str) -> str:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return "alive"
    os.kill(os.getpid(), signal.SIGKILL)
    return "never"


@contextlib.contextmanager
def backend(**options: Any) -> Iterator[None]:
    with parallel_config(backend="dispycos", **options):
        yield


def test_calls_run_on_all_servers_in_batches_of_their_length(cluster: LocalCluster) -> None:
    with opened() as client, backend(client=client):
        assert joblib.effective_n_jobs(-1) == 2
        found = Parallel()(delayed(where)(n) for n in range(300))
        assert [n for n, _ in found] == list(range(300))
        processes = {process for _, process in found}
        assert os.getpid() not in processes
        assert len(processes) == 2
        # Each processor has its server: a Parallel inside a call stays there.
        for n, (values, inner) in enumerate(Parallel(n_jobs=-1)(delayed(nested)(n) for n in range(4))):
            assert values == [1, n, n * n]
            assert {process for _, process in inner} < processes
        many = Parallel(n_jobs=-1)
        assert many(delayed(abs)(-n) for n in range(20_000)) == list(range(20_000))
        assert many.n_dispatched_batches < 2_000
        for way in ("generator", "generator_unordered"):
            assert sorted(Parallel(n_jobs=-1, return_as=way)(delayed(abs)(n) for n in range(9))) == list(
                range(9)
            )
        with Parallel(n_jobs=-1, batch_size=3) as again:
            for _ in range(2):
                assert again(delayed(abs)(n) for n in range(30)) == list(range(30))
            assert 10 <= again.n_dispatched_batches <= 15  # joblib makes the last ones smaller
        assert Parallel(n_jobs=1)([delayed(os.getpid)()]) == [os.getpid()]
        assert client.submit(abs, -1).result(LIMIT) == 1


@pytest.mark.long("three servers, and joblib imported in each")
def test_a_number_of_jobs_is_the_most_that_run_at_a_time(program: None) -> None:
    with LocalCluster(3), opened() as client:
        wait_until(lambda: client.work is not None and client.work.servers == 3, LIMIT)
        for n_jobs, most in ((2, 2), (-2, 2)):
            spans = Parallel(n_jobs=n_jobs, backend="dispycos", client=client, batch_size=1)(
                delayed(span)(0.02) for _ in range(9)
            )
            together = max(sum(a <= at < b for a, b in spans) for at, _ in spans)
            assert together <= most


def test_the_first_failure_ends_the_rest(
    cluster: LocalCluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with opened() as client, backend(client=client, n_jobs=-1):
        with pytest.raises(ValueError, match="5") as failed:
            Parallel(batch_size=1)(delayed(fails_at)(n, str(tmp_path)) for n in range(1000))
        assert "fails_at" in str(failed.value.__cause__)  # the traceback from there
        # The others that fail are nobody's any more, and no news.
        with pytest.raises(RemoteError, match="raised SystemExit: 3"):
            Parallel(batch_size=1)(delayed(sys.exit)(3) for _ in range(50))
        with pytest.raises(Exception) as late:
            Parallel(timeout=0.05)(delayed(time.sleep)(0.5) for _ in range(50))
        assert type(late.value).__name__ == "TimeoutError"

        # The iterator runs in another thread after the first calls; its failures come out here.
        lock = threading.Lock()
        for at in (0, 150):
            with pytest.raises(NotSerializable, match=r"cannot pickle '_thread\.lock' object"):
                Parallel()(delayed(repr)(lock if n == at else n) for n in range(300))
            with pytest.raises(NotSerializable, match=r"cannot pickle '_thread\.lock' object"):
                Parallel()(delayed(lock.acquire if n == at else abs)(n) for n in range(300))
            with pytest.raises(ZeroDivisionError):
                Parallel()(delayed(abs)(1 // (at - n)) for n in range(300))
        assert Parallel()(delayed(abs)(n) for n in range(9)) == list(range(9))
        assert client.work is not None
        assert client.work.load() == (0, 0)
    gc.collect()
    assert "nobody asked" not in caplog.text
    assert len(list(tmp_path.iterdir())) < 100


def test_a_batch_whose_server_dies_is_an_error_or_is_repeated(program: None, tmp_path: Path) -> None:
    with LocalCluster(1), opened() as client:
        with backend(client=client), pytest.raises(TaskLost, match="was lost while it ran dies_once#"):
            Parallel()(delayed(dies_once)(str(tmp_path / name)) for name in ("one", "one"))
        with backend(client=client, retries=2):
            assert Parallel()([delayed(dies_once)(str(tmp_path / "three"))]) == ["alive"]


def test_without_a_client_it_has_its_own_and_ends_it(program: None) -> None:
    with backend(n_jobs=2):
        for _ in range(2):
            first = {process for _, process in Parallel()(delayed(where)(n) for n in range(40))}
            assert len(first | {os.getpid()}) > 1
        with pytest.raises(ZeroDivisionError):
            Parallel()(delayed(divmod)(n, n) for n in range(40))
        assert Parallel()(delayed(abs)(n) for n in range(9)) == list(range(9))
    wait_until(lambda: dispycos.joblib.runtime.present is None)


@pytest.mark.long("a cluster for each call of Parallel: what test_ctrl_c does once")
def test_each_call_without_a_client_has_its_own(program: None) -> None:
    parallel = Parallel(n_jobs=2, backend="dispycos")
    for _ in range(3):
        assert parallel(delayed(abs)(n) for n in range(9)) == list(range(9))
        assert dispycos.joblib.runtime.present is None  # it ended with the call
    with parallel:
        for _ in range(3):
            assert parallel(delayed(abs)(n) for n in range(9)) == list(range(9))
    assert dispycos.joblib.runtime.present is None


@pytest.fixture
def small(program: None) -> Iterator[LocalCluster]:
    with LocalCluster(1) as cluster:
        yield cluster


def test_what_cannot_work_says_what_to_do(small: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = [delayed(abs)(1), delayed(abs)(2)]
    with pytest.raises(RuntimeError, match="the given client: the client is not scheduled"):
        Parallel(n_jobs=2, backend="dispycos", client=Client())(calls)
    for client in (3, small):
        with pytest.raises(TypeError, match="client must be a Client"):
            parallel_config(backend="dispycos", client=client)
    for call in (lambda: parallel_config(backend="dispycos", clint=3),
                 lambda: Parallel(n_jobs=2, backend="dispycos", clint=3)(calls)):  # fmt: skip
        with pytest.raises(TypeError, match=r"DispycosBackend\(\) takes no clint=; did you mean client="):
            call()
    # Of several the one that is written first, in every run.
    for first, second in (("clint", "retires"), ("retires", "clint")):
        with pytest.raises(TypeError, match=f"takes no {first}="):
            Parallel(n_jobs=2, backend="dispycos", **{first: 3, second: 3})(calls)
    with pytest.raises(ValueError, match="retries"):
        parallel_config(backend="dispycos", retries=-1)
    with opened() as client:
        with pytest.raises(ValueError, match=r"n_jobs == 0 .* -1 stands for all servers"):
            Parallel(n_jobs=0, backend="dispycos", client=client)(calls)
        monkeypatch.setattr(dispycos.joblib, "TURN_WITHIN", 0.1)
        with pytest.raises(RuntimeError, match=r"no turn at the cluster in 0\.1 s.*client=client"):
            Parallel(n_jobs=2, backend="dispycos")(calls)

        def main(task: Any = None) -> Any:
            with pytest.raises(RuntimeError, match="AsyncThreadPool"):
                Parallel(n_jobs=2, backend="dispycos", client=client)(calls)
            pool = AsyncThreadPool(1)
            parallel = Parallel(n_jobs=2, backend="dispycos", client=client)
            try:
                return (yield pool.async_task(parallel, calls))
            finally:
                pool.terminate()

        assert run(main) == [1, 2]
    # One of its own, on the cluster that is open: its turn is over with the call.
    monkeypatch.setattr(dispycos.joblib, "TURN_WITHIN", LIMIT)
    for _ in range(2):
        assert Parallel(n_jobs=-1, backend="dispycos")(calls) == [1, 2]
    with opened(nodes=["192.0.2.1"]) as client:
        monkeypatch.setattr(dispycos.joblib, "SERVERS_WITHIN", 0.1)
        with pytest.raises(RuntimeError, match=r"none came in 0\.1 s; does dispycosnode run"):
            Parallel(n_jobs=2, backend="dispycos", client=client)(calls)


def test_it_says_that_joblib_is_missing() -> None:
    code, _, err = run_python("import sys\nsys.modules['joblib.parallel'] = None\nimport dispycos.joblib")
    assert code == 1
    assert "pip install 'dispycos[joblib]'" in err.splitlines()[-1]


INTERRUPTED = """
import os, signal, threading, time
from joblib import Parallel, delayed
import dispycos.joblib

def calls():
    yield delayed(abs)(1)
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
    while True:
        yield delayed(time.sleep)(30)

Parallel(n_jobs=2, backend="dispycos")(calls())
"""


def test_ctrl_c_ends_what_runs_and_the_cluster() -> None:
    code, _, err = run_python(INTERRUPTED, timeout=20)
    assert code in (1, 130, -2), err
    assert err.splitlines()[-1].startswith("KeyboardInterrupt")


# Arrays: no more memory than they have, on both sides.


def begin() -> None:
    tracemalloc.start()


def looks(array: Any) -> tuple[bool, bool, int]:
    return array.flags.writeable, array.flags.owndata, int(array[-1])


def gives(size: int, writeable: bool) -> Any:
    array = numpy.ones(size, dtype=numpy.uint8)
    array.flags.writeable = writeable
    return array


def peak() -> int:
    """The most bytes since the last time, above those at that time; what is received is no part of it."""
    held, most = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    return most - held


def resident() -> int:
    """The most bytes that this process ever had, all that was received included."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.fixture
def tracing() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


class Used:
    """The most bytes that this process had above those of its beginning."""

    def __init__(self) -> None:
        self._before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()

    def most(self) -> int:
        return tracemalloc.get_traced_memory()[1] - self._before


def test_arrays_travel_without_a_copy(program: None, tracing: None) -> None:
    size = 32 * MIB
    with LocalCluster(1), opened() as client:
        client.submit(looks, numpy.zeros(9)).result(LIMIT)
        before = client.submit(resident).result(LIMIT)
        array = numpy.full(size, 7, dtype=numpy.uint8)
        array.flags.writeable = False
        used = Used()
        # Read-only: what is sent is the array itself, and it arrives once.
        future = client.submit(looks, array)
        assert future.result(LIMIT) == (False, False, 7)
        assert used.most() < MIB
        after = client.submit(resident).result(LIMIT)
        # The most that was ever there before may be a little above what was there when it came.
        assert 0.9 * size <= after - before < 1.5 * size
        # Writable: one copy, made when it is submitted, so that a later change is not sent.
        array = numpy.full(size, 7, dtype=numpy.uint8)
        used = Used()
        future = client.submit(looks, array)
        array[-1] = 8
        assert future.result(LIMIT) == (True, False, 7)
        assert size <= used.most() < size + MIB
        del future

        # Results likewise: what comes is writable if it was so there.
        client.submit(begin).result(LIMIT)
        client.submit(peak).result(LIMIT)
        for writeable in (False, True):
            used = Used()
            result = client.submit(gives, size, writeable).result(LIMIT)
            assert looks(result) == (writeable, False, 1)
            assert used.most() < size + MIB  # itself, where it was received
            del result
            assert client.submit(peak).result(LIMIT) < (2 + writeable) * size
        # And by joblib.
        array.flags.writeable = False
        with backend(client=client):
            used = Used()
            found = Parallel(batch_size=1)(delayed(looks)(array) for _ in range(3))
            assert found == [(False, False, 8)] * 3
            assert used.most() < MIB


GRID = """
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GridSearchCV
from joblib import parallel_config
import dispycos.joblib

def search():
    return GridSearchCV(
        RandomForestClassifier(random_state=1, n_jobs=2),
        {"n_estimators": [5, 20], "max_depth": [1, 3]},
        n_jobs=-1,
        cv=3,
    ).fit(*load_iris(return_X_y=True))

with parallel_config(backend="dispycos"):
    there = search()
with parallel_config(n_jobs=1):
    here = search()
print(there.best_params_ == here.best_params_, there.best_score_ == here.best_score_)
print((there.cv_results_["mean_test_score"] == here.cv_results_["mean_test_score"]).all())
"""


@pytest.mark.long("scikit-learn takes seconds to import, in each server")
def test_a_grid_search_of_scikit_learn_finds_the_same() -> None:
    if importlib.util.find_spec("sklearn") is None:
        unavailable("sklearn", "scikit-learn is not installed")
    code, out, err = run_python(GRID, timeout=100)
    assert code == 0, err
    assert out.split() == ["True", "True", "True"]


def test_what_waits_when_the_client_is_gone_fails_instead_of_being_waited_for_for_ever() -> None:
    ours = dispycos.joblib.DispycosBackend(client=Client())  # as one that was closed: it has no work any more
    ours._most = 1
    told: list[Any] = []
    with ours._lock:  # so that the second one waits for the first
        for n in range(2):
            ours.submit(delayed(where)(n)[0], told.append)
    wait_until(lambda: len(told) == 2)
    for future in told:
        with pytest.raises(RuntimeError, match="joblib can't use the given client"):
            ours.retrieve_result_callback(future)
    ours.terminate()
