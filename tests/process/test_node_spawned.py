"""A node whose system has no fork, as Windows has none: its servers are spawned one by one.

Windows itself is not run here: the rest of such a node is this system's.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dispycos.messages import Prepared, ServerEnded, ServerStarted
from tests.helpers import ROOT, background, wait_until
from tests.process.daemons import Node, command
from tests.process.nodes import Master
from tests.process.test_node import below, compute, remember

pytestmark = pytest.mark.row("DN-43")

WITHOUT_FORK = "import os\nfor name in ('fork', 'forkpty', 'register_at_fork'):\n    delattr(os, name)\n"


@pytest.fixture
def node(tmp_path: Path, key_file: Path) -> Iterator[Node]:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(WITHOUT_FORK)
    env = {"PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), str(ROOT)])}
    with background(command(tmp_path, key_file), env=env) as program:
        yield Node(program)


def load(task: Any = None) -> Any:
    global LOADED
    yield
    LOADED = True
    return 0


def who(task: Any = None) -> Any:
    yield
    return os.getpid(), hasattr(os, "fork"), "LOADED" in globals(), os.getcwd()


def printing(task: Any = None) -> Any:
    yield
    print("printed by a task")


def test_servers_are_spawned_and_node_setup_is_not_run_as_node_and_client_are_told(
    node: Node, master: Master, tmp_path: Path
) -> None:
    servers = master.use(node.location, 2, [load, who], setup=load)
    assert "has no fork: node_setup was not run" in master.next(Prepared).warning
    node.program.wait_line("has no fork: node_setup was not run", 10)
    found = [master.run(server, who) for server in servers]
    assert [one[1:3] for one in found] == [(False, False)] * 2
    assert len({one[0] for one in found}) == len({one[3] for one in found}) == 2
    assert master.run(servers[0], remember, 1) is None
    assert master.run(servers[0], remember, 2) == 1
    assert master.run(servers[0], compute, 7) == 49
    master.run(servers[1], printing)
    node.program.wait_line("printed by a task", 10)
    master.release(master.dial(node.location))
    assert not below(node.pid)
    assert not list((tmp_path / "work").glob("dispycos-client-*"))


def test_without_a_node_setup_nobody_is_warned_and_a_dead_server_is_replaced(
    node: Node, master: Master
) -> None:
    (server, _) = master.use(node.location, 2, [who])
    assert master.next(Prepared).warning == ""
    pid = master.run(server, who)[0]
    os.kill(pid, signal.SIGKILL)
    assert "killed by signal 9" in master.next(ServerEnded).reason
    facts = master.next(ServerStarted, 3).server
    master.up.pop(facts.location, None)  # that was the dead one
    again = master.take(facts)
    assert master.run(again, compute, 3) == 9
    assert "fork" not in node.program.output


def test_nothing_of_a_killed_node_lives_on(node: Node, master: Master) -> None:
    (server, _) = master.use(node.location, 2, [who])
    assert master.run(server, compute, 2) == 4
    processes = below(node.pid)
    assert len(processes) == 3
    node.program.process.kill()
    node.program.wait(10)
    wait_until(lambda: not [pid for pid in processes if Path(f"/proc/{pid}/cmdline").exists()], 20)
