"""The commands of `dispycos` that are no scheduler."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dispycos import keyfile
from tests.helpers import run_program

DISPYCOS = [sys.executable, "-m", "dispycos"]


@pytest.mark.row("SE-05", "SE-02")
def test_a_key_is_made_once_and_its_fingerprint_shown(tmp_path: Path) -> None:
    path = tmp_path / "key"
    code, made, err = run_program([*DISPYCOS, "key", "new", str(path)])
    assert code == 0, err
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text().split()[-1] not in made
    assert made.split() == keyfile.fingerprints(path)
    assert run_program([*DISPYCOS, "key", "fingerprint", str(path)])[:2] == (0, made)
    code, out, err = run_program([*DISPYCOS, "key", "new", str(path)])
    assert (code, out) == (1, "") and f"{path} exists" in err


@pytest.mark.row("DS-02")
@pytest.mark.parametrize(
    "arguments", [["key"], ["key", "old"], ["dockerfile", "x"], ["why", "a", "b"], ["nonsense"]]
)
def test_wrong_use_of_a_command_ends_with_2_and_says_how_it_is_used(arguments: list[str]) -> None:
    code, out, err = run_program([*DISPYCOS, *arguments])
    assert (code, out) == (2, "")
    assert f"dispycos {arguments[0]}" in err or "is no command" in err
