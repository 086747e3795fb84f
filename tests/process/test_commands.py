"""The commands of `dispycos` that are no scheduler."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from dispycos import cli, keyfile
from tests.helpers import run_main, run_program

DISPYCOS = [sys.executable, "-m", "dispycos"]


@pytest.mark.row("SE-05", "SE-02")
def test_a_key_is_made_once_and_its_fingerprint_shown(tmp_path: Path) -> None:
    path = tmp_path / "key"
    code, made, err = run_program([*DISPYCOS, "key", "new", str(path)])
    assert code == 0, err
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text().split()[-1] not in made
    assert made.split() == keyfile.fingerprints(path)
    assert run_program([*DISPYCOS, "key", "fingerprint", str(path)])[:2] == (0, made)
    code, out, err = run_program([*DISPYCOS, "key", "new", str(path)])
    assert (code, out) == (1, "") and f"{path} exists" in err


@pytest.mark.row("DS-02")
@pytest.mark.parametrize(
    "arguments", [["key"], ["key", "old"], ["dockerfile", "x"], ["why", "a", "b"], ["nonsense"]]
)
def test_wrong_use_of_a_command_ends_with_2_and_says_how_it_is_used(arguments: list[str]) -> None:
    code, out, err = run_main(cli.main, *arguments)
    assert (code, out) == (2, "")
    assert f"dispycos {arguments[0]}" in err or "is no command" in err


def test_config_prints_a_file_that_says_of_each_setting_who_set_it(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('udp_port = 9800\n[client]\nscheduler = "head"\n')
    env = {"DISPYCOS_CONFIG": str(path), "DISPYCOS_NODE_SERVE": "3", "DISPYCOS_SECRET": "planted-secret"}
    options = ["--cpus", "2", "--secret", "planted-secret"]
    code, out, err = run_program([*DISPYCOS, "config", "--show-origin", "node", *options], env=env)
    assert (code, err) == (0, "")
    lines = [line.split(maxsplit=3) for line in out.splitlines()]
    assert ["cpus", "=", "2", "# option --cpus"] in lines
    assert ["udp_port", "=", "9800", f"# {path}, line 1"] in lines
    assert ["serve", "=", "3", "# DISPYCOS_NODE_SERVE"] in lines
    assert "# zombie_period = 0" in out and "planted" not in out
    # It is a file itself, and says the same when it is read.
    code, whole, _ = run_program([*DISPYCOS, "config"], env=env)
    (tmp_path / "again.toml").write_text(whole)
    found = tomllib.loads(whole)
    assert found["node"] == {"udp_port": 9800, "serve": 3} and found["client"]["scheduler"] == "head"
    assert run_program([*DISPYCOS, "config", "--check", str(tmp_path / "again.toml")])[0] == 0
    path.write_text("[node]\ncpu = 1\n[scheduler]\nnode_port = 'x'\n")
    code, out, _ = run_program([*DISPYCOS, "config", "--check", str(path)])
    assert code == 1 and "line 2: node.cpu" in out and "line 4: node_port" in out
    code, out, err = run_program([sys.executable, "-m", "dispycos.node"], env={"DISPYCOS_CONFIG": str(path)})
    assert (code, out) == (2, "") and "line 2: node.cpu is not known here; did you mean 'cpus'?" in err


@pytest.mark.parametrize("command", [["config"], ["completion", "bash"]])
def test_whoever_reads_no_further_gets_no_words_for_it(command: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        ended = subprocess.run(
            [*DISPYCOS, *command], stdout=write, stderr=subprocess.PIPE, timeout=60, check=False
        )
    finally:
        os.close(write)
    assert (ended.returncode, ended.stderr) == (141, b"")


def test_a_question_for_health_makes_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    code, out, err = run_main(cli.main, "health", "127.0.0.1:1")
    assert (code, out) == (1, "") and not keyfile.default_path().exists()
    assert f"{keyfile.default_path()} does not exist: there is no key to ask with" in err
