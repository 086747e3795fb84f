"""The packages that users import: their names are shown, cost nothing before, and are what they say."""

from __future__ import annotations

import importlib

import pytest

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
