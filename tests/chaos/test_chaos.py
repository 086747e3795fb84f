"""A short chaos run, and proof that its ledgers see what may not be. `make chaos` is the long one."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.chaos import ledgers, run

SECONDS = 5.0  # with start and healing the run takes about three times that


@pytest.fixture
def seed(monkeypatch: pytest.MonkeyPatch) -> int:
    """Printed by the run; DISPYCOS_SEED chooses it."""
    seed = int(os.environ.get("DISPYCOS_SEED", "0")) or random.SystemRandom().randrange(10**6)
    monkeypatch.setenv("DISPYCOS_CHAOS", run.THEMSELVES.format(seed=seed))
    return seed


@pytest.mark.row("R-57", "R-31", "R-63")
def test_whatever_is_killed_stopped_cut_or_starved_each_task_ends_once(seed: int, tmp_path: Path) -> None:
    books, struck = run.chaos(tmp_path, seed, SECONDS)
    assert struck.total() and len(books.allowed) > 20, "it was no test"


@pytest.mark.row("R-57")
@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("", ""),
        ("told 1 x\nended 1 x", "ended 2 times"),
        ("begun 1\nbegun 1\nbegun 1", "began 4 times, and 3 attempts"),
        ("told 1 x", "told 2 times"),
        ("begun 2", "nobody submitted task 2"),
        ("done 1\ndone 1", "was done 3 times and began 1 times"),
    ],
)
def test_the_books_show_what_may_not_be(lines: str, problem: str) -> None:
    books = ledgers.empty()
    ledgers.put(books, "submitted 1 3\nbegun 1\ndone 1\ntold 1 StopIteration\nended 1 finished".splitlines())
    ledgers.put(books, lines.splitlines())
    assert problem in " ".join(books.problems()) if problem else not books.problems()


@pytest.mark.row("R-57")
def test_a_result_that_nobody_made_and_a_task_without_an_end_are_seen() -> None:
    books = ledgers.empty()
    ledgers.put(books, ["submitted 1 3", "told 1 x", "ended 1 finished", "submitted 2 3"])
    assert books.problems() == [
        "task 1 finished and was done by nobody",
        "task 2 ended 0 times: []",
        "status_task was told 0 times how task 2 ended",
    ]
    assert "2 tasks" in str(books) and "1 have not ended: 2" in run.waiting(books)
