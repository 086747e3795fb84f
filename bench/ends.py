"""What dispycos's other vocabularies reach: a gateway, a service, a master's server.

Each is made when it is first asked for, in a process of its own, and ends with `close`.
"""

from __future__ import annotations

import functools
import importlib
import multiprocessing
from contextlib import ExitStack
from typing import Any

KEY = bytes(range(32))  # of a server on loopback that lives as long as a measurement

ECHO = """
for item in channel:
    channel.send(item)
"""

DEFINITIONS = """
def echo(value):
    return value
"""


def serve(pipe: Any) -> None:
    """Serve until killed, in a process of its own."""
    rpc = importlib.import_module("dispycos.rpc")

    class Echo(rpc.Service):
        def exposed_echo(self, value: object) -> object:
            return value

    server = rpc.ThreadedServer(Echo(), port=0, key=KEY)
    pipe.send(server.port)
    server.start()


class Ends:
    """See the module's docstring."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    @functools.cached_property
    def channel(self) -> Any:
        """A channel whose other end sends back what it gets."""
        group = importlib.import_module("dispycos.gateways").Group()
        self._stack.callback(group.terminate, 2)
        return group.makegateway("popen").remote_exec(ECHO)

    @functools.cached_property
    def service(self) -> Any:
        """A function of a service that answers what it gets, by TCP."""
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
        process.start()
        self._stack.callback(process.join)
        self._stack.callback(process.terminate)
        connection = importlib.import_module("dispycos.rpc").connect("127.0.0.1", ours.recv(), key=KEY)
        self._stack.callback(connection.close)
        return connection.root.echo

    @functools.cached_property
    def master(self) -> Any:
        """The client of a server that has a function `echo`."""
        easycluster = importlib.import_module("dispycos.easycluster")
        easycluster.define_common(DEFINITIONS, "bench_definitions")
        return self._stack.enter_context(easycluster.server.spawn_local(definitions="bench_definitions"))

    def close(self) -> None:
        """End all."""
        self._stack.close()
