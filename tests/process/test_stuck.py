"""Tasks that give nothing back, and tasks that take all they can: what their cluster makes of it."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from dispycos import Client, Scheduler, Timeout
from tests.helpers import alive, background, wait_until
from tests.process.clusters import Watcher, echo, pid, scheduled, two_servers
from tests.process.standing import KEY

ENDS_WITHIN = 15.0  # seconds from SIGTERM on


def holds(seconds: float, task: Any = None) -> Any:
    """Hold the interpreter in C code that costs nothing."""
    import ctypes

    yield
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))
    return seconds


def spins(task: Any = None) -> Any:
    yield
    while True:
        pass


@pytest.mark.row("R-72")
@pytest.mark.usefixtures("lively")
def test_a_server_whose_interpreter_is_held_is_never_given_up() -> None:
    """Nine pulses are nearly twice the silence that makes a node a zombie."""
    watcher, seconds = Watcher(), 9 * 0.2

    def body(client: Client, task: Any) -> Any:
        rtask = yield client.rtask(holds, seconds)
        assert (yield rtask()) == seconds, "it was neither ended nor begun again"

    scheduled(body, holds, status_task=watcher.task)
    names = watcher.names()
    assert "ServerInitialized" in names
    assert not [name for name in names if "Zombie" in name or "Abandoned" in name]


def holds_plainly(seconds: float) -> None:
    import ctypes

    ctypes.PyDLL(None).usleep(int(seconds * 1e6))


@pytest.mark.row("R-08", "DC-57", "DC-62")
@pytest.mark.usefixtures("lively")
def test_a_call_that_holds_the_interpreter_is_ended_after_the_grace() -> None:
    # The server falls silent before it is to be ended by force, as by default after 6 and 7 s.
    with Client([holds_plainly]) as client:
        # An end by its client: else `result` says that it was not done in 30 s.
        with pytest.raises(Timeout, match=r"holds_plainly#.* did not end when it had to"):
            client.options(timeout=0.1).submit(holds_plainly, 600.0).result(30)


@pytest.mark.row("R-97")
def test_what_is_shown_as_terminated_computes_no_more(short_grace: None, cluster: Any) -> None:
    def body(client: Client, task: Any) -> Any:
        one, _ = yield two_servers(client, task)
        server = psutil.Process((yield (yield client.rtask_at(one, pid))()))
        rtask = yield client.rtask_at(one, spins)
        while sum(server.cpu_percent(0.05) for _ in range(2)) < 20:
            yield task.sleep(0.01)
        assert rtask.terminate() == 0
        assert (yield rtask()).type in (KeyboardInterrupt, Scheduler.TaskTerminated)
        try:
            before = server.cpu_times()
            yield task.sleep(0.5)
            after = server.cpu_times()
        except psutil.NoSuchProcess:
            return
        assert after.user - before.user < 0.25, "it is shown as ended, and still computes"

    scheduled(body, pid, spins)


STUCK = """
from dispycos import Client, LocalCluster, Task

def holds(task=None):
    import ctypes
    yield
    print("holds", flush=True)
    ctypes.PyDLL(None).sleep(600)

def main(client, task=None):
    yield client.schedule()
    yield (yield client.rtask(holds))()

with LocalCluster(1):
    Task(main, Client([holds])).value()
"""


@pytest.mark.row("R-94", "R-53")
def test_a_program_with_a_stuck_task_ends_in_time_after_sigterm() -> None:
    with background([sys.executable, "-u", "-c", STUCK]) as running:
        running.wait_line("holds", 30)
        below = [process.pid for process in psutil.Process(running.pid).children(recursive=True)]
        assert below
        running.signal(signal.SIGTERM)
        assert running.wait(ENDS_WITHIN) != 0
        wait_until(lambda: not any(map(alive, below)), ENDS_WITHIN, "its processes to end")


def takes_all(backwards: str, task: Any = None) -> Any:
    """Look for the cluster's key, leave processes behind, and use up what there is."""
    import contextlib
    import resource
    import subprocess
    from pathlib import Path

    yield
    key = backwards[::-1].encode()
    found = []
    process = os.getpid()
    while process > 1:
        # Ours, the zygote's, the daemon's, and the program's that started it.
        place = Path(f"/proc/{process}")
        for path in (place / "environ", place / "cmdline", *(place / "fd").iterdir()):
            with contextlib.suppress(OSError):
                if (path.name in ("environ", "cmdline") or path.is_file()) and key in path.read_bytes():
                    found.append(str(path))
        process = int((place / "stat").read_text().rpartition(")")[2].split()[1])
    for _ in range(3):
        subprocess.Popen(["sleep", "600"], start_new_session=True, env={"PATH": os.environ["PATH"]})
    if os.fork() == 0:
        os.setsid()
        os.execvp("sleep", ["sleep", "600"])
    with open("filler", "wb") as file:
        file.write(bytes(8 << 20))
    for number in range(2000):
        task.send(number)  # its own mailbox
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    held = []
    with contextlib.suppress(OSError):
        while True:
            held.append(os.open("/dev/null", os.O_RDONLY))
    return found, len(held), os.getcwd(), os.getpid()


@pytest.mark.row("SE-124", "R-48", "R-78")
def test_a_task_that_takes_all_it_can_leaves_nothing_and_the_next_client_is_served(cluster: Any) -> None:
    seen: list[Any] = []

    def body(client: Client, task: Any) -> Any:
        seen.append((yield (yield client.rtask(takes_all, KEY.hex()[::-1]))()))

    scheduled(body, takes_all)
    ((found, descriptors, folder, server),) = seen
    assert found == [], "the cluster's key is in reach of a task"
    assert 10 < descriptors < 64, "it did take them all"
    assert not alive(server) and not Path(folder).exists()
    scheduled(serves, echo)


def serves(client: Client, task: Any) -> Any:
    for location in (yield two_servers(client, task)):
        assert (yield (yield client.rtask_at(location, echo, 1))()) == ((1,), {})
