"""A kernel that tests step by hand, in time that they make up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dispycos.kernel.channel import Channel
from dispycos.kernel.core import Kernel
from dispycos.kernel.task import Task


class World:
    """A kernel and its clock: `run` lets time pass as far as it is waited for."""

    def __init__(self) -> None:
        self.kernel = Kernel()
        self.now = 100.0

    def spawn(self, target: Callable[..., Any], *args: Any, **kwargs: Any) -> Task:
        return self.kernel.spawn(target, args, kwargs)

    def channel(self, name: str = "c", transform: Callable[[str, Any], Any] | None = None) -> Channel:
        return Channel.on(self.kernel, name, transform)

    def step(self) -> float | None:
        return self.kernel.step(self.now)

    def settle(self) -> None:
        """Step until nothing is ready; time stands still."""
        for _ in range(100_000):
            deadline = self.step()
            if deadline is None or deadline > self.now:
                return
        raise AssertionError("the kernel does not come to rest")

    def run(self, until: float = float("inf")) -> None:
        """Step until nothing is waited for, or `until` seconds have passed."""
        end = self.now + until
        while True:
            deadline = self.step()
            if deadline is not None and deadline <= self.now:
                continue
            if deadline is None or deadline > end:
                if end != float("inf"):
                    self.now = end
                return
            self.now = deadline

    def result(self, target: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run a task to its end; its result, or raises what it raised."""
        task = self.spawn(target, *args, **kwargs)
        self.run()
        assert not task.is_alive(), f"{task} waits at {task.where()}"
        value, error = task._outcome(True)
        if error is not None:
            raise error
        return value
