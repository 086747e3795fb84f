"""Arrivals: who closes them, and when what they hold is let go."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from dispycos.client.arrivals import Arrivals


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
