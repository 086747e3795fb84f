"""ipyparallel: two engines, a load-balanced view."""

from __future__ import annotations

import importlib
import logging

from bench.peers.base import CarriesBulk, TaskPeer
from bench.work import check, same
from bench.workloads import WORKERS


class Peer(CarriesBulk, TaskPeer):
    name = "ipyparallel"
    module = "ipyparallel"
    restless = True

    def start(self) -> None:
        ipyparallel = importlib.import_module("ipyparallel")
        self.cluster = ipyparallel.Cluster(
            n=WORKERS, log_level=logging.ERROR, controller_ip="127.0.0.1", engine_timeout=60
        )
        self.client = self.cluster.start_and_connect_sync()
        self.view = self.client.load_balanced_view()

    def each(self, function, values):
        return list(self.view.map_async(function, list(values), chunksize=1).get())

    def tiny_tasks(self, n: int) -> None:
        check(self.each(same, range(n)), n)

    def one_by_one(self, n: int) -> None:
        for i in range(n):
            assert self.view.apply_sync(same, i) == i

    def there_and_back(self, data):
        return self.view.apply_sync(same, data)

    def stop(self) -> None:
        self.client.close()
        self.cluster.stop_cluster_sync()
