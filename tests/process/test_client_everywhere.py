"""client.run_everywhere: once on each server or node, and on each that comes."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from dispycos import Client, Location, MonitorStatus, NotSerializable, Scheduler, TaskRejected, gather
from tests.helpers import wait_until
from tests.process.clusters import LIMIT, opened, pid, scheduled, two_servers


def keep(value: int) -> int:
    global kept
    kept = value
    return os.getpid()


def get() -> tuple[int, int]:
    return os.getpid(), kept


def note(folder: str) -> int:
    Path(folder, str(os.getpid())).touch()
    return os.getpid()


def fails(bad: int) -> int:
    if os.getpid() == bad:
        raise LookupError("here")
    return os.getpid()


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.row("DC-65", "DC-60")
def test_a_function_runs_once_on_each_server(cluster: Any, tmp_path: Path) -> None:
    def body(client: Client, task: Any) -> Any:
        servers = yield two_servers(client, task)
        found = yield client.run_everywhere(note, str(tmp_path))
        assert sorted(found) == servers
        assert sorted(map(str, found.values())) == sorted(path.name for path in tmp_path.iterdir())
        assert len(set(found.values())) == 2
        # What it leaves behind there is what other tasks find.
        found = yield client.run_everywhere(keep, 5)
        for location in servers:
            assert (yield (yield client.rtask_at(location, pid))()) == found[location]
        assert {value for _, value in (yield gather([client.submit(get) for _ in range(10)]))} == {5}
        # Generator functions are functions too.
        assert sorted((yield client.run_everywhere(pid)).values()) == sorted(found.values())

        async def awaits() -> Any:
            return await client.run_everywhere(pid)

        assert (yield awaits()) == found

    scheduled(body, pid)


@pytest.mark.row("DC-65", "DC-60")
def test_a_program_that_just_began_waits_for_the_first_server(cluster: Any) -> None:
    with opened() as client:
        found = client.run_everywhere(pid).result(LIMIT)
        assert found
        wait_until(lambda: len(found) == 2)  # the other one may have come later
        assert set(found) == set(client.servers().result(LIMIT))

        async def main() -> Any:
            return await client.run_everywhere(pid)

        assert asyncio.run(main()) == found


@pytest.mark.row("DC-65")
def test_on_a_server_that_comes_later_it_runs_before_any_call(cluster: Any) -> None:
    with opened() as client:
        wait_until(lambda: len(client.servers().result(LIMIT)) == 2)
        before = client.run_everywhere(keep, 7).result(LIMIT)
        processes = set(before.values())
        for location in client.servers().result(LIMIT):
            client.restart_server(location)
        # They wait for the new processes, and each of these had `keep` before.
        found = gather([client.submit(get) for _ in range(40)]).result(LIMIT)
        assert {value for _, value in found} == {7}
        wait_until(lambda: len(before) == 4)
        assert set(before.values()) - processes


@pytest.mark.row("DC-65")
def test_per_node_it_runs_on_one_server_of_each(cluster: Any) -> None:
    with opened() as client:
        wait_until(lambda: len(client.servers().result(LIMIT)) == 2)
        found = client.run_everywhere(pid, per="node").result(LIMIT)
        ((location, process),) = found.items()
        assert isinstance(location, Location)
        assert location not in client.servers().result(LIMIT)
        assert process in client.run_everywhere(pid).result(LIMIT).values()


@pytest.mark.row("DC-65")
def test_a_server_that_comes_later_runs_it_too(cluster: Any) -> None:
    with opened() as client:
        wait_until(lambda: len(client.servers().result(LIMIT)) == 2)
        found = client.run_everywhere(pid).result(LIMIT)
        of_node = client.run_everywhere(pid, per="node").result(LIMIT)
        before, node_before = set(found.values()), dict(of_node)
        assert client.submit(killed).exception(LIMIT) is not None
        wait_until(lambda: len(set(found.values()) - before) == 1, what="the result of the new server")
        # The node never was without a server.
        assert of_node == node_before
        node = client.nodes().result(LIMIT)[0]
        assert client.restart_node(node).result(LIMIT) == 0
        wait_until(lambda: not before & set(of_node.values()), what="the result of the node's new servers")


@pytest.mark.row("DC-65")
def test_a_failure_is_the_status_of_its_server_only(cluster: Any) -> None:
    with opened() as client:
        wait_until(lambda: len(client.servers().result(LIMIT)) == 2)
        (one, bad), (other, good) = client.run_everywhere(pid).result(LIMIT).items()
        found = client.run_everywhere(fails, bad).result(LIMIT)
        assert found[other] == good
        assert isinstance(found[one], MonitorStatus)
        assert found[one].type is LookupError
        found = dict(client.run_everywhere(killed).result(LIMIT))
        assert {status.type for status in found.values()} == {Scheduler.TaskAbandoned}


@pytest.mark.row("DC-65")
def test_a_client_that_closes_answers_with_what_there_is(program: None) -> None:
    from dispycos.pycos import Pycos

    # No node here, ever.
    Pycos(host="127.0.0.1", udp_port=0, discover_peers=False)
    with opened() as client:
        asked = client.run_everywhere(pid)
        assert not asked.done()
    assert asked.result(LIMIT) == {}


@pytest.mark.row("DC-65")
def test_mistakes_are_raised_at_the_call(cluster: Any) -> None:
    with pytest.raises(TaskRejected, match=r"client.schedule\(\).result\(\)` goes first"):
        Client().run_everywhere(pid)
    with opened() as client:
        with pytest.raises(TypeError, match="func must be a function"):
            client.run_everywhere(5)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="per must be 'server' or 'node', not 'host'"):
            client.run_everywhere(pid, per="host")
        with pytest.raises(NotSerializable, match="argument 1 of keep"):
            client.run_everywhere(keep, threading.Lock())
