"""What status messages tell, made in pycos's words; ours are taken for them.

Layer 7. Rows CO-04, CO-08.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from dispycos import model


class _Words(type):
    """The class of a record that programs may also make by themselves."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, cls._record())

    def _record(cls) -> type:
        raise NotImplementedError


class _NodeWords(_Words):
    def __call__(
        cls, name: str, addr: str, cpus: int, platform: str, avail_info: model.DispycosNodeAvailInfo
    ) -> model.DispycosNodeAvailInfo:
        return replace(avail_info, name=name, cpus=cpus, platform=platform)

    def _record(cls) -> type:
        return model.DispycosNodeAvailInfo


class DispycosNodeInfo(metaclass=_NodeWords):
    """A node: `DispycosNodeInfo(name, addr, cpus, platform, avail_info)`."""


class _TaskWords(_Words):
    def __call__(cls, task: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> model.TaskInfo:
        return model.TaskInfo(task, args, kwargs, time.time())

    def _record(cls) -> type:
        return model.TaskInfo


class DispycosTaskInfo(metaclass=_TaskWords):
    """A task as it was created: `DispycosTaskInfo(task, args, kwargs)`."""
