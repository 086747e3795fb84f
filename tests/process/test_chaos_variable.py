"""Real processes under DISPYCOS_CHAOS: they say so, they fail as told, and what is promised holds."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable

import pytest

from tests.helpers import Finished, run_program
from tests.process.clusters import SHOW
from tests.process.schedulers import Place

PROGRAM = """
import time

from dispycos import Client, LocalCluster, Task

wall, clock = time.time(), time.monotonic()

def double(number, task=None):
    yield task.sleep(0.01)
    return 2 * number

def main(client, task=None):
    assert (yield client.schedule()) == 0
    tasks = []
    for number in range(200):
        tasks.append((yield client.rtask(double, number)))
    ends = []
    for rtask in tasks:
        ends.append((yield rtask()))
    print("right", sum(end == 2 * number for number, end in enumerate(ends)))
    print("lost", sum(not isinstance(end, int) for end in ends))
    # Whatever is planned for this process has struck.
    yield task.sleep(max(0.0, 1.3 - (time.monotonic() - clock)))

with LocalCluster(2, pulse_interval=1.0):
    client = Client([double], status_task=Task(show))
    Task(main, client).value()
    client.close().result(20)
print("jumped", round((time.time() - wall) - (time.monotonic() - clock)))
"""


def under(chaos: str, run_python: Callable[..., Finished]) -> Finished:
    return run_python(SHOW + PROGRAM, timeout=90, env={"DISPYCOS_CHAOS": chaos})


@pytest.mark.row("R-63", "R-25")
@pytest.mark.parametrize("jump", [86400, pytest.param(-3600, marks=pytest.mark.long("the other way"))])
def test_clocks_jump_links_break_and_messages_come_late_and_twice_to_no_effect(
    jump: int, run_python: Callable[..., Finished]
) -> None:
    code, out, err = under(
        f"seed=7,drop:pulse=0.2,drop:report=0.3,dup:pulse=0.3,dup:result=0.3,dup:seen=0.3,delay:result=20ms,"
        f"cut:session@700ms,clock:{jump:+}s@400ms",
        run_python,
    )
    assert code == 0, err
    assert "right 200\n" in out and "lost 0\n" in out
    assert f"jumped {jump}\n" in out
    assert "Zombie" not in out and "Abandoned" not in out, "nobody is given up because a clock jumped"
    # One line of the program, one of its node, none of each server.
    assert len(re.findall("DISPYCOS_CHAOS is set: .* makes faults by itself: seed=7", err)) == 2


@pytest.mark.row("R-63")
def test_servers_that_kill_themselves_are_replaced(run_python: Callable[..., Finished]) -> None:
    code, out, err = under("kill:server@500ms", run_python)
    assert code == 0, err
    assert "killed by signal 9" in err and "status ServerAbandoned" in out
    found = re.search(r"right (\d+)\nlost (\d+)", out)
    assert found and int(found[1]) + int(found[2]) == 200, "each task has one end"


@pytest.mark.row("R-63", "SE-122")
@pytest.mark.parametrize("module", ["dispycos", "dispycos.node"])
def test_words_that_nobody_knows_refuse_the_start(place: Place, module: str) -> None:
    command = [sys.executable, "-m", module, "-i", "127.0.0.1", "-u", "0", "--secret_file", str(place.key)]
    ended = run_program(
        [*command, "--dest_path", str(place.path / "d")], env={"DISPYCOS_CHAOS": "seed=1,kil:node@1s"}
    )
    assert ended.code == 1
    assert "DISPYCOS_CHAOS has 'kil:node@1s': it is none of seed=" in ended.err
    assert "Traceback" not in ended.err and "ready" not in ended.out
