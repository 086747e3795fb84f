"""Scheduler, node, servers and client under TLS, as real processes."""

from __future__ import annotations

import re
import signal
import socket
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from dispycos import cli
from dispycos.node import cli as node_cli
from tests.certificates import Authority, Files
from tests.helpers import run_main, run_program, run_python, wait_until
from tests.process.schedulers import NODE, SCHEDULER, Place, close, result, run, schedule


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def ours(authority: Authority) -> Files:
    return authority.issue("ours")


@pytest.mark.row("GN-03", "DN-10", "DN-11", "DS-12", "DS-13", "SE-21")
def test_a_cluster_works_under_tls_with_authorities(place: Place, ours: Files, authority: Authority) -> None:
    given = ["--certfile", str(ours.cert), "--keyfile", str(ours.key), "--cafile", str(authority.file)]
    shared = place.scheduler(*given)
    place.node(*given, "--peer", shared.where)
    names = f"certfile={str(ours.both)!r}, cafile={str(authority.file)!r}"
    client = place.client(network=f"discover_peers=False, {names}")
    schedule(client, shared)
    run(client, 1)
    result(client, 1)
    close(client)


def shown(where: str) -> bytes:
    """The certificate that a process shows there."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    host, _, port = where.rpartition(":")
    with socket.create_connection((host, int(port)), 10) as sock, context.wrap_socket(sock) as stream:
        certificate = stream.getpeercert(binary_form=True)
    assert certificate is not None
    return certificate


@pytest.mark.row("GN-03", "DN-10", "DS-12")
def test_a_renewed_certificate_is_shown_without_a_restart(place: Place, authority: Authority) -> None:
    files = authority.issue("renewed", days=1)
    shared = place.scheduler("--daemon", "--certfile", str(files.both), "--cafile", str(authority.file))
    first = shown(shared.where)
    authority.issue("renewed", days=90)
    shared.program.signal(signal.SIGHUP)
    shared.program.wait_line("took up the certificate of", 10)
    assert shown(shared.where) != first
    files.both.write_text("nothing here")
    # Nobody tells it this time.
    shared.program.wait_line("the certificate is as it was, for the files are no good", 20)
    names = f"certfile={str(authority.issue('client').both)!r}, cafile={str(authority.file)!r}"
    client = place.client(network=f"discover_peers=False, {names}")
    schedule(client, shared)
    close(client)


@pytest.mark.row("GN-03", "DN-10", "SE-08")
def test_servers_that_run_show_the_renewed_certificate_of_their_node(
    place: Place, authority: Authority
) -> None:
    files = authority.issue("node", days=1)
    shared = place.scheduler("--certfile", str(authority.issue("scheduler").both))
    node = place.node("--certfile", str(files.both), "--peer", shared.where, "--daemon")
    client = place.client(network=f"discover_peers=False, certfile={str(files.both)!r}")
    schedule(client, shared)
    run(client, 1)
    result(client, 1)
    wait_until(lambda: client.output.count("status ServerInitialized") == 2, 10, "both servers")
    first = shown(_address(node.output))
    servers = [match[1] for match in re.finditer(r"status ServerDiscovered (\S+)", client.output)]
    assert all(shown(server) == first for server in servers)
    authority.issue("node", days=90)
    node.signal(signal.SIGHUP)
    node.wait_line("took up the certificate of", 10)
    assert shown(_address(node.output)) != first
    wait_until(lambda: all(shown(server) != first for server in servers), 10, "servers to show it")
    run(client, 2)
    result(client, 2)
    close(client)


@pytest.mark.row("GN-03", "DN-10")
def test_a_plain_client_of_a_node_under_tls_is_told_so_and_so_is_the_node(place: Place, ours: Files) -> None:
    node = place.node("--certfile", str(ours.both))
    where = node.wait_line("ready at").split()[-1].rstrip(",")
    client = place.client()
    client.write(f"locate '{_address(node.output)}' nobody")
    assert client.wait_line("speaks TLS and this process does not", 20), where
    assert node.wait_line("TLS failed: wrong version number", 10)


@pytest.mark.row("GN-03", "SE-21")
def test_a_client_whose_certificate_is_not_accepted_is_told_so_and_so_is_the_scheduler(
    place: Place, ours: Files, authority: Authority, tmp_path: Path
) -> None:
    foreign = Authority(tmp_path).issue("foreign")
    shared = place.scheduler("--certfile", str(ours.both), "--cafile", str(authority.file))
    names = f"certfile={str(foreign.both)!r}, cafile={str(authority.file)!r}"
    client = place.client(network=f"discover_peers=False, {names}")
    client.write(f"schedule '{shared.where}'")
    line = client.wait_line("can't join", 20)
    assert f"{shared.where}: TLS failed: the peer does not accept our certificate: " in line, line
    assert "unknown ca" in line, line
    assert shared.program.wait_line("TLS failed: the peer's certificate is not trusted", 10)


def _address(output: str) -> str:
    return next(word.rstrip(",;") for word in output.split() if word.startswith("127.0.0.1:"))


@pytest.mark.row("GN-03", "DN-11", "DS-13")
@pytest.mark.parametrize(("program", "main"), [(NODE, node_cli.main), (SCHEDULER, cli.main)])
def test_a_bad_certificate_is_named_and_nothing_starts(
    program: list[str], main: Callable[[Sequence[str]], int], ours: Files, tmp_path: Path
) -> None:
    missing = tmp_path / "none.pem"
    common = [*program, "-i", "127.0.0.1", "-u", "0", "--dest_path", str(tmp_path / "files"), "--daemon"]
    code, out, err = run_program([*common, "--certfile", str(missing)], timeout=20)
    assert code == 1 and f"{missing} can't be read: No such file or directory" in err and not out, err
    code, out, err = run_program([*common, "--keyfile", str(ours.key)], timeout=20)
    assert code == 2 and "keyfile is of no use without certfile" in err and not out, err
    told = run_main(main, "--help").out
    assert "--certfile" in told and "--keyfile" in told


@pytest.mark.row("GN-03")
def test_a_local_cluster_in_a_program_under_tls_joins_it_and_one_by_ssh_needs_certificates_there(
    ours: Files,
) -> None:
    code, out, err = run_python(
        f"""
from dispycos import Client, LocalCluster, Pycos, SSHCluster, Task

def double(n, task=None):
    yield
    return 2 * n

def main(task=None):
    client = Client([double])
    yield client.schedule()
    rtask = yield client.rtask(double, 21)
    print((yield rtask()), flush=True)
    yield client.close()

Pycos(node="127.0.0.1", discover_peers=False, certfile={str(ours.both)!r})
with LocalCluster(1):
    Task(main).value()
try:
    SSHCluster(["there"]).start()
except ValueError as exc:
    print(exc)
""",
        timeout=40,
    )
    assert code == 0 and out.startswith(
        "42\nthis program speaks TLS, and a node that ssh starts on there "
    ), err


@pytest.mark.row("GN-03")
def test_arguments_that_name_no_good_files_are_refused_at_once(ours: Files) -> None:
    code, out, err = run_python(
        f"""
from dispycos import Pycos

try:
    Pycos(discover_peers=False, keyfile={str(ours.key)!r})
except Exception as exc:
    print(exc)
Pycos(discover_peers=False, certfile="/nowhere/at/all.pem")
""",
        timeout=20,
    )
    assert "keyfile is of no use without certfile" in out, err
    assert code == 1 and "/nowhere/at/all.pem can't be read" in err.splitlines()[-1], err
