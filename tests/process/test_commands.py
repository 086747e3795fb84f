"""The commands of `dispycos` that are no scheduler."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from dispycos import cli, entry, keyfile
from dispycos.commands import manifests, programs
from tests.helpers import ROOT, run_main, run_program

DISPYCOS = [sys.executable, "-m", "dispycos"]


@pytest.mark.row("SE-05", "SE-02")
def test_a_key_is_made_once_and_its_fingerprint_shown(tmp_path: Path) -> None:
    path = tmp_path / "key"
    code, made, err = run_program([*DISPYCOS, "key", "new", str(path)])
    assert code == 0, err
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text().split()[-1] not in made
    where, fingerprint = made.splitlines()
    assert [fingerprint] == keyfile.fingerprints(path) and str(path) in where
    assert run_program([*DISPYCOS, "key", "fingerprint", str(path)])[:2] == (0, f"{fingerprint}\n")
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


def test_config_prints_a_file_that_says_of_each_setting_who_set_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "config.toml"
    path.write_text('udp_port = 9800\n[client]\nscheduler = "head"\n')
    monkeypatch.setenv("DISPYCOS_CONFIG", str(path))
    monkeypatch.setenv("DISPYCOS_NODE_SERVE", "3")
    monkeypatch.setenv("DISPYCOS_SECRET", "planted-secret")
    options = ["--cpus", "2", "--secret", "planted-secret"]
    code, out, err = run_main(cli.main, "config", "--show-origin", "node", *options)
    assert (code, err) == (0, "")
    lines = [line.split(maxsplit=3) for line in out.splitlines()]
    told = [" ".join(line.split()) for line in out.splitlines()]
    assert ["cpus", "=", "2", "# option --cpus"] in lines
    assert ["udp_port", "=", "9800", f"# {path}, line 1"] in lines
    assert ["serve", "=", "3", "# DISPYCOS_NODE_SERVE"] in lines
    assert "planted" not in out
    # Of a default, what it stands for.
    assert {"# zombie_period = 0 # default: never", "# min_pulse_interval = 10 # default"} <= {*told}
    assert {"# name = # default: host name", "# peer = # default: none"} <= {*told}
    assert {
        "# ip_addr = # default: that of the default route",
        "# max_file_size = # default: what the disk holds",
    } <= {*told}
    # It is a file itself, and says the same when it is read.
    code, whole, _ = run_main(cli.main, "config")
    (tmp_path / "again.toml").write_text(whole)
    found = tomllib.loads(whole)
    assert found["node"] == {"udp_port": 9800, "serve": 3} and found["client"]["scheduler"] == "head"
    assert run_main(cli.main, "config", "--check", str(tmp_path / "again.toml"))[0] == 0
    path.write_text("[node]\ncpu = 1\n[scheduler]\nnode_port = 'x'\n")
    code, out, _ = run_main(cli.main, "config", "--check", str(path))
    assert code == 1 and "line 2: node.cpu" in out and "line 4: node_port" in out
    code, out, err = run_program([sys.executable, "-m", "dispycos.node"])
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


@pytest.mark.row("DN-42")
def test_a_unit_is_refused_what_its_program_refuses_and_says_where_it_sees_nothing(tmp_path: Path) -> None:
    code, out, err = run_main(cli.main, "systemd", "node", "--", "--nosuch")
    assert (code, out) == (2, "") and "dispycosnode: error: unknown option --nosuch" in err
    assert run_main(cli.main, "systemd", "scheduler", "--", "--cpus", "2")[0] == 2
    code, out, _ = run_main(cli.main, "systemd", "--user", "node", "--", "--cpus", "2")
    assert code == 0 and '"--cpus" "2"' in out
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    told = [*manifests.out_of_reach(["/tmp/v/bin/dispycos", "/tmp/v/bin/python", "/usr/bin/env"])]
    assert len(told) == 1 and told[0].startswith("/tmp/v/bin/dispycos is hidden from this unit")
    (told,) = manifests.out_of_reach([str(closed / "bin" / "dispycos")], hidden=())
    assert "can't be read by the account of this unit" in told and "--user" in told


def test_health_asks_no_port_that_nobody_can_have() -> None:
    code, _, err = run_main(cli.main, "health", "-p", "0")
    assert code == 2 and "0 is no port that somebody could listen at" in err


def test_config_names_the_files_that_it_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("DISPYCOS_CONFIG", raising=False)
    code, out, _ = run_main(cli.main, "config", "client")
    assert code == 0 and f"# {tmp_path}/dispycos/config.toml: not there" in out.splitlines()
    monkeypatch.setenv("DISPYCOS_CONFIG", "")
    assert "no file is read" in run_main(cli.main, "config", "client")[1]


@pytest.mark.row("GN-06")
def test_ctrl_c_while_a_command_is_imported_ends_it_without_a_word(tmp_path: Path) -> None:
    # It hides what is raised, as an import of somebody else's may.
    hides = "try:\n    time.sleep(60)\nexcept BaseException:\n    pass\n"
    (tmp_path / "slow.py").write_text(f"import time\nprint('importing', flush=True)\n{hides}")
    line = [sys.executable, "-c", "import sys; from dispycos import entry; sys.exit(entry.run('slow'))"]
    with subprocess.Popen(
        line, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as begun:
        assert begun.stdout is not None and begun.stdout.readline() == "importing\n"
        begun.send_signal(signal.SIGINT)
        out, err = begun.communicate(timeout=20)
    assert (begun.returncode, out, err) == (130, "", "")


@pytest.mark.row("GN-06")
def test_next_to_nothing_is_imported_before_a_command_hears_ctrl_c() -> None:
    # Those packages whose modules are programs: Python imports them before the module begins.
    packages = "dispycos.workers, dispycos.gateways, dispycos.rpc, dispycos.easycluster, dispycos.node"
    line = f"import os, sys; before = {{*sys.modules}}; from dispycos import entry; import {packages}"
    told = "print(*(name for name in sys.modules if name not in before and name[:8] != 'dispycos'))"
    # Without `site`, which may import what it likes.
    code, out, err = run_program(
        [sys.executable, "-S", "-c", f"{line}; {told}"], env={"PYTHONPATH": str(ROOT)}
    )
    assert (code, out.split(), err) == (0, ["__future__"], "")


@pytest.mark.row("GN-06")
def test_ctrl_c_at_the_moment_that_it_becomes_an_exception_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    become = entry.signal.signal

    def pressed_then(number: int, handler: Any) -> Any:
        before = become(number, handler)
        if handler is signal.default_int_handler:
            signal.raise_signal(signal.SIGINT)
        return before

    monkeypatch.setattr(entry.signal, "signal", pressed_then)
    assert entry.run("dispycos.cli") == entry.INTERRUPTED


@pytest.mark.row("GN-06")
@pytest.mark.parametrize("name", programs.MODULES)
def test_a_module_that_is_a_program_begins_before_its_imports(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    monkeypatch.setattr(entry, "run", lambda module: begun.append(module) or 7)
    monkeypatch.setattr(entry, "load", lambda module: lambda: entry.run(module))
    spec = importlib.util.find_spec(name if name != "dispycos.compat" else f"{name}.__main__")
    assert spec is not None and spec.origin is not None
    text = Path(spec.origin).read_text(encoding="utf-8")
    # What stands above its beginning imports nothing that takes long.
    head, begins, _ = text.partition('if __name__ == "__main__":')
    assert begins and head.rpartition('"""')[2].strip() == "from __future__ import annotations"
    with pytest.raises(SystemExit, match="7"):
        exec(compile(text, spec.origin, "exec"), {"__name__": "__main__"})
    assert begun == [spec.name]
