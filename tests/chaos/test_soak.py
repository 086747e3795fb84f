"""That a soak sees what grows; and the soak itself, for ten minutes."""

from __future__ import annotations

import sys

import pytest

from tests.chaos.soak import Life, Look
from tests.helpers import run_program


def test_a_process_that_grows_is_seen_and_one_that_breathes_is_not() -> None:
    grows = Life("grows", [Look(5.0 * n, 40 + 0.01 * n, 20 + n // 10) for n in range(120)])
    breathes = Life("breathes", [Look(5.0 * n, 40 + n % 2, 20 + n % 3) for n in range(120)])
    assert grows.rise(100.0) == pytest.approx(1.2)
    assert abs(breathes.rise(100.0) or 0) < 0.1
    assert grows.more_descriptors(100.0) > 8 > breathes.more_descriptors(100.0)
    assert Life("young", grows.looks[:3]).rise(0.0) is None


@pytest.mark.row("R-65")
@pytest.mark.long("ten minutes of load")
@pytest.mark.timeout(900)
def test_under_a_load_that_lasts_nothing_grows() -> None:
    ended = run_program([sys.executable, "-m", "tests.chaos.soak", "--seconds", "600"], timeout=850)
    assert ended.code == 0, ended.out
