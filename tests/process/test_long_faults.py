"""The faults that last: a minute of silence, of a flapping link, of deaths among 100,000 tasks (R-58)."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from dispycos import Client, LocalCluster, Scheduler
from dispycos.model import MonitorStatus
from tests.helpers import Program, run_program, wait_until
from tests.process.clusters import SHOW, Watcher, node_pid, run
from tests.process.schedulers import Place

SILENCE = 60.0  # seconds


def numbered(number: int, seconds: float, task: Any = None) -> Any:
    yield task.sleep(seconds)
    return number


TWO_NODES = """
import sys
import threading

from dispycos import Client, Pycos, Task, config, logger

config.MinPulseInterval = 0.2

def where(seconds, told=None, task=None):
    import os
    if told is not None:
        told.send("begun")
    yield task.sleep(seconds)
    return os.getcwd()

def main(client, task=None):
    assert (yield client.schedule(sys.argv[1])) == 0
    while len((yield client.servers())) < 4:
        yield task.sleep(0.05)
    # One to each server, which is there until the silence is over.
    long = []
    for _ in range(4):
        long.append((yield client.rtask(where, float(sys.argv[2]), task)))
        assert (yield task.receive(10)) == "begun"
    threading.Thread(target=lambda: [task.send(line) for line in sys.stdin], daemon=True).start()
    print("begun", flush=True)
    yield task.receive()
    for number in range(20):
        print("at", (yield (yield client.io_rtask(where, 0.0))()), flush=True)
    print("placed", flush=True)
    yield task.receive()
    for rtask in long:
        print("at", (yield rtask()), flush=True)
    print("over", (yield client.close()), flush=True)

Pycos(node="127.0.0.1", name="c", discover_peers=False)
Task(main, Client([where], status_task=Task(show), pulse_interval=1.0)).value()
"""


def stop(node: Program, number: signal.Signals) -> None:
    """Send it to all processes of a node."""
    process = psutil.Process(node.pid)
    for one in (process, *process.children(recursive=True)):
        one.send_signal(number)


@pytest.mark.row("R-12", "R-13", "R-29", "R-58")
@pytest.mark.long("a minute of silence")
@pytest.mark.timeout(240)
def test_a_minute_of_silence_costs_no_task_and_the_other_node_at_that_address_works_on(
    tmp_path: Path, place: Place
) -> None:
    shared = place.scheduler()
    nodes = [place.node("--peer", shared.where, name=name) for name in ("n1", "n2")]
    program = place.start(
        [sys.executable, "-u", "-c", SHOW + TWO_NODES, shared.where, "5"],
        {"DISPYCOS_SECRET_FILE": str(place.key)},
    )
    program.wait_line("begun", 30)
    stop(nodes[0], signal.SIGSTOP)
    began = time.monotonic()
    try:
        # Five pulses of a second; three times that, so that a loaded machine does not decide.
        program.wait_line("status NodeDisconnected", 15)
        program.write("go on")
        program.wait_line("placed", 20)
        assert all("/n2/" in line for line in program.lines if line.startswith("at ")), program.output
        wait_until(lambda: time.monotonic() - began >= SILENCE, SILENCE + 5)
        assert "Abandoned" not in program.output
    finally:
        stop(nodes[0], signal.SIGCONT)
    program.wait_line("status NodeResumed", 15)
    program.write("go on")
    program.wait_line("over 0", 30)
    ended = program.lines[program.lines.index("placed") :]
    places = [line for line in ended if line.startswith("at ")]
    assert len(places) == 4 and sum("/n1/" in line for line in places) == 2, program.output
    assert "Abandoned" not in program.output and program.wait(15) == 0


FLAPS = """
import time

from dispycos import Client, LocalCluster, Task

def double(number, task=None):
    yield task.sleep(0.01)
    return 2 * number

def talks(client_task, task=None):
    number = 0
    while True:
        client_task.send(number)
        number += 1
        if (yield task.receive(timeout=0.01)) == "enough":
            return number

def main(client, task=None):
    assert (yield client.schedule()) == 0
    talking = yield client.io_rtask(talks, task)
    end, number, heard = time.monotonic() + SECONDS, 0, 0
    while time.monotonic() < end:
        assert (yield (yield client.rtask(double, number))()) == 2 * number
        number += 1
        while (said := (yield task.receive(timeout=0))) is not None:
            assert said == heard, (said, heard)
            heard += 1
    talking.send("enough")
    while heard < (yield talking()) and (said := (yield task.receive(timeout=5))) is not None:
        assert said == heard, (said, heard)
        heard += 1
    assert heard == (yield talking())
    print("right", number, heard)

with LocalCluster(2, pulse_interval=1.0):
    client = Client([double, talks])
    Task(main, client).value()
    client.close().result(20)
"""


@pytest.mark.row("R-14", "R-16", "R-58")
@pytest.mark.long("a link that breaks for a minute")
@pytest.mark.timeout(180)
def test_a_link_that_breaks_every_second_loses_and_doubles_nothing() -> None:
    program = FLAPS.replace("SECONDS", str(SILENCE))
    ended = run_program(
        [sys.executable, "-c", program], env={"DISPYCOS_CHAOS": "seed=3,cut:session@every=1s"}, timeout=150
    )
    assert ended.code == 0, ended.err
    _, tasks, messages = ended.out.split()
    # Each of the processes breaks its own, so that they are joined for some tenths of a second at a time.
    assert int(tasks) > 50 and int(messages) > 50


@pytest.mark.row("R-26", "R-58")
@pytest.mark.long("100,000 tasks")
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("program")
def test_a_hundred_thousand_tasks_have_one_end_each_while_servers_die() -> None:
    count = 100_000
    watcher = Watcher()
    ends: dict[int, Any] = {}
    draw = random.Random(5)

    def main(task: Any = None) -> Any:
        client = Client([numbered], status_task=watcher.task)
        assert (yield client.schedule()) == 0
        tasks = []
        for number in range(count):
            tasks.append((yield client.options(retries=1).rtask(numbered, number, 0.0)))
            if number % 10_000 == 5_000:
                # Many wait by now, and some run.
                node = psutil.Process(node_pid(cluster))
                while not (servers := [one for zygote in node.children() for one in zygote.children()]):
                    yield task.sleep(0.01)
                os.kill(draw.choice(servers).pid, signal.SIGKILL)
        for number, rtask in enumerate(tasks):
            end = yield rtask()
            assert number not in ends
            ends[number] = end
        assert (yield client.close()) == 0

    with LocalCluster(2) as cluster:
        run(main, timeout=500)
    lost = [end for end in ends.values() if isinstance(end, MonitorStatus)]
    assert len(ends) == count
    assert all(end == number for number, end in ends.items() if end not in lost)
    assert all(end.type in (Scheduler.TaskAbandoned,) for end in lost) and len(lost) < 20
    told = {id(message.info) for message in watcher.ends()}
    assert len(watcher.ends()) == len(told) == count
    assert watcher.names().count("ServerAbandoned") >= 5


def backtracks(least: float, task: Any = None) -> Any:
    """Hold the interpreter by one regular expression for so many seconds; how long it did."""
    import math
    import re

    def takes(length: int) -> float:
        # Its own time: others who work here meanwhile would make the measured one long, and the other short.
        began = time.thread_time()
        assert re.match("(a+)+$", "a" * length + "b") is None
        return time.thread_time() - began

    yield
    # Each letter doubles it; twice as long as asked for, as no processor is equally fast all the time.
    return takes(21 + math.ceil(math.log2(2 * least / takes(21))))


@pytest.mark.row("R-72", "R-08", "R-58")
@pytest.mark.long("a regular expression that backtracks for two minutes")
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("program")
def test_a_server_that_matches_a_regular_expression_for_minutes_is_unresponsive_and_lives() -> None:
    watcher = Watcher()
    longest = 0.0

    def main(task: Any = None) -> Any:
        nonlocal longest
        client = Client([backtracks], status_task=watcher.task)
        assert (yield client.schedule()) == 0
        rtask = yield client.rtask(backtracks, 120.0)
        while rtask.is_alive():
            yield task.sleep(1.0)
            ((server,),) = (node["servers"] for node in client.work.driver.fleet.status(0.0)["nodes"])
            longest = max(longest, server["unresponsive"])
        assert (yield rtask()) >= 120.0, "it was neither ended nor begun again"
        assert (yield client.close()) == 0

    with LocalCluster(1, pulse_interval=1.0):
        run(main, timeout=800)
    assert longest >= 110.0
    assert not [name for name in watcher.names() if "Zombie" in name or "Abandoned" in name]


TIMERS = """
import sys, time
from dispycos import Client, LocalCluster, Task

def ticks(seconds, task=None):
    early = 0.0
    until = time.monotonic() + seconds
    while (began := time.monotonic()) < until:
        yield task.sleep(0.2)
        early = max(early, 0.2 - (time.monotonic() - began))
    return early

def main(client, task=None):
    yield client.schedule()
    there = yield client.rtask(ticks, 12.0)
    here = Task(ticks, 12.0)
    for early in ((yield there()), (yield here())):
        print("timer", early)

wall, clock = time.time(), time.monotonic()
with LocalCluster(1, pulse_interval=1.0):
    client = Client([ticks], status_task=Task(show))
    Task(main, client).value()
    client.close().result(20)
print("jumped", round((time.time() - wall) - (time.monotonic() - clock)))
"""


@pytest.mark.row("R-25", "R-58")
@pytest.mark.long("twelve seconds of timers, while the clock jumps by an hour and by a day, both ways")
def test_a_clock_that_jumps_to_and_fro_moves_no_timer() -> None:
    chaos = "seed=5,clock:+3600s@2s,clock:-3600s@4s,clock:+86400s@6s,clock:-86400s@8s,clock:-86400s@10s"
    ended = run_program([sys.executable, "-c", SHOW + TIMERS], env={"DISPYCOS_CHAOS": chaos}, timeout=90)
    assert ended.code == 0, ended.err
    early = [float(line.split()[1]) for line in ended.out.splitlines() if line[:6] == "timer "]
    assert len(early) == 2 and "jumped -86400\n" in ended.out
    # One that the clock moved back is late by an hour or by a day, and the program has 90 s.
    assert max(early) < 0.01
    assert "Zombie" not in ended.out and "Abandoned" not in ended.out
