"""RPS: a function of this process that others may run here, by name, as tasks of this process.

Only what is registered can be called, and only by who proved the key. A reference to an RPS
of another process is a subclass (`net.remote_rps`); whoever holds one, here or there, uses it
in the same way.

Pure: no I/O, clock or randomness. Row KE-32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from dispycos.errors import Closed
from dispycos.kernel.network import Kind
from dispycos.kernel.receiver import Receiver
from dispycos.kernel.refusal import Refused, refusal
from dispycos.kernel.target import check, name_of
from dispycos.kernel.task import Task
from dispycos.kernel.wait import Given

MAX_RUNNING = 100_000  # living tasks that calls of one RPS have made; one more is refused
MAX_MONITORS = 1000  # tasks that get the statuses of one RPS; for one more `monitor` answers -1


class RPS(Receiver):
    """Let `function` be run as tasks of this process by whoever has located it.

    function  a generator function or `async def`; TypeError for any other.
    name      what it is located by; default: the function's.

    `register()` lets others find and call it, until `unregister()` or `close()`.
    """

    _kind: ClassVar[Kind] = "rps"

    def __init__(self, function: Callable[..., Any], name: str | None = None) -> None:
        check(function)
        if name is not None and not isinstance(name, str):
            raise TypeError(f"name must be a string, not {name!r:.200}")
        self._kernel = self._default()
        self.number = self._kernel.new_number()
        self._name = name or name_of(function)
        self._function = function
        self._registered: set[str] = set()  # the names it is known by
        self._closed = False
        self._monitors: dict[Task, None] = {}  # in the order of `monitor`; at most MAX_MONITORS
        self._running: dict[Task, None] = {}  # living tasks made by it; at most MAX_RUNNING
        self._kernel.channels[self.number] = self

    # Who may call it.

    def register(self, name: str | None = None) -> int:
        """Let others find it by `name` (its own) and call it: 0; -1 if that is taken, or it is closed."""
        if self._closed or super().register(name) != 0:
            return -1
        self._registered.add(name or self._name)
        return 0

    def unregister(self, name: str | None = None) -> int:
        """Take back `register`: 0, or -1 if it is not known by that name. Its tasks go on."""
        done = super().unregister(name)
        if done == 0:
            self._registered.discard(name or self._name)
        return done

    def close(self) -> int:
        """Refuse calls from now on and end the tasks that were made: 0; -1 if it was closed."""
        if self._closed:
            return -1
        self._closed = True
        for name in sorted(self._registered):
            self.unregister(name)
        for task in list(self._running):
            task.terminate(f"{task} was ended by close() of {self}, which had started it")
        return 0

    # Calling it.

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Yield this: a Task that runs `function(*args, **kwargs)` where the RPS lives, or a refusal.

        A refusal is no Task: its `type` is an exception class, its `value` the reason. What
        can't be pickled for another process raises here.
        """
        made = self._start(args, kwargs)
        return Given(made if isinstance(made, Task) else self._instead(made))

    # What its caller gets of a refusal; programs for pycos get something else (`compat.rps`).
    @staticmethod
    def _instead(refused: Refused) -> Any:
        return refused

    def _start(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Task | Refused:
        """Make the task of one call; kernel thread."""
        if self._closed:
            return refusal(f"{self} is closed", Closed)
        if not self._registered:
            return refusal(f"{self} is not registered: rps.register() lets it be called")
        if len(self._running) >= MAX_RUNNING:
            return refusal(f"{self} has {MAX_RUNNING} tasks running already")
        try:
            task = self._kernel.spawn(self._function, args, kwargs, on_done=self._ended)
        except TypeError as error:
            return refusal(f"{self} can't be called so: {error}", TypeError)
        self._running[task] = None
        for monitor in list(self._monitors):
            task.notify(monitor)
        made: Task = task
        return made

    def _ended(self, task: Task) -> None:
        self._running.pop(task, None)

    def monitor(self, task: Task) -> int:
        """Let `task` receive one MonitorStatus for each task that is made from now on: 0, or -1 if it can't.

        That of a reference to another process gets those that this reference makes.
        """
        if not isinstance(task, Task):
            raise TypeError(f"monitor takes a Task, not {task!r:.200}")
        if self._closed or not task.is_alive() or len(self._monitors) >= MAX_MONITORS:
            return -1
        self._monitors[task] = None
        return 0
