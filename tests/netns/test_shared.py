"""A shared scheduler, its nodes and its clients on several hosts."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.helpers import Program
from tests.netns.hosts import Host, Network
from tests.netns.test_cluster import node
from tests.netns.test_options import eavesdropping
from tests.process.schedulers import SCHEDULER, client_command, result, run

pytestmark = pytest.mark.netns

Make = Callable[[int], Network]


def scheduler(host: Host, key: Path, tmp_path: Path, *options: str) -> AbstractContextManager[Program]:
    command = [*SCHEDULER, "--daemon", "-i", host.address, "--secret_file", str(key)]
    return host.start([*command, "--dest_path", str(tmp_path / "scheduler"), *options])


def client(host: Host, key: Path, name: str = "c1", **network: object) -> AbstractContextManager[Program]:
    """A client program that does what is typed at it."""
    options = ", ".join(f"{option}={value!r}" for option, value in network.items())
    command = client_command(f"node={host.address!r}, name={name!r}, {options}")
    return host.start(command, env={"DISPYCOS_SECRET_FILE": str(key)})


def scheduled(program: Program, where: str = "None") -> None:
    number = len(program.lines)
    program.write(f"schedule {where}")
    assert program.wait_line("schedule ", 30, after=number) == "schedule 0"


def uses(program: Program, *names: str) -> None:
    """It gets these nodes, which work."""
    for name in names:
        program.wait_line(f"status NodeInitialized {name}", 30)
    run(program, 1)
    result(program, 1)


@pytest.mark.rule("N9")
@pytest.mark.row("DS-22", "DC-16", "R-76")
@pytest.mark.parametrize("first", ["scheduler", "node"])
def test_client_scheduler_and_node_find_each_other_without_any_option(
    network: Make, key: Path, tmp_path: Path, first: str
) -> None:
    a, b, c = network(3).hosts
    parts = [lambda: scheduler(a, key, tmp_path), lambda: node(b, key, tmp_path, "-n", "n1")]
    if first == "node":
        parts.reverse()
    with parts[0]() as one:
        one.wait_line("ready at", 20)
        with parts[1]() as other:
            other.wait_line("ready at", 20)
            with client(c, key) as program:
                scheduled(program)
                program.wait_line(f"status ClientScheduled {a.address}:9705", 10)
                uses(program, "n1")


@pytest.mark.row("DC-16")
def test_a_host_alone_stands_for_the_port_of_schedulers(network: Make, key: Path, tmp_path: Path) -> None:
    a, b = network(2).hosts
    with scheduler(a, key, tmp_path, "-u", "0") as shared, client(b, key, discover_peers=False) as program:
        shared.wait_line(f"ready at {a.address}:9705", 20)
        scheduled(program, repr(a.address))


@pytest.mark.row("DC-16")
def test_a_shared_scheduler_of_this_host_is_found_without_udp(
    network: Make, key: Path, tmp_path: Path
) -> None:
    (a,) = network(1).hosts
    with scheduler(a, key, tmp_path, "-u", "0") as shared, client(a, key, discover_peers=False) as program:
        shared.wait_line("ready at", 20)
        scheduled(program)
        program.wait_line(f"status ClientScheduled {a.address}:9705", 10)


@pytest.mark.row("DC-16")
def test_without_a_shared_scheduler_a_private_one_is_started(
    network: Make, key: Path, tmp_path: Path
) -> None:
    a, b = network(2).hosts
    with node(a, key, tmp_path, "-n", "n1") as running, client(b, key) as program:
        running.wait_line("ready at", 20)
        scheduled(program)
        assert f"status ClientScheduled {b.address}:" in program.wait_line("ClientScheduled", 10)
        uses(program, "n1")


@pytest.mark.row("DS-05")
def test_another_udp_port_finds_those_that_use_it(network: Make, key: Path, tmp_path: Path) -> None:
    a, b, c = network(3).hosts
    with (
        eavesdropping(c) as usual,
        scheduler(a, key, tmp_path, "-u", "9955") as shared,
        node(b, key, tmp_path, "-u", "9955", "-n", "n1"),
        client(c, key, udp_port=9955) as program,
    ):
        shared.wait_line("ready at", 20)
        scheduled(program)
        program.wait_line(f"status ClientScheduled {a.address}:9705", 10)
        uses(program, "n1")
        assert "heard" not in usual.output


@pytest.mark.row("DS-17")
def test_with_multicast_they_find_each_other_and_nothing_is_broadcast(
    network: Make, key: Path, tmp_path: Path
) -> None:
    a, b, c, d = network(4).hosts
    with (
        eavesdropping(d) as third,
        scheduler(a, key, tmp_path, "--ipv4_udp_multicast") as shared,
        node(b, key, tmp_path, "--ipv4_udp_multicast", "-n", "n1"),
        client(c, key, ipv4_udp_multicast=True) as program,
    ):
        shared.wait_line("ready at", 20)
        assert "239.255.97.5" in a.ip("maddr", "show", "dev", "e0")
        scheduled(program)
        program.wait_line(f"status ClientScheduled {a.address}:9705", 10)
        uses(program, "n1")
        assert "heard" not in third.output


@pytest.mark.row("DS-18")
def test_it_looks_for_nodes_again_and_again_if_it_is_to(network: Make, key: Path, tmp_path: Path) -> None:
    a, b = network(2).hosts
    with eavesdropping(b) as third, scheduler(a, key, tmp_path, "--ping_interval", "0.2"):
        seen = 0
        for _ in range(12):
            line = third.wait_line(f"heard 1 {a.address}", 10, after=seen)
            seen = third.lines.index(line, seen) + 1


@pytest.mark.row("DS-08")
def test_one_named_node_of_a_network_leads_to_the_others(network: Make, key: Path, tmp_path: Path) -> None:
    a, b, c = network(3).hosts
    with (
        node(b, key, tmp_path / "b", "-n", "n1") as one,
        node(c, key, tmp_path / "c", "-n", "n2") as other,
    ):
        one.wait_line("ready at", 20)
        other.wait_line("ready at", 20)
        with (
            scheduler(a, key, tmp_path, "-u", "0", "--node", b.address) as shared,
            client(a, key, discover_peers=False) as program,
        ):
            shared.wait_line("ready at", 20)
            scheduled(program, repr(a.address))
            uses(program, "n1", "n2")


@pytest.mark.row("DS-18")
@pytest.mark.parametrize("relays", [True, False])
def test_nodes_that_were_not_named_lead_to_others_only_if_all_nodes_relay(
    network: Make, key: Path, tmp_path: Path, relays: bool
) -> None:
    a, b, c = network(3).hosts
    options = ["--relay_nodes", "--ping_interval", "0.5"] if relays else ["--ping_interval", "0.5"]
    with scheduler(a, key, tmp_path, "-u", "0", *options) as shared:
        shared.wait_line("ready at", 20)
        with (
            eavesdropping(a) as third,
            node(b, key, tmp_path / "b", "-n", "n1", "--peer", f"{a.address}:9705"),
            node(c, key, tmp_path / "c", "-n", "n2") as other,
            client(a, key, discover_peers=False) as program,
        ):
            other.wait_line("ready at", 20)
            scheduled(program, repr(a.address))
            if relays:
                uses(program, "n1", "n2")
            else:
                uses(program, "n1")
                # The second node has asked for schedulers as often as it does, and nobody asked for nodes.
                seen = 0
                for _ in range(3):
                    line = third.wait_line(f"heard 1 {c.address}", 10, after=seen)
                    seen = third.lines.index(line, seen) + 1
                assert "n2" not in program.output


@pytest.mark.row("R-19", "DS-20", "DN-36")
def test_a_client_whose_host_is_silent_gives_way_to_the_next_one(
    network: Make, key: Path, tmp_path: Path
) -> None:
    net = network(4)
    a, b, c, d = net.hosts
    with (
        scheduler(a, key, tmp_path) as shared,
        node(b, key, tmp_path, "-n", "n1", "--min_pulse_interval", "0.2"),
        client(c, key, "c1") as first,
        client(d, key, "c2") as second,
    ):
        shared.wait_line("ready at", 20)
        scheduled(first, repr(a.address))
        uses(first, "n1")
        second.write(f"schedule {a.address!r}")
        net.cut(c)
        # It is suspect after 6 s; 2 Z are 4 s.
        shared.wait_line(") was not heard for", 45)
        second.wait_line("schedule 0", 30)
        uses(second, "n1")
        net.heal(c)
        first.wait_line("ClientClosed", 45)
        run(second, 2)
        result(second, 2)


@pytest.mark.row("DS-21", "R-18")
def test_a_scheduler_out_of_reach_is_waited_for_and_nothing_is_lost(
    network: Make, key: Path, tmp_path: Path
) -> None:
    net = network(3)
    a, b, c = net.hosts
    with (
        scheduler(a, key, tmp_path) as shared,
        node(b, key, tmp_path, "-n", "n1", "--min_pulse_interval", "0.2"),
        client(c, key, "c1") as program,
    ):
        shared.wait_line("ready at", 20)
        scheduled(program, repr(a.address))
        uses(program, "n1")
        run(program, 2, 4.0)
        program.wait_line("began 2", 20)
        net.cut(a)
        result(program, 2)
        run(program, 3)
        assert f"{a.address}:9705" in program.wait_line("not reachable", 45)
        assert "result 3" not in program.output
        net.heal(a)
        result(program, 3, 45)
