"""Components are checked where they are named."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dispycos.client.components import check_target, sort_out


class Point:
    def __init__(self, x: int) -> None:
        self.x = x

    def walk(self) -> Iterator[int]:
        yield self.x


def steps(n: int) -> Iterator[int]:
    yield n


async def steps_too(n: int) -> int:
    return n


def plain(n: int) -> int:
    return n


@pytest.mark.row("DC-02")
def test_functions_classes_modules_and_instances_are_told_from_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.txt").write_text("x")

    found = sort_out([steps, Point, Point(1), json, "data.txt", plain])

    # An instance stands for its class, and what is named twice travels once.
    assert found.definitions == (steps, Point, json, plain)
    assert [file.name for file in found.files] == ["data.txt"]


@pytest.mark.row("DC-03")
def test_a_path_below_the_working_directory_keeps_its_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    (here / "in" / "depth").mkdir(parents=True)
    elsewhere.mkdir()
    (here / "in" / "depth" / "a.txt").write_text("a")
    (elsewhere / "b.txt").write_text("b")
    monkeypatch.chdir(here)

    found = sort_out([Path("in/depth/a.txt"), str(elsewhere / "b.txt")])

    assert [file.name for file in found.files] == ["in/depth/a.txt", "b.txt"]


@pytest.mark.row("DC-03")
def test_two_files_that_would_meet_at_the_node_are_refused(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same.txt").write_text(folder)

    with pytest.raises(ValueError, match=r"components\[1\].*same\.txt"):
        sort_out([tmp_path / "one" / "same.txt", tmp_path / "two" / "same.txt"])


@pytest.mark.row("DC-01", "DC-02")
@pytest.mark.parametrize(
    ("component", "error"),
    [
        (42, TypeError),
        (None, TypeError),
        ({}, TypeError),
        ("no/such/file", ValueError),
        (b"bytes", TypeError),
    ],
)
def test_what_cannot_be_shipped_is_refused_by_its_place(component: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"components\[1\]"):
        sort_out([steps, component])


@pytest.mark.row("DC-02")
def test_a_directory_is_no_file_component(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a regular file"):
        sort_out([tmp_path])


@pytest.mark.row("DC-01")
@pytest.mark.parametrize("components", ["name", None, 3, steps])
def test_components_must_be_a_list(components: Any) -> None:
    with pytest.raises(TypeError, match="components must be a list"):
        sort_out(components)


@pytest.mark.row("DC-21")
@pytest.mark.parametrize(
    "target", [steps, steps_too, Point(1).walk, functools.partial(steps, 3), functools.partial(steps_too)]
)
def test_generator_functions_and_async_functions_are_targets(target: Any) -> None:
    assert check_target(target) is target


@pytest.mark.row("DC-21")
@pytest.mark.parametrize("target", [plain, None, "steps", Point, functools.partial(plain, 1), len])
def test_any_other_target_is_a_type_error_that_names_it(target: Any) -> None:
    with pytest.raises(
        TypeError, match=r"generator function \(one with a `yield`\) or `async def`"
    ) as refused:
        check_target(target)
    assert ("client.submit(f, ...) calls any function" in str(refused.value)) is callable(target)
