"""Services and live proxies, in RPyC's vocabulary: `from dispycos import rpc`.

    class Shop(rpc.Service):
        def exposed_price(self, article): ...

    rpc.ThreadedServer(Shop).start()                # one program
    rpc.connect("localhost").root.price("tea")      # another one

Each name is imported when it is used.
"""

from __future__ import annotations

from dispycos.surface import TYPE_CHECKING, on_use

if TYPE_CHECKING:
    from dispycos.objects.access import exposed
    from dispycos.objects.failure import GenericException
    from dispycos.objects.proxy import Proxy as BaseNetref
    from dispycos.rpc import classic, utils
    from dispycos.rpc.asynchronous import AsyncResult, async_, timed
    from dispycos.rpc.background import BgServingThread
    from dispycos.rpc.buffering import buffiter
    from dispycos.rpc.connection import Connection
    from dispycos.rpc.dialling import connect, ssl_connect, unix_connect
    from dispycos.rpc.errors import AsyncResultTimeout, DiscoveryError
    from dispycos.rpc.private import (
        connect_pipes,
        connect_stdpipes,
        connect_subproc,
        connect_thread,
        ssh_connect,
    )
    from dispycos.rpc.registration import RegistryClient, connect_by_service, discover, list_services
    from dispycos.rpc.restriction import restricted
    from dispycos.rpc.server import ThreadedServer
    from dispycos.rpc.servers import ForkingServer, OneShotServer, ThreadPoolServer
    from dispycos.rpc.services import Service, VoidService, classpartial, service
    from dispycos.rpc.slave import ClassicService, SlaveService

__all__ = [
    "AsyncResult",
    "AsyncResultTimeout",
    "BaseNetref",
    "BgServingThread",
    "ClassicService",
    "Connection",
    "DiscoveryError",
    "ForkingServer",
    "GenericException",
    "OneShotServer",
    "RegistryClient",
    "Service",
    "SlaveService",
    "ThreadPoolServer",
    "ThreadedServer",
    "VoidService",
    "async_",
    "buffiter",
    "classic",
    "classpartial",
    "connect",
    "connect_by_service",
    "connect_pipes",
    "connect_stdpipes",
    "connect_subproc",
    "connect_thread",
    "discover",
    "exposed",
    "list_services",
    "restricted",
    "service",
    "ssh_connect",
    "ssl_connect",
    "timed",
    "unix_connect",
    "utils",
]

__getattr__, __dir__ = on_use(
    globals(),
    {
        "AsyncResult": "rpc.asynchronous",
        "AsyncResultTimeout": "rpc.errors",
        "BaseNetref": "objects.proxy:Proxy",
        "BgServingThread": "rpc.background",
        "ClassicService": "rpc.slave",
        "Connection": "rpc.connection",
        "DiscoveryError": "rpc.errors",
        "ForkingServer": "rpc.servers",
        "GenericException": "objects.failure",
        "OneShotServer": "rpc.servers",
        "RegistryClient": "rpc.registration",
        "Service": "rpc.services",
        "SlaveService": "rpc.slave",
        "ThreadPoolServer": "rpc.servers",
        "ThreadedServer": "rpc.server",
        "VoidService": "rpc.services",
        "async_": "rpc.asynchronous",
        "buffiter": "rpc.buffering",
        "classic": "rpc.classic:",
        "classpartial": "rpc.services",
        "connect": "rpc.dialling",
        "connect_by_service": "rpc.registration",
        "connect_pipes": "rpc.private",
        "connect_stdpipes": "rpc.private",
        "connect_subproc": "rpc.private",
        "connect_thread": "rpc.private",
        "discover": "rpc.registration",
        "exposed": "objects.access",
        "list_services": "rpc.registration",
        "restricted": "rpc.restriction",
        "service": "rpc.services",
        "ssh_connect": "rpc.private",
        "ssl_connect": "rpc.dialling",
        "timed": "rpc.asynchronous",
        "unix_connect": "rpc.dialling",
        "utils": "rpc.utils:",
    },
)
