"""What the tests of attacks share: an honest pair, and a log that must stay clean."""

from __future__ import annotations

import logging
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from tests.io.hostile import OTHER, K, Party, cluster, meet


@pytest.fixture
def clean_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No fault of ours, no secret, nothing that forges a line; of each reason one refusal per listener."""
    caplog.set_level(logging.DEBUG)
    yield
    refusals: Counter[str] = Counter()
    for record in caplog.get_records("call"):
        text = record.getMessage()
        assert record.levelno < logging.ERROR and not record.exc_info, text
        assert text.isprintable(), text
        for key in (K, OTHER):
            assert key.reveal().hex() not in text and repr(key.reveal()) not in text
        if "refused a connection" in text:
            refusals[text.partition(" (and ")[0]] += 1
    # A source that has ever new reasons has eight lines of its own, and one for all others.
    assert max(refusals.values(), default=0) <= 2 and len(refusals) <= 9


@pytest.fixture
def parties() -> Iterator[Callable[..., Party]]:
    """Makes honest processes, and closes them."""
    with cluster(K) as make:
        yield make


@pytest.fixture
def one(parties: Callable[..., Party]) -> Party:
    """Who is attacked."""
    return parties("one")


@pytest.fixture
def other(parties: Callable[..., Party], one: Party) -> Party:
    """Who has an honest session with it."""
    other = parties("other")
    meet(other, one)
    return other


@pytest.fixture
def traced() -> Iterator[None]:
    """Let `traced_bytes` answer."""
    tracemalloc.start()
    yield
    tracemalloc.stop()
