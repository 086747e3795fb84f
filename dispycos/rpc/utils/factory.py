"""What gives a connection, under the name that RPyC's programs import."""

from dispycos.rpc.dialling import connect, ssl_connect, unix_connect
from dispycos.rpc.errors import DiscoveryError
from dispycos.rpc.private import (
    connect_pipes,
    connect_stdpipes,
    connect_subproc,
    connect_thread,
    ssh_connect,
)
from dispycos.rpc.registration import connect_by_service, discover, list_services

__all__ = [
    "DiscoveryError",
    "connect",
    "connect_by_service",
    "connect_pipes",
    "connect_stdpipes",
    "connect_subproc",
    "connect_thread",
    "discover",
    "list_services",
    "ssh_connect",
    "ssl_connect",
    "unix_connect",
]
