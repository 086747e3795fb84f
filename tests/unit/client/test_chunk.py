"""Chunks: what a server makes of several items of a map."""

from __future__ import annotations

import math
import threading
import time
from typing import Any

import pytest

from dispycos.client.chunk import Each, Results
from dispycos.errors import NotSerializable, TaskCancelled
from dispycos.kernel.core import Kernel
from dispycos.pickling import values
from dispycos.pickling.values import RemoteTraceback

pytestmark = pytest.mark.row("DC-64")


def run(function: Any, items: list[Any], spread: bool = False) -> Results:
    """What the chunk comes to, sent there and back."""
    kernel = Kernel()
    task = kernel.spawn(Each(function, spread), (items,), number=5)
    while task.is_alive():
        kernel.step(0.0)
    assert task._error is None, task._error
    return Results(*values.load(values.dump(task._value)))


def square(n: int) -> int:
    return n * n


def at_three(n: int) -> int:
    if n == 3:
        raise LookupError("three")
    return n


def generator(n: int, task: Any = None) -> Any:
    yield
    return n, task.number


async def coroutine(n: int) -> int:
    return at_three(n)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (square, [0, 1, 4, 9]),
        (generator, [(0, 5), (1, 5), (2, 5), (3, 5)]),
        (lambda n: generator(n, task=Kernel()), None),
        (math.sqrt, [0.0, 1.0, math.sqrt(2), math.sqrt(3)]),
    ],
)
def test_each_item_has_its_result_in_order(function: Any, expected: Any) -> None:
    if expected is None:
        results = run(lambda n: coroutine(n), [0, 1, 2])
        expected = [0, 1, 2]
    else:
        results = run(function, [0, 1, 2, 3])
    assert results.load() == expected
    assert results.number == len(expected)
    assert results.error() is None
    assert results.seconds >= 0


def test_several_arguments_are_passed_as_such() -> None:
    assert run(pow, [(2, 3), (3, 2)], spread=True).load() == [8, 9]


@pytest.mark.parametrize("function", [at_three, coroutine])
def test_the_first_failure_ends_the_chunk_and_keeps_what_was_before(function: Any) -> None:
    results = run(function, [1, 2, 3, 4])
    assert results.load() == [1, 2]
    error = results.error()
    assert isinstance(error, LookupError)
    assert isinstance(error.__cause__, RemoteTraceback)
    assert "in at_three" in str(error.__cause__)
    assert "client/chunk.py" not in str(error.__cause__)


def test_a_chunk_stands_where_its_item_does() -> None:
    kernel = Kernel()
    task = kernel.spawn(Each(generator, False), ([1],), number=5)
    kernel.step(0.0)
    assert [frame.function for frame in task.where()] == ["generator"]


def test_what_ends_an_iteration_does_not_end_the_map_unseen() -> None:
    def stops(n: int) -> int:
        return next(iter([]))  # type: ignore[no-any-return]

    error = run(stops, [1]).error()
    assert isinstance(error, RuntimeError)
    assert "StopIteration" in str(error)


def test_a_result_that_cannot_be_pickled_is_a_failure_in_its_place() -> None:
    results = run(lambda n: [threading.Lock()] if n == 2 else n, [0, 1, 2, 3])
    assert results.load() == [0, 1]
    error = results.error()
    assert isinstance(error, NotSerializable)
    assert "result of <lambda>[0]" in str(error)


def test_large_results_travel() -> None:
    results = run(lambda n: bytes([n]) * 200_000, [1, 2])
    assert results.load() == [b"\1" * 200_000, b"\2" * 200_000]
    assert results.size >= 400_000


def test_others_have_their_turn_between_two_items_that_take_long() -> None:
    seen: list[Any] = []

    def slow(n: int) -> int:
        deadline = time.perf_counter() + 0.012
        while time.perf_counter() < deadline:
            pass
        seen.append(n)
        return n

    def other() -> Any:
        for _ in range(5):
            seen.append("other")
            yield

    kernel = Kernel()
    task = kernel.spawn(Each(slow, False), ([0, 1, 2],))
    kernel.spawn(other)
    while task.is_alive():
        kernel.step(0.0)
    assert seen[:6] == [0, "other", 1, "other", 2, "other"]


def test_who_ends_the_chunk_ends_it_between_two_items() -> None:
    seen: list[int] = []

    def slow(n: int) -> None:
        deadline = time.perf_counter() + 0.012
        while time.perf_counter() < deadline:
            pass
        seen.append(n)

    kernel = Kernel()
    task = kernel.spawn(Each(slow, False), ([0, 1, 2],))
    kernel.step(0.0)
    task.interrupt("enough")
    kernel.step(0.0)
    assert seen == [0]
    assert isinstance(task._error, (KeyboardInterrupt, TaskCancelled))
