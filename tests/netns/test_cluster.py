"""A node and a client started by hand on two hosts: by broadcast, by name, by --peer, and through a cut."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dispycos import keyfile
from tests.netns.hosts import Host, Network

pytestmark = pytest.mark.netns

Make = Callable[[int], Network]

# As the founding document writes a client program, with messages both ways.
CLIENT = """
import sys
from dispycos import Client, Scheduler, Task

def compute(n, client_task, task=None):
    question = yield task.receive()
    client_task.send((n, question * n, str(task.location)))

def main(options, task=None):
    Scheduler(**options)
    client = Client([compute])
    if (yield client.schedule()):
        raise SystemExit("schedule failed")
    rtasks = []
    for n in range(6):
        rtask = yield client.rtask(compute, n, task)
        rtask.send(10)
        rtasks.append(rtask)
    answers = []
    for _ in rtasks:
        answers.append((yield task.receive()))
    print("answers", sorted(answer[:2] for answer in answers), flush=True)
    print("from", *sorted({answer[2].rsplit(":", 1)[0] for answer in answers}), flush=True)
    yield client.close()
    print("closed", flush=True)

Task(main, eval(sys.argv[1]))
"""

ANSWERS = "answers [(0, 0), (1, 10), (2, 20), (3, 30), (4, 40), (5, 50)]"


def node(host: Host, key: Path, tmp_path: Path, *options: str):
    command = [sys.executable, "-m", "dispycos.node", "--daemon", "-c", "2", "--tcp_ports", "9706"]
    command += ["-i", host.address, "--dest_path", str(tmp_path / "node"), "--secret_file", str(key)]
    command += ["--allow_root"]
    return host.start([*command, *options])


def client(host: Host, key: Path, **options: object):
    program = [sys.executable, "-c", CLIENT, repr({"node": host.address, **options})]
    return host.start(program, env={"DISPYCOS_SECRET_FILE": str(key)})


def expect_answers(program, host: Host) -> None:
    assert program.wait_line("answers", 20) == ANSWERS
    assert program.wait_line("from", 5) == f"from {host.address}"
    program.wait_line("closed", 15)
    assert program.wait(10) == 0


@pytest.mark.rule("N9")
@pytest.mark.row("DN-01", "DS-01", "DS-22")
@pytest.mark.parametrize("first", ["node", "client"])
def test_they_find_each_other_by_broadcast_whichever_starts_first(network, key, tmp_path, first):
    a, b = network(2).hosts
    if first == "node":
        with node(a, key, tmp_path) as running:
            running.wait_line("ready at", 10)
            with client(b, key) as program:
                expect_answers(program, a)
    else:
        with client(b, key) as program, node(a, key, tmp_path) as running:
            running.wait_line("ready at", 10)
            expect_answers(program, a)


@pytest.mark.row("DC-05", "SE-33", "R-82")
def test_a_named_node_is_reached_without_udp(network, key, tmp_path):
    a, b = network(2).hosts
    with node(a, key, tmp_path, "-u", "0") as running:
        running.wait_line("ready at", 10)
        with client(b, key, discover_peers=False, nodes=[a.address]) as program:
            expect_answers(program, a)


@pytest.mark.row("DN-27", "SE-33")
def test_a_node_reaches_its_peer_without_udp_and_waits_for_it(network, key, tmp_path):
    a, b = network(2).hosts
    with node(a, key, tmp_path, "-u", "0", "--peer", f"{b.address}:4567") as running:
        running.wait_line("ready at", 10)
        with client(b, key, discover_peers=False, tcp_port=4567) as program:
            expect_answers(program, a)


@pytest.mark.row("GN-01", "SE-32")
def test_another_key_is_told_on_both_sides(network, key, tmp_path):
    a, b = network(2).hosts
    other = tmp_path / "other"
    keyfile.create(other)
    with node(a, key, tmp_path, "-u", "0") as running:
        running.wait_line("ready at", 10)
        with client(b, other, discover_peers=False, nodes=[a.address]) as program:
            assert "authentication failed" in program.wait_line("authentication failed", 15)
            assert b.address in running.wait_line("authentication failed", 10)


@pytest.mark.row("R-14")
def test_a_cut_cable_loses_nothing(network, key, tmp_path):
    net = network(2)
    a, b = net.hosts
    slow = CLIENT.replace("    question = yield", "    yield task.sleep(1.5)\n    question = yield")
    with node(a, key, tmp_path) as running:
        running.wait_line("ready at", 10)
        program = [sys.executable, "-c", slow, repr({"node": b.address})]
        with b.start(program, env={"DISPYCOS_SECRET_FILE": str(key)}) as running_client:
            running.wait_line("serv", 15)
            net.cut(a)
            with pytest.raises(AssertionError):
                running_client.wait_line("answers", 4)
            net.heal(a)
            expect_answers(running_client, a)


# Says who is here; reaches for the place that it is given, and for whoever is near that.
PARTY = """
import sys
from dispycos import Pycos, Task

def main(named, relay, task=None):
    pycos = Pycos(**eval(sys.argv[1]))
    pycos.peer_status(task)
    print("up", flush=True)
    if named:
        print("reached", (yield pycos.peer(named, relay=relay)), flush=True)
    while True:
        status = yield task.receive()
        print("here", status.name, flush=True)

Task(main, *sys.argv[2:3], len(sys.argv) > 3)
"""


def party(host: Host, key: Path, *more: str, **options: object):
    program = [sys.executable, "-c", PARTY, repr({"node": host.address, **options}), *(more or [""])]
    return host.start(program, env={"DISPYCOS_SECRET_FILE": str(key)})


@pytest.mark.rule("N9")
@pytest.mark.row("KE-29")
def test_a_peer_that_relays_leads_to_those_of_its_network(network, key, tmp_path):
    a, b, c = network(3).hosts
    with party(b, key, name="p1", tcp_port=4567) as first, party(c, key, name="p2") as second:
        first.wait_line("here p2", 20)
        second.wait_line("here p1", 20)
        there = f"{b.address}:4567"
        with (
            node(c, key, tmp_path, "-n", "n1") as running,
            party(a, key, there, name="alone", discover_peers=False) as alone,
        ):
            running.wait_line("ready at", 10)
            with party(a, key, there, "relay", name="asks", discover_peers=False) as asks:
                assert asks.wait_line("reached", 20) == "reached 0"
                # Whom it was connected with, who answered it, and who came later.
                for name in ("p1", "p2", "n1"):
                    asks.wait_line(f"here {name}", 20)
                with party(c, key, name="p3"):
                    asks.wait_line("here p3", 20)
                assert alone.wait_line("reached", 20) == "reached 0"
                assert "here p2" not in alone.output and "here n1" not in alone.output
