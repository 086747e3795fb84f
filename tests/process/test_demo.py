"""`make demo`: counts a folder on a cluster, and agrees with itself."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import ROOT, environment, run_program, run_python

DEMO = [sys.executable, "-m", "dispycos.demo"]


@pytest.fixture
def library(tmp_path: Path) -> Path:
    for number in range(40):
        (tmp_path / f"m{number}.py").write_text(f"import os\n\n\ndef f{number}():\n    return os\n")
    (tmp_path / "bad.py").write_bytes(b"x = '\xff'\n")
    return tmp_path


@pytest.mark.row("DC-59", "DC-66", "MO-02")
def test_the_demo_counts_the_same_on_a_cluster_and_alone_also_where_the_monitors_port_is_taken(library):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        setup = f"from dispycos.httpd import listening; listening.PORT = {port}\n"
        arguments = ["--cpus", "2", "--folder", str(library)]
        code, out, err = run_python(
            setup + f"from dispycos import demo; raise SystemExit(demo.main({arguments}))\n",
            timeout=50,
            cwd=ROOT,
        )

    assert code == 0, out + err
    assert "41 files" in out.splitlines()[0]
    assert "both counts agree" in out
    assert "  functions           40\n" in out
    assert out.count("127.0.0.1:") == 2
    assert "41 of 41" in err
    found = re.search("dispycos monitor: http://127.0.0.1:([0-9]+)", err)
    assert found and int(found[1]) != port


@pytest.mark.row("MO-02")
def test_the_demo_runs_without_a_monitor(library):
    arguments = ["--cpus", "1", "--folder", str(library), "--no-web"]
    code, out, err = run_program([*DEMO, *arguments], timeout=50, cwd=ROOT)
    assert code == 0, out + err
    assert "dispycos monitor: " not in err


def test_the_demo_says_what_is_wrong_with_its_folder(tmp_path):
    code, out, err = run_program([*DEMO, "--folder", str(tmp_path)], cwd=ROOT)
    assert (code, out) == (2, "")
    assert "no .py file" in err


@pytest.mark.row("GN-06", "R-20")
def test_ctrl_c_ends_the_demo_without_a_traceback(library):
    for number in range(40, 400):
        (library / f"m{number}.py").write_text("x = [" + "1," * 100_000 + "]\n")
    with subprocess.Popen(
        [*DEMO, "--cpus", "2", "--folder", str(library)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment(),
    ) as process:
        assert process.stdout
        assert process.stdout.readline().startswith("Counting")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=40)
    assert process.returncode in (130, -signal.SIGINT)
    assert "Traceback" not in out + err
    assert "interrupted" in err
