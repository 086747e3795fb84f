"""`client.dispatch`: placing tasks, and the gate through which each ends."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import pytest

from dispycos.client import placement, reasons
from dispycos.client.acknowledgements import SEEN_AFTER
from dispycos.client.dispatch import Dispatch
from dispycos.client.events import (
    LeaseChanged,
    NoServers,
    ServerBack,
    ServerClosing,
    ServerGone,
    ServerResumed,
    ServerSuspect,
    ServerSuspended,
    ServerUsable,
)
from dispycos.client.submission import (
    AllDone,
    CancelAll,
    CloseNow,
    Closing,
    Drained,
    Ended,
    EndServer,
    NodeExpected,
    NodeGone,
    Placed,
    Submission,
)
from dispycos.config import Limits
from dispycos.events import Heard, Note, Say
from dispycos.messages import (
    Avail,
    CancelTask,
    Define,
    Ending,
    Finish,
    Holding,
    NodeReport,
    Outcomes,
    OutcomesSeen,
    Recall,
    Recalled,
    ServerFacts,
    Submit,
    SubmitRefused,
)
from dispycos.model import CLIENT_MADE, CodeHash, End, Incarnation, Location, Outcome, Payload

F = CodeHash(b"f" * 16)
VALUE = Payload(b"value")


def server(name: str) -> Incarnation:
    return Incarnation(name.encode().ljust(16, b"."))


S1, S2, S3, N1, N2 = map(server, ("s1", "s2", "s3", "n1", "n2"))


class Driven:
    """A Dispatch, checked after each event; what it says to each server is collected."""

    def __init__(self, *servers: Incarnation, node: Incarnation = N1, **limits: Any) -> None:
        self.machine = Dispatch(Limits(**limits))
        self.now = 0.0
        self.said: dict[Incarnation, list[Any]] = {}
        self.own: list[Any] = []  # actions that are no Say
        self.numbers: dict[Incarnation, int] = {}
        self.ids = CLIENT_MADE
        for each in servers:
            self.feed(ServerUsable(each, node, 1))

    def _done(self, actions: Sequence[Any]) -> list[Any]:
        self.machine.check()
        for action in actions:
            if isinstance(action, Say):
                self.said.setdefault(action.peer, []).append(action.message)
            else:
                self.own.append(action)
        return list(actions)

    def feed(self, event: Any) -> list[Any]:
        actions = self._done(self.machine.handle(event, self.now))
        return actions + self._done(self.machine.flush(self.now))

    def hear(self, peer: Incarnation, message: Any) -> list[Any]:
        return self.feed(Heard(peer, message))

    def submit(self, count: int = 1, **options: Any) -> list[Submission]:
        tasks = []
        for _ in range(count):
            self.ids += 1
            task = Submission(self.ids, F, Payload(b"args"), **options)
            self._done(self.machine.submit(task, self.now))
            tasks.append(task)
        self._done(self.machine.flush(self.now))
        return tasks

    def one(self, **options: Any) -> Submission:
        return self.submit(1, **options)[0]

    def cancel(self, task: Submission, **options: Any) -> bool:
        will, actions = self.machine.cancel(task.id, "cancelled by the test", self.now, **options)
        self._done(actions)
        self._done(self.machine.flush(self.now))
        return will

    def outcome(
        self, peer: Incarnation, *tasks: Submission, end: End = End.FINISHED, spent: float = 0.0
    ) -> None:
        number = self.numbers.get(peer, 0) + 1
        self.numbers[peer] = number + len(tasks) - 1
        text = "" if end is End.FINISHED else "Traceback: it went wrong there"
        outcomes = [Outcome(task.id, task.attempt, end, VALUE, text) for task in tasks]
        self.hear(peer, Outcomes(number, outcomes, spent))

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while (deadline := self.machine.next_deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self._done(self.machine.tick(self.now))
            self._done(self.machine.flush(self.now))
        self.now = end

    def handed(self, peer: Incarnation) -> list[int]:
        """Ids that were handed to a server, in order."""
        return [
            spec.id
            for message in self.said.get(peer, [])
            if isinstance(message, Submit)
            for spec in message.tasks
        ]

    def heard_of(self, kind: type[Any], peer: Incarnation) -> list[Any]:
        return [message for message in self.said.get(peer, []) if isinstance(message, kind)]

    def end_of(self, task: Submission) -> Outcome:
        (ended,) = [action for action in self.own if isinstance(action, Ended) and action.task is task]
        return ended.outcome

    def own_of(self, kind: type[Any]) -> list[Any]:
        return [action for action in self.own if isinstance(action, kind)]


def ids(tasks: Sequence[Submission]) -> list[int]:
    return [task.id for task in tasks]


# Placing.


@pytest.mark.rule("D2")
@pytest.mark.row("DC-17")
def test_the_least_loaded_node_comes_first_and_ties_go_in_order() -> None:
    client = Driven(S1, S2)
    client.feed(ServerUsable(S3, N2, 1))
    first, second, third = client.submit(3)
    assert [task.server.incarnation for task in (first, second, third)] == [S1, S3, S2]
    client.outcome(S3, second)
    assert client.one().server.incarnation == S3


@pytest.mark.rule("D1")
def test_an_idle_server_comes_before_one_that_works_on_a_less_loaded_node() -> None:
    client = Driven(S1, S2)
    client.feed(ServerUsable(S3, N2, 1))
    tasks = client.submit(3)
    assert {task.server.incarnation for task in tasks} == {S1, S2, S3}


@pytest.mark.rule("D1")
@pytest.mark.row("DC-17")
def test_without_a_credit_tasks_wait_in_order_and_higher_priority_first() -> None:
    client = Driven(S1)
    placed = client.submit(2)
    low, high, higher = client.one(), client.one(priority=1), client.one(priority=2)
    assert client.handed(S1) == ids(placed)
    for task in placed:
        client.outcome(S1, task, spent=10.0)
    client.outcome(S1, higher, spent=10.0)
    client.outcome(S1, high, spent=10.0)
    assert client.handed(S1) == ids([*placed, higher, high, low])


@pytest.mark.rule("D1")
@pytest.mark.row("DC-17")
def test_with_one_credit_nothing_waits_behind_another_task() -> None:
    client = Driven(S1, max_credits=1)
    first, second = client.submit(2)
    assert client.handed(S1) == ids([first])
    client.feed(ServerUsable(S2, N1, 1))
    assert client.handed(S2) == ids([second])
    (third,) = client.submit(1)
    for _ in range(3):
        client.outcome(S1, first, spent=1e-6)
        assert client.handed(S1)[-1] == third.id
        first, third = third, client.one()
    assert third.server is None


def test_what_is_placed_in_one_go_is_said_in_as_few_messages_as_possible() -> None:
    client = Driven(S1, send_ahead_time=1.0)
    task = client.one()
    for _ in range(9):
        client.outcome(S1, task, spent=1e-4)
        task = client.one()
    before = len(client.heard_of(Submit, S1))
    client.submit(200)
    assert len(client.heard_of(Submit, S1)) == before + 1


def test_a_full_batch_asks_for_a_flush() -> None:
    client = Driven(S1, batch_tasks=4, max_io_credits=100)
    for number in range(4):
        assert not client.machine.full
        client.machine.submit(Submission(CLIENT_MADE + number, F, VALUE, io=True), 0.0)
    assert client.machine.full
    assert [len(action.message.tasks) for action in client.machine.flush(0.0)] == [4]
    assert not client.machine.full


@pytest.mark.rule("D1")
def test_credits_grow_quickly_for_tiny_tasks_and_allow_one_ahead_for_long_ones() -> None:
    client = Driven(S1)
    waiting = client.submit(800)
    rounds = 0
    while client.machine.placement.servers[S1].cpu_credits < 256:
        known = [task for task in waiting if task.server is not None]
        waiting = [task for task in waiting if task.server is None]
        client.outcome(S1, *known, spent=1e-5 * len(known))
        rounds += 1
    assert rounds <= 8
    known = [task for task in waiting if task.server is not None]
    client.outcome(S1, *known[:1], spent=0.1)
    assert client.machine.placement.servers[S1].cpu_credits == 2
    client.outcome(S1, *known[1:], spent=1.0 * len(known))
    client.outcome(S1, *[task for task in waiting if task.server is not None], spent=5.0)
    assert client.machine.placement.servers[S1].cpu_credits == 1


@pytest.mark.row("DC-18", "DC-24")
def test_a_task_for_one_server_or_node_goes_there_or_waits_for_it() -> None:
    client = Driven(S1, S2)
    client.feed(ServerUsable(S3, N2, 1))
    there = [client.one(where=S2) for _ in range(3)]
    assert client.handed(S2) == ids(there[:2])
    assert "busy" in client.machine.why_waiting(there[2].id, client.now)
    at_node = [client.one(where=N2) for _ in range(3)]
    assert client.handed(S3) == ids(at_node[:2])
    client.outcome(S2, there[0], spent=9.0)
    client.outcome(S2, there[1], spent=9.0)
    assert client.handed(S2) == ids(there)


@pytest.mark.row("DC-18")
def test_a_task_for_an_unknown_closed_or_lost_place_is_refused_at_once() -> None:
    client = Driven(S1, S2)
    assert client.end_of(client.one(where=S3)).end is End.REJECTED
    client.feed(ServerClosing(S1, terminate=False))
    assert "closed" in client.end_of(client.one(where=S1)).text
    waits = client.submit(3, where=S2)[2]
    client.feed(ServerGone(S2, "exit code -9", 1, 0, End.SERVER_LOST))
    assert client.end_of(waits).end is End.REJECTED
    assert "exit code -9" in client.end_of(client.one(where=S2)).text


def test_a_task_for_an_expected_node_waits_until_it_has_a_server_or_is_gone() -> None:
    client = Driven()
    client.feed(NodeExpected(N1))
    client.feed(NodeExpected(N2))
    one, other = client.one(where=N1), client.one(where=N2)
    assert "no server of its node is ready" in client.machine.why_waiting(one.id, 0.0)
    client.feed(ServerUsable(S1, N1, 1))
    assert client.handed(S1) == [one.id]
    client.feed(NodeGone(N2, "it was closed by its operator"))
    assert client.end_of(other).end is End.REJECTED


@pytest.mark.row("R-33", "R-11")
def test_a_lost_node_is_told_of_in_one_line_with_what_went_with_it() -> None:
    client = Driven(S1, S2)
    tasks = client.submit(2)
    for each in (S1, S2):
        client.feed(ServerGone(each, "node n1 is gone: refused", -1, -1, End.NODE_LOST))
    client.feed(NodeGone(N1, "node n1 is gone: refused", lost="n1"))
    client.feed(NodeGone(N2, "another process answers there", lost="n2"))
    assert [action.text for action in client.own if isinstance(action, Note)] == [
        f"node n1 is gone: refused; 2 tasks with it: {tasks[0]!r}, {tasks[1]!r}",
        "node n2: another process answers there; no task was lost",
    ]


@pytest.mark.row("DC-65")
def test_a_new_server_has_what_is_meant_to_be_first_there_before_all_that_waits() -> None:
    client = Driven(max_credits=2)
    client.feed(NodeExpected(N1))
    waiting = [client.one(priority=10), client.one(), client.one(where=N1, priority=5)]
    first = []
    for where in (S1, N1, S1):
        client.ids += 1
        first.append(Submission(client.ids, F, Payload(b"args"), where=where))
    client.feed(ServerUsable(S1, N1, 1, tuple(first)))
    in_order = [*first, waiting[0], waiting[2], waiting[1]]
    for task in in_order:
        client.outcome(S1, task)
    assert client.handed(S1) == [task.id for task in in_order]


@pytest.mark.row("R-99")
def test_what_waits_for_any_server_is_refused_with_the_reason_while_none_can_come() -> None:
    client = Driven()
    before, io = client.one(), client.one(io=True)
    client.feed(NodeExpected(N2))
    there = client.one(where=N2)
    client.feed(NoServers("no host can have a node: h1: Permission denied"))
    later, later_io = client.one(), client.one(io=True)
    for task in (before, io, later, later_io):
        outcome = client.end_of(task)
        assert outcome.end is End.REJECTED and "h1: Permission denied" in outcome.text
    assert client.machine.lives(there.id)  # a node that is known has its own end
    client.feed(NoServers(""))
    again = client.one()
    client.feed(ServerUsable(S1, N1, 1))
    assert client.handed(S1) == [again.id]


@pytest.mark.row("R-99")
def test_a_refusal_that_does_not_last_is_of_what_waits_and_of_nothing_later() -> None:
    client = Driven()
    client.feed(NoServers("no such partition"))
    client.feed(NoServers(""))
    before = client.one()
    client.feed(NoServers("every host refuses", lasting=False))
    assert "every host refuses" in client.end_of(before).text
    later = client.one()
    client.feed(ServerUsable(S1, N1, 1))
    assert client.handed(S1) == [later.id]


@pytest.mark.row("R-99")
def test_what_is_given_back_or_tried_again_is_refused_while_no_server_can_come() -> None:
    client = Driven(S1)
    begun, ahead = client.one(retries=1), client.one()
    client.feed(NoServers("none comes"))
    client.feed(ServerGone(S1, "it died", 1, 0, End.SERVER_LOST))
    client.wait(100.0)
    assert client.end_of(ahead).end is End.REJECTED
    lost = client.end_of(begun)
    assert lost.end is End.SERVER_LOST and "it can't be tried again: none comes" in lost.text


@pytest.mark.row("DC-19", "DC-20")
def test_io_tasks_have_their_own_credits_and_are_no_load() -> None:
    client = Driven(S1, max_io_credits=3)
    client.feed(ServerUsable(S2, N2, 1))
    tasks = client.submit(7, io=True)
    assert [len(client.handed(peer)) for peer in (S1, S2)] == [3, 3]
    assert client.machine.placement.nodes[N1].load == 0
    cpu = client.one()
    assert cpu.server.incarnation == S1
    client.outcome(S2, tasks[1])
    assert tasks[6].server.incarnation == S2
    # The node that computes is the more loaded one.
    client.outcome(S1, *[task for task in tasks if task.id in client.handed(S1)])
    client.outcome(S2, *[task for task in tasks[2:] if task.server is not None])
    assert client.one(io=True).server.incarnation == S2


@pytest.mark.row("DC-24", "DC-25", "R-69")
def test_a_suspended_server_gets_nothing_and_waiting_tasks_first_when_it_is_resumed() -> None:
    client = Driven(S1)
    running = client.one()
    client.feed(ServerSuspended(S1))
    waiting = client.one()
    assert client.handed(S1) == [running.id]
    assert "suspended" in client.machine.why_waiting(waiting.id, client.now)
    client.outcome(S1, running)
    assert client.handed(S1) == [running.id]
    client.feed(ServerResumed(S1))
    assert client.handed(S1) == [running.id, waiting.id]


@pytest.mark.row("R-12", "R-44")
def test_a_suspect_server_gets_nothing_new_and_keeps_what_it_has() -> None:
    client = Driven(S1, S2)
    first = client.one()
    client.feed(ServerSuspect(S1))
    assert client.one().server.incarnation == S2
    assert first.server.incarnation == S1
    client.wait(1000)
    assert client.heard_of(Recall, S1) == []
    client.feed(ServerBack(S1))
    client.outcome(S1, first)
    assert client.end_of(first).end is End.FINISHED


def test_what_was_not_said_yet_goes_elsewhere_when_its_server_is_suspended() -> None:
    client = Driven(S1, S2)
    task = Submission(CLIENT_MADE, F, VALUE)
    client.machine.submit(task, 0.0)
    assert task.server.incarnation == S1
    client.feed(ServerSuspended(S1))
    assert task.server.incarnation == S2
    assert client.handed(S1) == []


@pytest.mark.rule("D5")
def test_code_goes_ahead_of_its_first_use_on_each_server_and_once() -> None:
    client = Driven(S1, S2)
    client.machine.define(F, Payload(b"code"))
    assert client.machine.defined(F)
    client.submit(4)
    client.outcome(S1, client.machine.tasks[client.handed(S1)[0]])
    for peer in (S1, S2):
        assert [type(message) for message in client.said[peer]] == [Define, Submit]


def test_definitions_that_no_living_task_names_are_forgotten_beyond_a_limit(monkeypatch: Any) -> None:
    monkeypatch.setattr(placement, "MAX_FUNCTIONS", 10)
    client = Driven(S1)
    client.machine.define(F, VALUE)
    client.submit(5)
    for number in range(100):
        client.machine.define(CodeHash(number.to_bytes(16, "big")), VALUE)
    assert client.machine.defined(F)
    assert len(client.machine.placement._code) <= 11


@pytest.mark.row("DC-17")
def test_placed_is_answered_for_each_placement_of_those_who_want_it() -> None:
    client = Driven(S1)
    loud, quiet = client.one(), client.one(announce=False)
    assert client.own_of(Placed) == [Placed(loud, S1)]
    assert quiet.server is not None


# Recall.


@pytest.mark.rule("D1")
@pytest.mark.row("R-44")
def test_an_idle_server_has_the_others_asked_for_what_they_did_not_begin() -> None:
    client = Driven(S1)
    ran, ahead = client.submit(2)
    client.wait(1)
    client.feed(ServerUsable(S2, N1, 1))
    assert client.heard_of(Recall, S1) == [Recall([ahead.id])]
    # Without the answer it stays where it is.
    assert ahead.server.incarnation == S1
    client.hear(S1, Recalled([ahead.id]))
    assert client.handed(S2) == [ahead.id]
    client.outcome(S2, ahead)
    client.outcome(S1, ran)
    assert client.machine.late == 0


def test_a_task_that_had_begun_is_not_asked_for_again() -> None:
    client = Driven(S1)
    client.submit(2)
    client.wait(1)
    client.feed(ServerUsable(S2, N1, 1))
    client.hear(S1, Recalled([]))
    client.wait(60)
    assert len(client.heard_of(Recall, S1)) == 1


def test_pinned_tasks_and_those_for_one_server_are_not_recalled() -> None:
    client = Driven(S1)
    client.one(pinned=True)
    late = client.one()
    client.one(where=S1)
    assert client.machine.pin(late.id) == S1
    client.wait(1)
    client.feed(ServerUsable(S2, N2, 1))
    client.wait(10)
    assert client.heard_of(Recall, S1) == []


def test_tiny_tasks_are_not_recalled_before_the_running_one_proves_long() -> None:
    client = Driven(S1, send_ahead_time=0.004)
    first = client.one()
    client.outcome(S1, first, spent=1e-5)
    client.submit(2)
    client.feed(ServerUsable(S2, N1, 1))
    assert client.heard_of(Recall, S1) == []
    client.wait(0.01)
    assert len(client.heard_of(Recall, S1)) == 1


def test_a_server_that_is_asked_gets_nothing_new_until_it_answers() -> None:
    client = Driven(S1)
    client.submit(2)
    client.wait(1)
    client.feed(ServerUsable(S2, N1, 1))
    client.submit(5)
    assert len(client.handed(S1)) == 2
    client.hear(S1, Recalled([]))
    assert len(client.handed(S2)) == 2


# The gate.


@pytest.mark.row("R-31", "R-01")
@pytest.mark.rule("D3")
def test_each_task_ends_once_and_later_outcomes_are_dropped_and_counted() -> None:
    client = Driven(S1, S2)
    task = client.one()
    client.outcome(S1, task, end=End.FAILED)
    assert client.end_of(task).end is End.FAILED
    client.outcome(S1, task)
    client.hear(S2, Outcomes(1, [Outcome(task.id, 1, End.FINISHED, VALUE)], 0.0))
    assert client.machine.late == 2
    assert (client.machine.submitted, client.machine.done) == (1, 1)


@pytest.mark.row("R-31")
def test_an_outcome_of_another_attempt_or_from_another_server_is_dropped() -> None:
    client = Driven(S1, S2)
    task = client.one()
    client.hear(S1, Outcomes(1, [Outcome(task.id, 2, End.FINISHED, VALUE)], 0.0))
    client.hear(S2, Outcomes(1, [Outcome(task.id, 1, End.FINISHED, VALUE)], 0.0))
    assert client.machine.lives(task.id)
    assert client.machine.late == 2


def test_outcomes_that_are_said_again_count_once() -> None:
    client = Driven(S1)
    one, two = client.submit(2)
    first, second = (Outcome(task.id, 1, End.FINISHED, VALUE) for task in (one, two))
    client.hear(S1, Outcomes(1, [first], 0.0))
    client.hear(S1, Outcomes(1, [first, second], 0.0))
    assert client.end_of(two).end is End.FINISHED
    assert client.machine.late == 1


@pytest.mark.rule("D1")
def test_a_task_that_was_sent_ahead_begins_when_the_one_before_it_ends() -> None:
    client = Driven(S1, max_credits=4, send_ahead_time=100.0)
    (only,) = client.submit(1)
    client.now = 1.0
    client.outcome(S1, only, spent=1.0)
    client.now = 2.0
    first, second, third = client.submit(3)
    client.now = 9.0
    client.outcome(S1, third, end=End.CANCELLED)  # it never began: the first goes on
    assert [max(task.since, task.begun) for task in (first, second)] == [2.0, 2.0]
    assert first.begun < first.since
    client.now = 10.0
    client.outcome(S1, first, spent=8.0)
    client.now = 18.0
    client.outcome(S1, second, spent=8.0)
    assert second.begun == 10.0


@pytest.mark.rule("D1")
def test_tasks_whose_ends_are_told_together_begin_after_the_first_of_them() -> None:
    client = Driven(S1, max_credits=4, send_ahead_time=100.0)
    (only,) = client.submit(1)
    client.outcome(S1, only, spent=1.0)
    first, second, third, fourth = client.submit(4)
    client.now = 10.0
    client.outcome(S1, first, second, third, spent=10.0)
    assert [task.begun for task in (first, second, third, fourth)] == [0.0, 10.0, 10.0, 10.0]


@pytest.mark.row("R-34")
def test_late_words_of_a_server_that_is_gone_are_dropped_with_one_line() -> None:
    client = Driven(S1)
    task = client.one()
    client.feed(ServerGone(S1, "its silent node was given up", -1, -1, End.ABANDONED))
    assert client.end_of(task).end is End.ABANDONED
    client.outcome(S1, task)
    (note,) = client.own_of(Note)
    assert "1 late outcomes" in note.text
    client.hear(S2, Outcomes(1, [Outcome(5, 1, End.FINISHED, VALUE)], 0.0))
    assert client.machine.stale == 2


def test_outcomes_are_acknowledged_in_batches_or_after_a_second() -> None:
    client = Driven(S1)
    client.outcome(S1, client.one())
    assert client.heard_of(OutcomesSeen, S1) == []
    client.wait(1.1)
    assert [message.number for message in client.heard_of(OutcomesSeen, S1)] == [1]
    for _ in range(SEEN_AFTER):
        client.outcome(S1, client.one())
    assert len(client.heard_of(OutcomesSeen, S1)) == 2
    assert client.machine.next_deadline() is None


# Loss.


@pytest.mark.row("R-05", "R-32", "DC-41")
def test_when_a_server_dies_what_had_begun_is_lost_and_the_rest_is_placed_again() -> None:
    client = Driven(S1, S2)
    client.feed(ServerSuspended(S2))
    begun, ahead = client.submit(2)
    begun_io = client.one(io=True)
    client.now = 3.0
    client.feed(ServerResumed(S2))
    client.feed(ServerGone(S1, "killed by signal 11 (SIGSEGV); last output: boom", 1, 1, End.SERVER_LOST))
    assert client.end_of(begun).end is End.SERVER_LOST
    assert client.end_of(begun_io).end is End.SERVER_LOST
    assert client.handed(S2) == [ahead.id]
    assert ahead.attempt == 1
    text = client.end_of(begun).text
    for part in ("SIGSEGV", "boom", S1[:4].hex(), "attempt 1 of 1", "3.000 s before", "may have effects"):
        assert part in text


@pytest.mark.row("R-11")
def test_where_nobody_knows_what_began_all_that_was_handed_over_counts_as_begun() -> None:
    client = Driven(S1)
    tasks = client.submit(2)
    client.feed(ServerGone(S1, "its node's host lost power", -1, -1, End.NODE_LOST))
    assert [client.end_of(task).end for task in tasks] == [End.NODE_LOST] * 2


@pytest.mark.row("R-41")
@pytest.mark.parametrize("end", [End.SERVER_LOST, End.NODE_LOST, End.ABANDONED])
def test_a_lost_task_with_attempts_left_is_tried_again_after_a_while(end: End) -> None:
    client = Driven(S1, S2)
    client.now = 1.0
    task = client.one(retries=1)
    client.feed(ServerGone(S1, "exit code 3 after it ran", 1, 0, end))
    assert task.attempt == 2
    assert "tried again soon" in client.machine.why_waiting(task.id, 1.0)
    assert client.handed(S2) == []
    client.wait(0.2)
    assert client.handed(S2) == [task.id]
    assert task.submitted == 1.0 < task.since
    client.feed(ServerGone(S2, "exit code 3 after it ran", 1, 0, end))
    assert client.end_of(task).end is end
    assert "all 2 attempts" in client.end_of(task).text


@pytest.mark.row("R-41")
def test_waits_between_attempts_double_up_to_a_limit_and_differ_between_tasks() -> None:
    client = Driven()
    tasks = [Submission(CLIENT_MADE + n, F, VALUE, retries=20, max_worker_deaths=0) for n in range(20)]
    for task in tasks:
        client.machine.submit(task, 0.0)
    waits = []
    for round_ in range(12):
        name = server(f"x{round_}")
        client.feed(ServerUsable(name, N1, 1))
        client.machine.placement.servers[name].cpu_credits = 256
        client.feed(ServerResumed(name))
        start = client.now
        client.feed(ServerGone(name, "it crashed again", 20, 0, End.SERVER_LOST))
        due = sorted(entry[0] - start for entry in client.machine._agenda._entries if entry[3] in tasks)
        waits.append(due)
        client.wait(20)
    assert all(0.05 * 2**n <= wait <= 0.15 * 2**n for n in range(6) for wait in waits[n])
    assert all(5 <= wait <= 15 for wait in waits[-1])
    assert len(set(waits[0])) > 15


@pytest.mark.row("R-41")
def test_an_exception_of_the_task_is_not_retried() -> None:
    client = Driven(S1)
    task = client.one(retries=3)
    client.outcome(S1, task, end=End.FAILED)
    assert client.end_of(task).end is End.FAILED


@pytest.mark.row("R-07", "R-42")
def test_a_task_under_which_three_servers_died_is_poison() -> None:
    client = Driven()
    client.one(retries=10)
    for number in range(3):
        client.feed(ServerUsable(server(f"x{number}"), N1, 1))
        client.wait(20)
        # A server that died before the task began there does not count.
        client.feed(ServerUsable(server(f"y{number}"), N1, 1))
        client.feed(ServerGone(server(f"x{number}"), f"death number {number}", 1, 0, End.SERVER_LOST))
        client.feed(ServerGone(server(f"y{number}"), "never used by it", 0, 0, End.SERVER_LOST))
    (ended,) = client.own_of(Ended)
    assert ended.poisoned
    assert ended.outcome.end is End.FAILED
    assert all(f"death number {number}" in ended.outcome.text for number in range(3))


@pytest.mark.row("R-08")
def test_companions_of_a_task_that_never_yields_are_told_its_name() -> None:
    client = Driven(S1)
    stuck, companion = client.one(timeout=1.0, name="stuck"), client.one(io=True)
    client.hear(S1, Ending(stuck.id, 1, End.TIMED_OUT, "it ran longer than its timeout of 1 s"))
    assert client.own_of(Ended) == []
    client.feed(ServerGone(S1, "exit code 75; last output:\n    its timeout of 1 s", 1, 1, End.SERVER_LOST))
    assert client.end_of(stuck).end is End.TIMED_OUT
    # Once, and not again as how its server died and as what that printed last.
    text = client.end_of(stuck).text
    assert text.startswith("it ran longer than its timeout of 1 s; ") and text.count("its timeout") == 1
    assert client.end_of(companion).end is End.SERVER_LOST
    assert repr(stuck) in client.end_of(companion).text


# Refusals, leases, reconciliation.


@pytest.mark.row("R-18", "R-35")
def test_refused_tasks_wait_until_the_lease_changes() -> None:
    client = Driven(S1)
    task = client.one(where=S1)
    client.hear(S1, SubmitRefused([task.id], 2, "it was submitted under lease 1"))
    assert client.handed(S1) == [task.id]
    assert "lease" in client.machine.why_waiting(task.id, 0.0)
    client.feed(LeaseChanged(S1, 2))
    assert [message.lease for message in client.heard_of(Submit, S1)] == [1, 2]
    # What was refused counts as handed over on both sides.
    assert task.position == 2


def test_a_server_that_refuses_is_tried_again_ever_more_rarely() -> None:
    client = Driven(S1)
    task = client.one()
    for _ in range(60):
        if task.server is not None:
            client.hear(S1, SubmitRefused([task.id], 0, "this server holds no lease"))
        client.wait(1)
    assert 12 <= len(client.handed(S1)) <= 20


@pytest.mark.row("R-36", "R-68")
def test_what_a_server_has_no_record_of_is_lost_and_what_is_under_way_is_not() -> None:
    client = Driven(S1)
    one, two = client.submit(2)
    io = client.one(io=True)
    client.hear(S1, Holding(1, 1, [], [io.id], []))
    assert client.end_of(one).end is End.SERVER_LOST
    assert "no record" in client.end_of(one).text
    assert client.machine.lives(two.id)
    # The server is told how many it should have by now.
    (seen,) = client.heard_of(OutcomesSeen, S1)
    assert (seen.position, seen.position_io) == (2, 1)
    client.hear(S1, Holding(2, 1, [], [io.id], []))
    assert not client.machine.lives(two.id)
    assert client.machine.lives(io.id)


@pytest.mark.row("R-36")
def test_what_a_server_holds_and_the_client_does_not_want_is_cancelled_there() -> None:
    client = Driven(S1)
    client.hear(S1, Holding(2, 0, [88], [99], [77]))
    assert [(cancel.id, cancel.attempt) for cancel in client.heard_of(CancelTask, S1)] == [(88, 0), (99, 0)]


# Cancelling.


@pytest.mark.row("DC-62")
def test_a_task_that_waits_is_cancelled_at_once() -> None:
    client = Driven()
    task = client.one()
    assert client.cancel(task)
    assert client.end_of(task).end is End.CANCELLED
    assert "cancelled by the test" in client.end_of(task).text
    assert not client.cancel(task)


@pytest.mark.row("DC-62", "R-43")
def test_the_server_decides_a_race_between_cancel_and_end() -> None:
    client = Driven(S1)
    task = client.one()
    assert client.cancel(task)
    assert client.cancel(task)
    assert len(client.heard_of(CancelTask, S1)) == 1
    client.outcome(S1, task)
    assert client.end_of(task).end is End.FINISHED
    assert not client.cancel(task)


def test_a_cancelled_task_that_comes_back_or_whose_server_dies_ends_as_cancelled() -> None:
    client = Driven(S1)
    one, two = client.submit(2, retries=5)
    client.cancel(one)
    client.cancel(two)
    client.hear(S1, Recalled([two.id]))
    assert client.end_of(two).end is End.CANCELLED
    client.feed(ServerGone(S1, "exit code -9", 1, 0, End.SERVER_LOST))
    assert client.end_of(one).end is End.CANCELLED


@pytest.mark.row("R-08", "DC-57")
def test_a_server_that_does_not_end_a_task_in_time_is_ended_itself() -> None:
    client = Driven(S1, grace=5.0)
    task = client.one()
    client.cancel(task)
    client.wait(6.9)
    assert client.own_of(EndServer) == []
    client.wait(0.2)
    (end,) = client.own_of(EndServer)
    assert end.server == S1
    assert repr(task) in end.reason
    client.wait(60)
    assert len(client.own_of(EndServer)) == 1


def test_a_silent_server_is_not_ended_for_a_task() -> None:
    client = Driven(S1)
    client.cancel(client.one())
    client.feed(ServerSuspect(S1))
    client.wait(100)
    assert client.own_of(EndServer) == []
    client.feed(ServerBack(S1))
    client.wait(10)
    assert len(client.own_of(EndServer)) == 1


@pytest.mark.row("R-08", "DC-57")
def test_a_silent_server_is_ended_for_a_task_if_its_node_says_that_it_does_not_step() -> None:
    client = Driven(S1)
    client.cancel(client.one())

    def report(unresponsive: float) -> None:
        facts = ServerFacts(S1, Location("10.0.0.1", 9707), 1, 1, 1, 0, unresponsive)
        client.hear(N1, NodeReport(1, Avail(), [facts]))

    report(3.0)
    client.feed(ServerSuspect(S1))
    client.wait(100)
    report(0.0)
    client.wait(100)
    assert client.own_of(EndServer) == [], "of this silence its node has said nothing"
    report(8.0)
    client.wait(10)
    assert len(client.own_of(EndServer)) == 1


@pytest.mark.row("R-08", "R-43")
def test_a_timeout_is_also_counted_from_what_the_node_saw_begin() -> None:
    client = Driven(S1, grace=5.0)
    task = client.one(timeout=3.0)
    facts = ServerFacts(S1, Location("10.0.0.1", 9707), 1, 1, 0, 0)
    client.hear(N1, NodeReport(1, Avail(), [facts]))
    client.wait(100)
    assert client.own_of(EndServer) == []
    for _ in range(5):
        client.hear(N1, NodeReport(1, Avail(), [ServerFacts(S1, facts.location, 1, 1, 1, 0)]))
        client.wait(1)
    client.wait(6)
    assert len(client.own_of(EndServer)) == 1
    client.feed(ServerGone(S1, "killed by signal 9 (SIGKILL)", 1, 0, End.SERVER_LOST))
    assert client.end_of(task).end is End.TIMED_OUT


# Closing.


@pytest.mark.row("DC-26")
def test_a_closing_server_gets_nothing_more_and_gives_back_what_it_did_not_begin() -> None:
    client = Driven(S1, S2)
    client.feed(ServerSuspended(S2))
    begun, ahead = client.submit(2)
    client.feed(ServerClosing(S1, terminate=False))
    assert client.said[S1][-2:] == [Recall([ahead.id, begun.id]), Finish(False)]
    client.feed(ServerResumed(S2))
    client.hear(S1, Recalled([ahead.id]))
    assert client.handed(S2) == [ahead.id]
    assert client.own_of(Drained) == []
    client.outcome(S1, begun)
    assert client.own_of(Drained) == [Drained(S1)]
    assert client.heard_of(OutcomesSeen, S1) != []


@pytest.mark.row("DC-26", "DC-56")
def test_a_server_closed_with_terminate_has_its_tasks_interrupted() -> None:
    client = Driven(S1)
    cpu, io = client.one(), client.one(io=True)
    client.feed(ServerClosing(S1, terminate=True))
    cancels = client.heard_of(CancelTask, S1)
    assert [(cancel.id, cancel.end) for cancel in cancels] == [(cpu.id, End.FAILED), (io.id, End.FAILED)]
    assert isinstance(client.said[S1][-1], Finish)


@pytest.mark.row("DC-39")
def test_a_closing_client_refuses_new_tasks_and_waits_for_those_it_has() -> None:
    client = Driven(S1)
    waited, io = client.one(), client.one(io=True)
    client.feed(Closing("the program called close", await_io=False))
    refused = client.one()
    assert client.end_of(refused).end is End.REJECTED
    assert "called close" in client.end_of(refused).text
    assert client.own_of(AllDone) == []
    client.outcome(S1, waited)
    assert len(client.own_of(AllDone)) == 1
    client.outcome(S1, io)
    assert len(client.own_of(AllDone)) == 1


@pytest.mark.row("DC-39")
def test_closing_may_wait_for_io_tasks_and_is_done_at_once_without_tasks() -> None:
    client = Driven(S1)
    io = client.one(io=True)
    client.feed(Closing("the program called close", await_io=True))
    assert client.own_of(AllDone) == []
    client.outcome(S1, io)
    assert len(client.own_of(AllDone)) == 1
    client = Driven()
    assert AllDone() in client.feed(Closing("the program called close", await_io=False))


def test_cancel_all_ends_what_waits_and_asks_for_what_runs() -> None:
    client = Driven(S1)
    tasks = client.submit(5)
    client.feed(CancelAll("the program got Ctrl-C", grace=1.0))
    assert [client.end_of(task).end for task in tasks[2:]] == [End.CANCELLED] * 3
    assert {cancel.id for cancel in client.heard_of(CancelTask, S1)} == set(ids(tasks[:2]))
    assert len(client.handed(S1)) == 2


def test_after_the_end_nothing_lives() -> None:
    client = Driven(S1)
    tasks = client.submit(5)
    client.feed(CloseNow("the scheduler ended its turn"))
    ends = [client.end_of(task).end for task in tasks]
    assert ends == [End.CANCELLED] * 2 + [End.REJECTED] * 3
    assert client.machine.tasks == {}
    assert client.end_of(client.one()).end is End.REJECTED


# What people ask.


@pytest.mark.rule("S6")
def test_a_waiting_task_has_a_reason() -> None:
    client = Driven()
    task = client.one()
    client.now = 4.0
    assert "4.0 s: no server is ready yet" in client.machine.why_waiting(task.id, client.now)
    assert "1 task waits" in client.machine.why_idle(client.now)
    client.feed(ServerUsable(S1, N1, 1))
    assert client.machine.why_idle(client.now) == ""
    client.submit(3)
    assert "1 busy" in client.machine.why_waiting(client.ids, client.now)
    client.outcome(S1, task)
    assert "FINISHED" in client.machine.story(task.id)
    assert "not known" in client.machine.story(1)


@pytest.mark.row("R-39", "R-71")
def test_only_records_of_ended_tasks_are_forgotten() -> None:
    client = Driven(S1, max_ended_records=10)
    first = client.one()
    for _ in range(50):
        task = client.one(io=True)
        client.outcome(S1, task)
    assert len(client.machine.gate.ended) == 10
    assert "sent" in client.machine.story(first.id)


@pytest.mark.row("R-32")
def test_reasons_are_neither_empty_nor_endless() -> None:
    assert len(reasons.fitting("", 4096)) >= 20
    long = reasons.fitting("a" * 5000 + "the end", 4096)
    assert len(long) <= 4096
    assert long.endswith("the end")


@pytest.mark.row("R-26")
def test_a_queued_task_takes_less_than_a_kilobyte() -> None:
    import tracemalloc

    client = Dispatch(Limits())
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(5000):
            args = Payload(sys.intern("x").encode() * 50)
            client.submit(Submission(CLIENT_MADE + number, F, args), 0.0)
        used = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert used / 5000 < 1024


@pytest.mark.row("R-26")
def test_cost_of_a_task_does_not_grow_with_the_queue() -> None:
    """Counted in calls, not in seconds: 50 times the tasks take 50 times the calls."""

    def calls(count: int) -> int:
        client = Dispatch(Limits())
        client.handle(ServerUsable(S1, N1, 1), 0.0)
        client.handle(ServerUsable(S2, N2, 1), 0.0)
        made = 0

        def counting(frame: Any, event: str, arg: Any) -> None:
            nonlocal made
            made += 1

        sys.setprofile(counting)
        try:
            for number in range(count):
                client.submit(Submission(CLIENT_MADE + number, F, VALUE, announce=False), 0.0)
            numbers = {S1: 1, S2: 1}
            say = client.flush(0.0)
            while say:
                for action in say:
                    specs = action.message.tasks
                    outcomes = [Outcome(spec.id, 1, End.FINISHED, VALUE) for spec in specs]
                    message = Outcomes(numbers[action.peer], outcomes, 1e-5 * len(specs))
                    numbers[action.peer] += len(specs)
                    client.handle(Heard(action.peer, message), 1.0)
                say = client.flush(1.0)
        finally:
            sys.setprofile(None)
        assert client.done == count
        return made

    assert calls(10_000) < 55 * calls(200)


@pytest.mark.row("R-62")
def test_a_server_s_word_of_what_it_holds_is_held_against_the_ledger():
    bench = Driven(S1, S2)
    (mine, other) = bench.submit(2)
    assert mine.server is not None and mine.server.incarnation == S1 and other.server is not mine.server
    bench.machine.compare(S1, Holding(1, 0, [], [mine.id], []))
    for holds, text in (
        (Holding(2, 0, [], [mine.id], []), "took in .2, 0. tasks"),
        (Holding(1, 1, [], [mine.id], []), "took in .1, 1. tasks"),
        (Holding(1, 0, [mine.id], [mine.id], []), "wait and run at"),
        (Holding(1, 0, [], [other.id], []), "was handed to another server"),
    ):
        with pytest.raises(AssertionError, match=text) as found:
            bench.machine.compare(S1, holds)
        assert found.value.args[0].thing in (S1, mine.id, other.id)


def test_io_tasks_that_wait_for_any_server_are_a_demand() -> None:
    client = Driven()
    client.submit(2, io=True)
    assert (client.machine.demand().tasks, client.machine.demand().waiting_io) == (0, 2)
    client.feed(ServerUsable(S1, N1, 1))
    assert client.machine.demand().waiting_io == 0 and client.machine.demand().busy == {N1: 2}
