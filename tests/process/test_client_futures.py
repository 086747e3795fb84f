"""client.submit: calls of functions, and the Futures that stand for their results."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import pickle
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from dispycos import (
    Client,
    NotSerializable,
    RemoteError,
    Scheduler,
    TaskCancelled,
    TaskLost,
    TaskRejected,
    Timeout,
)
from dispycos.client.future import Future
from dispycos.kernel.wait import Waitable
from tests.helpers import alive, wait_until
from tests.process.clusters import LIMIT, Watcher, opened, scheduled, sleeps, waits


def square(n: int) -> int:
    return n * n


def adds_one(n: int, task: Any = None) -> Any:
    yield task.sleep(0.01)
    return n + 1


async def adds_two(n: int) -> int:
    return n + 2


def fails(word: str) -> None:
    raise LookupError(word)


def blocks(mark: str, seconds: float) -> int:
    """Takes the whole thread of its server, as code in C does."""
    Path(mark).touch()
    time.sleep(seconds)
    return os.getpid()


def until(path: str) -> str:
    while not os.path.exists(path):
        time.sleep(0.005)
    return path


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killed_once(mark: str) -> str:
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return "again"
    os.kill(os.getpid(), signal.SIGKILL)
    return "never"


def exits() -> Any:
    yield
    sys.exit(3)


def raises(kind: type[BaseException], text: str) -> None:
    raise kind(text)


async def raises_late(kind: type[BaseException], text: str) -> None:
    raise kind(text)


def stops() -> None:
    raise StopIteration(3)


# What is called, and what comes back.


@pytest.mark.row("DC-63")
def test_a_function_of_any_kind_is_called_on_a_server(cluster: Any) -> None:
    kinds = [(square, 49), (adds_one, 8), (adds_two, 9), (str, "7"), (lambda n: -n, -7)]
    with opened() as client:
        for function, expected in kinds:
            future = client.submit(function, 7)
            assert isinstance(future, Waitable), function
            assert isinstance(future, concurrent.futures.Future), function
            assert future.result(LIMIT) == expected, function
            state = (future.exception(), future.done(), future.cancelled(), future.running())
            assert state == (None, True, False, False), function


@pytest.mark.row("DC-63", "DC-60")
def test_a_future_is_yielded_awaited_and_asked(cluster: Any) -> None:
    def body(client: Client, task: Any) -> Any:
        assert (yield client.submit(square, 3)) == 9
        with pytest.raises(LookupError, match="here"):
            yield client.submit(fails, "here")

        async def awaits() -> Any:
            return await client.submit(square, 4)

        assert (yield awaits()) == 16

    scheduled(body, square)

    with opened(square) as client:

        async def main() -> Any:
            with pytest.raises(LookupError, match="there"):
                await client.submit(fails, "there")
            futures = [client.submit(square, n) for n in range(20)]
            return [await future for future in futures]

        assert asyncio.run(main()) == [n * n for n in range(20)]


@pytest.mark.row("DC-63", "KE-06")
def test_a_failure_is_the_original_exception_with_the_traceback_from_there(cluster: Any) -> None:
    with opened() as client:
        future = client.submit(fails, "word")
        with pytest.raises(LookupError, match="word") as caught:
            future.result(LIMIT)
        assert "raise LookupError(word)" in str(caught.value.__cause__)
        assert "dispycos" not in str(caught.value.__cause__).replace("test_client_futures", "")
        assert not future.cancelled()


@pytest.mark.row("DC-63")
def test_who_has_a_server_ask_a_person_is_told_that_nobody_is_there(cluster: Any) -> None:
    with opened() as client:
        for function in (input, breakpoint):
            error = client.submit(function).exception(LIMIT)
            assert error is not None and error.__notes__[0].startswith("nobody types at a server: ask in")


@pytest.mark.row("DC-63")
def test_what_python_takes_for_the_end_of_a_generator_is_a_failure_too(cluster: Any) -> None:
    with opened() as client:
        assert isinstance(client.submit(stops).exception(LIMIT), RuntimeError)


@pytest.mark.row("DC-63", "DC-22")
def test_mistakes_are_raised_where_they_are_made(cluster: Any) -> None:
    with opened() as client:
        with pytest.raises(TypeError, match="func must be a function, not 3"):
            client.submit(3)  # type: ignore[arg-type]
        with pytest.raises(NotSerializable, match="argument 2 of square"):
            client.submit(square, 1, threading.Lock())
        with pytest.raises(
            NotSerializable, match=r"a Future stays in its program.*a task of your program waits"
        ):
            client.submit(square, client.submit(square, 2))
        # The server says what only it can find out.
        assert isinstance(client.submit(square).exception(LIMIT), TypeError)
        assert isinstance(client.submit(threading.Lock).exception(LIMIT), TypeError)


@pytest.mark.row("DC-63")
def test_a_client_that_takes_nothing_gives_a_future_that_says_so(cluster: Any) -> None:
    early = Client().submit(square, 1)
    assert early.done()
    with pytest.raises(TaskRejected, match=r"not scheduled yet: `client.schedule\(\).result\(\)` goes first"):
        early.result(0)
    assert not early.cancel()
    with opened() as client:
        pass
    with pytest.raises(TaskRejected, match="closed"):
        client.submit(square, 1).result(0)


@pytest.mark.row("DC-63")
def test_any_thread_may_submit(cluster: Any) -> None:
    with opened(square) as client:
        with concurrent.futures.ThreadPoolExecutor(8) as threads:
            submitted = [threads.submit(client.submit, square, n) for n in range(400)]
        assert [one.result().result(LIMIT) for one in submitted] == [n * n for n in range(400)]


# How it is run.


@pytest.mark.row("DC-63")
def test_plain_functions_that_block_delay_no_sign_of_life(cluster: Any, tmp_path: Path) -> None:
    watcher = Watcher()
    with opened(zombie_period=3.0, abandon_zombie_nodes=True, status_task=watcher.task) as client:
        # Longer than a silence may last, on both servers.
        first = [client.submit(blocks, str(tmp_path / f"begun {n}"), 4.0) for n in range(2)]
        second = [client.submit(square, n) for n in range(20)]
        assert len({future.result(LIMIT) for future in first}) == 2
        assert [future.result(LIMIT) for future in second] == [n * n for n in range(20)]
    assert not watcher.statuses(Scheduler.NodeDisconnected, Scheduler.ServerDisconnected)


@pytest.mark.row("DC-63", "R-41")
def test_a_call_whose_server_dies_fails_and_is_tried_again_if_that_is_allowed(
    cluster: Any, tmp_path: Path
) -> None:
    with opened() as client:
        with pytest.raises(TaskLost, match=r"was lost while it ran killed#"):
            client.submit(killed).result(LIMIT)
        again = client.options(retries=1).submit(killed_once, str(tmp_path / "mark"))
        assert again.result(LIMIT) == "again"


@pytest.mark.row("DC-63", "R-43")
def test_a_call_may_run_so_long_and_no_longer(cluster: Any) -> None:
    with opened() as client:
        future = client.options(timeout=0.2).submit(sleeps, 60)
        with pytest.raises(Timeout, match=r"timeout of 0\.2 s"):
            future.result(LIMIT)
        assert not future.cancelled()


@pytest.mark.row("DC-63")
def test_a_status_task_hears_of_calls_as_of_other_tasks(cluster: Any) -> None:
    watcher = Watcher()
    with opened(status_task=watcher.task) as client:
        future = client.submit(square, 7)
        assert future.result(LIMIT) == 49
        created = watcher.wait(Scheduler.TaskCreated)[0].info
        assert (created.task, created.args) == (future.task, (7,))
        (end,) = wait_until(watcher.ends)
        assert (end.info, end.type, end.value) == (future.task, StopIteration, 49)


# Its methods.


@pytest.mark.row("DC-63")
def test_a_wait_has_a_limit_and_a_callback_is_called_once(cluster: Any, tmp_path: Path) -> None:
    go = tmp_path / "go"
    called: list[Any] = []
    with opened() as client:
        future = client.submit(until, str(go))
        future.add_done_callback(called.append)
        with pytest.raises(concurrent.futures.TimeoutError):
            future.result(0.05)
        with pytest.raises(TimeoutError):
            future.exception(0)
        wait_until(future.running)
        assert not future.done()
        assert "running" in repr(future)
        assert called == []
        go.touch()
        assert future.result(LIMIT) == str(go)
        future.add_done_callback(called.append)
        assert called == [future, future]
        assert not future.running()


@pytest.mark.row("DC-62", "DC-63")
def test_a_call_that_never_began_is_cancelled_at_once(cluster: Any, tmp_path: Path) -> None:
    go = tmp_path / "go"
    with opened() as client:
        busy = [client.submit(until, str(go)) for _ in range(2)]
        waiting = [client.submit(blocks, str(tmp_path / f"begun {n}"), 0) for n in range(20)]
        assert all(future.cancel("nobody wants it") for future in waiting)
        for future in waiting:
            with pytest.raises(concurrent.futures.CancelledError, match="nobody wants it"):
                future.result(LIMIT)
            assert future.cancelled()
            assert future.cancel()  # again: harmless
            assert isinstance(future.exception(), TaskCancelled)
        go.touch()
        assert [future.result(LIMIT) for future in busy] == [str(go)] * 2
        assert not busy[0].cancel()
        assert not busy[0].cancelled()
    assert not list(tmp_path.glob("begun*"))


@pytest.mark.row("DC-62", "DC-63")
def test_a_call_that_runs_is_interrupted_at_its_yield(cluster: Any) -> None:
    with opened() as client:
        future = client.submit(waits)
        wait_until(future.running)
        assert future.cancel()
        with pytest.raises(concurrent.futures.CancelledError, match="called cancel"):
            future.result(LIMIT)


def naps(begun: str, seconds: float, ended: str = "") -> int:
    """A plain function that can't yield, and cleans up."""
    Path(begun).touch()
    try:
        time.sleep(seconds)
    except KeyboardInterrupt:
        if not ended:
            return os.getpid()
        raise
    finally:
        Path(ended or begun).write_text(str(os.getpid()))
    return 0


def pools(begun: str, ended: str) -> None:
    """A pool waits at its end for what its processes do."""
    try:
        with concurrent.futures.ProcessPoolExecutor(1) as pool:
            nap = pool.submit(time.sleep, 600)
            Path(begun).touch()
            nap.result()
    finally:
        Path(ended).write_text(str(os.getpid()))


@pytest.mark.row("DC-56", "DC-62", "R-20")
@pytest.mark.usefixtures("cluster")
def test_a_plain_call_is_interrupted_where_it_is_and_its_server_lives(tmp_path: Path) -> None:
    begun, cancelled, timed_out = tmp_path / "begun", tmp_path / "cancelled", tmp_path / "timed out"
    pool_begun, pool_ended = tmp_path / "pool begun", tmp_path / "pool ended"
    with opened(naps, pools) as client:
        future = client.submit(naps, str(begun), 600, str(cancelled))
        wait_until(begun.exists)
        assert future.cancel()
        with pytest.raises(concurrent.futures.CancelledError, match="called cancel"):
            future.result(LIMIT)
        late = client.options(timeout=0.1).submit(naps, str(begun), 600, str(timed_out))
        with pytest.raises(Timeout, match=r"its timeout of 0\.1 s"):
            late.result(LIMIT)
        pooled = client.submit(pools, str(pool_begun), str(pool_ended))
        wait_until(pool_begun.exists)
        assert pooled.cancel()
        with pytest.raises(concurrent.futures.CancelledError, match="called cancel"):
            pooled.result(LIMIT)
        # What it makes of it counts, as for a task (DC-56).
        catches = client.options(timeout=0.1).submit(naps, str(begun), 600)
        assert alive(catches.result(LIMIT))
        # Of a map's chunk only the call that caught it goes on; those after it do not begin.
        never = tmp_path / "never"
        with pytest.raises(Timeout, match=r"its timeout of 0\.1 s"):
            list(client.options(timeout=0.05).map(naps, [str(begun), str(never)], [600, 0], chunksize=2))
        assert not never.exists()
        # What is ended with its server after the grace cleans nothing up.
        files = (cancelled, timed_out, pool_ended)
        wait_until(lambda: all(ended.exists() and ended.read_text() for ended in files))
        assert all(alive(int(ended.read_text())) for ended in files)


@pytest.mark.row("DC-63", "DC-39")
def test_a_call_that_is_ended_with_its_client_does_not_look_like_ctrl_c(cluster: Any) -> None:
    with opened() as client:
        future = client.submit(waits)
        wait_until(future.running)
    with pytest.raises(concurrent.futures.CancelledError):
        future.result(LIMIT)
    assert future.cancelled()


# With the standard library.


@pytest.mark.row("DC-63")
def test_the_standard_library_waits_for_futures(cluster: Any, tmp_path: Path) -> None:
    go = tmp_path / "go"
    with opened() as client:
        quick = [client.submit(square, n) for n in range(5)]
        slow = client.submit(until, str(go))
        wait_until(slow.running)
        assert concurrent.futures.wait(quick, LIMIT).done == set(quick)
        done, left = concurrent.futures.wait([slow], 0.01)
        assert (done, left) == (set(), {slow})
        bad = client.submit(fails, "x")
        done, left = concurrent.futures.wait([bad, slow], LIMIT, concurrent.futures.FIRST_EXCEPTION)
        assert (done, left) == ({bad}, {slow})
        gone = client.submit(square, 1)
        done, _ = concurrent.futures.wait([gone, slow], LIMIT, concurrent.futures.FIRST_COMPLETED)
        assert done == {gone}
        with pytest.raises(concurrent.futures.TimeoutError, match="1 "):
            list(concurrent.futures.as_completed([slow], 0.01))
        threading.Timer(0.05, go.touch).start()
        in_order = list(concurrent.futures.as_completed([slow, *quick], LIMIT))
        assert (len(in_order), in_order[-1]) == (6, slow)
        done, left = concurrent.futures.wait([slow, bad, *quick], LIMIT)
        assert (len(done), left) == (7, set())


@pytest.mark.row("DC-63")
def test_futures_that_end_while_the_standard_library_waits_wake_it(cluster: Any) -> None:
    with opened() as client:
        for _ in range(20):
            futures = [client.submit(square, n) for n in range(50)]
            assert len(concurrent.futures.wait(futures, LIMIT).done) == 50
            futures = [client.submit(square, n) for n in range(50)]
            assert set(concurrent.futures.as_completed(futures, LIMIT)) == set(futures)


@pytest.mark.row("DC-63")
def test_asyncio_wraps_a_future_and_a_cancelled_wrapping_cancels_the_call(cluster: Any) -> None:
    with opened() as client:

        async def main() -> None:
            wrapped = [asyncio.wrap_future(client.submit(square, n)) for n in range(5)]
            assert await asyncio.gather(*wrapped) == [0, 1, 4, 9, 16]
            with pytest.raises(LookupError):
                await asyncio.wrap_future(client.submit(fails, "x"))
            future = client.submit(waits)
            await asyncio.to_thread(wait_until, future.running)
            wrapping = asyncio.wrap_future(future)
            wrapping.cancel()
            with pytest.raises(concurrent.futures.CancelledError):
                await future

        asyncio.run(main())


@pytest.mark.row("DC-60", "DC-62")
def test_a_call_that_raises_what_would_cancel_its_caller_is_told_as_a_failure(cluster: Any) -> None:
    with opened() as client:

        async def main(kind: type[BaseException]) -> None:
            task = await client.rtask(raises_late, kind, "why")
            waits = [
                client.submit(raises, kind, "why"),
                client.submit(raises_late, kind, "why"),
                task.result(),
            ]
            for waiting in (*waits, asyncio.wrap_future(client.submit(raises, kind, "why"))):
                with pytest.raises(RemoteError, match=f"raised {kind.__name__}: why") as caught:
                    await waiting
                assert isinstance(caught.value.__cause__, kind)
            assert not any(future.cancelled() for future in waits[:2])

        for kind in (KeyboardInterrupt, asyncio.CancelledError, GeneratorExit):
            asyncio.run(main(kind))
        for kind in (KeyboardInterrupt, asyncio.CancelledError):  # GeneratorExit ends the whole chunk's task
            results = client.map(lambda n, kind=kind: n or raises(kind, "why"), [1, 0], chunksize=2)
            assert next(results) == 1
            with pytest.raises(RemoteError, match=f"an item's call raised {kind.__name__}: why"):
                next(results)


@pytest.mark.row("DC-60", "DC-62")
def test_a_call_that_exits_ends_nobody_who_waits_for_it(cluster: Any) -> None:
    with opened() as client:
        with pytest.raises(RemoteError, match="raised SystemExit: enough") as caught:
            client.submit(sys.exit, "enough").result(LIMIT)
        assert isinstance(caught.value.__cause__, SystemExit)  # and what it said there
        with pytest.raises(RemoteError, match="raised SystemExit: 3"):
            list(client.map(sys.exit, [3]))
        with client.executor() as executor, pytest.raises(RemoteError, match="raised SystemExit"):
            executor.submit(sys.exit).result(LIMIT)

        async def main() -> str:
            task = await client.rtask(exits)
            for waiting in (client.submit(sys.exit, 3), task.result()):
                with pytest.raises(RemoteError, match="raised SystemExit: 3"):
                    await waiting
            return "goes on"

        assert asyncio.run(main()) == "goes on"


@pytest.mark.rule("K5")
def test_a_call_that_does_not_fit_its_function_shows_no_line_of_ours(cluster: Any) -> None:
    with opened() as client:
        for function in (square, waits):
            with pytest.raises(TypeError, match="positional argument") as raised:
                client.submit(function, 1, 2, 3, 4).result(LIMIT)
            remote = str(raised.value.__cause__)
            assert "TypeError" in remote
            assert "dispycos" not in remote


@pytest.mark.row("DC-63")
def test_nobody_else_says_how_a_call_ended(cluster: Any) -> None:
    future = Future.refused("why")
    for call in (future.set_running_or_notify_cancel, lambda: future.set_result(1)):
        with pytest.raises(RuntimeError, match="Future"):
            call()
    with pytest.raises(RuntimeError, match="Future"):
        future.set_exception(KeyError())
    with pytest.raises(TypeError, match="stays in its program"):
        pickle.dumps(future)
