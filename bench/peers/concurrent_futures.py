"""The standard library's ProcessPoolExecutor."""

from __future__ import annotations

from concurrent.futures import Executor, ProcessPoolExecutor

from bench.peers.base import CarriesBulk, TaskPeer
from bench.work import check, same
from bench.workloads import WORKERS


class Peer(CarriesBulk, TaskPeer):
    name = "ProcessPoolExecutor"

    def start(self) -> None:
        self.pool: Executor = ProcessPoolExecutor(WORKERS)

    def each(self, function, values):
        futures = [self.pool.submit(function, value) for value in values]
        return [future.result() for future in futures]

    def tiny_tasks(self, n: int) -> None:
        check(self.each(same, range(n)), n)

    def one_by_one(self, n: int) -> None:
        for i in range(n):
            assert self.pool.submit(same, i).result() == i

    def there_and_back(self, data):
        return self.pool.submit(same, data).result()

    def stop(self) -> None:
        self.pool.shutdown()
