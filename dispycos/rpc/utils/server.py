"""The servers, under the name that RPyC's programs import."""

from dispycos.rpc.server import Server, ThreadedServer
from dispycos.rpc.servers import ForkingServer, OneShotServer, ThreadPoolServer

__all__ = ["ForkingServer", "OneShotServer", "Server", "ThreadPoolServer", "ThreadedServer"]
