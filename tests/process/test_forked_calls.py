"""A child that code of users forks inside of a call or task ends where it would come back from there."""

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


def check(where: str, found: dict[str, tuple[int, str]]) -> None:
    """Of each way to end, the child's status and what it said: only the user's own lines."""
    for how, status, last in ENDS:
        code, told = found[how]
        assert (code, told.strip().rpartition("\n")[2]) == (status, last), (where, how, told)
        assert "dispycos" not in told.replace(__name__, ""), (where, told)


PROGRAM = """
import os
from dispycos import AsyncThreadPool, Task, rpc
from dispycos.gateways import makegateway
from dispycos.workers import job
from tests.process.test_forked_calls import (
    ENDS, calls, calls_as_task, check, coroutine, forks, subroutine, waits
)

class Shop(rpc.Service):
    def exposed_forks(self, how):
        return forks(how)

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
gateway.exit()
conn.close()
pool.terminate()
print("parent", os.getpid() == parent, flush=True)
"""


@pytest.mark.row("KE-27", "EX-09", "RP-01")
def test_a_forked_child_that_comes_back_from_a_task_or_call_ends_as_python_does() -> None:
    assert run_python(PROGRAM, timeout=60) == (0, "parent True\n", "")


@pytest.mark.row("KE-27", "DN-38")
def test_on_a_server_too_and_a_child_of_a_map_does_no_other_item(cluster: Any) -> None:
    kinds = [how for how, *_ in ENDS]
    with opened(forks, subroutine, coroutine) as client:
        for function in (forks, subroutine, coroutine):
            check("there", dict(zip(kinds, client.map(function, kinds, chunksize=3), strict=True)))
        check("alone", {how: client.submit(forks, how).result(LIMIT) for how in kinds})
