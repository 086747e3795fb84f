"""What a program is told while it waits."""

from __future__ import annotations

import signal
import socket
import sys

import pytest

from tests.helpers import background, run_python
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


@pytest.mark.row("R-21", "R-33")
def test_a_task_that_does_not_yield_is_named_with_its_line_once_and_costs_no_peer() -> None:
    code, out, err = run_python(
        """
import dataclasses, time
from dispycos import config

limits = dataclasses.replace(config.limits(), visible_wait=0.5)
config.limits = lambda: limits  # before anything else takes them
from dispycos import Client, LocalCluster, Task


def hold(seconds):
    time.sleep(seconds)  # the line that is named

def waits(task=None):
    return (yield task.receive())

def main(task=None):
    client = Client([waits])
    yield client.schedule()
    rtask = yield client.rtask(waits)
    hold(4)  # longer than peers stay silent here
    rtask.send("still there")
    print((yield rtask()), flush=True)
    yield client.close()

with LocalCluster(1):
    Task(main).value()
""",
        timeout=40,
    )
    assert (code, out) == (0, "still there\n"), err
    told = [line for line in err.splitlines() if "has not yielded" in line]
    assert len(told) == 1, err
    assert "main/" in told[0] and "in hold" in told[0]


SET = """
from dispycos import Client, Task

def main(task=None):
    yield Client().schedule()

Task(main)
"""


@pytest.mark.row("DC-16", "R-52")
def test_a_scheduler_that_is_set_and_down_is_named_and_no_private_one_takes_its_place() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        where = "{}:{}".format(*nobody.getsockname())
        env = {
            "DISPYCOS_CLIENT_SCHEDULER": where,
            "DISPYCOS_CLIENT_HOST": "127.0.0.1",
            "DISPYCOS_UDP_PORT": "0",
        }
        with background([sys.executable, "-c", SET], env=env) as program:
            line = program.wait_line("no scheduler answers", timeout=20)
            assert f"at {where} (set by DISPYCOS_CLIENT_SCHEDULER) yet; still trying" in line
            assert f"dispycos doctor {where}" in line
            # What ends it is one line, and none of our own code.
            program.signal(signal.SIGINT)
            program.wait(20)
            assert "Traceback" not in program.output


CLOSED = """
import time
from dispycos import Client

client = Client()
asked = client.schedule()
if {wait}:
    time.sleep({wait})  # it looks for the scheduler meanwhile
print(client.close().result(20), asked.result(20), client, client.schedule().result(20))
left = Client().schedule()  # the program ends while it waits
"""


@pytest.mark.row("DC-16", "R-52")
@pytest.mark.parametrize("wait", [0, 0.3])
def test_who_closes_a_client_ends_its_wait_for_a_scheduler_that_is_down(wait: float) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        env = {
            "DISPYCOS_CLIENT_SCHEDULER": "{}:{}".format(*nobody.getsockname()),
            "DISPYCOS_CLIENT_HOST": "127.0.0.1",
            "DISPYCOS_UDP_PORT": "0",
        }
        found = run_python(CLOSED.format(wait=wait), env=env)
    assert (found.code, found.out) == (0, "0 -1 <Client: closed> -1\n"), found.err
    assert "schedule() failed" not in found.err
