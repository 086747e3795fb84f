"""Distributed communicating tasks on every CPU of every machine you own.

The public names, nothing else. Each is imported when it is first used, so that a program
pays for what it uses only: `import dispycos` alone takes less than a millisecond, and every
command of ours begins with it.
"""

from __future__ import annotations

from dispycos.surface import TYPE_CHECKING, on_use

if TYPE_CHECKING:
    from dispycos.client.allocation import DispycosNodeAllocate
    from dispycos.client.progress import progress
    from dispycos.client.waiting import as_completed, gather, wait
    from dispycos.clusters.local import LocalCluster
    from dispycos.clusters.slurm_cluster import SlurmCluster
    from dispycos.clusters.ssh_cluster import SSHCluster
    from dispycos.config import (
        IPV4_MULTICAST_GROUP,
        IPV6_MULTICAST_GROUP,
        DispycosNodePort,
        DispycosSchedulerPort,
        MaxConnectionErrors,
        MaxPulseInterval,
        MinPulseInterval,
        MsgTimeout,
        NetPort,
    )
    from dispycos.errors import (
        AuthenticationError,
        Closed,
        DispycosError,
        HotSwapException,
        MessageTooLarge,
        NotSerializable,
        PeerLost,
        PoisonTask,
        RemoteError,
        TaskCancelled,
        TaskLost,
        TaskRejected,
        Timeout,
    )
    from dispycos.gateways.client import Client
    from dispycos.gateways.client import Client as Computation
    from dispycos.kernel.channel import Channel
    from dispycos.kernel.mailbox import CategorizeMessages
    from dispycos.kernel.operation import Operation
    from dispycos.kernel.pipes import AsyncFile, AsyncPipe
    from dispycos.kernel.rps import RPS
    from dispycos.kernel.sockets import AsyncSocket
    from dispycos.kernel.sync import Condition, Event, Lock, RLock, Semaphore
    from dispycos.kernel.task import Task
    from dispycos.kernel.threads import AsyncDBCursor, AsyncThreadPool
    from dispycos.log import logger
    from dispycos.model import (
        DispycosNodeAvailInfo,
        DispycosStatus,
        Location,
        MonitorStatus,
        TaskInfo,
    )
    from dispycos.model import TaskInfo as DispycosTaskInfo
    from dispycos.objects.exposure import expose
    from dispycos.objects.remote import RemoteObject
    from dispycos.pycos import PeerStatus, Pycos
    from dispycos.scheduler.scheduler import Scheduler
    from dispycos.serial import deserialize, serialize

__all__ = [
    "IPV4_MULTICAST_GROUP",
    "IPV6_MULTICAST_GROUP",
    "RPS",
    "AsyncDBCursor",
    "AsyncFile",
    "AsyncPipe",
    "AsyncSocket",
    "AsyncThreadPool",
    "AuthenticationError",
    "CategorizeMessages",
    "Channel",
    "Client",
    "Closed",
    "Computation",
    "Condition",
    "DispycosError",
    "DispycosNodeAllocate",
    "DispycosNodeAvailInfo",
    "DispycosNodePort",
    "DispycosSchedulerPort",
    "DispycosStatus",
    "DispycosTaskInfo",
    "Event",
    "HotSwapException",
    "LocalCluster",
    "Location",
    "Lock",
    "MaxConnectionErrors",
    "MaxPulseInterval",
    "MessageTooLarge",
    "MinPulseInterval",
    "MonitorStatus",
    "MsgTimeout",
    "NetPort",
    "NotSerializable",
    "Operation",
    "PeerLost",
    "PeerStatus",
    "PoisonTask",
    "Pycos",
    "RLock",
    "RemoteError",
    "RemoteObject",
    "SSHCluster",
    "Scheduler",
    "Semaphore",
    "SlurmCluster",
    "Task",
    "TaskCancelled",
    "TaskInfo",
    "TaskLost",
    "TaskRejected",
    "Timeout",
    "as_completed",
    "deserialize",
    "expose",
    "gather",
    "logger",
    "progress",
    "serialize",
    "wait",
]

# name -> module, and the name in it where that differs.
_HOMES = {
    "AsyncDBCursor": "kernel.threads",
    "AsyncFile": "kernel.pipes",
    "AsyncPipe": "kernel.pipes",
    "AsyncSocket": "kernel.sockets",
    "AsyncThreadPool": "kernel.threads",
    "AuthenticationError": "errors",
    "CategorizeMessages": "kernel.mailbox",
    "Channel": "kernel.channel",
    "Client": "gateways.client",
    "Closed": "errors",
    "Computation": "gateways.client:Client",
    "Condition": "kernel.sync",
    "DispycosError": "errors",
    "DispycosNodeAllocate": "client.allocation",
    "DispycosNodeAvailInfo": "model",
    "DispycosStatus": "model",
    "DispycosTaskInfo": "model:TaskInfo",
    "Event": "kernel.sync",
    "HotSwapException": "errors",
    "LocalCluster": "clusters.local",
    "Location": "model",
    "Lock": "kernel.sync",
    "MessageTooLarge": "errors",
    "MonitorStatus": "model",
    "NotSerializable": "errors",
    "Operation": "kernel.operation",
    "PeerLost": "errors",
    "PeerStatus": "pycos",
    "PoisonTask": "errors",
    "Pycos": "pycos",
    "RLock": "kernel.sync",
    "RPS": "kernel.rps",
    "RemoteError": "errors",
    "RemoteObject": "objects.remote",
    "SSHCluster": "clusters.ssh_cluster",
    "Scheduler": "scheduler.scheduler",
    "Semaphore": "kernel.sync",
    "SlurmCluster": "clusters.slurm_cluster",
    "Task": "kernel.task",
    "TaskCancelled": "errors",
    "TaskInfo": "model",
    "TaskLost": "errors",
    "TaskRejected": "errors",
    "Timeout": "errors",
    "as_completed": "client.waiting",
    "deserialize": "serial",
    "expose": "objects.exposure",
    "gather": "client.waiting",
    "logger": "log",
    "progress": "client.progress",
    "serialize": "serial",
    "wait": "client.waiting",
}

# Read where they are kept, each time: a program may set others there (KE-33).
_SETTINGS = {
    "DispycosNodePort",
    "DispycosSchedulerPort",
    "IPV4_MULTICAST_GROUP",
    "IPV6_MULTICAST_GROUP",
    "MaxConnectionErrors",
    "MaxPulseInterval",
    "MinPulseInterval",
    "MsgTimeout",
    "NetPort",
}

# Names that need another module, which puts something in place when it is imported; all need `log`.
_WITH = {"Channel": "kernel.loop", "Location": "net.addresses", "RPS": "kernel.loop", "Task": "kernel.loop"}


def _before(name: str) -> tuple[str, ...]:
    if name in _SETTINGS:
        return ()
    return ("log", _WITH[name]) if name in _WITH else ("log",)


def _missing(name: str) -> str:
    import os

    if any(os.path.exists(os.path.join(__path__[0], name + end)) for end in (".py", "/__init__.py")):
        # `from dispycos import module` asks first, and tells nobody what it hears.
        return f"dispycos.{name} is a module: `import dispycos.{name}` before it is used"
    from dispycos.guidance import habits, hints

    return f"module 'dispycos' has no attribute {name!r}{hints.hint(habits.NAMES, name)}"


__getattr__, __dir__ = on_use(
    globals(),
    {**_HOMES, **dict.fromkeys(_SETTINGS, "config")},
    anew=_SETTINGS,
    before=_before,
    missing=_missing,
)
