"""A forked child of a program leaves its parent's connections and gateways alone, and may have its own."""

from __future__ import annotations

import pytest

from tests.helpers import run_python

# What came of an attempt.
TRIED = """
def tried(what):
    try:
        return f"got {what()!r}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
"""

# What a child tries of each, and what is left to the parent. A wait without end would run into the limit.
PROGRAM = """
import gc, os, sys, threading
from dispycos import easycluster, rpc
from dispycos.gateways import makegateway
from dispycos.objects import stopping

class Shop(rpc.Service):
    def exposed_same(self, value):
        return value
    def exposed_wait(self):
        go.wait(20)
        return "waited"
    def exposed_items(self):
        yield from range(3)
    def exposed_call(self, function):
        return function()

go = threading.Event()
conn = rpc.connect_thread(remote_service=Shop)
items = conn.root.items()
next(items)
begun = rpc.async_(conn.root.wait)()
master = easycluster.server.spawn_local()
gateway = makegateway("popen")
channel = gateway.remote_exec("for item in channel: channel.send(item)")
busy = True
master.execblock("import threading; over = threading.Event()")
waited = master.eval("over.wait(20)", nonblocking=True, threadid="another")
stopping.running[1] = left = stopping.Stoppable()  # of another thread
master._line._defining.acquire()  # as another thread would

def calls():
    while busy:
        conn.root.call(lambda: 5)

others = [threading.Thread(target=calls) for _ in range(2)]
go.set()
begun.value
for thread in others:
    thread.start()
for last in (False, True):
    child = os.fork()
    if not child and not last:
        os._exit(not tried(lambda: conn.root.same(1)).startswith("Closed: "))
    if not child:
        for what in (
            lambda: conn.root.same(1),
            lambda: next(items),
            lambda: conn.ping(),
            lambda: master.len("abc"),
            lambda: waited.wait(),
            lambda: channel.send(1),
            lambda: channel.receive(),
            lambda: gateway.remote_exec("pass"),
        ):
            print("refused", tried(what), flush=True)
        print(master.read_response(), master.update_definitions(), stopping.running, flush=True)
        del items, channel
        gc.collect()
        conn.close()
        master.close()
        own = makegateway("popen").remote_exec("channel.send('its own')")
        print(own.receive(20), flush=True)
        sys.exit(0)  # which ends all gateways of the child's
    assert os.waitpid(child, 0)[1] == 0
busy = False
for thread in others:
    thread.join()
channel.send("still there")
master._line._defining.release()
master.over.set()
print(conn.root.same("parent"), list(items), waited.wait(), master.len("abc"), channel.receive(20))
gateway.exit()
master.close()
conn.close()
"""


@pytest.mark.row("EC-07", "EX-09", "RP-01")
def test_a_forked_child_leaves_its_parent_s_connections_alone_and_may_have_its_own():
    code, out, err = run_python(TRIED + PROGRAM, timeout=60)
    assert code == 0, err
    *refused, nothing, own, parent = out.splitlines()
    assert len(refused) == 8, out
    for line in refused:
        assert "uses it, of which this one is a forked child: open another here" in line
    assert [line.split()[1] for line in refused] == [
        "Closed:", "Closed:", "Closed:", "ConnectionClosed:", "ConnectionClosed:",
        "PeerLost:", "PeerLost:", "PeerLost:",
    ]  # fmt: skip
    assert (nothing, own, parent) == ("None None {}", "its own", "parent [1, 2] True 3 still there")
    assert not err


# The same with what a thread of the parent's holds and waits for at that moment. What is imported first
# renews its locks first.
HELD = """
import contextlib, os, sys, threading
from dispycos.gateways import Group
from dispycos import Task, rpc
from dispycos.kernel import operation
from dispycos.rpc.expiry import expiries
import asyncio

class Shop(rpc.Service):
    def exposed_wait(self):
        go.wait(20)
        return "waited"

async def received(channel):
    return channel.receive()

async def sent(channel):
    return channel.send(1)

async def awaited(what):
    return await what

def yielded(what, task=None):
    try:
        return f"got {(yield what)!r}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"

go, held, over = threading.Event(), threading.Event(), threading.Event()
conn = rpc.connect_thread(remote_service=Shop)
begun = [rpc.async_(conn.root.wait)() for _ in range(5)]
group = Group()
gateway = group.makegateway("popen//id=one")
channel = gateway.remote_exec("channel.send(channel.receive())")
item, asked = asyncio.run(received(channel)), asyncio.run(received(channel))
told = []
item.add_done_callback(told.append)
begun[0].add_callback(told.append)
begun[0].set_expiry(60)
begun[1].add_done_callback(told.append)

def hold():
    link = gateway._exchange.link
    with contextlib.ExitStack() as locks:
        for lock in (
            group._lock, channel._lock, channel._order, item._turn, asked._turn, operation._lock,
            conn.lanes._lock, conn._hooks_lock, conn._served._cond,
            conn.link._writer._lock, link._writer._lock, expiries._changed,
        ):
            locks.enter_context(lock)
        held.set()
        over.wait()

holder = threading.Thread(target=hold)
holder.start()
held.wait()
child = os.fork()
if not child:
    print(told, conn.wait_closed(), conn.serve(None), list(group), flush=True)
    for what in (
        lambda: begun[1].result(),
        lambda: begun[2].value,
        lambda: asyncio.run(awaited(begun[3])),
        lambda: item.result(),
        lambda: channel.send(1),
        lambda: channel.receive(),
        lambda: asyncio.run(awaited(asked)),
        lambda: asyncio.run(received(channel)).result(),
        lambda: asyncio.run(sent(channel)).result(),
    ):
        print("refused", tried(what), flush=True)
    print("refused", Task(yielded, begun[4]).value(20), flush=True)
    conn.when_gone(lambda: told.append("gone"))
    print(begun[0].ready, told, group.makegateway("popen//id=one").remote_exec("channel.send(7)").receive(20))
    own = rpc.connect_thread(remote_service=Shop)
    late = rpc.async_(own.root.wait)()
    late.set_expiry(0.01)
    print(tried(late.result))
    go.set()
    sys.exit(0)
over.set()
assert os.waitpid(child, 0)[1] == 0
channel.send("sent")
go.set()
print("parent", begun[4].result(20), item.result(20), len(group))
group.terminate()
conn.close()
"""


@pytest.mark.row("EX-09", "RP-01")
def test_a_fork_neither_waits_for_what_other_threads_hold_nor_tells_who_waits():
    code, out, err = run_python(TRIED + HELD, timeout=60)
    assert code == 0, err
    first, *refused, last, late, parent = out.splitlines()
    assert first == "[] True None []"
    assert [line.split()[1] for line in refused] == ["Closed:"] * 3 + ["PeerLost:"] * 6 + ["Closed:"], out
    for line in refused:
        assert "of which this one is a forked child: open another here" in line
    assert (last, parent) == ("True ['gone'] 7", "parent waited sent 1")
    assert late.startswith("AsyncResultTimeout: no answer in 0.01 s")
    assert not err
