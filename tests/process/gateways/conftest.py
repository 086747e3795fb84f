"""Gateways for tests: a group of one's own, or a far end that a file's tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dispycos.gateways import Gateway, Group


@pytest.fixture
def group() -> Iterator[Group]:
    made = Group()
    yield made
    made.terminate(5)


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    made = Group()
    yield made.makegateway("popen//id=shared")
    made.terminate(5)
