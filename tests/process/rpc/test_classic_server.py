"""The classic server as a program, and connections to children: real processes."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from dispycos import rpc
from dispycos.config import Limits
from dispycos.errors import HostNotFound, PeerLost
from dispycos.rpc import classic_server
from tests.helpers import Program, alive, background, run_main, run_program, run_python, wait_until
from tests.process.gateways.sshd import Sshd

SERVER = [sys.executable, "-m", "dispycos.rpc.classic_server"]


@pytest.fixture(params=["threaded"])
def program(request: Any) -> Iterator[Program]:
    with background([*SERVER, "--port", "0", "--mode", request.param]) as program:
        yield program


def port_of(program: Program) -> int:
    return int(program.wait_line("classic server at ", 30).rpartition(":")[2])


@pytest.mark.row("RP-02", "GN-06")
def test_the_server_says_where_it_is_and_ends_by_a_signal(program):
    port = port_of(program)
    with rpc.classic.connect("localhost", port) as conn:
        assert conn.modules.os.getpid() == program.pid
        asleep = rpc.async_(conn.modules.time.sleep)(60)
        began = time.monotonic()
        program.signal(signal.SIGTERM)
        with pytest.raises(PeerLost):
            asleep.value
        assert program.wait(10) == 0 and time.monotonic() - began < 8
    assert f"127.0.0.1:{port}" in program.output


@pytest.mark.row("RP-02")
@pytest.mark.parametrize("program", ["forking"], indirect=True)
def test_a_forking_server_has_a_process_for_each_connection(program):
    port = port_of(program)
    with rpc.classic.connect("localhost", port) as one, rpc.classic.connect("localhost", port) as other:
        pids = [one.modules.os.getpid(), other.modules.os.getpid()]
        assert len({*pids, program.pid}) == 3
        assert all(psutil.Process(pid).ppid() == program.pid for pid in pids)
        one.close()
        wait_until(lambda: not psutil.pid_exists(pids[0]), what="the child to end and be waited for")
        assert other.eval("1 + 1") == 2
        program.signal(signal.SIGINT)
        assert program.wait(10) == 0
        assert not alive(pids[1])
    with background([*SERVER, "--port", "0", "--mode", "forking"]) as killed:
        with rpc.classic.connect("localhost", port_of(killed)) as conn:
            child = conn.modules.os.getpid()
            os.kill(killed.pid, signal.SIGKILL)
            wait_until(lambda: not alive(child), what="the orphan to end")


HANGS = """
import logging, os, signal, time
from dispycos import rpc
from dispycos.rpc import servers

class Shop(rpc.Service):
    def exposed_pid(self):
        return os.getpid()
    def on_disconnect(self, conn):
        time.sleep(600)

logging.basicConfig()
servers._LAST_HOOK, servers._GRACE = 0.2, 1.0  # seconds; else this would take 7
server = rpc.ForkingServer(Shop, port=0)
signal.signal(signal.SIGTERM, lambda *_: server.stop())
print(f"no classic server at {server.address}", flush=True)
server.start()
print("closed", flush=True)
"""


@pytest.mark.row("RP-02")
def test_a_forking_server_ends_what_does_not_end_and_says_so():
    with background([sys.executable, "-c", HANGS]) as program:
        port = port_of(program)
        with rpc.connect("localhost", port) as gone:
            pids = [gone.root.pid()]
        with rpc.connect("localhost", port) as conn:
            pids.append(conn.root.pid())
            with rpc.connect("localhost", port) as stopped:
                pids.append(stopped.root.pid())
                os.kill(pids[2], signal.SIGSTOP)
                assert alive(pids[0])  # its hook runs; that is its service's affair
                program.signal(signal.SIGTERM)
                assert program.wait(10) == 0
    assert not any(map(alive, pids))
    assert program.output.count("has not returned in 0.2 s: the process that serves 127.0.0.1") == 2
    assert (
        f"killed what had not ended 1.2 s after it closed, being stopped or in a call that lets no other "
        f"thread run: process {pids[2]} of 127.0.0.1\n" in program.output
    )
    assert "closed" in program.output.splitlines()


@pytest.mark.row("RP-02")
@pytest.mark.parametrize("program", ["forking"], indirect=True)
def test_a_forking_server_makes_few_processes_for_who_proves_nothing(program):
    port = port_of(program)
    most = Limits().max_unfinished_per_source
    server = psutil.Process(program.pid)
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(most + 10)]
    with pytest.raises(OSError):
        rpc.classic.connect("localhost", port)  # it was the last to come: all others were seen
    assert len(server.children()) == most
    for sock in silent:
        sock.close()
    wait_until(lambda: not server.children(), what="the processes to end")
    for _ in range(most + 2):
        with rpc.classic.connect("localhost", port) as conn:
            assert conn.eval("1 + 1") == 2


@pytest.mark.row("RP-02")
@pytest.mark.parametrize("program", ["oneshot"], indirect=True)
def test_a_oneshot_server_ends_with_its_connection(program):
    with rpc.classic.connect("localhost", port_of(program)) as conn:
        assert conn.eval("1 + 1") == 2
    assert program.wait(10) == 0


def test_the_server_says_what_is_wrong_with_its_options():
    assert "--mode" in run_program([*SERVER, "--help"]).out
    code, _, err = run_main(classic_server.main, "--port", "70000")
    assert code == 2 and "'70000' is no port" in err
    code, _, err = run_main(classic_server.main, "--host", "192.0.2.1")
    assert code == 2 and "argument --host: can't listen at 192.0.2.1: the address is not this mach" in err
    code, _, err = run_program([*SERVER, "--port", "0", "--secret_file", "/no/such/file"])
    assert code == 1 and "/no/such/file" in err


DELIVERS = """
from dispycos import rpc
from dispycos.config import Limits

class Point:
    def __init__(self, x):
        self.x = x
    def double(self):
        return Point(self.x * 2)

def outer(n):
    def add(x):
        return helper(x) + n
    return add

def helper(x):
    return x * 10

conn = rpc.classic.connect_subproc()
point = rpc.classic.deliver(conn, Point(4))
print(point.double().x, rpc.classic.deliver(conn, Point)(3).double().x, conn.teleport(outer(1))(2))
print(rpc.classic.obtain(point).x, type(rpc.classic.obtain(point)) is Point)
conn.close()
"""


@pytest.mark.row("RP-08", "RP-27")
def test_what_a_script_defines_is_delivered_to_another_process(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(DELIVERS)
    code, out, err = run_python(script)
    assert (code, out) == (0, "8 6 21\n4 True\n"), err


STDIO = """
from dispycos import rpc
from dispycos.config import Limits

class Adder(rpc.Service):
    def exposed_add(self, a, b):
        print("to standard error")
        return a + b

rpc.connect_stdpipes(Adder).serve_all()
"""


@pytest.mark.row("RP-30")
def test_a_program_serves_its_standard_input_and_output(tmp_path):
    script = tmp_path / "adder.py"
    script.write_text(STDIO)
    conn = rpc.connect_subproc([sys.executable, str(script)])
    assert conn.root.add(1, 2) == 3
    (child,) = [process for process in psutil.Process().children() if "adder" in " ".join(process.cmdline())]
    conn.close()
    wait_until(lambda: not child.is_running(), what="the child to end")
    with pytest.raises(HostNotFound, match="can't be started"):
        rpc.connect_subproc(["/no/such/program"])
    with pytest.raises((HostNotFound, PeerLost, ConnectionError), match="exit code 3"):
        rpc.connect_subproc([sys.executable, "-c", "raise SystemExit(3)"])


@pytest.mark.row("RP-07")
def test_a_console_takes_piped_input(tmp_path):
    script = tmp_path / "console.py"
    script.write_text(
        "from dispycos import rpc\n"
        "conn = rpc.classic.connect_subproc()\n"
        "rpc.classic.interact(conn)\n"
        "conn.close()\n"
    )
    typed = "import os\nfor n in range(2):\n    print(n)\n\nos.getppid()\n"
    code, out, err = run_python(script, input=typed)
    assert code == 0, err
    assert out.replace(">>> ", "").replace("... ", "").split()[:2] == ["0", "1"]
    assert "Python 3" in err


@pytest.mark.row("RP-30")
def test_a_server_behind_ssh_is_reached_at_its_loopback(program, tmp_path):
    sshd = Sshd(tmp_path)
    try:
        sshd.host("far")
        config = str(sshd.config)
        with rpc.ssh_connect("far", port_of(program), rpc.ClassicService, ssh_config=config) as conn:
            assert conn.eval("6 * 7") == 42
        # The options of ssh that a gateway takes.
        with rpc.classic.ssh_connect(f"-4 -F {config} far", port_of(program)) as conn:
            assert conn.eval("6 * 7") == 42
        with pytest.raises(HostNotFound, match="no connection with ssh"):
            rpc.ssh_connect("nowhere.invalid", 1, ssh_config=config)
        for machine, port, text in (
            ("-oProxyCommand=x", 1, "is not taken here"),
            ("-oProxyCommand=x far", 1, "is not taken here"),
            ("far", 0, "from 1 to 65535, not 0"),
            ("far", "22 -v", "from 1 to 65535"),
        ):
            with pytest.raises(ValueError, match=text):
                rpc.ssh_connect(machine, port, ssh_config=config)  # type: ignore[arg-type]  # the mistake
        with pytest.raises(ValueError, match="ssh_config= names no file"):
            rpc.ssh_connect("far", 1, ssh_config="-oProxyCommand=x")
    finally:
        sshd.close()
