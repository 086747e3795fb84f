"""What tests of clients share: running a generator function as a task here, and collecting statuses."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from dispycos import Client, DispycosNodeAvailInfo, DispycosStatus, LocalCluster, MonitorStatus, Task, config
from dispycos.kernel import loop
from tests.helpers import wait_until
from tests.process.standing import Standing, cluster_on

LIMIT = 30.0  # seconds for what should take one


def node_pid(cluster: LocalCluster) -> int:
    """The process of a cluster's one node."""
    assert cluster._nodes is not None
    (node,) = cluster._nodes._nodes.values()
    return node.pid


def run(target: Callable[..., Any], *args: Any, timeout: float = LIMIT) -> Any:
    """The result of `target(*args)` run as a task of this process; AssertionError if it failed."""
    task = Task(target, *args)
    value = task.value(timeout)
    assert not task.is_alive(), f"{task} did not end in {timeout} s: {task.where()}"
    if isinstance(value, MonitorStatus) and value.info is task:
        raise AssertionError(f"{value.type}: {value.value}")
    return value


class Watcher:
    """A status_task that keeps every message."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.task = Task(self._watch)

    def _watch(self, task: Any = None) -> Iterator[Any]:
        task.set_daemon()
        while True:
            self.messages.append((yield task.receive()))

    def statuses(self, *wanted: Any) -> list[DispycosStatus]:
        """The status changes so far, or those of some kinds."""
        found = [message for message in list(self.messages) if isinstance(message, DispycosStatus)]
        return [message for message in found if not wanted or message.status in wanted]

    def names(self) -> list[str]:
        return [message.status.name for message in self.statuses()]

    def ends(self) -> list[MonitorStatus]:
        return [message for message in list(self.messages) if isinstance(message, MonitorStatus)]

    def pulses(self) -> list[DispycosNodeAvailInfo]:
        return [message for message in list(self.messages) if isinstance(message, DispycosNodeAvailInfo)]

    def wait(self, *wanted: Any, count: int = 1, timeout: float = LIMIT) -> list[DispycosStatus]:
        """The statuses of these kinds, once there are `count`."""
        names = [status.name for status in wanted]
        wait_until(
            lambda: len(self.statuses(*wanted)) >= count, timeout, f"{count} of {names}: {self.names()}"
        )
        return self.statuses(*wanted)


@pytest.fixture
def program() -> Iterator[None]:
    """This process as a program: at the end its tasks, threads and network are gone."""
    yield
    loop.default().terminate()


@pytest.fixture
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clusters that are made after it wait half a second, not five, before an end by force."""
    standard = config.limits
    monkeypatch.setattr(config, "limits", lambda: dataclasses.replace(standard(), grace=0.5))


@pytest.fixture
def cluster(program: None, standing: Standing) -> Iterator[LocalCluster]:
    """Two servers on this machine, of the node that stands for all tests."""
    with standing.lent() as node, cluster_on(node) as cluster:
        yield cluster


@pytest.fixture
def lively(program: None, standing: Standing) -> Iterator[LocalCluster]:
    """The same with five pulses a second."""
    with standing.lent() as node, cluster_on(node, pulse_interval=0.2) as cluster:
        yield cluster


@pytest.fixture
def own_cluster(program: None) -> Iterator[LocalCluster]:
    """Two servers on this machine, of a node of the test's own: to be killed, starved or replaced."""
    with LocalCluster(2) as cluster:
        yield cluster


# Of programs that tests run.

# A status task that prints what it is told.
SHOW = """
def show(task=None):
    task.set_daemon()
    while True:
        message = yield task.receive()
        if (status := getattr(message, "status", None)) is not None:
            print("status", status.name, flush=True)
"""


# Tasks that tests send.


def pid() -> Any:
    yield
    return os.getpid()


def waits(task: Any = None) -> Any:
    return (yield task.receive())


def begins(told: Task, task: Any = None) -> Any:
    """Tell that it runs, then wait for a message: only the task itself knows that it has begun."""
    told.send("begun")
    return (yield task.receive())


def sleeps(seconds: float, task: Any = None) -> Any:
    yield task.sleep(seconds)
    return seconds


def echo(*args: Any, **kwargs: Any) -> Any:
    yield
    return args, kwargs


def set_value(value: int = 5, task: Any = None) -> Any:
    global shared_value
    yield
    shared_value = value
    return 0


def get_value() -> Any:
    yield
    return shared_value


# Clients.


def scheduled(body: Any, *components: Any, **options: Any) -> Any:
    """Run `body(client, task)` with a scheduled client that is closed afterwards."""

    def main(task: Any = None) -> Any:
        client = Client(list(components), **options)
        assert (yield client.schedule()) == 0
        try:
            return (yield body(client, task))
        finally:
            assert (yield client.close(terminate=True)) == 0

    return run(main)


@contextmanager
def opened(*components: Any, **options: Any) -> Iterator[Client]:
    """A scheduled client of this plain thread; closed afterwards, with what still runs."""
    client = Client(list(components), **options)
    assert client.schedule().result(LIMIT) == 0
    try:
        yield client
    finally:
        assert client.close(terminate=True).result(LIMIT) == 0


def two_servers(client: Client, task: Any) -> Any:
    """The Locations of both servers, once they are in use."""
    return sorted((yield client.wait_for_servers(2, LIMIT)))
