"""Node daemons as the tests of processes start them: by command line, or as a LocalCluster does."""

from __future__ import annotations

import itertools
import os
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dispycos.model import Location
from dispycos.node.embedded import LocalNode, start_local_node
from tests.helpers import Program
from tests.process.nodes import Master
from tests.process.standing import KEY, Standing

NODE = [sys.executable, "-m", "dispycos.node"]
READY = re.compile(r"dispycosnode (\S+) ready at (\S+):(\d+) with (\d+) servers?")


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "key"
    file.write_text(KEY.hex() + "\n")
    file.chmod(0o600)
    return file


@pytest.fixture
def master() -> Iterator[Master]:
    with Master(KEY) as made:
        yield made


@pytest.fixture
def local(master: Master, standing: Standing) -> Iterator[LocalNode]:
    """A node with two servers, as a LocalCluster has it: the one that stands for all tests."""
    with standing.lent() as node:
        yield node
        master.close()


@pytest.fixture
def own_local(master: Master) -> Iterator[LocalNode]:
    """The same, of the test's own."""
    node = master.reactor.run(start_local_node(master.reactor, KEY, 2)).result(20)
    yield node
    master.reactor.run(node.stop()).result(20)


class Node:
    """A node started from its command line."""

    def __init__(self, program: Program) -> None:
        self.program = program
        found = READY.search(program.wait_line("ready at", 20))
        assert found, program.output
        self.name = found[1]
        self.location = Location(found[2], int(found[3]))
        self.servers = int(found[4])

    @property
    def pid(self) -> int:
        return self.program.pid


def command(
    tmp_path: Path, key_file: Path, *more: str, servers: int = 2, port: int | None = None
) -> list[str]:
    return [
        *NODE, "--host", "127.0.0.1", "--secret_file", str(key_file), "--cpus", str(servers),
        "--dest_path", str(tmp_path / "work"), "--tcp_ports", str(port or free_ports(servers + 1)),
        "--min_pulse_interval", "0.1", "--udp_port", "0", *more,
    ]  # fmt: skip


# Each worker of a run has a range of its own: what is free is free until it is used. Two runs at
# once begin at different places of it.
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 8
_next_port = itertools.count(20_000 + 1500 * _worker + 4 * (os.getpid() % 125), 4)


def free_ports(count: int) -> int:
    """The first of at most 4 ports in a row that nobody uses and the system gives to nobody."""
    for first in itertools.islice(_next_port, 1000):
        sockets = []
        try:
            for port in range(first, first + count):
                sockets.append(sock := socket.socket())
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind(("127.0.0.1", port))
            return first
        except OSError:
            continue
        finally:
            for sock in sockets:
                sock.close()
    raise AssertionError("no ports are free")
