"""Holding a task at its next yield until something has room: back-pressure on who sends (N4).

`send` itself never waits, so a task that sends faster than the network takes it is held at
the first scheduling point after that instead of being put back into the queue. It keeps what
it was about to get: a value, or something thrown in meanwhile, which ends the hold at once.

Pure: no I/O, clock or randomness. Rules K4, N4.
"""

from __future__ import annotations

from typing import Any, Protocol

from dispycos.kernel.core import Kernel
from dispycos.kernel.task import Task
from dispycos.kernel.wait import Waitable, Waiter


class Room(Protocol):
    """What is waited for: an Operation."""

    def add_done_callback(self, function: Any) -> None: ...


def hold(kernel: Kernel, room: Room) -> None:
    """Let the running task go on only when `room` is done; kernel thread."""
    task = kernel.current
    if task is not None:
        kernel.post(_begin, kernel, task, room)


def _begin(kernel: Kernel, task: Task, room: Room) -> None:
    # A task that waits for something sends nothing meanwhile; one that was thrown into is
    # not to be kept from that.
    if task.state != "ready" or task._attention is not None:
        return
    kernel.ready.remove(task)
    held = _Held(task)
    task._waiting = held
    room.add_done_callback(lambda _: kernel.post(held.end))


class _Held(Waitable):
    """A ready task that was taken out of the queue, with what it was about to get."""

    __slots__ = ("_input", "_task")

    hears = False

    def __init__(self, task: Task) -> None:
        self._task = task
        self._input = task._input

    def end(self) -> None:
        """There is room."""
        task = self._task
        if task._waiting is self:
            task._wake(self._input)

    def _wait(self, task: Waiter) -> Waitable | None:
        return self

    def _undo(self, task: Waiter) -> None:
        """Something was thrown into the task: it does not go on where it stood."""
