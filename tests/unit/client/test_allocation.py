"""DispycosNodeAllocate: what a rule accepts, and which rules are asked in the client."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from dispycos import config
from dispycos.client.allocation import DispycosNodeAllocate, allocations, ask, checked
from dispycos.messages import Avail, NodeFacts
from dispycos.model import Incarnation, Location

LINUX = "Linux-6.1.0-x86_64-with-glibc2.36"


def facts(addr: str = "10.0.0.7", cpus: int = 4, **avail: Any) -> NodeFacts:
    location = Location(addr, 9706)
    return NodeFacts(Incarnation(b"n" * 16), location, "n7", LINUX, "3.11.7", cpus, Avail(**avail))


def allocate(
    rule: DispycosNodeAllocate, cpus: int = 4, memory: int | None = None, disk: int | None = None
) -> int:
    return rule.allocate("10.0.0.7", "n7", LINUX, cpus, memory, disk)


@pytest.mark.row("ST-12")
@pytest.mark.parametrize(
    ("rule", "servers"),
    [
        (DispycosNodeAllocate("10.0.0.7"), 4),
        (DispycosNodeAllocate("10.0.0.*"), 4),
        (DispycosNodeAllocate("*"), 4),
        (DispycosNodeAllocate("10.0.1.*"), -1),
        (DispycosNodeAllocate("*", platform="linux.*x86_64"), 4),
        (DispycosNodeAllocate("*", platform="windows"), -1),
        (DispycosNodeAllocate("*", cpus=3), 3),
        (DispycosNodeAllocate("*", cpus=5), 0),
        (DispycosNodeAllocate("*", cpus=-1), 3),
        (DispycosNodeAllocate("*", cpus=None), 4),
    ],
)
def test_the_default_rule_answers_the_number_of_servers(rule: DispycosNodeAllocate, servers: int) -> None:
    assert allocate(rule) == servers


@pytest.mark.row("ST-12")
def test_too_little_memory_or_disk_refuses_and_unknown_passes() -> None:
    rule = DispycosNodeAllocate("*", memory=1000, disk=1000)

    assert allocate(rule, memory=999, disk=1000) == 0
    assert allocate(rule, memory=1000, disk=999) == 0
    assert allocate(rule, memory=1000, disk=1000) == 4
    assert allocate(rule) == 4


@pytest.mark.row("ST-11")
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"node": ""}, ValueError),
        ({"node": 7}, ValueError),
        ({"node": "*", "port": 0}, ValueError),
        ({"node": "*", "port": 70000}, ValueError),
        ({"node": "*", "port": "x"}, TypeError),
        ({"node": "*", "platform": "("}, ValueError),
        ({"node": "*", "platform": 3}, TypeError),
        ({"node": "*", "cpus": 1.5}, TypeError),
        ({"node": "*", "memory": -1}, ValueError),
        ({"node": "*", "disk": "1G"}, TypeError),
    ],
)
def test_a_bad_value_is_an_error_in_the_constructor(
    arguments: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        DispycosNodeAllocate(**arguments)


@pytest.mark.row("ST-11")
def test_a_rule_is_contacted_at_the_first_port_of_a_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "DispycosNodePort", 7001)

    assert DispycosNodeAllocate("10.0.0.7").rule().port == 7001
    assert DispycosNodeAllocate("10.0.0.7", 9999).rule().port == 9999


@pytest.mark.row("ST-11")
def test_a_name_is_resolved_where_the_rule_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Location, "resolver", staticmethod(lambda host: "10.0.0.7"))

    assert DispycosNodeAllocate("n7.example").rule().node == "10.0.0.7"


class Half(DispycosNodeAllocate):
    def allocate(
        self, ip_addr: str, name: str, platform: str, cpus: int, memory: int | None, disk: int | None
    ) -> int:
        found = super().allocate(ip_addr, name, platform, cpus, memory, disk)
        return found // 2 if found > 0 else found


class Broken(DispycosNodeAllocate):
    answer: Any = None

    def allocate(self, *args: Any, **kwargs: Any) -> Any:
        if self.answer is None:
            raise RuntimeError("no idea")
        return self.answer


@pytest.mark.row("ST-13")
def test_a_subclass_is_asked_here_and_a_plain_rule_is_not() -> None:
    assert Half("*").rule().asks_client
    assert not DispycosNodeAllocate("*").rule().asks_client
    assert ask(Half("*"), facts(cpus=8)) == 4
    assert ask(Half("10.1.*"), facts()) == -1


@pytest.mark.row("ST-13")
@pytest.mark.parametrize("answer", [None, "2", 1.0, True])
def test_an_exception_or_no_integer_is_logged_and_answers_nothing(
    answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    rule = Broken("*")
    rule.answer = answer
    with caplog.at_level(logging.ERROR):
        assert ask(rule, facts()) is None
    assert "Broken" in caplog.text


@pytest.mark.row("DC-05")
def test_a_name_that_cannot_be_resolved_is_left_out_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def resolver(host: str) -> str:
        raise ValueError(f"{host!r} is not known")

    monkeypatch.setattr(Location, "resolver", staticmethod(resolver))
    nodes = ["no.such.host", "10.0.0.7", DispycosNodeAllocate("*")]
    with caplog.at_level(logging.WARNING):
        found = allocations(nodes)

    assert [rule.name for rule in found] == ["10.0.0.7", "*"]
    assert "no.such.host" in caplog.text
    assert len(nodes) == 3


@pytest.mark.row("DC-05", "DC-36")
@pytest.mark.parametrize("node", [7, None, ("a",)])
def test_what_is_no_rule_is_a_type_error(node: Any) -> None:
    with pytest.raises(TypeError):
        checked(node)
    with pytest.raises(TypeError):
        allocations([node])


@pytest.mark.row("DC-05")
@pytest.mark.parametrize("nodes", ["10.0.0.7", None, 3])
def test_nodes_must_be_a_list(nodes: Any) -> None:
    with pytest.raises(TypeError, match="nodes must be a list"):
        allocations(nodes)
