"""A child that code of users forks inside of a call or task ends where it would come back from there.

If it went on, a task would have a second outcome, and another call be done twice (R-31).
"""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest

from tests.helpers import run_python
from tests.process.clusters import LIMIT, opened

# What a child does, its status, and the last line that it prints.
ENDS = (("raise", 1, "ValueError: in the child"), ("return", 0, ""), ("exit", 3, ""))


# Code as users write it: it runs here, in programs and on servers.


def forks(how):  # type: ignore[no-untyped-def]
    """Fork; the child raises, returns or exits. Its status and what it printed as an error."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(write, 2)
        if how == "raise":
            raise ValueError("in the child")
        if how == "object":
            raise Objecting
        if how == "exit":
            sys.exit(3)
        return None
    os.close(write)
    with open(read) as file:
        told = file.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), told


def subroutine(how, task=None):  # type: ignore[no-untyped-def]
    def inner():  # type: ignore[no-untyped-def]
        yield
        return forks(how)

    yield task.sleep(0.001)
    return (yield inner())


async def coroutine(how, task=None):  # type: ignore[no-untyped-def]
    await task.sleep(0.001)
    return forks(how)


def waits(task=None):  # type: ignore[no-untyped-def]
    yield
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(write, 2)
        yield task.sleep(0.001)
        print("it went on", file=sys.stderr)
    os.close(write)
    with open(read) as file:
        told = file.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), told


def closed(how, found, task=None):  # type: ignore[no-untyped-def]
    """Forks in its `finally`, when somebody ends it."""

    def inner():  # type: ignore[no-untyped-def]
        try:
            found.put("it waits")
            yield task.sleep(20)
        finally:
            found.put(forks(how))

    yield inner()


class Worded(Exception):
    """Its text is what came of a child that was forked to tell it."""

    def __str__(self):  # type: ignore[no-untyped-def]
        return repr(forks("return"))


def words(*_):  # type: ignore[no-untyped-def]
    raise Worded


def logged_words():  # type: ignore[no-untyped-def]
    yield
    raise Worded


def channel_words(channel):  # type: ignore[no-untyped-def]
    from tests.process.test_forked_calls import words

    words()


class Objecting(Exception):
    """Can't be asked where it was raised, nor be told."""

    @property
    def __traceback__(self):  # type: ignore[no-untyped-def]
        raise TypeError("it objects")

    def with_traceback(self, trace):  # type: ignore[no-untyped-def]
        raise TypeError("it objects")


def calls(channel, how):  # type: ignore[no-untyped-def]
    from tests.process.test_forked_calls import forks

    found = forks(how)
    if found is not None:  # else it is the child, whose channel this is not
        channel.send(found)


def calls_as_task(channel, how):  # type: ignore[no-untyped-def]
    from tests.process.test_forked_calls import forks

    yield
    found = forks(how)
    if found is not None:  # else it is the child, whose channel this is not
        channel.send(found)


class Unpickles:
    """Forks when it is unpickled; `found` is what came of it."""

    def __init__(self, how):  # type: ignore[no-untyped-def]
        self.how = how

    def __setstate__(self, state):  # type: ignore[no-untyped-def]
        self.found = forks(state["how"])


def check(where: str, found: dict[str, tuple[int, str]]) -> None:
    """Of each way to end, the child's status and what it said: only the user's own lines."""
    for how, status, last in ENDS:
        code, told = found[how]
        assert (code, told.strip().rpartition("\n")[2]) == (status, last), (where, how, told)
        assert "dispycos" not in told.replace(__name__, ""), (where, told)


PROGRAM = """
import logging, os, queue
from dispycos import AsyncThreadPool, Task, rpc
from dispycos.gateways import makegateway
from dispycos.workers import job
from tests.process.test_forked_calls import (
    ENDS, calls, calls_as_task, channel_words, check, closed, coroutine, forks, logged_words, subroutine,
    waits, words
)

class Shop(rpc.Service):
    def exposed_forks(self, how):
        return forks(how)

    exposed_words = words

class Collects(logging.Handler):
    def emit(self, record):
        found.put(self.format(record))

def other():
    while tasks_fork:
        assert os.getpid() == parent, "a task of the parent's runs in a child"
        yield

parent = os.getpid()
tasks_fork = True
Task(other)
for make in (subroutine, coroutine):
    check(make.__name__, {how: Task(make, how).value(20) for how, *_ in ENDS})
code, told = Task(waits).value(20)
assert code == 1 and told.startswith("RuntimeError: a forked child can't go on behind a `yield`"), told
code, told = Task(subroutine, "object").value(20)
assert code == 1 and told.strip().endswith("Objecting") and "in inner" in told and "kernel" not in told, told
found = queue.SimpleQueue()
ends = {}
for how, *_ in ENDS:
    task = Task(closed, how, found)
    assert found.get(timeout=20) == "it waits"
    task.terminate()
    ends[how] = found.get(timeout=20)
check("closed", ends)
log = logging.getLogger("dispycos")
log.handlers, handlers = [Collects()], log.handlers
Task(logged_words)
told = found.get(timeout=20)
# 1 where Python says that the lock of the handler is not the child's.
assert ("Worded: (0, " in told or "Worded: (1, " in told) and "dispycos/kernel" not in told, told
log.handlers = handlers
tasks_fork = False
pool = AsyncThreadPool(1)
conn = rpc.connect_thread(remote_service=Shop)
gateway = makegateway("popen//execmodel=task")
for make in (
    lambda how: pool.async_task(forks, how).result(20),
    lambda how: conn.root.forks(how),
    lambda how: job._call(forks, (how,), {}),
    lambda how: gateway.remote_exec(calls, how=how).receive(20),
    lambda how: gateway.remote_exec(calls_as_task, how=how).receive(20),
):
    check("a call", {how: make(how) for how, *_ in ENDS})
for ask in (lambda: gateway.remote_exec(channel_words).receive(20), lambda: conn.root.words()):
    try:
        ask()
    except Exception as error:
        told = getattr(error, "formatted", None) or str(error.__cause__)
    assert "(0, '')" in told, told
gateway.exit()
conn.close()
pool.terminate()
print("parent", os.getpid() == parent, flush=True)
"""


@pytest.mark.row("R-31")
def test_a_forked_child_that_comes_back_from_a_task_or_call_ends_as_python_does() -> None:
    assert run_python(PROGRAM, timeout=60) == (0, "parent True\n", "")


TOLD = """
import os, queue
from dispycos import Task, rpc
from dispycos.kernel.loop import current_kernel
from dispycos.kernel.operation import Operation
from dispycos.objects.exposure import expose
from dispycos.objects.keeper import Keeper
from dispycos.pickling import values
from dispycos.workers import ClientThread
from dispycos.workers.cluster_executor import JobFuture
from tests.process.test_forked_calls import ENDS, Unpickles, check, forks

parent = os.getpid()
kernel = current_kernel()
found = queue.SimpleQueue()

class Greets(rpc.Service):
    def on_connect(self):
        found.put(forks(greeting))

class Shuts:
    def __init__(self, how):
        self.how = how

    def close(self):
        found.put(forks(self.how))

def operation(how):
    done = Operation()
    done.add_done_callback(lambda _: found.put(forks(how)))
    done.add_done_callback(lambda _: os.getpid() == parent or os.write(2, b"a callback of the parent's"))
    kernel.post(done.complete)

def job(how):
    future = JobFuture()
    future.add_done_callback(lambda _: found.put(forks(how)))
    future.end(None, None)

def client_thread(how):
    thread = ClientThread(lambda jobid, result: found.put(forks(how)))
    thread.job_ended(1, None, None)
    thread._ended.put(None)
    thread.run()

def on_connect(how):
    global greeting
    greeting = how
    with rpc.connect_thread(remote_service=Greets):
        found.put(found.get(timeout=20))  # a service is not told of a connection that has gone again

def close(how):
    keeper = Keeper(expose(Shuts, methods=[]), kernel, values.load, None)
    keeper.start((how,), {})
    keeper.made.result(20)
    keeper.dismiss().result(20)

def unpickled(how):
    found.put(values.load(values.dump(Unpickles(how))).found)

for tell in (operation, job, client_thread, on_connect, close, unpickled):
    ends = {}
    for how, *_ in ENDS:
        tell(how)
        ends[how] = found.get(timeout=20)
    check(tell.__name__, ends)

# Whatever else the kernel's thread calls: behind it the child has nothing to do, and nobody to tell.
kernel.post(lambda: found.put(forks("return")))
assert found.get(timeout=20) == (0, "")
print("parent", os.getpid() == parent, flush=True)
"""


@pytest.mark.row("R-31")
def test_one_that_comes_back_from_what_is_called_at_an_event_does_so_too() -> None:
    assert run_python(TOLD, timeout=60) == (0, "parent True\n", "")


@pytest.mark.row("R-31")
def test_on_a_server_too_and_a_child_of_a_map_does_no_other_item(cluster: Any) -> None:
    kinds = [how for how, *_ in ENDS]
    with opened(forks, subroutine, coroutine) as client:
        for function in (forks, subroutine, coroutine):
            check("there", dict(zip(kinds, client.map(function, kinds, chunksize=3), strict=True)))
        check("alone", {how: client.submit(forks, how).result(LIMIT) for how in kinds})
        failed = client.submit(words).exception(LIMIT)
        assert failed is not None
        assert "(0, '')" in str(failed.__cause__)
