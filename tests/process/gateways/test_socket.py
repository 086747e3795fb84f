"""Gateways behind socket servers: programs, a script where nothing is installed, and installed ones."""

from __future__ import annotations

import contextlib
import os
import resource
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from dispycos import keyfile
from dispycos.config import Limits
from dispycos.errors import AuthenticationError, HostNotFound
from dispycos.gateways import SocketGateway
from dispycos.launch.wire import GATEWAY
from dispycos.net.proof import prove
from dispycos.net.stream import Stream
from tests.helpers import alive, run_python, wait_until

ECHO = "for item in channel: channel.send(item)"
MODULE = "dispycos.gateways.socketserver"


class Server:
    """A socket server that listens, and what it logged."""

    def __init__(self, command: Sequence[str], folder: Path, **more: str) -> None:
        self.key = folder / "key"
        if not self.key.exists():
            keyfile.create(self.key)
        self.process = subprocess.Popen(
            [sys.executable, *command, "127.0.0.1:0", "--secret_file", str(self.key)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            env={**os.environ, **more},
        )
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        assert said.startswith("Listening on 127.0.0.1:"), said
        self.address = said.split()[-1]
        self.port = int(self.address.rpartition(":")[2])
        self.lines: deque[str] = deque()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)

    def spec(self, *more: str) -> str:
        return "//".join([f"socket={self.address}", f"secret_file={self.key}", *more])

    def refusals(self) -> list[str]:
        return [line for line in self.lines if "was refused" in line]

    def gateways(self) -> list[int]:
        return [child.pid for child in psutil.Process(self.process.pid).children()]

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), 10)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        code = self.process.wait(15)
        self._reader.join(10)
        assert self.process.stdout is not None and self.process.stderr is not None
        self.process.stdout.close()
        self.process.stderr.close()
        return code


@pytest.fixture
def server(tmp_path) -> Iterator[Server]:
    made = Server(["-m", MODULE], tmp_path)
    yield made
    if made.process.poll() is None:
        made.end()


@pytest.mark.row("EX-04", "EX-29", "EX-15")
def test_each_gateway_is_a_process_of_its_own_in_its_folder(group, server, tmp_path):
    gateways = [group.makegateway(server.spec()), group.makegateway(server.spec("chdir=other", "nice=2"))]
    for gateway in gateways:
        channel = gateway.remote_exec(ECHO)
        for item in (1, os.urandom(5_000_000)):
            channel.send(item)
            assert channel.receive(30) == item
        assert gateway.remoteaddress == server.address
    infos = [gateway._rinfo() for gateway in gateways]
    assert {info.pid for info in infos} == set(server.gateways())
    assert [info.cwd for info in infos] == [str(tmp_path / "pyexecnet-cache"), str(tmp_path / "other")]
    nices = [gateway.remote_exec("import os; channel.send(os.nice(0))").receive(30) for gateway in gateways]
    assert nices[1] - nices[0] == 2


@pytest.mark.row("EX-04", "EX-01")
def test_the_script_runs_where_nothing_is_installed(group, tmp_path):
    code, script, _ = run_python("-m", MODULE, "--script")
    assert code == 0
    (tmp_path / "socketserver.py").write_text(script)
    # No site-packages, no environment: nothing but the file.
    server = Server(["-I", "-S", "socketserver.py"], tmp_path)
    channel = group.makegateway(server.spec("python=" + sys.executable + " -I -S")).remote_exec(ECHO)
    channel.send("here")
    assert channel.receive(30) == "here"
    again = subprocess.run(
        [sys.executable, "-I", "-S", "socketserver.py", "--script"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr == "socketserver.py: this is the script already: copy it\n"
    assert server.end() == 0


@pytest.mark.row("EX-04", "GN-01")
def test_another_key_opens_nothing(group, server, tmp_path):
    keyfile.create(tmp_path / "other")
    with pytest.raises(AuthenticationError, match="does not know our key"):
        group.makegateway(f"socket={server.address}//secret_file={tmp_path / 'other'}")
    wait_until(server.refusals, what="a line about it")
    assert "authentication failed" in server.refusals()[0]
    assert not server.gateways()
    assert group.makegateway(server.spec()).remote_exec("channel.send(1)").receive(30) == 1


@pytest.mark.row("EX-04", "GN-01", "SE-62", "SE-63", "SE-64")
def test_bytes_of_strangers_are_closed_upon_and_told_in_one_line(group, server):
    for data in (
        secrets.token_bytes(1024 * 1024),
        b"GET / HTTP/1.0\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"SSH-2.0-x\r\n",
        b"\"import os; os.mkdir('hit')\"\n",
        b"",
    ):
        # It may be closed upon before it has said it all; only silence would be wrong.
        with server.connect() as stranger, contextlib.suppress(ConnectionError):
            stranger.sendall(data)
            if not data:
                stranger.shutdown(socket.SHUT_WR)
            assert stranger.recv(4096) == b""
    wait_until(server.refusals, what="a line about them")
    assert group.makegateway(server.spec()).remote_exec("channel.send(1)").receive(30) == 1
    assert len(server.refusals()) == 1
    assert server.refusals()[0].isascii()
    assert len(server.gateways()) == 1


@pytest.mark.row("EX-04", "SE-59")
def test_who_says_nothing_is_closed_upon_in_five_seconds_and_stops_nobody(group, server):
    began = time.monotonic()
    with server.connect() as stranger:
        stranger.settimeout(20)
        assert group.makegateway(server.spec()).remote_exec("channel.send(1)").receive(30) == 1
        assert stranger.recv(1) == b""
    assert 4 < time.monotonic() - began < 15
    wait_until(server.refusals, what="a line about it")
    assert "did not prove the key in time" in server.refusals()[0]


@pytest.mark.row("EX-04", "SE-61")
def test_few_connections_may_be_unproven_at_a_time(group, server):
    most = Limits().max_unfinished_per_source
    strangers = [server.connect() for _ in range(most + 5)]
    try:
        for stranger in strangers:
            stranger.setblocking(False)

        def closed() -> int:
            count = 0
            for stranger in strangers:
                try:
                    count += stranger.recv(1) == b""
                except BlockingIOError:
                    pass
                except ConnectionError:
                    count += 1
            return count

        wait_until(lambda: closed() == 5, what="those beyond the limit to be closed upon")
    finally:
        for stranger in strangers:
            stranger.close()

    def opened() -> bool:
        # The server notices that they are gone.
        try:
            return group.makegateway(server.spec()).remote_exec("channel.send(1)").receive(30) == 1
        except HostNotFound:
            return False

    wait_until(opened, what="a gateway after them")


@pytest.mark.row("EX-04")
@pytest.mark.parametrize(
    "message", [(b"other", b"{}"), (GATEWAY, b"{"), (GATEWAY, b"{'boot': 1}"), (GATEWAY, b"[" * 99999)]
)
def test_who_has_the_key_and_asks_for_nonsense_is_closed_upon(group, server, message):
    with server.connect() as connection:
        stream = Stream.of_socket(connection)
        session = prove(
            stream, keyfile.load(secret_file=server.key), Limits(), dialer=True, timeout=10
        ).session
        session.put(message[0], (message[1],))
        deadline = time.monotonic() + 10
        while buffers := session.take():
            stream.write(b"".join(buffers), deadline)
        assert stream.read(4096, deadline) == b""
    wait_until(server.refusals, what="a line about it")
    assert "it proved the key, and then asked for" in server.refusals()[0]
    assert group.makegateway(server.spec()).remote_exec("channel.send(1)").receive(30) == 1


@pytest.mark.row("EX-04", "R-99")
@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("python=no-python-here", "no-python-here.* can't be started: No such file"),
        ("python=/bin/false", "it ended"),
        ("chdir=/dev/null/x", "could not take up .* Not a directory"),
    ],
)
def test_what_goes_wrong_behind_a_server_is_told(group, server, key, said):
    with pytest.raises(HostNotFound, match=said):
        group.makegateway(server.spec(key))
    wait_until(lambda: not server.gateways(), what="nothing to be left")


@pytest.mark.row("EX-04", "R-99")
def test_a_server_without_room_says_so_and_serves_on(group, server):
    group.makegateway(server.spec()).exit()
    wait_until(lambda: not server.gateways(), what="the first one to be gone")
    pid = server.process.pid

    def descriptors() -> int:
        return len(os.listdir(f"/proc/{pid}/fd"))

    # One more descriptor is there: for the connection, not for the file of its program. Or there is
    # one, and nothing can be written to it.
    lacking = [
        (resource.RLIMIT_NOFILE, descriptors() + 1, "Too many open files"),
        (resource.RLIMIT_FSIZE, 0, "File too large"),
    ]
    for limit, room, said in lacking:
        before = resource.prlimit(pid, limit)
        resource.prlimit(pid, limit, (room, before[1]))
        with pytest.raises(HostNotFound, match=f"can't be started: .*{said}"):
            group.makegateway(server.spec())
        wait_until(lambda said=said: any(said in line for line in server.lines), what="a line about it")
        resource.prlimit(pid, limit, before)
        assert group.makegateway(server.spec()).remote_exec("channel.send(1)").receive(30) == 1
    assert not any("Traceback" in line for line in server.lines)


@pytest.mark.row("EX-04", "R-99")
def test_a_port_where_nobody_or_somebody_else_listens(group):
    with pytest.raises(
        HostNotFound, match="can't be reached: Connection refused; is a socket server running"
    ):
        group.makegateway("socket=127.0.0.1:1")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        closing = threading.Thread(target=lambda: other.accept()[0].close())
        closing.start()
        with pytest.raises(HostNotFound, match="did not become a gateway"):
            group.makegateway(f"socket=127.0.0.1:{port}")
        closing.join(10)


@pytest.mark.row("EX-04", "SE-51", "SE-09")
def test_code_behind_a_server_is_not_given_its_key(group, tmp_path):
    server = Server(["-m", MODULE], tmp_path, DISPYCOS_SECRET_FILE=str(tmp_path / "key"))
    try:
        code = "import os; channel.send(sorted(os.environ)); channel.send(open('/proc/self/cmdline').read())"
        channel = group.makegateway(server.spec()).remote_exec(code)
        assert not [name for name in channel.receive(30) if name.startswith("DISPYCOS_SECRET")]
        assert keyfile.load(secret_file=server.key).own.reveal().hex() not in channel.receive(30)
    finally:
        server.end()


@pytest.mark.row("EX-04", "EX-22")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_ended_ends_its_gateways(group, server, number):
    channel = group.makegateway(server.spec()).remote_exec("import time\nwhile True: time.sleep(1)")
    pids = wait_until(server.gateways)
    assert server.end(number) == 0
    with pytest.raises(EOFError):
        channel.receive(30)
    assert not any(map(alive, pids))


@pytest.mark.row("EX-04", "EX-22")
def test_a_gateway_that_does_not_end_with_its_server_is_killed(group, server):
    group.makegateway(server.spec())
    pids = server.gateways()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)  # it takes no SIGTERM now
    assert pids
    assert server.end() == 0
    assert not any(map(alive, pids))


@pytest.mark.row("EX-04", "EX-17")
def test_a_gateway_that_exits_leaves_no_process(group, server):
    gateway = group.makegateway(server.spec())
    gateway.remote_exec("import time\nwhile True: time.sleep(1)")
    gateway.exit()
    assert gateway.join(10)
    wait_until(lambda: not server.gateways(), what="its process to be gone")


@pytest.mark.row("EX-04")
def test_new_keys_are_taken_up(group, server):
    keyfile.create(server.key, replace=True)
    assert group.makegateway(server.spec()).remote_exec("channel.send(1)").receive(30) == 1


@pytest.mark.row("EX-04", "EX-29")
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["127.0.0.1"], 1, "is no HOST:PORT"),
        (["-x"], 2, "unknown option -x"),
        (["a;b:1"], 1, "neither the name nor the address"),
        (["127.0.0.1:0", "--secret_file", "/no/such/file"], 1, "/no/such/file"),
        (["192.0.2.1:0"], 1, "the address is not this machine's"),
    ],
)
def test_a_server_that_can_t_begin_says_why(arguments, code, said):
    ended, out, err = run_python("-m", MODULE, *arguments)
    assert (ended, out) == (code, "")
    assert said in err
    assert "Traceback" not in err


# Installed servers.


@pytest.mark.row("EX-05", "EX-24")
@pytest.mark.parametrize(
    "spec", ["socket//installvia=a", "socket=127.0.0.1:0//installvia=a", "socket//installvia=a//via=a"]
)
def test_a_gateway_starts_a_server_for_another(group, spec):
    carrier = group.makegateway("popen//id=a")
    gateway = group.makegateway(spec)
    channel = gateway.remote_exec("import os; channel.send(os.getppid())\n" + ECHO)
    parent = psutil.Process(channel.receive(30))
    assert parent.ppid() == carrier._rinfo().pid
    channel.send([1, 2])
    assert channel.receive(30) == [1, 2]
    pid = gateway._rinfo().pid
    gateway.exit()
    assert gateway.join(15)
    wait_until(lambda: not alive(pid) and not alive(parent.pid), what="it and its server to be gone")
    assert carrier.remote_exec("channel.send(1)").receive(30) == 1


@pytest.mark.row("EX-05")
def test_new_remote_is_the_same_in_a_class_s_words(group):
    carrier = group.makegateway("popen")
    gateway = SocketGateway.new_remote(carrier, ("127.0.0.1", 0))
    assert isinstance(gateway, SocketGateway)
    assert gateway in group
    assert gateway._rinfo().pid != carrier._rinfo().pid
    host, _, port = gateway.remoteaddress.rpartition(":")
    assert host == "127.0.0.1"
    # It serves one, and listens no more.
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), 10)


@pytest.mark.row("EX-05", "EX-24")
def test_an_installed_server_ends_with_the_gateway_that_started_it(group):
    carrier = group.makegateway("popen//id=a")
    gateway = group.makegateway("socket//installvia=a")
    pid = gateway._rinfo().pid
    channel = gateway.remote_exec(ECHO)
    os.kill(carrier._rinfo().pid, signal.SIGKILL)
    with pytest.raises(EOFError):
        channel.receive(30)
    wait_until(lambda: not alive(pid), 15, what="its process to be gone")


@pytest.mark.row("EX-05", "R-99")
@pytest.mark.parametrize(
    ("spec", "error", "said"),
    [
        ("socket=192.0.2.1:0//installvia=a", HostNotFound, "the address is not this machine's"),
        ("socket//installvia=b", ValueError, "no gateway of that id"),
        ("popen//installvia=a", ValueError, "installvia= is for socket"),
        ("socket", ValueError, "must name HOST:PORT"),
        ("socket=127.0.0.1:0", ValueError, "not between 1 and 65535"),
        ("socket=me@127.0.0.1:1", ValueError, "names a user"),
    ],
)
def test_what_can_t_be_installed_is_told(group, spec, error, said):
    group.makegateway("popen//id=a")
    with pytest.raises(error, match=said):
        group.makegateway(spec)
    assert len(group) == 1
