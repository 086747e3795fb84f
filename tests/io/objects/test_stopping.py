"""Code that other threads end: while it runs, and never in the midst of what is ours."""

from __future__ import annotations

import gc
import random
import threading
import time

import pytest

from dispycos.errors import TaskCancelled
from dispycos.kernel.core import Kernel
from dispycos.net.calls import Call
from dispycos.objects import stopping
from dispycos.objects.exposure import Exposure
from dispycos.objects.keeper import Keeper
from dispycos.objects.stopping import Stoppable, sheltered
from tests.helpers import wait_until

LIMIT = 10.0


def spins(seconds: float = LIMIT) -> str:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
    return "done"


# Python drops an exception that comes in a callback of the garbage collector, as Hypothesis has one; the
# code is not ended then, and its process is after its grace.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_it_is_ended_while_it_runs_or_not_at_all():
    codes: list[Stoppable] = []
    over = threading.Event()
    changed = threading.Condition()

    def stops() -> None:
        draw = random.Random(7)
        while not over.is_set():
            if codes:
                codes[-1].stop()
            spins(draw.random() * 0.0003)

    stopper = threading.Thread(target=stops)
    stopper.start()
    ends = {"done": 0, "stopped": 0}
    try:
        for _ in range(3000):
            codes.append(Stoppable())
            try:
                ends[codes[-1].run(spins, 0.0001)] += 1
            except TaskCancelled:
                ends["stopped"] += 1
            with changed:  # what comes here keeps the lock for ever
                changed.notify_all()
    finally:
        over.set()
        stopper.join()
    assert ends["stopped"] > 10 and sum(ends.values()) == 3000
    assert changed.acquire(timeout=LIMIT)
    assert not stopping.running


def test_what_it_calls_of_ours_is_not_interrupted_and_told_to_give_up():
    code, entered, woken = Stoppable(), threading.Event(), threading.Event()
    told: list[bool] = []

    class Waits:
        def wake(self) -> None:
            woken.set()

    def ours() -> str:
        stopping.enter_wait(Waits())
        entered.set()
        told.append(woken.wait(LIMIT) and code.due)
        spins(0.01)
        told.append(True)
        return "in vain"

    threading.Thread(target=lambda: entered.wait(LIMIT) and code.stop()).start()
    with pytest.raises(TaskCancelled, match="while it waited"):
        code.run(sheltered, ours)
    assert told == [True, True]
    assert sheltered(spins, 0) == "done"


def test_what_runs_inside_of_it_is_ended_with_it():
    code, began = Stoppable(), threading.Event()
    ends: list[type[BaseException]] = []

    def inner() -> None:
        began.set()
        spins()

    def ours() -> None:
        for _ in range(2):  # the second one begins no more
            try:
                Stoppable().run(inner)
            except TaskCancelled as exc:
                ends.append(type(exc))

    threading.Thread(target=lambda: began.wait(LIMIT) and code.stop()).start()
    with pytest.raises(TaskCancelled):
        code.run(sheltered, ours)
    assert ends == [TaskCancelled] * 2


def test_who_keeps_what_ran_inside_does_not_keep_what_it_ran_inside_of():
    code, inner = Stoppable(), Stoppable()
    code.run(sheltered, inner.run, int)
    assert code not in gc.get_referents(inner) and inner not in gc.get_referents(code)


def test_what_was_stopped_before_does_not_begin():
    code = Stoppable()
    code.stop()
    with pytest.raises(TaskCancelled, match="before it began"):
        code.run(pytest.fail)


class Told(Call):
    """A call whose caller gives it up while the answer is on its way."""

    keeper: Keeper
    answers: list[object]

    def answer(self, value: object) -> None:
        self.keeper.withdraw(self.peer, self.ticket)
        spins(0.001)
        self.answers.append(value)

    def refuse(self, error: BaseException) -> None:
        self.answers.append(error)


@pytest.mark.row("DC-60")
def test_an_object_answers_on_when_calls_are_given_up_as_they_end():
    class Quick:
        def ask(self, x: int) -> int:
            return x

    keeper = Keeper(Exposure(Quick), Kernel(), lambda value: ((value,), {}), lambda sent: None)
    keeper.start((), {})
    keeper.made.result(LIMIT)
    answers: list[object] = []
    for ticket in range(5):
        call = Told(b"peer", "ask", ticket, ticket, None)
        call.keeper, call.answers = keeper, answers
        keeper.invoke(call)
    wait_until(lambda: len(answers) == 5, LIMIT)
    assert answers == [0, 1, 2, 3, 4]
    keeper.dismiss().result(LIMIT)
