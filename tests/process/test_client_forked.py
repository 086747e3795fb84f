"""A forked child of a client's program is told at once that its parent's client is not its own."""

from __future__ import annotations

import pytest

from tests.helpers import run_python

# What a child tries, and what it gets. A wait without end would run into the test's limit.
PROGRAM = """
import os, sys, threading
from dispycos import Client, LocalCluster, Task, as_completed

def square(x):
    return x * x

def waits(task=None):
    return (yield task.receive())

def tried(what):
    try:
        got = what()
        return f"{getattr(got, 'value', got)}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"

def yielded(what, task=None):
    try:
        return (yield what())
    except Exception as error:
        return f"{type(error).__name__}: {error}"

with LocalCluster(1) as cluster:
    client = Client([square, waits])
    client.schedule().result(20)
    held = client.rtask(waits).result(20)
    done = client.io_rtask(waits).result(20)
    done.send("was done")
    assert done.value(20) == "was done"
    behind = client.submit(square, 3)
    asked = client.rtask(waits)  # for a place that is not free yet
    assert not asked.done()
    # As if another thread had been about to submit when this one forked.
    client.work.driver._lock.acquire()
    child = os.fork()
    if child == 0:
        for what in (
            lambda: client.rtask(square, 1).result(),
            lambda: client.submit(square, 1).result(),
            lambda: client.map(square, [1, 2]).result(),
            lambda: client.run_everywhere(square, 1).result(),
            lambda: client.wait_for_servers(1).result(),
            lambda: held.send("from the child"),
            lambda: held.terminate(),
            lambda: held.value(),
            lambda: behind.result(),
            lambda: list(as_completed([behind])),
            lambda: behind.cancel(),
        ):
            print("refused", tried(what), flush=True)
        for what in (
            lambda: behind, lambda: behind.within(9), lambda: held(), lambda: held.finish(9), lambda: asked
        ):
            print("refused", Task(yielded, what).value(20), flush=True)
        print("result", tried(lambda: done.value()), flush=True)
        print("again", client.schedule().result(), flush=True)
        print("closed", client.close().result(), flush=True)
    else:
        client.work.driver._lock.release()
        assert os.waitpid(child, 0)[1] == 0
        held.send("and the parent goes on")
        print(held.value(20), behind.result(20))
        asked.result(20).send("and on")
if child == 0:
    with LocalCluster(1):
        own = Client([square])
        own.schedule().result(20)
        print("own", own.submit(square, 4).result(20))
        own.close().result(20)
"""


@pytest.mark.row("DC-60", "R-33")
def test_a_forked_child_is_refused_its_parent_s_client_and_may_have_its_own():
    code, out, err = run_python(PROGRAM, timeout=60)
    assert code == 0, err
    lines = out.splitlines()
    refused = [line for line in lines if line.startswith("refused")]
    assert len(refused) == 16, out
    for line in refused:
        assert "the client is in use in process " in line, line
        assert "of which this one is a forked child: make a Client here" in line, line
    assert sum("TaskRejected: " in line for line in refused) == 3
    assert sum("Closed: " in line for line in refused) == 12
    assert [line for line in lines if line not in refused] == [
        "result was done",
        "again -1",
        "closed 0",
        "own 16",
        "and the parent goes on 9",
    ]
    assert "the client is already in use in process " in err
