"""Sentences count and name: nothing is left out in silence."""

from __future__ import annotations

import pytest

from dispycos.wording import left_out, listed, many


def test_one_thing_is_called_otherwise_than_several() -> None:
    assert [many(1, "node"), many(2_000, "node")] == ["1 node", "2,000 nodes"]
    assert many(2, "task waits", "tasks wait") == "2 tasks wait"


@pytest.mark.parametrize(
    ("number", "said"),
    [(0, ""), (3, "0, 1, 2"), (4, "0, 1, 2 and 1 more"), (2_003, "0, 1, 2 and 2,000 more")],
)
def test_of_many_names_the_first_are_listed_and_the_others_counted(number: int, said: str) -> None:
    assert listed([str(each) for each in range(number)]) == said


def test_what_is_left_out_is_counted() -> None:
    assert left_out(10, 10) == []
    assert left_out(11, 10, "more node", "more nodes") == ["and 1 more node"]
    assert left_out(12, 10, "more node", "more nodes") == ["and 2 more nodes"]
    assert left_out(1_013, 10) == ["and 1,003 more"]
