"""What a program that Ctrl-C ends says of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

import dispycos
from dispycos.kernel import program

LIBRARY = os.path.dirname(os.__file__)
OURS = os.path.dirname(dispycos.__file__)


def calls(file: str) -> Callable[..., Any]:
    """A function of that file: it calls the first of its arguments with the others, or is interrupted."""
    names: dict[str, Any] = {}
    text = """
def call(next=None, *others):
    if next is None:
        raise KeyboardInterrupt
    next(*others)
"""
    exec(compile(text, file, "exec"), names)
    call: Callable[..., Any] = names["call"]
    return call


@pytest.mark.row("GN-06")
@pytest.mark.parametrize(
    ("files", "named"),
    [
        (["job.py"], "job.py"),
        (["job.py", f"{OURS}/client/client.py", f"{LIBRARY}/threading.py"], "job.py"),
        (["<frozen runpy>", f"{OURS}/compat/__main__.py", "job.py", f"{OURS}/joblib.py"], "job.py"),
        (["job.py", f"{LIBRARY}/site-packages/numpy/linalg.py"], f"{LIBRARY}/site-packages/numpy/linalg.py"),
        ([f"{LIBRARY}/timeit.py"], f"{LIBRARY}/timeit.py"),
    ],
    ids=["in it", "in a wait of ours", "run by us", "in a package", "of Python's own"],
)
def test_ctrl_c_is_told_by_the_last_line_of_the_programs_own(
    capsys: pytest.CaptureFixture[str], files: list[str], named: str
) -> None:
    first, *others = map(calls, files)
    with pytest.raises(KeyboardInterrupt) as caught:
        first(*others)
    assert caught.tb.tb_next is not None
    program._tell(KeyboardInterrupt, caught.value, caught.tb.tb_next)  # without the line of this test
    assert capsys.readouterr().err.startswith(f"KeyboardInterrupt in {named}, line ")
