"""The listener: keys, who may connect, a process for each connection, and its end."""

from __future__ import annotations

import os
import signal
import socket

import psutil
import pytest

from dispycos.easycluster import Client, cli, generate_key, read_key_file
from dispycos.errors import AuthenticationError
from tests.helpers import alive, run_main, run_program, wait_until
from tests.process.easycluster.conftest import COMMAND, listener


def run(*options: str, **more):
    return run_program([*COMMAND, *options], **more)


@pytest.mark.row("EC-01", "EC-02")
def test_help_and_usage():
    code, out, _ = run("--help")
    assert code == 0 and "authenticated" in out and "not encrypted" in out and "ssh" in out
    code, _, err = run_main(cli.main)
    assert code == 2 and "usage: easycluster" in err


@pytest.mark.row("EC-03")
def test_a_key_file_is_made_and_never_replaced_unasked(tmp_path):
    tmp_path.chmod(0o700)
    path = tmp_path / "secret.key"
    assert run_main(cli.main, "-g", str(path)).code == 0
    assert path.stat().st_mode & 0o777 == 0o600
    key = read_key_file(path)
    assert len(key) == 32 and key.hex() in path.read_text()
    code, _, err = run_main(cli.main, "-g", str(path))
    assert code == 1 and "exists" in err
    assert read_key_file(path) == key
    assert run_main(cli.main, "-g", str(path), "-O").code == 0
    assert read_key_file(path) != key


@pytest.mark.row("EC-04")
@pytest.mark.parametrize("text", [None, "", "not a key\n"])
def test_a_bad_key_file_is_refused(tmp_path, text):
    path = tmp_path / "secret.key"
    if text is not None:
        path.write_text(text)
        path.chmod(0o600)
    code, out, err = run("-S", "-k", str(path), "-p", "0")
    assert code == 1 and str(path) in err and "Listening" not in out
    assert len(err.splitlines()) == 1


@pytest.mark.row("EC-04", "EC-10", "GN-02")
def test_a_master_connects_and_asks(serving, definitions):
    assert "Listening on 127.0.0.1:" in serving.program.output
    with Client(serving.key, "127.0.0.1", serving.port, definitions=definitions) as rmt:
        assert rmt.addvals(3, 4) == 7
        assert rmt.connected and rmt.fileno() > 0
        assert rmt.peername == (rmt.remote_host, rmt.remote_port) == ("127.0.0.1", serving.port)
        assert rmt.server_version
        assert repr(rmt.TestObject1(1)) == f"<RemoteProxy for oid 1 on 127.0.0.1:{serving.port}>"
    assert not rmt.connected
    with pytest.raises(OSError, match="closed"):
        rmt.fileno()
    with pytest.raises(OSError, match="closed"):
        rmt.addvals(1, 2)
    rmt.close()
    rmt.reconnect()
    assert rmt.addvals(1, 2) == 3
    rmt.close()


@pytest.mark.row("EC-04", "EC-07", "GN-01")
def test_another_key_is_refused_with_one_line(tmp_path):
    with listener(tmp_path) as one:
        for _ in range(3):
            with pytest.raises(AuthenticationError, match="authentication failed"):
                Client(generate_key(), "127.0.0.1", one.port)
        one.program.wait_line("did not prove the key")
        with Client(one.key, "127.0.0.1", one.port) as rmt:
            assert rmt.eval("1") == 1
        one.program.wait_line("called eval")
        assert sum("did not prove" in line for line in one.program.lines) == 1


@pytest.mark.row("EC-10")
def test_nobody_there_is_an_error_with_the_address():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ConnectionRefusedError, match=f"127.0.0.1:{port}"):
        Client(generate_key(), "127.0.0.1", port)
    with pytest.raises(OSError, match="no-such-host"):
        Client(generate_key(), "no-such-host.invalid")


@pytest.mark.row("EC-14")
def test_each_connection_is_a_process_of_its_own(serving, definitions):
    with (
        Client(serving.key, "127.0.0.1", serving.port, definitions=definitions) as one,
        Client(serving.key, "127.0.0.1", serving.port, definitions=definitions) as other,
    ):
        assert one.os.getpid() != other.os.getpid()
        one.mark.value = 1
        one.execblock("import sys; sys.left_behind = 1")
        assert not other.eval("hasattr(__import__('sys'), 'left_behind')")
        with pytest.raises(NameError):
            other.mark.value
        pid = one.os.getpid()
    wait_until(lambda: not psutil.pid_exists(pid), what="the process to be gone")


@pytest.mark.row("EC-05", "EC-18")
def test_calls_are_logged_without_their_arguments(serving, definitions):
    seen = len(serving.program.lines)
    with Client(serving.key, "127.0.0.1", serving.port, definitions=definitions) as rmt:
        rmt.addvals("a secret", " value")
        with pytest.raises(KeyError):
            rmt.fail(origexc="quiet")
        rmt.subprocess.call(["/bin/echo", "hello there"])
    line = serving.program.wait_line("called addvals", after=seen)
    assert line.endswith(": ok") and "127.0.0.1:" in line
    assert serving.program.wait_line("called fail", after=seen).endswith(": KeyError")
    serving.program.wait_line("hello there", after=seen)
    assert "a secret" not in serving.program.output


@pytest.mark.row("EC-05")
def test_a_quiet_server_logs_no_calls(tmp_path, definitions):
    with listener(tmp_path, "-c", "QuietServer") as quiet:
        with Client(quiet.key, "127.0.0.1", quiet.port, definitions=definitions) as rmt:
            assert rmt.addvals(1, 2) == 3
            pid = rmt.os.getpid()
        wait_until(lambda: not psutil.pid_exists(pid), what="the process to be gone")
        assert "called" not in quiet.program.output
    assert run_main(cli.main, "-S", "-c", "NoSuchServer").code == 2


@pytest.mark.row("EC-04")
def test_only_networks_that_are_allowed_may_connect(tmp_path):
    with listener(tmp_path, "-a", "192.0.2.0/24", "-a", "2001:db8::/32") as strict:
        for _ in range(2):
            with pytest.raises(OSError):
                Client(strict.key, "127.0.0.1", strict.port)
        strict.program.wait_line("refused a connection from 127.0.0.1: its address")
    assert run_main(cli.main, "-S", "-a", "nonsense").code == 2
    with listener(tmp_path, "-a", "127.0.0.0/8") as fine:
        Client(fine.key, "127.0.0.1", fine.port).close()


@pytest.mark.row("EC-04", "GN-06")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_signal_ends_listener_and_processes(tmp_path, number, definitions):
    pid_file = tmp_path / "pid"
    with listener(tmp_path, "-P", str(pid_file)) as one:
        assert int(pid_file.read_text()) == one.program.pid
        rmt = Client(one.key, "127.0.0.1", one.port, definitions=definitions)
        # Of a master's code: it must not hold the listener's output, which the test reads to its end.
        sleep = "exec_return(subprocess.Popen(['sleep', '100'], stdout=null, stderr=null).pid)"
        pids = [
            rmt.os.getpid(),
            rmt.execblock(f"import subprocess; null = subprocess.DEVNULL; {sleep}"),
        ]
        waiting = rmt.wait_at_gate(nonblocking=True)
        one.program.signal(number)
        code = one.program.wait(10)
        with pytest.raises(OSError):
            waiting.wait(20)
        rmt.close()
        if number == signal.SIGKILL:
            wait_until(lambda: not alive(pids[0]), what="the process to end")
            os.kill(pids[1], signal.SIGKILL)
        else:
            assert code == 0 and not pid_file.exists()
            wait_until(lambda: not any(map(alive, pids)), what="the processes to end")


@pytest.mark.row("EC-04")
def test_a_daemon_leaves_its_terminal_and_a_second_one_is_refused(tmp_path):
    tmp_path.chmod(0o700)
    key, pid_file, log = tmp_path / "k", tmp_path / "pid", tmp_path / "log"
    run_main(cli.main, "-g", str(key))
    common = ("-S", "-k", str(key), "-p", "0", "-d", "-P", str(pid_file), "-L", str(log))
    code, out, err = run(*common)
    assert code == 0 and "Listening on 127.0.0.1:" in out, err
    pid = int(pid_file.read_text())
    try:
        assert os.getsid(pid) != os.getsid(0)
        port = int(out.split(":")[1].split()[0])
        with Client(read_key_file(key), "127.0.0.1", port) as rmt:
            assert rmt.eval("1 + 1") == 2
        wait_until(lambda: "called eval: ok" in log.read_text(), what="the log")
        code, out, err = run(*common)
        assert code == 1 and f"process {pid}, which runs" in err
    finally:
        os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not alive(pid) and not pid_file.exists(), what="the daemon to end")


@pytest.mark.row("GN-01")
def test_silent_connections_are_bounded_and_end(serving, definitions):
    sockets = [socket.create_connection(("127.0.0.1", serving.port)) for _ in range(12)]
    try:
        children = lambda: len(psutil.Process(serving.program.pid).children())  # noqa: E731
        assert children() <= 8
        # A master that comes meanwhile waits for its turn.
        with Client(serving.key, "127.0.0.1", serving.port, definitions=definitions) as rmt:
            assert rmt.addvals(1, 2) == 3
    finally:
        for one in sockets:
            one.close()
    wait_until(lambda: children() == 0, what="their processes to end")


@pytest.mark.row("EC-42")
def test_a_lost_server_fails_what_waits_and_what_comes(serving, definitions):
    with Client(serving.key, "127.0.0.1", serving.port, definitions=definitions) as rmt:
        thing = rmt.TestObject1(1)
        waiting = rmt.wait_at_gate(nonblocking=True)
        os.kill(rmt.os.getpid(threadid=2), signal.SIGKILL)
        with pytest.raises(OSError):
            waiting.wait(20)
        with pytest.raises(OSError):
            rmt.addvals(1, 2)
        assert "<closed connection>" in repr(thing)
