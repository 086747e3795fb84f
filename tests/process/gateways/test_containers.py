"""Gateways into containers, with a stand-in for the engine.

Where there is no engine, what is proved is what we give to `docker exec` and how we take its end.
The stand-in takes its command line apart as docker does and runs the command on this machine.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from dispycos.errors import HostNotFound
from tests.helpers import alive, wait_until

ENGINE = f"""#!{sys.executable}
import getopt, os, sys
if sys.argv[1] != "exec":
    sys.exit("only exec is known here")
options, (container, *command) = getopt.getopt(sys.argv[2:], "it", ["privileged"])
if container != "web_1":
    sys.exit(f"Error response from daemon: No such container: {{container}}")
with open(os.environ["ENGINE_LOG"], "a") as log:
    log.write(f"{{os.path.basename(sys.argv[0])}} {{options}}\\n")
if command[0] == "python3":
    command[0] = {sys.executable!r}
try:
    os.execvp(command[0], command)
except OSError as exc:
    print(f"OCI runtime exec failed: {{command[0]!r}}: executable file not found", file=sys.stderr)
    sys.exit(127)
"""


@pytest.fixture
def engine(tmp_path, monkeypatch) -> Path:
    """The log of what it was asked."""
    for name in ("docker", "podman"):
        (tmp_path / name).write_text(ENGINE)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("ENGINE_LOG", str(tmp_path / "log"))
    return tmp_path / "log"


@pytest.mark.row("EX-16")
@pytest.mark.parametrize("name", ["docker", "podman"])
def test_code_runs_in_a_container(group, engine, name):
    gateway = group.makegateway(f"{name}=web_1//nice=1")
    channel = gateway.remote_exec("for item in channel: channel.send(item * 2)")
    channel.send("x")
    assert channel.receive(30) == "xx"
    assert engine.read_text() == f"{name} [('-i', '')]\n"
    assert gateway.remoteaddress == "web_1"
    pid = gateway._rinfo().pid
    gateway.exit()
    assert gateway.join(10)
    wait_until(lambda: not alive(pid), what="the far end to be gone")


@pytest.mark.row("R-99")
@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("docker=web_2", "No such container: web_2"),
        ("docker=web_1//python=python9.9", "exit code 127; OCI runtime exec failed"),
    ],
)
@pytest.mark.usefixtures("engine")
def test_what_the_engine_says_is_in_the_error(group, spec, said):
    with pytest.raises(HostNotFound, match=said):
        group.makegateway(spec)


@pytest.mark.row("R-99")
def test_a_missing_engine_is_told(group, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostNotFound, match=r"podman can't be started: No such file .*; install podman"):
        group.makegateway("podman=web_1")


@pytest.mark.row("SE-121")
@pytest.mark.parametrize("name", ["--privileged", "-it", "web_1 --privileged", "$(touch hit)", "a/../b"])
def test_a_hostile_name_starts_nothing(group, engine, name):
    for kind in ("docker", "podman"):
        with pytest.raises(ValueError, match="is no name of a container"):
            group.makegateway(f"{kind}={name}")
    assert not engine.exists()
