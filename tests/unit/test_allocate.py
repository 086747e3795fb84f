"""Allocation rules: which nodes they take and with how many servers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispycos.messages import Avail, NodeFacts, Rule
from dispycos.model import Incarnation, Location
from dispycos.scheduler import allocate
from dispycos.scheduler.allocate import Verdict, answered, choose, judge


def rule(
    node: str = "*", platform: str = "", cpus: int = 0, memory: int = 0, disk: int = 0, asks: bool = False
) -> Rule:
    return Rule(node, 9706, platform, cpus, memory, disk, asks)


def facts(
    addr: str = "10.0.3.7",
    name: str = "web1",
    platform: str = "Linux-6.1-x86_64",
    cpus: int = 4,
    memory: int | None = 1000,
    disk: int | None = 1000,
) -> NodeFacts:
    avail = Avail(memory=memory, disk=disk)
    return NodeFacts(Incarnation(b"n" * 16), Location(addr, 9706), name, platform, "3.11", cpus, avail)


@pytest.mark.row("ST-11", "ST-12")
@pytest.mark.parametrize(
    ("node", "taken"),
    [
        ("10.0.3.7", True),
        ("10.0.3.8", False),
        ("*", True),
        ("10.*", True),
        ("10.*.7", True),
        ("10.*.8", False),
        ("*3*", True),
        ("10.0.3.7*", True),
        ("*10.0.3.77", False),
        ("10.0.3.7*7", False),
        ("10...3", False),
        ("web*", True),
        ("WEB1", True),
        ("[abc]*", False),
        ("1?.0.3.7", False),
    ],
)
def test_a_node_is_named_by_address_name_or_pattern(node: str, taken: bool) -> None:
    assert judge(rule(node), facts()) == (4 if taken else allocate.NEXT)


@pytest.mark.row("ST-11")
def test_an_ipv6_pattern_matches() -> None:
    assert judge(rule("fe80:*"), facts(addr="fe80::1")) == 4


@pytest.mark.row("ST-11", "ST-12")
@pytest.mark.parametrize(
    ("platform", "taken"),
    [("linux", True), ("linux.*X86_64", True), ("windows", False), ("", True), ("(", False), ("6\\.1", True)],
)
def test_platform_is_searched_without_case_and_a_bad_one_matches_nothing(platform: str, taken: bool) -> None:
    assert judge(rule(platform=platform), facts()) == (4 if taken else allocate.NEXT)


@pytest.mark.row("ST-12")
@pytest.mark.parametrize(
    ("cpus", "servers"), [(0, 4), (1, 1), (4, 4), (5, 0), (-1, 3), (-3, 1), (-4, 0), (-9, 0)]
)
def test_cpus_say_how_many_servers_are_needed_and_used(cpus: int, servers: int) -> None:
    assert judge(rule(cpus=cpus), facts()) == servers


@pytest.mark.row("ST-12")
def test_too_little_memory_or_disk_ends_the_search_and_unknown_passes() -> None:
    assert judge(rule(memory=1000), facts()) == 4
    assert judge(rule(memory=1001), facts()) == 0
    assert judge(rule(disk=1001), facts()) == 0
    assert judge(rule(memory=1001, disk=1001), facts(memory=None, disk=None)) == 4


@pytest.mark.row("ST-12")
def test_a_node_without_servers_is_not_used() -> None:
    assert judge(rule(), facts(cpus=0)) == 0
    assert choose([], facts(cpus=0)) == Verdict(reason="it has no server")


@pytest.mark.row("ST-13", "DC-05")
def test_no_rules_take_every_node_whole() -> None:
    assert choose([], facts()) == Verdict(4)


@pytest.mark.row("ST-13")
def test_a_negative_answer_passes_on_and_zero_does_not() -> None:
    assert choose([rule("1.*"), rule(cpus=2)], facts()) == Verdict(2)
    stopped = choose([rule(cpus=9), rule()], facts())
    assert stopped.servers == 0
    assert "4 servers, 9 are needed" in stopped.reason


@pytest.mark.row("ST-13")
def test_no_rule_left_says_why_of_each() -> None:
    reason = choose([rule("1.*"), rule(platform="plan9")], facts()).reason
    assert "is not 1.*" in reason
    assert "plan9" in reason


@pytest.mark.row("ST-13")
@pytest.mark.rule("S5")
def test_a_subclass_is_asked_in_the_client_only_for_nodes_it_names() -> None:
    rules = [rule("1.*", asks=True), rule("10.*", asks=True), rule(cpus=2)]
    assert choose(rules, facts()) == Verdict(ask=1)
    assert answered(rules, facts(), 1, 3) == Verdict(3)
    assert answered(rules, facts(), 1, 99) == Verdict(4)
    assert answered(rules, facts(), 1, 0).servers == 0
    assert answered(rules, facts(), 1, -1) == Verdict(2)
    assert answered(rules, facts(), 1, None) == Verdict(2)
    assert "failed" in answered(rules[:2], facts(), 1, None).reason


@pytest.mark.row("R-75")
@pytest.mark.rule("S5")
@pytest.mark.parametrize("platform", ["(a+)+$", "(a|b|ab)*c", ".*.*.*.*x", "x" * 300, "(linux)?"])
def test_an_expression_that_could_keep_the_scheduler_busy_is_asked_in_the_client(platform: str) -> None:
    assert choose([rule(platform=platform)], facts()) == Verdict(ask=0)


@pytest.mark.row("R-75")
def test_a_pattern_with_many_stars_is_answered_at_once() -> None:
    assert judge(rule("*0" * 2000), facts()) == allocate.NEXT


@pytest.mark.row("DC-05")
def test_only_concrete_addresses_are_dialled() -> None:
    assert allocate.concrete(rule("10.0.0.1")) == Location("10.0.0.1", 9706)
    assert allocate.concrete(rule("10.*")) is None


@pytest.mark.row("R-83")
@given(
    cpus=st.integers(-70, 70), have=st.integers(0, 64), memory=st.integers(0, 2000), disk=st.integers(0, 2000)
)
def test_a_verdict_never_exceeds_what_the_node_has(cpus: int, have: int, memory: int, disk: int) -> None:
    verdict = choose([rule(cpus=cpus, memory=memory, disk=disk)], facts(cpus=have))
    assert 0 <= verdict.servers <= have
    assert verdict.servers or verdict.reason
