"""Code that runs at the far end of a gateway, and channels to it: the vocabulary of execnet.

    from dispycos.gateways import makegateway
    channel = makegateway("popen").remote_exec("channel.send(6 * 7)")
    print(channel.receive())

Each name is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dispycos.errors import DumpError, HostNotFound, LoadError
    from dispycos.errors import LoadError as DataFormatError
    from dispycos.errors import Timeout as TimeoutError  # noqa: A004 - execnet's name
    from dispycos.gateways.channel import Channel
    from dispycos.gateways.failure import RemoteError
    from dispycos.gateways.gateway import Gateway, RemoteStatus, RInfo
    from dispycos.gateways.group import Group, default_group, makegateway, set_execmodel
    from dispycos.gateways.kinds import PopenGateway, SocketGateway, SshGateway
    from dispycos.gateways.multichannel import MultiChannel
    from dispycos.gateways.plain import dump, dumps, load, loads
    from dispycos.gateways.rsync import RSync
    from dispycos.launch.spec import XSpec

__all__ = [
    "Channel",
    "DataFormatError",
    "DumpError",
    "Gateway",
    "Group",
    "HostNotFound",
    "LoadError",
    "MultiChannel",
    "PopenGateway",
    "RInfo",
    "RSync",
    "RemoteError",
    "RemoteStatus",
    "SocketGateway",
    "SshGateway",
    "TimeoutError",
    "XSpec",
    "default_group",
    "dump",
    "dumps",
    "load",
    "loads",
    "makegateway",
    "set_execmodel",
]

_MODULES = {
    "dispycos.errors": ("DumpError", "HostNotFound", "LoadError"),
    "dispycos.gateways.channel": ("Channel",),
    "dispycos.gateways.failure": ("RemoteError",),
    "dispycos.gateways.gateway": ("Gateway", "RInfo", "RemoteStatus"),
    # It knows the group that these open their gateways in.
    "dispycos.gateways.group": (
        "Group",
        "PopenGateway",
        "SocketGateway",
        "SshGateway",
        "default_group",
        "makegateway",
        "set_execmodel",
    ),
    "dispycos.gateways.multichannel": ("MultiChannel",),
    "dispycos.gateways.plain": ("dump", "dumps", "load", "loads"),
    "dispycos.gateways.rsync": ("RSync",),
    "dispycos.launch.spec": ("XSpec",),
}
_HOMES = {name: (module, name) for module, names in _MODULES.items() for name in names} | {
    "DataFormatError": ("dispycos.errors", "LoadError"),
    "TimeoutError": ("dispycos.errors", "Timeout"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, there = _HOMES[name]
    value = getattr(importlib.import_module(module), there)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
