"""Deadlines and stories: the small tools that the machines share."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispycos import story
from dispycos.deadlines import Deadlines
from dispycos.story import Stories


def test_the_earliest_deadline_comes_first_and_equal_ones_in_order() -> None:
    deadlines: Deadlines[str] = Deadlines()
    for key, when in (("b", 2.0), ("a", 1.0), ("c", 2.0)):
        deadlines.set(key, when)
    assert deadlines.next() == 1.0
    assert list(deadlines.due(2.0)) == ["a", "b", "c"]
    assert deadlines.next() is None


def test_a_deadline_may_be_replaced_dropped_or_set_only_once() -> None:
    deadlines: Deadlines[str] = Deadlines()
    deadlines.set("a", 1.0)
    deadlines.set("a", 5.0)
    deadlines.set_if_none("a", 2.0)
    deadlines.set_if_none("b", 3.0)
    deadlines.drop("b")
    deadlines.drop("never set")
    assert list(deadlines.due(4.0)) == []
    assert "a" in deadlines
    assert list(deadlines.due(5.0)) == ["a"]


def test_what_is_set_for_now_while_others_come_due_comes_too() -> None:
    deadlines: Deadlines[int] = Deadlines()
    deadlines.set(1, 1.0)
    seen = []
    for key in deadlines.due(1.0):
        seen.append(key)
        if key < 3:
            deadlines.set(key + 1, 1.0)
    assert seen == [1, 2, 3]


@pytest.mark.row("R-95")
def test_replaced_deadlines_do_not_stay_in_the_heap() -> None:
    deadlines: Deadlines[int] = Deadlines()
    for turn in range(100_000):
        deadlines.set(turn % 10, float(turn))
    assert len(deadlines) == 10
    assert len(deadlines._heap) <= 2 * 10 + 64


@given(st.lists(st.tuples(st.integers(0, 5), st.one_of(st.none(), st.floats(0, 100)))))
def test_it_agrees_with_a_plain_table(changes: list[tuple[int, float | None]]) -> None:
    deadlines: Deadlines[int] = Deadlines()
    table: dict[int, float] = {}
    for key, when in changes:
        if when is None:
            deadlines.drop(key)
            table.pop(key, None)
        else:
            deadlines.set(key, when)
            table[key] = when
        assert deadlines.next() == min(table.values(), default=None)
    assert set(deadlines.due(50.0)) == {key for key, when in table.items() if when <= 50.0}


@pytest.mark.row("R-38")
def test_stories_keep_the_last_lines_of_the_last_things() -> None:
    stories = Stories()
    for number in range(story.MAX_THINGS + 10):
        stories.add(number, 1.0, "began")
    assert stories.tell(3) == "nothing is known of it"
    for number in range(100):
        stories.add("x", float(number), f"line {number}")
    told = stories.tell("x")
    assert "line 99" in told
    assert "line 75" not in told
    assert told.startswith("+0.0 s line 76")
