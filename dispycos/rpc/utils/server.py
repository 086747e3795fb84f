"""The servers, under the name that RPyC's programs import."""

from dispycos.rpc.server import Server, ThreadedServer

__all__ = ["Server", "ThreadedServer"]
