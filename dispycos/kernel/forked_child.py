"""A child that the kernel's own thread forks: it has what runs just now, up to its end or its next `yield`.

All else is the parent's: the other tasks, what was posted, and who waits for what runs. In the child
the code that forked comes back into that same step, of which there is no other way out, so the step
finds nothing but its own end, wherever it looks.

I/O half. Layer 3.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

from dispycos import forks, frames
from dispycos.kernel.core import Kernel
from dispycos.kernel.task import Task


def confine(kernel: Kernel) -> None:
    """Have this process, a child that the kernel's thread has just forked, go on with nothing but what runs.

    It ends where the task's own code ends, as Python does, or with an error behind the next `yield`;
    without an error if the kernel ran no task, or one that has ended: it was to tell somebody of that.
    """
    task = kernel.current
    end = partial(_leave_at_yield, task)
    kernel._posted.clear()
    kernel._posted.append((end, ()))
    kernel.before_wait.clear()
    kernel.swaps.clear()
    kernel.timers.fresh.clear()
    kernel.timers.heap.clear()
    kernel.ready.clear()
    kernel.ready.append(_Last(end))  # type: ignore[arg-type]  # as far as a step goes with it
    if task is not None and task.is_alive():
        # Around the task's own code, and inside what is ours, which would tell others how it ended.
        stack = task._stack = task._stack or []
        caller: Any = _Caller(task)  # as far as a step goes with it
        stack.insert(len(list(itertools.takewhile(_is_ours, stack))), caller)


class _Last:
    """What a step runs next, in the place of a task and of its generator."""

    _attention = _input = None

    def __init__(self, end: Callable[[], NoReturn]) -> None:
        self._generator = self
        self._end = end

    def send(self, value: None) -> NoReturn:
        self._end()


def _is_ours(runnable: Any) -> bool:
    frame = getattr(runnable, "gi_frame", None) or getattr(runnable, "cr_frame", None)
    return frame is not None and frames.is_ours(frame)


class _Caller:
    """The caller of the task's own code, in the place of a generator: how that ends ends the child."""

    def __init__(self, task: Task) -> None:
        self._task = task

    def send(self, value: Any) -> NoReturn:
        """It returned."""
        forks.leave()

    def throw(self, error: BaseException) -> NoReturn:
        """It raised."""
        forks.leave(error)

    def close(self) -> NoReturn:
        """It was closed, by who ended the task, and is done with its `finally` blocks."""
        forks.leave(self._task._error)


def _leave_at_yield(task: Task | None) -> NoReturn:
    if task is None or not task.is_alive():
        forks.leave()
    forks.leave(
        RuntimeError(
            "a forked child can't go on behind a `yield`: what its task waits for comes to the parent; "
            "end the child by a return or by os._exit()"
        )
    )
