"""Pools of workers: a master, its workers, and programs that send them jobs."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

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

_HOMES = {
    "ClientThread": "client_thread",
    "ClusterExecutor": "cluster_executor",
    "MasterLost": "errors",
    "NoMaster": "errors",
    "PoolError": "mp",
    "RemoteException": "errors",
    "WorkerLost": "errors",
    "allocate": "pools",
    "master_host": "slurm",
    "start": "pools",
    "stop": "pools",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dispycos.workers' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"dispycos.workers.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
