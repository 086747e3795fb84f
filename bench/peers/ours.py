"""dispycos itself, through the names that the README shows."""

from __future__ import annotations

import importlib
import itertools
import sys

from bench.ends import Ends
from bench.peers.base import CarriesBulk, TaskPeer
from bench.work import check, hold, same
from bench.workloads import WORKERS


def same_task(value):
    """`bench.work.same` as a task, which is a generator function or an async def."""
    return same(value)
    yield


def hold_task(seconds):
    """`bench.work.hold` as a task."""
    return hold(seconds)
    yield


TASKS = {same: same_task, hold: hold_task}


def echo(task=None):
    """A remote task that sends back what it gets: `(sender, value)`."""
    while True:
        message = yield task.receive()
        if message is None:
            return
        sender, value = message
        sender.send(value)


class Calls:
    """Counts the Python functions that the thread which runs tasks enters: a component."""

    seen = itertools.count()

    @staticmethod
    def begin():
        seen = Calls.seen = itertools.count()

        def see(frame, event, argument):
            if event == "call":
                next(seen)

        sys.setprofile(see)

    @staticmethod
    def end():
        sys.setprofile(None)
        return next(Calls.seen)


def begin_calls(task=None):
    Calls.begin()
    yield


def end_calls(task=None):
    return Calls.end()
    yield


class Peer(CarriesBulk, TaskPeer):
    name = "dispycos"
    module = "dispycos"

    def start(self) -> None:
        self.api = importlib.import_module("dispycos")
        self.cluster = self.api.LocalCluster(WORKERS)
        self.cluster.__enter__()
        self.client = self.api.Client([same, hold, same_task, hold_task, echo, Calls, begin_calls, end_calls])
        self._run(self._schedule)
        self._echo = None
        self._ends = Ends()

    def _run(self, function, *args):
        """Run a local task to its end from this plain thread; RuntimeError if it fails."""
        result = self.api.Task(function, *args).value()
        if isinstance(result, self.api.MonitorStatus):
            raise RuntimeError(f"{function.__name__} failed: {result.value}")
        return result

    def _schedule(self, task=None):
        if (yield self.client.schedule()):
            raise RuntimeError("the client was not scheduled")

    def _each(self, function, values, task=None):
        rtasks = []
        for value in values:
            rtasks.append((yield self.client.rtask(TASKS[function], value)))
        results = []
        for rtask in rtasks:
            results.append((yield rtask()))
        return results

    def _one_by_one(self, n, task=None):
        for i in range(n):
            rtask = yield self.client.rtask(same_task, i)
            assert (yield rtask()) == i

    def _remote_echo(self, task=None):
        if self._echo is None:
            self._echo = yield self.client.io_rtask(echo)
        return self._echo

    def _round_trips(self, n, task=None):
        remote = yield self._remote_echo()
        for i in range(n):
            remote.send((task, i))
            assert (yield task.receive()) == i

    def _streamed(self, n, task=None):
        remote = yield self._remote_echo()
        self.api.Task(self._send_all, remote, task, n)
        results = []
        for _ in range(n):
            results.append((yield task.receive()))
        check(results, n)

    def _send_all(self, remote, receiver, n, task=None):
        for i in range(n):
            yield remote.send((receiver, i))

    def _trip(self, data, task=None):
        rtask = yield self.client.rtask(same_task, data)
        return (yield rtask())

    def each(self, function, values):
        return self._run(self._each, function, list(values))

    def tiny_tasks(self, n: int) -> None:
        check(self.each(same, range(n)), n)

    def one_by_one(self, n: int) -> None:
        self._run(self._one_by_one, n)

    def round_trips(self, n: int) -> None:
        self._run(self._round_trips, n)

    def streamed(self, n: int) -> None:
        self._run(self._streamed, n)

    def there_and_back(self, data):
        return self._run(self._trip, data)

    # Its other vocabularies.

    def channel_trips(self, n: int) -> None:
        channel = self._ends.channel
        for i in range(n):
            channel.send(i)
            assert channel.receive() == i

    def service_calls(self, n: int) -> None:
        echo = self._ends.service
        for i in range(n):
            assert echo(i) == i

    def master_calls(self, n: int) -> None:
        echo = self._ends.master.echo
        for i in range(n):
            assert echo(i) == i

    # Counting: see `bench.cost`.

    def _begin_counting(self, task=None):
        yield self._remote_echo()
        yield self.client.run_everywhere(begin_calls)
        Calls.begin()

    def _counted(self, task=None):
        own = Calls.end()
        found = yield self.client.run_everywhere(end_calls)
        return [own, sum(found.values())]

    def begin_counting(self, n: int) -> None:
        self._run(self._begin_counting)

    def counted(self, n: int) -> list[int]:
        return self._run(self._counted)

    def _close(self, task=None):
        if self._echo is not None:
            self._echo.send(None)
        yield self.client.close()

    def stop(self) -> None:
        self._ends.close()
        self._run(self._close)
        self.cluster.__exit__(None, None, None)
