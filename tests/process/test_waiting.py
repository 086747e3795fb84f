"""What a program is told while it waits."""

from __future__ import annotations

import socket
import sys

import pytest

from tests.helpers import background
from tests.process.nodes import Master

NO_NODE = """
from dispycos import Client, Scheduler, Task

def hello(task=None):
    yield

def main(task=None):
    Scheduler(host="127.0.0.1", secret="a test's own secret", {more})
    client = Client([hello])
    yield client.schedule()
    yield client.rtask(hello)

Task(main)
"""


def reason(more: str) -> str:
    """The line that a program without any node logs, which must be the only one that says why."""
    with background([sys.executable, "-c", NO_NODE.format(more=more)]) as program:
        line = program.wait_line("no node is known", timeout=30)
        program.kill()
        assert program.output.count(" waits: ") == 1, program.output
        return line


@pytest.mark.row("R-52", "R-84", "R-33")
def test_a_first_task_without_any_node_says_where_nodes_were_looked_for() -> None:
    line = reason("")
    assert "listens at 127.0.0.1:" in line
    assert "beacons to" in line
    assert "is dispycosnode running with the same key?" in line


@pytest.mark.row("R-52")
def test_a_named_node_where_nobody_listens_stands_in_the_reason() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        where = "{}:{}".format(*nobody.getsockname())
        assert f"can't reach {where}: Connection refused; " in reason(f"nodes=[{where!r}]")


@pytest.mark.row("R-52")
def test_a_named_node_with_another_key_stands_in_the_reason() -> None:
    with Master(bytes(32)) as other:
        where = str(other.endpoint.location)
        line = reason(f"nodes=[{where!r}], discover_peers=False")
    assert f"no node is known; {where}: authentication failed: " in line
    assert "without discovery by UDP" in line
