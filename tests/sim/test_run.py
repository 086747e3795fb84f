"""`make sim`: what fails is named, and repeated by its seed."""

from __future__ import annotations

import pytest

from tests.sim import run


def fails_at_seven(seed: int) -> None:
    print("the story of", seed)
    assert seed != 7, "the seventh"


@pytest.mark.row("R-55")
def test_a_seed_that_fails_is_named_with_the_command_that_repeats_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "SCENARIOS", {"well": lambda seed: None, "ill": fails_at_seven})
    monkeypatch.setenv("DISPYCOS_TRACE", "0")
    assert run.main(["--first", "0", "--seeds", "7", "--processes", "1"]) == 0
    assert "14 runs" in capsys.readouterr().out
    assert run.main(["--first", "3", "--seeds", "9", "--processes", "2"]) == 1
    told = capsys.readouterr().out
    assert "sim: ill, seed 7: AssertionError: the seventh" in told and "make sim SEED=7" in told
    assert "18 runs" in told and "1 failed" in told
    assert run.main(["--seed", "7"]) == 1
    assert "the story of 7\nsim: ill, seed 7" in capsys.readouterr().out


@pytest.mark.row("R-55")
@pytest.mark.long("thousands of seeds, some minutes")
@pytest.mark.timeout(1800)
def test_thousands_of_seeds_end_well() -> None:
    assert run.main([]) == 0
