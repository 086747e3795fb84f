"""Validating runs end at the first thing that does not hold, and tell its story."""

from __future__ import annotations

import sys

import pytest

from dispycos.validation import EXIT_CODE
from tests.helpers import background, run_python
from tests.process.daemons import free_ports

pytestmark = pytest.mark.row("R-62")

# A daemon, scheduler or monitor of ours with a line that it must not have.
UNPICKLES = """
import pickle, sys
from fractions import Fraction
from dispycos.{module} import {name} as Planted

WORD = pickle.dumps(Fraction(1, 2))
clean = Planted.{method}

def planted(self, *args):
    pickle.loads(WORD)
    return clean(self, *args)

Planted.{method} = planted
"""
TYPED = "from dispycos.{command} import main\nsys.exit(main(sys.argv[1:]))\n"
WATCHED = """
from dispycos import Client, LocalCluster
from dispycos.httpd import HTTPServer
with LocalCluster(1) as cluster:
    pickle.loads(WORD)  # who may do it goes on
    server = HTTPServer(Client([]), port=0)
    input("the program runs")
"""

# A client program that has a task waiting at a server, and whose own records are made wrong.
BROKEN = """
import sys
from dispycos import Client, LocalCluster
from dispycos.protocol.running import Holding

def waits(task=None):
    yield task.receive()

with LocalCluster(1) as cluster:
    client = Client([waits])
    client.schedule().result(20)
    rtask = client.rtask(waits).result(20)
    driver = client._work.driver
    (task,) = driver.dispatch.tasks.values()
    {fault}
    print("nobody noticed")
"""


@pytest.mark.row("SE-24")
@pytest.mark.parametrize(
    ("module", "name", "command", "who"),
    [
        ("node.daemon", "Daemon", "node.cli", "the node daemon"),
        ("scheduler.shared", "SharedScheduler", "scheduler.cli", "the scheduler"),
    ],
)
def test_a_daemon_or_scheduler_that_unpickles_ends_at_once(module, name, command, who, tmp_path):
    source = UNPICKLES.format(module=module, name=name, method="_typed") + TYPED.format(command=command)
    options = ["--host", "127.0.0.1", "--udp_port", "0", "--dest_path", str(tmp_path), "--secret", "x" * 32]
    if command == "node.cli":
        options += ["--cpus", "1", "--tcp_ports", str(free_ports(2))]
    else:
        options += ["--tcp_port", "0"]
    with background([sys.executable, "-c", source, *options]) as program:
        program.wait_line("ready at", 20)
        program.write("status")
        assert program.wait(20) == EXIT_CODE, program.output
    assert f"dispycos: {who} unpickles fractions.Fraction" in program.output


@pytest.mark.row("SE-24")
def test_a_monitor_that_unpickles_ends_its_program():
    source = UNPICKLES.format(module="httpd.monitor", name="Monitor", method="tick") + WATCHED
    code, out, err = run_python(source)
    assert code == EXIT_CODE, (out, err)
    assert "the monitor unpickles fractions.Fraction" in err


def test_a_broken_invariant_ends_the_process_with_the_story_of_its_task():
    fault = "task.attempt = 7; rtask.send(1); client.rtask(waits)"
    code, out, err = run_python(BROKEN.format(fault=fault))
    assert code == EXIT_CODE, (out, err)
    assert "an invariant of Dispatch is broken: waits#" in err
    assert "is at attempt 7" in err
    assert "story of " in err and ": sent at server " in err


def test_a_server_that_holds_more_than_it_was_given_ends_its_client_with_both_counts():
    fault = "driver.hear_dispatch(task.server.incarnation, Holding(99, 0, [], [task.id], []))"
    code, out, err = run_python(BROKEN.format(fault=fault))
    assert code == EXIT_CODE, (out, err)
    assert "took in (99, 0) tasks (CPU, I/O), and was handed (1, 0)" in err
