"""References are settled throughout a value, each part of it once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dispycos.objects.references import Reference, Settling
from dispycos.objects.tuples import NamedFields

HERE = object()


def settled(value: Any) -> Any:
    return Settling(lambda number, shape: None, lambda number: HERE)(value)


@pytest.mark.row("GN-05")
@pytest.mark.parametrize(
    "doubled",
    [
        lambda value: (value, value),
        lambda value: NamedFields((value, value), ("a", "b")),
        lambda value: slice(value, value),
        lambda value: (frozenset([(1, Reference(1))]), [value], value, value),
    ],
)
def test_what_is_small_in_bytes_is_settled_soon(doubled: Callable[[Any], Any]):
    # Each holds the one before it twice: who walked them all would walk 2**60.
    value: Any = (Reference(1),)
    for _ in range(60):
        value = doubled(value)
    made = settled(value)
    for _ in range(60):
        made = made.start if isinstance(made, slice) else made[-1]
    assert made == (HERE,)


@pytest.mark.row("GN-05")
def test_a_tuple_that_holds_itself_through_a_list_is_settled():
    held: list[Any] = [Reference(1)]
    value = (held, (held,))
    held.append(value)
    made = settled(value)
    assert made[0] is held and made[1][0] is held and held[0] is HERE
    assert held[1][0] is held


@pytest.mark.row("GN-05")
def test_what_is_settled_is_not_taken_for_another_that_got_its_place():
    value = [[(Reference(1), n) for n in range(100)] for _ in range(10)]
    assert settled(value) == [[(HERE, n) for n in range(100)] for _ in range(10)]
