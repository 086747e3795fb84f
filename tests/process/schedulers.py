"""What tests of shared schedulers use: schedulers, nodes and client programs as real processes."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from dispycos import keyfile
from dispycos.model import Location
from tests.helpers import Program, background, wait_until
from tests.process.daemons import free_ports

SCHEDULER = [sys.executable, "-m", "dispycos"]
NODE = [sys.executable, "-m", "dispycos.node"]
READY = re.compile(r"ready at (\S+)")

# A client that does what is typed at it: each line is answered by a line.
CLIENT = """
import sys
import threading

from dispycos import Client, Pycos, Task, config, logger

config.MinPulseInterval = 0.2
logger.setLevel("INFO")

def slow(seconds, number, task=None):
    yield task.sleep(seconds)
    return number

def again_and_again(client_task, task=None):
    count = 0
    while True:
        client_task.send(("tick", count))
        count += 1
        yield task.sleep(0.1)

def show(task=None):
    task.set_daemon()
    while True:
        message = yield task.receive()
        status = getattr(message, "status", None)
        if status is not None:
            name = getattr(message.info, "name", message.info)
            print("status", status.name, name, message.reason, flush=True)
        elif hasattr(message, "cpus"):
            print("pulse of", message.name, flush=True)

def run(client, seconds, number, task=None):
    rtask = yield client.rtask(slow, seconds, number)
    print("began", number, type(rtask).__name__, flush=True)
    print("result", (yield rtask()), flush=True)

def ticks(client, task=None):
    rtask = yield client.rtask(again_and_again, task)
    while True:
        message = yield task.receive()
        print(*message, flush=True)

def main(task=None):
    Pycos(**NETWORK)
    client = Client(COMPONENTS, status_task=Task(show), **OPTIONS)
    task.set_daemon()
    threading.Thread(target=lambda: [task.send(line.split()) for line in sys.stdin], daemon=True).start()
    while True:
        word, *args = yield task.receive()
        if word == "schedule":
            print("schedule", (yield client.schedule(*map(eval, args))), flush=True)
        elif word == "run":
            Task(run, client, float(args[0]), int(args[1])).set_daemon()
        elif word == "ticks":
            Task(ticks, client).set_daemon()
        elif word == "close":
            print("close", (yield client.close(terminate=bool(args))), flush=True)
        elif word == "send":
            sent = yield Pycos().send_file(*map(eval, args))
            print("sent", sent, flush=True)
        elif word == "locate":
            yield Pycos().peer(eval(args[0]))
            print("located", (yield Pycos().locate(args[1], 5)), flush=True)
        elif word == "nodes":
            print("nodes", *sorted((yield client.nodes())), flush=True)
        elif word == "monitor":
            from dispycos.httpd import HTTPServer
            print("monitor", HTTPServer(client, port=0).port, flush=True)
        elif word == "exit":
            return

Task(main).value()
"""


def client_command(network: str, options: str = "pulse_interval=0.4", files: Sequence[str] = ()) -> list[str]:
    """A client program; the arguments of its Pycos and of its Client, and files that its tasks need."""
    source = CLIENT.replace("**NETWORK", network).replace("**OPTIONS", options)
    source = source.replace("COMPONENTS", "[slow, again_and_again]" if not files else repr(list(files)))
    return [sys.executable, "-u", "-c", source]


class Place:
    """A cluster on this machine: its key, its folders and what runs."""

    def __init__(self, tmp_path: Path, stack: contextlib.ExitStack) -> None:
        self.path = tmp_path
        self.key = tmp_path / "key"
        keyfile.create(self.key)
        self._stack = stack

    def command(self, *more: str, port: int = 0) -> list[str]:
        """A scheduler on loopback without UDP; what is given after that wins."""
        return [
            *SCHEDULER, "-i", "127.0.0.1", "-u", "0", "-t", str(port), "--secret_file", str(self.key),
            "--dest_path", str(self.path / "scheduler"), *more,
        ]  # fmt: skip

    def at_end(self, undo: Callable[[], object]) -> None:
        """Call it when all that is started from now on has ended."""
        self._stack.callback(undo)

    def start(self, command: list[str], env: Mapping[str, str | None] | None = None) -> Program:
        return self._stack.enter_context(background(command, env=env))

    def scheduler(self, *more: str, port: int = 0, env: Mapping[str, str | None] | None = None) -> Shared:
        return Shared(self, self.start(self.command(*more, port=port), env))

    def node(self, *more: str, servers: int = 2, port: int | None = None, name: str = "n1") -> Program:
        """A node on loopback without UDP; it is ready when this returns."""
        program = self.start([
            *NODE, "-i", "127.0.0.1", "-u", "0", "-c", str(servers), "--secret_file", str(self.key),
            "--dest_path", str(self.path / name), "--tcp_ports", str(port or free_ports(servers + 1)),
            "--min_pulse_interval", "0.1", "-n", name, *more,
        ])  # fmt: skip
        program.wait_line("ready at", 20)
        return program

    def client(
        self,
        name: str = "c1",
        options: str = "pulse_interval=0.4",
        network: str = "discover_peers=False",
        files: Sequence[str] = (),
        secret_file: Path | None = None,
    ) -> Program:
        """A client program; type at it what it is to do."""
        command = client_command(f"node='127.0.0.1', name={name!r}, {network}", options, files)
        return self.start(command, {"DISPYCOS_SECRET_FILE": str(secret_file or self.key)})


class Shared:
    """A shared scheduler that is ready."""

    def __init__(self, place: Place, program: Program) -> None:
        self.place = place
        self.program = program
        found = READY.search(program.wait_line("dispycos scheduler ready at", 20))
        assert found, program.output
        self.where = found[1]
        self.location = Location.parse(found[1], 0)

    def ask(self, command: str, text: str, timeout: float = 10.0) -> str:
        """Type a command until a line with `text` is printed."""
        number = len(self.program.lines)

        def asked() -> str:
            self.program.write(command)
            with contextlib.suppress(AssertionError):
                return self.program.wait_line(text, 0.3, after=number)
            return ""

        return wait_until(asked, timeout, f"{text!r} after {command!r}: {self.program.output}")

    def kill_and_restart(self, *more: str) -> Shared:
        """Kill it, and start another one at the same port and folder."""
        self.program.kill()
        return self.place.scheduler(*more, port=self.location.port)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with contextlib.ExitStack() as stack:
        yield Place(tmp_path, stack)


def schedule(client: Program, shared: Shared) -> None:
    """It has its turn when this returns."""
    client.write(f"schedule '{shared.where}'")
    assert client.wait_line("schedule ", 20) == "schedule 0"


def run(client: Program, number: int, seconds: float = 0.0) -> None:
    client.write(f"run {seconds} {number}")


def result(client: Program, number: int, timeout: float = 20.0) -> None:
    assert client.wait_line(f"result {number}", timeout)


def close(client: Program) -> None:
    client.write("close now")
    assert client.wait_line("close ", 20) == "close 0"
