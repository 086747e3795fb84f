"""loky: the executor under joblib."""

from __future__ import annotations

import importlib

from bench.peers import concurrent_futures
from bench.workloads import WORKERS


class Peer(concurrent_futures.Peer):
    name = "loky"
    module = "loky"

    def start(self) -> None:
        self.pool = importlib.import_module("loky").get_reusable_executor(max_workers=WORKERS)

    def stop(self) -> None:
        self.pool.shutdown(wait=True, kill_workers=True)
