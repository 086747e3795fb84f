"""What `import pycos` gives: tasks of this process, and no network until pycos.netpycos is imported."""

import pickle as _pickle
import sys as _sys

from dispycos.compat import local as _local
from dispycos.compat import values as _values
from dispycos.compat.local import Pycos
from dispycos.compat.location import Location
from dispycos.compat.logger import Logger, logger
from dispycos.compat.record import Struct
from dispycos.compat.singleton import Singleton
from dispycos.compat.socket import AsyncSocket
from dispycos.compat.sync import Condition, Event
from dispycos.compat.systask import SysTask
from dispycos.compat.values import deserialize, serialize
from dispycos.config import MsgTimeout
from dispycos.errors import HotSwapException
from dispycos.kernel.channel import Channel
from dispycos.kernel.core import Kernel as _Kernel
from dispycos.kernel.mailbox import CategorizeMessages
from dispycos.kernel.sync import Lock, RLock, Semaphore
from dispycos.kernel.task import Task
from dispycos.kernel.threads import AsyncDBCursor, AsyncThreadPool
from dispycos.model import MonitorStatus

from . import config

__version__ = "4.12.2"

PickleProtocolVersion = _pickle.HIGHEST_PROTOCOL

__all__ = [
    "AsyncDBCursor",
    "AsyncSocket",
    "AsyncThreadPool",
    "CategorizeMessages",
    "Channel",
    "Condition",
    "Event",
    "HotSwapException",
    "Location",
    "Lock",
    "Logger",
    "MonitorStatus",
    "Pycos",
    "RLock",
    "Semaphore",
    "Singleton",
    "Task",
    "deserialize",
    "logger",
    "serialize",
]

_sys.modules[__name__].__class__ = _values.Program
_Kernel.old_returns = True
_local.give_tasks_a_scheduler()
