"""`node.execution`: the attempts of one server."""

from __future__ import annotations

from typing import Any

import pytest

from dispycos.config import Limits
from dispycos.events import Heard, PeerBack, PeerGone, PeerUp, Say
from dispycos.messages import (
    CancelTask,
    CloseRequest,
    Ending,
    Finish,
    Finished,
    Holding,
    Outcomes,
    OutcomesSeen,
    Recall,
    Recalled,
    Submit,
    SubmitRefused,
)
from dispycos.model import CodeHash, End, Incarnation, Payload, Role, TaskSpec
from dispycos.node.attempts import (
    Begin,
    BreakOff,
    CloseWanted,
    EndAll,
    Ended,
    EndProcess,
    ForceEnd,
    Interrupt,
    LeaseGiven,
)
from dispycos.node.execution import FORCE_WAIT, Execution

CLIENT = Incarnation(b"c" * 16)
VALUE = Payload(b"value")
REASON = "cancelled by the test, which has its reasons"


def spec(id: int, attempt: int = 1, **options: Any) -> TaskSpec:
    return TaskSpec(id, attempt, CodeHash(b"f" * 16), Payload(b"args"), **options)


class Driven:
    """An Execution with a valid lease, checked after each event; what it says is unwrapped."""

    def __init__(self, seconds: float = 100.0, **limits: Any) -> None:
        self.machine = Execution(CLIENT, Limits(**limits))
        self.now = 0.0
        self.feed(LeaseGiven(7, seconds))

    def _done(self, actions: list[Any]) -> list[Any]:
        self.machine.check()
        assert all(action.peer == CLIENT for action in actions if isinstance(action, Say))
        return [action.message if isinstance(action, Say) else action for action in actions]

    def feed(self, event: Any) -> list[Any]:
        return self._done(self.machine.handle(event, self.now))

    def hear(self, message: Any) -> list[Any]:
        return self.feed(Heard(CLIENT, message))

    def submit(self, *specs: TaskSpec, lease: int = 7) -> list[Any]:
        return self.hear(Submit(lease, list(specs)))

    def ended(self, id: int, end: End = End.FINISHED, attempt: int = 1, text: str = "") -> list[Any]:
        return self.feed(Ended(id, attempt, end, VALUE, text, 0.5))

    def flush(self) -> list[Any]:
        return self._done(self.machine.flush())

    def wait(self, seconds: float) -> list[Any]:
        """Let time pass, with a tick at each deadline on the way."""
        end = self.now + seconds
        actions: list[Any] = []
        while (deadline := self.machine.next_deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            actions += self._done(self.machine.tick(self.now))
        self.now = end
        return actions


def ids(actions: list[Any]) -> list[int]:
    return [action.spec.id for action in actions if isinstance(action, Begin)]


def outcomes(actions: list[Any]) -> list[tuple[int, End]]:
    return [(o.id, o.end) for action in actions if isinstance(action, Outcomes) for o in action.outcomes]


@pytest.mark.rule("D1")
@pytest.mark.row("DC-17", "DC-19")
def test_cpu_tasks_begin_one_at_a_time_in_order_and_io_tasks_at_once() -> None:
    server = Driven()
    assert ids(server.submit(spec(1), spec(2), spec(3, io=True), spec(4))) == [3, 1]
    assert ids(server.submit(spec(5, io=True))) == [5]
    assert ids(server.ended(1)) == [2]
    assert ids(server.ended(3)) == []
    assert ids(server.ended(2)) == [4]


@pytest.mark.row("R-05")
def test_positions_are_counted_before_a_task_begins() -> None:
    server = Driven()
    actions = server.machine.handle(Heard(CLIENT, Submit(7, [spec(1), spec(2), spec(3, io=True)])), 0.0)
    assert ids(actions) == [3, 1]
    assert (server.machine.begun, server.machine.begun_io) == (1, 1)
    assert (server.machine.received, server.machine.received_io) == (2, 1)
    server.ended(1)
    assert (server.machine.begun, server.machine.begun_io) == (2, 1)


@pytest.mark.row("R-35", "R-18")
@pytest.mark.rule("S2")
def test_tasks_under_another_lease_are_refused_and_still_counted() -> None:
    server = Driven()
    (refused,) = server.submit(spec(1), spec(2, io=True), lease=6)
    assert refused == SubmitRefused([1, 2], 7, refused.reason)
    assert "lease 6" in refused.reason
    assert "lease 7" in refused.reason
    (refused,) = server.submit(spec(3), lease=8)
    assert refused.ids == [3]
    assert (server.machine.received, server.machine.received_io) == (2, 1)
    assert ids(server.submit(spec(4))) == [4]
    assert server.machine.begun == 3


@pytest.mark.row("R-35")
def test_a_lower_lease_number_has_no_effect() -> None:
    server = Driven()
    assert server.feed(LeaseGiven(6, 1000.0)) == []
    assert server.machine.lease == 7
    assert server.machine.stale == 1


@pytest.mark.row("R-18")
def test_after_its_lease_has_ended_a_server_begins_nothing_until_it_is_renewed() -> None:
    server = Driven(seconds=10.0)
    server.submit(spec(1), spec(2))
    server.now = 11.0
    (refused,) = server.submit(spec(3, io=True))
    assert "ended 1.0 s ago" in refused.reason
    # What has begun goes on, and its outcome does not wait for the lease.
    assert outcomes(server.ended(1)) == [(1, End.FINISHED)]
    assert "ended" in server.machine.why_idle(server.now)
    renewed = server.feed(LeaseGiven(8, 10.0))
    assert ids(renewed) == [2]
    # The client holds back what was refused until it hears of the lease.
    assert any(isinstance(action, Holding) for action in renewed)
    assert server.machine.why_idle(server.now) == ""


@pytest.mark.row("R-44", "R-89")
def test_only_what_has_not_begun_is_given_back_and_each_recall_is_answered() -> None:
    server = Driven()
    server.submit(spec(1), spec(2), spec(3))
    assert server.hear(Recall([3, 2, 1, 99])) == [Recalled([3, 2])]
    assert server.hear(Recall([3])) == [Recalled([])]
    assert ids(server.ended(1)) == []
    # Positions are not given out anew.
    server.submit(spec(4))
    assert server.machine.begun == 4


def test_tasks_recalled_behind_a_long_one_leave_no_trace_in_the_queue() -> None:
    server = Driven()
    server.submit(spec(1))
    for key in range(2, 1000):
        server.submit(spec(key))
        server.hear(Recall([key]))
    assert len(server.machine._queue) == 0


def test_outcomes_are_said_in_one_message_when_no_cpu_task_runs_any_more() -> None:
    server = Driven()
    server.submit(spec(1), spec(2), spec(3))
    assert outcomes(server.ended(1)) == []
    assert server.machine.unsent
    assert outcomes(server.ended(2)) == []
    (message,) = server.ended(3)
    assert [outcome.id for outcome in message.outcomes] == [1, 2, 3]
    assert message.number == 1
    assert message.spent == 1.5
    assert not server.machine.unsent


def test_outcomes_need_not_wait_for_the_long_task_that_follows() -> None:
    server = Driven()
    server.submit(spec(1), spec(2))
    server.ended(1)
    assert outcomes(server.flush()) == [(1, End.FINISHED)]
    assert server.flush() == []
    (message,) = server.ended(2)
    assert message.number == 2


def test_outcomes_are_said_when_a_batch_is_full() -> None:
    server = Driven(batch_tasks=3)
    server.submit(*[spec(key) for key in range(1, 6)])
    assert [outcomes(server.ended(key)) for key in (1, 2)] == [[], []]
    assert len(outcomes(server.ended(3))) == 3


@pytest.mark.row("R-36")
def test_outcomes_are_kept_until_they_were_seen_and_said_again_on_a_new_session() -> None:
    server = Driven()
    server.submit(*[spec(key) for key in (1, 2, 3)])
    for key in (1, 2, 3):
        server.ended(key)
        server.flush()
    server.hear(OutcomesSeen(2))
    again, holding = server.feed(PeerUp(CLIENT, Role.CLIENT, None))
    assert (again.number, [outcome.id for outcome in again.outcomes]) == (3, [3])
    assert holding == Holding(3, 0, [], [], [3])
    server.hear(OutcomesSeen(3))
    assert server.feed(PeerBack(CLIENT)) == [Holding(3, 0, [], [], [])]


@pytest.mark.row("R-36")
def test_what_it_holds_is_said_at_each_attachment_and_every_thirty_seconds() -> None:
    server = Driven(reconcile_interval=30.0)
    server.submit(spec(1), spec(2), spec(3, io=True))
    assert server.feed(PeerBack(CLIENT)) == [Holding(2, 1, [2], [1, 3], [])]
    assert server.wait(29) == []
    assert server.wait(2) == [Holding(2, 1, [2], [1, 3], [])]
    assert len(server.wait(300)) == 10


@pytest.mark.row("R-68")
def test_a_submit_that_never_arrived_is_noticed_by_the_clients_count() -> None:
    server = Driven()
    server.submit(spec(1))
    assert server.hear(OutcomesSeen(0, 1, 0)) == []
    assert server.hear(OutcomesSeen(0, 3, 1)) == [Holding(3, 1, [], [1], [])]
    # Positions agree again.
    server.submit(spec(4))
    server.ended(1)
    assert server.machine.begun == 4


@pytest.mark.row("DC-62")
def test_a_cancelled_task_that_has_not_begun_never_begins() -> None:
    server = Driven()
    server.submit(spec(1), spec(2), spec(3))
    (message,) = server.hear(CancelTask(2, 1, End.CANCELLED, 5.0, REASON))
    assert outcomes([message]) == [(2, End.CANCELLED)]
    assert message.outcomes[0].text.startswith(REASON)
    assert ids(server.ended(1)) == [3]


@pytest.mark.row("DC-62", "DC-56")
def test_a_running_task_is_interrupted_and_ends_as_it_was_wanted() -> None:
    server = Driven()
    server.submit(spec(1))
    assert server.hear(CancelTask(1, 1, End.CANCELLED, 5.0, REASON)) == [
        Interrupt(1, REASON),
        BreakOff(1, REASON),
    ]
    assert server.hear(CancelTask(1, 1, End.CANCELLED, 5.0, REASON)) == []
    (message,) = server.ended(1, End.CANCELLED)
    assert (message.outcomes[0].end, message.outcomes[0].text) == (End.CANCELLED, REASON)
    assert message.outcomes[0].value is None
    # The deadline that was set for it means nothing any more.
    assert [action for action in server.wait(20) if not isinstance(action, Holding)] == []


@pytest.mark.row("DC-62", "DC-64")
def test_a_plain_call_is_not_broken_off_before_its_end_is_waited_for() -> None:
    server = Driven()
    server.submit(spec(1))
    assert server.hear(CancelTask(1, 1, End.CANCELLED, 3600.0, REASON)) == [Interrupt(1, REASON)]
    assert server.hear(CancelTask(1, 1, End.FAILED, 5.0, "its client closes")) == [BreakOff(1, REASON)]
    assert server.hear(CancelTask(1, 1, End.FAILED, 1.0, "its client closes")) == []


@pytest.mark.row("DC-56")
def test_a_task_that_catches_the_interrupt_may_return_a_result_which_counts() -> None:
    server = Driven()
    server.submit(spec(1))
    server.hear(CancelTask(1, 1, End.FAILED, 5.0, REASON))
    assert outcomes(server.ended(1)) == [(1, End.FINISHED)]


@pytest.mark.row("DC-56")
def test_an_unhandled_interrupt_of_a_terminate_is_the_tasks_own_exception() -> None:
    server = Driven()
    server.submit(spec(1))
    server.hear(CancelTask(1, 1, End.FAILED, 5.0, REASON))
    (message,) = server.ended(1, End.CANCELLED, text="Traceback: KeyboardInterrupt")
    assert (message.outcomes[0].end, message.outcomes[0].value) == (End.FAILED, VALUE)


@pytest.mark.row("DC-56")
def test_after_the_grace_a_task_is_ended_by_force() -> None:
    server = Driven()
    server.submit(spec(1))
    server.hear(CancelTask(1, 1, End.FAILED, 5.0, REASON))
    assert server.wait(4.9) == []
    assert server.wait(0.2) == [ForceEnd(1, REASON)]
    (message,) = server.ended(1, End.CANCELLED)
    assert message.outcomes[0].end is End.CANCELLED
    assert "by force" in message.outcomes[0].text


@pytest.mark.row("R-08", "R-43", "DC-57")
def test_a_task_that_never_yields_has_its_process_ended_after_timeout_and_grace() -> None:
    server = Driven(grace=5.0)
    server.submit(spec(1, timeout=2.0), spec(2, io=True))
    assert server.wait(1.9) == []
    interrupt, _ = server.wait(0.2)
    assert isinstance(interrupt, Interrupt)
    assert "timeout of 2 s" in interrupt.reason
    (force,) = server.wait(5.0)
    assert isinstance(force, ForceEnd)
    ending, end = server.wait(FORCE_WAIT)
    assert (ending.id, ending.attempt, ending.end) == (1, 1, End.TIMED_OUT)
    assert isinstance(ending, Ending)
    assert isinstance(end, EndProcess)
    # Nothing begins in a process that is about to end.
    assert isinstance(server.submit(spec(3, io=True))[0], SubmitRefused)


@pytest.mark.row("R-43")
def test_a_timeout_counts_from_the_begin() -> None:
    server = Driven()
    server.submit(spec(1), spec(2, timeout=1.0))
    assert server.wait(5) == []
    server.ended(1)
    assert server.wait(0.9) == []
    assert isinstance(server.wait(0.2)[0], Interrupt)


@pytest.mark.row("R-34", "R-31")
def test_what_other_peers_say_and_other_attempts_is_dropped_and_counted() -> None:
    server = Driven()
    server.submit(spec(1, attempt=2))
    assert server.feed(Heard(Incarnation(b"x" * 16), Submit(7, [spec(5)]))) == []
    assert server.ended(1, attempt=1) == []
    assert server.ended(9) == []
    assert server.hear(CancelTask(1, 1, End.CANCELLED, 5.0, REASON)) == []
    assert server.machine.stale == 3
    assert outcomes(server.ended(1, attempt=2)) == [(1, End.FINISHED)]
    assert server.ended(1, attempt=2) == []


def test_a_cancel_of_attempt_zero_means_any() -> None:
    server = Driven()
    server.submit(spec(1, attempt=3))
    assert server.hear(CancelTask(1, 0, End.CANCELLED, 5.0, REASON))[0] == Interrupt(1, REASON)


@pytest.mark.row("DC-26", "R-90")
def test_finish_waits_for_cpu_tasks_interrupts_io_tasks_and_until_all_was_seen() -> None:
    server = Driven()
    server.submit(spec(1), spec(2), spec(3, io=True))
    assert server.hear(Finish(await_io=False)) == []
    assert isinstance(server.submit(spec(4))[0], SubmitRefused)
    assert ids(server.ended(1)) == [2]
    actions = server.ended(2)
    assert [action.id for action in actions if isinstance(action, Interrupt)] == [3]
    server.ended(3, End.CANCELLED)
    assert Finished() not in server.flush()
    assert server.hear(OutcomesSeen(3)) == [Finished()]


@pytest.mark.row("DC-39")
def test_finish_may_wait_for_io_tasks_too() -> None:
    server = Driven()
    server.submit(spec(1, io=True))
    assert server.hear(Finish(await_io=True)) == []
    server.ended(1)
    assert server.hear(OutcomesSeen(1)) == [Finished()]
    assert Driven().hear(Finish(await_io=True)) == [Finished()]


@pytest.mark.row("DC-56")
def test_a_server_that_is_closed_gives_back_what_waits_and_interrupts_what_runs() -> None:
    server = Driven()
    server.submit(spec(1), spec(2), spec(3, io=True))
    actions = server.feed(EndAll(5.0, "the node is closed by its operator"))
    assert Recalled([2]) in actions
    assert sorted(action.id for action in actions if isinstance(action, Interrupt)) == [1, 3]
    server.ended(1, End.CANCELLED)
    server.ended(3, End.CANCELLED)
    server.flush()
    assert server.hear(OutcomesSeen(2)) == [Finished()]


@pytest.mark.row("DC-54")
def test_a_task_may_ask_to_close_its_server() -> None:
    assert Driven().feed(CloseWanted(False, True, False)) == [CloseRequest(False, True, False)]


@pytest.mark.row("DC-26", "DC-54", "XX-10")
def test_what_was_sent_ahead_never_begins_on_a_server_that_a_task_has_closed() -> None:
    server = Driven()
    server.submit(spec(1), spec(2))
    close, given = server.feed(CloseWanted(False, False, True))
    assert (close, given) == (CloseRequest(False, False, True), Recalled([2]))
    (refused,) = server.submit(spec(3))
    assert isinstance(refused, SubmitRefused) and refused.ids == [3]
    assert ids(server.ended(1)) == []


def test_nothing_begins_when_the_client_is_gone() -> None:
    server = Driven()
    server.submit(spec(1), spec(2))
    assert server.feed(PeerGone(CLIENT, "refused three dials")) == []
    assert ids(server.ended(1)) == []
    assert server.feed(LeaseGiven(9, 100.0)) == []


def test_a_story_tells_where_a_task_is() -> None:
    server = Driven()
    server.submit(spec(1), spec(2))
    assert "begun" in server.machine.story(1)
    assert "waiting" in server.machine.story(2)
    server.ended(1)
    assert "ended here" in server.machine.story(1)
    assert "not here" in server.machine.story(5)
