"""What tests of every folder use: waiting for conditions, running programs, counting what is left.

Nothing here sleeps in place of a condition, and nothing guesses a free port: bind 0 and ask.
"""

from __future__ import annotations

import contextlib
import gc
import io
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, NoReturn, TypeVar

import psutil
import pytest

ROOT = Path(__file__).resolve().parent.parent

# Set in conftest for this run; processes that our tests start carry it in their environment,
# so they are found even after they left our process tree.
RUN_MARK = "DISPYCOS_TEST_RUN"

T = TypeVar("T")


def wait_until(condition: Callable[[], T], timeout: float = 10.0, what: str = "") -> T:
    """Call `condition` until it answers something true, and return that.

    AssertionError after `timeout` seconds, naming `what` (or the condition) and its last answer.
    """
    deadline = time.monotonic() + timeout
    pause = 0.001
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() >= deadline:
            name = what or getattr(condition, "__name__", repr(condition))
            raise AssertionError(f"waited {timeout} s for {name}; last answer: {answer!r}")
        time.sleep(pause)
        pause = min(pause * 2, 0.05)


def unavailable(what: str, why: str) -> NoReturn:
    """Skip this test because the machine lacks `what`, or fail it where `what` is required (R-60).

    what  one word, as DISPYCOS_REQUIRE names it: netns, cgroup, tmpfs, docker, browser.
    why   the system's own words.
    """
    if what in required():
        pytest.fail(f"{what} is required by DISPYCOS_REQUIRE, and is missing: {why}", pytrace=False)
    pytest.skip(f"{what}: {why}")


def required() -> frozenset[str]:
    """The words of DISPYCOS_REQUIRE."""
    return frozenset(os.environ.get("DISPYCOS_REQUIRE", "").replace(",", " ").split())


def alive(pid: int) -> bool:
    """Whether process `pid` still runs; one that only waits to be reaped does not."""
    try:
        return psutil.Process(pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False


# Programs.


class Finished(NamedTuple):
    """How a program ended: `code, out, err = run_python(...)`."""

    code: int  # exit status; -N if signal N ended it
    out: str
    err: str


class Overdue(AssertionError):
    """A program ran into its time limit; the text has what it printed so far."""


def environment(extra: Mapping[str, str | None] | None = None) -> dict[str, str]:
    """Our environment, with the project on the module path; a None in `extra` takes a name out."""
    env = dict(os.environ)
    paths = [str(ROOT), *filter(None, env.get("PYTHONPATH", "").split(os.pathsep))]
    env["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    env["PYTHONFAULTHANDLER"] = "1"
    for name, value in (extra or {}).items():
        if value is None:
            env.pop(name, None)
        else:
            env[name] = value
    return env


def run_program(
    command: Sequence[str | os.PathLike[str]],
    *,
    timeout: float = 30.0,
    env: Mapping[str, str | None] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    input: str = "",
) -> Finished:
    """Run a command to its end.

    Overdue after `timeout` seconds: Python programs are asked for the stacks of their threads
    first (SIGABRT, faulthandler), then the whole process group is killed.
    """
    process = subprocess.Popen(
        [os.fspath(part) for part in command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=environment(env),
        cwd=cwd,
        start_new_session=True,
    )
    with process:
        try:
            out, err = process.communicate(input, timeout)
        except subprocess.TimeoutExpired:
            out, err = _abort(process)
            raise Overdue(
                f"{command!r} did not end in {timeout} s\n--- stdout\n{out}\n--- stderr\n{err}"
            ) from None
        finally:
            end_group(process)
    return Finished(process.returncode, out, err)


def run_python(
    program: str | os.PathLike[str],
    *args: str,
    timeout: float = 30.0,
    env: Mapping[str, str | None] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    input: str = "",
) -> Finished:
    """Run a Python program with the project importable: a path, or source text with a newline in it."""
    source = isinstance(program, str) and "\n" in program
    command = [sys.executable, *(["-c", program] if source else [program]), *args]
    return run_program(command, timeout=timeout, env=env, cwd=cwd, input=input)


def run_main(main: Callable[[Sequence[str]], int], *args: str) -> Finished:
    """Run the main function of a program here, for what ends before it opens anything: wrong usage.

    Starting Python costs more than all that such a test looks at.
    """
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(args)
        except SystemExit as exc:
            code = int(exc.code or 0)
    return Finished(code, out.getvalue(), err.getvalue())


def _abort(process: subprocess.Popen[str]) -> tuple[str, str]:
    process.send_signal(signal.SIGABRT)
    try:
        return process.communicate(timeout=2)
    except subprocess.TimeoutExpired:
        end_group(process)
        return process.communicate()


def end_group(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    """Kill what is left of the process group that `process` leads; none left is fine."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def background(
    command: Sequence[str | os.PathLike[str]],
    *,
    env: Mapping[str, str | None] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    prefix: Sequence[str] = (),
) -> Iterator[Program]:
    """Run a command beside the test; its output is kept and can be waited for.

    prefix  put before the command: `host.prefix` of tests/netns runs it on that host.
    At the end the program and its process group are killed, if the test has not ended them.
    """
    process = subprocess.Popen(
        [*prefix, *(os.fspath(part) for part in command)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment(env),
        cwd=cwd,
        start_new_session=True,
    )
    program = Program(process)
    try:
        yield program
    finally:
        program.kill()


class Program:
    """A program that runs beside the test. Its lines are read by a thread as they come."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._grown = threading.Condition()
        self._reader = threading.Thread(target=self._read, name="program-output", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            with self._grown:
                self.lines.append(line.rstrip("\n"))
                self._grown.notify_all()
        with self._grown:
            self._grown.notify_all()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def output(self) -> str:
        """What it printed so far, standard output and error together."""
        return "\n".join(self.lines)

    def wait_line(self, text: str, timeout: float = 10.0, after: int = 0) -> str:
        """The first line (from number `after`) with `text` in it; AssertionError if none comes in time."""
        deadline = time.monotonic() + timeout
        with self._grown:
            seen = after
            while True:
                for line in self.lines[seen:]:
                    if text in line:
                        return line
                seen = max(seen, len(self.lines))
                if not self._reader.is_alive():
                    raise AssertionError(f"program ended without a line with {text!r}:\n{self.output}")
                left = deadline - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"no line with {text!r} in {timeout} s:\n{self.output}")
                self._grown.wait(min(left, 0.2))

    def write(self, line: str) -> None:
        """Type a line at its standard input."""
        assert self.process.stdin
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, timeout: float = 10.0) -> int:
        """Its exit status; AssertionError with its output if it doesn't end in time."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"program did not end in {timeout} s:\n{self.output}") from None
        self._reader.join(timeout)
        return code

    def kill(self) -> None:
        """End it and what it started in its process group, now. May be repeated."""
        end_group(self.process)
        self.process.wait()
        self._reader.join(5)
        for stream in (self.process.stdin, self.process.stdout):
            if stream and not self._reader.is_alive():
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


# What a test leaves behind.


@dataclass(frozen=True, slots=True)
class Census:
    """What this process holds at one moment."""

    threads: dict[int, str] = field(default_factory=dict)  # ident -> name
    processes: dict[tuple[int, int], str] = field(default_factory=dict)  # (pid, start) -> command
    descriptors: dict[int, str] = field(default_factory=dict)  # number -> what it is open on

    def since(self, before: Census) -> list[str]:
        """A sentence for each thread, process and descriptor that `before` did not have."""
        found = [f"thread {self.threads[i]!r}" for i in self.threads.keys() - before.threads.keys()]
        found += [
            f"process {key[0]}: {self.processes[key]}"
            for key in self.processes.keys() - before.processes.keys()
        ]
        found += [
            f"descriptor {number} on {target}"
            for number, target in self.descriptors.items()
            if before.descriptors.get(number) != target
        ]
        return found


def census() -> Census:
    """Count our threads, the processes that we started (orphans too), our descriptors and sockets."""
    # A listing opens a descriptor of its own, so descriptors go first and by name.
    descriptors = {}
    for entry in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            descriptors[int(entry)] = os.readlink(f"/proc/self/fd/{entry}")
    for connected in lasting_connections:
        for number in connected():
            descriptors.pop(number, None)
    threads = {t.ident or 0: t.name for t in threading.enumerate() if t.is_alive()}
    return Census(threads, dict(_processes()), descriptors)


# Programs that serve several tests: what they start and end meanwhile is theirs, and no test's.
lasting: set[int] = set()
# Likewise what a network that serves several tests is connected by: it connects anew when it must.
lasting_connections: list[Callable[[], Iterable[int]]] = []

# Processes that are not ours: nobody gets our mark later. One that is gone is forgotten at the next look,
# and its number comes round again only after all others.
_strangers: set[int] = set()


class _Process(NamedTuple):
    """What `/proc/PID/stat` says of a process, as far as it is needed."""

    parent: int
    state: bytes  # Z: it ended and waits to be reaped
    start: int  # ticks after the start of the system


def _everyone() -> dict[int, _Process]:
    """All processes of this system but strangers. A few thousand tests look twice: one read for each."""
    found = {}
    listed = {int(entry) for entry in os.listdir("/proc") if entry.isdigit()}
    _strangers.intersection_update(listed)
    for pid in listed - _strangers:
        # ESRCH where it ended between the opening and the reading.
        with (
            contextlib.suppress(FileNotFoundError, ProcessLookupError),
            open(f"/proc/{pid}/stat", "rb") as file,
        ):
            # The name in brackets may hold anything, brackets too.
            fields = file.read().rpartition(b")")[2].split()
            found[pid] = _Process(int(fields[1]), fields[0], int(fields[19]))
    return found


def _below(roots: set[int], everyone: Mapping[int, _Process]) -> set[int]:
    """These processes and what descends from them."""
    children: dict[int, list[int]] = {}
    for pid, process in everyone.items():
        children.setdefault(process.parent, []).append(pid)
    found: set[int] = set()
    new = list(roots)
    while new:
        pid = new.pop()
        if pid not in found:
            found.add(pid)
            new += children.get(pid, ())
    return found


def _processes() -> Iterator[tuple[tuple[int, int], str]]:
    mark = os.environ.get(RUN_MARK)
    everyone = _everyone()
    ours = _below({os.getpid()}, everyone)
    of_lasting = _below(lasting, everyone)
    for pid, process in everyone.items():
        if pid == os.getpid() or pid in of_lasting:
            continue
        if pid not in ours and not (mark and _marked(pid, mark)):
            _strangers.add(pid)
        elif process.state != b"Z":
            yield (pid, process.start), _command(pid)


def _command(pid: int) -> str:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        return (
            file.read().replace(b"\0", b" ").decode(errors="replace").strip() or "a process without a command"
        )
    return "a process that ends"


def _marked(pid: int, mark: str) -> bool:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:
        return f"{RUN_MARK}={mark}".encode() in file.read().split(b"\0")
    return False


def leftovers(before: Census, timeout: float = 15.0) -> list[str]:
    """What is here and was not in `before`, after giving it `timeout` seconds to go."""
    deadline = time.monotonic() + timeout
    pause = 0.002
    while found := (now := census()).since(before):
        # Cycles of dead objects hold descriptors until they are collected: not a leak.
        gc.collect()
        if time.monotonic() >= deadline:
            return [*found, *_ends_of_sockets(now.descriptors.keys() - before.descriptors.keys())]
        time.sleep(pause)
        pause = min(pause * 2, 0.1)
    return []


def _ends_of_sockets(descriptors: Iterable[int]) -> Iterator[str]:
    """What says whose they may be, for those that are connected."""
    for number in descriptors:
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(number)) as sock:
            yield f"{number} leads from {sock.getsockname()!r} to {sock.getpeername()!r}"
