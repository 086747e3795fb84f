"""Gateways by ssh, to a real sshd on this machine."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from dispycos.errors import HostNotFound, VersionMismatch
from dispycos.launch import launchers
from tests.helpers import alive, wait_until
from tests.process.gateways.sshd import Sshd

ECHO = "for item in channel: channel.send(item)"
PYTHON = f"python={sys.executable}"


@pytest.fixture(scope="module")
def sshd(tmp_path_factory) -> Iterator[Sshd]:
    made = Sshd(tmp_path_factory.mktemp("sshd"))
    made.host("far")
    made.host("chatty", before="echo Welcome; echo 'to this machine' >&2; printf 'no line end';")
    made.host("endless", before="yes;")
    made.host("silent", before="exec sleep 600;")
    made.host("closed", before="echo 'This account is for files only.'; exit 1;")
    yield made
    made.close()


def clients() -> list[psutil.Process]:
    """Our own ssh processes."""
    return [child for child in psutil.Process().children() if child.name() == "ssh"]


@pytest.mark.row("EX-03", "EX-15")
def test_a_gateway_by_ssh_runs_code_in_a_folder_of_its_own(group, sshd):
    gateway = group.makegateway(sshd.spec("far", PYTHON))
    channel = gateway.remote_exec(ECHO)
    for item in (1, os.urandom(3_000_000), {"a": None}):
        channel.send(item)
        assert channel.receive(30) == item
    assert gateway._rinfo().cwd == str(sshd.home / "pyexecnet-cache")
    assert gateway.remoteaddress == "far"


@pytest.mark.row("EX-03", "EX-29", "EX-15")
def test_the_keys_of_a_specification_take_effect_there(group, sshd):
    spec = sshd.spec(
        "far", PYTHON, "chdir=some/folder of mine", "nice=3", "env:GREETING=it's $HOME", "dont_write_bytecode"
    )
    channel = group.makegateway(spec).remote_exec(
        "import os, sys\n"
        "known = os.environ['GREETING'], sys.dont_write_bytecode, sys.executable\n"
        "channel.send((os.getcwd(), os.nice(0), *known))"
    )
    cwd, nice, greeting, no_bytecode, executable = channel.receive(30)
    assert cwd == str(sshd.home / "some" / "folder of mine")
    assert (nice - os.nice(0), greeting, no_bytecode) == (3, "it's $HOME", True)
    assert executable == sys.executable


@pytest.mark.row("EX-03", "EX-01")
def test_the_python_there_needs_no_package(group, sshd):
    channel = group.makegateway(sshd.spec("far", f"{PYTHON} -I -S")).remote_exec(
        "import sys; channel.send((sys.flags.isolated, 'tornado' in sys.modules))"
    )
    assert channel.receive(30) == (1, False)


@pytest.mark.row("EX-03", "EX-17")
def test_exit_leaves_no_process_at_either_end(group, sshd):
    gateway = group.makegateway(sshd.spec("far", PYTHON))
    pid = gateway._rinfo().pid
    assert clients()
    gateway.exit()
    assert gateway.join(10)
    assert not clients()
    wait_until(lambda: not alive(pid) and not sshd.servers, what="the far end to be gone")


@pytest.mark.row("EX-03", "EX-22")
@pytest.mark.parametrize("whom", ["the far end", "sshd", "ssh"])
def test_a_process_that_is_killed_on_the_way_is_the_end(group, sshd, whom):
    gateway = group.makegateway(sshd.spec("far", PYTHON))
    pid = gateway._rinfo().pid
    channel = gateway.remote_exec(ECHO)
    victims = {"the far end": [pid], "ssh": [client.pid for client in clients()]}
    servers = [server.pid for server in sshd.servers]
    for server in sshd.servers:
        servers += [child.pid for child in psutil.Process(server.pid).children(recursive=True)]
    victims["sshd"] = [
        server for server in servers if alive(server) and psutil.Process(server).name() == "sshd"
    ]
    for victim in victims[whom]:
        os.kill(victim, signal.SIGKILL)
    with pytest.raises(EOFError):
        channel.receive(30)
    with pytest.raises(OSError):
        channel.send(1)
    assert gateway.join(10)
    wait_until(lambda: not alive(pid) and not clients(), what="both ends to be gone")


@pytest.mark.row("EX-03", "R-99")
def test_an_unknown_host_is_told_in_ssh_s_words(group):
    with pytest.raises(HostNotFound, match=r"Could not resolve hostname nowhere\.invalid") as caught:
        group.makegateway("ssh=nowhere.invalid")
    assert "exit code 255" in str(caught.value)
    assert not clients()


@pytest.mark.row("EX-03", "R-99")
@pytest.mark.parametrize(
    ("client", "said"),
    [
        (" IdentityFile {folder}/stranger\n IdentitiesOnly yes\n", "Permission denied"),
        (" UserKnownHostsFile {folder}/unknown\n", "Host key verification failed"),
        (" Port 1\n", "Connection refused"),
        (" NoSuchOption yes\n", "Bad configuration option"),
    ],
)
def test_a_refused_login_is_told_in_ssh_s_words(group, tmp_path, client, said):
    sshd = Sshd(tmp_path)
    if "IdentityFile" in client:
        (tmp_path / "login").write_bytes((tmp_path / "stranger").read_bytes())
        client = ""
    sshd.host("here", client=client.format(folder=tmp_path))
    try:
        with pytest.raises(HostNotFound, match=said):
            group.makegateway(sshd.spec("here", PYTHON))
        assert not clients()
        assert len(group) == 0
    finally:
        sshd.close()


@pytest.mark.row("EX-03", "R-99")
def test_a_missing_python_is_told_in_the_shell_s_words(group, sshd):
    with pytest.raises(HostNotFound, match=r"exit code 127; .*no-python-here.*not found"):
        group.makegateway(sshd.spec("far", "python=no-python-here"))


@pytest.mark.row("EX-03")
def test_a_python_that_is_too_old_is_named(group, sshd, tmp_path):
    """A stand-in: this Python, which says that it is an old one."""
    old = tmp_path / "old"
    old.write_text(
        f"#!{sys.executable}\nimport sys\nsys.version_info = (2, 7, 18, 'final', 0)\n"
        "sys.argv[1:] = sys.argv[2:]\nexec(sys.argv[2])\n"
    )
    old.chmod(0o755)
    with pytest.raises(VersionMismatch, match=r"its Python is 2\.7; 3\.11 or newer is needed"):
        group.makegateway(sshd.spec("far", f"python={old}"))


@pytest.mark.row("EX-03")
def test_what_a_login_prints_first_is_passed_over(group, sshd):
    assert group.makegateway(sshd.spec("chatty", PYTHON)).remote_exec("channel.send(1)").receive(30) == 1


@pytest.mark.row("EX-03", "R-99")
def test_a_login_that_never_stops_printing_is_given_up(group, sshd):
    with pytest.raises(HostNotFound, match="prints and prints"):
        group.makegateway(sshd.spec("endless", PYTHON))
    assert not clients()


@pytest.mark.row("EX-03", "R-99")
def test_a_login_that_says_nothing_is_given_up_in_time(group, sshd, monkeypatch):
    monkeypatch.setattr(launchers, "START_TIME", 2.0)
    began = time.monotonic()
    with pytest.raises(HostNotFound, match="no answer in 2 s"):
        group.makegateway(sshd.spec("silent", PYTHON))
    assert time.monotonic() - began < 20
    assert not clients()


@pytest.mark.row("EX-03")
def test_a_login_that_ends_at_once_shows_what_it_said(group, sshd):
    with pytest.raises(HostNotFound, match="This account is for files only"):
        group.makegateway(sshd.spec("closed", PYTHON))


@pytest.mark.row("EX-24", "EX-03")
def test_ssh_leads_through_gateways_and_to_them(group, sshd):
    group.makegateway("popen//id=here")
    group.makegateway(sshd.spec("far", PYTHON, "via=here", "id=there"))
    inner = group.makegateway("popen//via=there")
    channel = inner.remote_exec("import os; channel.send((os.getcwd(), os.environ['SSH_CONNECTION']))")
    cwd, connection = channel.receive(30)
    assert cwd == str(sshd.home / "pyexecnet-cache")
    assert connection.startswith("127.0.0.1 ")


@pytest.mark.row("SE-120", "SE-53")
def test_a_hostile_python_is_one_word_for_the_shell_there(group, sshd):
    for python in ("$(touch hit)", "`touch hit`", ";touch hit", "x|touch hit", "x & touch hit"):
        with pytest.raises(HostNotFound, match=r"not found|No such file"):
            group.makegateway(sshd.spec("far", f"python={python}"))
    assert not list(sshd.home.rglob("hit"))


@pytest.mark.row("SE-120", "SE-53")
@pytest.mark.parametrize(
    "host",
    [
        "-oProxyCommand=touch hit",
        "host;touch hit",
        "$(touch hit)",
        "`touch hit`",
        "user@-oProxyCommand=x",
        "a b",
    ],
)
def test_a_hostile_host_starts_nothing(group, tmp_path, monkeypatch, host):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError):
        group.makegateway(f"ssh={host}")
    assert not list(tmp_path.iterdir())
    assert not clients()
