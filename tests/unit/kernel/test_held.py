"""A task that sends faster than the network takes it is held at its next yield."""

import pytest

from dispycos.kernel.core import Kernel
from dispycos.kernel.held import hold
from dispycos.kernel.operation import Operation


def run(kernel: Kernel, steps: int = 5) -> None:
    for _ in range(steps):
        kernel.step(0.0)


@pytest.mark.rule("N4")
def test_a_held_task_goes_on_with_its_value_when_there_is_room():
    kernel, room, seen = Kernel(), Operation(), []

    def sender():
        hold(kernel, room)
        seen.append((yield "value"))
        seen.append((yield "next"))

    task = kernel.spawn(sender)
    run(kernel)
    assert seen == [] and task.state == "waiting"
    room.complete()
    run(kernel)
    assert seen == ["value", "next"] and not task.is_alive()


@pytest.mark.rule("N4")
def test_other_tasks_run_while_one_is_held():
    kernel, seen = Kernel(), []

    def sender():
        hold(kernel, Operation())
        yield

    def other():
        for number in range(3):
            seen.append(number)
            yield

    kernel.spawn(sender)
    kernel.spawn(other)
    run(kernel)
    assert seen == [0, 1, 2]


@pytest.mark.rule("K4", "N4")
def test_a_held_task_can_be_thrown_into_and_is_not_woken_again():
    kernel, room, seen = Kernel(), Operation(), []

    def sender():
        hold(kernel, room)
        try:
            yield
        except ValueError as error:
            seen.append(str(error))
        seen.append((yield "after"))

    task = kernel.spawn(sender)
    run(kernel)
    task.throw(ValueError("enough"))
    run(kernel)
    room.complete()
    run(kernel)
    assert seen == ["enough", "after"] and not task.is_alive()


@pytest.mark.rule("N4")
def test_room_that_came_meanwhile_holds_nobody():
    kernel, room = Kernel(), Operation()

    def sender():
        hold(kernel, room)
        room.complete()
        yield

    task = kernel.spawn(sender)
    run(kernel)
    assert not task.is_alive()
