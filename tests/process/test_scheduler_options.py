"""The command `dispycos`: its names, its options, and what it says to wrong ones."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from dispycos import cli, keyfile
from tests.helpers import ROOT, background, run_main, run_program, wait_until
from tests.process.daemons import free_ports
from tests.process.schedulers import SCHEDULER, Place, Shared, close, result, run, schedule


@pytest.mark.row("DS-02")
@pytest.mark.parametrize("name", ["module", "file", "function"])
def test_it_starts_under_each_of_its_names(place: Place, tmp_path: Path, name: str) -> None:
    command = place.command("--daemon")
    if name == "file":
        # Alone in a folder it has the package's name, and must not be taken for it.
        folder = tmp_path / "bin"
        folder.mkdir()
        command[1:3] = [str(shutil.copy(ROOT / "dispycos" / "data" / "dispycos.py", folder))]
    elif name == "function":
        command[1:3] = ["-c", "import sys\nfrom dispycos.cli import main\nsys.exit(main())"]
    shared = Shared(place, place.start(command))
    assert shared.program.output == f"dispycos scheduler ready at {shared.where}"
    with socket.create_connection((shared.location.addr, shared.location.port), 5):
        pass
    shared.program.signal(signal.SIGTERM)
    assert shared.program.wait(10) == 0


@pytest.mark.row("DS-02", "DS-06")
def test_a_port_that_is_taken_is_named(place: Place) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, out, err = run_program(place.command(port=port))
    assert (code, out) == (1, "")
    assert f"127.0.0.1:{port}" in err and f"(pid {os.getpid()}); --tcp_port takes another" in err
    assert err.count("\n") == 1
    assert not (place.path / "scheduler").exists()


@pytest.mark.row("DS-02", "DS-03", "DS-04", "DS-09", "DS-11")
@pytest.mark.parametrize(
    ("more", "text"),
    [
        (["--dest_path", "/proc/nowhere"], "/proc/nowhere"),
        (["--secret_file", "/nowhere/key"], "/nowhere/key"),
    ],
)
def test_what_can_not_be_done_is_one_sentence(place: Place, more: list[str], text: str) -> None:
    code, out, err = run_program(place.command(*more))
    assert (code, out) == (1, "")
    assert err.startswith("dispycos: ")
    assert text in err
    assert err.count("\n") == 1


@pytest.mark.row("DS-02", "DS-04", "DS-06", "DS-08", "DS-10", "DS-14", "DS-18")
@pytest.mark.parametrize(
    "more",
    [
        ["--tcp-port", "99999"],
        ["--scheduler_port", "nine"],
        ["--node", "host:99999"],
        ["--node_port", "0"],
        ["--pulse-interval", "0"],
        ["--ping_interval", "-1"],
        ["--zombie_period", "soon"],
        ["--max_file_size", "5X"],
        [text for number in range(5) for text in ("--ext_ip_addr", f"192.0.2.{number}")],
        ["--cpus", "2"],
        ["--name"],
        ["--name", " "],
        ["--msg_timeout", "0"],
        ["--node", "a:b:c"],
        ["--http_readonly"],
        ["--metrics_public"],
        ["--allow_host", "monitor.example.org"],
        ["--redact", ""],
    ],
)
def test_wrong_usage_ends_with_2(place: Place, more: list[str]) -> None:
    code, out, err = run_main(cli.main, *place.command(*more)[len(SCHEDULER) :])
    assert (code, out) == (2, "")
    assert err.startswith("usage: dispycos ")


@pytest.mark.row("DS-02", "MO-01")
@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("-i/--ip_addr/--host", "203.0.113.77", "the address is not this machine's; it takes an address or"),
        ("-i/--ip_addr/--host", "no.such.host.invalid", "can't resolve 'no.such.host.invalid'"),
        ("-i/--ip_addr/--host", "a:b", "'a:b' is no address and no host name"),
        ("--ext_ip_addr/--ext_host", "no.such.host.invalid", "can't resolve 'no.such.host.invalid'"),
        ("--ext_ip_addr/--ext_host", "0x0", "others can't dial 0x0, "),
        ("--ext_ip_addr/--ext_host", "0", "'0' is no address and no host name"),
        ("-s/--secret", "both of them", "a secret or a secret file"),
        ("--http", "no.such.host.invalid:8181", "it takes HOST, HOST:PORT or PORT, where HOST is this mach"),
        ("--http", "203.0.113.77", "can't listen at 203.0.113.77"),
        ("--http", "a b", "'a b' is neither a host nor"),
        ("--certfile", "", "it is empty: leave it out, or say what is meant"),
    ],
)
def test_a_value_that_can_not_be_used_is_told_with_its_option(
    place: Place, option: str, value: str, told: str
) -> None:
    command = place.command(option.rpartition("/")[2], value)[len(SCHEDULER) :]
    code, out, err = run_main(cli.main, *command)
    assert (code, out) == (2, "")
    assert f"dispycos: error: argument {option}: " in err and told in err


@pytest.mark.row("DS-02")
def test_what_is_no_command_is_told_which_there_are() -> None:
    code, out, err = run_program([sys.executable, "-m", "dispycos", "stutas"])
    assert (code, out) == (2, "")
    assert "'stutas' is no command" in err and "dockerfile" in err
    code, out, err = run_main(cli.main, "dockerfile", "more")
    assert (code, out) == (2, "")


@pytest.mark.row("DN-42")
def test_it_prints_the_dockerfile_of_the_package() -> None:
    code, out, _ = run_main(cli.main, "dockerfile")
    assert code == 0
    assert out == (ROOT / "Dockerfile").read_text()


@pytest.mark.row("DS-03", "DS-06")
def test_it_listens_at_each_address_that_was_given(place: Place) -> None:
    port = free_ports(1)
    shared = place.scheduler("--ip-addr", "127.0.0.2", port=port)
    assert shared.where == f"127.0.0.1:{port}"
    for address in ("127.0.0.1", "127.0.0.2"):
        with socket.create_connection((address, port), 5):
            pass
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.3", port), 5)


@pytest.mark.row("DS-04", "R-17")
def test_another_address_is_announced_and_survives_a_restart(place: Place) -> None:
    external = ["-i", "127.0.0.2", "--ext_ip_addr", "127.0.0.2"]
    shared = place.scheduler(*external)
    assert shared.location.addr == "127.0.0.2"
    inside = f"127.0.0.1:{shared.location.port}"
    place.node("--peer", inside)
    first, second = place.client("c1"), place.client("c2")
    # By the address that it listens at, and by the one that it announces.
    first.write(f"schedule '{inside}'")
    assert first.wait_line("schedule ", 20) == "schedule 0"
    second.write(f"schedule '{shared.where}'")
    shared.ask("status", "at place 1 of the queue")
    shared = shared.kill_and_restart(*external)
    wait_until(lambda: "; waits" not in shared.ask("status", "client c1"), 30, "the running client is back")
    run(first, 1)
    result(first, 1)
    close(first)
    assert second.wait_line("schedule ", 20) == "schedule 0"


@pytest.mark.row("DS-07")
def test_its_name_is_located(place: Place) -> None:
    shared = place.scheduler("--name", "the-scheduler")
    client = place.client()
    client.write(f"locate '{shared.where}' the-scheduler")
    assert client.wait_line("located", 20) == f"located {shared.where}"


@pytest.mark.row("DS-08", "DS-18", "DS-22")
def test_a_named_node_is_reached_whenever_it_comes(place: Place) -> None:
    own, usual = free_ports(3), free_ports(3)  # a port of the node, and the port of all nodes
    shared = place.scheduler("--node", f"127.0.0.1:{own}", "--node", "127.0.0.1", "--node-port", str(usual))
    for port in (own, usual):
        assert "trying again" in shared.program.wait_line(f"--node 127.0.0.1:{port}", 10)
    client = place.client()
    schedule(client, shared)
    for name, port in (("first", own), ("second", own), ("third", usual)):
        node = place.node(port=port, name=name)
        client.wait_line(f"status NodeInitialized {name}", 45)
        run(client, 1)
        result(client, 1)
        node.kill()
        client.wait_line(f"status NodeClosed {name}", 30)


@pytest.mark.row("DS-09", "DS-10", "GN-04")
def test_a_clients_files_are_kept_until_it_ends_and_large_ones_are_refused(place: Place) -> None:
    shared = place.scheduler("--max_file_size", "1k")
    place.node("--peer", shared.where)
    small, large = place.path / "small", place.path / "large"
    small.write_bytes(b"x" * 1024)
    large.write_bytes(b"x" * 1025)
    client = place.client()
    where = f"__import__('dispycos').Location('127.0.0.1',{shared.location.port})"
    client.write(f"send {where} '{small}'")
    # Nobody's client yet: nobody's files.
    client.wait_line("sent -1", 20)
    schedule(client, shared)
    client.write(f"send {where} '{small}' 'sub'")
    client.wait_line("sent 0", 20)
    (kept,) = (place.path / "scheduler").rglob("small")
    assert kept.parent.name == "sub" and kept.read_bytes() == small.read_bytes()
    number = len(client.lines)
    client.write(f"send {where} '{large}'")
    client.wait_line("sent -1", 20, after=number)
    assert "max_file_size=1024" in client.output
    assert not list((place.path / "scheduler").rglob("large"))
    close(client)
    wait_until(lambda: not kept.exists(), 10)
    assert not list((place.path / "scheduler").rglob("sub"))


@pytest.mark.row("DS-10", "DN-08")
def test_components_that_are_too_large_for_the_scheduler_are_refused_by_its_nodes(place: Place) -> None:
    shared = place.scheduler("--max_file_size", "1k")
    place.node("--peer", shared.where, "--max_file_size", "1M")
    (place.path / "small").write_bytes(b"x" * 1024)
    (place.path / "large").write_bytes(b"x" * 1025)
    for name, answer in (("small", "NodeInitialized"), ("large", "NodeClosed")):
        client = place.client(files=[str(place.path / name)])
        schedule(client, shared)
        line = client.wait_line(f"status {answer}", 30)
        assert ("max_file_size=1024" in line) is (answer == "NodeClosed")
        close(client)


@pytest.mark.row("DS-11", "GN-01")
def test_only_programs_with_its_key_are_heard(place: Place) -> None:
    shared = place.scheduler()
    own, place.key = place.key, place.path / "other"
    keyfile.create(place.key)
    stranger = place.client("c1")
    stranger.write(f"schedule '{shared.where}' 3.0")
    assert stranger.wait_line("schedule ", 20) == "schedule -1"
    assert "authentication failed" in stranger.output
    shared.program.wait_line("authentication failed", 10)
    place.key = own
    schedule(place.client("c2"), shared)


@pytest.mark.row("DS-15", "SE-57")
def test_debug_messages_are_logged_if_they_are_asked_for_and_hold_no_key(place: Place) -> None:
    shared = place.scheduler("-d")
    schedule(place.client(), shared)
    shared.program.signal(signal.SIGTERM)
    assert shared.program.wait(20) == 0
    assert " DEBUG " in shared.program.output
    assert place.key.read_text().splitlines()[-1] not in shared.program.output


@pytest.mark.row("DS-16")
@pytest.mark.parametrize("how", ["daemon", "end of file"])
def test_standard_input_ends_it_only_by_a_command(place: Place, how: str) -> None:
    shared = place.scheduler(*(["--daemon"] if how == "daemon" else []))
    if how == "daemon":
        shared.program.write("quit")
    else:
        assert shared.program.process.stdin
        shared.program.process.stdin.close()
    client = place.client()
    schedule(client, shared)
    close(client)
    assert shared.program.process.poll() is None
    assert "no command" not in shared.program.output
    assert " DEBUG " not in shared.program.output, "nobody asked for that"


# Leads a session on a terminal and starts a program in the background of it.
SHELL = """
import fcntl, os, subprocess, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
process = subprocess.Popen(sys.argv[1:], process_group=0)
print(process.pid, flush=True)
sys.exit(process.wait())
"""


@pytest.mark.row("DS-16")
def test_in_the_background_of_a_terminal_it_does_not_read(place: Place) -> None:
    leader, terminal = os.openpty()
    shell = subprocess.Popen(
        [sys.executable, "-c", SHELL, *place.command()], stdin=terminal, stdout=subprocess.PIPE, text=True
    )
    try:
        assert shell.stdout
        pid = int(shell.stdout.readline())
        where = shell.stdout.readline().split()[-1]
        os.write(leader, b"quit\n")
        client = place.client()
        client.write(f"schedule '{where}'")
        assert client.wait_line("schedule ", 20) == "schedule 0"
        close(client)
        assert shell.poll() is None
        os.kill(pid, signal.SIGTERM)
        assert shell.wait(20) == 0
    finally:
        shell.kill()
        shell.communicate()
        for descriptor in (leader, terminal):
            os.close(descriptor)


@pytest.mark.row("DS-18", "DS-01")
@pytest.mark.parametrize("kind", ["shared", "private"])
def test_no_client_has_longer_pulses_than_the_scheduler_allows(place: Place, kind: str) -> None:
    client = place.client(options="pulse_interval=50")
    if kind == "shared":
        shared = place.scheduler("--pulse-interval", "0.3")
        place.node("--peer", shared.where)
        schedule(client, shared)
    else:
        port = free_ports(3)
        place.node(port=port)
        made = f"__import__('dispycos').Scheduler(pulse_interval=0.3,clean=True,nodes=['127.0.0.1:{port}'])"
        client.write(f"schedule {made}.location")
        assert client.wait_line("schedule ", 20) == "schedule 0"
    client.wait_line("status ServerInitialized", 20)
    seen = 0
    for _ in range(4):
        line = client.wait_line("pulse of n1", 5, after=seen)
        seen = client.lines.index(line, seen) + 1


@pytest.mark.row("DS-09")
def test_its_folder_is_ours_alone(place: Place) -> None:
    shared = place.scheduler()
    folder = place.path / "scheduler"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o077 for path in folder.rglob("*")} == {0}
    shared.program.signal(signal.SIGTERM)
    shared.program.wait(10)
    folder.mkdir()
    folder.chmod(0o777)
    with background(place.command()) as program:
        assert program.wait(10) == 1
        assert "is open to others" in program.output


@pytest.mark.row("DN-31")
def test_a_node_finds_the_scheduler_of_its_machine_by_its_port(place: Place) -> None:
    shared = place.scheduler()
    place.node("--scheduler_port", str(shared.location.port))
    client = place.client()
    schedule(client, shared)
    run(client, 1)
    result(client, 1)
    close(client)
