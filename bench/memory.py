"""P9: what an idle server and a queued task take. `python -m bench.memory`

Servers are forks of a zygote and share what they did not change, so their proportional size (PSS)
counts. A queued task is what the client's resident size grows by for each that waits.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import subprocess
import sys
from typing import Any

import psutil

from bench.work import hold
from bench.workloads import MIB, WORKERS

QUEUED = 20_000
LIMIT = 60.0  # seconds for one measurement


def measure(repeats: int) -> dict[str, list[float]]:
    """Figures by workload; each round in a program of its own. subprocess.SubprocessError."""
    found: dict[str, list[float]] = {"P9S": [], "P9T": []}
    for _ in range(repeats):
        done = subprocess.run(
            [sys.executable, "-m", "bench.memory", "--once"],
            check=True,
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
        for name, value in json.loads(done.stdout.splitlines()[-1]).items():
            found[name].append(value)
    return found


def once() -> dict[str, float]:
    """Start a cluster, look at it, and queue behind tasks that hold its servers."""
    from dispycos import Client, LocalCluster

    with LocalCluster(WORKERS):
        client = Client()
        client.schedule().result()
        assert client.submit(abs, -1).result() == 1
        servers = [_pss(pid) for pid in servers_below(os.getpid())]
        holding = [client.submit(hold, 30.0) for _ in range(WORKERS)]
        gc.collect()
        before = _resident()
        queued: list[Any] = [client.submit(abs, number) for number in range(QUEUED)]
        gc.collect()
        task = (_resident() - before) / QUEUED
        for future in queued:
            future.cancel()
        assert not any(future.done() for future in holding), "they were to hold the servers meanwhile"
        client.close(terminate=True).result()
    return {"P9S": statistics.mean(servers) / MIB, "P9T": task}


def servers_below(pid: int) -> list[int]:
    """The processes of servers that run for this program: the forks of a zygote."""
    below = psutil.Process(pid).children(recursive=True)
    zygotes = {child.pid for child in below if "dispycos.node.zygote" in child.cmdline()}
    return [child.pid for child in below if child.ppid() in zygotes]


def _pss(pid: int) -> int:
    size: int = psutil.Process(pid).memory_full_info().pss
    return size


def _resident() -> int:
    size: int = psutil.Process().memory_info().rss
    return size


if __name__ == "__main__":
    if "--once" in sys.argv:
        print(json.dumps(once()))
    else:
        print({name: [f"{value:,.1f}" for value in values] for name, values in measure(5).items()})
