"""Messages for a task that is on its way wait until its place is certain."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from dispycos.client.parking import Parking
from dispycos.client.submission import Stage, Submission
from dispycos.model import CodeHash


def task(**server: Any) -> Submission:
    made = Submission(1, CodeHash(b"h"), None)
    made.server = SimpleNamespace(**server) if server else None  # type: ignore[assignment]  # what parking asks of it
    return made


def say(parking: Parking, one: Submission, words: list[str], word: str) -> None:
    if not parking.parks(one, lambda: words.append(word)):
        words.append(word)


@pytest.mark.row("DC-23")
def test_what_is_said_to_a_task_with_a_place_leaves_at_once() -> None:
    parking, words = Parking(), list[str]()
    say(parking, task(recalling=False), words, "hello")

    assert words == ["hello"]
    assert not parking


@pytest.mark.row("DC-23")
def test_what_is_said_during_a_recall_waits_and_leaves_in_order() -> None:
    parking, words = Parking(), list[str]()
    one = task(recalling=True)
    say(parking, one, words, "first")
    one.server = None  # given back
    say(parking, one, words, "second")
    assert parking.leave() == []

    one.server = SimpleNamespace(recalling=False)  # type: ignore[assignment]  # placed again
    say(parking, one, words, "third")
    assert words == []
    for _, calls in parking.leave():
        for call in calls:
            call()

    assert words == ["first", "second", "third"]
    assert one not in parking
    say(parking, one, words, "fourth")
    assert words[-1] == "fourth"


@pytest.mark.rule("D1")
def test_a_pinned_task_is_not_recalled_so_nothing_waits() -> None:
    parking, words = Parking(), list[str]()
    one = task(recalling=True)
    one.pinned = True
    say(parking, one, words, "hello")

    assert words == ["hello"]


def test_what_waits_for_a_task_that_ended_leaves_too() -> None:
    parking, words = Parking(), list[str]()
    one = task()
    say(parking, one, words, "hello")
    one.stage = Stage.ENDED

    assert [entry[0] for entry in parking.leave()] == [one]
    assert not parking
