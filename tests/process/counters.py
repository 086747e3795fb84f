"""Objects that tests put into servers."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

from dispycos import Client, Event, RemoteObject
from tests.process.clusters import LIMIT


class NeverMade:
    """Its constructor does not return by itself; it tells how it ended."""

    def __init__(self, path: str) -> None:
        try:
            while True:
                time.sleep(0.002)
        finally:
            Path(path).touch()


class Counter:
    def __init__(self, start: int = 0, note: str = "") -> None:
        self.value = start
        self.thread = threading.get_ident()
        self.note = note

    def add(self, step: int = 1) -> int:
        # Two threads in here at once would lose a step.
        value = self.value
        time.sleep(0)
        self.value = value + step
        return self.value

    def same_thread(self) -> bool:
        return self.thread == threading.get_ident()

    def echo(self, *args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    def pid(self) -> int:
        return os.getpid()

    def fail(self) -> None:
        raise LookupError("nothing there", self.value)

    def fail_late(self) -> Any:
        yield
        self.fail()

    def leave(self) -> None:
        raise SystemExit(3)

    def lock(self) -> Any:
        return threading.Lock()

    def late(self, x: int, task: Any = None) -> Any:
        yield task.sleep(0)
        return x * 2

    async def later(self, x: int) -> int:
        return x + 1

    def decorated(self, x: int) -> Any:
        return self.later(x)

    def touch_and_wait(self, path: str) -> None:
        Path(path).touch()
        while True:
            time.sleep(0.01)

    def touch_and_yield(self, path: str, task: Any = None) -> Any:
        try:
            Path(path).touch()
            yield task.receive()
        finally:
            Path(path + ".over").touch()

    def _hidden(self) -> int:
        return 1

    def close(self) -> None:
        if self.note:
            Path(self.note).write_text("closed")


class Meeting:
    """Calls that need each other to be done at once."""

    def __init__(self) -> None:
        self.barrier = threading.Barrier(2)
        self.event = Event()

    def meet(self) -> int:
        return self.barrier.wait(LIMIT)

    def wait(self) -> Any:
        yield self.event.wait()
        return "heard"

    def say(self) -> None:
        self.event.set()


class Refuses:
    def __init__(self, error: type[BaseException] | None = None) -> None:
        if error is not None:
            raise error(3)
        raise OSError(28, "no room for it")


def adds(counter: RemoteObject, n: int, task: Any = None) -> Any:
    found = []
    for _ in range(n):
        found.append((yield counter.add()))
    return found


def hands_on(client_object: RemoteObject, task: Any = None) -> Any:
    """Keep it, say so, drop it when told."""
    yield task.receive()
    value = yield client_object.add()
    return value


def computes(path: str, end: str) -> Any:
    Path(path).touch()
    while not os.path.exists(end):
        pass
    yield
    return "computed"


def one(client: Client, *args: Any, **kwargs: Any) -> Any:
    return client.object_at(None, *args, **kwargs).result(LIMIT)
