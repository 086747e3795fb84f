"""client.options: how tasks are run, as their program chose (DC-61)."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from dispycos import Client, Scheduler
from dispycos.errors import PoisonTask
from dispycos.model import MonitorStatus
from tests.process.clusters import echo, pid, scheduled, sleeps, two_servers


def killed_once(mark: str) -> Any:
    """Kills its server at the first attempt, of which the file tells."""
    yield
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return os.getpid()
    os.kill(os.getpid(), signal.SIGKILL)


def kills(log: str) -> Any:
    yield
    with open(log, "a") as file:
        file.write("x")
    os.kill(os.getpid(), signal.SIGKILL)


def note(log: str, word: str) -> Any:
    yield
    with open(log, "a") as file:
        file.write(word + " ")


def wait_for_file(path: str, task: Any = None) -> Any:
    while not os.path.exists(path):
        yield task.sleep(0.01)


@pytest.mark.row("DC-61")
@pytest.mark.parametrize(
    ("option", "error"),
    [
        ({"retries": -1}, ValueError),
        ({"retries": 1.5}, TypeError),
        ({"retries": True}, TypeError),
        ({"timeout": 0}, ValueError),
        ({"timeout": -1.0}, ValueError),
        ({"timeout": float("nan")}, ValueError),
        ({"timeout": float("inf")}, ValueError),
        ({"timeout": "1"}, TypeError),
        ({"max_worker_deaths": 0}, ValueError),
        ({"max_worker_deaths": None}, TypeError),
        ({"priority": "high"}, TypeError),
        ({"priority": 10**30}, ValueError),
    ],
)
def test_a_bad_option_is_named(option: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(option))):
        Client([echo]).options(**option)


@pytest.mark.row("DC-61")
def test_a_view_before_schedule_is_refused_and_afterwards_works(cluster: Any) -> None:
    def body(client: Client, task: Any) -> Any:
        view = client.options(priority=3).options(retries=2)
        assert (yield (yield view.rtask(echo, 1, a=2))()) == ((1,), {"a": 2})
        first, _ = yield two_servers(client, task)
        for request in (
            view.run(pid),
            view.run_at(first, pid),
            view.run_async(pid),
            view.run_async_at(first, pid),
        ):
            assert (yield (yield request)()) > 0

    early = Client([echo]).options(retries=1)
    assert isinstance(early.rtask(echo).result(5), MonitorStatus)
    scheduled(body, echo, pid)


@pytest.mark.row("DC-61", "R-41")
def test_a_lost_task_is_tried_again_as_often_as_allowed(cluster: Any, tmp_path: Path) -> None:
    def body(client: Client, task: Any) -> Any:
        status = yield (yield client.rtask(killed_once, str(tmp_path / "never again")))()
        assert status.type is Scheduler.TaskAbandoned
        assert "client.options(retries=...)" in status.value
        assert (yield (yield client.options(retries=1).rtask(killed_once, str(tmp_path / "again")))()) > 0

    scheduled(body, killed_once)


@pytest.mark.row("DC-61", "R-43")
def test_a_task_may_run_so_long_and_no_longer(cluster: Any) -> None:
    def body(client: Client, task: Any) -> Any:
        brief = client.options(timeout=0.2)
        status = yield (yield brief.rtask(sleeps, 60))()
        assert status.type is Scheduler.TaskTerminated
        assert "timeout of 0.2 s" in status.value
        assert (yield (yield brief.rtask(sleeps, 0.01))()) == 0.01
        assert (yield (yield brief.options(timeout=None).rtask(sleeps, 0.3))()) == 0.3

    scheduled(body, sleeps)


@pytest.mark.row("DC-61", "R-07")
def test_a_task_may_cost_so_many_servers(cluster: Any, tmp_path: Path) -> None:
    log = tmp_path / "log"

    def body(client: Client, task: Any) -> Any:
        status = yield (yield client.options(retries=9, max_worker_deaths=2).rtask(kills, str(log)))()
        assert status.type is PoisonTask
        assert "max_worker_deaths=2" in status.value

    scheduled(body, kills)
    assert log.read_text() == "xx"


@pytest.mark.row("DC-61")
def test_higher_priorities_are_placed_first_and_equal_ones_in_order(cluster: Any, tmp_path: Path) -> None:
    log, go_on = tmp_path / "log", tmp_path / "go on"

    def body(client: Client, task: Any) -> Any:
        server, _ = yield two_servers(client, task)
        blocker = yield client.rtask_at(server, wait_for_file, str(go_on))
        requests = []
        # One long task ahead keeps the server from taking the others before all are asked for.
        for word, priority in (("a", 0), ("b", 0), ("low", -5), ("high", 7), ("c", 0), ("higher", 9)):
            requests.append(client.options(priority=priority).rtask_at(server, note, str(log), word))
        go_on.touch()
        yield blocker()
        for request in requests:
            yield (yield request)()

    scheduled(body, wait_for_file, note)
    words = log.read_text().split()
    # What was sent ahead of the blocker's end, one at most, had no rival yet.
    assert words[1:] == [word for word in ("higher", "high", "a", "b", "c", "low") if word != words[0]]
