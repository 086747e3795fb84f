"""A Client's arguments are checked at once, and errors name the argument."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from dispycos import config
from dispycos.client.settings import Settings, settings


def setup(task: Any = None) -> Iterator[int]:
    yield 0


def plain() -> int:
    return 0


def made(shortest_pulse: float | None = None, **changes: Any) -> Settings:
    arguments: dict[str, Any] = {
        "components": [],
        "pulse_interval": None,
        "nodes": [],
        "node_setup": None,
        "server_setup": None,
        "disable_nodes": False,
        "disable_servers": False,
        "restart_servers": False,
        "abandon_zombie_nodes": False,
        "ping_interval": None,
        "zombie_period": None,
    }
    arguments.update(changes)
    return settings(**arguments, shortest_pulse=shortest_pulse)


@pytest.mark.row("DC-04")
def test_the_default_pulse_is_five_times_the_shortest(monkeypatch: pytest.MonkeyPatch) -> None:
    assert made().pulse_interval == 50
    monkeypatch.setattr(config, "MinPulseInterval", 3)
    assert made().pulse_interval == 15


@pytest.mark.row("DC-04")
@pytest.mark.parametrize("pulse", [9, 101, 0, -1, float("nan"), float("inf")])
def test_a_pulse_outside_of_the_limits_is_refused(pulse: float) -> None:
    with pytest.raises(ValueError, match="pulse_interval"):
        made(pulse_interval=pulse)


@pytest.mark.row("DC-04")
def test_a_local_cluster_may_have_a_shorter_pulse() -> None:
    assert made(shortest_pulse=1.0).pulse_interval == 1.0
    assert made(shortest_pulse=1.0, pulse_interval=2).pulse_interval == 2.0
    with pytest.raises(ValueError, match="pulse_interval"):
        made(shortest_pulse=1.0, pulse_interval=0.5)


@pytest.mark.row("DC-01")
@pytest.mark.parametrize(
    ("changes", "error", "named"),
    [
        ({"components": "hello"}, TypeError, "components"),
        ({"pulse_interval": "10"}, TypeError, "pulse_interval"),
        ({"pulse_interval": True}, TypeError, "pulse_interval"),
        ({"nodes": "10.0.0.7"}, TypeError, "nodes"),
        ({"node_setup": plain}, TypeError, "node_setup"),
        ({"node_setup": 7}, TypeError, "node_setup"),
        ({"server_setup": plain}, TypeError, "server_setup"),
        ({"disable_nodes": "yes"}, TypeError, "disable_nodes"),
        ({"disable_servers": None}, TypeError, "disable_servers"),
        ({"restart_servers": 2}, TypeError, "restart_servers"),
        ({"abandon_zombie_nodes": []}, TypeError, "abandon_zombie_nodes"),
        ({"ping_interval": -1}, ValueError, "ping_interval"),
        ({"zombie_period": "x"}, TypeError, "zombie_period"),
    ],
)
def test_a_bad_argument_is_named(changes: dict[str, Any], error: type[Exception], named: str) -> None:
    with pytest.raises(error, match=named):
        made(**changes)


@pytest.mark.row("DC-13")
def test_the_zombie_period_is_five_pulses_at_least_and_zero_is_never() -> None:
    assert made(pulse_interval=10).zombie_period == 50
    assert made(pulse_interval=10, zombie_period=20).zombie_period == 50
    assert made(pulse_interval=10, zombie_period=80).zombie_period == 80
    assert made(pulse_interval=10, zombie_period=0).zombie_period == 0


@pytest.mark.row("DC-01")
def test_arguments_are_not_modified() -> None:
    components: list[Any] = [setup, plain]
    nodes: list[Any] = ["*"]
    made(components=components, nodes=nodes, node_setup=setup)

    assert components == [setup, plain]
    assert nodes == ["*"]
