"""Late values are made once, by who looks first, in that one's thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator
from typing import Any

import pytest

from dispycos.kernel.late import NOT_MADE, Late
from dispycos.kernel.task import Task
from tests.helpers import wait_until


class Number(Late):
    """5, or an error; notes in which threads it was made."""

    def __init__(self, error: BaseException | None = None) -> None:
        super().__init__()
        self.error = error
        self.made: list[int] = []

    def _make(self) -> tuple[Any, BaseException | None]:
        self.made.append(threading.get_ident())
        return (5, None) if self.error is None else (None, self.error)


def yielding(late: Late) -> Generator[Any, Any, Any]:
    return (yield late), threading.get_ident()


async def awaiting(late: Late) -> Any:
    return await late, threading.get_ident()


@pytest.mark.row("DC-60")
@pytest.mark.parametrize("target", [yielding, awaiting])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_task_gets_a_value_that_its_own_thread_made(target: Callable[..., Any], when: str) -> None:
    late = Number()
    if when == "before":
        late.complete(NOT_MADE)
    task = Task(target, late)
    if when == "after":
        wait_until(lambda: task.state == "waiting")
        late.complete(NOT_MADE)
    value, thread = task.value(10)
    assert (value, late.made) == (5, [thread])


@pytest.mark.row("DC-60")
@pytest.mark.parametrize("when", ["before", "after"])
def test_so_does_an_asyncio_program(when: str) -> None:
    late = Number()

    async def main() -> Any:
        if when == "before":
            late.complete(NOT_MADE)
        else:
            asyncio.get_running_loop().call_soon(late.complete, NOT_MADE)
        return await late

    assert asyncio.run(main()) == 5
    assert late.made == [threading.get_ident()]


@pytest.mark.row("DC-60")
def test_so_does_a_plain_thread_and_nobody_else_makes_it() -> None:
    late = Number()
    assert late.complete(NOT_MADE)
    assert late.done()
    assert late.made == []
    assert (late.result(), late.result(), late.exception()) == (5, 5, None)
    assert late.made == [threading.get_ident()]


@pytest.mark.row("DC-60")
@pytest.mark.parametrize("target", [yielding, awaiting])
def test_a_failure_is_raised_however_it_is_waited_for(
    run: Callable[..., Any], target: Callable[..., Any]
) -> None:
    late = Number(KeyError("k"))
    late.complete(NOT_MADE)
    with pytest.raises(KeyError):
        run(target, late)
    with pytest.raises(KeyError):
        late.result()
    with pytest.raises(KeyError):
        asyncio.run(awaiting(late))
    assert isinstance(late.exception(), KeyError)


class Crossed(Late):
    """Completed by another thread just when a task has looked whether it is."""

    def _make(self) -> tuple[Any, BaseException | None]:
        return 5, None

    def _look(self) -> None:
        super()._look()
        self.complete(NOT_MADE)


@pytest.mark.row("DC-60")
@pytest.mark.parametrize("target", [yielding, awaiting])
def test_a_value_that_comes_while_one_begins_to_wait_is_made_too(
    run: Callable[..., Any], target: Callable[..., Any]
) -> None:
    assert run(target, Crossed())[0] == 5
    assert asyncio.run(awaiting(Crossed()))[0] == 5
