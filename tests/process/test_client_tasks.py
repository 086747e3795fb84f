"""Tasks of a client: where they run, what they give."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from dispycos import Client, Location, MonitorStatus, NotSerializable, Scheduler, Task
from tests.helpers import wait_until
from tests.process.clusters import (
    LIMIT,
    Watcher,
    echo,
    opened,
    pid,
    scheduled,
    sleeps,
    two_servers,
    waits,
)


@pytest.mark.row("DC-17", "DC-23")
def test_rtask_gives_a_task_of_a_server(cluster):
    def body(client: Client, task: Any) -> Any:
        rtask = yield client.rtask(echo, 1, two=2)
        assert isinstance(rtask, Task)
        assert rtask.name == "echo"
        assert rtask.location in (yield client.servers())
        assert (yield rtask()) == ((1,), {"two": 2})
        assert not rtask.is_alive()
        # Valid after its end, for any number of waiters.
        assert (yield rtask.result()) == ((1,), {"two": 2})
        assert (yield rtask.finish(timeout=0)) == ((1,), {"two": 2})

    scheduled(body, echo)


@pytest.mark.row("DC-20")
def test_the_old_names_do_the_same(cluster):
    def body(client: Client, task: Any) -> Any:
        location = (yield client.servers())[0] if (yield client.servers()) else None
        first = yield client.run(echo, 1)
        location = first.location
        second = yield client.run_at(location, echo, 2)
        third = yield client.run_async(echo, 3)
        fourth = yield client.run_async_at(location, echo, 4)
        found = []
        for rtask in (first, second, third, fourth):
            found.append((yield rtask())[0][0])
        assert found == [1, 2, 3, 4]
        assert second.location == fourth.location == location

    scheduled(body, echo)


@pytest.mark.row("DC-21")
def test_what_is_no_generator_function_is_refused_in_the_caller(cluster):
    def body(client: Client, task: Any) -> Any:
        for target in (len, 3, None, "echo", lambda: 1):
            with pytest.raises(TypeError, match="generator function"):
                client.rtask(target)
        yield

    scheduled(body)


@pytest.mark.row("DC-22", "R-03")
def test_an_argument_that_cannot_be_pickled_raises_in_the_caller_and_names_its_place(cluster):
    def body(client: Client, task: Any) -> Any:
        with pytest.raises(NotSerializable, match="argument 2 of echo"):
            client.rtask(echo, 1, {"lock": threading.Lock()})
        # Nothing was sent, and the next one works.
        assert (yield (yield client.rtask(echo, 1))()) == ((1,), {})

    scheduled(body, echo)


def unpicklable() -> Any:
    yield
    return [1, {"lock": threading.Lock()}]


@pytest.mark.row("DC-22", "R-03")
def test_a_result_that_cannot_be_pickled_is_the_task_s_failure(cluster):
    def body(client: Client, task: Any) -> Any:
        rtask = yield client.rtask(unpicklable)
        status = yield rtask()
        assert isinstance(status, MonitorStatus)
        assert issubclass(status.type, TypeError)
        assert "lock" in str(status.value)
        assert (yield (yield client.rtask(echo))()) == ((), {})

    scheduled(body, unpicklable, echo)


@pytest.mark.row("DC-22")
def test_large_arguments_and_results_travel(cluster):
    def body(client: Client, task: Any) -> Any:
        data = os.urandom(32 << 20)
        (back,), _ = yield (yield client.rtask(echo, data))()
        assert bytes(back) == data

    scheduled(body, echo)


@pytest.mark.row("DC-22")
def test_many_large_arguments_at_once_travel(cluster):
    def body(client: Client, task: Any) -> Any:
        data = os.urandom(4 << 20)
        rtasks = []
        for _ in range(12):
            rtasks.append((yield client.rtask(echo, data)))
        for rtask in rtasks:
            (back,), _ = yield rtask()
            assert bytes(back) == data

    scheduled(body, echo)


@pytest.mark.row("DC-49", "DC-45")
def test_functions_that_are_no_components_travel_at_their_first_use(cluster):
    def body(client: Client, task: Any) -> Any:
        factor = 3

        def times(n: int) -> Any:
            yield
            return n * factor

        assert (yield (yield client.rtask(times, 5))()) == 15
        factor = 4
        assert (yield (yield client.rtask(times, 5))()) == 20

    scheduled(body)


@pytest.mark.row("DC-45")
def test_a_captured_value_that_cannot_be_pickled_is_named(cluster):
    def body(client: Client, task: Any) -> Any:
        lock = threading.Lock()

        def locked() -> Any:
            yield
            return lock.locked()

        with pytest.raises(NotSerializable, match="lock"):
            client.rtask(locked)
        yield

    scheduled(body)


def interval(seconds: float) -> Any:
    began = time.monotonic()
    time.sleep(seconds)
    yield
    return os.getpid(), began, time.monotonic()


@pytest.mark.row("DC-17")
@pytest.mark.rule("D1")
def test_a_server_runs_one_computing_task_at_a_time(cluster):
    def body(client: Client, task: Any) -> Any:
        rtasks = []
        for _ in range(8):
            rtasks.append((yield client.rtask(interval, 0.05)))
        of_server: dict[int, list[tuple[float, float]]] = {}
        for rtask in rtasks:
            process, began, ended = yield rtask()
            of_server.setdefault(process, []).append((began, ended))
        assert len(of_server) == 2
        for spans in of_server.values():
            spans.sort()
            assert all(one[1] <= two[0] for one, two in itertools.pairwise(spans))

    scheduled(body, interval)


@pytest.mark.row("DC-19")
def test_tasks_that_wait_run_beside_others(cluster):
    def body(client: Client, task: Any) -> Any:
        yield (yield client.rtask(pid))()
        location = (yield client.servers())[0]
        busy = yield client.rtask_at(location, waits)
        many = []
        for _ in range(50):
            many.append((yield client.io_rtask_at(location, waits)))
        tasks = yield client.tasks(location)
        assert set(tasks) == {busy, *many}
        for number, rtask in enumerate(many):
            rtask.send(number)
        for number, rtask in enumerate(many):
            assert (yield rtask()) == number
        busy.send("done")
        assert (yield busy()) == "done"

    scheduled(body, pid, waits)


@pytest.mark.row("DC-17")
def test_two_thousand_tasks_give_two_thousand_results(cluster):
    def body(client: Client, task: Any) -> Any:
        rtasks = []
        for number in range(2000):
            rtasks.append((yield client.rtask(echo, number)))
        for number, rtask in enumerate(rtasks):
            assert (yield rtask())[0][0] == number

    scheduled(body, echo)


@pytest.mark.row("DC-40")
def test_many_tasks_of_a_process_use_one_client(cluster):
    def body(client: Client, task: Any) -> Any:
        def use(number: int, task: Any = None) -> Any:
            return (yield (yield client.rtask(echo, number))())[0][0]

        users = [Task(use, number) for number in range(200)]
        found = []
        for user in users:
            found.append((yield user()))
        assert found == list(range(200))

    scheduled(body, echo)


def answers(task: Any = None) -> Any:
    while True:
        message = yield task.receive()
        if message is None:
            return "bye"
        asker, number = message
        asker.send(number * 2)


@pytest.mark.row("DC-23", "KE-10")
def test_messages_go_both_ways_from_the_first_moment(cluster):
    def body(client: Client, task: Any) -> Any:
        rtask = yield client.rtask(answers)
        for number in range(100):
            # Also before it has begun over there.
            assert rtask.send((task, number)) == 0
        for number in range(100):
            assert (yield task.receive(timeout=20)) == 2 * number
        assert (yield rtask.deliver(None, timeout=20)) == 1
        assert (yield rtask()) == "bye"
        assert rtask.send("late") == -1

    scheduled(body, answers)


def counts(n: int, task: Any = None) -> Any:
    for number in range(n):
        assert (yield task.receive())[0] == number
    return n


@pytest.mark.row("DC-23")
@pytest.mark.rule("N2")
def test_messages_of_all_sizes_and_kinds_stay_in_order(cluster):
    def body(client: Client, task: Any) -> Any:
        rtask = yield client.io_rtask(counts, 3000)
        for number in range(3000):
            more: Any = [1, {"two": (2.5, "x" * (number % 50))}, b"y" * (number % 3000)]
            if number % 7 == 0:
                more = "large" * 10_000
            elif number % 101 == 0:
                more = lambda x: x + 1  # noqa: E731 - what travels as code
            rtask.send((number, more))
            if number % 500 == 0:
                yield
        assert (yield rtask(timeout=20)) == 3000

    scheduled(body, counts)


@pytest.mark.rule("N4")
def test_a_thread_that_sends_to_a_task_of_a_stopped_server_is_held(cluster):
    def body(client: Client, task: Any) -> Any:
        rtask = yield client.io_rtask(counts, 3000)
        server = yield (yield client.rtask_at(rtask.location, pid))()
        sent: list[int] = []

        def flood() -> None:
            for number in range(3000):
                sent.append(rtask.send((number, "x" * 30_000)))

        peer = client._work.network.endpoint.peer(rtask.address.incarnation)
        os.kill(server, signal.SIGSTOP)
        try:
            thread = threading.Thread(target=flood)
            thread.start()
            while not peer.waiting:  # 90 MB want to leave; about 64 may wait
                yield task.sleep(0.01)
            assert 1500 < len(sent) < 2900
        finally:
            os.kill(server, signal.SIGCONT)
        assert (yield rtask(timeout=20)) == 3000
        thread.join()
        assert set(sent) == {0}

    scheduled(body, counts, pid)


@pytest.mark.row("DC-23", "KE-15")
def test_tasks_talk_to_each_other_directly(cluster):
    def forwards(other: Any, count: int, task: Any = None) -> Any:
        for number in range(count):
            other.send((task, number))
        total = 0
        for _ in range(count):
            total += yield task.receive()
        other.send(None)
        return total

    def body(client: Client, task: Any) -> Any:
        first = yield client.rtask(answers)
        second = yield client.rtask(forwards, first, 50)
        assert (yield second()) == 2 * sum(range(50))
        assert (yield first()) == "bye"

    scheduled(body, answers)


@pytest.mark.row("KE-13", "DC-23")
def test_a_monitor_gets_the_status_of_a_remote_task(cluster):
    def body(client: Client, task: Any) -> Any:
        rtask = yield client.rtask(sleeps, 0.05)
        assert (yield task.monitor(rtask)) == 0
        status = yield task.receive(timeout=20)
        assert (status.info, status.type, status.value) == (rtask, StopIteration, 0.05)
        assert (yield task.monitor(rtask)) == 0  # it has ended: at once
        assert (yield task.receive(timeout=20)).value == 0.05

    scheduled(body, sleeps)


def touches(path: str) -> Any:
    yield
    Path(path).touch()


@pytest.mark.row("DC-17")
def test_a_task_begins_while_its_program_computes(cluster, tmp_path):
    mark = tmp_path / "begun"

    def body(client: Client, task: Any) -> Any:
        rtask = yield client.rtask(touches, str(mark))
        wait_until(mark.exists)  # blocks this task, and its kernel with it
        yield rtask()

    scheduled(body, touches)


@pytest.mark.row("DC-35")
def test_tasks_are_listed_by_server_by_node_and_everywhere(cluster):
    early = Client()
    assert early.tasks().result(LIMIT) == []

    def body(client: Client, task: Any) -> Any:
        first, second = yield two_servers(client, task)
        cpu = yield client.rtask_at(first, waits)
        io = yield client.io_rtask_at(first, waits)
        other = yield client.io_rtask_at(second, waits)
        called = client.submit(waits)
        while not called.running():
            yield task.sleep(0.01)
        everything = {cpu, io, other, called.task}
        assert {*(yield client.tasks(first)), *(yield client.tasks(second))} == everything
        assert {cpu, io} <= set((yield client.tasks(first)))
        assert other in (yield client.tasks(second))
        assert set((yield client.tasks())) == everything
        assert all(isinstance(one, Task) for one in everything)
        (node,) = yield client.nodes()
        for where in (node, "localhost", other.location.addr):
            assert set((yield client.tasks(where))) == everything
        for where in (
            "192.0.2.1",
            "no host has this name",
            Location("127.0.0.1", 1),
            Location("192.0.2.1", 1),
        ):
            assert (yield client.tasks(where)) == []
        for one in (cpu, io, other, called.task):
            one.send("enough")
        assert (yield cpu()) == (yield io()) == (yield other()) == (yield called) == "enough"
        assert (yield client.tasks()) == []
        # What waits for a server is nowhere yet.
        yield client.suspend_server(first)
        yield client.suspend_server(second)
        waiting = client.submit(waits)
        assert (yield client.tasks()) == []
        assert waiting.cancel()

    scheduled(body, waits)


@pytest.mark.row("DC-35")
def test_a_node_s_own_location_lists_the_tasks_of_its_servers(cluster):
    watcher = Watcher()

    def body(client: Client, task: Any) -> Any:
        rtask = yield client.rtask(waits)
        (status,) = watcher.statuses(Scheduler.NodeInitialized)
        assert (yield client.tasks(status.info.location)) == [rtask]
        rtask.send("enough")
        yield rtask()

    scheduled(body, waits, status_task=watcher.task)


def ends_later(seconds, who=None, task=None):
    yield task.receive()
    yield task.sleep(seconds)
    if who is not None:
        who.send("last words")


@pytest.mark.row("KE-10", "KE-13")
def test_what_a_task_said_last_comes_before_the_news_of_its_end(cluster):
    def body(client: Client, task: Any) -> Any:
        first, second = yield two_servers(client, task)
        early = yield client.rtask_at(first, ends_later, 0.1)
        late = yield client.rtask_at(second, ends_later, 0.2, task)
        for rtask in (early, late):
            yield task.monitor(rtask)
            rtask.send("go")
        # This thread is held while, as a rule, everything comes: the end of one, the words and the end
        # of the other. Between what two servers say there is no order.
        time.sleep(0.5)
        heard = []
        for _ in range(3):
            message = yield task.receive(timeout=LIMIT)
            heard.append(getattr(message, "info", message))
        assert set(heard) == {early, "last words", late}
        assert heard.index("last words") < heard.index(late)

    scheduled(body, ends_later)


@pytest.mark.row("DC-60", "KE-06")
def test_a_task_is_awaited_in_asyncio_and_waited_for_in_a_plain_thread(cluster):
    async def awaits(client: Client) -> list[Any]:
        double = await client.rtask(twice, 21)
        fails = await client.rtask(missing, "key")
        endless = await client.rtask(waits)
        found = [await double.result(), await double(), await double.finish(timeout=5)]
        with pytest.raises(KeyError, match="key"):
            await fails.result()
        found.append((await fails()).type)
        found.append(await endless.finish(timeout=0.05))
        with pytest.raises(TimeoutError, match=r"did not end in 0\.05 s: waits#"):
            await endless.result(timeout=0.05)
        endless.terminate()
        return found

    with opened(twice, missing, waits) as client:
        assert asyncio.run(awaits(client)) == [42, 42, 42, KeyError, None]
        rtask = client.rtask(twice, 4).result(20)
        assert rtask.result().result(20) == rtask().result(20) == 8


def twice(n: int) -> Any:
    yield
    return 2 * n


def missing(key: str) -> Any:
    yield
    raise KeyError(key)
