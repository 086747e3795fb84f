"""Servers and nodes that die, tasks that do not end."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from dispycos import (
    Client,
    LocalCluster,
    Scheduler,
)
from tests.helpers import alive
from tests.process.clusters import LIMIT, Watcher, begins, node_pid, pid, run, scheduled, two_servers


def kill_myself(number: int, task: Any = None) -> Any:
    yield
    os.kill(os.getpid(), number)


def leave(task: Any = None) -> Any:
    yield
    os._exit(3)


@pytest.mark.row("R-05", "DC-41", "DN-34", "ST-10")
def test_a_killed_server_takes_its_tasks_along_and_is_replaced(cluster):
    watcher = Watcher()

    def body(client: Client, task: Any) -> Any:
        one, _ = yield two_servers(client, task)
        process = yield (yield client.rtask_at(one, pid))()
        running = yield client.rtask_at(one, begins, task)
        waiting = yield client.io_rtask_at(one, begins, task)
        for _ in range(2):
            assert (yield task.receive(timeout=LIMIT)) == "begun"
        os.kill(process, signal.SIGKILL)
        for rtask in (running, waiting):
            status = yield rtask()
            assert status.type is Scheduler.TaskAbandoned
            assert "SIGKILL" in status.value
        while len(watcher.statuses(Scheduler.ServerInitialized)) < 3:
            yield task.sleep(0.01)
        assert len((yield two_servers(client, task))) == 2

    scheduled(body, pid, begins, status_task=watcher.task)
    assert watcher.names().count("ServerAbandoned") == 1
    assert (
        sorted(end.type for end in watcher.ends() if end.type is not StopIteration)
        == [Scheduler.TaskAbandoned] * 2
    )


@pytest.mark.row("R-05")
def test_a_task_that_exits_its_process_is_lost_and_the_next_one_runs(cluster):
    def body(client: Client, task: Any) -> Any:
        status = yield (yield client.rtask(leave))()
        assert status.type is Scheduler.TaskAbandoned
        assert "exit code 3" in status.value
        assert (yield (yield client.rtask(pid))()) > 0

    scheduled(body, leave, pid)


@pytest.mark.row("R-05")
def test_what_had_not_begun_on_a_killed_server_runs_elsewhere(cluster):
    def body(client: Client, task: Any) -> Any:
        one, two = yield two_servers(client, task)
        assert client.suspend_server(two) == 0
        process = yield (yield client.rtask_at(one, pid))()
        running = yield client.rtask(begins, task)
        behind = yield client.rtask(pid)
        assert (yield task.receive(timeout=LIMIT)) == "begun"
        os.kill(process, signal.SIGKILL)
        assert (yield running()).type is Scheduler.TaskAbandoned
        assert client.resume_server(two) == 0
        assert (yield behind()) not in (process, None)

    scheduled(body, pid, begins)


@pytest.mark.row("DC-42", "R-11")
def test_a_killed_node_takes_all_its_tasks_along(program):
    watcher = Watcher()
    with LocalCluster(2) as cluster:

        def main(task: Any = None) -> Any:
            client = Client([pid, begins], status_task=watcher.task)
            assert (yield client.schedule()) == 0
            yield two_servers(client, task)
            running = []
            for _ in range(2):
                running.append((yield client.rtask(begins, task)))
                assert (yield task.receive(timeout=LIMIT)) == "begun"
            os.kill(node_pid(cluster), signal.SIGKILL)
            for rtask in running:
                status = yield rtask()
                assert status.type is Scheduler.TaskAbandoned
            while not watcher.statuses(Scheduler.NodeClosed):
                yield task.sleep(0.01)
            assert (yield client.nodes()) == []
            assert (yield client.close()) == 0

        run(main, timeout=40)
    assert watcher.names().count("NodeAbandoned") == 1


def blocks(begun: str) -> Any:
    yield
    # By a file: what is said between two yields may leave after this never yields again.
    Path(begun).write_text(f"{os.getpid()}")
    while True:
        time.sleep(0.01)


@pytest.mark.row("DC-57")
def test_a_task_that_never_yields_is_ended_with_its_process(short_grace, cluster, tmp_path):
    begun = tmp_path / "begun"

    def body(client: Client, task: Any) -> Any:
        rtask = yield client.rtask(blocks, str(begun))
        while not begun.exists():
            yield task.sleep(0.01)
        assert rtask.terminate() == 0
        status = yield rtask()
        assert status.type is Scheduler.TaskTerminated
        assert not alive(int(begun.read_text()))
        assert (yield (yield client.rtask(pid))()) > 0

    scheduled(body, blocks, pid)
