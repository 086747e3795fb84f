"""SlurmCluster: nodes of this program that Slurm starts, as many as are asked for or as there is work for.

Each node is a job of its own, which dials this program's private scheduler; the key is the
account's, in the home directory that the machines share.

I/O half. Layer 5.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Never

from dispycos.arguments import integer
from dispycos.clusters.scalable import Scalable
from dispycos.clusters.slurm_jobs import SlurmJobs
from dispycos.guidance import habits, hints
from dispycos.launch import slurm
from dispycos.runtime import Network, runtime
from dispycos.scheduler.service import SchedulerService


class SlurmCluster(Scalable):
    """Nodes by Slurm for the clients of this program.

        with SlurmCluster(["--time=60"], servers=8) as cluster:
            cluster.adapt(0, 50)

    sbatch   options of sbatch for each node's job.
    servers  on each node, and the processors that sbatch is told to give it.
    log_dir  a folder on all machines for the nodes' output; None: the working directory.
    options  of dispycosnode; how many servers it has is said by `servers` alone.

    Clients of this program use its nodes, and others that reach its scheduler. It has none until it
    is to have some. When it closes, its jobs end with the tasks that they have, and those that are there
    20 seconds later are cancelled. SlurmError, at the start: Slurm does not answer.
    """

    def __init__(
        self,
        sbatch: Sequence[str] = (),
        *,
        servers: int = 1,
        log_dir: str | None = None,
        options: Sequence[str] = (),
        **unknown: Never,
    ) -> None:
        hints.refuse(type(self), unknown, habits.OF_SLURM)
        super().__init__(integer("servers", servers, least=1))
        self._sbatch = [f"--cpus-per-task={servers}", *sbatch]
        self._folder = os.path.abspath(log_dir or os.curdir)
        # Said to the node, too: its job may have more processors than it was to have servers.
        self._options = [*options, f"--cpus={servers}"]

    def _join(self) -> tuple[Network, bool]:
        slurm.ask("squeue", "--noheader", "--me")
        os.makedirs(self._folder, exist_ok=True)
        return runtime.network(), False

    def _make_launcher(self, network: Network, service: SchedulerService) -> SlurmJobs:
        return SlurmJobs(network, service, self._folder, self._sbatch, self._options)
