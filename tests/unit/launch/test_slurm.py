"""What is handed to Slurm, where Slurm is not asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from dispycos import keyfile
from dispycos.launch import slurm


def test_a_container_has_the_key_that_programs_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def key(secret_file: str | None = None) -> str:
        (mount,) = [
            word for word in slurm.in_docker("image", [], [], secret_file) if word.startswith("--mount=")
        ]
        return mount.partition("source=")[2].partition(",")[0]

    monkeypatch.setenv("DISPYCOS_CONFIG", "")
    monkeypatch.delenv("DISPYCOS_SECRET_FILE", raising=False)
    assert key() == str(keyfile.default_path())
    config = tmp_path / "config.toml"
    config.write_text('secret_file = "/keys/set"\n')
    monkeypatch.setenv("DISPYCOS_CONFIG", str(config))
    assert key() == "/keys/set"
    monkeypatch.setenv("DISPYCOS_SECRET_FILE", "/keys/variable")
    assert key() == "/keys/variable"
    assert key("/keys/given") == "/keys/given"
