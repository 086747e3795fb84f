"""What the demo counts, and that adding up in any order gives the same."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from dispycos.demo import Figures, Share, count_file, in_batches, remark, source_files, table
from dispycos.model import Location

SOURCE = '''\
"""A module."""
import os, sys
import os.path
from collections import abc
from . import sibling


class Thing:
    def short(self):
        return os

    async def long(self):
        a = 1
        b = 2
        return a + b
'''


@pytest.fixture
def library(tmp_path: Path) -> Path:
    (tmp_path / "package").mkdir()
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "package" / "thing.py").write_text(SOURCE)
    (tmp_path / "broken.py").write_text("print 'python 2'\n")
    (tmp_path / "latin.py").write_bytes(b"x = '\xf6'  # without a declaration\n")
    (tmp_path / "nul.py").write_bytes(b"x = 1\0\n")
    (tmp_path / "empty.py").write_text("")
    (tmp_path / "site-packages" / "other.py").write_text("import sys\n")
    (tmp_path / "notes.txt").write_text("no Python\n")
    return tmp_path


def test_a_file_is_counted(library: Path) -> None:
    assert count_file(str(library), "package/thing.py") == Figures(
        files=1,
        lines=15,
        functions=2,
        classes=1,
        modules=Counter(os=1, sys=1, collections=1),
        longest=(4, "long", "package/thing.py"),
    )


@pytest.mark.parametrize("name", ["broken.py", "latin.py", "nul.py"])
def test_of_a_file_that_is_no_python_only_the_lines_count(library: Path, name: str) -> None:
    assert count_file(str(library), name) == Figures(files=1, lines=1, not_python=1)


def test_installed_packages_are_left_out(library: Path) -> None:
    assert source_files(library) == ["broken.py", "empty.py", "latin.py", "nul.py", "package/thing.py"]


def test_the_order_of_adding_up_does_not_matter(library: Path) -> None:
    names = source_files(library)
    forth, back = Figures(), Figures()
    for name in names:
        forth.add(count_file(str(library), name))
    for name in reversed(names):
        back.add(count_file(str(library), name))

    assert forth == back
    assert forth.files == 5


def test_each_file_is_in_one_batch(library: Path) -> None:
    names = source_files(library)
    for count in (1, 2, 3, 20):
        batches = in_batches(library, names, count)

        assert len(batches) <= count
        assert sorted(name for batch in batches for name in batch) == names


def test_the_table_names_every_server_and_the_busiest_import(library: Path) -> None:
    figures = Figures()
    figures.add(count_file(str(library), "package/thing.py"))
    shares = {Location("127.0.0.1", 5): Share({0, 2}, 1, 16), Location("127.0.0.1", 4): Share()}

    text = table(figures, shares)

    assert "long in package/thing.py, 4 lines" in text
    assert text.index("127.0.0.1:4 ") < text.index("127.0.0.1:5 ")
    assert "collections" in text


@pytest.mark.parametrize(
    ("together", "servers", "busy", "said"),
    [
        (5.0, 4, 9.0, ""),
        (9.0, 4, 6.5, "6.5 other processes want the 4 processors here"),
        (12.0, 1, 0.1, "one server can't be"),
        (9.0, 4, 0.1, "this is little work"),
    ],
)
def test_a_cluster_that_was_no_faster_is_explained(
    together: float, servers: int, busy: float, said: str
) -> None:
    told = remark(together, 10.0, servers, busy, 4)
    assert said in told and bool(said) == bool(told)
