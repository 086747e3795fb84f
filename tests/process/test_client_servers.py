"""Servers and nodes: suspended, closed, restarted."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest

from dispycos import (
    Client,
    Closed,
    Location,
    MonitorStatus,
    Scheduler,
)
from dispycos.errors import LocalProtocolError
from tests.helpers import alive, wait_until
from tests.process.clusters import (
    LIMIT,
    Watcher,
    get_value,
    opened,
    pid,
    scheduled,
    set_value,
    sleeps,
    two_servers,
    waits,
)


@pytest.mark.row("DC-60")
def test_a_program_waits_for_as_many_servers_as_it_needs_in_each_way(cluster):
    with pytest.raises(LocalProtocolError, match="not scheduled yet"):
        Client().wait_for_servers(1)
    with opened() as client:
        both = client.wait_for_servers(2).result(LIMIT)
        # None is missing in what is begun on all of them then.
        assert sorted(client.run_everywhere(pid).result(LIMIT)) == sorted(both)

        async def main(timeout: float | None = None) -> Any:
            return await client.wait_for_servers(2 if timeout is None else 3, timeout)

        assert asyncio.run(main()) == both
        with pytest.raises(TimeoutError, match="there are 2: no node was granted but local"):
            asyncio.run(main(0.01))
        late = client.wait_for_servers(3)
        with pytest.raises(TimeoutError, match=r"wait_for_servers\(3\).* there are 2: no node was"):
            late.result(0.01)

        async def cancelled() -> None:
            task = asyncio.ensure_future(main(LIMIT))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])

        asyncio.run(cancelled())
        assert len(client.work.driver._awaited) == 1 == len(client.work.driver.fleet.prospects.awaited._waits)
        for wrong, error in ((0, ValueError), (True, TypeError), ("2", TypeError)):
            with pytest.raises(error, match=r"^n must be"):
                client.wait_for_servers(wrong)
    with pytest.raises(Closed, match=r"client.wait_for_servers\(3\): the client closes"):
        late.result(LIMIT)
    with pytest.raises(Closed, match="the client is closed"):
        client.wait_for_servers(1)


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
