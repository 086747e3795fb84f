"""RPyC: a service in another process, over TCP on loopback."""

from __future__ import annotations

import importlib
import multiprocessing
import socket
import threading
import time

from bench.peers.base import CarriesBulk
from bench.peers.base import Peer as Base
from bench.work import check


def serve(pipe) -> None:
    """Serve one connection after another, in a process of its own."""
    rpyc = importlib.import_module("rpyc")
    servers = importlib.import_module("rpyc.utils.server")

    class Echo(rpyc.Service):
        def exposed_echo(self, value):
            return value

    class Server(servers.ThreadedServer):
        def _accept_method(self, sock):
            # Without it, calls under way together wait for delayed acknowledgements, 40 ms each time.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            super()._accept_method(sock)

    server = Server(Echo, hostname="127.0.0.1", port=0)
    # It listens only in start(), so the port is told from beside it.
    threading.Thread(target=server.start).start()
    while not server.active:
        time.sleep(0.001)
    pipe.send(server.port)


class Peer(CarriesBulk, Base):
    name = "rpyc"
    module = "rpyc"

    def start(self) -> None:
        ours, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
        self.process.start()
        self.rpyc = importlib.import_module("rpyc")
        stream = self.rpyc.SocketStream.connect("127.0.0.1", ours.recv(), nodelay=True)
        self.connection = self.rpyc.connect_stream(stream)
        self.echo = self.connection.root.echo

    def first(self) -> None:
        self.round_trips(1)

    def round_trips(self, n: int) -> None:
        echo = self.echo
        for i in range(n):
            assert echo(i) == i

    service_calls = round_trips

    def streamed(self, n: int) -> None:
        echo = self.rpyc.async_(self.echo)
        calls = [echo(i) for i in range(n)]
        check([call.value for call in calls], n)

    def there_and_back(self, data):
        return self.echo(data)

    def stop(self) -> None:
        self.connection.close()
        self.process.terminate()
        self.process.join()
