"""The loop: threads and tasks, waking, joining, ending."""

from __future__ import annotations

import builtins
import re
import threading
import time
from collections.abc import Callable, Generator
from typing import Any

import pytest

from dispycos.kernel import loop
from dispycos.kernel.core import Kernel
from dispycos.kernel.loop import Loop
from dispycos.kernel.sync import Event
from dispycos.kernel.task import Task
from tests.helpers import wait_until

Gen = Generator[Any, Any, Any]


def receiver(count: int, task: Any = None) -> Gen:
    got = []
    for _ in range(count):
        got.append((yield task.receive()))
    return got


@pytest.mark.row("KE-01")
def test_the_first_task_starts_the_kernel(run: Callable[..., Any]) -> None:
    def target(task: Any = None) -> Gen:
        yield task.sleep(0.01)
        return threading.current_thread().name, loop.current_task() is task

    assert loop._own is None
    assert run(target) == ("dispycos kernel", True)
    assert loop.current_task() is None


@pytest.mark.row("KE-10")
@pytest.mark.rule("K7")
def test_threads_send_to_a_task_each_in_its_order() -> None:
    task = Task(receiver, 4000)

    def sender(name: int) -> None:
        for number in range(1000):
            assert task.send((name, number)) == 0

    threads = [threading.Thread(target=sender, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    got = task.value(20)
    for thread in threads:
        thread.join()
    for name in range(4):
        assert [number for sender, number in got if sender == name] == list(range(1000))


@pytest.mark.rule("K7")
def test_threads_resume_throw_and_terminate() -> None:
    def sleeper(task: Any = None) -> Gen:
        first = yield task.sleep()
        try:
            yield task.sleep()
        except ValueError:
            second = "thrown"
        return first, second

    task = Task(sleeper)
    wait_until(lambda: task.state == "waiting")
    first = task.where()
    assert task.resume("update") == 0
    wait_until(lambda: task.state == "waiting" and task.where() != first)
    task.throw(ValueError)
    assert task.value(5) == ("update", "thrown")
    other = Task(sleeper)
    assert other.terminate() == 0
    assert other.value(5).type.name == "TaskTerminated"


@pytest.mark.rule("K7")
def test_an_event_may_be_set_in_any_thread(run: Callable[..., Any]) -> None:
    event = Event()

    def waiter() -> Gen:
        return (yield event.wait(20))

    tasks = [Task(waiter) for _ in range(5)]
    wait_until(lambda: all(task.state == "waiting" for task in tasks))
    event.set()
    assert [task.value(5) for task in tasks] == [True] * 5


@pytest.mark.row("KE-05")
def test_value_waits_in_a_thread(run: Callable[..., Any]) -> None:
    def slow(task: Any = None) -> Gen:
        yield task.sleep(0.2)
        return 3

    task = Task(slow)
    assert task.value(0.01) is None
    assert task.value(0) is None
    assert task.value() == 3
    assert task.value(0) == 3

    def fails() -> Gen:
        yield
        raise KeyError("k")

    assert Task(fails).value(5).type is KeyError

    def inside() -> Gen:
        yield
        return Task(slow).value()

    with pytest.raises(RuntimeError):
        run(inside)


@pytest.mark.row("KE-04")
def test_timers_come_in_time_while_others_are_busy(run: Callable[..., Any]) -> None:
    def busy(until: list[int]) -> Gen:
        while not until:
            yield

    def sleeper(task: Any = None) -> Gen:
        started = time.monotonic()
        for _ in range(10):
            yield task.sleep(0.01)
        return time.monotonic() - started

    until: list[int] = []
    other = Task(busy, until)
    assert run(sleeper) >= 0.1
    until.append(1)
    other.value(5)


@pytest.mark.rule("K3")
def test_an_idle_kernel_sleeps(run: Callable[..., Any]) -> None:
    kernel = loop.default().kernel
    steps = 0
    original = kernel.step

    def counting(now: float) -> float | None:
        nonlocal steps
        steps += 1
        return original(now)

    def target(task: Any = None) -> Gen:
        yield task.sleep(0.3)

    task = Task(target)
    wait_until(lambda: task.state == "waiting")
    idles = kernel.idles
    kernel.step = counting  # type: ignore[method-assign]  # for this test
    task.value(5)
    assert steps < 10
    assert 1 <= kernel.idles - idles < 10


def test_the_network_is_told_before_the_kernel_waits_and_while_it_is_busy(run: Callable[..., Any]) -> None:
    kernel = loop.default().kernel
    flushed: list[tuple[float, bool]] = []
    kernel.before_wait.append(lambda: flushed.append((time.monotonic(), kernel.here)))

    def busy() -> Gen:
        end = time.monotonic() + 10
        while len(flushed) <= 5 and time.monotonic() < end:
            yield
        return len(flushed)

    assert run(busy) > 5
    assert all(here for _, here in flushed)
    before = len(flushed)
    kernel.post(lambda: None)
    wait_until(lambda: len(flushed) > before)


@pytest.mark.rule("K7")
def test_work_that_comes_just_before_the_kernel_waits_is_done(run: Callable[..., Any]) -> None:
    kernel = loop.default().kernel
    done = threading.Event()
    wanted = [True]

    def bring_work() -> None:
        if wanted:
            wanted.clear()
            kernel.post(done.set)

    kernel.before_wait.append(bring_work)
    kernel.post(lambda: None)
    assert done.wait(10)


def test_a_task_that_blocks_is_seen_by_other_threads() -> None:
    entered, leave = threading.Event(), threading.Event()

    def blocking() -> Gen:
        yield
        _deeper(entered, leave)

    task = Task(blocking)
    entered.wait(10)
    running = loop.default().running()
    assert running is not None
    assert running.task is task
    assert running.seconds >= 0
    assert [frame.function.rpartition(".")[2] for frame in running.frames[:2]] == ["blocking", "_deeper"]
    assert task.state == "running"
    assert task.where()[0].function.endswith("blocking")
    leave.set()
    task.value(5)
    wait_until(lambda: loop.default().running() is None)


def _deeper(entered: threading.Event, leave: threading.Event) -> None:
    entered.set()
    leave.wait(10)


@pytest.mark.row("KE-26")
def test_join_waits_for_all_but_daemons() -> None:
    def brief(task: Any = None) -> Gen:
        yield task.sleep(0.1)

    def forever(task: Any = None) -> Gen:
        task.set_daemon()
        yield task.receive()

    own = loop.default()
    assert own.join(0)
    Task(forever)
    tasks = [Task(brief) for _ in range(3)]
    assert not own.join(0.01)
    assert own.join(10)
    assert not any(task.is_alive() for task in tasks)


@pytest.mark.row("KE-26")
@pytest.mark.parametrize("what", ["join", "finish", "terminate"])
def test_a_task_can_not_wait_for_all_tasks(run: Callable[..., Any], what: str) -> None:
    def target() -> Gen:
        yield
        getattr(loop.default(), what)()

    with pytest.raises(RuntimeError):
        run(target)


@pytest.mark.row("KE-26")
def test_functions_at_exit_run_once_by_priority_after_the_tasks(caplog: pytest.LogCaptureFixture) -> None:
    called: list[Any] = []

    def forever(task: Any = None) -> Gen:
        try:
            yield task.receive()
        finally:
            called.append("task")

    own = loop.default()
    task = Task(forever)
    wait_until(lambda: task.state == "waiting")
    own.at_exit(5, called.append, "late")
    own.at_exit(1, called.append, "early")
    own.at_exit(1, called.append, "early 2")
    own.at_exit(2, lambda: 1 / 0)
    dropped = [].append
    own.at_exit(0, dropped, 1)
    own.drop_at_exit(dropped)
    own.terminate()
    own.terminate()
    assert called == ["task", "early", "early 2", "late"]
    assert "ZeroDivisionError" in caplog.text
    # A new first task starts a new one.
    assert loop.default() is not own


@pytest.mark.row("KE-26")
def test_finish_waits_for_the_tasks_and_ends() -> None:
    def brief(task: Any = None) -> Gen:
        yield task.sleep(0.05)
        return 1

    task = Task(brief)
    loop.default().finish()
    assert task._value == 1
    assert loop._own is None


def test_a_loop_runs_in_the_thread_that_asks() -> None:
    mine = Loop()
    loop.own(mine)
    with pytest.raises(RuntimeError):
        loop.own(Loop())
    seen = []

    def target(task: Any = None) -> Gen:
        yield task.sleep(0.01)
        seen.append(threading.current_thread())
        Task(child)
        yield task.sleep(0.01)
        mine.stop()

    def child() -> Gen:
        seen.append(threading.current_thread())
        yield

    Task(target)
    assert isinstance(mine.kernel, Kernel)
    mine.run()
    assert seen == [threading.main_thread()] * 2
    assert not mine.kernel.tasks


def test_two_kernels_live_side_by_side() -> None:
    other = Loop()
    other.start()
    try:
        with pytest.raises(RuntimeError):
            other.start()

        def target() -> Gen:
            mine = yield Task(whose)()
            return mine

        def whose() -> Gen:
            yield
            return threading.current_thread()

        task = other.kernel.spawn(target)
        assert task.value(5) is other._thread
        assert Task(whose).value(5) is loop.default()._thread
    finally:
        other.terminate()


@pytest.mark.rule("K5")
@pytest.mark.parametrize("removed", [True, False], ids=["removed", "replaced"])
def test_a_kernel_that_broke_for_want_of_a_builtin_says_whose_code_ran(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, removed: bool
) -> None:
    def takes(task: Any = None) -> Gen:
        kernel.post(ascii_, "what the kernel does next")
        if removed:
            del builtins.ascii
        else:
            builtins.ascii = None  # type: ignore[assignment]
        yield task.receive()

    def ascii_(text: str) -> str:
        return ascii(text)

    ended: list[int] = []
    monkeypatch.setattr("os._exit", ended.append)
    monkeypatch.setattr("dispycos.kernel.program.flush", lambda: None)
    own = Loop()
    kernel = own.kernel
    kernel.spawn(takes)
    own.run()
    assert ended == [loop.BUG_STATUS] and ascii("é") == "'\\xe9'"
    # What is replaced need not be why: notebooks do that, too.
    assert ("a bug in the kernel" in caplog.text) is not removed
    verb = "removed" if removed else "replaced"
    told = verb + r" ascii of Python's builtins, which may be why; tasks here: takes/1$"
    assert re.search(told, caplog.text, re.MULTILINE), caplog.text
