"""node_setup, server_setup and files: what happens before the first task."""

from __future__ import annotations

import os
from typing import Any

import pytest

from dispycos import (
    Client,
    Scheduler,
)
from tests.process.clusters import (
    Watcher,
    get_value,
    scheduled,
    set_value,
    two_servers,
)


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
