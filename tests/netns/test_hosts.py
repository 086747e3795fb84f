"""The hosts of these tests are what they claim to be."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from tests import helpers
from tests.netns.hosts import Host, Network

pytestmark = pytest.mark.netns

Make = Callable[[int], Network]

# Answers datagrams until it gets one that says so.
ECHO = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.bind(("", 9706))
    print("ready", flush=True)
    while True:
        data, sender = sock.recvfrom(100)
        print("got", data.decode(), "from", sender[0], flush=True)
        sock.sendto(data, sender)
"""

ASK = """
import socket, sys
source, target, text = sys.argv[1:]
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    sock.bind((source, 0))
    sock.settimeout(0.3)
    try:
        sock.sendto(text.encode(), (target, 9706))
        print("answer", sock.recv(100).decode())
    except OSError as exc:
        print("none", type(exc).__name__)
"""


def ask(source: Host, target: str, text: str) -> str:
    return source.run([sys.executable, "-c", ASK, source.address, target, text]).out.strip()


@pytest.mark.row("R-59")
def test_hosts_reach_each_other_until_a_cable_is_cut(network: Make) -> None:
    net = network(2)
    a, b = net.hosts
    with b.start([sys.executable, "-c", ECHO]) as echo:
        echo.wait_line("ready")
        assert ask(a, b.address, "one") == "answer one"
        net.cut(b)
        assert ask(a, b.address, "two").startswith("none")
        net.heal(b)
        helpers.wait_until(lambda: ask(a, b.address, "three") == "answer three", 10)
        assert "two" not in echo.output


@pytest.mark.row("R-59")
def test_a_cut_may_be_one_way(network: Make) -> None:
    net = network(2)
    a, b = net.hosts
    with b.start([sys.executable, "-c", ECHO]) as echo:
        echo.wait_line("ready")
        net.cut_one_way(b, a)
        assert ask(a, b.address, "lost answer").startswith("none")
        assert "got lost answer from 10.99.0.1" in echo.wait_line("got")


@pytest.mark.row("R-59")
def test_a_broadcast_reaches_every_host(network: Make) -> None:
    net = network(3)
    a, *others = net.hosts
    with ExitStack() as stack:
        echoes = [stack.enter_context(host.start([sys.executable, "-c", ECHO])) for host in others]
        for echo in echoes:
            echo.wait_line("ready")
        assert ask(a, "10.99.0.255", "hello") == "answer hello"
        for echo in echoes:
            assert "got hello from 10.99.0.1" in echo.wait_line("got")


def test_two_networks_use_the_same_addresses_apart(network: Make) -> None:
    one, other = network(1), network(2)
    with other.hosts[1].start([sys.executable, "-c", ECHO]) as echo:
        echo.wait_line("ready")
        assert ask(one.hosts[0], "10.99.0.2", "hello").startswith("none")
        assert ask(other.hosts[0], "10.99.0.2", "hello") == "answer hello"


def test_nothing_is_left_of_a_network(network: Make) -> None:
    net = network(1)
    (host,) = net.hosts
    with host.start(["sleep", "1000"]) as program:
        helpers.wait_until(lambda: str(program.pid) in net.ip("netns", "pids", host.namespace))
        net.close()
        program.wait()
    if not net._outer:
        names = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
        assert net.name not in names
