"""The founding document's examples, run as a user would, with their durations cut down."""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path
from types import ModuleType

from tests.helpers import ROOT, Finished, run_python

FOLDER = ROOT / "examples"
LIBRARY = Path(os.__file__).parent

LOCATION = r"(\S+:\d+)"


def run(name: str, *args: str, code: int = 0, scale: float = 0.1, **more: object) -> list[str]:
    """What an example prints, once it has ended with `code`."""
    found = end_of(name, *args, "--scale", str(scale), **more)
    assert found.code == code, found.err
    return found.out.splitlines()


def end_of(name: str, *args: str, **more: object) -> Finished:
    """How an example ends."""
    return run_python(FOLDER / f"{name}.py", *args, timeout=40, **more)  # type: ignore[arg-type]


def parsed(pattern: str, lines: list[str]) -> list[tuple[str, ...]]:
    """What the groups of `pattern` stand for in each line; every line must match."""
    found = [re.fullmatch(pattern, line) for line in lines]
    assert all(found), (pattern, lines)
    return [match.groups() for match in found if match]


def module(name: str) -> ModuleType:
    """An example as a module, whose functions a test calls or replaces."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded
