"""Messages: order, time-outs, back-pressure, categories."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from dispycos.kernel.core import MAX_AT_ONCE
from dispycos.kernel.mailbox import ROOM, CategorizeMessages
from dispycos.kernel.task import Task
from tests.unit.kernel.world import World

Gen = Generator[Any, Any, Any]


def collect(count: int, task: Any = None) -> Gen:
    got = []
    for _ in range(count):
        got.append((yield task.receive()))
    return got


@pytest.mark.row("KE-10")
def test_messages_arrive_in_the_order_of_sending(world: World) -> None:
    receiver = world.spawn(collect, 6)

    def sender(name: str) -> Gen:
        for number in range(3):
            assert receiver.send((name, number)) == 0
            yield

    world.spawn(sender, "a")
    world.spawn(sender, "b")
    world.run()
    got = receiver._value
    assert [number for name, number in got if name == "a"] == [0, 1, 2]
    assert [number for name, number in got if name == "b"] == [0, 1, 2]


@pytest.mark.row("KE-10")
def test_send_to_a_dead_task_is_refused(world: World) -> None:
    receiver = world.spawn(collect, 0)
    world.run()
    assert receiver.send(1) == -1
    assert receiver.deliver(1) == -1


@pytest.mark.row("KE-10")
def test_deliver_answers_when_the_message_is_in_the_mailbox(world: World) -> None:
    receiver = world.spawn(collect, 2)

    def sender() -> Gen:
        first = yield receiver.deliver("a")
        second = yield receiver.deliver("b", 5)
        yield receiver()
        third = yield receiver.deliver("c", 5)
        return first, second, third

    assert world.result(sender) == (1, 1, -1)
    assert receiver._value == ["a", "b"]


@pytest.mark.row("KE-10")
@pytest.mark.row("R-24")
def test_deliver_waits_for_room_and_send_does_not(world: World) -> None:
    def lazy(task: Any = None) -> Gen:
        yield task.sleep(10)
        got = []
        while (message := (yield task.receive(5))) is not None:
            got.append(message)
        return got

    receiver = world.spawn(lazy)

    def sender(name: str, timeout: float | None) -> Gen:
        return (yield receiver.deliver(name, timeout))

    for number in range(ROOM):
        receiver.send(number)
    patient = [world.spawn(sender, name, None) for name in ("x", "y")]
    impatient = world.spawn(sender, "late", 3)
    at_once = world.spawn(sender, "now", 0)
    world.run(until=5)
    assert (impatient._value, at_once._value) == (0, 0)
    assert receiver.send("sent") == 0
    world.run()
    assert [task._value for task in patient] == [1, 1]
    assert receiver._value == [*range(ROOM), "sent", "x", "y"]


@pytest.mark.row("KE-10")
def test_deliveries_that_wait_learn_of_the_end_of_the_receiver(world: World) -> None:
    receiver = world.spawn(collect, ROOM + 1)

    def busy() -> Gen:
        while True:
            yield

    receiver = world.spawn(busy)
    for number in range(ROOM):
        receiver.send(number)

    def sender() -> Gen:
        return (yield receiver.deliver("late"))

    task = world.spawn(sender)
    world.step()
    world.step()
    assert task.state == "waiting"
    receiver.terminate()
    for _ in range(4):
        world.step()
    assert task._value == -1


@pytest.mark.row("KE-11")
@pytest.mark.parametrize("timeout", [0, -3, 0.5])
def test_receive_gives_the_alarm_value_at_the_timeout(world: World, timeout: float) -> None:
    def target(task: Any = None) -> Gen:
        before = world.now
        got = yield task.receive(timeout, "alarm")
        return got, world.now - before

    assert world.result(target) == ("alarm", max(timeout, 0))


@pytest.mark.row("KE-11")
def test_receive_without_waiting_gives_a_message_that_is_there(world: World) -> None:
    def target(task: Any = None) -> Gen:
        task.send(None)
        task.send("b")
        first = yield task.recv(0, "alarm")
        second = yield task.recv(0, "alarm")
        third = yield task.recv(0, "alarm")
        return first, second, third

    assert world.result(target) == (None, "b", "alarm")


@pytest.mark.row("KE-11")
def test_timed_out_receives_leave_no_residue(world: World) -> None:
    def target(task: Any = None) -> Gen:
        for _ in range(10_000):
            assert (yield task.receive(0.001)) is None
        assert len(world.kernel.timers) <= 1
        assert not task._messages
        return "done"

    assert world.result(target) == "done"


@pytest.mark.rule("K4")
@pytest.mark.parametrize("there", [True, False])
def test_a_message_survives_an_exception_that_is_thrown_before_it_is_read(world: World, there: bool) -> None:
    def target(task: Any = None) -> Gen:
        got = []
        while len(got) < 2 * MAX_AT_ONCE:
            try:
                got.append((yield task.receive()))
            except ValueError:
                got.append("thrown")
        return got

    task = world.spawn(target)
    numbers = list(range(2 * MAX_AT_ONCE - 1))
    if there:
        # More than are answered in a row, so the task is queued with a message granted.
        for number in numbers:
            task.send(number)
    world.step()
    if not there:
        for number in numbers:
            task.send(number)
    assert task.state == "ready"
    task.throw(ValueError)
    world.run()
    got = task._value
    got.remove("thrown")
    assert got == numbers


@pytest.mark.row("KE-11")
def test_a_task_receives_its_own_messages_only(world: World) -> None:
    other = world.spawn(collect, 1)

    def target() -> Gen:
        yield other.receive()

    with pytest.raises(RuntimeError, match="itself"):
        world.result(target)
    with pytest.raises(RuntimeError, match="itself"):
        other.receive(5)


# Categories.


def kind_of(message: Any) -> Any:
    return message[0] if isinstance(message, tuple) else None


@pytest.mark.row("KE-20")
def test_messages_of_other_categories_stay_queued_in_order(world: World) -> None:
    def target(task: Any = None) -> Gen:
        box = CategorizeMessages(task)
        box.add(kind_of)
        got = []
        for category in ("b", "a", "a", None, "b", None):
            got.append((yield box.receive(category)))
        return got

    task = world.spawn(target)
    world.settle()
    for message in (("a", 1), "plain", ("a", 2), ("b", 1), "plain 2", ("b", 2)):
        task.send(message)
        world.settle()
    assert task._value == [("b", 1), ("a", 1), ("a", 2), "plain", ("b", 2), "plain 2"]


@pytest.mark.row("KE-20")
def test_a_category_that_does_not_come_times_out(world: World) -> None:
    def target(task: Any = None) -> Gen:
        box = CategorizeMessages(task)
        box.add(kind_of)
        at_once = yield box.receive("a", 0, "alarm")
        later = yield box.receive("a", 3, "alarm")
        other = yield box.receive("b")
        return at_once, later, other

    task = world.spawn(target)
    world.step()
    task.send(("b", 1))
    world.run()
    assert task._value == ("alarm", "alarm", ("b", 1))


@pytest.mark.row("KE-20")
def test_functions_are_asked_in_order_and_can_be_removed(world: World) -> None:
    def first(message: Any) -> Any:
        return "first" if message < 10 else None

    def second(message: Any) -> Any:
        return "second"

    def broken(message: Any) -> Any:
        raise ValueError("no category")

    def target(task: Any = None) -> Gen:
        box = CategorizeMessages(task)
        box.add(broken)
        box.add(first)
        box.add(second)
        for number in (1, 20, 2, 30):
            task.send(number)
        a = yield box.receive("first")
        b = yield box.receive("second")
        box.remove(first)
        c = yield box.receive("second")
        d = yield box.receive("second")
        with pytest.raises(ValueError):
            box.remove(first)
        with pytest.raises(TypeError):
            box.add(5)  # type: ignore[arg-type]  # that is the test
        with pytest.raises(TypeError):
            box.receive([])  # type: ignore[arg-type]  # that is the test
        return a, b, c, d

    assert world.result(target) == (1, 20, 2, 30)


@pytest.mark.row("KE-20")
def test_categories_can_not_be_received_by_another_task(world: World) -> None:
    other: Task = world.spawn(collect, 1)

    def target() -> Gen:
        yield CategorizeMessages(other).receive()

    with pytest.raises(RuntimeError, match="itself"):
        world.result(target)
