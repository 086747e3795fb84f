"""What a program is told while it waits."""

from __future__ import annotations

import sys

import pytest

from tests.helpers import background

NO_NODE = """
from dispycos import Client, Scheduler, Task

def hello(task=None):
    yield

def main(task=None):
    Scheduler(host="127.0.0.1", secret="a test's own secret")
    client = Client([hello])
    yield client.schedule()
    yield client.rtask(hello)

Task(main)
"""


@pytest.mark.row("R-52", "R-84", "R-33")
def test_a_first_task_without_any_node_says_where_nodes_were_looked_for():
    with background([sys.executable, "-c", NO_NODE]) as program:
        line = program.wait_line("no node is known", timeout=30)
        assert "listens at 127.0.0.1:" in line
        assert "beacons to" in line
        assert "is dispycosnode running with the same key?" in line
