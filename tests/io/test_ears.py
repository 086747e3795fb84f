"""The kernel's thread reads what is for its tasks, and the reactor when it can't (net.ears)."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from dispycos.kernel.loop import Loop
from dispycos.kernel.task import Task
from dispycos.net import ears
from dispycos.net.ears import Ears
from dispycos.net.reactor import Reactor
from tests.helpers import wait_until

pytestmark = pytest.mark.skipif(not ears.AVAILABLE, reason="ears: this system has no epoll")


class Line:
    """A connection that notes which thread read what."""

    def __init__(self, reactor: Reactor) -> None:
        self.far, self.near = socket.socketpair()
        self.near.setblocking(False)
        self.reactor = reactor
        self.lock = threading.Lock()
        self.heard: list[tuple[str, bytes]] = []

    def fileno(self) -> int:
        return self.near.fileno()

    def read_aside(self) -> None:
        self._read("kernel")

    def let_reactor_read(self, flag: bool) -> None:
        if flag:
            self.reactor.loop.add_reader(self.near.fileno(), self._read, "reactor")
        else:
            self.reactor.loop.remove_reader(self.near.fileno())

    def _read(self, who: str) -> None:
        with self.lock:
            try:
                self.heard.append((who, self.near.recv(100)))
            except BlockingIOError:
                pass

    def say(self, data: bytes) -> None:
        count = len(self.heard)
        self.far.send(data)
        wait_until(lambda: len(self.heard) > count)

    def close(self) -> None:
        self.far.close()
        self.near.close()


class Side:
    """A loop whose thread waits in ears."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.reactor = Reactor.in_thread()
        self.ears = Ears(self.loop.kernel, self.reactor)
        self.line = Line(self.reactor)
        self.loop.start()
        self.loop.wait_in(self.ears)

    def watch(self) -> None:
        self.reactor.call(self.ears.watch, self.line)

    def spawn(self, target: object, *args: object) -> None:
        self.loop.kernel.post(self.loop.kernel.spawn, target, args)

    def close(self) -> None:
        self.reactor.call(self.line.let_reactor_read, False)
        self.ears.forget(self.line)
        self.loop.leave(self.ears)
        self.ears.close()
        self.loop.terminate()
        self.reactor.stop()
        self.line.close()
        del self.ears  # its descriptors go with it


@pytest.fixture
def side() -> Iterator[Side]:
    side = Side()
    yield side
    side.close()


def test_the_kernels_thread_reads_while_it_waits(side):
    side.watch()
    for number in range(20):
        side.line.say(b"%d" % number)
    assert side.line.heard == [("kernel", b"%d" % number) for number in range(20)]


def test_the_reactor_reads_while_a_task_keeps_the_kernel_and_no_longer(side):
    side.watch()
    side.line.say(b"before")
    go_on, blocked = threading.Event(), threading.Event()

    def blocks(task: Task | None = None):
        yield
        blocked.set()
        go_on.wait(30)

    side.spawn(blocks)
    assert blocked.wait(10)
    side.line.say(b"meanwhile")
    assert side.line.heard[-1] == ("reactor", b"meanwhile")
    go_on.set()

    def kernel_reads_again() -> bool:
        side.line.say(b"after")
        return side.line.heard[-1][0] == "kernel" and not side.ears._reactor_reads

    wait_until(kernel_reads_again)


def block(side: Side) -> threading.Event:
    """Keep the kernel's thread in a task until the event is set."""
    go_on, blocked = threading.Event(), threading.Event()

    def blocks(task: Task | None = None):
        blocked.set()
        go_on.wait(30)
        yield

    side.spawn(blocks)
    assert blocked.wait(10)
    return go_on


def test_a_connection_that_comes_while_a_task_keeps_the_kernel_is_read(side):
    go_on = block(side)
    side.watch()
    side.line.say(b"hello")
    assert side.line.heard == [("reactor", b"hello")]
    go_on.set()


def test_the_guard_rests_while_the_kernel_waits_and_wakes_with_it(side):
    side.watch()
    side.line.say(b"first")
    wait_until(lambda: not side.ears._ticks)
    go_on = block(side)
    side.line.say(b"hello")
    assert side.line.heard == [("kernel", b"first"), ("reactor", b"hello")]
    go_on.set()
    wait_until(lambda: not side.ears._ticks)


def test_what_makes_no_work_is_read_without_a_guard_and_without_a_step(side):
    side.watch()
    side.line.say(b"first")
    wait_until(lambda: not side.ears._ticks and not side.ears._guarded)
    steps, idles = [], side.loop.kernel.idles
    side.loop.kernel.step, step = lambda now: steps.append(now) or step(now), side.loop.kernel.step
    ticks = []
    side.ears._start_guard = lambda: ticks.append(1)
    for number in range(20):
        side.line.say(b"%d" % number)
    wait_until(lambda: side.loop.kernel.idles >= idles + 20)
    assert steps == [] and ticks == []
    assert side.line.heard[1:] == [("kernel", b"%d" % number) for number in range(20)]
    # Work is done at once, under the guard.
    done = threading.Event()
    side.loop.kernel.post(done.set)
    assert done.wait(10)
    wait_until(lambda: ticks)


def test_what_is_brought_while_it_reads_is_done(side):
    side.watch()
    done = []
    read = side.line.read_aside
    side.line.read_aside = lambda: (read(), side.loop.kernel.post(done.append, len(done)))
    for number in range(200):
        side.line.say(b"x")
        wait_until(lambda number=number: len(done) > number)
    assert done == list(range(200))


def test_a_time_that_comes_while_signs_of_life_do_is_kept(side):
    side.watch()
    due = threading.Event()
    side.loop.kernel.post(side.loop.kernel.call_later, 0.05, due.set)
    wait_until(lambda: not side.line.say(b"x") and due.is_set())


def test_a_kernel_that_is_always_busy_looks_now_and_then(side):
    side.watch()
    stop = threading.Event()

    def spins(task: Task | None = None):
        while not stop.is_set():
            yield

    side.spawn(spins)

    def kernel_read() -> bool:
        side.line.say(b"x")
        return side.line.heard[-1][0] == "kernel"

    # The reactor may be the first where the machine has no time for the kernel.
    wait_until(kernel_read)
    stop.set()


def test_who_rouses_it_is_heard_at_once(side):
    side.watch()
    for _ in range(100):
        done = threading.Event()
        began = time.monotonic()
        side.loop.kernel.post(done.set)
        assert done.wait(10)
        assert time.monotonic() - began < 5


def test_nothing_is_left_when_it_is_closed():
    before = set(os.listdir("/proc/self/fd"))
    side = Side()
    side.watch()
    side.line.say(b"x")
    side.close()
    assert len(set(os.listdir("/proc/self/fd"))) <= len(before)


def test_a_wait_for_years_is_a_wait(side):
    side.loop.kernel.post(side.loop.kernel.call_later, 4e7, int)
    side.watch()
    side.line.say(b"hello")
    assert side.line.heard == [("kernel", b"hello")]


def test_who_is_kept_from_writing_is_asked_for_it(side):
    asked = threading.Event()
    side.ears.when_kept.append(asked.set)
    side.watch()
    side.line.say(b"hello")
    assert not asked.is_set()
    go_on = threading.Event()

    def blocks(task: Task | None = None):
        yield
        go_on.wait(30)

    side.spawn(blocks)
    assert asked.wait(10)
    go_on.set()


class Eager:
    """Patience that always looks for so long, and notes what came of it."""

    def __init__(self, moment: float) -> None:
        self.moment = moment
        self.looks = self.sleeps = 0

    def found(self) -> None:
        self.looks += 1

    def slept(self, seconds: float) -> None:
        self.sleeps += 1


def test_what_comes_while_it_looks_is_read_without_a_sleep(side):
    side.ears._patience = eager = Eager(30.0)
    side.ears._may_look = True
    side.watch()
    for number in range(20):
        side.line.say(b"%d" % number)
    assert side.line.heard == [("kernel", b"%d" % number) for number in range(20)]
    # The first may have found it in a sleep that began before.
    assert eager.looks >= 19
    assert eager.sleeps <= 1


def test_who_looks_first_wakes_in_time_all_the_same(side):
    side.ears._patience = Eager(0.002)
    side.ears._may_look = True
    took: list[float] = []

    def sleeper(task: Task | None = None):
        for seconds in (0.0005, 0.02):
            began = time.monotonic()
            yield task.sleep(seconds)
            took.append(time.monotonic() - began - seconds)

    side.spawn(sleeper)
    wait_until(lambda: len(took) == 2)
    assert all(0 <= late < 1 for late in took)


def test_on_one_processor_nobody_looks(side, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0})
    alone = Ears(side.loop.kernel, side.reactor)
    assert not alone._may_look
