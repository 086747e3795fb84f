"""Liveness: keep-alives, suspicion, forgiveness, dialling again, and when a peer is gone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispycos.config import Limits
from dispycos.net.liveness import (
    TRANSITIONS,
    Cause,
    Dial,
    KeepAlive,
    Level,
    Liveness,
    Lost,
    Recovered,
    Redial,
    Suspected,
)

LIMITS = replace(Limits(), keepalive=2.0, suspect_after=6.0)


def connected(now: float = 0.0, *, dials: bool = False) -> Liveness:
    life = Liveness(LIMITS, now, dials=dials)
    assert life.connected(now) == []
    assert life.level is Level.RESPONSIVE
    return life


def kinds(actions: list) -> list[type]:
    return [type(action) for action in actions]


def test_a_keepalive_is_due_after_our_own_silence_only() -> None:
    life = connected()
    assert life.next_deadline() == 2.0
    life.said(1.5)
    life.heard(1.5)
    assert life.next_deadline() == 3.5
    assert life.tick(3.4) == []
    assert life.tick(3.5) == [KeepAlive()]
    assert life.tick(3.6) == []
    assert life.next_deadline() == 5.5


def test_silence_makes_a_peer_suspect_after_3_k_and_never_lost() -> None:
    life = connected()
    for now in (2.0, 4.0, 5.9):
        assert Suspected not in kinds(life.tick(now))
    assert kinds(life.tick(6.0)) == [KeepAlive, Suspected]
    assert life.level is Level.SUSPECT
    now = 6.0
    while now < 1000:
        now += 2.0
        assert set(kinds(life.tick(now))) <= {KeepAlive}
    assert life.level is Level.SUSPECT


def test_a_word_brings_a_suspect_back() -> None:
    life = connected()
    for now in (2.0, 4.0, 6.0):
        life.tick(now)
    assert life.heard(6.5) == [Recovered()]
    assert life.level is Level.RESPONSIVE
    assert life.heard(6.6) == []


def test_a_broken_connection_makes_a_peer_suspect_at_once() -> None:
    life = connected()
    assert kinds(life.broke(1.0)) == [Suspected]
    assert life.broke(1.1) == []
    assert life.heard(1.2) == []
    assert life.connected(2.0) == [Recovered()]


@pytest.mark.row("R-46")
def test_a_gap_in_our_own_clock_is_no_evidence_against_the_peer() -> None:
    life = connected()
    # The loop was to come back at 2 and comes back at 62.
    assert kinds(life.tick(62.0)) == [KeepAlive]
    assert life.level is Level.RESPONSIVE
    for now in (64.0, 66.0):
        assert Suspected not in kinds(life.tick(now))
    assert Suspected in kinds(life.tick(68.0))


@pytest.mark.row("R-46")
def test_a_loop_that_is_a_little_late_still_sees_silence() -> None:
    life = connected()
    actions = []
    for _ in range(2):
        deadline = life.next_deadline()
        assert deadline is not None
        actions += life.tick(deadline + 1.9)
    assert Suspected in kinds(actions)


def test_a_peer_that_we_cannot_dial_is_waited_for() -> None:
    life = connected()
    life.broke(1.0)
    assert life.next_deadline() is None
    assert life.tick(100.0) == []


def vanished(now: float) -> Liveness:
    """A peer without an address, whose connection broke at `now`."""
    life = Liveness(LIMITS, 0.0, dials=True)
    life.connected(0.0)
    assert kinds(life.broke(now)) == [Suspected]
    return life


def wait_for(life: Liveness) -> tuple[float, list]:
    """Let time pass as a punctual loop would, without an address to dial; when and how it ended."""
    for _ in range(100_000):
        now = life.next_deadline()
        assert now is not None
        for action in life.tick(now):
            assert action == Dial()
            end = life.no_address(now, 0.5)
            if end:
                return now, end
    raise AssertionError("it was waited for for ever")


@pytest.mark.row("R-14", "R-15", "R-19")
def test_a_vanished_peer_without_an_address_is_given_up_after_h_and_not_before() -> None:
    life = vanished(100.0)
    now, end = wait_for(life)
    assert now == 100.0 + LIMITS.unreachable_kept
    assert kinds(end) == [Lost]
    assert "did not come back in 1000 s" in end[0].reason
    assert life.level is Level.LOST


@pytest.mark.row("R-16")
def test_a_peer_without_an_address_has_h_anew_each_time_it_was_there() -> None:
    life = vanished(100.0)
    assert kinds(life.tick(100.1)) == [Dial]
    assert life.no_address(100.1, 0.5) == []
    assert kinds(life.connected(1000.0)) == [Recovered]
    life.broke(1001.0)
    now, _end = wait_for(life)
    assert now == 1001.0 + LIMITS.unreachable_kept


@pytest.mark.row("R-46")
def test_our_own_absence_is_not_counted_against_a_peer_that_could_not_reach_us() -> None:
    life = vanished(100.0)
    assert kinds(life.tick(5000.0)) == [Dial]
    assert life.no_address(5000.0, 0.5) == []
    now, _end = wait_for(life)
    assert now == 5000.0 + LIMITS.unreachable_kept


@pytest.mark.row("R-50")
def test_delays_double_up_to_the_longest_with_jitter() -> None:
    redial = Redial(LIMITS, 30.0)
    assert [redial.delay(0.5) for _ in range(11)] == [
        0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0,
    ]  # fmt: skip
    assert redial.delay(0.0) == 15.0
    assert redial.delay(1.0) == 45.0
    redial.reset()
    assert redial.delay(0.5) == 0.1


@pytest.mark.row("R-50")
def test_a_peer_that_was_never_reached_is_dialled_for_ever_and_never_lost() -> None:
    life = Liveness(LIMITS, 0.0, dials=True)
    now, dials = 0.0, []
    while now < 600:
        assert life.next_deadline() == pytest.approx(now)
        assert life.tick(now) == [Dial()]
        assert life.tick(now) == []
        assert life.next_deadline() is None
        dials.append(now)
        assert life.dial_failed(True, now, 0.5) == []
        deadline = life.next_deadline()
        assert deadline is not None
        now = deadline
    assert life.level is Level.NEW
    assert len(dials) < 400


@pytest.mark.row("R-50", "R-16")
def test_a_link_that_breaks_each_time_after_a_second_is_dialled_as_a_suspect() -> None:
    life = Liveness(LIMITS, 0.0, dials=True)
    now, waits = 0.0, []
    life.connected(now)
    for _ in range(9):
        now += 1.0
        life.broke(now)
        deadline = life.next_deadline()
        assert deadline is not None
        assert life.tick(deadline) == [Dial()]
        waits.append(deadline - now)
        now = deadline
        life.connected(now)
    assert waits == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.0, 3.0, 3.0, 3.0])


@pytest.mark.row("R-50")
def test_a_suspect_is_dialled_every_3_seconds_at_last() -> None:
    life = connected(dials=True)
    life.broke(10.0)
    now = 10.0
    gaps = []
    for _ in range(20):
        deadline = life.next_deadline()
        assert deadline is not None
        gaps.append(deadline - now)
        now = deadline
        assert life.tick(now) == [Dial()]
        life.dial_failed(False, now, 0.5)
    assert gaps[0] == pytest.approx(0.1)
    assert gaps[-1] == pytest.approx(3.0)
    assert life.level is Level.SUSPECT


@pytest.mark.parametrize("fraction", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("hung", [0, 1, 20])
def test_three_refusals_in_5_seconds_prove_that_it_is_gone_however_long_it_was_silent(
    fraction: float, hung: int
) -> None:
    life = connected(dials=True)
    life.broke(10.0, fraction)
    now = 10.0
    for number in range(hung + 3):
        deadline = life.next_deadline()
        assert deadline is not None
        now = deadline
        assert life.tick(now) == [Dial()]
        if number == hung:
            began = now
        actions = life.dial_failed(number >= hung, now, fraction)
    assert kinds(actions) == [Lost]
    assert now - began < LIMITS.refusal_window
    assert life.level is Level.LOST
    assert life.next_deadline() is None
    assert life.tick(now + 100) == []


def test_refusals_far_apart_prove_nothing() -> None:
    redial = Redial(LIMITS, 3.0)
    assert not any(redial.refused(now) for now in (0.0, 2.0, 5.0, 7.5, 10.5))
    assert redial.refused(11.0)


def test_a_lost_peer_stays_lost() -> None:
    life = connected()
    assert life.gone("its parent saw it end", 1.0) == [Lost("its parent saw it end")]
    assert life.gone("again", 2.0) == []
    assert life.connected(3.0) == []
    assert life.broke(4.0) == []
    assert life.level is Level.LOST
    assert "its parent saw it end" in life.story()


def test_a_flapping_link_is_dialled_at_most_once_a_second() -> None:
    life = connected(dials=True)
    dials, now, up, breaks = 0, 0.0, True, 1.0
    # 1 s up, 1 s down; each change is noticed at once, which is the worst case.
    for step in range(6000):
        now = step / 100
        if now >= breaks:
            up, breaks = not up, breaks + 1.0
            if not up:
                life.broke(now)
        for action in life.tick(now):
            if isinstance(action, Dial):
                dials += 1
                if up:
                    life.connected(now)
                else:
                    life.dial_failed(False, now, 0.5)
    assert dials <= 60


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["tick", "heard", "said", "connected", "broke", "failed", "refused", "nowhere", "gone"]
        ),
        st.floats(0.0, 10.0),
        st.floats(0.0, 1.0),
    ),
    max_size=80,
)


@settings(max_examples=150)
@given(STEPS, st.booleans())
def test_invariants_hold_whatever_happens(steps: list[tuple[str, float, float]], dials: bool) -> None:
    life = Liveness(LIMITS, 0.0, dials=dials)
    now = 0.0
    for verb, delay, fraction in steps:
        now += delay
        before = life.level
        if verb == "tick":
            life.tick(now)
            deadline = life.next_deadline()
            assert deadline is None or deadline >= now
        elif verb == "heard":
            life.heard(now)
        elif verb == "said":
            life.said(now)
        elif verb == "connected":
            life.connected(now)
        elif verb == "broke":
            life.broke(now, fraction)
        elif verb == "gone":
            life.gone("test", now)
        elif dials and verb == "nowhere":
            life.no_address(now, fraction)
        elif dials:
            life.dial_failed(verb == "refused", now, fraction)
        life.check()
        assert before is not Level.LOST or life.level is Level.LOST


def test_every_level_but_new_can_be_lost_and_none_comes_back_from_it() -> None:
    assert all(TRANSITIONS[level, Cause.GONE] is Level.LOST for level in Level)
    assert {target for (level, _), target in TRANSITIONS.items() if level is Level.LOST} == {Level.LOST}
