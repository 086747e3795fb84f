"""Pycos as `import pycos` alone has it: tasks of this process, and no network.

I/O half. Layer 7. Rows CO-02, CO-03.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Self

from dispycos.kernel import loop
from dispycos.kernel.task import Task
from dispycos.model import Location


class Pycos:
    """What runs the tasks of this process; one object."""

    _instance: ClassVar[Any] = None

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self:
        made = vars(cls).get("_instance")
        if made is None or not made.is_alive():
            made = cls._instance = super().__new__(cls)
            made._loop = loop.default()
        kept: Self = made
        return kept

    _loop: loop.Loop

    @classmethod
    def instance(cls, *args: Any, **kwargs: Any) -> Self:
        """The one object."""
        return cls(*args, **kwargs)

    @classmethod
    def scheduler(cls) -> Self:
        """The one object."""
        return cls()

    @staticmethod
    def cur_task(scheduler: Any = None) -> Task | None:
        """The task that runs in this thread, or None."""
        return loop.current_task()

    @property
    def location(self) -> Location | None:
        """None: nobody reaches it."""
        return None

    @property
    def locations(self) -> list[Location]:
        """None of them."""
        return []

    @property
    def name(self) -> str:
        """It has none."""
        return ""

    def is_alive(self) -> bool:
        """Whether it has not been ended."""
        return loop.is_default(self._loop)

    def atexit(self, priority: float, func: Callable[..., Any], *fargs: Any, **fkwargs: Any) -> None:
        """Call `func` once when tasks have ended; higher priorities first."""
        at_exit(priority, func, *fargs, **fkwargs)

    def drop_atexit(self, priority: float, func: Callable[..., Any]) -> None:
        """Take `atexit` back."""
        loop.default().drop_at_exit(func)

    def join(self, show_running: bool = False, timeout: float | None = None) -> bool:
        """Wait until no task but daemons lives; False after `timeout` seconds."""
        return self._loop.join(timeout, show_running)

    def finish(self) -> None:
        """Wait until no task but daemons lives, then end."""
        self._loop.finish()

    def terminate(self) -> None:
        """End all tasks; a new one may be made afterwards."""
        self._loop.terminate()


def give_tasks_a_scheduler() -> None:
    """Let `Task.scheduler()` answer what runs tasks here, as programs ask for it."""
    Task.scheduler = staticmethod(loop.default)  # type: ignore[attr-defined]  # pycos's name


def at_exit(priority: float, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """As `Loop.at_exit`, which has lower priorities first."""
    loop.default().at_exit(-priority, function, *args, **kwargs)
