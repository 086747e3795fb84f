"""What a task runs: targets, and plain functions made into one."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any

import pytest

from dispycos.errors import TaskCancelled
from dispycos.kernel.core import Kernel
from dispycos.kernel.target import as_target, runs
from dispycos.model import End


def plain(n: int, factor: int = 2) -> int:
    return n * factor


def fails(n: int) -> int:
    raise ValueError(n)


def generator(n: int) -> Iterator[Any]:
    yield
    return n + 1


async def coroutine(n: int) -> int:
    return n + 2


class Callable:
    def __call__(self, n: int) -> int:
        return n + 3

    def method(self, n: int) -> Iterator[Any]:
        yield
        return n + 4


@functools.wraps(generator)
def decorated(n: int) -> Any:
    return generator(n)


def ended(function: Any, *args: Any, **kwargs: Any) -> Any:
    """The task of `as_target(function)`, run to its end."""
    kernel = Kernel()
    task = kernel.spawn(as_target(function), args, kwargs)
    while task.is_alive():
        kernel.step(0.0)
    return task


@pytest.mark.row("DC-63")
@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (plain, 20),
        (generator, 11),
        (coroutine, 12),
        (Callable(), 13),
        (Callable().method, 14),
        (functools.partial(plain, factor=3), 30),
        (functools.partial(generator), 11),
        (lambda n: generator(n), 11),
        (lambda n: coroutine(n), 12),
        (decorated, 11),
        (abs, 10),
        (str, "10"),
    ],
)
def test_a_function_of_any_kind_gives_its_result(function: Any, expected: Any) -> None:
    assert ended(function, 10)._value == expected


@pytest.mark.row("DC-63")
def test_a_generator_expression_is_a_value_and_no_task() -> None:
    value = ended(lambda n: (each * n for each in range(2)), 10)._value
    assert list(value) == [0, 10]  # on a cluster: it can't travel, and that is told


@pytest.mark.row("DC-63")
def test_only_what_a_task_runs_by_itself_is_a_target() -> None:
    made = (generator, coroutine, functools.partial(generator), Callable().method)
    assert all(runs(target) for target in made)
    assert all(as_target(target) is target for target in made)
    assert not any(runs(target) for target in (plain, Callable(), abs, str, Callable().__call__, 3))


@pytest.mark.row("DC-63")
def test_a_plain_function_keeps_its_name_and_its_own_traceback() -> None:
    assert as_target(plain).__name__ == "plain"
    task = ended(fails, 7)
    assert task._end is End.FAILED
    assert task._error.args == (7,)
    assert task._value.tb_frame.f_code.co_name == "fails"
    # One that has no frame in Python keeps what there is.
    assert type(ended(math.sqrt, -1)._error) is ValueError


@pytest.mark.row("DC-63")
def test_a_plain_function_with_a_parameter_named_task_gets_none() -> None:
    def of(task: Any = "default") -> Any:
        return task

    assert ended(of)._value == "default"


def test_a_plain_function_can_be_ended_before_it_is_called() -> None:
    kernel = Kernel()
    task = kernel.spawn(as_target(plain), (1,))
    task.terminate("not wanted")
    kernel.step(0.0)
    assert isinstance(task._error, TaskCancelled)
