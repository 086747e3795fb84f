"""What a client tells its monitor of one task, whenever somebody begins to look."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from dispycos.client.submission import Ended, Placed, Submission
from dispycos.httpd import client_actions
from dispycos.httpd.actions import ACTIONS
from dispycos.httpd.client_source import ClientSource
from dispycos.httpd.source import Look
from dispycos.model import CodeHash, End, Incarnation, Outcome

SERVER = Incarnation(b"server..........")


@pytest.mark.row("MO-10")
def test_a_task_was_submitted_when_the_program_did_whoever_looked_then() -> None:
    client: Any = SimpleNamespace()
    source = ClientSource(client, show_args=False)
    wall, clock = time.time(), time.monotonic()
    task = Submission(1, CodeHash(b"h"), None, owner=SimpleNamespace(_where=(SERVER, None)))
    task.submitted, task.since = clock - 30.0, clock - 5.0  # it waited, and was placed

    assert source._living(task, wall, clock).submitted == pytest.approx(wall - 30.0, abs=0.01)
    source._look = Look(tasks=True)
    source.placed(Placed(task, SERVER))
    source.ended(Ended(task, Outcome(1, 1, End.FINISHED, None)))
    for event in source._telling.feed.take():
        assert event.submitted == pytest.approx(wall - 30.0, abs=1.0), event


def test_of_a_task_that_ended_while_it_waited_nothing_is_kept() -> None:
    client: Any = SimpleNamespace(work=None)
    source = ClientSource(client, show_args=True)
    task = Submission(1, CodeHash(b"h"), None, owner=SimpleNamespace(_where=(SERVER, None)))
    source.submitted(task, ("an argument",), {})
    assert source._asked and source._texts
    source.ended(Ended(task, Outcome(1, 1, End.CANCELLED, None)))
    assert not source._asked and not source._texts


@pytest.mark.row("MO-35", "R-51")
def test_a_wait_is_counted_once_and_by_the_clock_that_does_not_jump(monkeypatch: pytest.MonkeyPatch) -> None:
    client: Any = SimpleNamespace(work=None)
    source = ClientSource(client, show_args=False)
    task = Submission(1, CodeHash(b"h"), None)
    source.submitted(task, (), {})
    task.submitted = time.monotonic() - 30.0
    monkeypatch.setattr(time, "time", lambda: 0.0)  # somebody sets the machine's clock
    source.placed(Placed(task, SERVER))
    assert source._tally.queued.total == pytest.approx(30.0, abs=1.0)
    source.placed(Placed(task, SERVER))  # a server was lost, and it is tried again
    assert sum(source._tally.queued.counts) == 1


@pytest.mark.row("HT-14")
def test_there_is_an_order_for_each_action_at_what_runs_tasks() -> None:
    assert set(client_actions._ORDERS) == {name for name, kind in ACTIONS.items() if kind != "task"}
    for make, _ in client_actions._ORDERS.values():
        assert make(7, SERVER).ticket == 7
