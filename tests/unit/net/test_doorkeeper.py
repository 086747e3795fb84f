"""Who may knock: bounds on handshakes from strangers."""

from dataclasses import replace

import pytest

from dispycos.config import Limits
from dispycos.net.doorkeeper import Doorkeeper, Repeats, nearly_full, room

LIMITS = replace(Limits(), max_unfinished_handshakes=4, max_unfinished_per_source=2)
FAR = "192.0.2.1"


@pytest.mark.row("SE-15")
def test_unfinished_handshakes_are_bounded_per_source_and_in_all():
    door = Doorkeeper(LIMITS)
    assert [door.admit(FAR, 0.0) for _ in range(3)] == [True, True, False]
    assert [door.admit("192.0.2.2", 0.0) for _ in range(3)] == [True, True, False]
    assert not door.admit("192.0.2.3", 0.0)
    door.leave(FAR)
    assert door.admit("192.0.2.3", 0.0)
    door.check()


@pytest.mark.row("SE-15")
def test_ten_failures_in_a_minute_shut_a_source_out_for_a_minute():
    door = Doorkeeper(LIMITS)
    told = [door.fail(FAR, "wrong key", float(second)) for second in range(10)]
    assert told == [False] * 9 + [True]
    assert not door.admit(FAR, 10.0)
    assert door.admit("192.0.2.2", 10.0)
    assert not door.admit(FAR, 59.9)
    assert door.admit(FAR, 60.1)


@pytest.mark.row("SE-15")
def test_slow_failures_shut_nobody_out():
    door = Doorkeeper(LIMITS)
    for second in range(0, 300, 7):
        door.fail(FAR, "wrong key", float(second))
    assert door.admit(FAR, 300.0)


@pytest.mark.row("SE-15")
def test_loopback_is_never_shut_out():
    door = Doorkeeper(LIMITS)
    for _ in range(100):
        door.fail("127.0.0.1", "wrong key", 0.0)
    assert door.admit("127.0.0.1", 0.0)


@pytest.mark.row("SE-15", "R-38")
def test_a_million_sources_cost_bounded_memory():
    door = Doorkeeper(replace(LIMITS, max_failure_sources=8))
    for number in range(1000):
        door.fail(f"10.0.{number // 250}.{number % 250}", "wrong key", 0.0)
        door.check()


@pytest.mark.row("SE-55")
def test_a_source_is_named_once_in_a_minute_with_the_count_of_what_was_left_out():
    repeats = Repeats(Limits())
    assert repeats.due("a", 0.0) == 0
    assert [repeats.due("a", float(second)) for second in range(1, 60)] == [None] * 59
    assert repeats.due("b", 30.0) == 0
    assert repeats.due("a", 60.0) == 59
    assert repeats.due("a", 120.0) == 0


@pytest.mark.row("SE-55")
def test_each_reason_of_a_source_has_its_line_and_ever_new_ones_share_one():
    repeats = Repeats(Limits())
    assert repeats.due("a", 0.0, "wrong key") == 0
    assert repeats.due("a", 1.0, "other version") == 0
    assert repeats.due("a", 2.0, "wrong key") is None
    assert repeats.due("a", 60.0, "wrong key") == 1
    told = sum(repeats.due("a", 61.0, f"reason {number}") is not None for number in range(1000))
    assert told == 7
    repeats.check()
    assert repeats.due("a", 130.0, "reason 2000") == 993


@pytest.mark.row("SE-55")
def test_lines_about_ever_new_sources_are_remembered_in_bounded_memory():
    repeats = Repeats(Limits())
    for number in range(10_000):
        repeats.due(str(number), 0.0)
        repeats.check()


@pytest.mark.rule("N4")
@pytest.mark.row("R-27", "R-38")
def test_sessions_are_bounded_by_the_limit_or_by_descriptors_whichever_is_less():
    assert room(LIMITS, None) == (20_000, "max_sessions=20000")
    assert room(LIMITS, 1_000_000) == (20_000, "max_sessions=20000")
    most, bound = room(LIMITS, 1024)
    assert most == 960
    assert "1024 descriptors" in bound
    assert room(LIMITS, 64)[0] == 48
    assert not nearly_full(767, 960) and nearly_full(768, 960)
