"""Pools of workers: a master, its workers, and programs that send them jobs."""

from __future__ import annotations

from dispycos.surface import TYPE_CHECKING, on_use

if TYPE_CHECKING:
    from dispycos.workers.client_thread import ClientThread
    from dispycos.workers.cluster_executor import ClusterExecutor
    from dispycos.workers.errors import MasterLost, NoMaster, RemoteException, WorkerLost
    from dispycos.workers.mp import PoolError
    from dispycos.workers.pools import allocate, start, stop
    from dispycos.workers.slurm import master_host

__all__ = [
    "ClientThread",
    "ClusterExecutor",
    "MasterLost",
    "NoMaster",
    "PoolError",
    "RemoteException",
    "WorkerLost",
    "allocate",
    "master_host",
    "start",
    "stop",
]

__getattr__, __dir__ = on_use(
    globals(),
    {
        "ClientThread": "workers.client_thread",
        "ClusterExecutor": "workers.cluster_executor",
        "MasterLost": "workers.errors",
        "NoMaster": "workers.errors",
        "PoolError": "workers.mp",
        "RemoteException": "workers.errors",
        "WorkerLost": "workers.errors",
        "allocate": "workers.pools",
        "master_host": "workers.slurm",
        "start": "workers.pools",
        "stop": "workers.pools",
    },
)
