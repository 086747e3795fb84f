"""`client.executor()`: the executor of worker pools, on the servers of a client."""

from __future__ import annotations

import threading
import time
from concurrent import futures
from pathlib import Path

import pytest

from dispycos import Client, LocalCluster
from tests.helpers import run_python, wait_until
from tests.process.workers.test_executor import touch, waits_for

pytestmark = pytest.mark.row("CW-07")


def begins_and_waits(folder: str, number: int) -> int:
    """Say that this call runs, and return once the gate is open."""
    touch(f"{folder}/began-{number}")
    waits_for(f"{folder}/open")
    return number


@pytest.mark.usefixtures("program")
def test_a_local_cluster_gives_an_executor_as_the_library_has_them(tmp_path: Path) -> None:
    with LocalCluster(2).executor() as executor:
        assert isinstance(executor, futures.Executor)
        assert executor.submit(pow, 2, 8).result(20) == 256
        assert list(executor.map(pow, range(20), range(20), chunksize=3)) == list(
            map(pow, range(20), range(20))
        )
        with pytest.raises(ZeroDivisionError):
            executor.submit(divmod, 1, 0).result(20)
        with pytest.raises(ZeroDivisionError):
            list(executor.map(divmod, [1, 1], [1, 0]))
        executor.map(touch, [str(tmp_path / f"dropped-{n}") for n in range(40)])
        done = futures.as_completed([executor.submit(abs, -n) for n in range(9)], timeout=20)
        assert sorted(future.result() for future in done) == list(range(9))
        gate = [executor.submit(begins_and_waits, str(tmp_path), n) for n in range(40)]
        try:
            # `running()` says that a server has it: only what the calls say themselves tells that
            # both servers are busy.
            wait_until(lambda: len(list(tmp_path.glob("began-*"))) == 2, 20)
            assert gate[-1].cancel()
            with pytest.raises(TimeoutError):
                next(executor.map(abs, [1], timeout=0.05))
        finally:
            threading.Timer(0.1, (tmp_path / "open").touch).start()
        executor.shutdown(cancel_futures=True)
        assert all(future.done() for future in gate)
        assert 0 < sum(future.cancelled() for future in gate) < 40
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(abs, 1)
    assert len(list(tmp_path.glob("dropped-*"))) == 40


@pytest.mark.usefixtures("program")
def test_an_executor_of_a_client_leaves_it_open_and_ends_with_it() -> None:
    with LocalCluster(1):
        client = Client()
        with pytest.raises(RuntimeError, match="not scheduled"):
            client.executor()
        assert client.schedule().result(20) == 0
        with client.options(retries=2).executor() as executor:
            assert executor.submit(abs, -1).result(20) == 1
        executor = client.executor()
        late = executor.submit(time.sleep, 0.05)
        executor.shutdown(wait=False)
        assert late.result(20) is None
        assert client.submit(abs, -2).result(20) == 2
        executor = client.executor()
        assert client.close().result(20) == 0
        with pytest.raises(RuntimeError, match="the client is closed"):
            executor.submit(abs, 1)
        executor.shutdown()


PROGRAM = """
import sys, time
from dispycos import LocalCluster

def slow(path):
    time.sleep(0.1)
    open(path, "w").close()

executor = LocalCluster(2).executor()
for number in range(6):
    executor.submit(slow, f"{sys.argv[1]}/{number}")
"""


def test_a_program_that_ends_has_its_calls_done(tmp_path: Path) -> None:
    code, _, err = run_python(PROGRAM, str(tmp_path))
    assert (code, err) == (0, "")
    assert len(list(tmp_path.iterdir())) == 6
