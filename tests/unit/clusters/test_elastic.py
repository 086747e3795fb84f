"""The nodes of a cluster: what the clients of the program are told when there can be none."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from dispycos.client.orders import NoNodes
from dispycos.client.switchboard import Switchboard
from dispycos.clusters.elastic import Elastic


class Endpoint:
    """Takes handlers, and hears nothing."""

    def handle(self, kind: Any, handler: Any, **how: Any) -> None: ...
    def watch(self, watcher: Any) -> None: ...


class Launcher:
    """Starts nothing."""

    owner: Any = None


@pytest.mark.row("R-99")
def test_a_cluster_that_can_have_no_node_refuses_nothing_while_another_one_is_open() -> None:
    switchboard = Switchboard(Endpoint())  # type: ignore[arg-type]
    network: Any = SimpleNamespace(service=lambda kind, make: switchboard)
    told: list[Any] = []
    switchboard.add(SimpleNamespace(feed=told.append), lambda *question: False, "c1")  # type: ignore[arg-type]
    refused, pending = [Elastic(network, Launcher(), 1, 0) for _ in range(2)]  # type: ignore[arg-type]
    refused.at_most(0, "h1: unknown option")
    assert set(told) == {NoNodes("")}
    pending.close()
    assert "h1: unknown option" in told[-1].reason
    refused.close()
    assert told[-1] == NoNodes("")
