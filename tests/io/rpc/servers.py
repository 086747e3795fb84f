"""Servers in this process, and connections to them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from dispycos.rpc.connection import Connection
from dispycos.rpc.dialling import connect
from dispycos.rpc.server import Server, ThreadedServer
from dispycos.rpc.services import VoidService

KEY = bytes(range(32))


@contextlib.contextmanager
def serving(service: Any, kind: type[Server] = ThreadedServer, **more: Any) -> Iterator[Server]:
    """A server of a service at a free port, until the end of the block."""
    server = kind(service, port=0, key=KEY, **more)
    thread = server.start_in_thread()
    try:
        yield server
    finally:
        server.close()
        thread.join(10)
        assert not thread.is_alive()


@contextlib.contextmanager
def connected(service: Any, *, offered: Any = VoidService) -> Iterator[Connection]:
    """A connection to a server of a service; both end with the block."""
    with serving(service) as server, connect("localhost", server.port, offered, key=KEY) as connection:
        yield connection
