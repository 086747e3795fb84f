"""Options of a node that only several hosts can show: addresses, UDP ports, multicast, restarts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.helpers import ROOT, Program
from tests.netns.hosts import Host, Network
from tests.netns.test_cluster import ANSWERS, client, expect_answers, node

pytestmark = pytest.mark.netns

Make = Callable[[int], Network]

# Prints the kind of each datagram that arrives on every broadcast address: 1 SEEK, 2 HERE.
EAVESDROPPER = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
sock.bind(("", int(sys.argv[1])))
print("listening", flush=True)
while True:
    data, source = sock.recvfrom(512)
    print("heard", data[9], source[0], flush=True)
"""

CONNECT = """
import socket, sys
for place in sys.argv[1:]:
    with socket.socket() as sock:
        sock.settimeout(3)
        print(place, sock.connect_ex((place, 9706)))
"""


@contextmanager
def eavesdropping(host: Host, port: int = 9705) -> Iterator[Program]:
    with host.start([sys.executable, "-c", EAVESDROPPER, str(port)]) as program:
        program.wait_line("listening", 10)
        yield program


def listening(host: Host) -> set[str]:
    """The addresses at which somebody on this host listens for TCP."""
    text = host.run(["cat", "/proc/net/tcp"]).out
    rows = [line.split() for line in text.splitlines()[1:]]
    raw = {bytes.fromhex(row[1].split(":")[0]) for row in rows if row[3] == "0A"}
    return {".".join(str(byte) for byte in reversed(address)) for address in raw}


@pytest.mark.row("DN-03", "GN-02", "SE-12")
def test_a_node_listens_at_the_addresses_it_was_given_and_nowhere_else(
    network: Make, key: Path, tmp_path: Path
) -> None:
    a, b = network(2).hosts
    for host, address in ((a, "10.98.0.1"), (b, "10.98.0.2")):
        host.ip("addr", "add", f"{address}/24", "dev", "e0")
        host.ip("addr", "add", f"10.97.0.{host.number}/24", "dev", "e0")
    with node(a, key, tmp_path, "--host", "10.98.0.1") as running:
        assert f"ready at {a.address}:9706" in running.wait_line("ready at", 10)
        assert listening(a) == {a.address, "10.98.0.1"}
        code, out, _err = b.run([sys.executable, "-c", CONNECT, a.address, "10.98.0.1", "10.97.0.1"])
        assert code == 0
        first, second, third = [int(line.split()[1]) for line in out.splitlines()]
        assert (first, second) == (0, 0)
        assert third != 0


# A NAT with several addresses: OUTSIDE=INSIDE ..., for the ports of a node and its servers.
NAT = """
import sys
from tests.process.forwarder import Forwarder
for pair in sys.argv[1:]:
    Forwarder(*pair.split("="), range(9706, 9709))
print("forwarding", flush=True)
"""


@pytest.mark.row("DN-03", "DN-04", "KE-25")
def test_a_node_behind_two_nats_is_reached_by_the_one_that_works(
    network: Make, key: Path, tmp_path: Path
) -> None:
    # The node has two interfaces, none in the client's network; each has a NAT between.
    inside, nat, outside = network(3).hosts
    for host, addresses in ((inside, (1, 1)), (nat, (2, 2))):
        for net, number in zip((97, 98), addresses, strict=True):
            host.ip("addr", "add", f"10.{net}.0.{number}/24", "dev", "e0")
    inside.ip("addr", "del", f"{inside.address}/24", "dev", "e0")
    for last in (20, 21):
        nat.ip("addr", "add", f"10.99.0.{last}/24", "dev", "e0")
    external = ["--ext_ip_addr", "10.99.0.20", "--ext_ip_addr", "10.99.0.21"]
    command = [sys.executable, "-m", "dispycos.node", "--daemon", "-c", "2", "--tcp_ports", "9706", "-u", "0"]
    command += ["-i", "10.97.0.1", "-i", "10.98.0.1", "--dest_path", str(tmp_path / "node"), "--allow_root"]
    forwarder = [sys.executable, "-c", NAT, "10.99.0.20=10.97.0.1", "10.99.0.21=10.98.0.1"]
    with (
        nat.start(forwarder, cwd=ROOT) as running,
        inside.start([*command, "--secret_file", str(key), *external]) as started,
    ):
        running.wait_line("forwarding", 10)
        assert "ready at 10.99.0.20:9706" in started.wait_line("ready at", 10)
        for working in ("10.99.0.20", "10.99.0.21"):
            if working == "10.99.0.21":
                # Nothing answers at the first one any more.
                nat.ip("addr", "del", "10.99.0.20/24", "dev", "e0")
            options = {"discover_peers": False, "nodes": [working], "ext_ip_addr": [outside.address]}
            with client(outside, key, **options) as program:
                assert program.wait_line("answers", 30) == ANSWERS
                assert program.wait_line("from", 5) == "from 10.99.0.20"
                program.wait_line("closed", 15)


@pytest.mark.row("GN-02", "SE-12")
def test_all_interfaces_are_used_only_where_that_is_typed(network: Make, key: Path, tmp_path: Path) -> None:
    (a,) = network(1).hosts
    command = [sys.executable, "-m", "dispycos.node", "--daemon", "-c", "1", "-i", "0.0.0.0"]
    command += ["--dest_path", str(tmp_path / "node"), "--secret_file", str(key), "-u", "0", "--allow_root"]
    with a.start(command) as running:
        running.wait_line("ready at", 10)
        assert listening(a) == {"0.0.0.0"}


@pytest.mark.row("DN-05", "KE-25")
def test_another_udp_port_finds_those_that_use_it(network: Make, key: Path, tmp_path: Path) -> None:
    a, b, c = network(3).hosts
    with eavesdropping(c) as usual, node(a, key, tmp_path, "-u", "9955") as running:
        running.wait_line("ready at", 10)
        with client(b, key, udp_port=9955) as program:
            expect_answers(program, a)
        assert "heard" not in usual.output


@pytest.mark.row("DN-17")
def test_with_multicast_they_find_each_other_and_nothing_is_broadcast(
    network: Make, key: Path, tmp_path: Path
) -> None:
    a, b, c = network(3).hosts
    with eavesdropping(c) as third, node(a, key, tmp_path, "--ipv4_udp_multicast") as running:
        running.wait_line("ready at", 10)
        assert "239.255.97.5" in a.ip("maddr", "show", "dev", "e0")
        with client(b, key, ipv4_udp_multicast=True) as program:
            expect_answers(program, a)
        assert "heard" not in third.output


@pytest.mark.row("DN-28")
@pytest.mark.parametrize("announces", [True, False])
def test_a_node_announces_itself_to_all_only_if_it_was_told_to(
    network: Make, key: Path, tmp_path: Path, announces: bool
) -> None:
    a, b = network(2).hosts
    options = ["--discover_peers"] if announces else []
    with eavesdropping(b) as third, node(a, key, tmp_path, *options) as running:
        running.wait_line("ready at", 10)
        # It looks for schedulers in any case, and more than once.
        seen = third.lines.index(third.wait_line(f"heard 1 {a.address}", 10)) + 1
        third.wait_line(f"heard 1 {a.address}", 10, after=seen)
        assert any(line == f"heard 2 {a.address}" for line in third.lines) is announces


@pytest.mark.row("DN-31")
def test_a_node_announces_itself_again_and_again_if_it_is_to(
    network: Make, key: Path, tmp_path: Path
) -> None:
    a, b = network(2).hosts
    with eavesdropping(b) as third, node(a, key, tmp_path, "--ping_interval", "0.2"):
        seen = 0
        for _ in range(3):
            line = third.wait_line(f"heard 2 {a.address}", 10, after=seen)
            seen = third.lines.index(line, seen) + 1


@pytest.mark.row("DN-31", "SE-33")
def test_a_node_contacts_the_peers_that_stand_in_a_file(network: Make, key: Path, tmp_path: Path) -> None:
    a, b = network(2).hosts
    file = tmp_path / "peers"
    file.write_text(f"# our programs\n{b.address}:4568\n\n{b.address}:4567  # the one that runs\n")
    with node(a, key, tmp_path, "-u", "0", "--peer_file", str(file)) as running:
        running.wait_line("ready at", 10)
        with client(b, key, discover_peers=False, tcp_port=4567) as program:
            expect_answers(program, a)


@pytest.mark.row("DN-31", "SE-52")
def test_a_node_that_others_reach_runs_no_tasks_as_root_unless_that_is_allowed(
    network: Make, key: Path, tmp_path: Path
) -> None:
    (a,) = network(1).hosts
    command = [sys.executable, "-m", "dispycos.node", "--daemon", "-u", "0", "--secret_file", str(key)]
    command += ["--dest_path", str(tmp_path / "node")]
    code, out, err = a.run([*command, "-i", a.address])
    assert (code, out) == (2, "")
    assert "would run as root" in err and a.address in err and "--allow_root" in err
    assert not (tmp_path / "node").exists()
    with a.start([*command, "-i", "127.0.0.1"]) as running:
        running.wait_line("ready at", 10)


RESTARTED = """
import sys
from dispycos import Client, Scheduler, Task

def waits(task=None):
    yield task.receive()

def compute(n):
    yield
    return n * n

def main(task=None):
    Scheduler(node=sys.argv[1])
    client = Client([waits, compute])
    yield client.schedule()
    rtask = yield client.rtask(waits)
    print("running", rtask.location.addr, flush=True)
    status = yield rtask()
    print("its end:", status.type.name, flush=True)
    print("computed", (yield (yield client.rtask(compute, 7))()), flush=True)
    yield client.close()
    print("closed", flush=True)

Task(main)
"""


@pytest.mark.row("DN-41", "R-11", "R-76")
def test_a_node_that_is_killed_and_started_again_is_a_new_node_that_gets_work(
    network: Make, key: Path, tmp_path: Path
) -> None:
    a, b = network(2).hosts
    environment = {"DISPYCOS_SECRET_FILE": str(key)}
    with b.start([sys.executable, "-c", RESTARTED, b.address], env=environment) as program:
        with node(a, key, tmp_path) as first:
            first.wait_line("ready at", 10)
            program.wait_line(f"running {a.address}", 20)
            first.kill()
        with node(a, key, tmp_path) as second:
            second.wait_line("ready at", 15)
            assert program.wait_line("its end:", 30) == "its end: TaskAbandoned"
            assert program.wait_line("computed", 20) == "computed 49"
            program.wait_line("closed", 15)
            assert program.wait(10) == 0
