"""Ray: tasks and one actor on a local cluster with two CPUs."""

from __future__ import annotations

import importlib
import os

from bench.peers.base import CarriesBulk, TaskPeer
from bench.work import check, same
from bench.workloads import WORKERS


class Echo:
    """The actor of P3 and P4."""

    def echo(self, value: object) -> object:
        return value


class Peer(CarriesBulk, TaskPeer):
    name = "ray"
    module = "ray"
    restless = True

    def start(self) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        self.ray = importlib.import_module("ray")
        self.ray.init(
            num_cpus=WORKERS,
            include_dashboard=False,
            logging_level="ERROR",
            log_to_driver=False,
            _node_ip_address="127.0.0.1",
        )
        self._remote = {}
        self._actor = None

    def remote(self, function):
        if function not in self._remote:
            self._remote[function] = self.ray.remote(function)
        return self._remote[function]

    def actor(self):
        # It takes no CPU away from the two for tasks.
        self._actor = self._actor or self.ray.remote(num_cpus=0)(Echo).remote()
        return self._actor

    def each(self, function, values):
        remote = self.remote(function)
        return self.ray.get([remote.remote(value) for value in values])

    def tiny_tasks(self, n: int) -> None:
        check(self.each(same, range(n)), n)

    def one_by_one(self, n: int) -> None:
        remote = self.remote(same)
        for i in range(n):
            assert self.ray.get(remote.remote(i)) == i

    def round_trips(self, n: int) -> None:
        actor = self.actor()
        for i in range(n):
            assert self.ray.get(actor.echo.remote(i)) == i

    def streamed(self, n: int) -> None:
        actor = self.actor()
        check(self.ray.get([actor.echo.remote(i) for i in range(n)]), n)

    def there_and_back(self, data):
        return self.ray.get(self.remote(same).remote(data))

    def stop(self) -> None:
        self.ray.shutdown()
