"""Clients as contexts, where the way into the block is cut off."""

from __future__ import annotations

import pytest

from dispycos import Client
from dispycos.kernel.operation import Operation


def test_an_interrupt_while_a_turn_is_waited_for_gives_the_turn_up(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []
    interrupted = Operation()
    interrupted.fail(KeyboardInterrupt())
    monkeypatch.setattr(Client, "schedule", lambda client: interrupted)
    monkeypatch.setattr(Client, "close", lambda client, terminate: closed.append(terminate))
    with pytest.raises(KeyboardInterrupt), Client():
        pytest.fail("the block is entered")
    assert closed == [True]
