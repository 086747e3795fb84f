"""The service of the system, against a stand-in for systemctl; systemd reads the unit if it is here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from dispycos.easycluster import generate_key, write_key_file
from dispycos.easycluster.service import UNIT, unit
from tests.helpers import run_program, unavailable
from tests.process.easycluster.conftest import COMMAND

STAND_IN = """#!/bin/sh
echo "$@" >> {calls}
case "$*" in *"$FAIL_AT"*) [ -n "$FAIL_AT" ] && echo "Failed: the bus said no" >&2 && exit 4;; esac
exit 0
"""


@pytest.fixture
def system(tmp_path):
    """Runs the command with the stand-in; its calls."""
    folder = tmp_path / "bin"
    folder.mkdir()
    tmp_path.chmod(0o700)
    calls = tmp_path / "calls"
    (folder / "systemctl").write_text(STAND_IN.format(calls=calls))
    (folder / "systemctl").chmod(0o755)
    environment = {"PATH": f"{folder}:/usr/bin:/bin", "XDG_CONFIG_HOME": str(tmp_path / "config")}
    write_key_file(tmp_path / "secret.key", generate_key())

    def run(*options, fail_at="", **more):
        env = {**environment, "FAIL_AT": fail_at, **more}
        return run_program([*COMMAND, "--user", *options], env=env, cwd=tmp_path)

    run.calls = lambda: calls.read_text().splitlines() if calls.exists() else []
    run.unit = tmp_path / "config" / "systemd" / "user" / UNIT
    run.key = tmp_path / "secret.key"
    return run


@pytest.mark.row("EC-02", "EC-06")
def test_the_service_is_installed_started_stopped_and_removed(system):
    code, _, err = system("--start")
    assert code == 1 and "--install" in err and system.calls() == []
    options = ("-k", "secret.key", "-p", "12000", "-a", "10.0.0.0/8", "-c", "QuietServer")
    code, _, err = system("--install", *options)
    assert code == 0, err
    text = system.unit.read_text()
    assert f'-S" "-k" "{system.key}" "-p" "12000" "-b" "127.0.0.1"' in text
    assert '"-c" "QuietServer" "-a" "10.0.0.0/8"' in text and f'ExecStart="{sys.executable}"' in text
    assert system("--start").code == 0 and system("--stop").code == 0
    assert system("--uninstall").code == 0
    assert not system.unit.exists()
    assert system.calls() == [
        "--user daemon-reload",
        f"--user enable {UNIT}",
        f"--user start {UNIT}",
        f"--user stop {UNIT}",
        f"--user disable --now {UNIT}",
        "--user daemon-reload",
    ]


@pytest.mark.row("EC-06")
def test_what_systemctl_says_is_passed_on(system):
    code, _, err = system("--install", "-k", "secret.key", fail_at="enable")
    assert (code, err) == (4, "Failed: the bus said no\n")
    assert not system.unit.exists()
    assert system("--install", "-k", "secret.key").code == 0
    code, _, err = system("--start", fail_at="start")
    assert (code, err) == (4, "Failed: the bus said no\n")


@pytest.mark.row("EC-06")
def test_a_system_without_systemd_is_unsupported(system, tmp_path):
    code, _, err = system("--install", "-k", "secret.key", PATH=str(tmp_path))
    assert code == 1 and "unsupported" in err
    code, _, err = system("--install", "-k", "no.key")
    assert code == 1 and "no.key" in err and not system.unit.exists()


@pytest.mark.row("EC-06")
@pytest.mark.parametrize("for_system", [True, False])
def test_systemd_takes_the_unit(tmp_path, for_system):
    program = shutil.which("systemd-analyze")
    if program is None:
        unavailable("systemd", "no systemd-analyze on this machine")
    path = tmp_path / UNIT
    odd = 'it"s 100% \\ $HOME'
    path.write_text(unit([sys.executable, "-m", "dispycos.easycluster", "-S", "-k", odd], system=for_system))
    found = subprocess.run(
        [program, "verify", "--man=no", *([] if for_system else ["--user"]), str(path)],
        capture_output=True,
        text=True,
        timeout=50,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
    )
    assert UNIT not in found.stderr, found.stderr
    assert found.returncode == 0, found.stderr
