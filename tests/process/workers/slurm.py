"""A real Slurm on this machine alone: munge, a controller and one node, with files of their own."""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers import background, unavailable, wait_until

CONFIG = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=15
SchedulerParameters=defer_batch,bf_interval=1,sched_min_interval=100000
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@contextlib.contextmanager
def one_machine(folder: Path) -> Iterator[dict[str, str]]:
    """Run it; the variables of programs that use it. Skips where it is not installed or not allowed."""
    os.environ["PATH"] += os.pathsep + "/usr/sbin"
    for command in ("munged", "slurmctld", "slurmd", "sbatch"):
        if shutil.which(command) is None:
            unavailable("slurm", f"{command} is not installed (Debian: slurm-wlm)")
    if os.geteuid() != 0:
        unavailable("slurm", "slurmd runs jobs as root only")
    host = socket.gethostname().partition(".")[0]
    config = folder / "slurm.conf"
    for name in ("state", "spool"):
        (folder / name).mkdir()
    config.write_text(
        CONFIG.format(host=host, folder=folder, user=getpass.getuser(), ports=_two_ports()), encoding="ascii"
    )
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    files = {"socket": "munge.socket", "key-file": "munge.key", "pid-file": "munge.pid",
             "log-file": "munge.log", "seed-file": "munge.seed"}  # fmt: skip
    munged = [
        "munged",
        "--foreground",
        "--force",
        *(f"--{name}={folder / file}" for name, file in files.items()),
    ]
    env = {"SLURM_CONF": str(config)}
    controller = ["slurmctld", "-D", "-c", "-f", str(config)]
    node = ["slurmd", "-D", "-N", host, "-f", str(config)]
    with background(munged) as munge:
        wait_until((folder / "munge.socket").exists, 10, "munged to listen")
        with background(controller, env=env) as control, background(node, env=env) as daemon:
            try:
                wait_until(lambda: "idle" in _said("sinfo", "--noheader", "--format=%T", env=env), 30)
            except AssertionError:
                unavailable("slurm", " ".join((control.output + daemon.output).split())[-500:])
            try:
                yield env
            finally:
                _said("scancel", "--me", env=env)
                with contextlib.suppress(AssertionError):
                    wait_until(lambda: not _said("squeue", "--noheader", env=env).strip(), 30)
                for program in (daemon, control, munge):
                    program.process.terminate()
                for program in (daemon, control, munge):
                    program.wait(20)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: None) -> Iterator[dict[str, str]]:
    """It, for the programs of a test; its variables."""
    monkeypatch.setenv("PATH", os.environ["PATH"])
    with one_machine(tmp_path) as env:
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        yield env


def _said(*command: str, env: dict[str, str]) -> str:
    done = subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, check=False)
    return done.stdout


def jobs(env: dict[str, str]) -> dict[str, str]:
    """State of each job by its name and number."""
    lines = _said("squeue", "--noheader", "--array", "--format=%j %i %T", env=env).splitlines()
    return {re.sub(r" \d+", "", f"{name} {number}"): state for name, number, state in map(str.split, lines)}


def _two_ports() -> tuple[int, int]:
    # Slurm takes no 0. Nobody else asks for these between here and there.
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]
