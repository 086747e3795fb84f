"""Arrivals: who closes them, and when what they hold is let go."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dispycos.client.arrivals import Arrivals
from dispycos.kernel.core import Kernel


class Numbers(Arrivals):
    """1, 2, 3, ... without end, each made by `make`; notes what happens, in order."""

    def __init__(self, make: Callable[[Numbers], object] = lambda numbers: None) -> None:
        super().__init__(None)
        self.said: list[str] = []
        self._make_one = make
        self._last = 0
        self._closed = False

    def _take(self) -> list[Any] | None:
        self._make_one(self)
        self._last += 1
        self.said.append(f"made {self._last}")
        return [self._last]

    def _release(self) -> None:
        self.said.append("released")

    def _unfinished(self) -> str:
        return "a number did not come"


@pytest.mark.row("DC-64")
def test_what_is_made_while_another_thread_closes_is_released_too():
    making, closed = threading.Event(), threading.Event()

    def make(numbers: Numbers) -> None:
        making.set()
        assert closed.wait(10)

    numbers = Numbers(make)
    taker = threading.Thread(target=lambda: next(numbers, None))
    taker.start()
    assert making.wait(10)
    numbers.close()  # does not wait for who makes them
    assert numbers.said == []
    closed.set()
    taker.join(10)
    assert numbers.said == ["made 1", "released"]
    assert list(numbers) == []


@pytest.mark.row("DC-64")
def test_they_may_be_closed_by_what_makes_them():
    numbers = Numbers(Numbers.close)
    assert list(numbers) == []
    assert numbers.said == ["made 1", "released"]


@pytest.mark.row("DC-64")
def test_closed_again_and_again_they_release_once():
    numbers = Numbers()
    with numbers:
        assert next(numbers) == 1
    numbers.close()
    numbers.close()
    assert numbers.said == ["made 1", "released"]


@pytest.mark.row("DC-64")
def test_a_failure_closes_them():
    def fail(numbers: Numbers) -> None:
        raise LookupError("no more")

    numbers = Numbers(fail)
    with pytest.raises(LookupError):
        next(numbers)
    assert numbers.said == ["released"]
    assert next(numbers, None) is None


class Awaited(Numbers):
    """None comes; whoever waits is interrupted."""

    def _take(self) -> list[Any] | None:
        self._make_one(self)
        return []

    def _interrupted(self) -> None:
        self.said.append("interrupted")


class Interrupted:
    """What is listened to while Ctrl-C is pressed."""

    listen = done = lambda self: self

    def result(self, timeout: float | None = None) -> None:
        raise KeyboardInterrupt

    def ring(self) -> None:
        """Nobody listens."""


@pytest.mark.row("DC-64")
@pytest.mark.parametrize("wait", [next, Awaited.result])
def test_ctrl_c_at_who_waits_in_a_plain_thread_is_told(wait: Callable[[Any], object]) -> None:
    awaited = Awaited()
    awaited._bell = Interrupted()  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        wait(awaited)
    assert awaited.said == ["interrupted"]


@pytest.mark.row("DC-64")
def test_ctrl_c_at_who_makes_them_is_told_before_they_are_released() -> None:
    def press(numbers: Numbers) -> None:
        raise KeyboardInterrupt

    awaited = Awaited(press)
    with pytest.raises(KeyboardInterrupt):
        next(awaited)
    assert awaited.said == ["interrupted", "released"]


async def each_of(awaited: Arrivals) -> None:
    async for _ in awaited:
        pass


async def all_of(awaited: Arrivals) -> None:
    await awaited


def all_yielded(awaited: Arrivals) -> Iterator[Any]:
    yield awaited


def one_yielded(awaited: Arrivals) -> Iterator[Any]:
    yield awaited.next(None)


@pytest.mark.row("DC-64")
@pytest.mark.parametrize("waits", [one_yielded, all_yielded, each_of, all_of])
def test_a_task_that_waits_and_is_interrupted_tells_so(waits: Callable[[Arrivals], Any]) -> None:
    awaited = Awaited()
    kernel = Kernel()
    task = kernel.spawn(waits, (awaited,))
    for _ in range(3):
        kernel.step(0.0)
    assert task.is_alive() and not awaited.said
    task.interrupt("the test ends it")
    while task.is_alive():
        kernel.step(0.0)
    assert awaited.said[0] == "interrupted"


@pytest.mark.row("DC-64")
@pytest.mark.parametrize("waits", [each_of, all_of])
def test_who_waits_in_asyncio_and_is_cancelled_tells_so(waits: Callable[[Arrivals], Any]) -> None:
    # As asyncio.run does at Ctrl-C.
    async def program(awaited: Awaited) -> None:
        waiting = asyncio.ensure_future(waits(awaited))
        await asyncio.sleep(0)
        assert not waiting.done() and not awaited.said
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    awaited = Awaited()
    asyncio.run(program(awaited))
    assert awaited.said[0] == "interrupted"


@pytest.mark.row("DC-64")
@pytest.mark.parametrize("waits", [each_of, all_of])
def test_who_waits_in_asyncio_for_too_long_tells_so(waits: Callable[[Arrivals], Any]) -> None:
    async def program(awaited: Awaited) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await waits(awaited)

    awaited = Awaited()
    asyncio.run(program(awaited))
    assert awaited.said[0] == "interrupted"
