"""Node and scheduler under systemd: what they tell it, how they are drained and asked whether they live."""

from __future__ import annotations

import io
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dispycos import cli
from dispycos.commands import draining
from dispycos.messages import NodeOpen, Released
from dispycos.node.ties import Identity
from dispycos.supervision import Supervisor
from tests.helpers import ROOT, background, run_main, run_program, unavailable
from tests.process.daemons import KEY, Node, command, free_ports, key_file, master
from tests.process.nodes import Master

__all__ = ["key_file", "master"]

DISPYCOS = [sys.executable, "-m", "dispycos"]
PATIENCE = 20.0  # seconds


class Manager:
    """What systemd is to a service: a socket that is told.

    path  as services are told it; @ before it: in the abstract namespace.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path.replace("@", "\0"))
        self._socket.settimeout(PATIENCE)

    def hear(self) -> list[str]:
        return self._socket.recv(4096).decode().splitlines()

    def hear_of(self, text: str) -> None:
        """Until it is told something with this text; TimeoutError if nothing at all is told for long."""
        while text not in "\n".join(self.hear()):
            pass

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=[""])
def manager(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Manager]:
    made = Manager(f"{request.param}{tmp_path}/notify")
    yield made
    made.close()


@pytest.mark.row("DN-22")
def test_a_node_tells_systemd_how_it_is_and_ends_with_its_last_task(
    tmp_path: Path, key_file: Path, manager: Manager, master: Master
) -> None:
    env = {"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "300000"}
    with background(command(tmp_path, key_file, servers=1), env=env) as program:
        node = Node(program)
        ready = manager.hear()
        assert ready[0] == "READY=1" and "free" in ready[1]
        manager.hear_of("WATCHDOG=1")
        where = ["--dest_path", str(tmp_path / "work")]
        health = [*DISPYCOS, "health", str(node.location), "--secret_file", str(key_file)]
        assert run_program(health)[:2] == (0, f"{node.name} at {node.location} answers\n")

        (server,) = master.use(node.location, 1)
        # What the manager is told by is the daemon's alone.
        assert master.run(server, os.getenv, "NOTIFY_SOCKET") is None
        manager.hear_of("used by client")
        long = master.submit(server, slow)
        code, _, err = run_main(cli.main, "drain", "--wait", "0.1", *where)
        assert code == 1 and "still has tasks" in err
        assert master.next(NodeOpen).leaving
        assert master.value(long) == "whole"
        master.release(master.dial(node.location))
        assert master.all(Released)
        manager.hear_of("STOPPING=1")
        assert program.wait() == 0

        code, _, err = run_program(health)
        assert code == 1 and "refused" in err
        code, _, err = run_main(cli.main, "drain", *where)
        assert code == 1 and "no node works" in err


@pytest.mark.row("DN-22")
@pytest.mark.parametrize(("answer", "drained"), [("y\n", True), ("n\n", False), ("\n", False), ("", False)])
def test_a_drain_that_names_no_node_is_asked_for_at_a_terminal_and_refused_elsewhere(
    monkeypatch: pytest.MonkeyPatch, answer: str, drained: bool
) -> None:
    asked = []
    monkeypatch.setattr(draining, "_noted", lambda path: Identity(4711, "1", ""))
    monkeypatch.setattr(draining, "_ask", lambda who, noted: asked.append(who.pid))
    monkeypatch.setattr(draining.ties, "await_end", lambda who, wait: True)
    stdin = io.StringIO(answer)
    monkeypatch.setattr(sys, "stdin", stdin)
    code, out, err = run_main(cli.main, "drain")
    assert (code, out, asked) == (2, "", []) and "say which: its PID, its --dest_path DIR, or --yes" in err
    stdin.isatty = lambda: True  # type: ignore[method-assign]
    code, out, err = run_main(cli.main, "drain")
    assert "The node of this account is process 4711" in err and bool(asked) is drained
    assert (code, out) == ((0, "process 4711 has ended\n") if drained else (1, ""))
    assert run_main(cli.main, "drain", "--yes").code == 0 and asked.pop() == 4711


def slow(task=None):
    yield task.sleep(1)
    return "whole"


@pytest.mark.row("DS-19")
@pytest.mark.parametrize("manager", ["@"], indirect=True)
def test_a_scheduler_tells_systemd_and_is_drained_by_its_number(
    tmp_path: Path, key_file: Path, manager: Manager
) -> None:
    arguments = ["--host", "127.0.0.1", "--secret_file", str(key_file), "--udp_port", "0", "--daemon"]
    port = str(free_ports(1))
    place = ["--tcp_port", port, "--dest_path", str(tmp_path / "files")]
    with background([*DISPYCOS, *arguments, *place], env={"NOTIFY_SOCKET": manager.path}) as program:
        assert manager.hear() == ["READY=1", "STATUS=no client runs, 0 wait, 0 nodes"]
        # At loopback alone, which is looked at here, too.
        health = [*DISPYCOS, "health", port]
        code, out, _ = run_program([*health, "--secret_file", str(key_file)])
        assert code == 0 and out.endswith(f" at 127.0.0.1:{port} answers\n")
        stranger = tmp_path / "stranger"
        stranger.write_text(KEY[::-1].hex() + "\n")
        stranger.chmod(0o600)
        code, _, err = run_program([*health, "--secret_file", str(stranger)])
        assert code == 1 and "does not know our key" in err and err.count("\n") == 1
        code, out, _ = run_program([*DISPYCOS, "drain", str(program.pid)])
        assert (code, out) == (0, f"process {program.pid} has ended\n")
        assert manager.hear() == ["STOPPING=1"]
        assert program.wait() == 0


def test_a_process_that_would_die_of_the_signal_is_not_drained() -> None:
    with background([sys.executable, "-c", "print('here', flush=True); input()"]) as program:
        program.wait_line("here")
        code, _, err = run_main(cli.main, "drain", str(program.pid))
        assert code == 1 and "no node or scheduler" in err
        assert program.process.poll() is None


def test_a_program_that_uses_the_signal_itself_gets_none() -> None:
    text = "import signal; signal.signal(signal.SIGUSR1, lambda *_: print('got it', flush=True)); "
    with background([sys.executable, "-c", f"{text}print('here', flush=True); input()"]) as program:
        program.wait_line("here")
        code, _, err = run_main(cli.main, "drain", "--wait", "0", str(program.pid))
        assert code == 1 and "no node or scheduler of dispycos by its command line" in err


def test_the_variables_of_systemd_are_taken_out_and_another_ones_watchdog_is_not_served() -> None:
    environ = {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "600000", "WATCHDOG_PID": "1", "HOME": "/"}
    assert not Supervisor.asked(environ)._watchdog
    assert environ == {"HOME": "/"}
    assert Supervisor.asked({"WATCHDOG_USEC": "600000", "WATCHDOG_PID": str(os.getpid())})._watchdog


def test_systemd_takes_the_units_as_they_are_printed(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        unavailable("systemd", "systemd-analyze is not installed")
    units = []
    for what in ("node", "scheduler"):
        for kind in ([], ["--user"]):
            printed = run_main(cli.main, "systemd", *kind, what, "--", "--name", 'a "b" $c %d')
            assert printed.code == 0, printed.err
            assert 'a \\"b\\" $$c %%d' in printed.out
            # No key, no secret: names of files alone.
            assert "--secret" not in printed.out
            unit = tmp_path / f"dispycos-{what}{'-user' if kind else ''}.service"
            unit.write_text(printed.out)
            units.append(str(unit))
    done = run_program(["systemd-analyze", "verify", *units], env={"XDG_RUNTIME_DIR": str(tmp_path)})
    assert (done.code, done.err) == (0, "")
    broken = tmp_path / "broken.service"
    broken.write_text((ROOT / "dispycos/data/systemd/node.service").read_text().replace("Type=", "Tipe="))
    assert "Tipe" in run_program(["systemd-analyze", "verify", str(broken)]).err
