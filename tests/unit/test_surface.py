"""The packages that users import: their names are shown, cost nothing before, and are what they say."""

from __future__ import annotations

import importlib
import re
from types import ModuleType

import pytest

import dispycos
from dispycos import config
from dispycos.surface import on_use


@pytest.mark.parametrize("name", ["gateways", "rpc", "rpc.utils", "easycluster", "workers"])
def test_all_names_of_a_package_are_shown_and_found(name: str) -> None:
    package = importlib.import_module(f"dispycos.{name}")
    assert set(package.__all__) <= set(dir(package))
    assert all(getattr(package, known) is not None for known in package.__all__)
    with pytest.raises(AttributeError, match=rf"^module 'dispycos.{name}' has no attribute 'nothing'$"):
        _ = package.nothing


def test_a_name_is_read_once_and_may_be_called_otherwise_or_be_the_module_itself() -> None:
    package = {"__name__": "it", "own": 1}
    find, names = on_use(
        package, {"Event": "kernel.sync", "Bell": "kernel.sync:Event", "sync": "kernel.sync:"}
    )
    sync = importlib.import_module("dispycos.kernel.sync")
    assert find("sync") is sync
    assert find("Event") is find("Bell") is sync.Event is package["Bell"]
    assert names() == ["Bell", "Event", "__name__", "own", "sync"]


def test_a_name_may_be_read_anew_each_time_and_need_other_modules_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    imported: list[str] = []
    really = importlib.import_module

    def import_module(name: str) -> ModuleType:
        imported.append(name)
        return really(name)

    monkeypatch.setattr(importlib, "import_module", import_module)
    find, names = on_use(
        {"__name__": "it"}, {"NetPort": "config"}, anew={"NetPort"}, before=lambda name: ("log", "model")
    )
    for port in (4711, 4712):
        monkeypatch.setattr(config, "NetPort", port)
        assert find("NetPort") == port
    assert imported == ["dispycos.log", "dispycos.model", "dispycos.config"] * 2
    assert names() == ["NetPort", "__name__"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("workspaces", "module 'dispycos' has no attribute 'workspaces'"),
        # Files that come along, in no module.
        ("data", "module 'dispycos' has no attribute 'data'"),
        ("testing", "dispycos.testing is a module: `import dispycos.testing` before it is used"),
        ("workers", "dispycos.workers is a module: `import dispycos.workers` before it is used"),
    ],
)
def test_what_the_package_has_not_is_said_in_its_own_words(
    name: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(f"dispycos.{name}", raising=False)  # it is there once it was imported
    with pytest.raises(AttributeError, match=rf"^{re.escape(text)}$"):
        getattr(dispycos, name)
