"""The process's own kernel on its thread, ended after each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dispycos.kernel import loop
from dispycos.kernel.task import Task


@pytest.fixture(autouse=True)
def _ended(_nothing_left: None) -> Iterator[None]:
    yield
    if loop._own is not None:
        loop._own.terminate()


@pytest.fixture
def run() -> Callable[..., Any]:
    """`run(target, *args)`: the result of a task, waited for in this thread; raises what it raised."""

    def run(target: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        task = Task(target, *args, **kwargs)
        status = task.value(20)
        assert not task.is_alive(), f"{task} waits at {task.where()}"
        if task._error is not None:
            raise task._error
        return status

    return run
