"""A cluster on this machine: what is promised to users, with real processes."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import psutil
import pytest

from dispycos import Client, LocalCluster, Task
from dispycos.errors import TaskRejected
from tests.helpers import alive, run_python, wait_until
from tests.process.clusters import LIMIT, run, waits


def square(n: int, task: Any = None) -> Any:
    yield task.sleep(0.01)
    return n * n


async def cube(n: int) -> int:
    return n**3


def where(task: Any = None) -> Any:
    yield
    return os.getpid()


def squares(count: int, task: Any = None) -> Any:
    client = Client([square])
    assert (yield client.schedule()) == 0
    rtasks = []
    for n in range(count):
        rtasks.append((yield client.rtask(square, n)))
    results = []
    for rtask in rtasks:
        results.append((yield rtask()))
    assert (yield client.close()) == 0
    return results


@pytest.mark.row("DC-59", "DC-17")
def test_tasks_run_on_its_servers_and_give_their_results(own_cluster):
    assert run(squares, 20) == [n * n for n in range(20)]


@pytest.mark.row("DC-59", "R-52")
def test_a_cluster_that_was_never_started_is_named_once_where_a_client_is_scheduled():
    found = run_python(UNSTARTED, env={"DISPYCOS_CLIENT_HOST": "127.0.0.1", "DISPYCOS_UDP_PORT": "0"})
    assert (found.code, found.out) == (0, "0 0 0\n"), found.err
    told = [line for line in found.err.splitlines() if "made and not started" in line]
    assert len(told) == 1 and "use it in a `with` block, or start() it" in told[0], found.err


UNSTARTED = """
from dispycos import Client, LocalCluster

cluster = LocalCluster(1)
codes = []
for _ in range(2):
    client = Client()
    codes.append(client.schedule().result(20))
    client.close().result(20)
with LocalCluster(1), Client():
    codes.append(0)
print(*codes)
"""


@pytest.mark.row("DC-43")
def test_clients_use_it_one_after_the_other(cluster):
    for _ in range(2):
        assert run(squares, 3) == [0, 1, 4]


@pytest.mark.row("DC-60")
def test_a_plain_thread_uses_it_without_a_task_of_its_own(cluster):
    client = Client([square])
    assert client.schedule().result(20) == 0
    rtask = client.rtask(square, 7).result(20)
    assert rtask.value(20) == 49
    assert client.close().result(20) == 0


@pytest.mark.row("DC-60")
def test_an_asyncio_program_awaits_it(cluster):
    async def main() -> int:
        client = Client([cube])
        assert await client.schedule() == 0
        rtask = await client.rtask(cube, 3)
        value = await asyncio.to_thread(rtask.value, 20)
        assert await client.close() == 0
        return value

    assert asyncio.run(main()) == 27


@pytest.mark.row("KE-07", "DC-21")
def test_async_functions_are_tasks_on_both_sides(cluster):
    async def main(task: Any = None) -> Any:
        client = Client([cube])
        await client.schedule()
        rtask = await client.rtask(cube, 4)
        value = await rtask()
        await client.close()
        return value

    assert run(main) == 64


@pytest.mark.row("DC-59", "R-64")
def test_nothing_is_left_after_an_error(program):
    pids: list[int] = []
    before = psutil.Process().children(recursive=True)

    def fail(task: Any = None) -> Any:
        client = Client([where])
        yield client.schedule()
        pids.append((yield (yield client.rtask(where))()))

    with pytest.raises(ZeroDivisionError):
        with LocalCluster(1) as cluster:
            run(fail)
            pids.extend(
                child.pid for child in psutil.Process().children(recursive=True) if child not in before
            )
            raise ZeroDivisionError
    wait_until(lambda: not any(map(alive, pids)), what=f"the end of {pids}")
    assert len(pids) > 2

    def again(task: Any = None) -> Any:
        return (yield cluster.close())

    assert cluster.close().done() and run(again) is None  # may be repeated, also in a task


@pytest.mark.row("SE-06", "DC-59")
def test_every_listening_socket_is_loopback(own_cluster):
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    listening = [
        connection.laddr.ip
        for process in processes
        for connection in process.net_connections()
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening
    assert set(listening) == {"127.0.0.1"}


@pytest.mark.row("DC-59")
def test_two_clusters_at_once_are_one_network(program):
    with LocalCluster(1), LocalCluster(1):

        def main(task: Any = None) -> Any:
            client = Client([where])
            yield client.schedule()
            found = set()
            rtasks = []
            while len(found) < 2:
                rtasks.append((yield client.rtask(where)))
                found.add((yield rtasks[-1]()))
                servers = yield client.servers()
                if len(servers) == 2:
                    for location in servers:
                        found.add((yield (yield client.rtask_at(location, where))()))
            yield client.close()
            return len(found)

        assert run(main) == 2


@pytest.mark.row("DC-59")
@pytest.mark.parametrize("cpus", ["2", 1.5, None, True])
def test_a_bad_number_of_servers_is_refused(cpus):
    with pytest.raises(TypeError):
        LocalCluster(cpus)


@pytest.mark.row("DC-59", "KE-27")
def test_a_script_that_forgets_to_close_ends_by_itself():
    code, out, err = run_python(
        """
from dispycos import Client, LocalCluster, Task

def hello(task=None):
    yield
    return "hello"

def main(task=None):
    client = Client([hello])
    yield client.schedule()
    print((yield (yield client.rtask(hello))()))

cluster = LocalCluster(1).start()
Task(main)
""",
        timeout=30,
    )
    assert (code, out) == (0, "hello\n"), err


@pytest.mark.row("DC-59")
def test_a_killed_program_leaves_no_process():
    code, out, err = run_python(
        """
import os, signal, psutil
from dispycos import LocalCluster
LocalCluster(1).start()
print(*[child.pid for child in psutil.Process().children(recursive=True)], flush=True)
os.kill(os.getpid(), signal.SIGKILL)
""",
        timeout=30,
    )
    assert code == -9, err
    pids = [int(word) for word in out.split()]
    assert pids
    wait_until(lambda: not any(map(alive, pids)), what=f"the end of {pids}")


@pytest.mark.row("GN-06", "R-53")
def test_ctrl_c_ends_a_program_and_its_cluster():
    code, _, err = run_python(
        """
import os, signal, threading
from dispycos import Client, LocalCluster, Task

def forever(task=None):
    yield task.sleep()

def main(task=None):
    client = Client([forever])
    yield client.schedule()
    rtask = yield client.rtask(forever)
    os.kill(os.getpid(), signal.SIGINT)
    yield rtask()

with LocalCluster(1):
    Task(main).value()
""",
        timeout=30,
    )
    assert code in (130, -2), err
    assert "interrupted: ending the tasks of this cluster; Ctrl-C again leaves at once" in err
    assert err.count("interrupted: ") == 1


@pytest.mark.row("GN-06", "R-53")
def test_ctrl_c_that_the_program_catches_ends_a_task_that_would_wait_for_ever():
    code, _, err = run_python(
        """
import os, signal, sys
from dispycos import LocalCluster, Task

def main(task=None):
    os.kill(os.getpid(), signal.SIGINT)
    yield task.receive()

try:
    with LocalCluster(1):
        Task(main).value()
except KeyboardInterrupt:
    sys.exit(3)
""",
        timeout=30,
    )
    assert code == 3, err
    assert "Traceback" not in err


def test_a_cluster_whose_network_another_one_closed_is_killed_and_closed_at_once(program):
    first = LocalCluster(1).start()
    second = LocalCluster(1).start()
    first.close()
    second.kill()
    second.close()


def test_a_cluster_that_ends_before_its_tasks_says_so(program, caplog):
    with LocalCluster(1):
        left = Task(waits)
    assert f"the LocalCluster ends while these tasks live: {left}" in caplog.text
    left.send("go on")
    assert left.value(10) == "go on"


def test_a_task_outside_needs_no_cluster(program):
    def local(task: Any = None) -> Any:
        yield task.sleep(0)
        return task.location

    assert Task(local).value(10) is None


@pytest.mark.row("DC-62")
def test_what_waits_for_a_cluster_that_was_killed_is_refused(program: Any) -> None:
    with LocalCluster(1) as cluster, Client() as client:
        assert client.submit(abs, -1).result(LIMIT) == 1
        cluster.kill()
        with pytest.raises(TaskRejected, match=r"the nodes of the LocalCluster were ended by its kill\(\)"):
            client.submit(abs, -1).result(LIMIT)
        with pytest.raises(TaskRejected, match=r"ended by its kill\(\)"):
            client.wait_for_servers(1).result(LIMIT)
