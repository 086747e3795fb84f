"""Heads of a gateway's messages, from an end that keeps the rules and from one that does not."""

from __future__ import annotations

import pytest

from dispycos.errors import RemoteProtocolError
from dispycos.gateways import wire


@pytest.mark.parametrize("kind", range(wire.EXECUTE, wire.STATUS + 1))
def test_a_head_says_what_it_was_made_of(kind):
    assert wire.read(wire.head(kind, 2**32 - 1, 2**64 - 1)) == (kind, 2**32 - 1, 2**64 - 1)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        wire.head(wire.ITEM, 1)[:-1],
        wire.head(wire.ITEM, 1) + b"x",
        wire.head(99, 1),
        wire.head(wire.ITEM, 0),
    ],
)
def test_what_is_no_head_is_refused(data):
    with pytest.raises(RemoteProtocolError):
        wire.read(data)


def test_any_item_finds_credit_when_all_that_was_told_is_there():
    # The receiver keeps back less than a lot, and a window less a lot lets any item go.
    assert wire.ENOUGH + wire.LOT <= wire.WINDOW
