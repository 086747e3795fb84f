"""`node.figures`: what can't be measured is not known, and stops nothing."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dispycos.node.figures import Figures, MemoryWatch


@contextmanager
def nothing_opens() -> Iterator[None]:
    """This process gets no new descriptor."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.row("R-27", "DN-37")
def test_a_node_without_a_descriptor_left_knows_less_and_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("psutil")
    figures, watch = Figures(str(tmp_path)), MemoryWatch()
    with nothing_opens():
        seen = figures.measure()
        text = watch.explain("killed", 0)
    assert (seen.cpu, seen.memory, seen.swap) == (None, None, None)
    assert text.startswith("killed")
    assert figures.measure().memory
