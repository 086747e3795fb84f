"""client.map, and waiting for several Futures: as_completed, wait, gather."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dispycos import (
    Client,
    NotSerializable,
    TaskCancelled,
    TaskLost,
    TaskRejected,
    as_completed,
    gather,
    wait,
)
from dispycos.kernel.operation import Operation
from tests.helpers import Finished, run_python, wait_until
from tests.process.clusters import LIMIT, opened, scheduled, waits


def square(n: int) -> int:
    return n * n


def add(one: int, other: int) -> int:
    return one + other


def adds_one(n: int, task: Any = None) -> Any:
    yield task.sleep(0.001)
    return n + 1


async def adds_two(n: int) -> int:
    return n + 2


def fails_at(place: int, n: int) -> int:
    if n == place:
        raise LookupError(f"item {n}")
    return n


def touch(path: str) -> str:
    Path(path).touch()
    return path


def until(path: str) -> str:
    while not os.path.exists(path):
        time.sleep(0.005)
    return path


def touch_and_block(begun: str, until: str) -> None:
    Path(begun).touch()
    while not os.path.exists(until):
        time.sleep(0.005)


def kills(n: int) -> int:
    if n == 20:
        os.kill(os.getpid(), signal.SIGKILL)
    return n


def late(n: int) -> int:
    time.sleep(0.2 if n == 0 else 0)
    return n


# Results.


@pytest.mark.row("DC-64")
def test_results_come_in_the_order_of_the_input(cluster: Any) -> None:
    expected = [n * n for n in range(400)]
    with opened(square) as client:
        for chunksize in (None, 1, 7, 10_000):
            where = f"chunksize={chunksize}"
            assert list(client.map(square, range(400), chunksize=chunksize)) == expected, where
            assert list(client.map(square, iter(range(400)), chunksize=chunksize)) == expected, where
            assert list(client.map(late, range(200), chunksize=chunksize)) == list(range(200)), where


@pytest.mark.row("DC-64")
def test_a_function_of_any_kind_is_mapped_and_inputs_go_side_by_side(cluster: Any) -> None:
    with opened() as client:
        assert list(client.map(adds_one, range(50))) == list(range(1, 51))
        assert list(client.map(adds_two, range(50))) == list(range(2, 52))
        assert list(client.map(str, range(3))) == ["0", "1", "2"]
        assert list(client.map(lambda a, b, c: a + b + c, [1, 2, 3], itertools.count(), "x" and [5, 5])) == [
            6,
            8,
        ]
        assert list(client.map(square, [])) == []
        results = client.map(square, range(3))
        assert "function square" in repr(results) and "results are to come" in results._repr_html_()
        assert results.result() == [0, 1, 4] and "no more are wanted" in repr(results)
        assert list(client.map(add, [], itertools.count())) == []


@pytest.mark.row("DC-64", "DC-60")
def test_a_map_is_iterated_yielded_and_awaited(cluster: Any) -> None:
    expected = [n * n for n in range(100)]

    def body(client: Client, task: Any) -> Any:
        assert (yield client.map(square, range(100))) == expected
        one_by_one = client.map(square, range(100))
        taken = []
        while (value := (yield one_by_one.next("end"))) != "end":
            taken.append(value)
        assert taken == expected
        assert (yield one_by_one.next("end")) == "end"

        async def awaits() -> Any:
            return [n async for n in client.map(square, range(100))], await client.map(square, range(100))

        assert (yield awaits()) == (expected, expected)
        with pytest.raises(RuntimeError, match="would block all tasks"):
            list(client.map(square, range(100)))

    scheduled(body, square)

    with opened(square) as client:
        assert client.map(square, range(100)).result(LIMIT) == expected

        async def main() -> Any:
            return [n async for n in client.map(square, range(100))], await client.map(square, range(100))

        assert asyncio.run(main()) == (expected, expected)


@pytest.mark.row("DC-64")
def test_an_input_without_end_is_read_as_far_as_its_results_are_taken(cluster: Any) -> None:
    read = 0

    def endless() -> Iterator[int]:
        nonlocal read
        while True:
            read += 1
            yield read

    with opened(square) as client:
        results = client.map(square, endless())
        assert [next(results) for _ in range(2000)] == [n * n for n in range(1, 2001)]
        before = read
        # While nobody takes, nothing is read.
        wait_until(lambda: all(chunk.done() for chunk in results._chunks))
        assert read == before
        results.close()
        assert list(results) == []
        assert read == before


MEMORY = """
import itertools, resource
from dispycos import Client, LocalCluster

def payload(n):
    return bytes(5000)

with LocalCluster(2):
    client = Client([payload])
    client.schedule().result(20)
    results = client.map(payload, itertools.count())
    def megabytes(number):
        for _ in range(number):
            next(results)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    first = megabytes(4_000)
    print("grew by", megabytes(16_000) - first)  # 80 MB of results passed through
    results.close()
    client.close(terminate=True).result(20)
"""


@pytest.mark.row("DC-64")
def test_a_map_without_end_needs_no_memory_without_end() -> None:
    done: Finished = run_python(MEMORY, timeout=50)
    assert done.code == 0, done.err
    assert int(done.out.split()[-1]) < 40, done.out


@pytest.mark.row("DC-64")
def test_several_threads_share_the_results_of_a_map(cluster: Any) -> None:
    with opened(square) as client:
        results = client.map(late, range(800))
        taken: list[list[int]] = [[] for _ in range(4)]
        threads = [threading.Thread(target=one.extend, args=(results,)) for one in taken]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT)
            assert not thread.is_alive()
        assert sorted(itertools.chain(*taken)) == list(range(800))
        assert all(one == sorted(one) for one in taken)


# Failures.


@pytest.mark.row("DC-64", "KE-06")
def test_the_first_failure_is_raised_in_its_place_with_its_traceback(cluster: Any) -> None:
    with opened() as client:
        for chunksize in (None, 1, 50):
            results = client.map(lambda n: fails_at(277, n), range(1000), chunksize=chunksize)
            taken = []
            with pytest.raises(LookupError, match="item 277") as caught:
                taken.extend(results)
            where = f"chunksize={chunksize}"
            assert taken == list(range(277)), where
            assert "raise LookupError" in str(caught.value.__cause__), where
            assert list(results) == [], f"{where}: it is over"


@pytest.mark.row("DC-64", "DC-22")
def test_what_cannot_travel_is_a_failure_in_its_place(cluster: Any) -> None:
    with opened() as client:
        taken: list[Any] = []
        with pytest.raises(NotSerializable, match="argument 1 of square"):
            taken.extend(client.map(square, [*range(100), threading.Lock(), 5]))
        assert taken == [n * n for n in range(100)]
        taken = []
        with pytest.raises(NotSerializable, match="result of <lambda>"):
            taken.extend(client.map(lambda n: threading.Lock() if n == 50 else n, range(100)))
        assert taken == list(range(50))
        with pytest.raises(NotSerializable):
            client.map(threading.Lock().acquire, [1])


@pytest.mark.row("DC-64")
def test_an_input_that_fails_does_so_after_the_results_before(cluster: Any) -> None:
    with opened(square) as client:
        taken: list[int] = []
        with pytest.raises(ZeroDivisionError):
            taken.extend(client.map(square, (6 // n for n in (3, 2, 1, 0))))
        assert taken == [4, 9, 36]

        # Of two failures it is the first.
        def broken() -> Iterator[Any]:
            yield from (1, 2, threading.Lock(), 4)
            raise ZeroDivisionError

        taken = []
        with pytest.raises(NotSerializable):
            taken.extend(client.map(square, broken(), chunksize=50))
        assert taken == [1, 4]


@pytest.mark.row("DC-64")
def test_mistakes_are_raised_at_the_call(cluster: Any) -> None:
    with pytest.raises(TaskRejected, match=r"client.schedule\(\).result\(\)` goes first"):
        Client().map(square, [1])
    with opened() as client:
        with pytest.raises(TypeError, match="func must be a function"):
            client.map(None, [1])  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="at least one iterable"):
            client.map(square)
        with pytest.raises(TypeError, match="not iterable"):
            client.map(square, 5)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="chunksize must be at least 1"):
            client.map(square, [1], chunksize=0)
        with pytest.raises(TypeError, match="chunksize must be a whole number"):
            client.map(square, [1], chunksize=1.5)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="timeout must be"):
            client.map(square, [1], timeout=-1)


@pytest.mark.row("DC-64", "R-41")
def test_a_lost_chunk_is_raised_in_its_place_or_tried_again(cluster: Any, tmp_path: Path) -> None:
    mark = tmp_path / "mark"

    def kills_once(n: int) -> int:
        if n == 20:
            try:
                os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                return n
            os.kill(os.getpid(), signal.SIGKILL)
        return n

    with opened() as client:
        taken: list[int] = []
        with pytest.raises(TaskLost, match="while it ran kills#"):
            taken.extend(client.map(kills, range(100), chunksize=1))
        # Results that the server had not sent when it died are lost with it.
        assert taken == list(range(len(taken)))
        assert len(taken) <= 20
        assert list(client.options(retries=1).map(kills_once, range(100))) == list(range(100))


@pytest.mark.row("DC-64")
def test_a_time_limit_is_that_of_the_results_not_of_the_work(cluster: Any, tmp_path: Path) -> None:
    go = tmp_path / "go"
    with opened() as client:
        assert client.submit(square, 2).result(LIMIT) == 4  # a server is there
        results = client.map(until, [os.curdir, str(go)], timeout=0.5, chunksize=1)
        # What is there is given, also if this machine took longer than the limit to bring it.
        wait_until(results._chunks[0].done)
        assert next(results) == os.curdir
        with pytest.raises(TimeoutError, match=r"mapping until did not come within timeout=0\.5 s: until#"):
            next(results)
        go.touch()
        with pytest.raises(StopIteration):
            next(results)
        # The other limit is that of one wait: what comes later is not lost.
        go.unlink()
        results = client.map(until, [os.curdir, str(go)])
        with pytest.raises(TimeoutError):
            results.result(0.1)
        go.touch()
        assert results.result(LIMIT) == [os.curdir, str(go)]


# The end.


@pytest.mark.row("DC-64")
@pytest.mark.parametrize("how", ["close", "with", "break"])
def test_a_map_that_nobody_takes_on_withdraws_what_has_not_begun(
    cluster: Any, tmp_path: Path, how: str
) -> None:
    go = tmp_path / "go"
    with opened() as client:
        wait_until(lambda: len(client.servers().result(LIMIT)) == 2)
        busy = [client.submit(until, str(go)) for _ in range(2)]
        wait_until(lambda: all(one.running() for one in busy))
        paths = [str(tmp_path / f"item {n}") for n in range(1000)]
        results = client.map(touch, paths, chunksize=1)
        futures = list(results._chunks)
        assert futures
        if how == "close":
            results.close()
        elif how == "with":
            with results:
                pass
        else:
            del results
            gc.collect()
        for future in futures:
            assert future.exception(LIMIT) is not None
            assert future.cancelled()
        go.touch()
        gather(busy).result(LIMIT)
    assert not list(tmp_path.glob("item*"))


@pytest.mark.row("DC-64")
@pytest.mark.parametrize("by_ctrl_c", [False, True])
def test_an_item_that_runs_when_the_map_is_closed_ends_by_itself_or_is_interrupted_by_ctrl_c(
    cluster: Any, tmp_path: Path, by_ctrl_c: bool
) -> None:
    begun, go = tmp_path / "begun", tmp_path / "go"
    with opened() as client:
        wait_until(lambda: len(client.servers().result(LIMIT)) == 2)
        before = client.run_everywhere(os.getpid).result(LIMIT)
        results = client.map(touch_and_block, [str(begun)] * 50, [str(go)] * 50, chunksize=50)
        (future,) = results._chunks
        wait_until(begun.exists)
        if by_ctrl_c:
            results._interrupted()  # as who waits for the next result
            wait_until(future.cancelled)
        else:
            results.close()
            assert not future.done()
            go.touch()
            wait_until(future.done)
        # No server was ended for it.
        assert client.run_everywhere(os.getpid).result(LIMIT) == before


@pytest.mark.row("DC-64")
def test_closing_the_client_ends_a_map_with_a_reason(cluster: Any) -> None:
    with opened(square) as client:
        results = client.map(square, itertools.count())
        next(results)
    # What was on its way was ended, and nothing more is taken.
    with pytest.raises((TaskCancelled, TaskRejected), match="clos"):
        for _ in results:
            pass


# Several Futures.


@pytest.mark.row("DC-64")
def test_futures_are_given_as_they_complete(cluster: Any, tmp_path: Path) -> None:
    go = tmp_path / "go"

    def body(client: Client, task: Any) -> Any:
        slow = client.submit(until, str(go))
        quick = [client.submit(square, n) for n in range(10)]
        coming = as_completed([slow, *quick, slow])
        taken = []
        while (future := (yield coming.next())) is not None:
            taken.append(future)
            if len(taken) == 10:
                go.touch()
        assert set(taken[:10]) == set(quick)
        assert taken[10:] == [slow]
        assert set((yield as_completed([slow, *quick]))) == {slow, *quick}
        assert (yield as_completed([])) == []

    scheduled(body)
    go.unlink()

    with opened() as client:
        slow = client.submit(until, str(go))
        quick = [client.submit(square, n) for n in range(10)]
        taken = []
        for future in as_completed([slow, *quick]):
            taken.append(future)
            if len(taken) == 10:
                go.touch()
        assert taken[10:] == [slow]

        async def main() -> Any:
            futures = {client.submit(square, n) for n in range(10)}
            assert {future async for future in as_completed(futures)} == futures
            assert set(await as_completed(futures)) == futures

        asyncio.run(main())


@pytest.mark.row("DC-64")
def test_as_completed_gives_up_at_its_time_and_leaves_nothing_behind(cluster: Any, tmp_path: Path) -> None:
    with opened() as client:
        slow = client.submit(until, str(tmp_path / "go"))
        quick = client.submit(square, 3)
        assert quick.result(LIMIT) == 9
        coming = as_completed([slow, quick], timeout=0.3)
        with pytest.raises(TimeoutError, match=r"1 of 2 futures were not done within timeout=0\.3 s: until#"):
            assert list(coming) == [quick]
        assert not slow._callbacks
        with pytest.raises(TimeoutError, match=r"was not done in 0\.05 s: until#"):
            slow.result(0.05)
        coming = as_completed([slow])
        assert slow._callbacks
        del coming
        assert not slow._callbacks
        with pytest.raises(TimeoutError, match=r"gather\(.* 1 of 2 .* not done; the first: until#"):
            gather([quick, slow]).result(0.05)
        (tmp_path / "go").touch()


@pytest.mark.row("DC-64", "DC-60")
def test_wait_answers_when_enough_are_done(cluster: Any, tmp_path: Path) -> None:
    go = tmp_path / "go"

    def body(client: Client, task: Any) -> Any:
        done, left = yield wait([client.submit(square, 1), client.submit(square, 2)])
        assert (len(done), left) == (2, set())
        slow, quick = client.submit(until, str(go)), client.submit(square, 3)
        assert (yield wait([slow, quick], return_when="FIRST_COMPLETED")) == ({quick}, {slow})
        bad = client.submit(fails_at, 1, 1)
        done, left = yield wait([slow, bad], return_when="FIRST_EXCEPTION")
        assert (done, left) == ({bad}, {slow})
        assert (yield wait([slow], timeout=0.05)) == (set(), {slow})
        assert not slow._callbacks
        assert (yield wait([])) == (set(), set())
        go.touch()
        yield slow

    scheduled(body)

    with opened() as client:
        futures = [client.submit(square, n) for n in range(50)]
        assert wait(futures).result(LIMIT).done == set(futures)
        assert wait(futures, timeout=5).result(LIMIT) == (set(futures), set())

        async def main() -> Any:
            return await wait([client.submit(square, 3)])

        assert len(asyncio.run(main()).done) == 1


@pytest.mark.row("DC-64", "DC-60")
def test_gather_gives_all_results_in_order_or_the_first_failure(cluster: Any, tmp_path: Path) -> None:
    def body(client: Client, task: Any) -> Any:
        futures = [client.submit(square, n) for n in range(50)]
        assert (yield gather(futures)) == [n * n for n in range(50)]
        assert (yield gather([futures[3], futures[3]])) == [9, 9]
        assert (yield gather([])) == []
        waiting = client.submit(waits)
        with pytest.raises(LookupError):
            yield gather([waiting, client.submit(fails_at, 1, 1)])
        assert not waiting.done()
        assert not waiting._callbacks
        waiting.cancel()

    scheduled(body)

    with opened() as client:
        assert gather(client.submit(square, n) for n in range(50)).result(LIMIT) == [n * n for n in range(50)]

        async def main() -> Any:
            return await gather([client.submit(square, n) for n in range(5)])

        assert asyncio.run(main()) == [0, 1, 4, 9, 16]


@pytest.mark.row("DC-64")
def test_what_is_no_future_is_named() -> None:
    for call in (as_completed, wait, gather):
        with pytest.raises(TypeError, match=r"as client\.submit gives them, not 3"):
            call([3])
        with pytest.raises(TypeError, match="fs must be Futures in a list"):
            call(Operation())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="return_when must be"):
        wait([], return_when="LATER")
    with pytest.raises(ValueError, match="timeout must be"):
        wait([], timeout=-1)


@pytest.mark.row("DC-64")
def test_ctrl_c_ends_a_program_that_takes_results(tmp_path: Path) -> None:
    program = f"""
import os, signal, sys, threading, time
from dispycos import Client, LocalCluster

def slow(n):
    time.sleep(0.05)
    return n

with LocalCluster(2):
    client = Client([slow])
    client.schedule().result(20)
    threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        for n in client.map(slow, range(100_000)):
            pass
    except KeyboardInterrupt:
        print("interrupted")
    print(client.close().result(20))
# {sys.executable}
"""
    done: Finished = run_python(program, timeout=40)
    assert (done.code, done.out) == (0, "interrupted\n0\n"), done.err
