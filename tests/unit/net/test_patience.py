"""When a thread that waits looks for a moment before it sleeps (net.patience)."""

from __future__ import annotations

from dispycos.net.patience import ASIDE, FIRST, MOMENT, MOST, SHORT, Patience

BRIEF, LONG = SHORT / 2, 1.0


def sleeps(patience: Patience, seconds: float, times: int = 1) -> None:
    for _ in range(times):
        patience.slept(seconds)


def needed(patience: Patience) -> int:
    """Short sleeps in a row until it looks."""
    count = 0
    while not patience.moment:
        patience.slept(BRIEF)
        count += 1
        assert count <= MOST
    return count


def test_it_sleeps_at_once_until_several_sleeps_in_a_row_were_short():
    patience = Patience()
    sleeps(patience, BRIEF, FIRST - 1)
    assert patience.moment == 0
    sleeps(patience, LONG)
    sleeps(patience, BRIEF, FIRST - 1)
    assert patience.moment == 0
    sleeps(patience, BRIEF)
    assert patience.moment == MOMENT


def test_it_goes_on_looking_while_something_comes_or_nearly():
    patience = Patience()
    sleeps(patience, BRIEF, FIRST)
    for _ in range(100):
        patience.found()
        patience.slept(BRIEF)  # it came just after the moment
        assert patience.moment == MOMENT


def test_each_moment_in_vain_asks_for_twice_as_many_short_sleeps():
    patience = Patience()
    asked = [needed(patience)]
    for _ in range(12):
        sleeps(patience, LONG)  # it looked, and then it was long
        asked.append(needed(patience))
    assert asked[:4] == [FIRST, 2 * FIRST, 4 * FIRST, 8 * FIRST]
    assert asked[-1] == MOST


def test_long_sleeps_without_a_look_cost_nothing():
    patience = Patience()
    sleeps(patience, LONG, 1000)
    assert needed(patience) == FIRST


def test_success_wins_its_trust_back():
    patience = Patience()
    for _ in range(5):
        needed(patience)
        sleeps(patience, LONG)
    for _ in range(5):
        needed(patience)
        patience.found()
    sleeps(patience, LONG)
    assert needed(patience) <= 2 * FIRST


def test_who_is_put_aside_while_he_looks_does_not_look_again_for_long():
    patience = Patience()
    sleeps(patience, BRIEF, FIRST)
    patience.put_aside()
    assert needed(patience) == ASIDE * FIRST
    patience.put_aside()
    assert needed(patience) == MOST


def test_who_found_something_meanwhile_looks_again_sooner():
    patience = Patience()
    for _ in range(5):
        needed(patience)
        patience.put_aside()
        assert needed(patience) == ASIDE * FIRST
        for _ in range(ASIDE):
            patience.found()
