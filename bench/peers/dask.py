"""dask.distributed: a local cluster of two single-threaded worker processes."""

from __future__ import annotations

import importlib

from bench.peers.base import CarriesBulk, TaskPeer
from bench.work import check, same
from bench.workloads import WORKERS


class Echo:
    """The actor of P3."""

    def echo(self, value: object) -> object:
        return value


class Peer(CarriesBulk, TaskPeer):
    name = "dask"
    module = "distributed"
    restless = True

    def start(self) -> None:
        distributed = importlib.import_module("distributed")
        self.cluster = distributed.LocalCluster(
            n_workers=WORKERS, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
        )
        self.client = distributed.Client(self.cluster)
        self._actor = None

    def each(self, function, values):
        # pure=False: otherwise equal calls are answered from what is already there.
        return self.client.gather(self.client.map(function, list(values), pure=False))

    def tiny_tasks(self, n: int) -> None:
        check(list(self.each(same, range(n))), n)

    def one_by_one(self, n: int) -> None:
        for i in range(n):
            assert self.client.submit(same, i, pure=False).result() == i

    def round_trips(self, n: int) -> None:
        actor = self._actor = self._actor or self.client.submit(Echo, actor=True).result()
        for i in range(n):
            assert actor.echo(i).result() == i

    def there_and_back(self, data):
        return self.client.submit(same, data, pure=False).result()

    def stop(self) -> None:
        self.client.close()
        self.cluster.close()
