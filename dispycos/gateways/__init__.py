"""Code that runs at the far end of a gateway, and channels to it: the vocabulary of execnet.

    from dispycos.gateways import makegateway
    channel = makegateway("popen").remote_exec("channel.send(6 * 7)")
    print(channel.receive())

Each name is imported when it is first used.
"""

from __future__ import annotations

from dispycos.surface import TYPE_CHECKING, on_use

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

__getattr__, __dir__ = on_use(
    globals(),
    {
        "Channel": "gateways.channel",
        "DataFormatError": "errors:LoadError",
        "DumpError": "errors",
        "Gateway": "gateways.gateway",
        "Group": "gateways.group",
        "HostNotFound": "errors",
        "LoadError": "errors",
        "MultiChannel": "gateways.multichannel",
        # The group's, which knows in which one these open their gateways.
        "PopenGateway": "gateways.group",
        "RInfo": "gateways.gateway",
        "RSync": "gateways.rsync",
        "RemoteError": "gateways.failure",
        "RemoteStatus": "gateways.gateway",
        "SocketGateway": "gateways.group",
        "SshGateway": "gateways.group",
        "TimeoutError": "errors:Timeout",
        "XSpec": "launch.spec",
        "default_group": "gateways.group",
        "dump": "gateways.plain",
        "dumps": "gateways.plain",
        "load": "gateways.plain",
        "loads": "gateways.plain",
        "makegateway": "gateways.group",
        "set_execmodel": "gateways.group",
    },
)
