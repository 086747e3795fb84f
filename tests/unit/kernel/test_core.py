"""The kernel: order, steps, posts, its own bugs; timers."""

from __future__ import annotations

import random
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispycos.errors import InternalError
from dispycos.kernel.core import Kernel
from dispycos.kernel.timers import Timer, Timers
from dispycos.kernel.wait import Waitable
from tests.unit.kernel.world import World

Gen = Generator[Any, Any, Any]


@pytest.mark.row("KE-04")
@pytest.mark.rule("K2")
def test_ready_tasks_run_in_order_once_a_step(world: World) -> None:
    ran = []

    def target(name: str) -> Gen:
        while True:
            ran.append(name)
            yield

    for name in "abc":
        world.spawn(target, name)
    world.step()
    assert ran == ["a", "b", "c"]
    world.step()
    assert ran == ["a", "b", "c"] * 2


@pytest.mark.rule("K2")
def test_what_wakes_up_in_a_step_runs_in_the_next(world: World) -> None:
    ran = []

    def waiter(task: Any = None) -> Gen:
        yield task.receive()
        ran.append("waiter")

    def waker() -> Gen:
        other.send(1)
        world.spawn(newcomer)
        yield

    def newcomer() -> Gen:
        ran.append("newcomer")
        yield

    other = world.spawn(waiter)
    world.step()
    world.spawn(waker)
    world.step()
    assert ran == []
    world.step()
    assert ran == ["waiter", "newcomer"]


@pytest.mark.row("KE-04")
@pytest.mark.parametrize("kind", ["yield", "subroutine", "receive", "own message", "joined", "async"])
def test_a_tight_loop_starves_no_other_task(world: World, kind: str) -> None:
    def empty() -> Gen:
        return
        yield

    def tight(task: Any = None) -> Gen:
        while True:
            if kind == "yield":
                yield
            elif kind == "subroutine":
                yield empty()
            elif kind == "receive":
                yield task.receive(0)
            elif kind == "joined":
                yield ended()
            else:
                task.send(1)
                yield task.receive()

    async def tight_async(task: Any = None) -> None:
        while True:
            await task.sleep(0)

    def other() -> Gen:
        for _ in range(10):
            yield
        return "done"

    ended = world.spawn(empty)
    world.step()
    world.spawn(tight_async if kind == "async" else tight)
    task = world.spawn(other)
    for _ in range(11):
        world.step()
    assert task._value == "done"


@pytest.mark.row("KE-08")
def test_who_awaits_a_task_itself_is_told_what_to_await(world: World) -> None:
    def target() -> Gen:
        yield
        return 7

    async def main() -> tuple[str, Any]:
        task = world.spawn(target)
        try:
            await task
        except TypeError as exc:
            return str(exc), await task()
        return "", None

    told, result = world.result(main)
    assert "`await task()` gives its result" in told and "`await task.result()` raises" in told
    assert result == 7


@pytest.mark.row("KE-04")
def test_a_hundred_thousand_tasks_live_at_once(world: World) -> None:
    def target(task: Any = None) -> Gen:
        return (yield task.receive())

    tasks = [world.spawn(target) for _ in range(100_000)]
    world.settle()
    assert len(world.kernel.tasks) == 100_000
    for number, task in enumerate(tasks):
        task.send(number)
    world.settle()
    assert all(task._value == number for number, task in enumerate(tasks))
    assert not world.kernel.tasks


@pytest.mark.rule("K3")
def test_step_answers_when_to_step_again(world: World) -> None:
    def sleeper(seconds: float, task: Any = None) -> Gen:
        yield task.sleep(seconds)

    assert world.step() is None
    world.spawn(sleeper, 5)
    world.spawn(sleeper, 3)
    assert world.step() == world.now
    assert world.step() == world.now + 3
    world.now += 3
    assert world.step() == world.now + 2
    world.now += 2
    assert world.step() is None


@pytest.mark.rule("K3")
def test_the_pure_half_runs_without_a_loop() -> None:
    ran = []
    kernel = Kernel()
    kernel.post(ran.append, 1)
    kernel.call_later(2, ran.append, 2)
    kernel.step(0)
    kernel.step(1.9)
    assert ran == [1]
    kernel.step(2)
    assert ran == [1, 2]


@pytest.mark.rule("K7")
def test_posts_wake_a_sleeping_kernel_once_a_burst() -> None:
    kernel = Kernel()
    wakes: list[int] = []
    ran: list[int] = []
    kernel.wake = lambda: wakes.append(1)
    kernel.post(ran.append, 0)
    assert not wakes
    kernel.asleep = True
    for number in range(1, 5):
        kernel.post(ran.append, number)
    assert len(wakes) == 1
    kernel.step(0)
    assert ran == [0, 1, 2, 3, 4]


@pytest.mark.rule("K7")
def test_what_is_posted_in_a_post_waits_for_the_next_step() -> None:
    kernel = Kernel()
    ran = []

    def again() -> None:
        ran.append(1)
        kernel.post(again)

    kernel.post(again)
    assert kernel.step(0) == 0
    assert len(ran) == 1


class Broken(Waitable):
    __slots__ = ()

    def _wait(self, task: Any) -> None:
        raise ZeroDivisionError("a bug of ours")


@pytest.mark.rule("K5")
def test_a_bug_in_the_kernel_is_not_given_to_a_task() -> None:
    world = World()
    caught = []

    def target() -> Gen:
        try:
            yield Broken()
        except BaseException as error:
            caught.append(error)

    world.spawn(target)
    with pytest.raises(InternalError, match="a bug of ours"):
        world.step()
    assert not caught


def test_the_end_of_a_task_is_told_on_the_kernels_thread(world: World) -> None:
    ended = []

    def good() -> Gen:
        yield
        return 5

    def bad() -> Gen:
        yield
        raise ValueError

    for target in (good, bad):
        world.kernel.spawn(target, on_done=ended.append)
    world.run()
    assert [(task._end.name, task._value is not None, type(task._error)) for task in ended] == [
        ("FINISHED", True, type(None)),
        ("FAILED", True, ValueError),
    ]


@pytest.mark.row("KE-27")
def test_the_kernel_tells_when_only_daemons_are_left(world: World) -> None:
    told = []
    world.kernel.on_empty.append(lambda: told.append(len(world.kernel.tasks)))

    def forever(task: Any = None) -> Gen:
        task.set_daemon()
        yield task.receive()

    def brief() -> Gen:
        yield

    assert world.kernel.is_empty
    daemon = world.spawn(forever)
    assert not world.kernel.is_empty
    world.spawn(brief)
    world.settle()
    assert world.kernel.is_empty
    assert told == [1]
    daemon.set_daemon(False)
    assert not world.kernel.is_empty
    daemon.set_daemon()
    world.settle()
    assert world.kernel.is_empty
    daemon.terminate()
    world.settle()
    assert not world.kernel._daemons
    assert world.kernel.is_empty


# Timers.


def test_timers_come_in_order_of_time_then_of_setting() -> None:
    timers, called = Timers(), []
    for delay in (3, 1, 2, 1):
        timers.add(delay, called.append, (delay, len(timers)))
    timers.advance(0)
    assert timers.next_deadline() == 1
    timers.advance(2)
    assert called == [(1, 1), (1, 3), (2, 2)]
    timers.advance(3)
    assert called[-1] == (3, 0)
    assert timers.next_deadline() is None


def test_a_cancelled_timer_is_not_called_and_may_be_cancelled_again() -> None:
    timers, called = Timers(), []
    fresh = timers.add(1, called.append, 1)
    timers.cancel(fresh)
    timers.advance(0)
    old = timers.add(1, called.append, 2)
    timers.advance(0)
    timers.cancel(old)
    timers.cancel(old)
    timers.cancel(fresh)
    timers.advance(10)
    assert not called
    assert len(timers) == 0
    done = timers.add(1, called.append, 3)
    timers.advance(10)
    timers.advance(20)
    timers.cancel(done)
    assert called == [3]


@pytest.mark.row("R-95")
def test_cancelled_timers_do_not_pile_up() -> None:
    timers = Timers()
    live = [timers.add(1e9, print) for _ in range(1000)]
    timers.advance(0)
    for _ in range(100_000):
        timer = timers.add(10, print)
        timers.advance(0)
        timers.cancel(timer)
        assert len(timers) <= 2 * len(live) + 100


@pytest.mark.row("R-95")
def test_answered_receives_leave_no_timer_behind(world: World) -> None:
    def target(task: Any = None) -> Gen:
        for _ in range(20_000):
            other.send(task)
            yield task.receive(timeout=10)
            assert len(world.kernel.timers) < 200

    def echo(task: Any = None) -> Gen:
        while True:
            sender = yield task.receive(timeout=1000)
            sender.send(1)

    other = world.spawn(echo)
    world.spawn(target)
    world.settle()


@given(st.lists(st.tuples(st.sampled_from(["add", "cancel", "advance"]), st.integers(0, 20)), max_size=200))
def test_timers_do_as_a_plain_list_would(script: list[tuple[str, int]]) -> None:
    timers = Timers()
    called: list[int] = []
    model: dict[int, float | None] = {}  # number -> deadline, None before the next advance
    handles: dict[int, Timer] = {}
    delays: dict[int, int] = {}
    now, number = 0, 0
    for action, argument in script:
        if action == "add":
            number += 1
            delays[number] = argument
            model[number] = None
            handles[number] = timers.add(argument, called.append, number)
        elif action == "cancel" and handles:
            chosen = sorted(handles)[argument % len(handles)]
            timers.cancel(handles[chosen])
            model.pop(chosen, None)
        elif action == "advance":
            now += argument
            called.clear()
            for key, deadline in model.items():
                if deadline is None:
                    model[key] = now + delays[key]
            timers.advance(now)
            due = sorted((deadline, key) for key, deadline in model.items() if deadline <= now)  # type: ignore[operator]
            assert called == [key for _, key in due]
            for _, key in due:
                del model[key]
            rest = [deadline for deadline in model.values() if deadline is not None]
            assert timers.next_deadline() == (min(rest) if rest else None)


# Everything at once: no wait is ended twice, none is lost.


@pytest.mark.rule("K4")
@pytest.mark.parametrize("seed", range(50))
def test_each_wait_ends_once_whatever_happens(seed: int) -> None:
    from dispycos.kernel.sync import Condition, Event, Lock, RLock, Semaphore

    draw = random.Random(seed)
    world = World()
    locks = [Lock(), RLock()]
    semaphore, event, condition = Semaphore(2), Event(), Condition()
    sent = 0
    received = 0
    inside = dict.fromkeys(range(3), 0)

    def holding(number: int, lock: Any, limit: int, task: Any) -> Gen:
        owned = yield lock.acquire(timeout=draw.choice([-1, 0.5, 2]))
        if owned:
            try:
                inside[number] += 1
                assert inside[number] <= limit
                yield task.sleep(draw.random())
            finally:
                inside[number] -= 1
                lock.release()

    def worker(task: Any = None) -> Gen:
        nonlocal received
        for _ in range(30):
            choice = draw.randrange(7)
            try:
                if choice < 2:
                    yield holding(choice, locks[choice], 1, task)
                elif choice == 2:
                    yield holding(2, semaphore, 2, task)
                elif choice == 3:
                    if (yield task.receive(draw.choice([None, 0, 1]))) is not None:
                        received += 1
                elif choice == 4:
                    yield event.wait(draw.random())
                elif choice == 5:
                    yield condition.acquire()
                    try:
                        yield condition.wait(draw.random())
                    finally:
                        condition.release()
                else:
                    yield task.sleep(draw.random())
            except ValueError:
                pass
        while True:
            try:
                if (yield task.receive(0)) is None:
                    return
                received += 1
            except ValueError:
                pass

    workers = [world.spawn(worker) for _ in range(12)]

    def chaos(task: Any = None) -> Gen:
        nonlocal sent
        for _ in range(600):
            victim = draw.choice(workers)
            action = draw.randrange(6)
            if action == 0:
                victim.throw(ValueError, "chaos")
            elif action < 4:
                if victim.send(1) == 0:
                    sent += 1
            elif action == 4:
                event.set()
                event.clear()
            else:
                yield condition.acquire()
                condition.notify(draw.randrange(3))
                condition.release()
            yield task.sleep(draw.choice([0, 0, 0.1]))

    world.spawn(chaos)
    world.run()

    # Those that wait for a message for ever get one, and everything is free again.
    while world.kernel.tasks:
        for task in list(world.kernel.tasks.values()):
            if task.send(1) == 0:
                sent += 1
        world.run()
    assert all(task._end is not None and task._end.name == "FINISHED" for task in workers)
    assert received == sent
    assert not any(lock.locked() for lock in locks)
    assert semaphore._value == 2
    assert not semaphore._queue
    assert not event._queue
    assert not condition._queue
