"""`dispycos ssh`: nodes on machines that have only Python, by a real sshd on this one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from dispycos import Client, Pycos
from tests.helpers import Program, alive, wait_until
from tests.process.clusters import LIMIT, program
from tests.process.daemons import free_ports
from tests.process.ssh_hosts import Hosts, bare, hosts, nothing_left, processes

__all__ = ["bare", "hosts", "program"]

SSH = [sys.executable, "-m", "dispycos", "ssh"]


def command(hosts: Hosts, *names: str, peer: str = "") -> list[str]:
    more = ["--peer", peer] if peer else []
    return [
        *SSH, *names, "--ssh-config", str(hosts.sshd.config), "--python", hosts.python, "-c", "1",
        "-i", "127.0.0.1", "--udp_port", "0", "--tcp_ports", str(free_ports(2)),
        "--min_pulse_interval", "0.1", *more,
    ]  # fmt: skip


@pytest.fixture
def start() -> Iterator[Callable[[list[str]], Program]]:
    started: list[Program] = []

    def begin(command: list[str]) -> Program:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        started.append(Program(process))
        return started[-1]

    yield begin
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
        one.process.wait(10)
        assert one.process.stdout is not None
        one._reader.join(10)
        one.process.stdout.close()


def where(task: Any = None) -> Any:
    yield task.sleep(0)
    return os.getpid(), sys.prefix


@pytest.mark.row("EX-01", "SE-51")
@pytest.mark.usefixtures("program")
def test_a_client_runs_tasks_on_machines_that_have_only_python(hosts, start):
    own = Pycos(host="127.0.0.1", udp_port=0)
    started = start(command(hosts, "one", "two", "refused", peer=str(own.location)))
    # They are one machine and have one port, so the second one to come says that it is taken.
    started.wait_line("dispycosnode ", 40)
    started.wait_line("refused: ", 40)
    refusal = next(line for line in started.lines if line.startswith("dispycos ssh: refused: "))
    assert "did not become a node" in refusal and "Permission denied" in refusal
    wait_until(lambda: any("exit code 1" in line for line in started.lines), 40, "the one that has no port")

    client = Client([where])
    assert client.schedule().result(LIMIT) == 0
    pid, prefix = client.rtask(where).result(LIMIT).value(LIMIT)
    assert pid in processes(hosts.python) and prefix == str(Path(hosts.python).parent.parent)
    gateway = client.gateway("127.0.0.1").result(LIMIT)
    assert gateway._rinfo().pid == pid
    gateway.exit()
    for one in processes(hosts.python):
        # No secret in what others see of it, and none on its disk.
        words = Path(f"/proc/{one}/cmdline").read_bytes() + Path(f"/proc/{one}/environ").read_bytes()
        assert b"DISPYCOS_SECRET" not in words
        assert not any(key.hex().encode() in words for key in _keys())
    for path in hosts.files.rglob("*"):
        assert not path.is_file() or not any(key.hex().encode() in path.read_bytes() for key in _keys())
    assert client.close().result(LIMIT) == 0

    started.process.send_signal(signal.SIGINT)
    assert started.wait(30) == 1, started.output  # not all of its hosts had a node
    nothing_left(hosts)
    assert "Traceback" not in started.output


def _keys() -> list[bytes]:
    from dispycos import keyfile

    return keyfile.load().reveal()


@pytest.mark.row("R-11")
def test_a_node_ends_in_order_with_its_command(hosts, start):
    started = start(command(hosts, "one"))
    started.wait_line("one: dispycosnode ", 40)
    started.process.send_signal(signal.SIGTERM)
    assert started.wait(30) == 0, started.output
    nothing_left(hosts)


@pytest.mark.row("R-11")
@pytest.mark.parametrize("whom", ["command", "keeper"])
def test_nothing_is_left_of_a_node_whose_command_or_keeper_is_killed(hosts, start, whom):
    started = start(command(hosts, "one"))
    started.wait_line("one: dispycosnode ", 40)
    if whom == "command":
        os.kill(started.pid, signal.SIGKILL)
    else:
        [keeper] = [pid for pid in processes(hosts.python) if "-m" not in psutil.Process(pid).cmdline()]
        os.kill(keeper, signal.SIGKILL)
        assert started.wait(30) == 1
        assert "dispycos ssh: one: the connection is lost: " in started.output
    nothing_left(hosts)
    assert not alive(started.pid)


@pytest.mark.row("R-99", "SE-53")
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "the following arguments are required: HOST"),
        (("x", "--clean"), 2, "--clean is for a node of this machine"),
        (("x", "--no_such_option"), 2, "unknown option --no_such_option"),
        (("x", "--cpus", "many"), 2, "argument -c/--cpus: 'many' is no whole number"),
        (("x//popen",), 1, "'x//popen' is no [USER@]HOST[:PORT]"),
        (("a;b",), 1, "neither the name nor the address"),
        (("root@-oProxyCommand=x",), 1, "neither the name nor the address"),
        (("nowhere.invalid",), 1, "Could not resolve hostname nowhere.invalid"),
    ],
)
def test_what_can_t_be_started_is_told_in_a_sentence(run_python, arguments, code, said):
    ended, out, err = run_python("-m", "dispycos", "ssh", *arguments)
    assert (ended, out) == (code, ""), err
    assert said in err
    assert "Traceback" not in err


def test_a_python_that_is_too_old_is_named(hosts, run_python, tmp_path):
    """A stand-in: this Python, which says that it is an old one."""
    old = tmp_path / "old"
    old.write_text(
        f"#!{sys.executable}\nimport sys\nsys.version_info = (2, 7, 18, 'final', 0)\n"
        "sys.argv[1:] = sys.argv[2:]\nexec(sys.argv[2])\n"
    )
    old.chmod(0o755)
    hosts.python = str(old)
    code, out, err = run_python(*command(hosts, "one")[1:])
    assert (code, out) == (1, "")
    assert "did not become a node: its Python is 2.7; 3.11 or newer is needed there" in err
