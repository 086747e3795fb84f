"""execnet: one popen gateway, one channel."""

from __future__ import annotations

import importlib

from bench.peers.base import CarriesBulk
from bench.peers.base import Peer as Base
from bench.work import check

ECHO = """
for item in channel:
    channel.send(item)
"""


class Peer(CarriesBulk, Base):
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

    def there_and_back(self, data):
        self.channel.send(data)
        return self.channel.receive()

    def stop(self) -> None:
        self.group.terminate(timeout=2)
