"""Statuses, and what a client does with nodes and servers: setups, suspending, closing, restarting."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest

from dispycos import Client, DispycosNodeAvailInfo, LocalCluster, Location, MonitorStatus, Scheduler, Task
from dispycos.messages import Counts
from tests.helpers import alive, wait_until
from tests.process.clusters import Watcher, cluster, program, run

__all__ = ["cluster", "program"]


def pid(task: Any = None) -> Any:
    yield
    return os.getpid()


def waits(task: Any = None) -> Any:
    return (yield task.receive())


def sleeps(seconds: float, task: Any = None) -> Any:
    yield task.sleep(seconds)
    return seconds


def two_servers(client: Client, task: Any) -> Any:
    """The Locations of both servers, once they are in use."""
    while len((yield client.servers())) < 2:
        yield task.sleep(0.01)
    return sorted((yield client.servers()))


def scheduled(body: Any, *components: Any, **options: Any) -> Any:
    def main(task: Any = None) -> Any:
        client = Client(list(components), **options)
        assert (yield client.schedule()) == 0
        try:
            return (yield body(client, task))
        finally:
            assert (yield client.close(terminate=True)) == 0

    return run(main)


# Statuses.


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
def test_availability_comes_bare_each_pulse(program):
    watcher = Watcher()
    with LocalCluster(1, pulse_interval=0.2):

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


# Setups.


def set_value(value: int = 5, task: Any = None) -> Any:
    global shared_value
    yield
    shared_value = value
    return 0


def get_value() -> Any:
    yield
    return shared_value


def bad_setup(task: Any = None) -> Any:
    yield
    return 7


def broken_setup() -> Any:
    yield
    raise RuntimeError("no such data")


def hungry_setup(one: int, two: int) -> Any:
    yield
    return 0


@pytest.mark.row("DC-07", "DC-48")
def test_node_setup_runs_before_servers_exist_and_they_share_what_it_made(cluster):
    def body(client: Client, task: Any) -> Any:
        for location in (yield two_servers(client, task)):
            assert (yield (yield client.rtask_at(location, get_value))()) == 5

    scheduled(body, set_value, get_value, node_setup=set_value)


@pytest.mark.row("DC-08", "DC-47")
def test_server_setup_runs_in_every_server(cluster):
    def body(client: Client, task: Any) -> Any:
        for location in (yield two_servers(client, task)):
            assert (yield (yield client.rtask_at(location, get_value))()) == 5

    scheduled(body, set_value, get_value, server_setup=set_value)


@pytest.mark.row("DC-07", "DC-09", "R-09")
@pytest.mark.parametrize(
    ("setup", "words"), [(bad_setup, "7"), (broken_setup, "no such data"), (hungry_setup, "two")]
)
def test_a_node_whose_setup_fails_is_not_used_and_the_status_says_why(cluster, setup, words):
    watcher = Watcher()

    def body(client: Client, task: Any) -> Any:
        while not watcher.statuses(Scheduler.NodeClosed):
            yield task.sleep(0.01)
        assert (yield client.nodes()) == []

    scheduled(body, setup, node_setup=setup, status_task=watcher.task)
    status = watcher.statuses(Scheduler.NodeClosed)[0]
    assert words in status.info.reason


@pytest.mark.row("DC-08", "DC-09", "R-09")
@pytest.mark.parametrize("setup", [bad_setup, broken_setup, hungry_setup])
def test_a_server_whose_setup_fails_is_not_used(cluster, setup):
    watcher = Watcher()

    def body(client: Client, task: Any) -> Any:
        while len(watcher.statuses(Scheduler.ServerClosed)) < 2:
            yield task.sleep(0.01)
        assert (yield client.servers()) == []

    scheduled(body, setup, server_setup=setup, status_task=watcher.task)


@pytest.mark.row("DC-10", "DC-37")
def test_a_disabled_node_waits_for_enable_node_and_its_arguments(cluster):
    watcher = Watcher()

    def body(client: Client, task: Any) -> Any:
        while not watcher.statuses(Scheduler.NodeDiscovered):
            yield task.sleep(0.01)
        waiting = client.rtask(get_value)
        assert client.enable_node("10.9.9.9", 1) == -1
        assert client.enable_node("127.0.0.1", 11) == 0
        assert (yield (yield waiting)()) == 11
        assert client.enable_node("127.0.0.1", 12) == -1

    options = {"node_setup": set_value, "disable_nodes": True, "status_task": watcher.task}
    scheduled(body, set_value, get_value, **options)


@pytest.mark.row("DC-11", "DC-38")
def test_disabled_servers_wait_for_enable_server_and_its_arguments(cluster):
    watcher = Watcher()

    def body(client: Client, task: Any) -> Any:
        while len(watcher.statuses(Scheduler.ServerDiscovered)) < 2:
            yield task.sleep(0.01)
        places = sorted(status.info for status in watcher.statuses(Scheduler.ServerDiscovered))
        for number, place in enumerate(places):
            assert client.enable_server(place, number) == 0
        assert (yield two_servers(client, task)) == places
        for number, place in enumerate(places):
            assert (yield (yield client.rtask_at(place, get_value))()) == number

    options = {"server_setup": set_value, "disable_servers": True, "status_task": watcher.task}
    scheduled(body, set_value, get_value, **options)


def read_file(name: str) -> Any:
    yield
    with open(os.path.join("..", name)) as file:
        return file.read()


@pytest.mark.row("DC-03", "DN-32")
def test_file_components_are_in_the_node_s_directory(cluster, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("first")
    (tmp_path / "b.txt").write_text("second")

    def body(client: Client, task: Any) -> Any:
        assert (yield (yield client.rtask(read_file, "in/a.txt"))()) == "first"
        assert (yield (yield client.rtask(read_file, "b.txt"))()) == "second"

    scheduled(body, read_file, "in/a.txt", tmp_path / "b.txt")


# Suspending, closing, restarting.


@pytest.mark.row("DC-24", "DC-25", "ST-04")
def test_a_suspended_server_gets_no_new_tasks_until_it_is_resumed(cluster):
    watcher = Watcher()

    def body(client: Client, task: Any) -> Any:
        one, two = yield two_servers(client, task)
        running = yield client.rtask_at(one, waits)
        assert client.suspend_server(one) == 0
        assert client.suspend_server(Location("127.0.0.1", 1)) == -1
        for _ in range(4):
            rtask = yield client.rtask(pid)
            assert rtask.location == two
            yield rtask()
        waiting = client.rtask_at(one, pid)
        running.send("goes on")
        assert (yield running()) == "goes on"
        yield task.sleep(0.1)
        assert not waiting.done()
        assert client.resume_server(one) == 0
        assert (yield waiting).location == one
        assert client.resume_server(one) == 0

    scheduled(body, pid, waits, status_task=watcher.task)
    assert len(watcher.statuses(Scheduler.ServerSuspended)) == 1
    assert len(watcher.statuses(Scheduler.ServerResumed)) == 1


@pytest.mark.row("DC-28", "DC-29")
def test_a_suspended_node_takes_nothing_until_it_is_resumed(cluster):
    def body(client: Client, task: Any) -> Any:
        yield two_servers(client, task)
        assert client.suspend_node("127.0.0.1") == 0
        waiting = client.rtask(pid)
        yield task.sleep(0.1)
        assert not waiting.done()
        assert client.resume_node("127.0.0.1") == 0
        yield (yield waiting)()
        assert client.suspend_node("10.9.9.9") == -1

    scheduled(body, pid)


@pytest.mark.row("DC-26")
def test_closing_a_server_waits_for_its_tasks(cluster):
    watcher = Watcher()

    def body(client: Client, task: Any) -> Any:
        one, two = yield two_servers(client, task)
        process = yield (yield client.rtask_at(one, pid))()
        running = yield client.rtask_at(one, sleeps, 0.3)
        closing = client.close_server(one)
        assert closing == 0
        assert (yield client.rtask_at(one, pid)).type
        assert (yield closing) == 0
        assert (yield running.finish(timeout=0)) == 0.3
        wait_until(lambda: not alive(process))
        assert (yield client.servers()) == [two]
        assert client.close_server(one) == -1

    scheduled(body, pid, sleeps, status_task=watcher.task)
    assert watcher.names().count("ServerClosed") == 2


@pytest.mark.row("DC-26", "DC-27")
def test_a_restarted_server_is_a_new_process_with_empty_globals(cluster):
    watcher = Watcher()

    def body(client: Client, task: Any) -> Any:
        one, _ = yield two_servers(client, task)
        yield (yield client.rtask_at(one, set_value, 9))()
        process = yield (yield client.rtask_at(one, pid))()
        running = yield client.rtask_at(one, waits)
        assert (yield client.restart_server(one, terminate=True)) == 0
        assert isinstance((yield running()), MonitorStatus)
        while len(watcher.statuses(Scheduler.ServerInitialized)) < 3:
            yield task.sleep(0.01)
        new = watcher.statuses(Scheduler.ServerInitialized)[-1].info
        assert (yield (yield client.rtask_at(new, pid))()) != process
        status = yield (yield client.rtask_at(new, get_value))()
        assert status.type is NameError

    scheduled(body, pid, waits, set_value, get_value, status_task=watcher.task)


@pytest.mark.row("DC-12")
def test_restart_servers_brings_closed_servers_back(cluster):
    watcher = Watcher()

    def body(client: Client, task: Any) -> Any:
        one, _ = yield two_servers(client, task)
        assert (yield client.close_server(one)) == 0
        while len(watcher.statuses(Scheduler.ServerInitialized)) < 3:
            yield task.sleep(0.01)
        yield two_servers(client, task)

    scheduled(body, restart_servers=True, status_task=watcher.task)


@pytest.mark.row("DC-30")
def test_closing_a_node_gives_it_back(cluster):
    watcher = Watcher()

    def body(client: Client, task: Any) -> Any:
        yield two_servers(client, task)
        running = yield client.rtask(sleeps, 0.2)
        assert (yield client.close_node("127.0.0.1")) == 0
        assert (yield running.finish(timeout=0)) == 0.2
        assert (yield client.nodes()) == []
        assert client.close_node("127.0.0.1") == -1

    scheduled(body, sleeps, status_task=watcher.task)
    assert watcher.names().count("NodeClosed") == 1


@pytest.mark.row("DC-31")
def test_a_restarted_node_runs_node_setup_again(cluster):
    watcher = Watcher()

    def body(client: Client, task: Any) -> Any:
        yield two_servers(client, task)
        assert (yield (yield client.rtask(get_value))()) == 5
        assert (yield client.restart_node("127.0.0.1", True, 6)) == 0
        assert (yield (yield client.rtask(get_value))()) == 6

    scheduled(body, set_value, get_value, node_setup=set_value, status_task=watcher.task)
    assert watcher.names().count("NodeDiscovered") == 1
    assert watcher.names().count("NodeInitialized") == 1


def close_here(restart: bool, task: Any = None) -> Any:
    yield
    dispycos_close_server(restart=restart)  # type: ignore[name-defined]  # noqa: F821
    return os.getpid()


@pytest.mark.row("DC-54")
def test_a_task_closes_its_own_server_and_its_result_arrives(cluster):
    def body(client: Client, task: Any) -> Any:
        one, two = yield two_servers(client, task)
        assert (yield (yield client.rtask_at(one, close_here, False))()) > 0
        while (yield client.servers()) != [two]:
            yield task.sleep(0.01)

    scheduled(body, close_here)


# Faults.


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
        running = yield client.rtask_at(one, waits)
        waiting = yield client.io_rtask_at(one, waits)
        yield task.sleep(0.1)
        os.kill(process, signal.SIGKILL)
        for rtask in (running, waiting):
            status = yield rtask()
            assert status.type is Scheduler.TaskAbandoned
            assert "SIGKILL" in status.value
        while len(watcher.statuses(Scheduler.ServerInitialized)) < 3:
            yield task.sleep(0.01)
        assert len((yield two_servers(client, task))) == 2

    scheduled(body, pid, waits, status_task=watcher.task)
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
        running = yield client.rtask(waits)
        behind = yield client.rtask(pid)
        yield task.sleep(0.1)
        os.kill(process, signal.SIGKILL)
        assert (yield running()).type is Scheduler.TaskAbandoned
        assert client.resume_server(two) == 0
        assert (yield behind()) not in (process, None)

    scheduled(body, pid, waits)


@pytest.mark.row("DC-42", "R-11")
def test_a_killed_node_takes_all_its_tasks_along(program):
    watcher = Watcher()
    with LocalCluster(2) as cluster:

        def main(task: Any = None) -> Any:
            client = Client([pid, waits], status_task=watcher.task)
            assert (yield client.schedule()) == 0
            yield two_servers(client, task)
            running = []
            for _ in range(2):
                running.append((yield client.rtask(waits)))
            yield task.sleep(0.1)
            os.kill(cluster._node.pid, signal.SIGKILL)
            for rtask in running:
                status = yield rtask()
                assert status.type is Scheduler.TaskAbandoned
            while not watcher.statuses(Scheduler.NodeClosed):
                yield task.sleep(0.01)
            assert (yield client.nodes()) == []
            assert (yield client.close()) == 0

        run(main, timeout=40)
    assert watcher.names().count("NodeAbandoned") == 1


def blocks() -> Any:
    yield
    while True:
        pass


@pytest.mark.row("DC-57")
def test_a_task_that_never_yields_is_ended_with_its_process(cluster):
    def body(client: Client, task: Any) -> Any:
        rtask = yield client.rtask(blocks)
        yield task.sleep(0.3)
        assert rtask.terminate() == 0
        status = yield rtask()
        assert status.type is Scheduler.TaskTerminated
        assert (yield (yield client.rtask(pid))()) > 0

    scheduled(body, blocks, pid)


@pytest.mark.row("DS-19")
def test_the_scheduler_tells_who_runs_and_counts_its_tasks(program, capsys):
    with LocalCluster(1, pulse_interval=0.2):

        def body(client: Client, task: Any) -> Any:
            for _ in range(5):
                yield (yield client.rtask(pid))()
            scheduler = Scheduler()
            while (scheduler.status()["active"]["counts"] or Counts(0, 0, 0, 0)).done < 5:
                yield task.sleep(0.02)
            scheduler.print_status()

        scheduled(body, pid)
    out = capsys.readouterr().out
    assert "scheduled" in out
    assert "5 tasks, 5 done" in out
    assert "node local at 127.0.0.1:" in out
