"""execnet: one popen gateway, one channel."""

from __future__ import annotations

import importlib

from bench.peers.base import Peer as Base
from bench.peers.base import random_bytes
from bench.work import check

ECHO = """
for item in channel:
    channel.send(item)
"""


class Peer(Base):
    name = "execnet"
    module = "execnet"

    def start(self) -> None:
        self.group = importlib.import_module("execnet").Group()
        self.channel = self.group.makegateway("popen").remote_exec(ECHO)

    def first(self) -> None:
        self.round_trips(1)

    def round_trips(self, n: int) -> None:
        channel = self.channel
        for i in range(n):
            channel.send(i)
            assert channel.receive() == i

    channel_trips = round_trips

    def streamed(self, n: int) -> None:
        for i in range(n):
            self.channel.send(i)
        check([self.channel.receive() for _ in range(n)], n)

    def bulk(self, n: int) -> None:
        data = random_bytes()
        for _ in range(n):
            self.channel.send(data)
            assert len(self.channel.receive()) == len(data)

    def stop(self) -> None:
        self.group.terminate(timeout=2)
