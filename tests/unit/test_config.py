"""Limits and the founding document's names: each does something."""

from __future__ import annotations

import functools
import re
from dataclasses import fields
from pathlib import Path

import pytest

from dispycos import config
from dispycos.config import Limits
from tests.helpers import ROOT

PACKAGE = ROOT / "dispycos"
NAMES = [name for name in vars(config) if re.fullmatch(r"[A-Z]\w*", name) and name not in ("Limits", "GIB")]


@functools.cache
def _words() -> set[str]:
    """What stands in the package, the façade and `config` itself aside."""
    sources = set(PACKAGE.rglob("*.py")) - {PACKAGE / "__init__.py", PACKAGE / "config.py"}
    return {word for source in sources for word in re.findall(r"\w+", source.read_text())}


@pytest.mark.rule("N4")
@pytest.mark.parametrize("name", [field.name for field in fields(Limits)])
def test_a_limit_is_kept_somewhere(name: str) -> None:
    assert name in _words(), f"nobody reads Limits.{name}"


@pytest.mark.row("KE-33")
@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_the_founding_document_means_something(name: str) -> None:
    taken_up = re.search(rf"\b{name}\b", Path(config.__file__).read_text().partition("def limits")[2])
    assert taken_up or name in _words(), f"nobody reads config.{name}"


@pytest.mark.row("KE-33")
def test_a_program_may_say_that_fewer_refusals_prove_a_peer_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert config.limits().refusals_until_lost == Limits().refusals_until_lost
    monkeypatch.setattr(config, "MaxConnectionErrors", 1)
    monkeypatch.setattr(config, "MsgTimeout", 3)
    assert config.limits().refusals_until_lost == 1
    assert config.limits().request_timeout == 3.0
