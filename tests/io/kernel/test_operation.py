"""Operations: three ways to wait, completed in any thread."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Generator
from typing import Any

import pytest

from dispycos.kernel.operation import Called, Operation
from dispycos.kernel.sync import Event
from dispycos.kernel.task import Task
from tests.helpers import wait_until

Gen = Generator[Any, Any, Any]


def yielding(operation: Operation) -> Gen:
    return (yield operation)


async def awaiting(operation: Operation) -> Any:
    return await operation


@pytest.mark.row("DC-60")
@pytest.mark.parametrize("target", [yielding, awaiting])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("outcome", ["value", "error"])
def test_a_task_waits_for_an_operation(
    run: Callable[..., Any], target: Callable[..., Any], when: str, outcome: str
) -> None:
    operation = Operation()

    def finish() -> None:
        assert operation.complete(5) if outcome == "value" else operation.fail(KeyError("k"))

    if when == "before":
        finish()
    task = Task(target, operation)
    if when == "after":
        wait_until(lambda: task.state == "waiting")
        finish()
    if outcome == "value":
        assert task.value(10) == 5
    else:
        assert task.value(10).type is KeyError


@pytest.mark.row("DC-60")
@pytest.mark.parametrize("loop_kind", ["asyncio", "uvloop"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("outcome", ["value", "error"])
def test_an_asyncio_program_awaits_an_operation(loop_kind: str, when: str, outcome: str) -> None:
    operation = Operation()

    def finish() -> None:
        assert operation.complete(5) if outcome == "value" else operation.fail(KeyError("k"))

    async def main() -> Any:
        if when == "before":
            finish()
        else:
            threading.Timer(0.01, finish).start()
        first = await asyncio.wait_for(_as_coroutine(operation), 10)
        return first, await operation, await asyncio.gather(_as_coroutine(operation), asyncio.sleep(0, 7))

    if loop_kind == "uvloop":
        uvloop = pytest.importorskip("uvloop")
        new = uvloop.new_event_loop
    else:
        new = asyncio.new_event_loop
    with asyncio.Runner(loop_factory=new) as runner:
        if outcome == "value":
            assert runner.run(main()) == (5, 5, [5, 7])
        else:
            with pytest.raises(KeyError):
                runner.run(main())
    wait_until(lambda: not [t for t in threading.enumerate() if isinstance(t, threading.Timer)])


@pytest.mark.row("DC-60")
def test_asyncio_gets_an_error_for_a_stop_iteration_which_no_future_takes() -> None:
    operation = Operation()
    operation.fail(StopIteration(1))

    async def main() -> Any:
        with pytest.raises(RuntimeError, match=r"raised StopIteration\(1\)"):
            await operation

    asyncio.run(main())


async def _as_coroutine(operation: Operation) -> Any:
    return await operation


@pytest.mark.row("DC-60")
def test_a_cancelled_asyncio_wait_leaves_the_operation_alone() -> None:
    operation = Operation()

    async def main() -> Any:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(_as_coroutine(operation), 0.01)
        assert not operation._callbacks
        operation.complete(3)
        return await operation

    assert asyncio.run(main()) == 3


@pytest.mark.row("DC-60")
def test_a_plain_thread_waits_for_an_operation() -> None:
    operation = Operation()
    with pytest.raises(TimeoutError):
        operation.result(0.01)
    with pytest.raises(TimeoutError):
        operation.result(0)
    assert not operation._callbacks
    timer = threading.Timer(0.02, operation.complete, (5,))
    timer.start()
    assert operation.result(10) == 5
    assert operation.result() == 5
    assert operation.exception() is None
    assert operation.done()
    timer.join()
    failed = Operation()
    failed.fail(KeyError("k"))
    with pytest.raises(KeyError):
        failed.result()
    assert isinstance(failed.exception(), KeyError)


@pytest.mark.row("DC-60")
def test_result_in_a_task_is_an_error_and_no_deadlock(run: Callable[..., Any]) -> None:
    operation = Operation()

    def target() -> Gen:
        yield
        operation.result(5)

    with pytest.raises(RuntimeError, match="yield"):
        run(target)
    operation.complete(1)

    def target_2() -> Gen:
        yield
        return operation.result()

    assert run(target_2) == 1


@pytest.mark.rule("K7")
def test_the_first_completion_counts_whichever_thread_makes_it() -> None:
    for _ in range(200):
        operation = Operation()
        barrier = threading.Barrier(4)
        won: list[int] = []

        def complete(
            number: int,
            operation: Operation = operation,
            barrier: threading.Barrier = barrier,
            won: list[int] = won,
        ) -> None:
            barrier.wait()
            if operation.complete(number):
                won.append(number)

        threads = [threading.Thread(target=complete, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert won == [operation.result()]
        assert not operation.fail(ValueError())


@pytest.mark.rule("K7")
@pytest.mark.rule("K4")
def test_each_wait_of_many_ends_once_while_threads_complete(run: Callable[..., Any]) -> None:
    operations: list[Operation] = [Operation() for _ in range(3000)]

    def completing(start: int) -> None:
        for operation in operations[start::3]:
            operation.complete(start)

    def waiter(mine: list[Operation], task: Any = None) -> Gen:
        done = timed_out = 0
        for operation in mine:
            while True:
                try:
                    yield operation.within(0.0001)
                    done += 1
                    break
                except TimeoutError:
                    timed_out += 1
        return done

    tasks = [Task(waiter, operations[number::2]) for number in range(2)]
    tasks.append(Task(waiter, operations))
    threads = [threading.Thread(target=completing, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    assert [task.value(30) for task in tasks] == [1500, 1500, 3000]
    for thread in threads:
        thread.join()
    assert all(not operation._tasks or operation._tasks == [] for operation in operations)


@pytest.mark.row("DC-60")
def test_a_time_out_leaves_the_operation_alone(run: Callable[..., Any]) -> None:
    operation = Operation()

    def target() -> Gen:
        try:
            yield operation.within(0.01)
        except TimeoutError:
            assert operation._tasks is None
            operation.complete("late")
        return (yield operation)

    assert run(target) == "late"


@pytest.mark.rule("K4")
def test_a_terminated_waiter_is_forgotten(run: Callable[..., Any]) -> None:
    operation = Operation()
    tasks = [Task(yielding, operation) for _ in range(3)]
    wait_until(lambda: all(task.state == "waiting" for task in tasks))
    tasks[1].terminate()
    wait_until(lambda: not tasks[1].is_alive())
    assert operation._tasks == [tasks[0], tasks[2]]
    operation.complete(2)
    assert [tasks[0].value(5), tasks[2].value(5)] == [2, 2]


def test_callbacks_are_called_once_and_their_failures_logged(caplog: pytest.LogCaptureFixture) -> None:
    operation, called = Operation(), []
    operation.add_done_callback(called.append)
    operation.add_done_callback(lambda _: 1 / 0)
    dropped = called.append
    with caplog.at_level(logging.ERROR):
        operation.complete(1)
    operation.add_done_callback(dropped)
    assert called == [operation, operation]
    assert "ZeroDivisionError" in caplog.text


def test_many_waiters_of_one_failure_see_one_traceback(run: Callable[..., Any]) -> None:
    operation = Operation()

    def fails() -> None:
        raise KeyError("k")

    try:
        fails()
    except KeyError as error:
        operation.fail(error)
    depths = []

    def target() -> Gen:
        try:
            yield operation
        except KeyError as error:
            tb, depth = error.__traceback__, 0
            while tb is not None:
                tb, depth = tb.tb_next, depth + 1
            depths.append(depth)

    for _ in range(4):
        run(target)
    assert len(set(depths)) == 1


@pytest.mark.row("DC-60")
def test_a_call_that_a_task_forgot_to_wait_for_is_named(run: Callable[..., Any]) -> None:
    asked = Called("client.rtask(compute)")

    def forgets() -> Gen:
        yield
        with pytest.raises(RuntimeError, match=r"write `it = yield client.rtask\(compute\)` first"):
            asked.result()
        with pytest.raises(TypeError, match=r"is not its result: `yield client.rtask\(compute\)` is"):
            asked[0]
        return repr(asked)

    assert Task(forgets).value(10) == "<Operation of client.rtask(compute): pending>"


@pytest.mark.row("DC-60", "R-33")
def test_a_call_that_takes_too_long_says_what_it_waits_for() -> None:
    asked = Called("client.schedule()", lambda: "queued at place 2")
    with pytest.raises(TimeoutError, match=r"^client.schedule\(\) was not done in 0 s: queued at place 2$"):
        asked.result(0)
    with pytest.raises(TimeoutError, match=r"^<Operation pending> was not done in 0 s$"):
        Operation().result(0)

    def waits() -> Gen:
        for seconds in (0, 0.001):
            late = rf"^client.schedule\(\) was not done in {seconds} s: queued at place 2$"
            with pytest.raises(TimeoutError, match=late):
                yield asked.within(seconds)
        with pytest.raises(TimeoutError, match=r"^client.close\(\) was not done in 0 s$"):
            yield Called("client.close()", fails).within(0)

    def fails() -> str:
        raise RuntimeError("dictionary changed size during iteration")

    assert Task(waits).value(10) is None


@pytest.mark.row("DC-60")
def test_what_nobody_waits_for_says_how_to(run: Callable[..., Any]) -> None:
    def forgets(task: Any = None) -> Gen:
        yield
        return [repr(one) for one in (task.sleep(1), task.receive(), Event().wait(), task.finish())]

    shown = Task(forgets).value(10)
    for what, text in zip(
        ("task.sleep()", "task.receive()", "wait()", "the end of forgets/"), shown, strict=True
    ):
        assert text.startswith(f"<{what}") and "write `yield` before it" in text
