"""Pools by Slurm: a real one of this machine alone."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from dispycos.workers import ClusterExecutor, PoolError, slurm
from tests.helpers import run_main, run_program, wait_until
from tests.process.workers.slurm import cluster, jobs

__all__ = ["cluster"]

SLURM = [sys.executable, "-m", "dispycos.workers.slurm"]

# A docker whose images are this machine: it does what `docker run --rm IMAGE ARGS` says of entry
# points, environment and arguments.
DOCKER = """\
#!{python}
import json, os, sys
arguments = sys.argv[1:]
with open({log!r}, "a") as file:
    file.write(json.dumps(arguments) + "\\n")
at = arguments.index("an/image:7")
for argument in arguments[:at]:
    if argument.startswith("--mount="):
        mount = dict(part.partition("=")[::2] for part in argument.removeprefix("--mount=").split(","))
for argument in arguments[:at]:
    if argument.startswith("--env="):
        name, _, value = argument.removeprefix("--env=").partition("=")
        os.environ[name] = mount["source"] if value == mount["target"] else value
os.execv({python!r}, [{python!r}, *arguments[at + 1:]])
"""


@pytest.mark.row("CW-04")
@pytest.mark.row("CW-11")
@pytest.mark.row("CW-12")
@pytest.mark.row("CW-14")
@pytest.mark.row("CW-16")
def test_slurm_starts_and_stops_a_pool_and_does_no_more(
    cluster: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    monkeypatch.chdir(logs)
    with pytest.raises(PoolError, match="no master"):
        slurm.master_host()
    # What Slurm refuses is shown in its own words, and leaves nothing.
    refused = run_main(slurm.main, "-n", "1", "-W", "--partition=nosuch", "start")
    assert refused.code == 1
    assert "nosuch" in refused.err or "invalid partition" in refused.err.lower()
    assert "Traceback" not in refused.err
    wait_until(lambda: not jobs(cluster), 30)
    # Options reach jobs and programs.
    given = ["-M", "--comment=of-the-master", "--Xmaster", "--name=chief", "--Xworkers", "--name=hand"]
    started = run_program([*SLURM, "-n", "2", *given, "start"], cwd=logs)
    assert started.code == 0, started.err
    stranger = run_program(
        ["sbatch", "--wrap=sleep 100", "--output=/dev/null", "--job-name=stranger"], cwd=logs
    )
    assert stranger.code == 0, stranger.err
    with ClusterExecutor(slurm.master_host()) as executor:
        # Whatever becomes of the controller: calls go on.
        assert list(executor.map(abs, range(-5, 0))) == [5, 4, 3, 2, 1]
        assert executor.submit(os.getcwd).result(30) == os.getcwd()
    assert "chief joined" not in (logs / "cmaster.out").read_text()
    assert "dispycos worker hand ready" in (logs / "cworkers.out").read_text()
    again = run_main(slurm.main, "-n", "2", "start")
    assert again.code == 1
    assert "stop" in again.err
    stopped = run_program([*SLURM, "stop"], cwd=logs)
    assert (stopped.code, stopped.out) == (0, "3 jobs cancelled\n")
    wait_until(lambda: list(jobs(cluster).values()) == ["RUNNING"], 30, "only the stranger's job to be left")
    # In a container; and a block's pool ends with the block.
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(DOCKER.format(python=sys.executable, log=str(tmp_path / "docker.log")))
    docker.chmod(0o755)
    assert not (tmp_path / "docker.log").exists()
    env = {"PATH": f"{docker.parent}:{os.environ['PATH']}"}
    image = ["--docker-image", "an/image:7", "--docker-args", "-v /shared:/shared"]
    started = run_program([*SLURM, "-n", "1", *image, "start"], cwd=logs, env=env)
    assert started.code == 0, started.err
    with ClusterExecutor(slurm.master_host()) as executor:
        assert executor.submit(abs, -1).result(30) == 1
    said = (tmp_path / "docker.log").read_text()
    assert '"run", "--rm"' in said
    assert '"-v", "/shared:/shared", "an/image:7", "-m", "dispycos.workers.worker"' in said
    assert slurm.stop() == 2


@pytest.mark.row("CW-11")
def test_without_slurm_it_is_said_and_wrong_usage_too(tmp_path: Path) -> None:
    missing = run_program([*SLURM, "-n", "1", "start"], env={"PATH": str(tmp_path)}, cwd=tmp_path)
    assert missing.code == 1
    assert "squeue is not here" in missing.err
    assert run_program([*SLURM, "start"], cwd=tmp_path).code == 2
