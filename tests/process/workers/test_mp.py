"""Pools on this machine: started and stopped by command, or for a block."""

from __future__ import annotations

import os
import re
import socket
import sys
from pathlib import Path

import psutil
import pytest

from dispycos.workers import ClusterExecutor, PoolError, mp
from tests.helpers import alive, run_main, run_program, wait_until

MP = [sys.executable, "-m", "dispycos.workers.mp"]

pytestmark = pytest.mark.usefixtures("program")


@pytest.fixture(autouse=True)
def _own_notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another run's pools are not ours."""
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("TMPDIR", str(tmp_path))


@pytest.mark.row("CW-13")
@pytest.mark.row("CW-16")
def test_a_pool_is_started_and_stopped_by_command(folder: Path) -> None:
    started = run_program([*MP, "-n", "2", "--port", "0", "--log-dir", "logs", "start"], cwd=folder)
    assert started.code == 0, started.err
    host = re.findall(r"localhost:(\d+)", started.out)[0]
    stranger = psutil.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        with ClusterExecutor(f"localhost:{host}") as executor:
            assert list(executor.map(abs, range(-5, 0))) == [5, 4, 3, 2, 1]
            executor.submit(print, "a job printed this").result(20)
        logs = folder / "logs"
        assert f"ready at 127.0.0.1:{host}" in (logs / "cmaster.out").read_text()
        wait_until(lambda: "a job printed this" in (logs / "cworkers.out").read_text())
        assert (logs / "cworkers.out").read_text().count("dispycos worker") == 2
        twice = run_main(mp.main, "--port", host, "start")
        assert twice.code == 1
        assert "stop" in twice.err
        stopped = run_program([*MP, "--port", host, "stop"], cwd=folder)
        assert (stopped.code, stopped.out) == (0, "3 processes ended\n")
        assert alive(stranger.pid)
        again = run_main(mp.main, "--port", host, "stop")
        assert again.code == 1
        assert f"port {host}" in again.err
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.row("CW-15")
def test_a_pool_for_a_block_ends_with_it_also_after_an_error(folder: Path) -> None:
    with pytest.raises(LookupError), mp.allocate(1) as host, ClusterExecutor(host) as executor:
        pid = executor.submit(os.getpid).result(20)
        raise LookupError("an error of the test")
    assert not alive(pid)
    with pytest.raises(PoolError, match="no pool"):
        mp.stop(host)


@pytest.mark.row("CW-13")
def test_a_master_that_cannot_start_is_told_with_its_own_words(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PoolError, match=f"(?s)status 1: .*{port}"):
            mp.start(1, port=port)
    with pytest.raises(ValueError, match="nworkers must be at least 1"):
        mp.start(0)
    with pytest.raises(PoolError, match="no pool"):
        mp.stop(port)
