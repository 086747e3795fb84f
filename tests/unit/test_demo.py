"""What the demo counts, and that adding up in any order gives the same."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from dispycos import demo
from dispycos.demo import (
    Counted,
    Figures,
    Share,
    count_file,
    gain,
    in_batches,
    source_files,
    table,
)
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
    ("seconds", "servers", "busy", "faster", "why"),
    [
        (2.6, 4, 0.1, "3.8 times as fast", ""),
        (5.0, 4, 6.5, "2.0 times as fast", "6.5 other processes wanted the 4 processors here"),
        (12.0, 1, 0.1, "no faster", "one server does one thing at a time"),
        (4.0, 8, 0.1, "2.5 times as fast", "8 servers share the 4 processors"),
        (0.9, 16, 0.1, "11.1 times as fast", "16 servers share the 4 processors"),
        (5.0, 4, 0.1, "2.0 times as fast", "this program itself took 0.7 s of the same 4 processors"),
    ],
)
def test_what_the_cluster_gained_is_told_and_why_it_was_not_more(
    seconds: float, servers: int, busy: float, faster: str, why: str
) -> None:
    counted = Counted(Figures(), {}, seconds, own=0.7)
    told = gain(counted, 10.0, 1.5, servers, 4, busy)
    assert f"counting took 10.0 s alone, {seconds:.1f} s with {servers} server" in told
    assert told.splitlines()[0].endswith(faster)
    assert "starting and ending the cluster took 1.5 s" in told
    assert why in told and ("why not more" in told) == bool(why)


def test_little_work_gains_little() -> None:
    assert "this is little work" in gain(Counted(Figures(), {}, 0.2, own=0.1), 0.2, 1.0, 2, 2, 0.0)


def test_too_few_processors_are_told_before_anything_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        demo.main(["-c", "-999"])
    assert "--cpus -999 leaves no processor" in capsys.readouterr().err
