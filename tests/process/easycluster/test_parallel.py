"""Calls that are not waited for, on one server and on many, and clients of many threads."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
import weakref

import pytest

from dispycos.easycluster import (
    SINGLE,
    Client,
    ClientGroup,
    RemoteException,
    ThreadedClient,
    call_method_multi,
    call_multi,
    eval_multi,
    execblock_multi,
    server,
)
from tests.helpers import wait_until


@pytest.fixture(scope="module")
def other(definitions):
    with server.spawn_local(definitions=definitions) as client:
        yield client


@pytest.fixture(scope="module")
def threaded(definitions):
    with server.spawn_local(ThreadedClient, definitions=definitions) as client:
        yield client


def reset_gate(client: Client) -> None:
    client.gate.value = None
    client.execblock("gate = threading.Event()")


@pytest.mark.row("EC-34")
def test_a_response_is_waited_for_as_often_as_one_likes(rmt, other):
    r1 = rmt.addvals(5, 8, nonblocking=True)
    r2 = other.addvals(14, 18, nonblocking=True)
    assert (r1.wait(), r2.wait(), r1.wait()) == (13, 32, 13)
    assert r1.have_response
    failed = rmt.fail(nonblocking=True, origexc="quiet")
    for _ in range(2):
        with pytest.raises(KeyError):
            failed.wait()
    reset_gate(rmt)
    slow = rmt.wait_at_gate(nonblocking=True)
    assert not slow.have_response
    with pytest.raises(TimeoutError):
        slow.wait(0.05)
    rmt.call("gate.set", threadid=1)
    assert isinstance(slow.wait(20), int)


@pytest.mark.row("EC-35")
def test_one_call_on_many_servers(rmt, other):
    both = [rmt, other]
    assert call_multi(both, "addvals", 2, 3) == [5, 5]
    assert eval_multi(both, "a * 2", a=4) == [8, 8]
    assert execblock_multi(both, "exec_return(len(name))", name="abc") == [3, 3]
    objects = [client.TestObject1(number) for number, client in enumerate(both)]
    assert call_method_multi(objects, "getval") == [0, 1]
    assert call_multi([], "addvals") == []
    with pytest.raises(TypeError, match="nonblocking"):
        call_multi(both, "addvals", 1, 2, nonblocking=True)


@pytest.mark.row("EC-35")
def test_a_failure_waits_for_all_and_carries_every_outcome(rmt, other):
    rmt.odd_one.value, other.odd_one.value = 0, 1
    with pytest.raises(ZeroDivisionError) as caught:
        eval_multi([other, rmt, other], "1 / odd_one", origexc="quiet")
    first, second, third = caught.value.outcomes
    assert (first, third) == (1.0, 1.0) and second is caught.value


@pytest.mark.row("EC-36", "EC-37")
def test_what_is_to_be_called_is_called_once_while_one_waits(rmt):
    seen = []
    done = rmt.addvals(1, 2, oncomplete=seen.append)
    more = rmt.addvals(3, 4, oncomplete=(lambda *args: seen.append(args), "a1", 2))
    assert rmt.addvals(0, 0) == 0
    assert rmt.addvals(0, 1, nonblocking=True).wait() == 1
    assert (done.wait(), more.wait(), more.wait()) == (3, 7, 7)
    assert seen == [3, (7, "a1", 2)]
    rmt.fail(oncomplete=seen.append).call.exception(20)
    rmt.fail(oncomplete=seen.append, onerror=(lambda exc, n: seen.append((exc, n)), 5)).call.exception(20)
    read = [rmt.read_response(20), rmt.read_response(20), rmt.read_response(0)]
    assert read[0] is not None and read[1] is not None and read[2] is None
    assert isinstance(seen[2], RemoteException) and isinstance(seen[2].orig, KeyError)
    error, number = seen[3]
    assert isinstance(error, RemoteException) and "in fail" in error.text and number == 5
    with pytest.raises(TypeError, match="oncomplete"):
        rmt.addvals(1, 2, oncomplete=3)


@pytest.mark.row("EC-38")
def test_threads_of_a_server_by_number(rmt):
    r1 = rmt.addvals(101, 102, nonblocking=True, threadid=1)
    r2 = rmt.addvals(222, 333, nonblocking=True, threadid=2)
    r3 = rmt.addvals(555, 888, nonblocking=True, threadid=3)
    assert [r1.wait(), r2.wait(), r3.wait()] == [203, 555, 1443]
    reset_gate(rmt)
    held = rmt.wait_at_gate(nonblocking=True, threadid=1)
    behind = rmt.addvals(1, 1, nonblocking=True, threadid=1)
    assert rmt.addvals(2, 2, threadid=2) == 4  # beside the other one
    assert not behind.have_response
    ident = "__import__('threading').get_ident()"
    second = rmt.eval(ident, threadid=2)
    assert second == rmt.eval(ident, threadid=2) != rmt.eval(ident, threadid=3)
    singles = {rmt.eval("id(threading.current_thread())", threadid=SINGLE), rmt.eval(ident)}
    assert second not in singles
    rmt.set_default_thread(2)
    assert rmt.eval(ident) == second
    rmt.set_default_thread(None)
    rmt.call("gate.set")
    assert behind.wait(20) == 2 and held.wait(20)
    running = rmt.eval("threading.active_count()")
    rmt.stop_remote_thread(2)
    wait_until(lambda: rmt.eval("threading.active_count()") == running - 1, what="the thread to end")
    with pytest.raises(ValueError, match="no thread"):
        rmt.stop_remote_thread(2)
    assert rmt.addvals(1, 1, threadid=2) == 2


@pytest.mark.row("EC-41")
def test_a_group_is_read_as_responses_come(rmt, other):
    seen = []
    group = ClientGroup(rmt)
    group.add_client(other)
    assert group.read_responses() == 0
    for client in (rmt, other, rmt):
        client.addvals(1, 2, oncomplete=seen.append)
    assert group.read_responses(max=2, timeout=20) == 2
    assert group.read_responses(timeout=20) == 1
    assert seen == [3, 3, 3]
    reset_gate(rmt)
    held = rmt.wait_at_gate(nonblocking=True)
    assert group.read_responses(timeout=0.05) == 0
    rmt.call("gate.set", threadid=1)
    assert group.read_responses(timeout=20) == 1 and held.have_response


@pytest.mark.row("EC-41", "EC-42")
def test_closing_wakes_who_waits(definitions):
    rmt = server.spawn_local(definitions=definitions)
    caught = []

    def wait() -> None:
        try:
            rmt.wait_at_gate()
        except OSError as exc:
            caught.append(exc)

    thread = threading.Thread(target=wait)
    thread.start()
    response = rmt.wait_at_gate(nonblocking=True)
    rmt.close()
    thread.join(20)
    assert len(caught) == 1 and "closed" in str(caught[0])
    with pytest.raises(OSError, match="closed"):
        response.wait()


@pytest.mark.row("EC-40")
def test_each_thread_has_one_at_the_server_which_ends_with_it(threaded):
    ident = "threading.get_ident()"
    alive = "[thread.ident for thread in threading.enumerate()]"
    mine = threaded.eval(ident)
    assert mine == threaded.eval(ident)
    seen = {}
    meet = threading.Barrier(3)

    def work(name: int) -> None:
        seen[name] = threaded.eval(ident), threaded.eval(ident), threaded.addvals(name, 1)
        meet.wait(20)
        meet.wait(20)

    threads = [threading.Thread(target=work, args=(name,)) for name in (1, 2)]
    for thread in threads:
        thread.start()
    meet.wait(20)
    theirs = {seen[name][0] for name in (1, 2)}
    assert len(theirs | {mine}) == 3
    assert theirs <= set(threaded.eval(alive))
    meet.wait(20)
    for thread in threads:
        thread.join(20)
    gc.collect()
    wait_until(lambda: theirs.isdisjoint(threaded.eval(alive)), what="their threads to end there")
    assert [seen[name][2] for name in (1, 2)] == [2, 3]
    assert all(first == second for first, second, _ in seen.values())
    assert len({mine, seen[1][0], seen[2][0]}) == 3


@pytest.mark.row("EC-36", "EC-40")
def test_completions_come_at_once_in_a_thread_of_their_own(threaded):
    seen: list[tuple[object, int]] = []
    come = threading.Event()

    def complete(value: object) -> None:
        seen.append((value, threading.get_ident()))
        come.set()

    threaded.addvals(1, 2, oncomplete=complete)
    assert come.wait(20)
    assert seen[0][0] == 3 and seen[0][1] != threading.get_ident()
    come.clear()
    threaded.fail(oncomplete=complete, onerror=complete)
    assert come.wait(20)
    assert isinstance(seen[1][0], RemoteException) and len(seen) == 2


@pytest.mark.row("EC-40")
def test_a_server_that_is_stopped_is_lost_and_a_busy_one_is_not(definitions):
    rmt = server.spawn_local(ThreadedClient, definitions=definitions, server_timeout=2.5)
    pid = rmt.os.getpid()
    busy = "until = time.monotonic() + 3.5\nwhile time.monotonic() < until: pass\nexec_return('done')"
    assert rmt.execblock(busy) == "done"
    waiting = rmt.wait_at_gate(nonblocking=True)
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        with pytest.raises(OSError, match=r"did not answer for \d+\.\d s"):
            waiting.wait(30)
        assert time.monotonic() - began < 20
        with pytest.raises(OSError):
            rmt.addvals(1, 2)
    finally:
        os.kill(pid, signal.SIGCONT)
    rmt.close()
    with pytest.raises(ValueError, match="server_timeout"):
        ThreadedClient(None, server_timeout=0)


@pytest.mark.row("EC-41")
def test_a_group_is_not_kept_by_its_clients(rmt):
    group = ClientGroup(rmt)
    kept = weakref.ref(group)
    del group
    gc.collect()
    assert kept() is None
    assert rmt.addvals(1, 2, nonblocking=True).wait() == 3


def test_a_client_is_dropped_by_a_thread_that_holds_the_locks_of_its_link(definitions):
    client = server.spawn_local(definitions=definitions)
    link = client._line.connection.link
    with link._writer._lock:
        del client  # as the collector does at any moment
        gc.collect()
    assert link.join(10)
