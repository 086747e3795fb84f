"""Channels: subscribers, transforms, chains, deliveries."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from dispycos.kernel.channel import Channel
from dispycos.kernel.mailbox import ROOM
from dispycos.kernel.task import Task
from tests.unit.kernel.world import World

Gen = Generator[Any, Any, Any]


def collect(task: Any = None) -> Gen:
    got = []
    while (message := (yield task.receive())) != "end":
        got.append(message)
    return got


@pytest.mark.row("KE-17")
def test_every_subscriber_gets_every_message_in_order(world: World) -> None:
    channel = world.channel()
    tasks = [world.spawn(collect) for _ in range(3)]

    def main() -> Gen:
        for task in tasks:
            assert (yield channel.subscribe(task)) == 0
        for number in range(5):
            assert channel.send(number) == 0
        assert (yield channel.unsubscribe(tasks[0])) == 0
        assert (yield channel.unsubscribe(tasks[0])) == -1
        channel.send(5)
        for task in tasks:
            task.send("end")

    world.result(main)
    assert [task._value for task in tasks] == [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5]]


@pytest.mark.row("KE-17")
def test_channels_form_chains_that_count_the_end_recipients(world: World) -> None:
    first, second = world.channel("first"), world.channel("second", lambda name, message: (name, message))
    tasks = [world.spawn(collect) for _ in range(3)]

    async def main() -> int:
        await first.subscribe(second)
        await first.subscribe(tasks[0])
        for task in tasks[1:]:
            await second.subscribe(task)
        count = await first.deliver("m")
        for task in tasks:
            task.send("end")
        return int(count)

    assert world.result(main) == 3
    assert [task._value for task in tasks] == [["m"], [("second", "m")], [("second", "m")]]


@pytest.mark.row("KE-17")
def test_a_ring_of_channels_is_refused(world: World) -> None:
    first, second, third = (world.channel(name) for name in "abc")
    first.subscribe(second)
    second.subscribe(third)
    with pytest.raises(ValueError, match="for ever"):
        third.subscribe(first)
    with pytest.raises(ValueError):
        first.subscribe(first)
    with pytest.raises(TypeError):
        first.subscribe(5)


@pytest.mark.row("KE-17")
def test_deliver_waits_for_subscribers(world: World) -> None:
    channel = world.channel()

    def deliver(n: int, timeout: float | None) -> Gen:
        return (yield channel.deliver("m", timeout, n))

    none = world.spawn(deliver, 0, None)
    two = world.spawn(deliver, 2, None)
    three = world.spawn(deliver, 3, 5)
    at_once = world.spawn(deliver, 1, 0)
    world.run(until=1)
    assert (none._value, two.state, at_once._value) == (0, "waiting", 0)
    for _ in range(2):
        channel.subscribe(world.spawn(collect))
    world.run()
    assert (two._value, three._value) == (2, 0)
    assert not channel._awaited


@pytest.mark.row("KE-17")
def test_deliver_waits_for_room_until_the_timeout(world: World) -> None:
    channel = world.channel()

    def asleep(task: Any = None) -> Gen:
        yield task.sleep(100)

    full, empty = world.spawn(asleep), world.spawn(collect)
    channel.subscribe(full)
    channel.subscribe(empty)
    for number in range(ROOM):
        full.send(number)

    def deliver() -> Gen:
        started = world.now
        count = yield channel.deliver("m", 3)
        return count, world.now - started

    assert world.spawn(deliver)
    task = world.spawn(deliver)
    world.run(until=10)
    assert task._value == (1, 3)


@pytest.mark.row("KE-17")
def test_a_closed_channel_refuses(world: World) -> None:
    channel = world.channel()

    def deliver() -> Gen:
        return (yield channel.deliver("m", n=1))

    waiting = world.spawn(deliver)
    world.settle()
    channel.close()
    channel.close()
    world.run()
    assert waiting._value == -1
    assert world.result(deliver) == -1
    assert channel.send(1) == -1
    assert channel.subscribe(world.spawn(collect)) == -1
    assert channel.unsubscribe(waiting) == -1
    assert channel.register() == -1


@pytest.mark.row("KE-17")
def test_a_dead_subscriber_is_dropped(world: World) -> None:
    channel = world.channel()
    tasks = [world.spawn(collect) for _ in range(2)]
    for task in tasks:
        channel.subscribe(task)
    tasks[0].send("end")
    world.settle()
    channel.send(1)
    assert list(channel._subscribers) == [tasks[1]]
    assert channel.subscribe(tasks[0]) == -1
    tasks[1].terminate()
    world.settle()

    def deliver() -> Gen:
        return (yield channel.deliver("m"))

    assert world.result(deliver) == 0
    assert not channel._subscribers


@pytest.mark.row("KE-18")
def test_a_transform_changes_drops_or_fails(world: World, caplog: pytest.LogCaptureFixture) -> None:
    def transform(name: str, message: Any) -> Any:
        if message == "drop":
            return None
        return 10 // message

    channel = world.channel("c", transform)
    task = world.spawn(collect)
    channel.subscribe(task)
    for message in (5, "drop", 0, 2):
        assert channel.send(message) == 0
    channel.set_transform(None)
    channel.send("plain")
    task.send("end")
    world.run()
    assert task._value == [2, 5, "plain"]
    assert caplog.text.count("ZeroDivisionError") == 1


@pytest.mark.row("KE-18")
@pytest.mark.parametrize("transform", [5, lambda: 1, lambda one: 1, lambda one, two, three: 1])
def test_a_transform_with_a_wrong_signature_is_refused(world: World, transform: Any) -> None:
    with pytest.raises(TypeError):
        world.channel("c", transform)
    channel = world.channel("c")
    with pytest.raises(TypeError):
        channel.set_transform(transform)


@pytest.mark.row("KE-18")
def test_channels_are_registered_and_located(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dispycos.kernel.receiver.Receiver._default", staticmethod(lambda: world.kernel))
    channel = Channel("c")
    task = world.spawn(collect)
    assert channel.register() == 0
    assert world.channel("c").register() == -1
    assert task.register("c") == 0

    def find() -> Gen:
        found = yield Channel.locate("c", timeout=0)
        other = yield Task.locate("c", timeout=0)
        return found, other

    assert world.result(find) == (channel, task)
    assert channel.unregister() == 0
    assert world.result(find) == (None, task)
    assert world.kernel.channels[channel.number] is channel
    assert str(channel) == f"c/{channel.number}"


@pytest.mark.row("KE-17")
def test_a_delivery_that_is_thrown_into_leaves_nothing(world: World) -> None:
    channel, behind = world.channel("a"), world.channel("b")

    def asleep(task: Any = None) -> Gen:
        yield task.sleep(100)

    full = world.spawn(asleep)
    for number in range(ROOM):
        full.send(number)
    channel.subscribe(full)
    channel.subscribe(behind)

    def deliver() -> Gen:
        yield channel.deliver("m")

    task = world.spawn(deliver)
    world.settle()
    task.terminate()
    world.settle()
    assert not task.is_alive()
    assert not full._blocked


class Unreachable(Task):
    """A task elsewhere, to which nothing can be pickled."""

    __slots__ = ()

    def send(self, message: Any) -> int:
        raise TypeError("can't pickle it")


@pytest.mark.row("KE-17")
@pytest.mark.row("KE-10")
def test_a_message_that_can_not_travel_reaches_the_others(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    channel = world.channel()
    remote: Unreachable = Unreachable.__new__(Unreachable)
    remote._begin(world.kernel, 1000, collect, (), {})
    task = world.spawn(collect)
    channel.subscribe(remote)
    channel.subscribe(task)
    with pytest.raises(TypeError, match="pickle"):
        channel.send(1)
    world.kernel.post(channel._send_posted, 2)
    world.settle()
    task.send("end")
    world.settle()
    assert task._value == [1, 2]
    assert "can't pickle it" in caplog.text


@pytest.mark.row("KE-17")
def test_none_is_a_message_where_no_transform_drops_it(world: World) -> None:
    plain, dropping = world.channel("plain"), world.channel("dropping", lambda name, message: message)
    task = world.spawn(collect)

    async def main() -> list[int]:
        await plain.subscribe(task)
        await dropping.subscribe(task)
        plain.send(None)
        dropping.send(None)
        counts = [await plain.deliver(None), await dropping.deliver(None)]
        task.send("end")
        return counts

    assert world.result(main) == [1, 0]
    assert task._value == [None, None]
