"""Clients whose own code answers nonsense: the scheduler and the node go on."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from dispycos import Client, DispycosNodeAllocate, LocalCluster, keyfile
from dispycos.config import Limits
from dispycos.model import Role
from dispycos.options import Options
from dispycos.runtime import runtime
from tests.process.clusters import Watcher, node_pid, pid, scheduled, two_servers


class Odd(DispycosNodeAllocate):
    """Says whatever it is told to; asked for the first node only."""

    def __init__(self, answer: Any) -> None:
        super().__init__("*")
        self.answer = answer
        self.asked = 0

    def allocate(self, ip_addr: str, name: str, platform: str, cpus: int, memory: Any, disk: Any) -> Any:
        self.asked += 1
        return self.answer() if callable(self.answer) else self.answer


def fails() -> int:
    raise OverflowError("canary")


@pytest.mark.row("SE-26", "SE-90", "ST-13")
@pytest.mark.parametrize("answer", [-1, 10**9, 2**63, -(10**30), "two", None, 1.5, fails])
def test_whatever_an_allocate_answers_the_node_is_used_by_the_next_rule_at_the_latest(
    cluster: LocalCluster, answer: Any
) -> None:
    odd = Odd(answer)

    def body(client: Client, task: Any) -> Any:
        yield (yield client.rtask(pid))()
        assert len((yield two_servers(client, task))) == 2

    scheduled(body, pid, nodes=[odd, DispycosNodeAllocate("*")])
    assert odd.asked >= 1


@pytest.fixture
def impatient(program: None) -> Iterator[LocalCluster]:
    """A cluster whose scheduler waits half a second for answers."""
    roles = Role.PEER | Role.CLIENT | Role.SCHEDULER
    limits = replace(Limits(), request_timeout=0.5)
    runtime.network(Options(hosts=("127.0.0.1",), roles=roles, limits=limits), keyfile.throwaway())
    with LocalCluster(2) as cluster:
        yield cluster


@pytest.mark.row("SE-26", "SE-90")
def test_an_allocate_that_does_not_answer_in_time_is_not_waited_for(impatient: LocalCluster) -> None:
    def dawdles() -> int:
        deadline = time.monotonic() + 2.0
        while time.monotonic() < deadline:  # user code that blocks its program's tasks
            time.sleep(0.05)
        return 1

    odd = Odd(dawdles)

    def body(client: Client, task: Any) -> Any:
        assert len((yield two_servers(client, task))) == 2  # the answer of 1 came too late

    scheduled(body, pid, nodes=[odd, DispycosNodeAllocate("*")])
    assert odd.asked == 1


class Canary:
    """Whoever unpickles it writes down who he is, and for what."""

    def __init__(self, folder: Path, what: str) -> None:
        self.folder = str(folder)
        self.what = what

    def __reduce__(self) -> Any:
        source = "import os; open(os.path.join({!r}, f'{}-{{os.getpid()}}'), 'w').close()"
        return (exec, (source.format(self.folder, self.what),))


def give_back(value: Any, folder: Any, canary: Any) -> Any:
    yield
    return canary(folder, "result")


def prepare(value: Any, task: Any = None) -> Any:
    yield
    return 0


@pytest.mark.row("SE-24", "SE-85")
def test_only_the_client_s_own_processes_unpickle_what_it_made(cluster: LocalCluster, tmp_path: Path) -> None:
    node = psutil.Process(node_pid(cluster))
    theirs: list[int] = []
    watcher = Watcher()

    def component(of: Any = Canary(tmp_path, "component")) -> Any:  # noqa: B008  # it travels with the function
        yield

    def body(client: Client, task: Any) -> Any:
        while client.enable_node("127.0.0.1", Canary(tmp_path, "node_setup")):
            yield task.sleep(0.01)
        while not (yield client.servers()):
            yield task.sleep(0.01)
        theirs.extend(child.pid for child in node.children(recursive=True))
        yield (yield client.rtask(give_back, Canary(tmp_path, "argument"), tmp_path, Canary))()

    scheduled(
        body, give_back, component, prepare, node_setup=prepare, disable_nodes=True, status_task=watcher.task
    )
    seen = [name.rpartition("-") for name in os.listdir(tmp_path)]
    assert {what for what, _, _ in seen} == {"component", "node_setup", "argument", "result"}
    pids = {int(pid) for _, _, pid in seen}
    assert node.pid not in pids
    assert pids <= {os.getpid(), *theirs}
    assert {what for what, _, pid in seen if int(pid) == os.getpid()} == {"result"}


def makes_a_client(task: Any = None) -> Any:
    import logging.handlers
    import queue

    from dispycos import Client

    said: queue.Queue[Any] = queue.Queue()
    logging.getLogger("dispycos").addHandler(logging.handlers.QueueHandler(said))
    code = yield Client([]).schedule(timeout=5)
    return code, [record.getMessage() for record in said.queue]


@pytest.mark.row("DC-15")
def test_a_client_of_a_servers_task_is_refused_at_once_and_the_reason_logged(cluster: LocalCluster) -> None:
    def body(client: Client, task: Any) -> Any:
        code, said = yield (yield client.rtask(makes_a_client)).result()
        assert code == -1
        assert [text for text in said if "can't be scheduled in a server's process" in text], said

    scheduled(body, makes_a_client)
