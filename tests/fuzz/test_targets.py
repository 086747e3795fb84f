"""What was ever found by fuzzing stays found, each target runs, and a target that is ill is seen."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.fuzz import run
from tests.fuzz.targets import MAX_MEMORY, TARGETS, Fuzzed, check

CRASHES = Path(__file__).with_name("crashes")
FOUND = sorted(path for path in CRASHES.rglob("*") if path.is_file())  # TARGET/anything


@pytest.mark.row("SE-16", "SE-24", "SE-28")
@pytest.mark.parametrize("path", FOUND, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_an_input_that_was_found_once_does_no_harm(path: Path) -> None:
    check(TARGETS[path.parent.name], path.read_bytes())


@pytest.mark.row("SE-16", "SE-24", "SE-28")
@pytest.mark.parametrize("name", TARGETS)
def test_good_inputs_and_parts_of_them_do_no_harm(name: str) -> None:
    for seed in TARGETS[name].seeds:
        for data in (seed, seed[: len(seed) // 2], seed + seed, bytes(len(seed))):
            check(TARGETS[name], data)


def test_an_input_that_costs_too_much_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def grows(data: bytes) -> None:
        assert len(bytes(MAX_MEMORY + 1)) > 0

    def lasts(data: bytes) -> None:
        until = time.process_time() + 0.02
        while time.process_time() < until:
            pass

    with pytest.raises(AssertionError, match="had us hold"):
        check(Fuzzed(grows, ()), b"x")
    monkeypatch.setattr("tests.fuzz.targets.MAX_SECONDS", 0.01)
    with pytest.raises(AssertionError, match="1 bytes took"):
        check(Fuzzed(lasts, ()), b"x")


def test_without_a_guide_the_same_targets_are_tried(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "KEPT", tmp_path)
    run.unguided("chaos", 0.01)
    assert capsys.readouterr().out.startswith("Done ")

    def ill(data: bytes) -> None:
        assert b"=" not in data

    monkeypatch.setitem(TARGETS, "chaos", Fuzzed(ill, TARGETS["chaos"].seeds))
    with pytest.raises(AssertionError):
        run.unguided("chaos", 1.0)
    kept = sorted(tmp_path.iterdir())
    assert kept and all(b"=" in path.read_bytes() for path in kept)
    with pytest.raises(AssertionError):
        run.main(["--repeat", str(kept[0]), "chaos"])


@pytest.mark.row("SE-16", "SE-24", "SE-28")
@pytest.mark.long("half a minute for each target")
@pytest.mark.timeout(900)
def test_half_a_minute_of_fuzzing_finds_nothing() -> None:
    assert run.main(["--seconds", "30"]) == 0
