"""Far ends that die, gateways that exit, programs that end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import signal
import threading
import time

import psutil
import pytest

from dispycos import Task
from dispycos.errors import PeerLost
from tests.helpers import alive, wait_until
from tests.process.clusters import program

__all__ = ["program"]

DEATHS = {
    "killed": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "exited": "import os; os._exit(3)",
    "terminated": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
}
PROMPTLY = 20.0  # seconds, on a machine that has much else to do


@pytest.mark.row("EX-22")
@pytest.mark.parametrize("death", DEATHS)
@pytest.mark.usefixtures("program")
def test_every_waiter_hears_of_the_death_of_the_far_end(group, death):
    gateway = group.makegateway("popen")
    pid = gateway._rinfo().pid
    source = "channel.send(1); channel.receive()"
    ends: queue.Queue[tuple[str, BaseException]] = queue.Queue()

    def note(name, wait):
        try:
            wait()
        except BaseException as exc:
            ends.put((name, exc))

    def tried(channel):
        try:
            yield channel.receive()
        except BaseException as exc:
            ends.put(("task", exc))

    async def awaited(channel):
        await channel.receive()

    made = {
        name: gateway.remote_exec(source) for name in ("receive", "waitclose", "task", "asyncio", "callback")
    }
    for channel in made.values():
        channel.receive(10)
    threads = [
        threading.Thread(target=note, args=("receive", made["receive"].receive)),
        threading.Thread(target=note, args=("waitclose", made["waitclose"].waitclose)),
        threading.Thread(target=note, args=("asyncio", lambda: asyncio.run(awaited(made["asyncio"])))),
    ]
    for thread in threads:
        thread.start()
    task = Task(tried, made["task"])
    made["callback"].setcallback(lambda item: ends.put(("callback", item)), endmarker=EOFError())
    began = time.monotonic()
    killer = gateway.remote_exec(DEATHS[death])
    got = dict(ends.get(timeout=PROMPTLY) for _ in range(5))
    assert time.monotonic() - began < PROMPTLY
    assert set(got) == set(made) and all(isinstance(error, EOFError) for error in got.values())
    with pytest.raises(EOFError):
        killer.receive(PROMPTLY)
    for channel in (*made.values(), gateway.newchannel()):
        with pytest.raises(OSError, match=r"peer|stream|gone|lost|end"):
            channel.send(1)
    with pytest.raises(OSError):
        gateway.remote_exec("pass")
    for thread in threads:
        thread.join(5)
    task.value(5)
    assert gateway not in group and not gateway.hasreceiver()
    assert gateway.join(5) and not alive(pid)


@pytest.mark.row("EX-22")
def test_items_that_came_before_the_death_can_be_received(group):
    gateway = group.makegateway("popen")
    channel = gateway.remote_exec(
        "for n in range(100): channel.send(n)\nimport os; channel.receive(); os._exit(1)"
    )
    channel.send(None)
    with pytest.raises(PeerLost):
        channel.waitclose(10)
    assert [channel.receive(1) for _ in range(100)] == list(range(100))
    with pytest.raises(EOFError):
        channel.receive(1)


@pytest.mark.row("EX-22")
def test_a_sender_that_waits_for_credit_hears_of_the_death(group):
    gateway = group.makegateway("popen")
    channel = gateway.remote_exec("channel.gateway._keep = channel; import time; time.sleep(100)")
    pid = gateway._rinfo().pid
    failed: queue.Queue[BaseException] = queue.Queue()

    def fill():
        try:
            while True:
                channel.send(b"x" * 100_000)
        except OSError as exc:
            failed.put(exc)

    thread = threading.Thread(target=fill)
    thread.start()
    wait_until(lambda: channel._waiting, what="a sender that waits")
    os.kill(pid, signal.SIGKILL)
    assert isinstance(failed.get(timeout=PROMPTLY), OSError)
    thread.join(5)


@pytest.mark.row("EX-17")
def test_what_code_started_ends_also_where_ctrl_c_is_ignored(group):
    """As in a program that a shell has put into the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        gateway = group.makegateway("popen")
    finally:
        signal.signal(signal.SIGINT, before)
    channel = gateway.remote_exec(
        "import subprocess\n"
        "process = subprocess.Popen(['sleep', '100'])\n"
        "try:\n"
        "    channel.send(process.pid)\n"
        "    process.wait()\n"
        "finally:\n"
        "    process.kill()\n"
    )
    child = channel.receive(10)
    gateway.exit()
    wait_until(lambda: not alive(child), what="the end of the child")


@pytest.mark.row("EX-17")
def test_code_that_misses_its_interrupt_gets_another_one(group, tmp_path):
    gateway = group.makegateway("popen")
    gateway.remote_exec(
        "import signal, time\n"
        "def miss(*_): signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "signal.signal(signal.SIGINT, miss)\n"
        "channel.send(1)\n"
        "try:\n"
        "    time.sleep(100)\n"
        "finally:\n"
        f"    open({str(tmp_path / 'cleaned')!r}, 'x').close()\n"
    ).receive(10)
    gateway.exit()
    assert gateway.join(10)
    assert (tmp_path / "cleaned").exists()


@pytest.mark.row("EX-17")
def test_code_that_cleans_up_is_interrupted_once(group, tmp_path):
    gateway = group.makegateway("popen")
    gateway.remote_exec(
        "import time\n"
        "channel.send(1)\n"
        "try:\n"
        "    time.sleep(100)\n"
        "finally:\n"
        "    time.sleep(0.7)\n"
        f"    open({str(tmp_path / 'cleaned')!r}, 'x').close()\n"
    ).receive(10)
    gateway.exit()
    assert gateway.join(10)
    assert (tmp_path / "cleaned").exists()


@pytest.mark.row("EX-17")
@pytest.mark.parametrize(
    "source",
    [
        "channel.send(1); channel.receive()",
        "channel.send(1); import time; time.sleep(100)",
        "import time; channel.send(1)\nwhile True:\n  try: time.sleep(100)\n  except BaseException: pass",
        "import threading, time; threading.Thread(target=time.sleep, args=(100,)).start(); channel.send(1)",
        "import subprocess; channel.send(1); subprocess.run(['sleep', '100'])",
    ],
    ids=["waits", "sleeps", "stubborn", "thread", "child"],
)
def test_exit_ends_the_far_end_whatever_it_does(group, source):
    gateway = group.makegateway("popen")
    pid = gateway._rinfo().pid
    channel = gateway.remote_exec(source)
    channel.receive(10)
    children = wait_until(lambda: _children(pid) or "subprocess" not in source, what="the child")
    began = time.monotonic()
    gateway.exit()
    assert time.monotonic() - began < 3
    gateway.exit()
    assert gateway.join(20) and not alive(pid)
    with pytest.raises(EOFError):
        channel.receive(1)
    for child in () if children is True else children:
        # What remote code started is its own affair: maybe it was interrupted before it could end it.
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def _children(pid):
    """Those that run a program of their own: until then Python itself does not know of them for sure."""
    parent = psutil.Process(pid)
    ours = parent.cmdline()
    return [child.pid for child in parent.children() if child.cmdline() not in ([], ours)]


@pytest.mark.row("EX-17")
def test_what_was_sent_before_exit_arrives(group, tmp_path):
    gateway = group.makegateway("popen")
    path = tmp_path / "got"
    channel = gateway.remote_exec(
        f"with open({str(path)!r}, 'wb') as file:\n    for item in channel: file.write(item)\n"
    )
    for _ in range(20):
        channel.send(b"x" * 100_000)
    gateway.exit()
    assert gateway.join(20)
    assert path.stat().st_size == 2_000_000


PROGRAM = """
import sys, threading, time
from dispycos.gateways import makegateway
def run(source):
    channel = makegateway("popen").remote_exec(source)
    print(channel.receive(), flush=True)
    return channel
"""
ENDINGS = {
    "nothing": "run('import os; channel.send(os.getpid())')",
    "sleeps": "run('import os, time; channel.send(os.getpid()); time.sleep(100)')",
    "stubborn": (
        "run('import os, time; channel.send(os.getpid())\\nwhile True:\\n try: time.sleep(9)\\n "
        "except BaseException: pass')"
    ),
    "thread there": (
        "run('import os, threading, time; threading.Thread(target=time.sleep, args=(100,)).start(); "
        "channel.send(os.getpid())')"
    ),
    "full pipe": (
        "c = run('import os, signal; channel.send(os.getpid()); os.kill(os.getpid(), signal.SIGSTOP)')\n"
        "def fill():\n"
        "    try:\n"
        "        while True: c.send(b'x' * 1000000)\n"
        "    except OSError: pass\n"
        "for _ in range(2): threading.Thread(target=fill, daemon=True).start()\n"
        "while c.gateway._exchange.link._session.queued < 1000000: time.sleep(0.01)"
    ),
    "daemon thread waits": (
        "c = run('import os; channel.send(os.getpid()); channel.receive()')\n"
        "threading.Thread(target=lambda: list(c), daemon=True).start()\n"
        "while not c._waiting: time.sleep(0.01)"
    ),
    "callback": ("c = run('import os; channel.send(os.getpid()); channel.receive()')\nc.setcallback(print)"),
    "callback that never returns": (
        "c = run('import os; channel.send(os.getpid()); channel.receive(); channel.send(1)')\n"
        "began = threading.Event()\n"
        "c.setcallback(lambda item: (began.set(), threading.Event().wait()))\n"
        "c.send(1)\n"
        "began.wait()"
    ),
    "error": "run('import os; channel.send(os.getpid()); channel.receive()'); raise SystemExit(0)",
}


@pytest.mark.row("EX-17")
@pytest.mark.parametrize("ending", ENDINGS)
def test_the_end_of_the_program_ends_its_far_ends(run_python, ending):
    began = time.monotonic()
    code, out, err = run_python(PROGRAM + ENDINGS[ending] + "\n", timeout=40)
    assert code == 0 and err == "", err
    assert time.monotonic() - began < 30
    pid = int(out.split()[0])
    wait_until(lambda: not alive(pid), what="the far end to be gone")


@pytest.mark.row("EX-17")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_program_that_is_killed_leaves_no_far_end(run_python, how):
    source = ENDINGS["stubborn"]
    killed = f"import os; {source}; os.kill(os.getpid(), {int(how)})\n"
    code, out, _ = run_python(PROGRAM + killed, timeout=40)
    assert code == -how
    wait_until(lambda: not alive(int(out)), what="the far end to be gone", timeout=20)
