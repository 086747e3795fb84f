"""Pyro5: an object in another process, over TCP on loopback."""

from __future__ import annotations

import importlib
import multiprocessing

from bench.peers.base import Peer as Base


class Echo:
    """What the daemon exposes."""

    def echo(self, value: object) -> object:
        return value


def serve(pipe) -> None:
    """Serve until killed, in a process of its own."""
    pyro = importlib.import_module("Pyro5.api")
    daemon = pyro.Daemon(host="127.0.0.1")
    pipe.send(str(daemon.register(pyro.expose(Echo)())))
    daemon.requestLoop()


class Peer(Base):
    name = "Pyro5"
    module = "Pyro5"

    def start(self) -> None:
        ours, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
        self.process.start()
        self.proxy = importlib.import_module("Pyro5.api").Proxy(ours.recv())

    def first(self) -> None:
        self.round_trips(1)

    def round_trips(self, n: int) -> None:
        echo = self.proxy.echo
        for i in range(n):
            assert echo(i) == i

    def stop(self) -> None:
        self.proxy._pyroRelease()
        self.process.terminate()
        self.process.join()
