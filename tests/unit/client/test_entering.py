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


@pytest.mark.row("DC-60")
def test_what_of_a_cluster_would_hold_a_running_loop_up_says_what_to_write(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(LocalCluster, "_join", lambda cluster: pytest.fail("it is started"))
    idle = LocalCluster(1)

    async def main() -> None:
        for call in (idle.__enter__, idle.start, idle.executor, idle.kill):
            refused = "LocalCluster: .* here would block the running event loop: use "
            with pytest.raises(RuntimeError, match=refused):
                call()
        await idle.close()

    asyncio.run(main())
