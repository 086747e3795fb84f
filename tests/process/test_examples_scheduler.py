"""The example of the shared scheduler: its rule is asked, its jobs run, two copies take turns."""

from __future__ import annotations

import itertools
import platform
import re
import sys

import pytest

from tests.helpers import Program, wait_until
from tests.process.daemons import free_ports
from tests.process.examples import FOLDER, end_of
from tests.process.schedulers import Place

NAME = "dispycos_remote_scheduler"
# A test beside this one may announce programs of another key, which would be told here.
WITHOUT_UDP = {"DISPYCOS_UDP_PORT": "0"}
JOB = r"job \d of the program at (\S+)"


def check_printed(program: Program) -> None:
    assert program.wait(40) == 0, program.output
    assert program.lines[0] == f"Allocate 127.0.0.1 ({platform.platform()}): 2"
    for i in range(10):
        assert program.lines.index(f"Task {i} created") < program.lines.index(f"Received reply for {i}")
    assert len(program.lines) == 21, program.output


@pytest.mark.row("XX-18", "DS-20", "ST-13", "DN-38")
def test_two_copies_take_turns_and_each_uses_half_of_the_node(place: Place) -> None:
    shared = place.scheduler()
    node = place.node("--peer", shared.where, servers=4)
    command = [sys.executable, "-u", FOLDER / f"{NAME}.py", shared.where, "--scale", "0.1"]
    env = {"DISPYCOS_SECRET_FILE": str(place.key), **WITHOUT_UDP}
    copies = [place.start(command, env) for _ in range(2)]
    for copy in copies:
        check_printed(copy)
    done = wait_until(lambda: len(found := re.findall(JOB, node.output)) == 20 and found, what="20 jobs")
    assert len(list(itertools.groupby(done))) == 2, "jobs of both ran in one turn"


@pytest.mark.row("XX-18")
def test_a_scheduler_that_is_not_there_is_one_sentence() -> None:
    found = end_of(NAME, f"127.0.0.1:{free_ports(1)}", env=WITHOUT_UDP)
    assert found.code == 1
    assert re.fullmatch(r"no scheduler answers at 127\.0\.0\.1:\d+: .+\n", found.err)
