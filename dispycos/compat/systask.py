"""SysTask: a task that runs while those of the user block.

SysTasks have a kernel and a thread of their own. The process's own kernel knows them too, so
that they are found by name and from other processes, and the program waits for them. What
others do with one crosses to its thread and comes back as an Operation. A SysTask itself
talks with other tasks by messages.

I/O half. Layer 7. Row CO-10.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from dispycos.errors import Timeout
from dispycos.kernel import loop
from dispycos.kernel.core import Kernel
from dispycos.kernel.operation import Operation
from dispycos.kernel.receiver import current
from dispycos.kernel.task import Task
from dispycos.kernel.wait import FAILED, OK
from dispycos.model import Location

_AT_EXIT = 60.0  # behind all that may need a SysTask


class _SystemLoop(loop.Loop):
    """Runs the SysTasks of a process."""

    def __init__(self, home: loop.Loop) -> None:
        super().__init__()
        self.home = home
        self.kernel.numbers = home.kernel.numbers  # an id is used once in a process

    def _run(self, kernel: Kernel) -> None:
        current.set(None)  # Tasks that are made here are the user's, and so of the other kernel
        super()._run(kernel)


_system: _SystemLoop | None = None
_starting = threading.Lock()


def system_kernel() -> Kernel | None:
    """The kernel of the SysTasks, if there is one."""
    return None if _system is None else _system.kernel


def _started() -> _SystemLoop:
    global _system
    with _starting:
        home = loop.default()
        if _system is None or _system.home is not home:
            _system = _SystemLoop(home)
            _system.start()
            home.at_exit(_AT_EXIT, _system.stop)
        return _system


class SysTask(Task):
    """Run `target(*args, **kwargs)` beside the user's tasks; its name begins with `^`."""

    __slots__ = ("_home",)  # the kernel of the user's tasks

    def __init__(self, target: Any = None, /, *args: Any, **kwargs: Any) -> None:
        system = _started()
        self._home: Kernel = system.home.kernel
        if target is None and kwargs:
            target = kwargs.pop("target", None)
            args, kwargs = tuple(kwargs.pop("args", ())), dict(kwargs.pop("kwargs", None) or {})
        # First here, so that the program does not end in between. It runs when `_begin` is through.
        number = next(system.kernel.numbers)
        self._end = None
        self.number = number
        self._home.tasks[number] = self
        try:
            self._begin(system.kernel, number, target, args, kwargs)
        except BaseException:
            self._home.tasks.pop(number)
            raise
        self._name = "^" + self._name
        system.kernel.post(self._mark_end)

    def _mark_end(self) -> None:
        if self._end is not None:
            self._home.post(self._leave_home)
        else:
            self._on_done = lambda _: self._home.post(self._leave_home)

    def _leave_home(self) -> None:
        self._home.mark_daemon(self)
        self._home.tasks.pop(self.number, None)
        self._home.tell_empty()

    # Who it is.

    @property
    def location(self) -> Location | None:
        """Where its process is reached; None before this process has a network."""
        network = self._home.network
        return None if network is None else network.location

    def __reduce__(self) -> tuple[Any, ...]:
        network = self._home.network
        if network is None:
            return super().__reduce__()  # says why not
        reduction: tuple[Any, ...] = network.reduce(self)
        return reduction

    def set_daemon(self, flag: bool = True) -> None:
        """With True, let the program end without waiting for this task."""
        super().set_daemon(flag)
        self._home.mark_daemon(self)

    def register(self, name: str | None = None) -> int:
        """Make it known by `name` (its own) to `locate`: 0; -1 if it is taken, or ended."""
        return -1 if self._end is not None else self._home.register(self._kind, name or self._name, self)

    def unregister(self, name: str | None = None) -> int:
        """Take back `register`."""
        return self._home.unregister(self._kind, name or self._name, self)

    @classmethod
    def locate(cls, name: str, location: Location | None = None, timeout: float | None = None) -> Any:
        """Yield this: the SysTask registered as `name`, here or in another process, or None."""
        return Task.locate(name if name.startswith("^") else f"^{name}", location, timeout)

    # Waiting for it.

    def __call__(self, timeout: float | None = None) -> Any:
        return self.finish(timeout)

    def finish(self, timeout: float | None = None) -> Any:
        """Yield this: its result when it has ended, its MonitorStatus if it failed, None at the time-out."""
        return super().finish(timeout) if self._kernel.here else self._finish_elsewhere(timeout)

    async def _finish_elsewhere(self, timeout: float | None) -> Any:
        try:
            return await self._ended(False).within(timeout)
        except Timeout:
            return None

    def result(self, timeout: float | None = None) -> Any:
        """Yield this: its result, or raises what it raised; TimeoutError after `timeout` seconds."""
        return super().result(timeout) if self._kernel.here else self._ended(True).within(timeout)

    def _ended(self, raises: bool) -> Operation:
        operation = Operation()

        def tell() -> None:
            value, error = self._outcome(raises)
            if error is not None:
                operation.fail(error)
            else:
                operation.complete(value)

        self._kernel.post(self._when_ended, tell)
        return operation

    def _when_ended(self, call: Callable[[], None]) -> None:
        if self._end is not None:
            call()
        else:
            super().notify(_Once(call))  # type: ignore[arg-type]  # a monitor is who has send and is_alive

    def _tell(self, monitor: Task) -> int:
        # On the other kernel's thread, as others that wait for tasks expect.
        self._home.post(super()._tell, monitor)
        return 0

    def notify(self, task: Task) -> Any:
        """Let `task` receive a MonitorStatus when this task ends, at once if it has: 0, or -1 if it can't."""
        if self._kernel.here:
            return super().notify(task)
        if not task.is_alive():
            return FAILED
        self._kernel.post(super().notify, task)
        return OK

    def monitor(self, other: Task) -> Any:
        """Yield this: let this task receive the status of `other`; 0 or -1."""
        if isinstance(other, SysTask) or other._kernel.here:
            return other.notify(self)
        if not other.is_alive() and other._kernel is not self._home:
            return FAILED
        other._kernel.post(other.notify, self)
        return OK

    # Messages.

    def deliver(self, message: Any, timeout: float | None = None) -> Any:
        """Yield this: 1 when the message is in its mailbox, 0 after `timeout` seconds, -1 if it has ended."""
        if self._kernel.here:
            return super().deliver(message, timeout)
        return self._deliver_elsewhere(message, timeout)

    async def _deliver_elsewhere(self, message: Any, timeout: float | None) -> int:
        operation = Operation()

        def put() -> None:
            if not operation.done():
                operation.complete(1 if self.send(message) == 0 else -1)

        self._kernel.post(self._when_room, operation, put)
        try:
            return int(await operation.within(timeout))
        except Timeout:
            # In the mailbox after all, or never: whoever completes it first decides.
            return 0 if operation.complete(0) else int(operation.result())


class _Once:
    """Calls a function when a task ends, in place of a monitor."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call

    def is_alive(self) -> bool:
        return True

    def send(self, status: object) -> int:
        self._call()
        return 0
