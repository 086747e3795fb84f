"""Tasks: targets, subroutines, results, ends."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Generator
from typing import Any

import pytest

from dispycos.errors import TaskCancelled
from dispycos.kernel.task import Task
from dispycos.kernel.wait import TURN
from dispycos.model import CLIENT_MADE, End, MonitorStatus, Status
from tests.unit.kernel.world import World

Gen = Generator[Any, Any, Any]


def nothing() -> Gen:
    return
    yield


# Targets.


class Methods:
    def __init__(self) -> None:
        self.seen: Any = None

    def method(self, value: int, task: Any = None) -> Gen:
        self.seen = task
        yield
        return value

    @classmethod
    def of_class(cls, value: int) -> Gen:
        yield
        return value

    @staticmethod
    def static(value: int) -> Gen:
        yield
        return value

    async def coroutine(self, value: int) -> int:
        await TURN
        return value

    def __call__(self, value: int, *, task: Any = None) -> Gen:
        self.seen = task
        yield
        return value


TARGETS: dict[str, Callable[..., Any]] = {
    "method": Methods().method,
    "class method": Methods.of_class,
    "static method": Methods.static,
    "async method": Methods().coroutine,
    "callable object": Methods(),
    "partial": functools.partial(Methods().method),
    "lambda": lambda value: (yield value) or value,
}


@pytest.mark.row("KE-01")
@pytest.mark.parametrize("kind", TARGETS)
def test_a_target_may_be_any_kind_of_generator_function(world: World, kind: str) -> None:
    assert world.result(TARGETS[kind], 7) == 7


@pytest.mark.row("KE-01")
def test_a_nested_function_may_be_a_target(world: World) -> None:
    base = 3

    def nested(x: int, *, y: int) -> Gen:
        yield
        return base + x + y

    assert world.result(nested, 1, y=2) == 6


def plain() -> int:
    return 1


async def async_generator() -> Any:
    yield 1


@pytest.mark.row("KE-01")
@pytest.mark.parametrize("target", [plain, async_generator, 5, None, nothing(), len, Methods, print])
def test_another_target_is_refused_where_the_task_is_created(world: World, target: Any) -> None:
    with pytest.raises(TypeError, match="generator function") as caught:
        world.spawn(target)
    assert repr(target) in str(caught.value)
    assert not world.kernel.tasks


@pytest.mark.row("KE-01")
def test_arguments_that_do_not_fit_are_refused_where_the_task_is_created(world: World) -> None:
    with pytest.raises(TypeError, match="nothing"):
        world.spawn(nothing, 1)
    assert not world.kernel.tasks


@pytest.mark.row("KE-01")
def test_both_spellings_of_the_constructor_mean_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Task, "_default", staticmethod(lambda: world.kernel))

    def add(a: int, b: int = 0, target: int = 0) -> Gen:
        yield
        return a + b + target

    one = Task(add, 1, b=2, target=4)
    other = Task(target=add, args=(1,), kwargs={"b": 2, "target": 4})
    world.run()
    assert one._value == other._value == 7
    with pytest.raises(TypeError):
        Task()
    with pytest.raises(TypeError):
        Task(target=add, arguments=(1,))


# The parameter `task`.


@pytest.mark.row("KE-02")
@pytest.mark.rule("K6")
def test_a_defaulted_parameter_task_is_filled_in(world: World) -> None:
    def positional(a: int, task: Any = None) -> Gen:
        yield
        return task

    def keyword(*args: int, task: Any = None) -> Gen:
        yield
        return task

    async def coroutine(*, task: Any = None) -> Any:
        return task

    for target, args in ((positional, (1,)), (keyword, (1, 2)), (coroutine, ())):
        task = world.spawn(target, *args)
        world.run()
        assert task._value is task


@pytest.mark.row("KE-02")
def test_a_task_parameter_that_is_passed_or_required_is_left_alone(world: World) -> None:
    def given(a: int, task: Any = None) -> Gen:
        yield
        return task

    def required(task: Any) -> Gen:
        yield
        return task

    def local() -> Gen:
        task = 5
        yield
        return task

    assert world.result(given, 1, "mine") == "mine"
    assert world.result(given, 1, task="mine") == "mine"
    assert world.result(functools.partial(given, task="mine"), 1) == "mine"
    assert world.result(local) == 5
    with pytest.raises(TypeError):
        world.spawn(required)


@pytest.mark.row("KE-02")
def test_a_method_and_a_callable_object_get_the_task_too(world: World) -> None:
    methods = Methods()
    for target in (methods.method, methods):
        task = world.spawn(target, 1)
        world.run()
        assert methods.seen is task


# What is yielded.


@pytest.mark.row("KE-03")
@pytest.mark.rule("K6")
@pytest.mark.parametrize("value", [None, 0, "text", [1], Exception("x"), Task, iter([1]), object()])
def test_a_plain_value_comes_back_as_itself(world: World, value: Any) -> None:
    def target() -> Gen:
        got = yield value
        return got

    assert world.result(target) is value


@pytest.mark.row("KE-03")
def test_the_result_is_what_is_returned_whatever_was_yielded_last(world: World) -> None:
    def target() -> Gen:
        yield 5

    assert world.result(target) is None


@pytest.mark.row("KE-03")
@pytest.mark.rule("K6")
def test_a_subroutine_gives_its_return_value(world: World) -> None:
    def inner(x: int) -> Gen:
        yield
        return x * 2

    async def inner_async(x: int) -> int:
        await TURN
        return x * 3

    def outer() -> Gen:
        first = yield inner(1)
        second = yield inner_async(first)
        third = yield nothing()
        return first, second, third

    assert world.result(outer) == (2, 6, None)


@pytest.mark.row("KE-03")
def test_the_exception_of_a_subroutine_is_raised_at_its_yield(world: World) -> None:
    def inner() -> Gen:
        yield
        raise KeyError("inner")

    def outer() -> Gen:
        try:
            yield inner()
        except KeyError as error:
            caught = error
        assert caught.__context__ is None
        again = yield inner_2()
        return caught.args, again

    def inner_2() -> Gen:
        yield
        return "goes on"

    assert world.result(outer) == (("inner",), "goes on")


@pytest.mark.row("KE-03")
@pytest.mark.rule("K6")
@pytest.mark.parametrize("fails", [False, True])
def test_subroutines_nest_deeply_without_recursion(world: World, fails: bool) -> None:
    def deep(levels: int) -> Gen:
        if levels == 0:
            if fails:
                raise ValueError("bottom")
            return 0
        return 1 + (yield deep(levels - 1))

    if fails:
        with pytest.raises(ValueError, match="bottom"):
            world.result(deep, 5000)
    else:
        assert world.result(deep, 5000) == 5000


@pytest.mark.row("KE-03")
def test_a_runaway_recursion_ends_its_task_only(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dispycos.kernel.core.MAX_DEPTH", 200)

    def runaway() -> Gen:
        yield runaway()

    with pytest.raises(RecursionError):
        world.result(runaway)
    assert world.result(nothing) is None


@pytest.mark.row("KE-07")
@pytest.mark.rule("K6")
def test_what_is_marked_to_be_yielded_can_be_awaited(world: World) -> None:
    def child() -> Gen:
        yield
        return 4

    async def main(task: Any = None) -> Any:
        slept = await task.sleep(1, "alarm")
        task.send("message")
        got = await task.receive()
        joined = await world.spawn(child)()
        result = await world.spawn(child).result(5)
        finished = await world.spawn(child).finish()
        delivered = await task.deliver(1)
        monitored = await task.monitor(world.spawn(child))
        return slept, got, joined, result, finished, delivered, monitored

    assert world.result(main) == ("alarm", "message", 4, 4, 4, 1, 0)


class Foreign:
    """Awaitable, but of another event loop."""

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield self)


@pytest.mark.row("KE-07")
def test_awaiting_a_foreign_object_is_a_type_error_that_names_it(world: World) -> None:
    async def main() -> str:
        try:
            await Foreign()
        except TypeError as error:
            return str(error)
        return ""

    assert "Foreign" in world.result(main)


@pytest.mark.row("KE-07")
def test_generator_and_async_tasks_use_each_other(world: World) -> None:
    async def answer(task: Any = None) -> Any:
        sender = await task.receive()
        sender.send("answer")
        return "async done"

    def ask(task: Any = None) -> Gen:
        other = world.spawn(answer)
        yield task.monitor(other)
        other.send(task)
        first = yield task.receive()
        status = yield task.receive()
        return first, status.type, status.value

    assert world.result(ask) == ("answer", StopIteration, "async done")


# Joining.


def slow(task: Any = None) -> Gen:
    yield task.sleep(5)
    return "slow"


def failing(task: Any = None) -> Gen:
    yield task.sleep(1)
    raise ValueError("oops", 7)


@pytest.mark.row("KE-05")
def test_any_number_of_waiters_get_the_result_before_and_after_the_end(world: World) -> None:
    got = []
    other = world.spawn(slow)

    def wait() -> Gen:
        got.append((yield other()))
        got.append((yield other.finish()))

    for _ in range(10):
        world.spawn(wait)
    world.run()
    world.result(wait)
    assert got == ["slow"] * 22


@pytest.mark.row("KE-05")
def test_one_finish_object_serves_several_tasks(world: World) -> None:
    wait = world.spawn(slow)()

    def waiter() -> Gen:
        return (yield wait)

    tasks = [world.spawn(waiter) for _ in range(3)]
    world.run()
    assert [task._value for task in tasks] == ["slow"] * 3


@pytest.mark.row("KE-05")
@pytest.mark.parametrize("before", [True, False])
def test_a_failed_task_gives_its_status(world: World, before: bool) -> None:
    other = world.spawn(failing)
    if not before:
        world.run()

    def wait() -> Gen:
        return (yield other())

    status = world.result(wait)
    assert isinstance(status, MonitorStatus)
    assert status.info is other
    assert status.type is ValueError
    assert "oops" in status.value
    assert "Traceback" in status.value


@pytest.mark.row("KE-05")
@pytest.mark.parametrize("timeout", [0, -1, 1, 4.9])
def test_finish_gives_none_at_the_timeout(world: World, timeout: float) -> None:
    other = world.spawn(slow)

    def wait() -> Gen:
        return (yield other.finish(timeout))

    assert world.result(wait) is None
    assert other._joiners is None


@pytest.mark.row("KE-05")
def test_value_inside_a_task_is_an_error_and_no_deadlock(world: World) -> None:
    other = world.spawn(slow)

    def wait() -> Gen:
        yield
        return other.value(1)

    with pytest.raises(RuntimeError):
        world.result(wait)


@pytest.mark.row("KE-05")
def test_a_task_that_waits_for_itself_gets_an_error(world: World) -> None:
    def wait(task: Any = None) -> Gen:
        yield task()

    with pytest.raises(RuntimeError, match="its own end"):
        world.result(wait)


@pytest.mark.row("KE-06")
@pytest.mark.rule("K5")
def test_result_raises_the_original_exception_for_each_waiter(world: World) -> None:
    other = world.spawn(failing)
    caught = []

    def wait() -> Gen:
        try:
            yield other.result()
        except ValueError as error:
            tb, depth = error.__traceback__, 0
            names = []
            while tb is not None:
                names.append(tb.tb_frame.f_code.co_name)
                tb = tb.tb_next
                depth += 1
            caught.append((error, names))

    for _ in range(3):
        world.spawn(wait)
    world.run()
    world.result(wait)
    assert [error.args for error, _ in caught] == [("oops", 7)] * 4
    # The traceback of one waiter is not in that of the next, and no kernel frame comes last.
    assert all(names.count("wait") == 1 for _, names in caught)
    assert all(names[-1] == "failing" for _, names in caught)


@pytest.mark.row("KE-06")
def test_result_raises_a_timeout(world: World) -> None:
    other = world.spawn(slow)

    def wait() -> Gen:
        yield other.result(2)

    with pytest.raises(TimeoutError, match="slow"):
        world.result(wait)


@pytest.mark.row("KE-06")
def test_result_of_a_terminated_task_says_that_somebody_ended_it(world: World) -> None:
    other = world.spawn(slow)

    def wait() -> Gen:
        yield
        other.terminate()
        yield other.result()

    with pytest.raises(TaskCancelled, match=r"terminate.*wait/"):
        world.result(wait)


# Failing.


@pytest.mark.row("KE-08")
@pytest.mark.rule("K5")
@pytest.mark.parametrize(
    "raised",
    [
        ValueError("x"),
        SystemExit(3),
        KeyboardInterrupt(),
        GeneratorExit(),
        StopIteration(1),
        BaseException("b"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("kind", ["generator", "async"])
def test_any_exception_ends_its_task_only_and_is_logged_once(
    world: World, caplog: pytest.LogCaptureFixture, raised: BaseException, kind: str
) -> None:
    def fails() -> Gen:
        yield
        raise raised

    async def fails_async() -> None:
        await TURN
        raise raised

    other = world.spawn(slow)
    with caplog.at_level(logging.ERROR, "dispycos"):
        task = world.spawn(fails if kind == "generator" else fails_async)
        world.run()
    assert other._value == "slow"
    assert task._end is End.FAILED
    expected = RuntimeError if isinstance(raised, StopIteration) else type(raised)
    assert type(task._error) is expected
    assert task._status().type is expected
    (record,) = caplog.records
    assert record.name == "dispycos"
    assert "fails" in record.getMessage()
    assert record.exc_info is not None


@pytest.mark.row("KE-08")
def test_an_exception_that_answers_nothing_ends_its_task_only(world: World) -> None:
    class Secretive(Exception):
        def __getattribute__(self, name: str) -> Any:
            raise RuntimeError(name)

    def inner() -> Gen:
        yield
        raise Secretive

    def fails() -> Gen:
        yield inner()

    # As a client's: its client says how it ended, and needs no text here.
    task = world.kernel.spawn(fails, (), number=CLIENT_MADE)
    other = world.spawn(slow)
    world.run()
    assert type(task._error) is Secretive and other._value == "slow"


@pytest.mark.row("KE-05", "KE-08")
@pytest.mark.parametrize("number", [None, CLIENT_MADE])
def test_an_exception_whose_class_answers_nothing_ends_its_task(world: World, number: int | None) -> None:
    class Nameless(type):
        @property
        def __name__(cls) -> str:  # type: ignore[override]
            raise RuntimeError("no name")

    class Secretive(Exception, metaclass=Nameless):
        @property
        def __traceback__(self) -> Any:
            raise RuntimeError("no traceback")

    def fails() -> Gen:
        yield
        raise Secretive

    task = world.kernel.spawn(fails, number=number)
    other = world.spawn(slow)
    world.run()
    assert other._value == "slow"
    status = task._status()
    assert status.type is Secretive and "in fails" in status.value
    _, error = task._outcome(True)
    assert error is task._error


@pytest.mark.row("KE-08")
@pytest.mark.rule("K5")
def test_how_a_client_s_task_fails_is_said_by_its_client_alone(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    def fails() -> Any:
        yield
        raise ValueError("its client is told")

    ends: list[Any] = []
    with caplog.at_level(logging.WARNING, "dispycos"):
        world.kernel.spawn(fails, number=CLIENT_MADE + 1, on_done=ends.append)
        world.run()
    assert ends and not caplog.records


def test_the_logged_traceback_has_no_kernel_frames(world: World, caplog: pytest.LogCaptureFixture) -> None:
    def inner() -> Gen:
        yield
        raise ValueError("deep")

    async def middle(task: Any) -> None:
        try:
            await task.receive(1)
        finally:
            await outer_2()

    async def outer_2() -> None:
        await world.spawn(inner).result()

    def outer(task: Any = None) -> Gen:
        yield middle(task)

    world.spawn(outer)
    world.run()
    text = caplog.text
    assert "deep" in text
    assert "dispycos/kernel" not in text.replace("\\", "/")
    assert "in outer\n" in text
    assert "in middle\n" in text
    # No exception that the kernel handled seems to be the cause.
    assert "During handling" not in text


def test_a_failed_task_holds_no_kernel_frame(world: World) -> None:
    task = world.spawn(failing)
    world.run()
    tb = task._error.__traceback__ if task._error else None
    assert tb is not None
    assert tb.tb_frame.f_code.co_name == "failing"
    assert tb.tb_next is None


# Throwing and ending.


@pytest.mark.row("KE-12")
@pytest.mark.parametrize(
    ("args", "kind", "value"),
    [
        ((ValueError("a"),), ValueError, ("a",)),
        ((ValueError, "a"), ValueError, ("a",)),
        ((ValueError, ("a", 1)), ValueError, ("a", 1)),
        ((ValueError,), ValueError, ()),
        ((ValueError, ValueError("b")), ValueError, ("b",)),
    ],
)
@pytest.mark.parametrize("where", ["ready", "sleeping", "receiving", "in a subroutine", "async"])
def test_throw_raises_at_the_current_yield(
    world: World, args: tuple[Any, ...], kind: type, value: tuple[Any, ...], where: str
) -> None:
    def ready() -> Gen:
        while True:
            yield

    def sleeping(task: Any = None) -> Gen:
        yield task.sleep(10)

    def receiving(task: Any = None) -> Gen:
        yield task.receive()

    def in_subroutine(task: Any = None) -> Gen:
        yield sleeping(task)

    async def in_async(task: Any = None) -> None:
        await task.receive(20)

    targets: dict[str, Callable[..., Any]] = {
        "ready": ready,
        "sleeping": sleeping,
        "receiving": receiving,
        "in a subroutine": in_subroutine,
        "async": in_async,
    }
    task = world.spawn(targets[where])
    for _ in range(3):
        world.step()
    assert task.throw(*args) == 0
    world.settle()
    assert type(task._error) is kind
    assert task._error is not None
    assert task._error.args == value
    assert task.throw(*args) == -1
    assert len(world.kernel.timers) <= 1


@pytest.mark.row("KE-12")
def test_a_task_that_catches_what_is_thrown_goes_on(world: World) -> None:
    def target(task: Any = None) -> Gen:
        try:
            yield task.receive()
        except ValueError:
            pass
        return (yield task.receive())

    task = world.spawn(target)
    world.settle()
    task.throw(ValueError)
    task.send("later")
    world.run()
    assert task._value == "later"


@pytest.mark.row("KE-12")
@pytest.mark.rule("K4")
def test_each_of_several_thrown_exceptions_is_raised(world: World) -> None:
    caught = []

    def target(task: Any = None) -> Gen:
        for _ in range(3):
            try:
                yield task.receive()
            except ValueError as error:
                caught.append(error.args[0])

    task = world.spawn(target)
    world.settle()
    for number in range(3):
        task.throw(ValueError, number)
    world.run()
    assert caught == [0, 1, 2]


@pytest.mark.row("KE-12")
@pytest.mark.parametrize("args", [(), (5,), (int,), ("text", 1)])
def test_throw_of_what_is_no_exception_is_a_type_error(world: World, args: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError):
        world.spawn(slow).throw(*args)


@pytest.mark.row("KE-12")
@pytest.mark.parametrize("how", ["lets it pass", "returns", "yields", "yields for ever", "waits"])
def test_a_terminated_task_is_dropped_whatever_it_does(world: World, how: str) -> None:
    steps = []

    def inner(task: Any) -> Gen:
        try:
            yield task.sleep(10)
        except GeneratorExit:
            steps.append("inner")
            if how == "lets it pass":
                raise
            if how == "yields":
                yield
            if how == "waits":
                yield task.receive()
            if how == "yields for ever":
                for _ in range(2):
                    try:
                        yield
                    except GeneratorExit:
                        pass
        return "swallowed"

    def outer(task: Any = None) -> Gen:
        try:
            yield inner(task)
            steps.append("went on")
        finally:
            steps.append("outer")

    task = world.spawn(outer)
    world.settle()
    assert task.terminate() == 0
    world.settle()
    assert not task.is_alive()
    assert steps == ["inner", "outer"]
    assert task._status().type is Status.TaskTerminated
    assert task.terminate() == -1
    assert not world.kernel.tasks


@pytest.mark.row("KE-12")
def test_a_task_that_never_began_is_terminated_without_running(world: World) -> None:
    ran = []

    def target() -> Gen:
        ran.append(1)
        yield

    task = world.spawn(target)
    task.terminate("because the test says so")
    world.run()
    assert not ran
    assert task._status().value == "because the test says so"


@pytest.mark.row("KE-12")
def test_a_task_can_terminate_itself(world: World) -> None:
    after = []

    def target(task: Any = None) -> Gen:
        task.terminate()
        yield task.receive()
        after.append(1)

    def target_2(task: Any = None) -> Gen:
        task.terminate()
        yield nothing()
        after.append(1)

    for function in (target, target_2):
        task = world.spawn(function)
        world.run()
        assert not task.is_alive()
    assert not after


@pytest.mark.row("KE-12")
def test_what_a_task_raises_while_it_is_terminated_is_its_failure(world: World) -> None:
    def target() -> Gen:
        try:
            yield
        finally:
            raise KeyError("in finally")

    task = world.spawn(target)
    world.step()
    task.terminate()
    world.settle()
    assert task._status().type is KeyError


@pytest.mark.row("DC-56")
def test_an_interrupted_task_may_go_on_and_return(world: World, caplog: pytest.LogCaptureFixture) -> None:
    def catches(task: Any = None) -> Gen:
        try:
            yield task.receive()
        except KeyboardInterrupt:
            yield task.sleep(1)
            return "saved"

    def ignores(task: Any = None) -> Gen:
        yield task.receive()

    tasks = [world.spawn(catches), world.spawn(ignores)]
    world.settle()
    for task in tasks:
        assert task.interrupt("closing") == 0
    world.run()
    assert tasks[0]._value == "saved"
    assert tasks[1]._status().type is KeyboardInterrupt
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


# Sleeping.


@pytest.mark.row("KE-09")
def test_sleep_gives_the_update_or_the_alarm_value(world: World) -> None:
    def target(task: Any = None) -> Gen:
        first = yield task.sleep(3, "alarm")
        second = yield task.suspend()
        third = yield task.sleep(0, "at once")
        fourth = yield task.sleep(-1)
        return first, second, third, fourth

    task = world.spawn(target)
    world.run(until=10)
    assert task.is_alive()
    assert task.resume("update") == 0
    world.run()
    assert task._value == ("alarm", "update", "at once", None)
    assert task.wakeup() == -1


@pytest.mark.row("KE-09")
def test_resume_of_a_task_that_is_not_suspended_warns_and_has_no_effect(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    def target(task: Any = None) -> Gen:
        return (yield task.receive())

    task = world.spawn(target)
    world.settle()
    assert task.resume(1) == 0
    world.settle()
    assert task.is_alive()
    assert "not suspended" in caplog.text


@pytest.mark.row("KE-09")
@pytest.mark.parametrize("timeout", ["soon", float("nan"), [1]])
def test_a_timeout_that_is_none_is_refused_in_the_task(world: World, timeout: Any) -> None:
    def target(task: Any = None) -> Gen:
        yield task.sleep(timeout)

    with pytest.raises((TypeError, ValueError)):
        world.result(target)


@pytest.mark.rule("K3")
def test_a_delay_counts_from_when_it_was_asked_for(world: World) -> None:
    def target(task: Any = None) -> Gen:
        yield task.sleep(10)

    task = world.spawn(target)
    world.step()  # a long step: the clock has moved on when the next one begins
    world.now += 50
    assert world.step() == world.now + 10
    world.now += 9.9
    world.step()
    assert task.is_alive()
    world.now += 0.2
    world.step()
    assert not task.is_alive()


# Monitors.


@pytest.mark.row("KE-13")
def test_each_monitor_gets_one_status(world: World) -> None:
    def watch(other: Task, task: Any = None) -> Gen:
        assert (yield task.monitor(other)) == 0
        assert (yield task.monitor(other)) == 0
        status = yield task.receive()
        return status, (yield task.receive(1))

    other = world.spawn(failing)
    watchers = [world.spawn(watch, other) for _ in range(3)]
    world.run()
    for watcher in watchers:
        status, more = watcher._value
        assert (status.info, status.type, more) == (other, ValueError, None)


@pytest.mark.row("KE-13")
def test_the_status_of_a_task_that_has_ended_comes_at_once(world: World) -> None:
    other = world.spawn(nothing)
    world.run()

    def watch(task: Any = None) -> Gen:
        got = other.notify(task)
        return got, (yield task.receive(0)).type

    assert world.result(watch) == (0, StopIteration)


class Remote(Task):
    """A task elsewhere, to which numbers can't be sent."""

    __slots__ = ("got",)

    def send(self, message: Any) -> int:
        if isinstance(message.value, int):
            raise TypeError("can't pickle it")
        self.got.append(message)
        return 0


@pytest.mark.row("KE-13")
@pytest.mark.parametrize("before", [True, False])
def test_a_monitor_elsewhere_learns_that_a_result_can_not_travel(world: World, before: bool) -> None:
    remote: Remote = Remote.__new__(Remote)
    remote._begin(world.kernel, 1000, slow, (), {})
    remote.got = []

    def target() -> Gen:
        yield
        return 5

    task = world.spawn(target)
    if not before:
        world.settle()
    assert task.notify(remote) == 0
    world.settle()
    (status,) = remote.got
    assert status.type is TypeError
    assert "can't pickle it" in status.value


@pytest.mark.row("KE-13")
def test_a_dead_task_can_not_monitor(world: World) -> None:
    dead = world.spawn(nothing)
    world.run()
    assert dead.monitor(world.spawn(slow)) == -1


# Names and identity.


@pytest.mark.row("KE-15")
@pytest.mark.row("R-96")
def test_ids_are_used_once(world: World) -> None:
    seen = set()
    for _ in range(20_000):
        task = world.spawn(nothing)
        world.step()
        assert not task.is_alive()
        assert task.number not in seen
        seen.add(task.number)


@pytest.mark.row("KE-15")
def test_a_task_says_what_it_is(world: World) -> None:
    task = world.kernel.spawn(slow, number=CLIENT_MADE | 5, name="other")
    assert (task.number, task.name, str(task)) == (CLIENT_MADE | 5, "other", f"other/{CLIENT_MADE | 5}")
    assert task.location is None
    assert world.kernel.tasks[task.number] is task
    assert {task: 1}[task] == 1
    assert task != world.spawn(slow)
    assert task.is_alive()


@pytest.mark.row("KE-15")
def test_without_a_network_a_task_can_not_be_pickled(world: World) -> None:
    import copy
    import pickle

    task = world.spawn(slow)
    with pytest.raises(TypeError, match="no network"):
        pickle.dumps([task])
    assert copy.deepcopy([task])[0] is task


@pytest.mark.row("KE-14")
def test_names_are_registered_and_located(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Task, "_default", staticmethod(lambda: world.kernel))
    first, second = world.spawn(slow), world.spawn(slow)
    assert first.register() == 0
    assert first.register() == 0
    assert second.register() == -1
    assert second.register("second") == 0

    def find(name: str, timeout: float | None) -> Gen:
        return (yield Task.locate(name, timeout=timeout))

    assert world.spawn(find, "later", None)
    waiting = world.spawn(find, "later", None)
    assert world.kernel.spawn(find, ("slow", 0))
    early = world.spawn(find, "slow", 0)
    missing = world.spawn(find, "missing", 2)
    world.step()
    second.register("later")
    world.run(until=3)
    assert early._value is first
    assert waiting._value is second
    assert not missing.is_alive()
    assert missing._value is None
    assert first.unregister() == 0
    assert first.unregister() == -1
    assert second.unregister("slow") == -1
    assert second.register("slow") == 0
    assert not world.kernel.names._wanted


# Hot swapping.


@pytest.mark.row("KE-16")
def test_a_swapped_task_runs_the_new_function_with_its_messages(world: World) -> None:
    def old(task: Any = None) -> Gen:
        task.hot_swappable(True)
        yield task.sleep()

    def new(base: int, task: Any = None) -> Gen:
        got = yield task.receive()
        return base + got

    task = world.spawn(old)
    world.settle()
    task.send(5)
    assert task.hot_swap(new, 10) == 0
    world.run()
    assert task._value == 15
    assert task.hot_swap(new, 10) == -1


@pytest.mark.row("KE-16")
def test_a_task_may_swallow_the_swap(world: World) -> None:
    def old(task: Any = None) -> Gen:
        task.hot_swappable(True)
        try:
            yield task.receive()
        except Exception as error:
            swap = error
        assert type(swap).__name__ == "HotSwapException"
        assert next(swap.args[0]) is None
        return (yield task.receive())

    def new() -> Gen:
        yield

    task = world.spawn(old)
    world.settle()
    task.hot_swap(new)
    world.settle()
    assert not world.kernel.swaps
    task.send("old goes on")
    world.run()
    assert task._value == "old goes on"


@pytest.mark.row("KE-16")
def test_a_swap_waits_until_the_task_allows_it_at_top_level(world: World) -> None:
    def inner(task: Any) -> Gen:
        yield task.sleep(1)

    def old(task: Any = None) -> Gen:
        yield task.sleep(1)
        task.hot_swappable(True)
        yield inner(task)
        yield world.spawn(slow)()
        yield task.sleep(100)

    def new() -> Gen:
        return "new"
        yield

    task = world.spawn(old)
    world.settle()
    task.hot_swap(new)
    world.run(until=6.5)
    assert task.is_alive()
    world.run(until=1)
    assert task._value == "new"


# Looking at it.


@pytest.mark.rule("K8")
def test_a_task_says_where_it_waits(world: World) -> None:
    def inner(task: Any) -> Gen:
        yield task.receive()

    async def middle(task: Any) -> None:
        await innermost(task)

    async def innermost(task: Any) -> None:
        await task.sleep(4)

    def outer(task: Any = None) -> Gen:
        yield inner(task)
        yield middle(task)

    task = world.spawn(outer)
    assert [frame.function.rpartition(".")[2] for frame in task.where()] == ["outer"]
    world.settle()
    names = [frame.function.rpartition(".")[2] for frame in task.where()]
    assert names == ["outer", "inner"]
    assert task.where()[0].filename == __file__
    assert task.where()[0].line == outer.__code__.co_firstlineno + 1
    task.send(1)
    world.settle()
    names = [frame.function.rpartition(".")[2] for frame in task.where()]
    assert names == ["outer", "middle", "innermost"]
    world.run()
    assert task.where() == []


@pytest.mark.rule("K1")
def test_a_task_is_in_one_state(world: World) -> None:
    states = []

    def target(task: Any = None) -> Gen:
        states.append(task.state)
        yield task.receive()

    task = world.spawn(target)
    states.append(task.state)
    world.step()
    states.append(task.state)
    task.send(1)
    states.append(task.state)
    world.step()
    states.append(task.state)
    assert states == ["ready", "running", "waiting", "ready", "done"]
