"""Thread pools and database cursors."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Generator
from typing import Any

import pytest

from dispycos.kernel.task import Task
from dispycos.kernel.threads import AsyncDBCursor, AsyncThreadPool
from tests.helpers import wait_until

Gen = Generator[Any, Any, Any]


@pytest.fixture
def pool() -> Any:
    pool = AsyncThreadPool(2)
    yield pool
    threads = list(pool._threads)
    pool.terminate()
    pool.terminate()
    for thread in threads:
        thread.join(10)


@pytest.mark.row("KE-21")
def test_a_function_runs_in_a_thread(run: Callable[..., Any], pool: AsyncThreadPool) -> None:
    def function(a: int, b: int) -> Any:
        return a + b, threading.current_thread().name

    def target() -> Gen:
        return (yield pool.async_task(function, 1, b=2))

    async def target_async() -> Any:
        return await pool.async_task(function, 1, b=2)

    assert run(target) == (3, "dispycos pool")
    assert run(target_async) == (3, "dispycos pool")


@pytest.mark.row("KE-21")
@pytest.mark.parametrize("error", [KeyError("k"), SystemExit(3)])
def test_its_exception_is_raised_in_the_task(
    run: Callable[..., Any], pool: AsyncThreadPool, error: BaseException
) -> None:
    def function() -> None:
        raise error

    def target() -> Gen:
        try:
            yield pool.async_task(function)
        except BaseException as caught:
            return caught

    assert run(target) is error
    assert pool.join(5)


@pytest.mark.row("KE-21")
def test_more_functions_than_threads_wait_in_order(run: Callable[..., Any], pool: AsyncThreadPool) -> None:
    gate, began = threading.Event(), []

    def function(number: int) -> int:
        began.append(number)
        gate.wait(10)
        return number

    def target(number: int) -> Gen:
        return (yield pool.async_task(function, number))

    tasks = [Task(target, number) for number in range(6)]
    wait_until(lambda: len(began) == 2)
    assert not pool.join(0.01)
    assert sorted(began) == [0, 1]
    assert len(pool._threads) == 2
    gate.set()
    assert [task.value(10) for task in tasks] == list(range(6))
    assert began[2:] == sorted(began[2:])
    assert pool.join(10)


@pytest.mark.row("KE-21")
def test_a_terminated_pool_refuses_and_drops(run: Callable[..., Any], pool: AsyncThreadPool) -> None:
    gate, began = threading.Event(), threading.Event()

    def function() -> str:
        began.set()
        gate.wait(10)
        return "done"

    small = AsyncThreadPool(1)
    running = small.async_task(function)
    began.wait(10)
    dropped = small.async_task(function)
    (thread,) = small._threads
    small.terminate()
    with pytest.raises(RuntimeError, match="terminated"):
        small.async_task(function)
    with pytest.raises(RuntimeError, match="terminated"):
        dropped.result(5)
    gate.set()
    assert running.result(5) == "done"
    assert small.join(5)
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.row("KE-21")
def test_a_pool_needs_a_thread() -> None:
    with pytest.raises(ValueError):
        AsyncThreadPool(0)


@pytest.mark.row("KE-21")
def test_a_cursor_works_in_a_pool(run: Callable[..., Any], pool: AsyncThreadPool) -> None:
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    cursor = AsyncDBCursor(pool, connection.cursor())

    def target() -> Gen:
        yield cursor.execute("create table t (a, b)")
        yield cursor.executemany("insert into t values (?, ?)", [(1, 2), (3, 4)])
        yield cursor.execute("select b from t where a = ?", (3,))
        rows = cursor.fetchall()
        try:
            yield cursor.execute("nonsense")
        except sqlite3.OperationalError:
            rows.append("error")
        return rows

    assert run(target) == [(4,), "error"]
    connection.close()

    class Procedures:
        def callproc(self, name: str, args: Any) -> Any:
            return name, args

    def call() -> Gen:
        return (yield AsyncDBCursor(pool, Procedures()).callproc("p", (1,)))

    assert run(call) == ("p", (1,))
