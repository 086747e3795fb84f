"""Clients and clusters as contexts, where the way into the block is cut off."""

from __future__ import annotations

import asyncio

import pytest

from dispycos import Client, LocalCluster
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


def test_a_cluster_that_would_hold_a_running_loop_up_is_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LocalCluster, "start", lambda cluster: pytest.fail("it is started"))

    async def main() -> None:
        with pytest.raises(RuntimeError, match="use `async with` for a LocalCluster"), LocalCluster(1):
            pytest.fail("the block is entered")
        with pytest.raises(RuntimeError, match="would block the running event loop"):
            LocalCluster(1).executor()

    asyncio.run(main())
