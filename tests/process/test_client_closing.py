"""How tasks are ended, and what close waits for."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dispycos import (
    Client,
    LocalCluster,
    MonitorStatus,
    Scheduler,
    Task,
    TaskCancelled,
    keyfile,
)
from dispycos.client import work
from dispycos.config import Limits
from dispycos.model import Role
from dispycos.options import Options
from dispycos.runtime import runtime
from tests.helpers import wait_until
from tests.process.clusters import (
    LIMIT,
    Watcher,
    echo,
    pid,
    run,
    scheduled,
    sleeps,
    waits,
)


@pytest.mark.row("DC-58", "DC-56")
def test_terminate_ends_a_waiting_task_with_keyboard_interrupt(cluster):
    def body(client: Client, task: Any) -> Any:
        rtask = yield client.rtask(waits)
        yield task.sleep(0.1)
        assert rtask.terminate() == 0
        status = yield rtask()
        assert status.type in (KeyboardInterrupt, Scheduler.TaskTerminated)
        assert rtask.terminate() == -1

    scheduled(body, waits)


@pytest.mark.row("DC-62")
def test_a_task_that_has_not_begun_never_runs_after_cancel(cluster):
    def body(client: Client, task: Any) -> Any:
        yield (yield client.rtask(pid))()
        location = (yield client.servers())[0]
        busy = yield client.rtask_at(location, waits)
        behind = yield client.rtask_at(location, echo)
        assert behind.cancel() is True
        status = yield behind()
        assert status.type is Scheduler.TaskTerminated
        assert "cancel" in status.value
        assert behind.cancel() is False
        with pytest.raises(TaskCancelled):
            yield behind.result()
        busy.send(1)
        assert (yield busy()) == 1

    scheduled(body, pid, waits, echo)


def saves(told: Task, task: Any = None) -> Any:
    try:
        told.send("begun")
        yield task.receive()
    except KeyboardInterrupt:
        yield
        return "saved"


@pytest.mark.row("DC-56", "DC-39")
def test_what_a_task_returns_after_keyboard_interrupt_counts(cluster):
    watcher = Watcher()

    def body(client: Client, task: Any) -> Any:
        rtask = yield client.rtask(saves, task)
        assert (yield task.receive(timeout=LIMIT)) == "begun"
        assert (yield client.close(terminate=True)) == 0
        assert (yield rtask()) == "saved"

    scheduled(body, saves, status_task=watcher.task)
    wait_until(watcher.ends)
    assert [end.value for end in watcher.ends()] == ["saved"]


@pytest.mark.row("DC-39")
def test_close_waits_for_tasks_and_ends_those_that_only_wait(cluster):
    def main(task: Any = None) -> Any:
        client = Client([sleeps, waits])
        assert (yield client.schedule()) == 0
        rtasks = []
        for _ in range(6):
            rtasks.append((yield client.rtask(sleeps, 0.1)))
        io = yield client.io_rtask(waits)
        assert (yield client.close()) == 0
        for rtask in rtasks:
            assert (yield rtask.finish(timeout=0)) == 0.1
        status = yield io.finish(timeout=0)
        assert isinstance(status, MonitorStatus)

    run(main)


@pytest.mark.row("DC-39")
def test_close_may_wait_for_io_tasks(cluster):
    def main(task: Any = None) -> Any:
        client = Client([sleeps])
        assert (yield client.schedule()) == 0
        rtask = yield client.io_rtask(sleeps, 0.5)
        assert (yield client.close(await_io=True)) == 0
        assert (yield rtask.finish(timeout=0)) == 0.5

    run(main)


@pytest.mark.row("DC-39")
def test_close_ends_what_its_timeout_finds(cluster):
    def main(task: Any = None) -> Any:
        client = Client([waits])
        assert (yield client.schedule()) == 0
        rtask = yield client.rtask(waits)
        assert (yield client.close(timeout=0.2)) == 0
        assert isinstance((yield rtask.finish(timeout=0)), MonitorStatus)

    run(main)


@pytest.mark.row("DC-39", "DC-40")
def test_a_client_without_a_single_task_closes(cluster):
    def main(task: Any = None) -> Any:
        for _ in range(3):
            client = Client([])
            assert (yield client.schedule()) == 0
            assert (yield client.close()) == 0

    run(main)


@pytest.mark.row("R-33", "DC-39")
def test_a_close_that_waits_says_for_what(program, caplog):
    limits = replace(Limits(), visible_wait=0.2)
    roles = Role.PEER | Role.CLIENT | Role.SCHEDULER
    runtime.network(Options(hosts=("127.0.0.1",), roles=roles, limits=limits), keyfile.throwaway())

    def main(task: Any = None) -> Any:
        client = Client([waits])
        assert (yield client.schedule()) == 0
        rtask = yield client.rtask(waits)
        closing = client.close()
        while f"client.close() waits for {rtask}; close(terminate=True) ends them" not in caplog.text:
            yield task.sleep(0.01)
        rtask.send("go on")
        assert (yield closing) == 0

    with LocalCluster(1):
        run(main)


def ends_when(path: str, told: Task, task: Any = None) -> Any:
    """Catch the end, and take until there is a file."""
    try:
        told.send("begun")
        yield task.receive()
    except KeyboardInterrupt:
        while not os.path.exists(path):
            yield task.sleep(0.01)


@pytest.mark.row("R-20", "R-33")
def test_a_close_that_ends_tasks_says_what_it_waits_for_and_may_be_abandoned(
    cluster: LocalCluster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(work, "TERMINATED_WAIT", 0.02)
    client = Client([ends_when])
    assert client.schedule().result(LIMIT) == 0
    told = Task(waits)
    rtask = client.rtask(ends_when, str(tmp_path / "go"), told).result(LIMIT)
    assert told.value(LIMIT) == "begun"
    closing = client.close(terminate=True)
    wait_until(lambda: f"client.close() has interrupted {rtask}, and waits" in caplog.text, LIMIT)
    assert not closing.done()
    client.work.abandon()
    # At once, for who waits here; what is there goes on to its end.
    assert rtask.value(LIMIT).type is Scheduler.TaskTerminated
    assert client.work._program_ends not in client.work.network._first
    (tmp_path / "go").touch()
    assert closing.result(LIMIT) == 0


@pytest.mark.row("R-20", "R-53")
@pytest.mark.usefixtures("program")
def test_clients_close_side_by_side_and_then_what_they_use_the_latest_first() -> None:
    network = runtime.network(Options(hosts=("127.0.0.1",)), keyfile.throwaway())
    closed: list[str] = []
    both = asyncio.Barrier(2)

    def closes(name: str, meets: bool = False) -> Callable[[], Coroutine[Any, Any, object]]:
        async def close() -> None:
            if meets:
                await both.wait()
            closed.append(name)

        return close

    network.on_close(closes("scheduler"))
    network.on_close(closes("client", meets=True), first=True)
    network.on_close(dropped := closes("closed before", meets=True), first=True)
    network.on_close(closes("client", meets=True), first=True)
    network.on_close(closes("nodes"))
    network.drop_close(dropped)
    runtime.stop(network)
    assert closed == ["client", "client", "nodes", "scheduler"]


@pytest.mark.row("R-20")
@pytest.mark.usefixtures("program")
def test_what_begins_while_the_network_closes_is_ended_with_it() -> None:
    network = runtime.network(Options(hosts=("127.0.0.1",)), keyfile.throwaway())
    ended: list[str] = []

    def part(name: str, *then: Callable[[], Coroutine[Any, Any, None]]) -> Callable[..., Any]:
        async def end() -> None:
            ended.append(name)
            for one in then:
                network.on_close(one, first=True)

        return end

    network.on_close(part("connection", part("client found last")))
    network.on_close(part("client", part("client found meanwhile")), first=True)
    runtime.stop(network)
    assert ended == ["client", "client found meanwhile", "connection", "client found last"]
