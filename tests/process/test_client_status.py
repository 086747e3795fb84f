"""What a client's status_task is told."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest

from dispycos import (
    Client,
    DispycosNodeAvailInfo,
    Location,
    Scheduler,
    Task,
)
from dispycos.httpd import HTTPServer
from dispycos.messages import Counts
from tests.helpers import wait_until
from tests.process.clusters import (
    LIMIT,
    Watcher,
    pid,
    scheduled,
    sleeps,
    two_servers,
)


def killed() -> Any:
    yield
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.row("ST-01", "ST-02", "ST-04", "ST-05", "ST-07", "ST-09", "R-92")
def test_statuses_come_in_order_each_once(cluster):
    watcher = Watcher()

    def body(client: Client, task: Any) -> Any:
        yield two_servers(client, task)
        rtask = yield client.rtask(sleeps, 0.01)
        yield rtask()
        return rtask

    rtask = scheduled(body, sleeps, status_task=watcher.task)
    watcher.wait(Scheduler.ClientClosed)

    names = watcher.names()
    assert names[:3] == ["ClientScheduled", "NodeDiscovered", "NodeInitialized"]
    assert names[-1] == "ClientClosed"
    assert names.count("NodeClosed") == 1
    assert names.index("NodeClosed") == len(names) - 2
    for name in ("ServerDiscovered", "ServerInitialized", "ServerClosed"):
        places = [status.info for status in watcher.statuses() if status.status.name == name]
        assert len(places) == len(set(places)) == 2
        assert all(isinstance(place, Location) for place in places)
    node = watcher.statuses(Scheduler.NodeDiscovered)[0].info
    assert isinstance(node, DispycosNodeAvailInfo)
    assert node.location.addr == "127.0.0.1"
    assert node.cpus == 2

    created = watcher.statuses(Scheduler.TaskCreated)
    assert [(status.info.task, status.info.args, status.info.kwargs) for status in created] == [
        (rtask, (0.01,), {})
    ]
    assert abs(created[0].info.start_time - time.time()) < 60
    ends = watcher.ends()
    assert [(end.info, end.type, end.value) for end in ends] == [(rtask, StopIteration, 0.01)]
    assert watcher.messages.index(created[0]) < watcher.messages.index(ends[0])
    assert "NodeDiscovered" in str(watcher.statuses(Scheduler.NodeDiscovered)[0])


@pytest.mark.row("ST-08")
def test_availability_comes_bare_each_pulse(lively):
    watcher = Watcher()

    def body(client: Client, task: Any) -> Any:
        while len(watcher.pulses()) < 3:
            yield task.sleep(0.02)

    scheduled(body, status_task=watcher.task)
    info = watcher.pulses()[-1]
    assert 0 <= info.cpu <= 100
    assert info.memory > 0
    assert info.disk > 0
    assert info.swap >= 0
    with pytest.raises(AttributeError):
        info.cpu = 3


@pytest.mark.row("ST-06")
def test_how_tasks_end_is_a_type_and_never_a_status(cluster):
    numbers = (Scheduler.TaskFinished, Scheduler.TaskAbandoned, Scheduler.TaskTerminated)
    assert numbers == (22, 23, 24)
    assert [number.name for number in numbers] == ["TaskFinished", "TaskAbandoned", "TaskTerminated"]
    watcher = Watcher()

    def body(client: Client, task: Any) -> Any:
        _, first = yield two_servers(client, task)
        finished = yield client.rtask_at(first, sleeps, 0.01)
        yield finished()
        terminated = yield client.rtask_at(first, sleeps, 60)
        assert terminated.cancel()
        yield terminated()
        called = client.submit(sleeps, 60)
        called.cancel()
        yield called.task()
        abandoned = yield client.rtask_at(first, killed)
        yield abandoned()
        return finished, terminated, called.task, abandoned

    finished, terminated, called, abandoned = scheduled(body, sleeps, killed, status_task=watcher.task)
    watcher.wait(Scheduler.ClientClosed)
    types = {end.info: end.type for end in watcher.ends()}
    assert types == {
        finished: StopIteration,
        terminated: Scheduler.TaskTerminated,
        called: Scheduler.TaskTerminated,
        abandoned: Scheduler.TaskAbandoned,
    }
    assert len(watcher.ends()) == 4
    assert not watcher.statuses(*numbers)


@pytest.mark.row("ST-09")
def test_a_dead_status_task_costs_the_client_nothing(cluster):
    def short(task: Any = None) -> Any:
        yield task.receive()

    def body(client: Client, task: Any) -> Any:
        for number in range(5):
            assert (yield (yield client.rtask(sleeps, 0.001 * number))()) == 0.001 * number

    scheduled(body, sleeps, status_task=Task(short))


@pytest.mark.row("DC-06")
@pytest.mark.parametrize("task", [3, "task", print])
def test_a_status_task_must_be_a_task(program, task):
    with pytest.raises(TypeError, match="status_task"):
        Client([], status_task=task)
    client = Client([])
    with pytest.raises(TypeError, match="status_task"):
        client.status_task = task


@pytest.mark.row("DC-10", "DC-11")
@pytest.mark.parametrize("flag", ["disable_nodes", "disable_servers"])
def test_what_waits_to_be_enabled_needs_a_status_task(program, flag):
    with pytest.raises(ValueError, match=flag):
        Client([], **{flag: True}).schedule()


@pytest.mark.row("DS-19", "MO-23")
def test_a_client_without_nodes_tells_whether_it_has_a_monitor(cluster):
    with Client(nodes=["203.0.113.*"]) as client:
        scheduler = Scheduler()

        def monitor() -> str | None:
            counts = scheduler.status()["active"]["counts"]
            return counts and counts.monitor

        wait_until(lambda: monitor() == "", LIMIT)
        server = HTTPServer(client, port=0)
        try:
            wait_until(lambda: monitor() == server.link.partition("/#")[0], LIMIT)
        finally:
            server.shutdown()
        wait_until(lambda: monitor() == "", LIMIT)


@pytest.mark.row("DS-19")
def test_the_scheduler_tells_who_runs_and_counts_its_tasks(lively, capsys):
    def body(client: Client, task: Any) -> Any:
        for _ in range(5):
            yield (yield client.rtask(pid))()
        scheduler = Scheduler()
        while (scheduler.status()["active"]["counts"] or Counts(0, 0, 0)).done < 5:
            yield task.sleep(0.02)
        scheduler.print_status()

    scheduled(body, pid)
    out = capsys.readouterr().out
    assert "scheduled" in out
    assert "5 tasks, 5 done" in out
    assert "node local at 127.0.0.1:" in out
