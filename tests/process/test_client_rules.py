"""Which nodes a client takes."""

from __future__ import annotations

from typing import Any

import pytest

from dispycos import (
    Client,
    DispycosNodeAllocate,
    LocalCluster,
    Scheduler,
)
from tests.process.clusters import (
    Watcher,
    pid,
    run,
    scheduled,
)


@pytest.mark.row("DC-05", "DC-36")
def test_a_node_that_no_rule_takes_is_ignored_until_a_rule_is_added(cluster):
    watcher = Watcher()

    def main(task: Any = None) -> Any:
        client = Client([pid], nodes=["10.9.8.*"], status_task=watcher.task)
        assert (yield client.schedule()) == 0
        waiting = client.rtask(pid)
        while not watcher.statuses(Scheduler.NodeIgnore):
            yield task.sleep(0.01)
        assert not waiting.done()
        assert client.node_allocate("127.0.0.*") == 0
        assert (yield (yield waiting)()) > 0
        with pytest.raises(TypeError):
            client.node_allocate(7)
        assert (yield client.close()) == 0

    run(main)


@pytest.mark.row("ST-13")
def test_a_subclass_of_node_allocate_decides_here(cluster):

    asked: list[Any] = []

    class One(DispycosNodeAllocate):
        def allocate(self, ip_addr: str, name: str, platform: str, cpus: int, memory: Any, disk: Any) -> int:
            asked.append((ip_addr, cpus))
            return 1

    def body(client: Client, task: Any) -> Any:
        yield (yield client.rtask(pid))()
        assert len((yield client.servers())) == 1

    scheduled(body, pid, nodes=[One("*")])
    assert asked == [("127.0.0.1", 2)]


def test_a_local_cluster_s_pulse_is_the_default_of_its_clients(program):
    with LocalCluster(1, pulse_interval=0.5):
        assert Client([])._settings.pulse_interval == 0.5
        with pytest.raises(ValueError, match="pulse_interval"):
            Client([], pulse_interval=0.2)
    assert Client([])._settings.pulse_interval == 50
