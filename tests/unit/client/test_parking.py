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


def leaves(parking: Parking, one: Submission) -> None:
    while calls := parking.take(one):
        for call in calls:
            call()


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
    assert one.parked
    assert parking.leave() == [one]
    leaves(parking, one)

    assert words == ["first", "second", "third"]
    assert one not in parking
    assert not one.parked
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

    assert parking.leave() == [one]
    say(parking, one, words, "are you there?")
    leaves(parking, one)

    assert words == ["hello", "are you there?"]
    assert not parking


@pytest.mark.row("DC-23")
def test_what_is_said_while_the_first_leave_does_not_overtake_them() -> None:
    parking, words = Parking(), list[str]()
    one = task()
    say(parking, one, words, "first")
    one.server = SimpleNamespace(recalling=False)  # type: ignore[assignment]
    one.pinned = True  # as its driver does before it lets them leave
    assert parking.leave() == [one]

    calls = parking.take(one)
    say(parking, one, words, "second")
    for call in calls:
        call()
    assert words == ["first"]
    assert one.parked
    assert parking.leave() == []  # it leaves already
    leaves(parking, one)

    assert words == ["first", "second"]
    assert not one.parked


def test_a_task_that_loses_its_place_while_they_leave_keeps_the_rest() -> None:
    parking, words = Parking(), list[str]()
    one = task()
    say(parking, one, words, "first")
    one.server = SimpleNamespace(recalling=False)  # type: ignore[assignment]
    assert parking.leave() == [one]
    for call in parking.take(one):
        call()
    say(parking, one, words, "second")
    one.server = None
    leaves(parking, one)
    assert words == ["first"]
    assert parking.leave() == []

    one.server = SimpleNamespace(recalling=False)  # type: ignore[assignment]  # its next attempt
    assert parking.leave() == [one]
    leaves(parking, one)

    assert words == ["first", "second"]
