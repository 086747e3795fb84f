"""Nodes that fall silent and come back, clients that follow each other, tasks that reach back."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from dispycos import Client, LocalCluster, Pycos, Scheduler
from tests.helpers import run_python, wait_until
from tests.process.clusters import LIMIT, Watcher, begins, node_pid, pid, run, scheduled, two_servers


class Frozen:
    """All processes of a cluster's node, stopped until `thaw`."""

    def __init__(self, cluster: LocalCluster) -> None:
        node = psutil.Process(node_pid(cluster))
        self._processes = [node, *node.children(recursive=True)]
        for process in self._processes:
            process.suspend()

    def thaw(self) -> None:
        for process in self._processes:
            process.resume()


@pytest.fixture
def quick(program: None) -> Iterator[LocalCluster]:
    with LocalCluster(1, pulse_interval=0.2) as cluster:
        yield cluster


@pytest.mark.row("DC-14", "R-13", "ST-03")
def test_a_silent_node_is_kept_and_its_tasks_go_on_when_it_is_back(quick):
    watcher = Watcher()

    def body(client: Client, task: Any) -> Any:
        yield (yield client.rtask(pid))()
        rtask = yield client.rtask(begins, task)
        assert (yield task.receive(timeout=LIMIT)) == "begun"
        frozen = Frozen(quick)
        try:
            while not watcher.statuses(Scheduler.NodeDisconnected):
                yield task.sleep(0.02)
            assert rtask.is_alive()
            rtask.send("said meanwhile")
        finally:
            frozen.thaw()
        assert (yield rtask()) == "said meanwhile"
        while not watcher.statuses(Scheduler.NodeResumed):
            yield task.sleep(0.02)
        assert (yield (yield client.rtask(pid))()) > 0

    scheduled(body, pid, begins, status_task=watcher.task)
    assert watcher.names().count("NodeClosed") == 1


@pytest.mark.row("DC-14", "DC-32", "R-13")
def test_a_silent_node_may_be_given_up_and_is_used_again_when_it_is_back(quick):
    watcher = Watcher()

    def body(client: Client, task: Any) -> Any:
        first = yield (yield client.rtask(pid))()
        rtask = yield client.rtask(begins, task)
        assert (yield task.receive(timeout=LIMIT)) == "begun"
        assert client.abandon_zombie("10.9.9.9", True) == -1
        assert client.abandon_zombie("127.0.0.1", True) == 0
        frozen = Frozen(quick)
        try:
            status = yield rtask()
            assert status.type is Scheduler.TaskAbandoned
        finally:
            frozen.thaw()
        assert (yield (yield client.rtask(pid))()) != first

    scheduled(body, pid, begins, status_task=watcher.task)
    assert "NodeAbandoned" in watcher.names()


def close_my_node(task: Any = None) -> Any:
    yield
    dispycos_close_node()  # type: ignore[name-defined]  # noqa: F821
    return "closing"


@pytest.mark.row("DC-55")
def test_a_task_closes_its_own_node(cluster):
    watcher = Watcher()

    def body(client: Client, task: Any) -> Any:
        yield two_servers(client, task)
        assert (yield (yield client.rtask(close_my_node))()) == "closing"
        while not watcher.statuses(Scheduler.NodeClosed):
            yield task.sleep(0.01)
        assert (yield client.nodes()) == []

    scheduled(body, close_my_node, status_task=watcher.task)


def send_back(location: Any, text: str, task: Any = None) -> Any:
    with open("answer.txt", "w") as file:
        file.write(text)
    return (yield dispycos.Pycos().send_file(location, "answer.txt", overwrite=True))  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.row("DC-53", "KE-31")
def test_a_task_sends_a_file_to_its_client(program, tmp_path):
    (tmp_path / "here").mkdir(mode=0o700)
    pycos = Pycos(host="127.0.0.1", discover_peers=False, dest_path=str(tmp_path / "here"))
    with LocalCluster(1):

        def body(client: Client, task: Any) -> Any:
            rtask = yield client.rtask(send_back, pycos.location, "forty-two")
            assert (yield rtask()) == 0

        scheduled(body, send_back)
    assert Path(pycos.dest_path, "answer.txt").read_text() == "forty-two"


FROM_NOWHERE = """
import math
from dispycos import Client, LocalCluster, Task

class Base:
    def __init__(self, n): self.n = n
    def double(self): return 2 * self.n

class Thing(Base):
    def double(self): return super().double() + offset

offset = 100

def helper(x): return math.sqrt(x)

def work(thing, task=None):
    yield
    return Thing(helper(thing.double()))

def main(task=None):
    client = Client([])
    yield client.schedule()
    result = yield (yield client.rtask(work, Thing(22)))()
    print(type(result) is Thing, result.n)
    yield client.close()

with LocalCluster(1):
    Task(main).value()
"""


@pytest.mark.row("DC-46", "DC-50")
def test_programs_without_a_file_ship_classes_functions_and_globals():
    code, out, err = run_python(FROM_NOWHERE, timeout=40)
    assert (code, out) == (0, "True 12.0\n"), err


@pytest.mark.row("DC-43", "R-78")
def test_a_second_client_waits_for_its_turn_and_gets_everything(cluster):
    def main(task: Any = None) -> Any:
        first, second = Client([pid]), Client([pid])
        assert (yield first.schedule()) == 0
        yield two_servers(first, task)
        waiting = second.schedule()
        yield task.sleep(0.2)
        assert not waiting.done()
        assert (yield second.schedule(timeout=0.1)) == -1
        assert (yield first.close()) == 0
        assert (yield waiting) == 0
        assert len((yield two_servers(second, task))) == 2
        assert (yield (yield second.rtask(pid))()) > 0
        assert (yield second.close()) == 0

    run(main)


@pytest.mark.row("DC-15")
def test_a_queued_client_gives_up_at_its_timeout_and_may_ask_again(cluster):
    def main(task: Any = None) -> Any:
        first, second = Client([pid]), Client([pid])
        assert (yield first.schedule()) == 0
        assert (yield second.schedule(timeout=0.1)) == -1
        assert (yield second.rtask(pid)).type
        assert (yield first.close()) == 0
        assert (yield second.schedule(timeout=20)) == 0
        assert (yield (yield second.rtask(pid))()) > 0
        assert (yield second.close()) == 0

    run(main)


def kill_zygote(task: Any = None) -> Any:
    yield
    os.kill(os.getppid(), signal.SIGKILL)
    yield task.receive()  # until the end of its server, which may come a moment later


@pytest.mark.row("R-10")
def test_a_killed_zygote_is_replaced_with_its_servers(cluster):
    watcher = Watcher()

    def body(client: Client, task: Any) -> Any:
        yield two_servers(client, task)
        status = yield (yield client.rtask(kill_zygote))()
        assert status.type is Scheduler.TaskAbandoned
        assert (yield (yield client.rtask(pid))()) > 0

    scheduled(body, kill_zygote, pid, status_task=watcher.task)
    wait_until(lambda: "ClientClosed" in watcher.names())
