"""Nodes as processes: the command, its client's processes, and every way in which they end."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from dispycos import config
from dispycos.errors import FileRefused
from dispycos.messages import (
    CloseRequest,
    CloseServer,
    Deliver,
    Ending,
    NodeHere,
    NodeReport,
    Prepare,
    Prepared,
    PrepareFailed,
    Release,
    Released,
    Reserved,
    ReserveRefused,
    RestartNode,
    ServerDelayed,
    ServerEnded,
    ServerStarted,
    SetUpFailed,
    Undelivered,
)
from dispycos.model import CLIENT_MADE, End, Location
from dispycos.node import cli, ties
from dispycos.node.embedded import LocalNode, NodeNotStarted, start_local_node
from dispycos.pickling import code, values
from dispycos.wording import program_of
from tests.helpers import (
    ROOT,
    Program,
    alive,
    background,
    run_main,
    run_program,
    run_python,
    unavailable,
    wait_until,
)
from tests.process.daemons import KEY, NODE, Node, command, free_ports
from tests.process.nodes import Master


def below(pid: int) -> list[int]:
    return ties.descendants(pid)


def left_in(path: str | Path) -> list[str]:
    return [str(found) for found in Path(path).rglob("*")] if Path(path).exists() else []


# Code of the client.


def compute(n, task=None):  # type: ignore[no-untyped-def]  # code as users write it
    yield task.sleep(0)
    return n * n


def where(task=None):  # type: ignore[no-untyped-def]
    yield
    return os.getcwd(), sys.path[:2], os.getpid()


def remember(value, task=None):  # type: ignore[no-untyped-def]
    global REMEMBERED
    yield
    old = globals().get("REMEMBERED")
    REMEMBERED = value
    return old


def names(task=None):  # type: ignore[no-untyped-def]
    yield
    return [callable(dispycos_close_server), callable(dispycos_close_node), dispycos.__name__]  # type: ignore[name-defined]  # noqa: F821


def segfault(task=None):  # type: ignore[no-untyped-def]
    import ctypes

    print("about to read address 0")
    yield
    ctypes.string_at(0)


def exit_three(task=None):  # type: ignore[no-untyped-def]
    print("first words")
    print("last words")
    yield
    os._exit(3)


def wait_for_ever(task=None):  # type: ignore[no-untyped-def]
    yield task.sleep(1000)


def hold_the_gil(task=None):  # type: ignore[no-untyped-def]
    import ctypes

    yield
    # C code that never gives the interpreter back, whatever signal comes, and costs nothing meanwhile:
    # it waits for a lock that it has.
    held, libc = ctypes.create_string_buffer(256), ctypes.PyDLL(None)
    libc.pthread_mutex_init(held, None)
    while True:
        libc.pthread_mutex_lock(held)


def start_children(task=None):  # type: ignore[no-untyped-def]
    import subprocess
    import sys

    sleep = ["sleep", "600"]
    yield
    plain = subprocess.Popen(sleep)
    session = subprocess.Popen(sleep, start_new_session=True)
    # A daemon in the old manner: its parent is gone at once.
    fork_twice = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        os.close(1)
        time.sleep(600)
"""
    double = subprocess.run([sys.executable, "-c", fork_twice], stdout=subprocess.PIPE, text=True)
    return [plain.pid, session.pid, int(double.stdout)]


def write_files(task=None):  # type: ignore[no-untyped-def]
    yield
    with open("mine", "w") as file:
        file.write("x")
    with open("../nodes", "w") as file:
        file.write("x")
    return os.path.abspath("..")


# The command.


@pytest.mark.row("DN-01", "DN-02", "DN-06", "DN-16", "DN-32")
def test_a_node_says_that_it_is_ready_and_ends_without_a_trace(tmp_path: Path, key_file: Path) -> None:
    port = free_ports(3)
    with background(command(tmp_path, key_file, "--name", "alpha", port=port)) as program:
        node = Node(program)
        assert (node.name, node.location, node.servers) == ("alpha", Location("127.0.0.1", port), 2)
        assert (tmp_path / "work" / "dispycosnode.pid").exists()
        program.signal(signal.SIGTERM)
        assert program.wait(10) == 0
    assert not (tmp_path / "work").exists()


@pytest.mark.row("GN-06", "R-53")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_node_ends_in_time(tmp_path: Path, key_file: Path, number: int) -> None:
    with background(command(tmp_path, key_file)) as program:
        Node(program)
        program.signal(number)
        assert program.wait(10) == 0


@pytest.mark.row("DN-01")
@pytest.mark.parametrize(
    ("more", "text"),
    [
        (["--dest_path", "/proc/nowhere"], "/proc/nowhere"),
        (["--secret_file", "/nowhere/key"], "/nowhere/key"),
    ],
)
def test_what_can_not_be_done_is_one_sentence(
    tmp_path: Path, key_file: Path, more: list[str], text: str
) -> None:
    code, out, err = run_program(command(tmp_path, key_file, *more))
    assert (code, out) == (1, "")
    assert text in err
    assert err.count("\n") == 1


@pytest.mark.row("DN-01")
def test_a_port_in_use_is_named(tmp_path: Path, key_file: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, _, err = run_program(command(tmp_path, key_file, port=port))
    assert code == 1
    assert f"127.0.0.1:{port}" in err
    assert f"in use by {program_of(psutil.Process().cmdline())} (pid {os.getpid()}); --tcp_ports takes" in err
    assert not (tmp_path / "work").exists()


@pytest.mark.row("DN-02", "DN-08", "DN-13", "DN-24", "DN-18", "DN-27", "DN-16")
@pytest.mark.parametrize(
    "more",
    [
        ["--cpus=-1000"],
        ["--max_pulse_interval", "0.01"],
        ["--serve", "0"],
        ["--peer", "nowhere"],
        ["--peer", "host:99999"],
        ["--tcp_ports", "9-5"],
        ["--tcp_ports", "65535"],
        ["--max_file_size", "5X"],
        ["--service_start", "10:00"],
        ["--service_stop", "25:00"],
        ["--host", "203.0.113.77"],
        ["--host", "no.such.host.invalid"],
        ["--unknown"],
        ["--name"],
        ["--name", ""],
        ["--name", "two\nlines"],
        ["--msg_timeout", "0"],
        ["--peer", "a:b:c"],
    ],
)
def test_wrong_usage_ends_with_2(tmp_path: Path, key_file: Path, more: list[str]) -> None:
    code, out, err = run_main(cli.main, *command(tmp_path, key_file, *more)[len(NODE) :])
    assert (code, out) == (2, "")
    assert err.startswith("usage: dispycosnode")


@pytest.mark.row("DN-04")
def test_a_node_refuses_more_external_addresses_than_it_can_tell(tmp_path: Path, key_file: Path) -> None:
    more = [text for number in range(5) for text in ("--ext_ip_addr", f"192.0.2.{number}")]
    code, out, err = run_program(command(tmp_path, key_file, *more))
    assert (code, out) == (2, "")
    assert "--ext_ip_addr names 5 addresses, at most 4 are told" in err


@pytest.mark.row("DN-04")
def test_an_external_address_may_be_said_twice(tmp_path: Path, key_file: Path) -> None:
    twice = ["--ext_ip_addr", "127.0.0.9", "--ext_ip_addr", "127.0.0.9"]
    with background(command(tmp_path, key_file, *twice)) as program:
        assert Node(program).location.addr == "127.0.0.9"


@pytest.mark.row("DN-26", "DN-40")
def test_a_second_node_refuses_the_same_directory(tmp_path: Path, key_file: Path) -> None:
    with background(command(tmp_path, key_file)) as program:
        node = Node(program)
        code, _, err = run_program(command(tmp_path, key_file))
        assert code == 1
        assert f"pid {node.pid}" in err
        assert "--clean" in err
        assert "--dest_path" in err


@pytest.mark.row("DN-25", "R-49")
def test_clean_ends_the_earlier_node_and_starts(tmp_path: Path, key_file: Path) -> None:
    with background(command(tmp_path, key_file)) as first:
        Node(first)
        with background(command(tmp_path, key_file, "--clean")) as second:
            Node(second)
            first.wait(10)
            second.signal(signal.SIGTERM)
            assert second.wait(10) == 0


@pytest.mark.row("DN-26", "R-86")
def test_a_killed_node_is_no_obstacle_for_the_next(tmp_path: Path, key_file: Path) -> None:
    with background(command(tmp_path, key_file)) as program:
        Node(program)
        program.signal(signal.SIGKILL)
        program.wait(10)
    with background(command(tmp_path, key_file)) as program:
        Node(program)
        assert "removed the pid file of dispycosnode" in program.output


@pytest.mark.row("DN-19")
def test_the_end_of_its_input_is_not_its_end(tmp_path: Path, key_file: Path) -> None:
    with background(command(tmp_path, key_file)) as program:
        node = Node(program)
        assert program.process.stdin
        program.process.stdin.close()
        before = psutil.Process(node.pid).cpu_times()
        time.sleep(0.5)  # not a condition: the time in which it must not spin
        after = psutil.Process(node.pid).cpu_times()
        assert after.user + after.system - before.user - before.system < 0.3
        assert program.process.poll() is None


@pytest.mark.row("DN-20", "DN-21", "DN-22")
def test_commands_show_close_and_end(tmp_path: Path, key_file: Path, master: Master) -> None:
    with background(command(tmp_path, key_file, "--name", "beta")) as program:
        node = Node(program)
        program.write("status")
        program.wait_line("node beta at")
        servers = master.use(node.location, 2)
        task = master.submit(servers[0], wait_for_ever)
        pids = {started.server.pid for started in master.all(ServerStarted)}
        seen = len(program.lines)
        wait_until(lambda: _running(program, seen) == 1)
        for pid in pids:
            assert f"pid {pid}" in program.output
        assert master.endpoint.incarnation.hex()[:8] in program.output
        program.write("close")
        assert master.outcome(task).end is not End.FINISHED
        released = master.next(Released)
        assert released.reservation == 1
        wait_until(lambda: not any(map(alive, pids)))
        program.write("nonsense")
        program.wait_line("'nonsense' is no command")
        program.write("quit")
        assert program.wait(10) == 0


def _running(program: Program, seen: int) -> int:
    program.write("")
    program.wait_line("beta_server-2 at", after=seen)
    found = re.findall(r"beta_server-1 at .*running (\d+) tasks?", program.output)
    return int(found[-1]) if found else -1


@pytest.mark.row("DN-23", "R-53")
def test_terminate_ends_a_node_whose_task_blocks(tmp_path: Path, key_file: Path, master: Master) -> None:
    with background(command(tmp_path, key_file)) as program:
        node = Node(program)
        servers = master.use(node.location, 2)
        master.submit(servers[0], hold_the_gil)
        wait_until(lambda: any(s.begun for r in master.all(NodeReport) for s in r.servers))
        program.write("terminate")
        assert program.wait(15) == 0
    assert not (tmp_path / "work").exists()


@pytest.mark.row("R-53")
def test_a_second_signal_ends_a_node_at_once(tmp_path: Path, key_file: Path, master: Master) -> None:
    with background(command(tmp_path, key_file)) as program:
        node = Node(program)
        servers = master.use(node.location, 2)
        master.submit(servers[0], hold_the_gil)
        pids = below(node.pid)
        program.signal(signal.SIGTERM)
        program.wait_line("a second signal ends it at once")
        program.signal(signal.SIGTERM)
        program.wait(10)
        wait_until(lambda: not any(map(alive, pids)))
    assert not (tmp_path / "work").exists()


@pytest.mark.row("DN-29", "DN-30", "DN-09")
def test_options_are_saved_and_used_again(tmp_path: Path, key_file: Path) -> None:
    file = tmp_path / "node.toml"
    line = command(tmp_path, key_file, "--peer", "a:1", "--peer", "b:2", "--name", "n", "--daemon")
    code, out, err = run_program([*line, "--save_config", str(file)])
    assert (code, out, err) == (0, "", "")
    assert not (tmp_path / "work").exists()
    text = file.read_text()
    assert "cpus = 2\n" in text
    assert 'peer = ["a:1", "b:2"]\n' in text
    assert "daemon = true\n" in text
    assert str(key_file) not in text
    assert "127.0.0.1" not in text
    more = ["--host", "127.0.0.1", "--secret_file", str(key_file), "--config", str(file)]
    with background([*NODE, *more, "--cpus", "1"]) as program:
        assert Node(program).servers == 1  # the command line wins
        assert (tmp_path / "work" / "dispycosnode.pid").exists()
        program.signal(signal.SIGTERM)
        assert program.wait(10) == 0


@pytest.mark.row("DN-30", "DN-04")
def test_a_file_may_name_the_addresses_of_its_node_and_the_command_line_wins(
    tmp_path: Path, key_file: Path
) -> None:
    file = tmp_path / "node.toml"
    file.write_text('name = "n7"\next_ip_addr = ["127.0.0.8", "127.0.0.9"]\nip_addr = "192.0.2.1"\n')
    with background(command(tmp_path, key_file, "--config", str(file))) as program:
        node = Node(program)
        assert (node.name, node.location.addr) == ("n7", "127.0.0.8")


@pytest.mark.row("DN-30")
@pytest.mark.parametrize(
    ("text", "named"),
    [
        (None, "node.toml"),
        ("cpus = ", "node.toml"),
        ("secret = 'x'", "unknown key 'secret'; it may have ip_addr, ext_ip_addr, name, cpus,"),
        ("cpu = 1", "unknown key 'cpu'; did you mean 'cpus'?"),
        (
            "[node]\ncpus = 1",
            "unknown key 'node'; tables are for files of settings",
        ),
        ("name = ['a', 'b']", "name has a value that is neither text nor number"),
        ("cpus = 'many'", "cpus"),
        ("daemon = 3", "node.toml: daemon takes true or false, not 3"),
        ("debug = 'yes'", 'node.toml: debug takes true or false, not "yes"'),
        ("cpus = true", "node.toml: cpus takes a value, not true"),
        ("service_end = '9'", "--service_end: '9' is no time of day HH:MM"),
        ("serve = [1]", "serve"),
    ],
)
def test_a_bad_file_of_options_is_named(tmp_path: Path, key_file: Path, text: str | None, named: str) -> None:
    file = tmp_path / "node.toml"
    if text is not None:
        file.write_text(text)
    code, out, err = run_main(cli.main, "--secret_file", str(key_file), "--config", str(file))
    assert (code, out) == (2, "")
    assert named in err


@pytest.mark.row("SE-119", "SE-50")
def test_a_huge_file_of_options_is_not_read_and_an_expression_is_not_evaluated(
    tmp_path: Path, key_file: Path
) -> None:
    file = tmp_path / "node.toml"
    with file.open("wb") as huge:
        huge.truncate(1 << 30)
    options = ["--secret_file", str(key_file), "--config", str(file)]
    code, out, err = run_main(cli.main, *options)
    assert (code, out) == (2, "")
    assert "is larger than 1,048,576 bytes" in err
    mark = tmp_path / "evaluated"
    file.write_text(f"cpus = open({str(mark)!r}, 'w').write('x')")
    code, out, err = run_main(cli.main, *options)
    assert (code, out) == (2, "")
    assert "node.toml is no TOML" in err
    assert not mark.exists()


@pytest.mark.row("SE-119", "SE-11")
def test_no_secret_stands_in_saved_options(tmp_path: Path, key_file: Path) -> None:
    file = tmp_path / "node.toml"
    secret = "a secret that is long enough to be taken"
    code, _, err = run_program([*NODE, "--secret", secret, "--cpus", "1", "--save_config", str(file)])
    assert code == 0, err
    assert "cpus = 1" in file.read_text()
    assert secret not in file.read_text() and "secret" not in file.read_text()


@pytest.mark.row("DN-29")
def test_a_file_that_can_not_be_written_is_named(tmp_path: Path, key_file: Path) -> None:
    code, _, err = run_program(command(tmp_path, key_file, "--save_config", "/proc/nowhere/file"))
    assert "/proc/nowhere/file: " in err
    assert code == 1
    assert "/proc/nowhere/file" in err
    assert err.count("\n") == 1


@pytest.mark.row("DN-24")
def test_outside_its_hours_a_node_refuses_clients(tmp_path: Path, key_file: Path, master: Master) -> None:
    # As far from now as a day allows, so that midnight and a slow test change nothing.
    begin, end = (time.strftime("%H:%M", time.localtime(time.time() + h * 3600)) for h in (11, 12))
    with background(command(tmp_path, key_file, "--service_start", begin, "--service_stop", end)) as program:
        node = Node(program)
        master.reserve(master.dial(node.location), 1)
        assert "service" in master.next(ReserveRefused).reason


@pytest.mark.row("SE-51", "DN-09")
def test_no_secret_stands_in_a_list_of_processes(tmp_path: Path, key_file: Path, master: Master) -> None:
    with background(command(tmp_path, key_file)) as program:
        node = Node(program)
        master.use(node.location, 2)
        for pid in [node.pid, *below(node.pid)]:
            assert KEY.hex().encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
            if pid != node.pid:
                assert b"DISPYCOS_SECRET" not in Path(f"/proc/{pid}/environ").read_bytes()


@pytest.mark.row("DN-27", "SE-03")
def test_a_peer_with_another_key_is_told_of_once(tmp_path: Path, key_file: Path) -> None:
    with Master(bytes(32)) as other:
        where = str(other.endpoint.location)
        with background(command(tmp_path, key_file, "--peer", where)) as program:
            assert "authentication failed" in program.wait_line(f"can't join {where}")
            Node(program)
            assert "--peer" not in program.output


NO_PSUTIL = """
import sys
sys.modules["psutil"] = None  # importing it fails
"""

ASKS_FOR_FIGURES = """
from dispycos import Client, DispycosNodeAvailInfo, Scheduler, Task, config

config.MinPulseInterval = 0.1

def answer():
    yield
    try:
        import psutil
    except ImportError:
        return 42

def main(task=None):
    Scheduler(host="127.0.0.1", nodes=["127.0.0.1:{port}"])
    client = Client([answer], pulse_interval=0.2, status_task=task)
    yield client.schedule()
    print((yield (yield client.rtask(answer))()))
    while not isinstance(info := (yield task.receive()), DispycosNodeAvailInfo):
        pass
    print(info.cpu, info.memory, info.disk, info.swap)
    yield client.close()

Task(main).value()
"""


@pytest.mark.row("DN-37")
def test_node_and_client_work_without_psutil(tmp_path: Path, key_file: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(NO_PSUTIL)
    env = {"PYTHONPATH": str(tmp_path) + os.pathsep + str(ROOT), "DISPYCOS_SECRET_FILE": str(key_file)}
    with background(command(tmp_path, key_file, servers=1), env=env) as program:
        node = Node(program)
        source = ASKS_FOR_FIGURES.format(port=node.location.port)
        code, out, err = run_python(source, env=env)
        assert (code, out) == (0, "42\nNone None None None\n"), err + program.output
        said = [line for line in program.lines if "psutil" in line]
        assert len(said) == 1, program.output
        assert "psutil is not installed" in said[0]


@pytest.mark.row("DN-27", "R-76")
def test_a_peer_is_dialled_until_it_is_there(tmp_path: Path, key_file: Path) -> None:
    port = free_ports(1)
    with background(command(tmp_path, key_file, "--peer", f"127.0.0.1:{port}")) as program:
        Node(program)
        line = program.wait_line("--peer")
        assert line.endswith(
            f"--peer 127.0.0.1:{port}: can't reach 127.0.0.1:{port}: Connection refused; "
            "trying again until it is there"
        )
        with Master(KEY, port) as late:
            assert late.next(NodeHere).facts.cpus == 2


# Its servers.


@pytest.mark.row("DN-34", "DC-53", "DN-32")
def test_servers_run_tasks_where_they_should(master: Master, local: LocalNode) -> None:
    servers = master.use(local.location, 2, [compute])
    assert [master.run(server, compute, 7) for server in servers] == [49, 49]
    seen = [master.run(server, where) for server in servers]
    folder = os.path.dirname(seen[0][0])
    for number, (cwd, path, pid) in enumerate(seen, 1):
        assert cwd == f"{folder}/dispycosproc-{number}"
        assert path == [cwd, folder]
        assert pid in below(local.pid)
    assert master.run(servers[0], names) == [True, True, "dispycos"]


@pytest.mark.row("DC-47", "DN-35")
def test_globals_live_in_one_server_until_the_client_is_gone(master: Master, local: LocalNode) -> None:
    servers = master.use(local.location, 2, [remember])
    assert master.run(servers[0], remember, 1) is None
    assert master.run(servers[0], remember, 2) == 1
    assert master.run(servers[1], remember, 3) is None
    master.release(local.incarnation)
    fresh = master.use(local.location, 2, [remember], reservation=2)
    assert not set(fresh) & set(servers)
    assert master.run(fresh[0], remember, 1) is None


TABLE: list[int] = []


def fill(size, task=None):  # type: ignore[no-untyped-def]
    global TABLE
    TABLE = list(range(size))
    yield
    return 0


def table_size(task=None):  # type: ignore[no-untyped-def]
    yield
    return len(TABLE)


@pytest.mark.row("DC-48", "DC-07")
def test_what_node_setup_made_is_in_every_server(master: Master, local: LocalNode) -> None:
    node = master.dial(local.location)
    master.prepare(node, 2, [fill, table_size], fill, 1000)
    master.next(ServerStarted, 2)
    servers = [master.take(started.server) for started in master.all(ServerStarted)]
    assert [master.run(server, table_size) for server in servers] == [1000, 1000]


def bad_setup(task=None):  # type: ignore[no-untyped-def]
    yield
    raise RuntimeError("no licence here")


@pytest.mark.row("DC-07", "R-09")
def test_a_failing_node_setup_reaches_the_client(master: Master, local: LocalNode) -> None:
    node = master.dial(local.location)
    master.prepare(node, 2, [], bad_setup)
    assert "RuntimeError: no licence here" in master.next(PrepareFailed).reason
    assert not master.all(ServerStarted)
    # The node is not lost for that: it is asked again with another one.
    master.say(node, RestartNode(1, None))
    assert "no licence" in master.next(PrepareFailed, 2).reason
    master.release(node)


@pytest.mark.row("DC-08", "R-09")
def test_a_failing_server_setup_reaches_the_client(master: Master, local: LocalNode) -> None:
    node = master.dial(local.location)
    master.prepare(node, 1)
    server = master.take(master.next(ServerStarted).server, bad_setup)
    assert "RuntimeError: no licence here" in master.next(SetUpFailed).reason
    assert master.all(SetUpFailed, server)


@pytest.mark.row("R-05", "DN-34", "DC-41")
@pytest.mark.parametrize(
    ("function", "end", "output"),
    [
        (segfault, "signal 11 (SIGSEGV)", "about to read address 0"),
        (exit_three, "exit code 3", "first words\n    last words"),
    ],
)
def test_a_server_that_dies_is_proved_and_replaced(
    master: Master, local: LocalNode, function: Any, end: str, output: str
) -> None:
    servers = master.use(local.location, 2, [compute])
    master.run(servers[0], compute, 1)
    master.submit(servers[0], function)
    ended = master.next(ServerEnded)
    assert (ended.server, ended.begun, ended.begun_io, ended.asked) == (servers[0], 2, 0, False)
    assert end in ended.reason
    assert output in ended.reason
    fresh = master.next(ServerStarted, 3).server
    assert master.run(master.take(fresh), compute, 3) == 9
    assert master.run(servers[1], compute, 4) == 16


def says(words, task=None):  # type: ignore[no-untyped-def]
    yield
    print(words)


def dies_silently(task=None):  # type: ignore[no-untyped-def]
    yield
    os._exit(3)


def dies_talking(task=None):  # type: ignore[no-untyped-def]
    yield
    print("words of the dead")
    os._exit(3)


@pytest.mark.row("R-05", "DN-38")
def test_a_dead_server_is_not_quoted_with_words_of_an_earlier_task(
    tmp_path: Path, key_file: Path, master: Master
) -> None:
    with background(command(tmp_path, key_file)) as program:
        servers = master.use(Node(program).location, 2, [says, dies_silently, dies_talking])
        for number, (server, dies) in enumerate(zip(servers, (dies_silently, dies_talking), strict=True), 1):
            master.run(server, says, f"words of task {number}")
            program.wait_line(f"words of task {number}")
            master.submit(server, dies)
            reason = master.next(ServerEnded, number).reason
            assert "words of task" not in reason
            if dies is dies_silently:
                assert "output" not in reason
            else:
                assert reason.endswith("; last output, perhaps of a task before it:\n    words of the dead")


@pytest.mark.row("R-10")
def test_a_killed_zygote_is_replaced_with_its_servers(master: Master, local: LocalNode) -> None:
    servers = master.use(local.location, 2, [compute])
    old = {started.server.pid for started in master.all(ServerStarted)}
    (zygote,) = psutil.Process(local.pid).children()
    zygote.kill()
    for number in (1, 2):
        ended = master.next(ServerEnded, number)
        assert "its zygote was killed by signal 9" in ended.reason
        assert ended.server in servers
    wait_until(lambda: not any(map(alive, old)))
    master.next(ServerStarted, 4)
    fresh = [master.take(started.server) for started in master.all(ServerStarted)[2:]]
    assert [master.run(server, compute, 5) for server in fresh] == [25, 25]


@pytest.mark.row("R-11")
@pytest.mark.parametrize("task", [wait_for_ever, hold_the_gil])
def test_nothing_outlives_a_killed_node(tmp_path: Path, key_file: Path, master: Master, task: Any) -> None:
    with background(command(tmp_path, key_file)) as program:
        node = Node(program)
        for server in master.use(node.location, 2):
            master.submit(server, task)
        wait_until(lambda: sum(s.begun for r in master.all(NodeReport)[-1:] for s in r.servers) == 2)
        pids = below(node.pid)
        assert len(pids) == 3
        program.signal(signal.SIGKILL)
        wait_until(lambda: not any(map(alive, pids)), 8)


@pytest.mark.row("R-11", "DC-59")
def test_a_local_node_ends_with_its_program(tmp_path: Path) -> None:
    # With the program: neither when the thread ends that started it, nor only when a forked
    # child of the program, which has its end of the pair, has ended too.
    program = """
import os, sys, threading, time
from dispycos.net.reactor import Reactor
from dispycos.node import fresh
from dispycos.node.embedded import start_local_node
ahead = []
starting = threading.Thread(target=lambda: ahead.append(fresh.start_node()))
starting.start()
starting.join()
reactor = Reactor.in_thread()
node = reactor.run(start_local_node(reactor, os.urandom(32), 1, ahead=ahead[0])).result(20)
child = os.fork() or time.sleep(60)
print(node.pid, child, flush=True)
sys.stdin.read()
"""
    with background([sys.executable, "-c", program], env={"TMPDIR": str(tmp_path)}) as user:
        wait_until(lambda: user.lines)
        pid, child = map(int, user.lines[-1].split())
        user.signal(signal.SIGKILL)
        wait_until(lambda: not alive(pid))
        assert alive(child)
        os.kill(child, signal.SIGKILL)
        wait_until(lambda: not left_in(tmp_path))


@pytest.mark.row("DC-59")
def test_the_zygote_of_a_local_node_waits_for_its_first_client(master: Master, own_local: LocalNode) -> None:
    (waiting,) = below(own_local.pid)
    master.use(own_local.location, 2)
    assert {psutil.Process(started.server.pid).ppid() for started in master.all(ServerStarted)} == {waiting}
    master.release(own_local.incarnation)
    # The next one gets a zygote of its own.
    master.use(own_local.location, 2, reservation=2)
    assert len(below(own_local.pid)) == 3 and waiting not in below(own_local.pid)


@pytest.mark.row("DC-59", "R-10")
def test_a_zygote_that_dies_before_its_first_client_is_not_missed(
    master: Master, own_local: LocalNode
) -> None:
    (waiting,) = below(own_local.pid)
    os.kill(waiting, signal.SIGKILL)
    wait_until(lambda: not psutil.pid_exists(waiting))
    (server,) = master.use(own_local.location, 1, [compute])
    assert master.run(server, compute, 5) == 25


@pytest.mark.row("R-48", "DN-33")
def test_nothing_is_left_of_a_client_that_ran_nothing(master: Master, own_local: LocalNode) -> None:
    node = master.dial(own_local.location)
    master.reserve(node, 2)
    master.next(Reserved)
    master.release(node)
    assert below(own_local.pid) == []
    (server,) = master.use(own_local.location, 1, [compute], reservation=2)
    assert master.run(server, compute, 5) == 25


@pytest.mark.row("R-48", "DN-33")
def test_nothing_of_a_client_is_left(master: Master, local: LocalNode) -> None:
    servers = master.use(local.location, 2)
    folder = Path(master.run(servers[0], write_files))
    started = master.run(servers[0], start_children)
    assert all(map(alive, started))
    ports = [s.server.location for s in master.all(ServerStarted)]
    master.release(local.incarnation)
    assert not any(map(alive, started))
    assert below(local.pid) == []
    assert not folder.exists()
    for location in ports:
        with socket.socket() as sock:
            assert sock.connect_ex((location.addr, location.port)) != 0


@pytest.mark.row("DC-03", "GN-04", "DN-33")
def test_files_of_the_client_lie_in_the_node_directory(
    tmp_path: Path, master: Master, local: LocalNode
) -> None:
    def read(name, task=None):  # type: ignore[no-untyped-def]
        yield
        return open(name).read()

    file = tmp_path / "data.txt"
    file.write_text("some data")
    node = master.dial(local.location)
    with pytest.raises(FileRefused):
        master.send_file(node, file, "data.txt")  # not reserved yet
    master.reserve(node, 1)
    master.next(Reserved)
    master.send_file(node, file, "deep/data.txt")
    with pytest.raises(FileRefused):
        master.send_file(node, file, "../data.txt")
    master.say(node, Prepare(1, code.dump_components([]), None, 1, False))
    server = master.take(master.next(ServerStarted).server)
    master.send_file(server, file, "mine.txt")
    assert master.run(server, read, "../deep/data.txt") == "some data"
    assert master.run(server, read, "mine.txt") == "some data"
    folder = os.path.dirname(master.run(server, where)[0])
    master.release(node)
    assert not os.path.exists(folder)
    with pytest.raises(FileRefused):
        master.send_file(node, file, "data.txt")


@pytest.mark.row("DN-08")
def test_larger_files_than_allowed_are_refused(tmp_path: Path, key_file: Path, master: Master) -> None:
    file = tmp_path / "data"
    with background(command(tmp_path, key_file, "--max_file_size", "1k")) as program:
        node = master.dial(Node(program).location)
        master.reserve(node, 1)
        master.next(Reserved)
        file.write_bytes(bytes(1024))
        master.send_file(node, file, "fits")
        file.write_bytes(bytes(1025))
        with pytest.raises(FileRefused, match="1024"):
            master.send_file(node, file, "too-large")
        (folder,) = (tmp_path / "work").glob("dispycos-client-*")
        assert [found.name for found in folder.iterdir()] == ["fits"]


@pytest.mark.row("R-48")
def test_what_a_server_started_ends_with_it(master: Master, local: LocalNode) -> None:
    servers = master.use(local.location, 2)
    plain, _session, _double = master.run(servers[0], start_children)
    (facts,) = [s.server for s in master.all(ServerStarted) if s.server.incarnation == servers[0]]
    os.kill(facts.pid, signal.SIGKILL)
    master.next(ServerEnded)
    wait_until(lambda: not alive(plain))


@pytest.mark.row("DC-26", "DC-56")
def test_a_server_that_is_asked_to_close_ends_its_tasks(master: Master, local: LocalNode) -> None:
    servers = master.use(local.location, 2)
    task = master.submit(servers[0], wait_for_ever)
    # Asked before it begins, the server gives it back instead.
    wait_until(lambda: any(s.begun for r in master.all(NodeReport)[-1:] for s in r.servers))
    master.say(local.incarnation, CloseServer(1, servers[0], False, 5.0, "the test wants it"))
    outcome = master.outcome(task)
    assert outcome.end is not End.FINISHED
    ended = master.next(ServerEnded, timeout=15)
    assert (ended.server, ended.asked, ended.restarts) == (servers[0], True, False)


@pytest.mark.row("DC-57", "R-08")
def test_a_server_that_does_not_yield_is_shown_and_killed(master: Master, local: LocalNode) -> None:
    servers = master.use(local.location, 2)
    master.submit(servers[0], hold_the_gil)
    wait_until(lambda: any(s.unresponsive > 0 for r in master.all(NodeReport) for s in r.servers))
    master.say(local.incarnation, CloseServer(1, servers[0], True, 0.5, "the test wants it"))
    assert "killed by signal 9" in master.next(ServerEnded, timeout=15).reason
    fresh = master.next(ServerStarted, 3).server
    assert master.run(master.take(fresh), compute, 2) == 4


@pytest.mark.row("DC-54", "DC-55")
def test_a_task_may_ask_for_the_end_of_its_server_and_node(master: Master, local: LocalNode) -> None:
    def ask(task=None):  # type: ignore[no-untyped-def]
        yield
        dispycos_close_server(restart=True)  # type: ignore[name-defined]  # noqa: F821
        dispycos_close_node(terminate=True)  # type: ignore[name-defined]  # noqa: F821
        return "asked"

    servers = master.use(local.location, 2)
    assert master.run(servers[0], ask) == "asked"
    assert master.all(CloseRequest) == [CloseRequest(False, False, True), CloseRequest(True, True, False)]


def fails(kind, task=None):  # type: ignore[no-untyped-def]
    import threading

    yield
    if kind == "exception":
        raise ValueError("a fault")
    if kind == "exit":
        raise SystemExit(3)
    if kind == "recursion":
        return fails(fails(kind))
    return [0, {"lock": threading.Lock()}]


@pytest.mark.row("R-01", "R-02", "R-03")
def test_what_a_task_raises_is_its_outcome_and_no_more(master: Master, local: LocalNode) -> None:
    server = master.use(local.location, 2)[0]
    outcome = master.outcome(master.submit(server, fails, "exception"))
    assert outcome.end is End.FAILED
    assert "ValueError: a fault" in outcome.text
    assert f'File "{__file__}"' in outcome.text
    assert master.outcome(master.submit(server, fails, "exit")).end is End.FAILED
    outcome = master.outcome(master.submit(server, fails, "unpicklable"))
    assert outcome.end is End.FAILED
    assert "result[1]['lock']" in outcome.text
    assert master.run(server, compute, 3) == 9


@pytest.mark.row("DN-38")
def test_prints_of_tasks_appear_on_the_nodes_output(tmp_path: Path, key_file: Path, master: Master) -> None:
    def speak(words, task=None):  # type: ignore[no-untyped-def]
        for number in range(100):
            print(words, end=" ")
            yield
            print(number)

    with background(command(tmp_path, key_file)) as program:
        node = Node(program)
        servers = master.use(node.location, 2)
        for task in [master.submit(server, speak, f"words{n}") for n, server in enumerate(servers)]:
            master.outcome(task)
        expected = {f"words{n} {number}" for n in (0, 1) for number in range(100)}
        wait_until(lambda: expected <= set(program.lines))


@pytest.mark.row("DN-35")
def test_a_node_serves_one_client_at_a_time(master: Master, local: LocalNode) -> None:
    node = master.dial(local.location)
    with Master(KEY) as other:
        master.prepare(node, 1)
        master.next(Prepared)
        other.dial(local.location)
        other.reserve(node, 1, reservation=2)
        assert other.next(ReserveRefused).reservation == 2
        # Nor does it do what a stranger wants with the reservation (SE-22).
        other.say(node, Prepare(1, code.dump_components([]), None, 1, False))
        other.say(node, Release(1, True, "mine now"))
        other.reserve(node, 1, reservation=3)
        other.next(ReserveRefused, 2)
        assert not master.all(Released)
        master.release(node)
        other.reserve(node, 1, reservation=4)
        assert other.next(Reserved).reservation == 4


@pytest.mark.row("DN-36", "R-19")
def test_a_client_that_dies_leaves_a_free_node(master: Master, local: LocalNode) -> None:
    client = f"""
import sys
from dispycos.model import Location
from tests.process.nodes import Master
from tests.process.daemons import KEY
from tests.process.test_node import wait_for_ever
master = Master(KEY)
servers = master.use(Location("127.0.0.1", {local.location.port}), 2)
master.submit(servers[0], wait_for_ever)
print("working", flush=True)
sys.stdin.read()
"""
    with background([sys.executable, "-c", client]) as program:
        program.wait_line("working")
        assert len(below(local.pid)) == 3
        program.signal(signal.SIGKILL)
    wait_until(lambda: below(local.pid) == [], 15)


@pytest.mark.row("DC-59", "SE-06")
def test_a_local_node_listens_on_loopback_only(master: Master, own_local: LocalNode) -> None:
    master.use(own_local.location, 2)
    ours = {own_local.pid, *below(own_local.pid)}
    listening = [
        found.laddr.ip
        for pid in ours
        for found in psutil.Process(pid).net_connections("inet")
        if found.status in (psutil.CONN_LISTEN, psutil.CONN_NONE)
    ]
    assert len(listening) == 3
    assert set(listening) == {"127.0.0.1"}
    for pid in ours:
        assert KEY.hex().encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
        assert KEY.hex().encode() not in Path(f"/proc/{pid}/environ").read_bytes()


@pytest.mark.row("DC-59")
def test_a_local_node_that_can_not_start_says_why(master: Master) -> None:
    starting = master.reactor.run(start_local_node(master.reactor, KEY, 1, hosts=["203.0.113.77"]))
    with pytest.raises(NodeNotStarted, match=r"203\.0\.113\.77"):
        starting.result(20)


@pytest.mark.row("DC-59", "R-64")
def test_a_stopped_local_node_leaves_nothing(master: Master, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    node = master.reactor.run(start_local_node(master.reactor, KEY, 2)).result(20)
    servers = master.use(node.location, 2)
    started = master.run(servers[0], start_children)
    master.submit(servers[1], hold_the_gil)
    pids = [node.pid, *below(node.pid)]
    master.reactor.run(node.stop()).result(5)
    master.reactor.run(node.stop()).result(5)
    assert not any(map(alive, [*pids, *started]))
    assert left_in(tmp_path) == []


@pytest.mark.row("R-30")
def test_nothing_unproven_gets_an_answer(master: Master, local: LocalNode) -> None:
    with socket.create_connection((local.location.addr, local.location.port), 5) as sock:
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n" + b"x" * 1000)
        sock.settimeout(6)
        try:
            assert sock.recv(100) == b""
        except ConnectionResetError:
            pass
    assert master.use(local.location, 2)


@pytest.mark.row("R-79")
def test_many_servers_in_a_row_leave_nothing_behind(master: Master, local: LocalNode) -> None:
    master.use(local.location, 2)
    files = psutil.Process(local.pid).num_fds()
    for number in range(1, 11):
        facts = master.all(ServerStarted)[-1].server
        master.say(local.incarnation, CloseServer(1, facts.incarnation, True, 1.0, "again"))
        master.next(ServerEnded, number)
        master.next(ServerStarted, number + 2)
    wait_until(lambda: psutil.Process(local.pid).num_fds() <= files + 2)
    assert len(below(local.pid)) == 3


def test_the_environment_of_this_test_is_complete() -> None:
    # What R-48 is measured by: a plain child is seen where it is.
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        assert process.pid in below(os.getpid())
        process.kill()


def spin(task=None):  # type: ignore[no-untyped-def]
    yield
    while True:
        pass


@pytest.mark.row("DC-57", "R-08", "R-43")
def test_a_task_over_its_time_that_does_not_yield_costs_its_process(
    master: Master, capfd: pytest.CaptureFixture[str]
) -> None:
    limits = dataclasses.replace(config.limits(), grace=0.3)
    starting = start_local_node(master.reactor, KEY, 1, limits=limits)
    node = master.reactor.run(starting).result(20)
    try:
        (server,) = master.use(node.location, 1)
        task = master.submit(server, spin, timeout=0.2)
        ending = master.next(Ending)
        assert (ending.id, ending.end) == (task, End.TIMED_OUT)
        ended = master.next(ServerEnded)
        assert (ended.server, ended.asked, ended.begun) == (server, False, 1)
        assert ended.reason.startswith("ended itself: it ran longer than") and "did not yield" in ended.reason
    finally:
        master.reactor.run(node.stop()).result(20)
    # Once, as the program itself would log it.
    (line,) = [line for line in "".join(capfd.readouterr()).splitlines() if "did not yield" in line]
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d dispycos node \S+ - server 1 ended itself: it ran", line)


@pytest.mark.row("DC-56")
def test_a_task_may_use_its_grace(master: Master, local: LocalNode) -> None:
    def graceful(task=None):  # type: ignore[no-untyped-def]
        try:
            yield task.sleep(1000)
        except KeyboardInterrupt:
            yield task.sleep(0.1)
            return "in order"

    server = master.use(local.location, 2)[0]
    task = master.submit(server, graceful)
    wait_until(lambda: any(s.begun for r in master.all(NodeReport) for s in r.servers))
    master.say(local.incarnation, CloseServer(1, server, False, 5.0, "the test wants it"))
    assert master.value(task) == "in order"
    assert master.next(ServerEnded).asked


@pytest.mark.row("R-91")
def test_a_message_that_overtakes_its_task_is_kept_for_it(master: Master, local: LocalNode) -> None:
    def hear(task=None):  # type: ignore[no-untyped-def]
        first = yield task.receive()
        second = yield task.receive()
        return [first, second]

    server = master.use(local.location, 2)[0]
    number = CLIENT_MADE | 77
    master.say(server, Deliver(number, values.dump("early")))
    assert master.run(server, compute, 2) == 4
    master.submit(server, hear, number=number)
    master.say(server, Deliver(number, values.dump("late")))
    assert master.value(number) == ["early", "late"]
    master.say(server, Deliver(number, values.dump("too late")))
    assert master.next(Undelivered).to == number


@pytest.mark.row("R-06", "R-61")
def test_a_server_out_of_memory_says_so(tmp_path: Path, master: Master) -> None:
    def eat(task=None):  # type: ignore[no-untyped-def]
        yield
        held = []
        while True:
            held.append(bytearray(b"x" * (1 << 20)))

    with memory_group(160 << 20) as join:
        program = (
            f"import os, sys\nopen({str(join)!r}, 'w').write(str(os.getpid()))\n"
            "from dispycos.node.cli import main\nsys.exit(main(sys.argv[1:]))"
        )
        key_file = tmp_path / "key"
        key_file.write_text(KEY.hex())
        key_file.chmod(0o600)
        line = command(tmp_path, key_file, servers=1)
        with background([sys.executable, "-c", program, *line[3:]]) as running:
            node = Node(running)
            (server,) = master.use(node.location, 1)
            master.submit(server, eat)
            reason = master.next(ServerEnded, timeout=20).reason
            running.signal(signal.SIGTERM)
            running.wait(15)
    assert "killed by signal 9 (SIGKILL), out of memory: limit 0.2 GB" in reason


@contextlib.contextmanager
def memory_group(limit: int) -> Iterator[Path]:
    """A cgroup with a memory limit; the file that takes the pids of its processes (R-61)."""
    name = f"dispycos-test-{os.getpid()}"
    one, two = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
    root, file = (one, "memory.limit_in_bytes") if one.exists() else (two, "memory.max")
    group = root / name
    try:
        group.mkdir()
        (group / file).write_text(str(limit))
    except OSError as exc:
        with contextlib.suppress(OSError):
            group.rmdir()
        unavailable("cgroup", str(exc))
    try:
        yield group / "cgroup.procs"
    finally:
        wait_until(lambda: not (group / "cgroup.procs").read_text(), 5)
        group.rmdir()


def lie(addr, port, task=None):  # type: ignore[no-untyped-def]
    """node_setup: every server will say that it listens there."""
    from dispycos.model import Location
    from dispycos.net.endpoint import Endpoint

    listen = Endpoint.listen

    async def lying(endpoint, *args, **more):  # type: ignore[no-untyped-def]
        await listen(endpoint, *args, **more)
        return Location(addr, port)

    Endpoint.listen = lying  # type: ignore[method-assign]
    yield
    return 0


@pytest.mark.row("R-27", "R-28")
def test_a_node_without_descriptors_says_so_and_serves_once_it_has_them(
    master: Master, local: LocalNode
) -> None:
    master.use(local.location, 1)
    daemon = psutil.Process(local.pid)
    (zygote,) = daemon.children()
    limits = daemon.rlimit(psutil.RLIMIT_NOFILE)
    # What is open stays so, and no number above it can be had.
    daemon.rlimit(psutil.RLIMIT_NOFILE, (3, limits[1]))
    try:
        zygote.kill()
        assert "Too many open files; it is tried again in" in master.next(ServerDelayed).reason
    finally:
        daemon.rlimit(psutil.RLIMIT_NOFILE, limits)
    assert master.run(master.take(master.next(ServerStarted, 2).server), compute, 2) == 4
    assert not master.all(PrepareFailed)


@pytest.mark.row("SE-09", "SE-22")
def test_a_server_that_says_it_listens_elsewhere_is_not_announced(master: Master, local: LocalNode) -> None:
    node = master.dial(local.location)
    master.prepare(node, 1, [], lie, "127.0.0.2", 9)
    delayed = master.next(ServerDelayed)
    assert "127.0.0.2:9, which is not its place" in delayed.reason
    assert master.all(ServerStarted) == []
