"""pycos: a node with two servers and a private scheduler, all on loopback."""

from __future__ import annotations

import importlib
import importlib.util
import os
import queue
import subprocess
import sys
import tempfile
import threading

from bench.peers.base import TaskPeer
from bench.work import check
from bench.workloads import WORKERS


def run_same(value, task=None):
    """A task of P1 and P2."""
    yield  # a generator function
    return value


def run_hold(seconds, task=None):
    """A task of P6. Ships alone, so it imports what it needs."""
    import os
    import time

    yield
    began = time.monotonic()
    time.sleep(seconds)
    return os.getpid(), began, time.monotonic()


class Peer(TaskPeer):
    name = "pycos"
    module = "pycos"

    def start(self) -> None:
        folder = tempfile.mkdtemp(prefix="bench-pycos-")
        spec = importlib.util.find_spec("pycos")
        assert spec and spec.submodule_search_locations
        program = os.path.join(spec.submodule_search_locations[0], "dispycosnode.py")
        self.node = subprocess.Popen(
            [
                *(sys.executable, program, "-c", str(WORKERS), "-i", "127.0.0.1", "--daemon"),
                *("--dest_path", os.path.join(folder, "node")),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.pycos = importlib.import_module("pycos")
        importlib.import_module("pycos.netpycos")
        self.dispycos = importlib.import_module("pycos.dispycos")
        self.dispycos.Scheduler(
            host="127.0.0.1", nodes=["127.0.0.1"], dest_path=os.path.join(folder, "client")
        )
        self.asked: queue.Queue = queue.Queue()
        self.answers: queue.Queue = queue.Queue()
        self.client = self.dispycos.Client([run_same, run_hold])
        ready = threading.Event()
        self.pycos.Task(self._main, ready)
        if not ready.wait(40):
            raise RuntimeError("pycos found no server in 40 s")

    def _main(self, ready, task=None):
        if (yield self.client.schedule()):
            raise RuntimeError("the client was not scheduled")
        result = yield self._run(run_same, [0])
        assert result == [0]
        ready.set()
        while True:
            job = None
            while job is None:
                try:
                    job = self.asked.get_nowait()
                except queue.Empty:
                    yield task.sleep(0.0001)
            function, values, one_by_one = job
            if function is None:
                yield self.client.close()
                self.answers.put(None)
                return
            if one_by_one:
                results = []
                for value in values:
                    results += yield self._run(function, [value])
            else:
                results = yield self._run(function, values)
            self.answers.put(results)

    def _run(self, function, values):
        rtasks = []
        for value in values:
            rtask = yield self.client.rtask(function, value)
            if not isinstance(rtask, self.pycos.Task):
                raise RuntimeError(f"no task: {rtask}")
            rtasks.append(rtask)
        results = []
        for rtask in rtasks:
            results.append((yield rtask()))
        return results

    def _ask(self, function, values, one_by_one=False):
        self.asked.put((function, list(values), one_by_one))
        return self.answers.get()

    def each(self, function, values):
        return self._ask(run_hold, values)

    def tiny_tasks(self, n: int) -> None:
        check(self._ask(run_same, range(n)), n)

    def one_by_one(self, n: int) -> None:
        check(self._ask(run_same, range(n), one_by_one=True), n)

    def stop(self) -> None:
        self._ask(None, [])
        self.node.terminate()
        self.node.wait(10)
