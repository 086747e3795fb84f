"""Asynchronous calls, callbacks, background threads and buffered iteration."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from dispycos import rpc
from dispycos.rpc.connection import Connection
from tests.helpers import wait_until
from tests.io.rpc.servers import connected


class Work(rpc.Service):
    """Something to wait for."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.seen: list[Any] = []
        self.stopped = threading.Event()
        self.taken = 0
        self.told: list[threading.Thread] = []

    def exposed_wait(self, value: Any = None) -> Any:
        self.go.wait(30)
        return value

    def exposed_note(self, value: Any) -> Any:
        self.seen.append(value)
        return value

    def exposed_fail(self) -> None:
        raise ValueError("no")

    def exposed_spin(self) -> None:
        try:
            while True:
                time.sleep(0.001)
        finally:
            self.stopped.set()

    def exposed_call(self, function: Any, *args: Any) -> Any:
        return function(*args)

    def exposed_later(self, function: Any, count: int) -> None:
        def tell() -> None:
            for number in range(count):
                function(number)

        self.told.append(threading.Thread(target=tell, daemon=True))
        self.told[-1].start()

    def exposed_count(self, most: int, fail: bool = False) -> Iterator[int]:
        for number in range(most):
            self.taken += 1
            yield number
        if fail:
            raise ValueError("the end")


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def conn(work: Work) -> Iterator[Connection]:
    with connected(work) as conn:
        yield conn
        work.go.set()


@pytest.mark.row("RP-14")
def test_asynchronous_calls_return_at_once_and_are_done_in_order(conn, work):
    waiting = rpc.async_(conn.root.wait)(1)
    rpc.async_(conn.root.note)("one line, and nobody holds it")
    results = [rpc.async_(conn.root.note)(number) for number in range(5)]
    assert not waiting.ready and not work.seen
    work.go.set()
    assert [result.value for result in results] == list(range(5))
    assert work.seen == ["one line, and nobody holds it", *range(5)] and waiting.value == 1
    assert repr(rpc.async_(conn.root.wait)).startswith("async(<method wait of")
    with pytest.raises(TypeError, match="async_ takes a function of the other end"):
        rpc.async_(len)


@pytest.mark.row("RP-15")
def test_results_are_asked_and_waited_for(conn, work):
    result = rpc.async_(conn.root.wait)(7)
    told: list[Any] = []
    result.add_callback(told.append)
    assert (result.ready, result.error, result.expired) == (False, False, False)
    assert "pending" in repr(result)
    work.go.set()
    result.wait()
    assert (result.ready, result.error, result.value) == (True, False, 7) and "ready" in repr(result)
    assert told == [result]
    failed = rpc.async_(conn.root.fail)()
    failed.wait()
    assert failed.ready and failed.error
    with pytest.raises(ValueError, match="no"):
        failed.value

    async def main() -> Any:
        return await rpc.async_(conn.root.wait)(8)

    assert asyncio.run(main()) == 8


@pytest.mark.row("RP-15")
def test_a_result_that_expires_is_stopped_there(conn, work):
    result = rpc.timed(conn.root.spin, 0.05)()
    with pytest.raises(rpc.AsyncResultTimeout, match=r"no answer in 0\.05 s") as caught:
        result.value
    assert isinstance(caught.value, TimeoutError) and result.expired and not result.ready
    assert work.stopped.wait(10)
    assert conn.root.note(1) == 1
    unwaited = rpc.async_(conn.root.wait)()
    unwaited.set_expiry(0.02)
    wait_until(lambda: unwaited.expired)
    forever = rpc.async_(conn.root.note)(2)
    forever.set_expiry(60)
    forever.set_expiry(None)
    work.go.set()
    assert forever.value == 2


def test_one_that_expires_while_it_calls_back_ends_there_and_the_connection_lives(conn, work):
    held = threading.Event()
    with rpc.BgServingThread(conn):
        calls = rpc.async_(conn.root.call)(held.wait, 30)
        calls.set_expiry(0.05)
        wait_until(lambda: calls.expired)
        # The thread there that waited for our callback is free, though that has not answered.
        assert conn.root.note(1) == 1
        assert not held.is_set()
        held.set()
    assert conn.root.note(2) == 2
    assert work.seen == [1, 2]


@pytest.mark.row("RP-24")
def test_callbacks_run_here_while_we_wait_nested_to_any_depth(conn):
    me = threading.get_ident()

    def down(n: int) -> int:
        assert threading.get_ident() == me
        return n if not n else conn.root.call(down, n - 1) + 1

    assert conn.root.call(down, 40) == 40
    with pytest.raises(KeyError, match="mine"):
        conn.root.call({}.__getitem__, "mine")


@pytest.mark.row("RP-25")
def test_events_arrive_in_the_background_until_it_is_stopped(conn):
    seen: list[tuple[int, str]] = []

    def event(number: int) -> None:
        seen.append((number, threading.current_thread().name))

    with rpc.BgServingThread(conn) as background:
        conn.root.later(event, 50)
        # Many threads use the connection meanwhile, and none misses its answer.
        answers: list[int] = []
        threads = [
            threading.Thread(target=lambda k=k: answers.extend(conn.root.note(k) for _ in range(20)))
            for k in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        wait_until(lambda: len(seen) == 50)
        assert background.active
    assert [number for number, _ in seen] == list(range(50)) and len(answers) == 120
    assert {name for _, name in seen} == {f"dispycos background, {conn.name}"}
    assert not background.active
    background.stop()
    assert conn.root.note(1) == 1


@pytest.mark.row("RP-25")
def test_a_background_thread_ends_with_its_connection():
    gone = threading.Event()
    with connected(Work()) as conn:
        background = rpc.BgServingThread(conn, gone.set)
    assert gone.wait(10)
    background.stop()


def test_a_thread_serves_for_a_time(conn, work):
    seen: list[str] = []
    conn.root.later(lambda number: seen.append(threading.current_thread().name), 1)
    began = time.monotonic()
    while not seen and time.monotonic() - began < 10:
        conn.serve(0.01)
    assert seen
    conn.poll_all()
    # Who asked has the answer before the connection ends, or the call fails with it.
    for thread in work.told:
        thread.join(10)
        assert not thread.is_alive()


@pytest.mark.row("RP-26")
def test_items_come_in_growing_chunks_and_no_more_than_one_ahead(conn, work):
    items = rpc.buffiter(conn.root.count(100), chunk=3, max_chunk=10, factor=2)
    assert work.taken == 0
    assert next(items) == 0 and work.taken == 3
    assert [next(items) for _ in range(3)] == [1, 2, 3] and work.taken == 9
    assert list(items) == list(range(4, 100))
    assert list(rpc.buffiter([1, 2])) == [1, 2]
    failing = rpc.buffiter(conn.root.count(4, fail=True))
    seen = []
    with pytest.raises(ValueError, match="the end"):
        for item in failing:
            seen.append(item)
    assert seen == [0, 1, 2, 3]
    for wrong in ({"chunk": 0}, {"max_chunk": 0}, {"factor": 0.5}):
        with pytest.raises(ValueError):
            rpc.buffiter([], **wrong)


@pytest.mark.row("RP-15")
def test_a_call_that_a_thread_of_the_program_does_is_stopped_too(conn):
    stopped = threading.Event()

    def spin() -> None:
        try:
            while True:
                time.sleep(0.001)
        finally:
            stopped.set()

    class Other(rpc.Service):
        def exposed_spin(self) -> None:
            spin()

    with rpc.connect_thread(remote_service=Other) as near:
        (far,) = [end for end in gc.get_objects() if isinstance(end, Connection) and not end.closed
                  and isinstance(end.service, Other)]  # fmt: skip
        with rpc.BgServingThread(far):
            with pytest.raises(rpc.AsyncResultTimeout):
                rpc.timed(near.root.spin, 0.05)().value
            assert stopped.wait(10)
