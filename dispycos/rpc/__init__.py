"""Services and live proxies, in RPyC's vocabulary: `from dispycos import rpc`.

    class Shop(rpc.Service):
        def exposed_price(self, article): ...

    rpc.ThreadedServer(Shop).start()                # one program
    rpc.connect("localhost").root.price("tea")      # another one

Each name is imported when it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dispycos.objects.access import exposed
    from dispycos.objects.failure import GenericException
    from dispycos.rpc.connection import Connection
    from dispycos.rpc.dialling import connect, unix_connect
    from dispycos.rpc.errors import AsyncResultTimeout, DiscoveryError
    from dispycos.rpc.restriction import restricted
    from dispycos.rpc.server import ThreadedServer
    from dispycos.rpc.service import Service, VoidService

__all__ = [
    "AsyncResultTimeout",
    "Connection",
    "DiscoveryError",
    "GenericException",
    "Service",
    "ThreadedServer",
    "VoidService",
    "connect",
    "exposed",
    "restricted",
    "unix_connect",
]

# Where each name is defined.
_HOMES = {
    "AsyncResultTimeout": "rpc.errors",
    "Connection": "rpc.connection",
    "DiscoveryError": "rpc.errors",
    "GenericException": "objects.failure",
    "Service": "rpc.service",
    "ThreadedServer": "rpc.server",
    "VoidService": "rpc.service",
    "connect": "rpc.dialling",
    "exposed": "objects.access",
    "restricted": "rpc.restriction",
    "unix_connect": "rpc.dialling",
}
_MODULES = {"utils": "rpc.utils"}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"dispycos.{_MODULES[name]}")
    if name not in _HOMES:
        raise AttributeError(f"module 'dispycos.rpc' has no attribute {name!r}")
    found = getattr(importlib.import_module(f"dispycos.{_HOMES[name]}"), name)
    globals()[name] = found
    return found
