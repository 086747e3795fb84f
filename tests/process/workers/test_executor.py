"""ClusterExecutor keeps what `concurrent.futures` says of executors."""

from __future__ import annotations

import asyncio
import os
import threading
import time
import traceback
import weakref
from collections.abc import Iterator
from concurrent import futures
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION, CancelledError
from pathlib import Path
from typing import Any

import pytest

from dispycos.errors import NotSerializable, RemoteError
from dispycos.workers import ClusterExecutor
from tests.helpers import run_python, wait_until
from tests.process.workers.conftest import Master

pytestmark = [pytest.mark.usefixtures("program"), pytest.mark.row("CW-07")]


@pytest.fixture
def executor(pool: Master, program: None) -> Iterator[ClusterExecutor]:
    with ClusterExecutor(port=pool.port) as executor:
        yield executor


def waits_for(path: str, value: Any = None) -> Any:
    """Return once that file is there."""
    while not os.path.exists(path):
        time.sleep(0.002)
    return value


def capture(*args: Any, **kwargs: Any) -> Any:
    return args, kwargs


def raises(error: Exception) -> None:
    raise error


class Gate:
    """Jobs that stop here until it is opened."""

    def __init__(self, executor: ClusterExecutor, path: Path, jobs: int) -> None:
        self.path = path / "open"
        self.futures = [executor.submit(waits_for, str(self.path), n) for n in range(jobs)]

    def open(self) -> None:
        self.path.touch()


@pytest.fixture
def full(executor: ClusterExecutor, tmp_path: Path) -> Iterator[Gate]:
    """Both workers have all the jobs that they take, and more wait."""
    gate = Gate(executor, tmp_path, 20)
    try:
        wait_until(lambda: sum(future.running() for future in gate.futures) >= 4, 20)
        yield gate
    finally:
        gate.open()


def test_a_call_has_its_arguments_and_its_result(executor: ClusterExecutor) -> None:
    assert executor.submit(pow, 2, 8).result(20) == 256
    # Names that a careless signature would take for its own.
    assert executor.submit(capture, 1, self=2, fn=3).result(20) == ((1,), {"self": 2, "fn": 3})
    big = b"x" * 3_000_000
    assert executor.submit(capture, big).result(20) == ((big,), {})
    data = executor.submit(bytearray, big).result(20)
    assert data == big
    data[:1] = b"y"  # it is ours to write into
    with pytest.raises(TypeError, match="fn must be a function"):
        executor.submit(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        executor.submit()  # type: ignore[call-arg]


def test_what_a_call_raises_is_raised_here_with_its_traceback(executor: ClusterExecutor) -> None:
    future = executor.submit(raises, KeyError("no", 3))
    error = future.exception(20)
    assert isinstance(error, KeyError)
    assert error.args == ("no", 3)
    text = "".join(traceback.format_exception(error))
    assert "raise error" in text
    assert "workers/job.py" not in text
    with pytest.raises(KeyError):
        future.result()
    with pytest.raises(ZeroDivisionError):
        executor.submit(divmod, 1, 0).result(20)


def test_what_would_end_the_caller_is_told_instead(executor: ClusterExecutor) -> None:
    for error in (SystemExit("enough"), KeyboardInterrupt(), asyncio.CancelledError()):
        with pytest.raises(RemoteError, match=f"^raises raised {type(error).__name__}") as caught:
            executor.submit(raises, error).result(20)
        assert isinstance(caught.value.__cause__, type(error))  # with its traceback
        assert "raise error" in str(caught.value.__cause__.__cause__)
    assert executor.submit(abs, -1).result(20) == 1


def test_what_cannot_be_pickled_raises_in_submit(executor: ClusterExecutor) -> None:
    with pytest.raises(NotSerializable, match="lock"):
        executor.submit(capture, [threading.Lock()])
    lock = threading.Lock()
    with pytest.raises(NotSerializable, match="lock"):
        executor.submit(lambda: lock)
    # What comes back is said by the future.
    with pytest.raises(NotSerializable, match="the result of <lambda>"):
        executor.submit(lambda: threading.Lock()).result(20)


def test_results_are_not_kept_by_the_executor(executor: ClusterExecutor) -> None:
    class Thing:
        pass

    reference = weakref.ref(executor.submit(Thing).result(20))
    wait_until(lambda: reference() is None)
    fds = [executor.submit(capture, number) for number in range(3)]
    for future in futures.as_completed(fds):
        fds.remove(future)
        reference2 = weakref.ref(future)
        del future
        wait_until(lambda ref=reference2: ref() is None)  # type: ignore[misc]


def test_map_gives_results_in_order_and_raises_in_their_place(executor: ClusterExecutor) -> None:
    assert list(executor.map(pow, range(30), range(30))) == list(map(pow, range(30), range(30)))
    assert list(executor.map(pow, range(30), range(99), chunksize=7)) == list(map(pow, range(30), range(30)))
    assert list(executor.map(pow, [], [])) == []
    results = executor.map(divmod, [1, 1, 1, 1], [2, 3, 0, 5])
    assert next(results) == (0, 1)
    assert next(results) == (0, 1)
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert list(results) == []
    with pytest.raises(ValueError, match="chunksize must be at least 1"):
        executor.map(abs, [], chunksize=0)
    # What the input raises comes in its place, too.
    results = executor.map(abs, (1 // n for n in (1, 0)))
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_map_keeps_its_time_out(executor: ClusterExecutor, full: Gate) -> None:
    results = executor.map(capture, range(3), timeout=0.05)
    with pytest.raises(TimeoutError, match=r"timeout=0\.05 s"):
        next(results)
    full.open()
    assert list(executor.map(capture, [1], timeout=20)) == [((1,), {})]


def test_map_reads_its_input_only_as_far_ahead_as_there_is_work(executor: ClusterExecutor) -> None:
    read: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(100_000):
            read.append(number)
            yield number

    results = executor.map(abs, numbers())
    first = len(read)
    assert first < 1000
    for number in range(500):
        assert next(results) == number
        assert len(read) < number + 1000
    del results  # it was begun: the rest is not wanted
    assert len(read) < 2000


def touch(path: str) -> None:
    with open(path, "a", encoding="ascii") as file:
        file.write("x")


def test_a_map_that_nobody_looks_at_runs_whole(pool: Master, program: None, tmp_path: Path) -> None:
    with ClusterExecutor(port=pool.port) as executor:
        executor.map(touch, [str(tmp_path / f"dropped-{n}") for n in range(60)])
        kept = executor.map(touch, [str(tmp_path / f"kept-{n}") for n in range(60)])
    assert len(list(tmp_path.iterdir())) == 120
    assert list(kept) == [None] * 60
    assert len(list(tmp_path.iterdir())) == 120


def test_queued_calls_can_be_cancelled_and_running_ones_not(
    executor: ClusterExecutor, full: Gate, tmp_path: Path
) -> None:
    running = [future for future in full.futures if future.running()]
    queued = [future for future in full.futures if not future.running()]
    assert running
    assert not any(future.cancel() for future in running)
    told: list[Any] = []
    queued[-1].add_done_callback(told.append)
    assert queued[-1].cancel()
    assert told == [queued[-1]]
    with pytest.raises(CancelledError):
        queued[-1].result(0)
    never = executor.submit(touch, str(tmp_path / "never"))
    last = executor.submit(touch, str(tmp_path / "last"))
    assert never.cancel()
    full.open()
    assert [future.result(20) for future in full.futures[:-1]] == list(range(19))
    last.result(20)
    assert not (tmp_path / "never").exists()


def test_the_waits_of_the_library_take_its_futures(executor: ClusterExecutor, full: Gate) -> None:
    quick = executor.submit(abs, -1)
    done, not_done = futures.wait([*full.futures, quick], timeout=0)
    assert not done
    assert len(not_done) == 21
    with pytest.raises(TimeoutError):
        list(futures.as_completed(full.futures, timeout=0))
    with pytest.raises(TimeoutError):
        full.futures[0].result(timeout=0.01)
    full.open()
    failing = executor.submit(divmod, 1, 0)
    assert futures.wait([*full.futures, quick], return_when=FIRST_COMPLETED, timeout=20).done
    assert failing in futures.wait([failing, quick], return_when=FIRST_EXCEPTION, timeout=20).done
    assert len(futures.wait(full.futures, return_when=ALL_COMPLETED, timeout=20).done) == 20
    assert {future.result() for future in futures.as_completed(full.futures)} == set(range(20))


def test_callbacks_are_called_in_order_and_may_fail_or_submit(
    executor: ClusterExecutor, full: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    called: list[Any] = []
    more: list[Any] = []

    def fails(future: Any) -> None:
        raise RuntimeError("a callback of the test")

    future = full.futures[0]
    future.add_done_callback(lambda future: called.append(1))
    future.add_done_callback(fails)
    future.add_done_callback(lambda future: called.append(2))
    future.add_done_callback(lambda future: more.append(executor.submit(abs, -5)))
    full.open()
    wait_until(lambda: more)
    assert called == [1, 2]
    assert more[0].result(20) == 5
    future.add_done_callback(lambda future: called.append(3))
    assert called == [1, 2, 3]
    assert "a callback of the test" in caplog.text


def test_shutdown_waits_and_then_nothing_is_taken(pool: Master, program: None, tmp_path: Path) -> None:
    executor = ClusterExecutor(port=pool.port)
    gate = Gate(executor, tmp_path, 8)
    executor.shutdown(wait=False)
    for refused in (lambda: executor.submit(abs, 1), lambda: executor.map(abs, [1])):
        with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
            refused()
    assert not gate.futures[0].done()
    gate.open()
    executor.shutdown()
    assert [future.result(0) for future in gate.futures] == list(range(8))
    executor.shutdown()


def test_shutdown_may_cancel_what_has_not_begun(pool: Master, program: None, tmp_path: Path) -> None:
    executor = ClusterExecutor(port=pool.port)
    gate = Gate(executor, tmp_path, 50)
    mapped = executor.map(abs, range(1000))
    wait_until(lambda: gate.futures[0].running())
    # Those that run may go on when the others are cancelled, and not before.
    gate.futures[-1].add_done_callback(lambda _: gate.open())
    executor.shutdown(cancel_futures=True)
    assert all(future.done() for future in gate.futures)
    cancelled = [future for future in gate.futures if future.cancelled()]
    assert 20 < len(cancelled) < 50
    with pytest.raises(CancelledError):
        list(mapped)


def test_many_threads_may_submit(executor: ClusterExecutor) -> None:
    found: list[int] = []

    def submits(start: int) -> None:
        own = [executor.submit(abs, -number) for number in range(start, start + 50)]
        found.extend(future.result(30) for future in own)

    threads = [threading.Thread(target=submits, args=(n * 50,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(300))


def test_two_executors_of_one_program_end_apart(pool: Master, program: None) -> None:
    with ClusterExecutor(port=pool.port) as one:
        with ClusterExecutor(f"127.0.0.1:{pool.port}") as other:
            assert other.submit(abs, -1).result(20) == 1
        assert one.submit(abs, -2).result(20) == 2


PROGRAM = """
import os, sys, time
from dispycos.workers import ClusterExecutor

def slow(path):
    time.sleep(0.2)
    open(path, "w").close()

executor = ClusterExecutor(port=int(sys.argv[1]))
for number in range(8):
    executor.submit(slow, os.path.join(sys.argv[2], str(number)))
"""


def test_a_program_that_ends_has_its_jobs_done(pool: Master, tmp_path: Path) -> None:
    code, out, err = run_python(PROGRAM, str(pool.port), str(tmp_path))
    assert (code, out, err) == (0, "", "")
    assert len(list(tmp_path.iterdir())) == 8


def test_ctrl_c_in_a_block_waits_for_nothing(pool: Master, program: None, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), ClusterExecutor(port=pool.port) as executor:
        gate = Gate(executor, tmp_path, 30)
        wait_until(gate.futures[0].running, 20)
        raise KeyboardInterrupt
    assert any(not future.done() for future in gate.futures)
    assert gate.futures[-1].cancelled()
    gate.open()
    futures.wait(gate.futures, 20)
