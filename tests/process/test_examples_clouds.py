"""Examples whose node is behind a NAT, a firewall, a login: the only way to it is a forwarder."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.helpers import background
from tests.process.daemons import Node, command, free_ports
from tests.process.examples import end_of, parsed, run
from tests.process.forwarder import Forwarder

OUTSIDE = "127.0.0.2"  # only the forwarder listens there


def results(name: str, more: list[str], tmp_path: Path, key_file: Path) -> list[tuple[str, str]]:
    """What an example prints of jobs on a node that it can reach by the forwarder only."""
    port = free_ports(3)
    node = command(tmp_path, key_file, "--ext_ip_addr", OUTSIDE, "--daemon", port=port)
    with Forwarder(OUTSIDE, "127.0.0.1", range(port, port + 3)) as forwarder, background(node) as program:
        assert Node(program).location.port == port
        env = {"DISPYCOS_SECRET_FILE": str(key_file)}
        lines = run(name, "--node", f"{OUTSIDE}:{port}", *more, env=env)
        found = parsed(r"result from (\S+): \((\d+), (\S+)\)", lines)
        assert [int(i) for _, i, _ in found] == list(range(10))
        places = {place for place, _, _ in found}
        assert places <= {f"{OUTSIDE}:{port + 1}", f"{OUTSIDE}:{port + 2}"}
        # What was said to node and servers went through it.
        assert {f"{OUTSIDE}:{carried}" for carried in forwarder.carried} >= {f"{OUTSIDE}:{port}", *places}
    return [(i, n) for _, i, n in found]


@pytest.mark.row("XX-11", "DN-04", "DN-42")
def test_a_node_in_a_cloud_is_reached_by_the_address_it_has_outside(tmp_path: Path, key_file: Path):
    found = results("dispycos_cloud_computing", [], tmp_path, key_file)
    assert all(0.02 <= float(n) <= 0.1 for _, n in found)


@pytest.mark.row("XX-19", "DN-42")
def test_a_node_is_used_by_forwarded_ports_alone(tmp_path: Path, key_file: Path):
    found = results("dispycos_ssh_ec2", ["--tcp_port", "0"], tmp_path, key_file)
    assert found == [(str(i), str(sum(range(i)))) for i in range(10)]


@pytest.mark.row("XX-11", "XX-19")
@pytest.mark.parametrize("name", ["dispycos_cloud_computing", "dispycos_ssh_ec2"])
def test_a_node_that_is_not_there_is_one_sentence(name: str):
    port = free_ports(1)
    found = end_of(name, "--node", f"127.0.0.1:{port}", *(["--tcp_port", "0"] if "ssh" in name else []))
    assert found.code == 1 and found.out == ""
    assert re.fullmatch(rf"no node answers at 127\.0\.0\.1:{port}: .+\n", found.err)
