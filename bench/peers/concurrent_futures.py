"""The standard library's ProcessPoolExecutor."""

from __future__ import annotations

from concurrent.futures import Executor, ProcessPoolExecutor

from bench.peers.base import TaskPeer, random_bytes
from bench.work import check, same
from bench.workloads import WORKERS


class Peer(TaskPeer):
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

    def bulk(self, n: int) -> None:
        data = random_bytes()
        for _ in range(n):
            assert len(self.pool.submit(same, data).result()) == len(data)

    def stop(self) -> None:
        self.pool.shutdown()
