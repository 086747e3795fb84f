"""Pools of workers by Slurm if it is here, else on this machine.

Layer 8. Row CW-15.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from dispycos.launch import slurm as launch_slurm
from dispycos.workers import mp, slurm
from dispycos.workers.places import PORT

log = logging.getLogger("dispycos")


def start(nworkers: int | None = None, *, port: int = PORT, log_dir: str | None = None) -> str:
    """Start a master and workers; the host to give to ClusterExecutor. See `mp.start` and `slurm.start`.

    nworkers  None: one for each processor here; with Slurm a number is needed.
    port      of the master; 0: any.
    """
    if _by_slurm():
        return slurm.start(_needed(nworkers), port=port, log_dir=log_dir)
    return mp.start(nworkers, port=port, log_dir=log_dir)


def stop(port: int | str = PORT) -> int:
    """End what `start` started; how many jobs of Slurm, or processes, that were."""
    return slurm.stop(port) if _by_slurm() else mp.stop(port)


@contextlib.contextmanager
def allocate(nworkers: int | None = None, *, log_dir: str | None = None) -> Iterator[str]:
    """A pool for a `with` block; it is ended however the block is left."""
    pool = (
        slurm.allocate(_needed(nworkers), log_dir=log_dir)
        if _by_slurm()
        else mp.allocate(nworkers, log_dir=log_dir)
    )
    with pool as host:
        yield host


def _by_slurm() -> bool:
    if not launch_slurm.installed():
        return False
    problem = slurm.problem()
    if problem:
        log.warning("Slurm is installed and does not answer, so the pool is one of this machine: %s", problem)
    return not problem


def _needed(nworkers: int | None) -> int:
    if nworkers is None:
        raise ValueError("nworkers says how many jobs Slurm is to run: give a number")
    return nworkers
