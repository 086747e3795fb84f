"""How many items of a map travel together."""

from __future__ import annotations

import pytest

from dispycos.client.chunking import (
    IN_FLIGHT,
    KEPT,
    MAX_ITEMS,
    MOST_AHEAD,
    SHARES,
    SPARE,
    TARGET_BYTES,
    TARGET_TIME,
    Chunking,
)

pytestmark = pytest.mark.row("DC-64")


def settled(seconds: float, size: int) -> Chunking:
    """After many chunks of items that take so long and so many bytes."""
    chunking = Chunking()
    for _ in range(20):
        items = chunking.size(2, None)
        chunking.ran(items, items * seconds, items * size)
    return chunking


@pytest.mark.parametrize(
    ("seconds", "size", "items"),
    [
        (1.0, 10, 1),
        (TARGET_TIME, 10, 1),
        (TARGET_TIME / 100, 10, 100),
        (1e-9, 1, MAX_ITEMS),
        (0.0, 0, MAX_ITEMS),
        (1e-9, TARGET_BYTES // 8, 8),
        (1e-9, TARGET_BYTES * 10, 1),
    ],
)
def test_a_chunk_has_as_many_items_as_fill_its_time_and_its_bytes(
    seconds: float, size: int, items: int
) -> None:
    assert abs(settled(seconds, size).size(2, None) - items) <= items // 50


def test_nothing_known_is_one_item() -> None:
    assert Chunking().size(2, None) == 1
    assert Chunking().size(0, 1_000_000) == 1


def test_sizes_grow_step_by_step_and_a_late_small_chunk_does_not_shrink_them() -> None:
    chunking = Chunking()
    chunking.ran(1, 1e-9, 1)
    chunking.ran(1, 1e-9, 1)
    small = chunking.size(2, None)
    assert 1 < small < 20
    chunking.ran(small, small * 1e-9, small)
    large = chunking.size(2, None)
    assert large > small
    chunking.ran(1, 1e-9, 1)
    assert chunking.size(2, None) == large


def test_items_that_take_longer_than_before_travel_in_smaller_chunks() -> None:
    chunking = settled(TARGET_TIME / 1000, 10)
    before = chunking.size(2, None)
    for _ in range(20):
        items = chunking.size(2, None)
        chunking.ran(items, items * TARGET_TIME / 4, items * 10)
    assert 4 >= chunking.size(2, None) < before


def test_the_end_of_an_input_is_shared_among_all_servers() -> None:
    chunking, left, sizes = settled(1e-9, 1), 100_000, []
    while left:
        sizes.append(min(chunking.size(4, left), left))
        left -= sizes[-1]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == 100_000 // (4 * SHARES)
    assert sizes[-1] == 1


def test_a_size_that_the_program_chose_stays() -> None:
    chunking = Chunking(7)
    chunking.ran(7, 100.0, 1)
    assert (chunking.size(2, None), chunking.size(2, 3)) == (7, 7)


def test_a_failed_chunk_without_a_result_teaches_nothing() -> None:
    chunking = settled(TARGET_TIME / 100, 10)
    before = chunking.size(2, None)
    chunking.ran(0, 5.0, 10)
    assert chunking.size(2, None) == before


def test_only_so_many_chunks_are_under_way_and_so_many_wait_to_be_taken() -> None:
    chunking = Chunking()
    most = IN_FLIGHT * 2 + SPARE
    assert chunking.may_go_out(2, most - 1, 0)
    assert not chunking.may_go_out(2, most, 0)
    assert not chunking.may_go_out(2, 0, KEPT * most)
    # Before there is a server something waits for the first.
    assert chunking.may_go_out(0, 0, 0)
    assert not chunking.may_go_out(0, SPARE, 0)


def test_chunks_that_take_no_time_are_sent_further_ahead() -> None:
    chunking = Chunking(1)
    chunking.ran(1, 1e-9, 1)
    most = (IN_FLIGHT + MOST_AHEAD) * 2 + SPARE
    assert chunking.may_go_out(2, most - 1, 0)
    assert not chunking.may_go_out(2, most, 0)
