"""Zygotes as processes: exec'ed, told what to load, asked to fork, killed."""

from __future__ import annotations

import dataclasses
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from dispycos import config
from dispycos.launch.fate import ended
from dispycos.model import Payload
from dispycos.node import children, fresh, page
from dispycos.node.pipe import Pipe, Said
from dispycos.node.start import ServerStart, ZygoteStart, pack, to_values
from dispycos.pickling import code, values
from tests.helpers import alive, wait_until

K = os.urandom(32)  # the cluster's key, which no zygote may hold
KEY = os.urandom(32)  # that of the reservation


def printed(output: int) -> str:
    """What a process wrote and nobody read yet."""
    os.set_blocking(output, False)
    try:
        return os.read(output, 1 << 16).decode()
    except BlockingIOError:
        return ""


class Server:
    """A server that the zygote was asked to fork, from the daemon's side."""

    def __init__(self, zygote: Zygote, index: int, path: Path) -> None:
        path.mkdir(exist_ok=True)
        ours, theirs, self.output, write, self.page, copy = children.server_descriptors()
        self.control = Pipe(ours, max_body=0)
        start = ServerStart(index=index, name=f"n_server-{index}", path=str(path), port=0)
        descriptors = (write, theirs.detach(), copy)
        zygote.pipe.say(Said("fork", {"start": to_values(start)}, descriptors=descriptors))

    def up(self) -> Said:
        said = self.control.hear()
        assert said
        assert said.what == "up"
        return said

    def printed(self) -> str:
        return printed(self.output)

    def close(self) -> None:
        self.control.close()
        os.close(self.output)
        os.close(self.page)


class Zygote:
    """A zygote and its pipe, from the daemon's side."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(exist_ok=True)
        started = fresh.start_zygote()
        self.process, ours, self.output = started.process, started.pipe, started.output
        ours.settimeout(20)
        self.pipe = Pipe(ours, max_body=0)
        self.servers: list[Server] = []

    def prepare(
        self, components: Sequence[Any] = (), setup: Callable[..., Any] | None = None, *args: Any
    ) -> Said:
        start = ZygoteStart(
            reservation=7,
            keys=(KEY.hex(),),
            path=str(self.path),
            limits=dataclasses.asdict(config.limits()),
            hosts=("127.0.0.1",),
        )
        payload = None if setup is None else values.dump((setup, args, {}))
        sizes, body = pack(code.dump_components(list(components)), payload)
        self.pipe.say(Said("prepare", {"start": to_values(start), "sizes": sizes}, body))
        return self.hear()

    def fork(self, index: int = 1) -> tuple[Server, int]:
        server = Server(self, index, self.path / f"dispycosproc-{index}")
        self.servers.append(server)
        said = self.hear("forked")
        assert said.number("index") == index
        for descriptor in said.descriptors:
            os.close(descriptor)
        return server, said.number("pid")

    def hear(self, what: str = "") -> Said:
        said = self.pipe.hear()
        assert said, self.printed()
        assert said.what == what or not what, (said, self.printed())
        return said

    def printed(self) -> str:
        return printed(self.output)

    def close(self) -> None:
        self.pipe.close()
        for server in self.servers:
            server.close()
        self.process.kill()
        self.process.wait()
        os.close(self.output)


@pytest.fixture
def zygote(tmp_path: Path) -> Iterator[Zygote]:
    made = Zygote(tmp_path / "node")
    yield made
    made.close()


TABLE: list[int] = []


def fill(size, task=None):  # type: ignore[no-untyped-def]  # code as users write it
    global TABLE
    TABLE = list(range(size))
    with open("from-setup", "w") as file:
        file.write("written")
    yield task.sleep(0.01)
    return 0


async def fill_async(task=None):  # type: ignore[no-untyped-def]
    await task.sleep(0.01)
    return 0


def refuse(task=None):  # type: ignore[no-untyped-def]
    print("before the refusal")
    yield
    return "no GPU here"


def fail(task=None):  # type: ignore[no-untyped-def]
    yield
    raise RuntimeError("no licence")


def exits(task=None):  # type: ignore[no-untyped-def]
    yield
    raise SystemExit(5)


def returns_none(task=None):  # type: ignore[no-untyped-def]
    yield


def kills_itself(task=None):  # type: ignore[no-untyped-def]
    yield
    os.kill(os.getpid(), signal.SIGKILL)


def wants_two(one, two, task=None):  # type: ignore[no-untyped-def]
    yield
    return 0


@pytest.mark.row("DC-07", "DN-32")
@pytest.mark.parametrize(("setup", "args"), [(None, ()), (fill, (10,)), (fill_async, ())])
def test_a_zygote_is_ready_after_its_setup(zygote: Zygote, setup: Any, args: tuple[Any, ...]) -> None:
    assert zygote.prepare([fill], setup, *args).what == "ready"
    assert (zygote.path / "from-setup").exists() == (setup is fill)


@pytest.mark.row("DC-07", "DC-09", "R-09")
@pytest.mark.parametrize(
    ("setup", "reason"),
    [
        (refuse, "node_setup returned 'no GPU here'"),
        (fail, "RuntimeError: no licence"),
        (exits, "SystemExit: 5"),
        (returns_none, "node_setup returned None"),
        (wants_two, "missing 2 required positional arguments"),
        (len, "none: <built-in function len>"),
    ],
)
def test_a_setup_that_does_not_answer_0_is_the_reason(zygote: Zygote, setup: Any, reason: str) -> None:
    said = zygote.prepare([], setup)
    assert said.what == "failed"
    assert reason in said.text("reason")
    if setup is fail:
        assert f'File "{__file__}"' in said.text("reason")
        assert "dispycos/kernel" not in said.text("reason")


@pytest.mark.row("R-09")
def test_a_setup_that_kills_its_process_is_seen_by_its_parent(zygote: Zygote) -> None:
    start = zygote.pipe
    with pytest.raises(AssertionError):
        zygote.prepare([], kills_itself)
    assert start.hear() is None
    assert zygote.process.wait(5) == -signal.SIGKILL


@pytest.mark.row("DN-34", "DC-48")
def test_a_server_is_forked_listens_and_is_reported_dead(zygote: Zygote) -> None:
    zygote.prepare([fill], fill, 100)
    server, pid = zygote.fork()
    up = server.up()
    with socket.create_connection((up.text("addr"), up.number("port")), 5):
        pass
    assert os.readlink(f"/proc/{pid}/cwd") == str(zygote.path / "dispycosproc-1")
    assert os.readlink(f"/proc/{zygote.process.pid}/cwd") == str(zygote.path)
    os.kill(pid, signal.SIGSEGV)
    said = zygote.hear("exited")
    assert said.number("index") == 1
    assert ended(os.waitstatus_to_exitcode(said.number("status"))) == "killed by signal 11 (SIGSEGV)"
    wait_until(lambda: not alive(pid))


@pytest.mark.row("R-05")
def test_another_server_is_forked_in_milliseconds(zygote: Zygote) -> None:
    zygote.prepare()
    incarnations = set()
    for _ in range(3):
        server, pid = zygote.fork()
        incarnations.add(server.up().text("incarnation"))
        os.kill(pid, signal.SIGKILL)
        zygote.hear("exited")
    assert len(incarnations) == 3


@pytest.mark.row("R-05")
def test_an_exit_code_is_reported_as_such(zygote: Zygote) -> None:
    zygote.prepare()
    server, pid = zygote.fork()
    server.up()
    server.control.close()  # the daemon's end: the server leaves without a word
    assert os.waitstatus_to_exitcode(zygote.hear("exited").number("status")) == 0
    assert not alive(pid)


@pytest.mark.row("R-06")
def test_servers_are_chosen_first_when_memory_runs_out(zygote: Zygote) -> None:
    zygote.prepare()
    server, pid = zygote.fork()
    server.up()
    ours = int(Path("/proc/self/oom_score_adj").read_text())
    assert int(Path(f"/proc/{pid}/oom_score_adj").read_text()) == min(1000, ours + 500)
    assert int(Path(f"/proc/{zygote.process.pid}/oom_score_adj").read_text()) == ours


@pytest.mark.row("R-10", "R-11")
@pytest.mark.parametrize("way", ["zygote killed", "pipe closed"])
def test_servers_end_with_their_zygote(zygote: Zygote, way: str) -> None:
    zygote.prepare()
    pids = []
    for index in (1, 2):
        server, pid = zygote.fork(index)
        server.up()
        pids.append(pid)
    if way == "pipe closed":
        zygote.pipe.close()
    else:
        zygote.process.kill()
    zygote.process.wait(5)
    wait_until(lambda: not any(map(alive, pids)))


@pytest.mark.row("R-48")
def test_a_server_ends_when_the_daemon_closes_its_control_pipe(zygote: Zygote) -> None:
    zygote.prepare()
    server, pid = zygote.fork()
    server.up()
    server.control.close()
    wait_until(lambda: not alive(pid))


@pytest.mark.row("R-28")
def test_a_fork_that_fails_is_reported_with_its_error(zygote: Zygote) -> None:
    zygote.prepare([], forbid_forks)
    server = Server(zygote, 1, zygote.path / "dispycosproc-1")
    zygote.servers.append(server)
    said = zygote.hear("not_forked")
    assert "EAGAIN" in said.text("reason")


def forbid_forks(task=None):  # type: ignore[no-untyped-def]
    # The limit does not hold for root, so the call itself is made to fail.
    import errno

    def no_fork() -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    os.fork = no_fork
    yield
    return 0


@pytest.mark.row("DC-07", "KE-27")
def test_a_child_that_node_setup_forks_is_no_second_zygote(zygote: Zygote) -> None:
    assert zygote.prepare([], forks_a_child).what == "ready"
    wait_until(lambda: "ValueError: in the child" in zygote.printed(), what="what the child says")
    # Had it gone on, it would have said that it is ready, too.
    zygote.fork()


def forks_a_child(task=None):  # type: ignore[no-untyped-def]
    yield task.sleep(0.001)
    child = os.fork()
    if not child:
        raise ValueError("in the child")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    return 0


@pytest.mark.row("R-27")
def test_a_zygote_without_free_descriptors_says_so_and_forks_when_it_has_some(zygote: Zygote) -> None:
    zygote.prepare()
    pid = zygote.process.pid
    before = open_numbers(pid)
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    for free in (0, 2):
        # So many numbers are below the limit and not in use.
        limit = [number for number in range(64) if number not in before][free]
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, limits[1]))
        zygote.servers.append(Server(zygote, 1, zygote.path / "dispycosproc-1"))
        assert "EMFILE" in zygote.hear("not_forked").text("reason")
        assert open_numbers(pid) == before
    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    server, _pid = zygote.fork()
    server.up()


def open_numbers(pid: int) -> set[int]:
    return set(map(int, os.listdir(f"/proc/{pid}/fd")))


@pytest.mark.row("SE-09", "SE-51")
def test_a_zygote_is_a_fresh_interpreter_without_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPYCOS_SECRET_FILE", "/nowhere")
    held = Payload(K)  # in this process's memory, as K is in a daemon's
    zygote = Zygote(tmp_path / "node")
    try:
        zygote.prepare()
        server, server_pid = zygote.fork()
        server.up()
        for pid in (zygote.process.pid, server_pid):
            assert b"DISPYCOS_SECRET" not in Path(f"/proc/{pid}/environ").read_bytes()
            assert KEY.hex().encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
            assert not holds(pid, bytes(held.data))
        # The search itself finds what is there.
        assert holds(server_pid, KEY)
        # Standard streams, the pipe, and what a server needs: nothing inherited by accident.
        open_files = {os.readlink(f"/proc/{zygote.process.pid}/fd/{fd}") for fd in range(3, 64) if
                      os.path.lexists(f"/proc/{zygote.process.pid}/fd/{fd}")}  # fmt: skip
        assert all(name.startswith(("socket:", "anon_inode:[pidfd]")) for name in open_files), open_files
    finally:
        zygote.close()


def holds(pid: int, secret: bytes) -> bool:
    """Is `secret` anywhere in the memory of a process?"""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            span, mode = line.split()[:2]
            begin, end = (int(part, 16) for part in span.split("-"))
            if "r" in mode and "[v" not in line:
                try:
                    memory.seek(begin)
                    if secret in memory.read(end - begin):
                        return True
                except (OSError, ValueError, OverflowError):
                    continue
    return False


@pytest.mark.row("R-11")
def test_a_zygote_whose_parent_is_gone_at_its_start_ends() -> None:
    ours, theirs = socket.socketpair()
    flags, folder = fresh.where_we_are()
    command = [sys.executable, *flags, "-m", "dispycos.node.zygote", str(theirs.fileno()), "1"]
    process = subprocess.Popen(command, pass_fds=[theirs.fileno()], cwd=folder)
    theirs.close()
    assert process.wait(20) == 1
    ours.close()


@pytest.mark.row("DC-48", "DN-38")
def test_output_before_the_fork_is_printed_once(zygote: Zygote) -> None:
    zygote.prepare([], prints_without_end)
    server, _pid = zygote.fork()
    server.up()
    assert zygote.printed() == "half a line"
    assert server.printed() == ""
    assert page.read(server.page).begun == 0


def prints_without_end(task=None):  # type: ignore[no-untyped-def]
    print("half a line", end="")
    yield
    return 0
