"""A LocalCluster with more and fewer nodes: asked for, by its work, and when one dies."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dispycos import Client, Closed, LocalCluster
from dispycos.clusters.launcher import Launcher
from dispycos.clusters.scalable import Scalable
from dispycos.clusters.scaling import Policy
from dispycos.errors import LocalProtocolError
from dispycos.kernel.operation import Operation
from dispycos.model import Incarnation
from dispycos.net.keys import keyring_of
from dispycos.options import Options
from dispycos.runtime import Network, runtime
from dispycos.scheduler.service import SchedulerService
from tests.helpers import background, wait_until
from tests.process.clusters import program
from tests.process.standing import KEY

__all__ = ["program"]

PATIENCE = 20.0  # seconds


def naps(gate: str, number: int, task=None) -> Iterator[object]:
    open(f"{gate}-{number}", "w").close()
    while not os.path.exists(gate):
        yield task.sleep(0.02)
    return number


class Dying(Launcher):
    """Its first node dies before who asked for it has heard that it is here."""

    def __init__(self) -> None:
        self.started: list[int] = []

    async def begin(self) -> int:
        asyncio.get_running_loop().call_soon(self.ended, 1, "it died")
        return 1

    def start(self, number: int) -> None:
        self.started.append(number)
        self.came(number)

    def drain(self, number: int) -> None: ...

    def present(self) -> dict[Incarnation, int]:
        return {}

    async def stop(self) -> None: ...


class Asked(Dying):
    """It has no node at first, and those that are asked for never come."""

    async def begin(self) -> int:
        return 0

    def start(self, number: int) -> None:
        self.started.append(number)


class LaunchedCluster(Scalable):
    """A cluster whose nodes are what its launcher says."""

    def __init__(self, launcher: Dying) -> None:
        super().__init__(1)
        self.launcher = launcher

    def _join(self) -> tuple[Network, bool]:
        return runtime.network(Options(hosts=("127.0.0.1",), udp_port=None), keyring_of([KEY])), True

    def _make_launcher(self, network: Network, service: SchedulerService) -> Dying:
        return self.launcher


def test_a_first_node_that_dies_at_once_is_told_and_replaced(
    program: None, caplog: pytest.LogCaptureFixture
) -> None:
    with LaunchedCluster(Dying()) as cluster:
        wait_until(
            lambda: cluster.status()["nodes"] == {"up": 1} and cluster.launcher.started == [2], PATIENCE
        )
    assert "the cluster's node 1 ended: it died" in caplog.text


# A program of its own, at the scheduler of the one that has the cluster.
ELSEWHERE = """
import sys

from dispycos import Client
from dispycos.net.keys import keyring_of
from dispycos.options import Options
from dispycos.runtime import runtime

runtime.network(Options(hosts=("127.0.0.1",), udp_port=None), keyring_of([bytes(range(32))]))
client = Client()
assert client.schedule(sys.argv[1]).result(20) == 0
print("scheduled", flush=True)
for line in sys.stdin:
    calls = [client.submit(abs, -number) for number in range(int(line))]
client.close(terminate=True).result(20)
"""


@pytest.mark.row("DC-59")
def test_a_cluster_grows_for_the_work_of_another_program_at_its_scheduler(program: None) -> None:
    with LaunchedCluster(Asked()) as cluster:
        cluster.adapt(0, 3)
        where = runtime.network().endpoint.location
        with background([sys.executable, "-c", ELSEWHERE, str(where)]) as other:
            other.wait_line("scheduled", PATIENCE)
            assert cluster.status()["tasks"] == 0
            other.write("2")
            wait_until(lambda: cluster.launcher.started == [1, 2], PATIENCE)
            assert cluster.status()["tasks"] == 2
            # More of it, and its end.
            other.write("5")
            wait_until(lambda: cluster.launcher.started == [1, 2, 3], PATIENCE)
            other.process.stdin.close()
            assert other.wait(PATIENCE) == 0, other.output
        wait_until(lambda: cluster.status()["tasks"] == 0, PATIENCE)


@pytest.mark.row("DC-59", "DN-22")
def test_nodes_come_and_go_as_asked_by_work_and_by_death_and_no_task_is_lost(
    program: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "dispycos")
    idle = LocalCluster(1)
    with pytest.raises(Closed, match="not started"):
        idle.scale(2)
    with LocalCluster(1, pulse_interval=0.2) as cluster:
        for wrong in ((2, 1), (-1, 2), (0, 0)):
            with pytest.raises(ValueError):
                cluster.adapt(*wrong)
        client = Client()
        client.schedule().result(PATIENCE)

        def servers() -> int:
            return len(client.servers().result())

        # As asked: the one that is too many goes when its task has ended, and not before.
        assert cluster.scale(2).result(PATIENCE) == 2
        wait_until(lambda: servers() == 2, PATIENCE)
        assert "nodes 2" in repr(cluster)
        gate = str(tmp_path / "one")
        tasks = [client.rtask(naps, gate, number).result(PATIENCE) for number in range(2)]
        wait_until(lambda: all(os.path.exists(f"{gate}-{number}") for number in range(2)))
        fewer = cluster.scale(1)
        wait_until(lambda: cluster.status()["nodes"] == {"up": 1, "draining": 1})
        assert not fewer.done() and all(task.is_alive() for task in tasks)
        open(gate, "w").close()
        assert [task.value(PATIENCE) for task in tasks] == [0, 1]
        assert fewer.result(PATIENCE) == 1

        # The work of now, also where nobody follows it.
        wait_until(lambda: cluster.status()["tasks"] == 0)
        # A question changes nothing of what it asks.
        machine = cluster._elastic._machine
        demand = machine.demand
        assert cluster.status()["nodes"] == {"up": 1} and machine.demand is demand
        # By the work; half a minute would be long for a test.
        machine._policy = Policy(grow_after=0.1, shrink_after=0.5, say_after=0.1)
        cluster.adapt(1, 2)
        gate = str(tmp_path / "two")
        tasks = [client.rtask(naps, gate, number) for number in range(3)]
        wait_until(lambda: servers() == 2, PATIENCE)
        wait_until(lambda: cluster.status()["needed"] == 2)
        open(gate, "w").close()
        assert [task.result(PATIENCE).value(PATIENCE) for task in tasks] == [0, 1, 2]
        wait_until(lambda: cluster.status()["nodes"] == {"up": 1}, PATIENCE)
        assert re.search(r"tasks to do(, each some \S+ s)?; between 1 and 2 nodes", caplog.text)
        wait_until(lambda: servers() == 1, PATIENCE)

        # One that dies is replaced.
        (node,) = cluster._nodes._nodes.values()
        os.kill(node.pid, signal.SIGKILL)
        wait_until(lambda: cluster._nodes.locations and node not in cluster._nodes._nodes.values(), PATIENCE)
        wait_until(lambda: servers() == 1, PATIENCE)
        assert sum(client.map(abs, [-1, -2])) == 3
        # One that is to end and does not, and then dies, is told as what it is.
        (node,) = cluster._nodes._nodes.values()
        os.kill(node.pid, signal.SIGSTOP)
        none = cluster.scale(0)
        wait_until(lambda: "has no task, and is still there" in caplog.text, PATIENCE)
        os.kill(node.pid, signal.SIGKILL)
        assert none.result(PATIENCE) == 0
        assert "was to end with its last task, and died: killed by signal 9 (SIGKILL)" in caplog.text
        assert "nodes 0" in repr(cluster) and "127.0.0.1" not in repr(cluster)
        client.close().result(PATIENCE)
        other, waits, same = cluster.scale(2), cluster.scale(3), cluster.scale(3)
        with pytest.raises(LocalProtocolError, match="between 3 and 3 nodes were asked for before"):
            other.result(PATIENCE)
        elastic, late = cluster._elastic, Operation()  # closed at once: no node can be there before
    # A call that was under way at the close is told, too.
    elastic.limit(1, 1, late)
    for operation in (waits, same, late):
        with pytest.raises(Closed, match="before it had so many nodes"):
            operation.result(PATIENCE)
