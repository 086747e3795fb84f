"""Nodes by Slurm: a real one of this machine alone."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dispycos import Client, Pycos, Scheduler, SlurmCluster
from dispycos.commands import slurm as command
from dispycos.launch import slurm
from tests.helpers import Finished, run_main, run_program, wait_until
from tests.process.clusters import program
from tests.process.workers.slurm import cluster, jobs
from tests.process.workers.test_slurm import DOCKER

__all__ = ["cluster", "program"]

SLURM = [sys.executable, "-m", "dispycos", "slurm"]


def naps(gate: str, task=None) -> Iterator[object]:
    open(f"{gate}-began", "w").close()
    while not os.path.exists(gate):
        yield task.sleep(0.05)
    return "whole"


@contextlib.contextmanager
def telling(logs: Path) -> Iterator[None]:
    """What Slurm and the nodes said, if they are waited for in vain."""
    try:
        yield
    except AssertionError as exc:
        said = [f"{path.name}:\n{path.read_text()}" for path in logs.glob("*.out")]
        raise AssertionError("\n".join([str(exc), str(slurm.jobs("dispycosnode-nodes")), *said])) from None


@pytest.mark.row("CW-11", "CW-14", "CW-12", "DN-22")
def test_slurm_starts_nodes_that_find_their_client_and_end_with_their_tasks(
    cluster: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logs = tmp_path / "logs"

    def say(*words: str, env: dict[str, str] | None = None) -> Finished:
        return run_program([*SLURM, *words], cwd=tmp_path, env=env)

    code, _, err = run_main(command.main, "status")
    assert code == 1 and "no nodes 'nodes' wait or run" in err
    refused = run_main(command.main, "-n", "1", "-S", "--partition=nosuch", "start")
    assert refused.code == 1 and "partition" in refused.err.lower() and "Traceback" not in refused.err

    pycos = Pycos(node="127.0.0.1", udp_port=0)
    here = str(pycos.location)
    # Tests may be root. The machine's own address would do as well.
    more = ["--", "--ip_addr", "127.0.0.1"]
    given = ["--peer", here, "--log-dir", str(logs), "-S", "--cpus-per-task=2"]
    started = say("-n", "2", *given, "start", *more)
    assert started.code == 0, started.err
    assert f"write to {logs}/dispycosnode-*.out" in started.out
    assert "there already" in run_main(command.main, "-n", "1", "start").err

    Scheduler()
    client = Client()
    assert client.schedule().result(30) == 0
    # Both on this machine, each with the processors that Slurm gave it.
    with telling(logs):
        wait_until(lambda: len(client.servers().result()) == 4, 40, "4 servers of 2 nodes")
    assert sum(client.map(abs, range(-3, 0))) == 6
    code, out, _ = run_main(command.main, "status")
    assert code == 0 and out.splitlines()[-1] == "2 running"

    gate = str(tmp_path / "gate")
    task = client.rtask(naps, gate).result(20)
    wait_until(lambda: os.path.exists(f"{gate}-began"))
    found = slurm.jobs("dispycosnode-nodes")
    slurm.signal((job.number for job in found), "USR1")
    wait_until(lambda: len(slurm.jobs("dispycosnode-nodes")) == 1, 20, "the idle node to go")
    open(gate, "w").close()
    assert task.value(20) == "whole"
    wait_until(lambda: not jobs(cluster), 20, "the other node to go")
    assert list((logs).glob("dispycosnode-*.out"))

    # In a container; one that runs when the time is over is ended.
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(DOCKER.format(python=sys.executable, log=str(tmp_path / "docker.log")))
    docker.chmod(0o755)
    env = {"PATH": f"{docker.parent}:{os.environ['PATH']}"}
    image = ["--docker-image", "an/image:7", "--docker-args", "-v /shared:/shared"]
    started = say("-n", "1", "--name", "boxed", *given, *image, "start", *more, env=env)
    assert started.code == 0, started.err
    wait_until(lambda: client.nodes().result(), 40, "the node of the container")
    os.unlink(gate)
    os.unlink(f"{gate}-began")
    endless = client.rtask(naps, gate).result(20)
    wait_until(lambda: os.path.exists(f"{gate}-began"), 20)
    stopped = say("--name", "boxed", "--wait", "0.5", "stop")
    assert (stopped.code, stopped.out) == (0, "1 node ended\n")
    assert "tasks of 1 node still ran after 0.5 s" in stopped.err
    # Its future fails, and says of what.
    assert "whole" not in str(endless.value(20))
    assert (
        '"-v", "/shared:/shared", "an/image:7", "-m", "dispycos.node"'
        in (tmp_path / "docker.log").read_text()
    )
    # Of a program itself: as many as it asks for, each a job, and none when it is over.
    with pytest.raises(ValueError, match="at least 1"):
        SlurmCluster(servers=0)
    # Also where sbatch is told to give it more processors than it was to have servers.
    with SlurmCluster(["--cpus-per-task=3"], servers=2, log_dir=str(logs), options=more[1:]) as own:
        assert own.scale(2).result(60) == 2
        wait_until(lambda: len(client.servers().result()) == 4, 40, "4 servers of 2 nodes")
        assert sum(client.map(abs, range(-3, 0))) == 6
        assert own.scale(1).result(60) == 1
        wait_until(lambda: len(client.servers().result()) == 2, 20)
    assert not jobs(cluster)
    with SlurmCluster(["--partition=nosuch"], log_dir=str(logs)) as own:
        own.scale(1)
        wait_until(lambda: "did not start: sbatch failed" in caplog.text, 20)
    # Why one waits, as Slurm says it.
    with SlurmCluster(["--begin=now+1hour"], log_dir=str(logs)) as own:
        own.scale(1)
        wait_until(lambda: [*own.status()["pending"].values()] == ["BeginTime"], 20)
        assert own.scale(0).result(20) == 0 and own.status()["pending"] == {}
    client.close().result(20)


@pytest.mark.row("CW-11", "SE-121")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["start"], "start needs -n N"),
        (["-n", "0", "start"], "start needs -n N"),
        (["-n", "1", "start", "--", "--nonsense"], "--nonsense"),
        (["-n", "1", "--peer", "nowhere", "start"], "no HOST:PORT"),
        (["stop", "--", "--cpus"], "are for start"),
        (["sideways"], "is none of start, status, stop"),
    ],
)
def test_wrong_usage_is_told(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        command.main(words)
    assert said in capsys.readouterr().err


@pytest.mark.row("SE-121", "CW-11")
def test_names_of_jobs_and_images_are_nothing_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for bad in ("a\n#SBATCH --wrap=x", "-x", "a,b", "a b", ""):
        with pytest.raises(ValueError, match="no name of a job"):
            slurm.name(bad)
    for bad in ("--privileged", "a b", ""):
        with pytest.raises(ValueError, match="no name of an image"):
            slurm.in_docker(bad, [], [])
    monkeypatch.setenv("PATH", str(tmp_path))
    assert command.main(["-n", "1", "start"]) == 1
    assert "squeue is not here" in capsys.readouterr().err
