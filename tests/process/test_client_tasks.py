"""Tasks of a client: where they run, what they give, how they fail."""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
from typing import Any

import pytest

from dispycos import (
    Client,
    LocalCluster,
    MonitorStatus,
    NotSerializable,
    RemoteError,
    Scheduler,
    Task,
    TaskCancelled,
    TaskRejected,
)
from tests.helpers import wait_until
from tests.process.clusters import Watcher, cluster, program, run

__all__ = ["cluster", "program"]


def scheduled(body: Any, *components: Any, **options: Any) -> Any:
    """Run `body(client, task)` with a scheduled client that is closed afterwards."""

    def main(task: Any = None) -> Any:
        client = Client(list(components), **options)
        assert (yield client.schedule()) == 0
        try:
            return (yield body(client, task))
        finally:
            assert (yield client.close(terminate=True)) == 0

    return run(main)


def echo(*args: Any, **kwargs: Any) -> Any:
    yield
    return args, kwargs


def pid(task: Any = None) -> Any:
    yield
    return os.getpid()


def fails(kind: Any, *args: Any) -> Any:
    yield
    raise kind(*args)


def sleeps(seconds: float, task: Any = None) -> Any:
    yield task.sleep(seconds)
    return seconds


def waits(task: Any = None) -> Any:
    return (yield task.receive())


# Results and arguments.


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


# Failures.


@pytest.mark.row("R-01", "KE-06")
def test_a_failed_task_gives_its_status_or_raises_its_exception(cluster):
    def body(client: Client, task: Any) -> Any:
        rtask = yield client.rtask(fails, KeyError, "missing")
        status = yield rtask()
        assert isinstance(status, MonitorStatus)
        assert status.type is KeyError
        assert status.info == rtask
        assert "raise kind(*args)" in status.value
        with pytest.raises(KeyError, match="missing") as caught:
            yield rtask.result()
        assert "raise kind(*args)" in str(caught.value.__cause__)

    scheduled(body, fails)


class Odd(Exception):
    """Can't be made from what it keeps."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__("odd")


def end_itself(how: str) -> Any:
    yield
    if how == "exit":
        sys.exit(3)
    if how == "odd":
        raise Odd(1, 2)
    if how == "stop":
        raise StopIteration(5)
    if how == "deep":
        return end_deep(0)
    raise {"keyboard": KeyboardInterrupt, "generator": GeneratorExit, "memory": MemoryError}[how]()


def end_deep(n: int) -> int:
    return end_deep(n + 1)


@pytest.mark.row("R-02", "R-04")
@pytest.mark.parametrize("how", ["exit", "odd", "stop", "deep", "keyboard", "generator", "memory"])
def test_whatever_a_task_raises_is_its_failure_and_the_server_lives(cluster, how):
    def body(client: Client, task: Any) -> Any:
        before = yield (yield client.rtask(pid))()
        location = (yield client.servers())[0]
        before = yield (yield client.rtask_at(location, pid))()
        rtask = yield client.rtask_at(location, end_itself, how)
        status = yield rtask()
        assert isinstance(status, MonitorStatus), status
        assert isinstance(status.type, type)
        assert issubclass(status.type, BaseException)
        assert str(status.value)
        assert (yield (yield client.rtask_at(location, pid))()) == before

    scheduled(body, end_itself, end_deep, Odd, pid)


def strange() -> Any:
    class Unknown(Exception):
        def __reduce__(self) -> Any:
            raise TypeError("never pickled")

    yield
    raise Unknown("from afar")


@pytest.mark.row("R-02", "ST-10")
def test_an_exception_that_cannot_travel_is_a_remote_error_with_its_text(cluster):
    def body(client: Client, task: Any) -> Any:
        rtask = yield client.rtask(strange)
        status = yield rtask()
        assert status.type is RemoteError
        assert "Unknown" in status.value
        assert "from afar" in status.value

    scheduled(body, strange)


@pytest.mark.row("DC-51")
def test_a_module_that_is_missing_there_is_named(cluster):
    def needs() -> Any:
        yield
        import no_such_module_at_all

        return no_such_module_at_all

    def body(client: Client, task: Any) -> Any:
        status = yield (yield client.rtask(needs))()
        assert status.type is ModuleNotFoundError
        assert "no_such_module_at_all" in status.value

    scheduled(body)


# Refusals.


@pytest.mark.row("DC-40")
def test_requests_before_scheduling_and_after_closing_are_refusals(cluster):
    def main(task: Any = None) -> Any:
        client = Client([echo])
        refused = yield client.rtask(echo)
        assert not isinstance(refused, Task)
        assert refused.type is TaskRejected
        assert "schedule" in refused.value
        assert (yield client.servers()) == []
        assert (yield client.nodes()) == []
        assert (yield client.tasks()) == []
        assert client.suspend_node("127.0.0.1") == -1
        assert (yield client.close()) == 0
        assert (yield client.schedule()) == 0
        assert (yield (yield client.rtask(echo, 1))()) == ((1,), {})
        assert (yield client.close()) == 0
        assert (yield client.close()) == 0
        refused = yield client.rtask(echo)
        assert refused.type is TaskRejected
        assert "closed" in refused.value
        assert (yield client.nodes()) == []

    run(main)


@pytest.mark.row("DC-18")
def test_an_unknown_place_is_refused_at_once(cluster):
    def body(client: Client, task: Any) -> Any:
        from dispycos import Location

        for place in (Location("127.0.0.1", 1), "10.255.255.1", "no.such.host.example"):
            refused = yield client.rtask_at(place, echo)
            assert not isinstance(refused, Task)
            assert refused.type is TaskRejected

    scheduled(body, echo)


@pytest.mark.row("DC-18", "DC-33", "DC-34")
def test_a_node_s_address_means_any_server_there(cluster):
    def body(client: Client, task: Any) -> Any:
        rtask = yield client.rtask_at("127.0.0.1", pid)
        if isinstance(rtask, MonitorStatus):  # the node is not ours yet
            yield (yield client.rtask(pid))()
            rtask = yield client.rtask_at("127.0.0.1", pid)
        assert rtask.location in (yield client.servers())
        assert (yield client.nodes()) == ["127.0.0.1"]
        yield rtask()

    scheduled(body, pid)


# One at a time, many at once.


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
def test_ten_thousand_tasks_give_ten_thousand_results(cluster):
    def body(client: Client, task: Any) -> Any:
        rtasks = []
        for number in range(10_000):
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


# Messages and ends.


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


@pytest.mark.row("DC-58", "DC-56")
def test_terminate_ends_a_waiting_task_with_keyboard_interrupt(cluster):
    def body(client: Client, task: Any) -> Any:
        rtask = yield client.rtask(waits)
        yield task.sleep(0.1)
        assert rtask.terminate() == 0
        status = yield rtask()
        assert status.type in (KeyboardInterrupt, Scheduler.TaskTerminated)
        assert rtask.terminate() == -1

    scheduled(body, waits)


@pytest.mark.row("DC-62")
def test_a_task_that_has_not_begun_never_runs_after_cancel(cluster):
    def body(client: Client, task: Any) -> Any:
        yield (yield client.rtask(pid))()
        location = (yield client.servers())[0]
        busy = yield client.rtask_at(location, waits)
        behind = yield client.rtask_at(location, echo)
        assert behind.cancel() is True
        status = yield behind()
        assert status.type is Scheduler.TaskTerminated
        assert "cancel" in status.value
        assert behind.cancel() is False
        with pytest.raises(TaskCancelled):
            yield behind.result()
        busy.send(1)
        assert (yield busy()) == 1

    scheduled(body, pid, waits, echo)


def saves(task: Any = None) -> Any:
    try:
        yield task.receive()
    except KeyboardInterrupt:
        yield
        return "saved"


@pytest.mark.row("DC-56", "DC-39")
def test_what_a_task_returns_after_keyboard_interrupt_counts(cluster):
    watcher = Watcher()

    def body(client: Client, task: Any) -> Any:
        rtask = yield client.rtask(saves)
        yield task.sleep(0.2)
        assert (yield client.close(terminate=True)) == 0
        assert (yield rtask()) == "saved"

    scheduled(body, saves, status_task=watcher.task)
    wait_until(watcher.ends)
    assert [end.value for end in watcher.ends()] == ["saved"]


@pytest.mark.row("DC-39")
def test_close_waits_for_tasks_and_ends_those_that_only_wait(cluster):
    def main(task: Any = None) -> Any:
        client = Client([sleeps, waits])
        assert (yield client.schedule()) == 0
        rtasks = []
        for _ in range(6):
            rtasks.append((yield client.rtask(sleeps, 0.1)))
        io = yield client.io_rtask(waits)
        assert (yield client.close()) == 0
        for rtask in rtasks:
            assert (yield rtask.finish(timeout=0)) == 0.1
        status = yield io.finish(timeout=0)
        assert isinstance(status, MonitorStatus)

    run(main)


@pytest.mark.row("DC-39")
def test_close_may_wait_for_io_tasks(cluster):
    def main(task: Any = None) -> Any:
        client = Client([sleeps])
        assert (yield client.schedule()) == 0
        rtask = yield client.io_rtask(sleeps, 0.5)
        assert (yield client.close(await_io=True)) == 0
        assert (yield rtask.finish(timeout=0)) == 0.5

    run(main)


@pytest.mark.row("DC-39")
def test_close_ends_what_its_timeout_finds(cluster):
    def main(task: Any = None) -> Any:
        client = Client([waits])
        assert (yield client.schedule()) == 0
        rtask = yield client.rtask(waits)
        assert (yield client.close(timeout=0.2)) == 0
        assert isinstance((yield rtask.finish(timeout=0)), MonitorStatus)

    run(main)


@pytest.mark.row("DC-39", "DC-40")
def test_a_client_without_a_single_task_closes(cluster):
    def main(task: Any = None) -> Any:
        for _ in range(3):
            client = Client([])
            assert (yield client.schedule()) == 0
            assert (yield client.close()) == 0

    run(main)


@pytest.mark.row("DC-05", "DC-36")
def test_a_node_that_no_rule_takes_is_ignored_until_a_rule_is_added(cluster):
    watcher = Watcher()

    def main(task: Any = None) -> Any:
        client = Client([pid], nodes=["10.9.8.*"], status_task=watcher.task)
        assert (yield client.schedule()) == 0
        waiting = client.rtask(pid)
        while not watcher.statuses(Scheduler.NodeIgnore):
            yield task.sleep(0.01)
        assert not waiting.done()
        assert client.node_allocate("127.0.0.*") == 0
        assert (yield (yield waiting)()) > 0
        with pytest.raises(TypeError):
            client.node_allocate(7)
        assert (yield client.close()) == 0

    run(main)


@pytest.mark.row("ST-13")
def test_a_subclass_of_node_allocate_decides_here(cluster):
    from dispycos import DispycosNodeAllocate

    asked: list[Any] = []

    class One(DispycosNodeAllocate):
        def allocate(self, ip_addr: str, name: str, platform: str, cpus: int, memory: Any, disk: Any) -> int:
            asked.append((ip_addr, cpus))
            return 1

    def body(client: Client, task: Any) -> Any:
        yield (yield client.rtask(pid))()
        assert len((yield client.servers())) == 1

    scheduled(body, pid, nodes=[One("*")])
    assert asked == [("127.0.0.1", 2)]


def test_a_local_cluster_s_pulse_is_the_default_of_its_clients(program):
    with LocalCluster(1, pulse_interval=0.5):
        assert Client([])._settings.pulse_interval == 0.5
        with pytest.raises(ValueError, match="pulse_interval"):
            Client([], pulse_interval=0.2)
    assert Client([])._settings.pulse_interval == 50
