"""A wait that a task function throws away is found in its code, and told once."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest

from dispycos.client.components import Components
from dispycos.client.shipping import Shipping
from dispycos.config import Limits
from dispycos.kernel import unwaited
from tests.unit.kernel.world import World

Gen = Generator[Any, Any, Any]


def found(function: Callable[..., Any]) -> list[tuple[str, int]]:
    """What is thrown away, and how many lines below the function's first."""
    first = function.__code__.co_firstlineno
    return [(method, line - first) for method, line in unwaited.thrown_away(function.__code__)]


def forgets(task: Any = None) -> Gen:
    task.sleep(1)
    yield task.sleep(2)
    task.receive(
        timeout=3,
        alarm_value=min(1, 2),
    )
    for _ in range(3):
        task.recv()
    yield


async def forgets_await(n: int, *, task: Any = None) -> Any:
    task.suspend()

    async def inner() -> Any:
        return await task.sleep(n)

    return await inner()


def forgets_nothing(n: int, task: Any = None) -> Gen:
    pause = task.sleep
    yield pause(1)
    yield from [task.sleep(i) for i in range(n)]
    kept = task.sleep(n)
    task.send(n)
    if task.receive() is kept:
        yield kept
    return task.sleep(n)


def other_task(n: int) -> Gen:
    task = n.other  # type: ignore[attr-defined]  # whatever that is
    task.sleep(1)
    yield


def own_task(task: Any = None) -> Gen:
    task = task.other
    task.sleep(1)
    yield


def robot(task: Any) -> None:
    task.sleep(1)  # a plain function: whatever its `task` is, nothing fills it in


def names_another(task: Any = None) -> Gen:
    yield forgets_in_a_subroutine(task)


def forgets_in_a_subroutine(task: Any) -> Gen:
    task.receive()
    yield


def test_what_is_thrown_away_is_found_and_nothing_else() -> None:
    assert found(forgets) == [("sleep", 1), ("receive", 3), ("recv", 8)]
    assert found(forgets_await) == [("suspend", 1)]
    assert found(forgets_nothing) == []
    assert found(other_task) == []
    assert found(own_task) == []


def test_a_local_task_is_told_of_before_it_runs_and_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    for function in (names_another, names_another, forgets_in_a_subroutine):
        world.kernel.spawn(function, kwargs={"task": None})
    line = forgets_in_a_subroutine.__code__.co_firstlineno + 1
    (told,) = caplog.messages
    assert told.startswith(f"forgets_in_a_subroutine does not wait at line {line} of test_unwaited.py: ")
    # Who calls a subroutine passes what he likes.
    assert told.endswith("task.receive() without `yield` does nothing, if `task` is a Task")


def test_of_a_remote_task_its_client_tells(caplog: pytest.LogCaptureFixture) -> None:
    unwaited.warn(robot)
    shipping = Shipping(Components(), Limits())
    assert [shipping.name(forgets_await), shipping.name(forgets_await)] == ["forgets_await"] * 2
    assert len(caplog.messages) == 1 and "task.suspend() without `await` does nothing" in caplog.messages[0]


def test_a_long_chain_of_subroutines_is_followed_as_far_as_it_is_worth(world: World) -> None:
    names: dict[str, Any] = {}
    for number in range(2000):
        exec(f"def chain{number}(task=None):\n    yield chain{number + 1}(task)\n", names)
    world.kernel.spawn(names["chain0"])


def test_a_task_that_is_yielded_is_no_wait_which_is_told_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    def other() -> Gen:
        yield
        return 3

    def waits_not() -> Gen:
        task = world.spawn(other)
        assert (yield task) is task
        assert (yield task()) == 3

    tasks = [world.spawn(waits_not), world.spawn(waits_not)]
    world.run()
    assert [task._value for task in tasks] == [None, None]
    line = waits_not.__code__.co_firstlineno + 2
    assert caplog.messages == [
        (
            f"waits_not does not wait at line {line} of test_unwaited.py: "
            "to yield a task gives it back; `yield task()` waits for it"
        )
    ]
