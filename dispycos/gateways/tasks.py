"""Tasks at the far end of a gateway: remote code that is a generator function or `async def`."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from dispycos.kernel import loop
from dispycos.kernel.target import begin
from dispycos.kernel.task import Task
from dispycos.kernel.trace import trim


class Tasks:
    """Runs any number of them in one thread, that of the process's own kernel."""

    def __init__(self) -> None:
        self._loop = loop.default()

    @property
    def busy(self) -> int:
        """How many run."""
        return len(self._loop.kernel.tasks)

    def begin(self, call: Callable[..., Any], done: Callable[[BaseException | None], object]) -> None:
        """Run it as a task, and say how it ended; any thread."""
        Task(watched, call, done)

    def close(self) -> None:
        """End them all."""
        self._loop.terminate()


def watched(
    call: Callable[..., Any], done: Callable[[BaseException | None], object], task: Task | None = None
) -> Generator[Any, Any, None]:
    """The task that runs remote code: `done` is called once, with its error if it raised one."""
    error: BaseException | None = None
    try:
        yield begin(call, (), {}, task)
    except GeneratorExit:
        done(None)
        raise
    except BaseException as exc:
        trim(exc)
        error = exc
    done(error)
