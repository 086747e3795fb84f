"""The nodes of a cluster: what clients are told when there can be none, and whose work asks for some."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from dispycos.client.demand import Work
from dispycos.client.orders import NoNodes
from dispycos.client.switchboard import Switchboard
from dispycos.clusters.elastic import Elastic
from dispycos.clusters.scaling import Policy
from dispycos.messages import Demand, NodeLoad
from dispycos.model import Incarnation


class Endpoint:
    """Takes handlers, and hears nothing."""

    def handle(self, kind: Any, handler: Any, **how: Any) -> None: ...
    def watch(self, watcher: Any) -> None: ...


class Launcher:
    """Starts nothing."""

    owner: Any = None

    def __init__(self) -> None:
        self.waits: list[str] = []
        self.nodes: dict[Incarnation, int] = {}

    def start(self, number: int) -> None: ...
    def present(self) -> Mapping[Incarnation, int]:
        return self.nodes

    def coming(self) -> list[str]:
        return self.waits

    def told(self) -> dict[str, Any]:
        return {}


class Service:
    """A scheduler, as far as it is told what becomes of nodes."""

    def __init__(self) -> None:
        self.expected: list[Callable[[], list[str]]] = []
        self.expect, self.expect_no_more = self.expected.append, self.expected.remove
        self.changes = 0
        self.demand_elsewhere: Demand | None = None

    def coming_changed(self) -> None:
        self.changes += 1


class Program:
    """A program with a scheduler, whose clients are told things."""

    def __init__(self) -> None:
        self.switchboard = Switchboard(Endpoint())  # type: ignore[arg-type]
        self.service = Service()
        self.launcher = Launcher()
        self.told: list[Any] = []
        reactor = SimpleNamespace(later=lambda seconds, call: SimpleNamespace(cancel=lambda: None))
        self._network = SimpleNamespace(service=lambda kind, make: self.switchboard, reactor=reactor)

    def client(self, *, ours: bool = True) -> None:
        """One that has a task."""
        driver: Any = SimpleNamespace(feed=self.told.append, demand=lambda: Work(1, 0, 0, -1.0, {}))
        self.switchboard.add(driver, lambda *question: False, "c1", ours=ours)

    def cluster(self, policy: Policy | None = None) -> Elastic:
        service: Any = self.service
        network: Any = self._network
        launcher: Any = self.launcher
        return Elastic(network, service, launcher, 1, 0, policy)


@pytest.mark.row("R-99")
def test_a_cluster_that_can_have_no_node_refuses_nothing_while_another_one_is_open() -> None:
    program = Program()
    program.client()
    refused, pending = program.cluster(), program.cluster()
    refused.at_most(0, "h1: unknown option")
    assert set(program.told) == {NoNodes("")}
    pending.close()
    assert "h1: unknown option" in program.told[-1].reason
    refused.close()
    assert program.told[-1] == NoNodes("")


@pytest.mark.row("R-99")
@pytest.mark.parametrize("ours", [True, False])
def test_the_log_says_refused_where_a_client_is(ours: bool, caplog: pytest.LogCaptureFixture) -> None:
    program = Program()
    program.client(ours=ours)
    program.cluster().at_most(0, "h1: unknown option")
    (line,) = caplog.messages
    assert line.startswith("what waits for a server is refused: ") == ours and "h1: unknown option" in line


@pytest.mark.row("R-99")
def test_the_log_says_why_none_comes_once_and_then_how_often(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = iter(range(100))
    monkeypatch.setattr("dispycos.clusters.elastic.time", SimpleNamespace(monotonic=lambda: next(clock)))
    program = Program()
    program.client()
    cluster = program.cluster(Policy(refuse_after=0.0, retry_first=1.0, retry_max=1.0))

    def fail(*reasons: str) -> list[str]:
        """A try for each reason; the errors in the log."""
        caplog.clear()
        for reason in reasons:
            cluster._look()
            (number,) = cluster._machine.nodes
            program.told.clear()
            cluster.ended(number, reason)
            assert reason in program.told[-1].reason  # who waits reads all of it each time
        return [line.getMessage() for line in caplog.records if line.levelname == "ERROR"]

    cluster.limit(1, 1)
    (first,) = fail("no space")
    assert first.startswith(
        "what waits for a server is refused: no node of this cluster came in 0 s: no space; "
    )
    again = fail(*["no space"] * 7)
    assert [line.partition(" s: ")[2] for line in again] == [
        f"{count} failed for the reason that was told"
        for count in ("1 more try", "2 more tries", "4 more tries")
    ]
    (other,) = fail("no route")
    assert "no route; they are tried on" in other


def test_the_work_of_clients_whose_nodes_come_from_elsewhere_asks_for_none() -> None:
    program = Program()
    cluster = program.cluster()
    program.client(ours=False)
    cluster.limit(0, 4)
    assert cluster.status()["needed"] == 0
    program.client()
    cluster.limit(0, 4)
    assert cluster.status()["needed"] == 1


@pytest.mark.row("DC-59")
def test_the_work_of_another_program_at_this_one_s_scheduler_asks_for_nodes() -> None:
    program = Program()
    node = Incarnation(b"node............")
    program.launcher.nodes = {node: 3}
    cluster = program.cluster()
    program.client()
    program.service.demand_elsewhere = Demand(7, 4, 1, 20, 9.0, [NodeLoad(node, 2)], 3)
    found = cluster._demand()
    assert (found.tasks, found.waiting_io, found.done, found.seconds, found.servers) == (5, 1, 20, 9.0, 3)
    assert found.busy == {3: 2}
    cluster.limit(0, 4)
    assert cluster.status()["needed"] == 4


@pytest.mark.row("R-33")
@pytest.mark.rule("S6")
def test_who_waits_at_a_cluster_without_nodes_reads_that_it_starts_some_for_work() -> None:
    program = Program()
    cluster = program.cluster()
    (coming,) = program.service.expected
    assert coming() == ["the cluster is to have no node: scale and adapt say how many"]
    cluster.limit(0, 4)
    assert coming() == ["the cluster starts up to 4 nodes when there is work"]
    program.client()
    cluster._look()
    assert coming() == []


@pytest.mark.row("R-33", "R-99")
def test_why_its_last_node_did_not_come_is_known_to_the_scheduler_until_one_comes() -> None:
    program = Program()
    cluster = program.cluster(Policy(retry_first=0.0))
    (coming,) = program.service.expected
    cluster.limit(1, 1)
    assert coming() == []
    cluster.ended(1, "sbatch: invalid partition")
    assert coming() == ["the last node of the cluster did not start: sbatch: invalid partition"]
    assert program.service.changes == 2  # that one comes, and that it did not
    program.launcher.waits = ["job 1 waits: Slurm says Resources"]
    assert coming() == ["job 1 waits: Slurm says Resources"]  # the newer word
    program.launcher.waits = []
    cluster.came(2)
    assert coming() == []
    cluster.close()
    assert program.service.expected == []
