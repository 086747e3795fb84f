"""The doctor between hosts on which one thing is wrong: it names that thing."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dispycos import keyfile
from tests.netns.hosts import Host, Network
from tests.netns.test_cluster import node

pytestmark = pytest.mark.netns

Make = Callable[[int], Network]


def doctor(host: Host, *arguments: str, key: Path) -> tuple[int, dict[tuple[str, str], str]]:
    """The exit status, and what was found with what to do, by area and level."""
    command = [sys.executable, "-m", "dispycos", "doctor", *arguments, "--json", "--within", "0.7"]
    code, out, err = host.run([*command, "--secret_file", str(key)])
    assert err == "", err
    found: dict[tuple[str, str], str] = {}
    for one in json.loads(out):
        place = one["area"], one["level"]
        found[place] = f"{found.get(place, '')}{one['found']} -> {one['todo']}\n"
    return code, found


def drop(host: Host, *what: str) -> None:
    """A firewall of that host: what matches is dropped on its way in."""
    # The rule for its own addresses comes first, and has to make room.
    host.ip("rule", "add", "pref", "9", "table", "local")
    host.ip("rule", "del", "pref", "0")
    host.ip("rule", "add", "pref", "1", "iif", "e0", *what, "blackhole")


def test_it_finds_nothing_wrong_between_two_that_meet_and_tells_another_key_port_and_udp_port(
    network: Make, key: Path, tmp_path: Path
) -> None:
    a, b = network(2).hosts
    with node(a, key, tmp_path) as running:
        running.wait_line("ready at", 10)
        code, found = doctor(b, a.address, key=key)
        assert code == 0, found
        assert (
            f"{a.address}:9706 is dispycos, of a version that fits, and knows this key"
            in found["tcp", "good"]
        )
        assert f"{a.address} answers: a node, at TCP port 9706" in found["udp", "good"]
        assert "what is sent to all through e0 arrives here" in found["udp", "good"]
        # Nobody runs a scheduler there, which is no fault.
        assert f"{a.address}:9705 refuses" in found["tcp", "note"]
        other = tmp_path / "other"
        keyfile.create(other)
        code, found = doctor(b, a.address, key=other)
        assert code == 1
        assert "the peer does not know our key" in found["tcp", "wrong"]
        assert "compare `dispycos key fingerprint` on both" in found["tcp", "wrong"]
        code, found = doctor(b, f"{a.address}:9800", key=key)
        assert code == 1 and f"{a.address}:9800 refuses: the machine is there" in found["tcp", "wrong"]
        code, found = doctor(b, f"{a.address}:9706", "-u", "9955", key=key)
        assert code == 1 and "though TCP reaches it" in found["udp", "wrong"]
        assert "uses another --udp_port" in found["udp", "wrong"]
        code, found = doctor(b, "10.99.0.77", key=key)
        assert code == 1 and "10.99.0.77:9706" in found["tcp", "wrong"]


def test_a_firewall_there_is_told_for_udp_and_for_tcp(network: Make, key: Path, tmp_path: Path) -> None:
    a, b = network(2).hosts
    drop(a, "ipproto", "udp", "dport", "9705")
    with node(a, key, tmp_path) as running:
        running.wait_line("ready at", 10)
        code, found = doctor(b, a.address, key=key)
        assert code == 1
        assert (
            f"no datagram of {a.address} came back in 0.7 s, though TCP reaches it" in found["udp", "wrong"]
        )
        assert "UDP port 9705 is dropped by a firewall" in found["udp", "wrong"]
        # What may not even leave is told on that machine itself.
        a.ip("rule", "add", "pref", "3", "iif", "lo", "ipproto", "udp", "dport", "9705", "blackhole")
        code, found = doctor(a, key=key)
        assert code == 1 and "nothing can be sent to all through e0 10.99.0.1" in found["udp", "wrong"]
        assert "allow UDP port 9705 out" in found["udp", "wrong"]
        a.ip("rule", "add", "pref", "2", "iif", "e0", "ipproto", "tcp", "dport", "9706", "blackhole")
        code, found = doctor(b, f"{a.address}:9706", key=key)
        assert code == 1 and f"{a.address}:9706 does not answer at all in 0.7 s" in found["tcp", "wrong"]
        assert "allow TCP port 9706" in found["tcp", "wrong"]


def test_a_machine_with_loopback_only_and_one_that_listens_there_are_told_so(
    network: Make, key: Path
) -> None:
    (a,) = network(1).hosts
    code, found = doctor(a, "-i", "127.0.0.1", key=key)
    assert code == 1 and "listen at 127.0.0.1 only: nobody else can be met" in found["network", "wrong"]
    assert f"--ip_addr {a.address}" in found["network", "wrong"]
    a.ip("link", "set", "e0", "down")
    code, found = doctor(a, key=key)
    assert code == 1 and "no interface that is up but loopback" in found["network", "wrong"]


# A node of another release, which speaks another wire.
OTHER_VERSION = """
import sys
from dispycos import config
config.WIRE_VERSION = config.WIRE_VERSION_MIN = 99
from dispycos.node import cli
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.row("GN-07")
def test_another_version_is_told_with_both_numbers(network: Make, key: Path, tmp_path: Path) -> None:
    a, b = network(2).hosts
    options = ["--daemon", "-c", "1", "--allow_root", "--dest_path", str(tmp_path / "node")]
    command = [sys.executable, "-c", OTHER_VERSION, *options, "--secret_file", str(key)]
    with a.start(command) as running:
        running.wait_line("ready at", 10)
        code, found = doctor(b, f"{a.address}:9706", key=key)
        assert code == 1 and "the peer speaks wire versions 99 to 99" in found["version", "wrong"]
        assert "install the same release on both" in found["version", "wrong"]


LISTEN = """
import socket, sys, time
with socket.create_server(("", int(sys.argv[1]))) as sock:
    print("listening", flush=True)
    while True:
        with sock.accept()[0] as taken:
            taken.sendall(sys.argv[2].encode())
            taken.recv(1000)
"""


def test_another_program_at_the_port_is_told_from_outside_and_on_its_own_machine(
    network: Make, key: Path
) -> None:
    a, b = network(2).hosts
    with a.start([sys.executable, "-c", LISTEN, "9706", "HTTP/1.0 400 Bad Request"]) as running:
        running.wait_line("listening", 10)
        code, found = doctor(b, f"{a.address}:9706", key=key)
        assert code == 1 and "the peer does not speak the protocol of dispycos" in found["tcp", "wrong"]
        code, found = doctor(a, key=key)
        assert code == 1
        assert f"TCP port 9706 of a node is taken by process {running.pid}" in found["ports", "wrong"]
        assert "--tcp_ports" in found["ports", "wrong"]
