"""Nodes as jobs of Slurm: what their job script runs, and how they are told to end.

I/O half. Layer 3. Rules SE-53, SE-121.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from typing import Final

from dispycos.launch import slurm
from dispycos.launch.slurm import Job

DRAIN: Final = "USR1"  # the signal by which dispycosnode ends with its last task
LOG_OF_ANY: Final = "dispycosnode-*.out"

# Where the job runs. Several may share a machine, and an account's directory there: each has its own.
_WHERE_IT_RUNS: Final = (
    "import secrets, tempfile",
    "own = f\"dispycos-{os.getuid()}-slurm-{os.environ['SLURM_JOB_ID']}-{secrets.token_hex(4)}\"",
    "folder = os.path.join(tempfile.gettempdir(), own)",
    'ours = ["--cpus", os.environ.get("SLURM_CPUS_ON_NODE", "1"), "--dest_path", folder]',
)


def job_name(name: str) -> str:
    """What the jobs of a set of nodes are called."""
    return f"dispycosnode-{name}"


def submit(
    name: str,
    number: int,
    arguments: Sequence[str],
    *,
    udp: bool = True,
    folder: str,
    sbatch: Sequence[str] = (),
    secret_file: str | None = None,
    image: str = "",
    docker: Sequence[str] = (),
) -> str:
    """Submit so many nodes as one job array; its number.

    arguments  of dispycosnode; they win over what is said here.
    udp        whether they look for a scheduler by UDP.
    folder     of their output, on all machines.
    image      of a container to run them in; docker: arguments of `docker run`.
    SlurmError has Slurm's words.
    """
    # They are found by what they dial, so any ports will do: several may share a machine.
    words = ["dispycos.node", "--daemon", "--tcp_ports=0", *([] if udp else ["--udp_port=0"])]
    if secret_file and not image:
        words.append(f"--secret_file={secret_file}")
    words += arguments
    command = slurm.in_docker(image, docker, words, secret_file) if image else [sys.executable, "-m", *words]
    log = os.path.join(folder, "dispycosnode-%A-%a.out")
    options = [f"--array=1-{number}", "--nodes=1", "--ntasks=1", *sbatch]
    # What the job says of itself comes before the options of the user, who may know better.
    at = len(command) - len(arguments)
    return slurm.submit(
        job_name(name), command, log, options, [*_WHERE_IT_RUNS, f"command[{at}:{at}] = ours"]
    )


def drain(jobs: Sequence[Job]) -> None:
    """Have nodes end with their last task; those that wait for a machine are cancelled."""
    slurm.cancel(job.number for job in jobs if job.state != "RUNNING")
    slurm.signal((job.number for job in jobs if job.state == "RUNNING"), DRAIN)


def end(names: Sequence[str], wait: float) -> tuple[int, int]:
    """Drain sets of nodes, and cancel what has tasks after `wait` seconds: how many, and of these."""
    called = [job_name(name) for name in names]
    found = left = slurm.jobs(*called)
    drain(found)
    deadline = time.monotonic() + wait
    while left and time.monotonic() < deadline:
        time.sleep(slurm.LOOK_EVERY)
        left = slurm.jobs(*called)
    slurm.cancel(job.number for job in left)
    return len(found), len(left)
