"""Clients and clusters as contexts, where the way into the block is cut off."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from dispycos import Client, LocalCluster
from dispycos.kernel import program
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


@pytest.mark.row("R-20")
@pytest.mark.parametrize("before", [None, KeyboardInterrupt()], ids=["first", "second"])
def test_ctrl_c_while_a_client_closes_ends_it_and_a_second_one_waits_for_nothing(
    monkeypatch: pytest.MonkeyPatch, before: KeyboardInterrupt | None
) -> None:
    client, asked = Client(), []
    interrupted = Operation()
    interrupted.fail(KeyboardInterrupt())
    monkeypatch.setattr(Client, "close", lambda client, terminate: asked.append(terminate) or interrupted)
    client._work = SimpleNamespace(abandon=lambda: asked.append("abandon"))  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        client.__exit__(None if before is None else KeyboardInterrupt, before, None)
    assert asked == ([False, True] if before is None else [True, True, "abandon"])


@pytest.mark.row("R-20")
@pytest.mark.parametrize("again", [False, True], ids=["first", "second"])
def test_ctrl_c_while_a_client_closed_has_its_cluster_end_the_nodes_first(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, again: bool
) -> None:
    cluster, steps = LocalCluster(1), []
    monkeypatch.setattr(cluster, "_end_nodes", lambda network: steps.append("nodes"))
    monkeypatch.setattr(cluster, "close", lambda: steps.append("close"))
    first, error = KeyboardInterrupt(), KeyboardInterrupt()
    if again:
        program.say_interrupted("the tasks of this client", first)
        error.__context__ = ValueError()
        error.__context__.__context__ = first
    cluster.__exit__(KeyboardInterrupt, error, None)
    assert steps == (["nodes", "close"] if again else ["close"])
    assert caplog.text.count("interrupted: ending the tasks of this c") == 1


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
