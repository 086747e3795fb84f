"""Locks, events, conditions, semaphores."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest

from dispycos.kernel.sync import Condition, Event, Lock, RLock, Semaphore
from tests.unit.kernel.world import World

Gen = Generator[Any, Any, Any]

LOCKS: list[Callable[[], Any]] = [Lock, RLock, Semaphore, Condition]


def hold(lock: Any, seconds: float, log: list[Any], name: Any, task: Any = None) -> Gen:
    assert (yield lock.acquire()) is True
    log.append(name)
    yield task.sleep(seconds)
    lock.release()


@pytest.mark.row("KE-19")
@pytest.mark.parametrize("kind", LOCKS)
def test_waiters_are_served_in_order(world: World, kind: Callable[[], Any]) -> None:
    lock, log = kind(), []
    for name in range(5):
        world.spawn(hold, lock, 1, log, name)
    started = world.now
    world.run()
    assert log == [0, 1, 2, 3, 4]
    assert world.now - started == 5


@pytest.mark.row("KE-19")
@pytest.mark.parametrize("kind", LOCKS)
def test_acquire_gives_false_when_it_can_not_be_had_in_time(world: World, kind: Callable[[], Any]) -> None:
    lock = kind()
    world.spawn(hold, lock, 10, [], 0)

    def target() -> Gen:
        at_once = yield lock.acquire(blocking=False)
        zero = yield lock.acquire(timeout=0)
        soon = yield lock.acquire(timeout=3)
        late = yield lock.acquire(True, 20)
        return at_once, zero, soon, late

    assert world.result(target) == (False, False, False, True)


@pytest.mark.row("KE-19")
@pytest.mark.parametrize("kind", LOCKS)
def test_arguments_are_checked_as_in_threading(kind: Callable[[], Any]) -> None:
    with pytest.raises(ValueError):
        kind().acquire(False, 5)
    with pytest.raises(ValueError):
        kind().acquire(timeout=-2)


@pytest.mark.row("KE-19")
@pytest.mark.rule("K4")
@pytest.mark.parametrize("kind", LOCKS)
@pytest.mark.parametrize("how", ["terminate", "throw", "timeout"])
@pytest.mark.parametrize("when", ["waiting", "granted"])
def test_a_waiter_that_goes_away_costs_no_wake_up(
    world: World, kind: Callable[[], Any], how: str, when: str
) -> None:
    lock, log = kind(), []

    def impatient() -> Gen:
        yield lock.acquire(timeout=5 if how == "timeout" else -1)

    world.spawn(hold, lock, 10, log, "first")
    victim = world.spawn(impatient)
    world.spawn(hold, lock, 1, log, "next")
    world.run(until=1)
    if when == "granted" and how != "timeout":
        # The lock is handed over in this step; the victim runs in the next.
        world.now += 9
        world.step()
    if how == "terminate":
        victim.terminate()
    elif how == "throw":
        victim.throw(ValueError)
    world.run()
    assert log == ["first", "next"]
    assert not world.kernel.tasks


@pytest.mark.row("KE-19")
def test_release_of_what_is_free_is_an_error(world: World) -> None:
    for lock in (Lock(), RLock(), Condition()):
        with pytest.raises(RuntimeError):
            lock.release()
    with pytest.raises(ValueError):
        Semaphore().release(0)
    with pytest.raises(ValueError):
        Semaphore(-1)


@pytest.mark.row("KE-19")
def test_only_its_owner_releases_an_rlock(world: World) -> None:
    lock, plain = RLock(), Lock()
    world.spawn(hold, lock, 10, [], 0)
    world.spawn(hold, plain, 10, [], 0)

    def target() -> Gen:
        yield
        plain.release()
        yield
        lock.release()

    with pytest.raises(RuntimeError, match="does not own"):
        world.result(target)


@pytest.mark.row("KE-19")
def test_an_rlock_is_free_after_as_many_releases(world: World) -> None:
    lock = RLock()

    def owner(task: Any = None) -> Gen:
        for _ in range(3):
            assert (yield lock.acquire())
        for _ in range(3):
            assert lock.locked()
            lock.release()
        assert not lock.locked()
        with pytest.raises(RuntimeError):
            lock.release()

    world.result(owner)


@pytest.mark.row("R-87")
@pytest.mark.parametrize("kind", [Lock, RLock, Condition])
@pytest.mark.parametrize("how", ["terminate", "fail", "return"])
def test_a_lock_whose_owner_ends_is_released(
    world: World, kind: Callable[[], Any], how: str, caplog: pytest.LogCaptureFixture
) -> None:
    lock, log = kind(), []

    def owner(task: Any = None) -> Gen:
        yield lock.acquire()
        yield task.sleep(2)
        if how == "fail":
            raise ValueError

    task = world.spawn(owner)
    world.spawn(hold, lock, 1, log, "next")
    world.run(until=1)
    if how == "terminate":
        task.terminate()
    world.run()
    assert log == ["next"]
    assert "ended while it held" in caplog.text


@pytest.mark.row("KE-19")
def test_a_semaphore_lets_as_many_in(world: World) -> None:
    semaphore, log = Semaphore(2), []
    for name in range(4):
        world.spawn(hold, semaphore, 1, log, name)
    world.settle()
    assert log == [0, 1]
    world.run(until=1)
    assert log == [0, 1, 2, 3]
    world.run()
    semaphore.release(3)
    assert semaphore._value == 5


@pytest.mark.row("KE-19")
def test_an_event_wakes_all_that_wait(world: World) -> None:
    event, log = Event(), []

    def waiter(name: int, timeout: float | None) -> Gen:
        log.append((name, (yield event.wait(timeout))))

    for name in range(3):
        world.spawn(waiter, name, None)
    world.spawn(waiter, 3, 1)
    world.spawn(waiter, 4, 0)
    world.run(until=2)
    assert log == [(4, False), (3, False)]
    event.set()
    event.clear()
    world.settle()
    assert log[2:] == [(0, True), (1, True), (2, True)]
    assert not event.is_set()
    event.set()
    world.spawn(waiter, 5, None)
    world.settle()
    assert log[-1] == (5, True)


@pytest.mark.row("KE-19")
@pytest.mark.parametrize("kind", [None, Lock, RLock])
def test_a_condition_passes_on_what_changed(world: World, kind: Any) -> None:
    condition = Condition(kind() if kind else None)
    items: list[int] = []
    got: list[int] = []

    def consumer() -> Gen:
        yield condition.acquire()
        while not items:
            assert (yield condition.wait())
        got.append(items.pop())
        condition.release()

    def producer(task: Any = None) -> Gen:
        for number in range(3):
            yield task.sleep(1)
            yield condition.acquire()
            items.append(number)
            condition.notify()
            condition.release()

    for _ in range(3):
        world.spawn(consumer)
    world.result(producer)
    world.run()
    assert got == [0, 1, 2]


@pytest.mark.row("KE-19")
def test_a_condition_times_out_owning_its_lock(world: World) -> None:
    condition = Condition()

    def target() -> Gen:
        yield condition.acquire()
        yield condition.acquire()
        first = yield condition.wait(2)
        second = yield condition.wait_for(lambda: world.now > 104, 10)
        third = yield condition.wait_for(lambda: False, 3)
        condition.release()
        condition.release()
        return first, second, third

    def ticker(task: Any = None) -> Gen:
        for _ in range(8):
            yield task.sleep(1)
            yield condition.acquire()
            condition.notify_all()
            condition.release()

    task = world.spawn(target)
    world.run(until=2)
    world.spawn(ticker)
    world.run()
    assert task._value == (False, True, False)


def waits_and_releases(condition: Condition) -> Gen:
    yield condition.acquire()
    try:
        yield condition.wait()
    finally:
        condition.release()


@pytest.mark.row("KE-19")
@pytest.mark.rule("K4")
@pytest.mark.parametrize("held", [True, False])
def test_a_condition_that_is_thrown_into_owns_its_lock_again(world: World, held: bool) -> None:
    condition = Condition()
    task = world.spawn(waits_and_releases, condition)
    world.settle()
    if held:
        world.spawn(hold, condition, 5, [], 0)
        world.settle()
    task.throw(ValueError)
    world.settle()
    assert task.is_alive() == held
    world.run()
    assert type(task._error) is ValueError


@pytest.mark.row("KE-19")
def test_a_task_that_is_ended_in_a_condition_releases_its_lock(world: World) -> None:
    condition = Condition()
    task = world.spawn(waits_and_releases, condition)
    world.settle()
    task.terminate("the reason")
    world.settle()
    assert task._status().value == "the reason"
    assert condition._lock._owner is None


@pytest.mark.row("KE-19")
def test_a_condition_must_be_owned(world: World) -> None:
    condition = Condition()
    with pytest.raises(RuntimeError):
        condition.notify()

    def target() -> Gen:
        yield condition.wait()

    with pytest.raises(RuntimeError):
        world.result(target)


@pytest.mark.row("KE-19")
def test_notify_of_a_waiter_that_is_ended_goes_to_the_next(world: World) -> None:
    condition, log = Condition(), []

    def waiter(name: str) -> Gen:
        yield condition.acquire()
        yield condition.wait()
        log.append(name)
        condition.release()

    first = world.spawn(waiter, "first")
    world.spawn(waiter, "second")
    world.settle()

    def notifier() -> Gen:
        yield condition.acquire()
        condition.notify()
        first.terminate()
        condition.release()

    world.result(notifier)
    world.run()
    assert log == ["second"]
