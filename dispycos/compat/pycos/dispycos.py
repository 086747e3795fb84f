"""What `import pycos.dispycos` gives: clients that run tasks on the nodes of a cluster."""

import importlib as _importlib

from dispycos.compat.allocation import DispycosNodeAllocate
from dispycos.compat.client import Client
from dispycos.compat.location import Location
from dispycos.compat.logger import logger
from dispycos.compat.statuses import DispycosNodeInfo, DispycosTaskInfo
from dispycos.compat.systask import SysTask
from dispycos.config import MaxPulseInterval, MinPulseInterval, MsgTimeout
from dispycos.kernel.task import Task
from dispycos.model import DispycosNodeAvailInfo, DispycosStatus, MonitorStatus
from dispycos.scheduler.scheduler import Scheduler

_importlib.import_module(".netpycos", __package__)

Computation = Client

__all__ = [
    "Client",
    "Computation",
    "DispycosNodeAllocate",
    "DispycosNodeAvailInfo",
    "DispycosNodeInfo",
    "DispycosStatus",
    "DispycosTaskInfo",
    "Scheduler",
]
