"""The `network` fixture: hosts on one switch, or a visible skip; and their key."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from dispycos import keyfile
from tests import helpers
from tests.netns.hosts import Network, Unavailable


@pytest.fixture
def network() -> Iterator[Callable[[int], Network]]:
    """`network(3)` makes a network of three hosts, removed after the test."""
    with ExitStack() as stack:

        def make(hosts: int) -> Network:
            try:
                return stack.enter_context(Network(hosts))
            except Unavailable as exc:
                helpers.unavailable("netns", str(exc))

        yield make


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    keyfile.create(path)
    return path
