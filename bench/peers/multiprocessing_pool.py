"""The standard library's multiprocessing.Pool, one task a chunk."""

from __future__ import annotations

import multiprocessing

from bench.peers.base import CarriesBulk, TaskPeer
from bench.work import check, same
from bench.workloads import WORKERS


class Peer(CarriesBulk, TaskPeer):
    name = "mp.Pool(chunk 1)"

    def start(self) -> None:
        self.pool = multiprocessing.Pool(WORKERS)

    def each(self, function, values):
        return self.pool.map(function, values, chunksize=1)

    def tiny_tasks(self, n: int) -> None:
        check(self.each(same, range(n)), n)

    def one_by_one(self, n: int) -> None:
        for i in range(n):
            assert self.pool.apply(same, (i,)) == i

    def there_and_back(self, data):
        return self.pool.apply(same, (data,))

    def stop(self) -> None:
        self.pool.terminate()
        self.pool.join()
