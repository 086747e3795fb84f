"""dispycos.progress: how far several Futures are."""

from __future__ import annotations

import asyncio
import io
import os
import time
from pathlib import Path
from typing import Any

import pytest

from dispycos import Client, progress
from tests.process.clusters import LIMIT, opened, scheduled
from tests.unit.client.test_bar import Terminal

pytestmark = pytest.mark.row("DC-66")


def odd_fails(n: int) -> int:
    time.sleep(0.002)
    if n % 2:
        raise ValueError(n)
    return n


def until(path: str) -> None:
    while not os.path.exists(path):
        time.sleep(0.005)


def last_line(stream: io.StringIO) -> str:
    return stream.getvalue().rstrip("\n").rpartition("\r")[2]


@pytest.mark.row("DC-60")
def test_futures_are_given_as_they_complete_and_the_bar_counts_them(cluster: Any) -> None:
    def body(client: Client, task: Any) -> Any:
        terminal = Terminal()
        futures = [client.submit(odd_fails, n) for n in range(50)]
        assert set((yield progress(futures, "all", terminal))) == set(futures)
        assert "50 of 50" in last_line(terminal)
        assert "25 failed" in last_line(terminal)

    scheduled(body)

    with opened() as client:
        terminal = Terminal()
        futures = [client.submit(odd_fails, n) for n in range(200)]
        taken = []
        for future in progress(futures, "some", terminal):
            assert future.done()
            taken.append(future)
        assert set(taken) == set(futures)
        drawn = terminal.getvalue()
        assert drawn.count("\n") == 1
        assert "some" in drawn
        assert "left" in drawn  # on the way
        assert "/s" in drawn
        assert "200 of 200" in last_line(terminal)
        assert "100 failed" in last_line(terminal)

        async def main() -> Any:
            lines = io.StringIO()
            futures = [client.submit(odd_fails, n) for n in range(10)]
            assert set(await progress(futures, "few", lines)) == set(futures)
            return lines.getvalue()

        line = asyncio.run(main())
        assert line.startswith("  few  10 of 10, ")
        assert line.count("\n") == 1


def test_who_does_not_wait_sees_nothing_and_who_stops_waiting_sees_where(
    cluster: Any, tmp_path: Path
) -> None:
    with opened() as client:
        client.submit(odd_fails, 2).result(LIMIT)
        futures = [client.submit(until, str(tmp_path / "go")), client.submit(odd_fails, 2)]
        terminal = Terminal()
        progress(futures, "unseen", terminal)
        assert terminal.getvalue() == ""
        for _ in progress(futures, "seen", terminal):
            break
        assert "1 of 2" in last_line(terminal)
        assert terminal.getvalue().endswith("\n")
        with pytest.raises(TimeoutError, match=r"1 of 2 futures were not done in 0\.05 s: until#"):
            progress(futures, "", terminal).result(0.05)
        (tmp_path / "go").touch()
        assert set(progress(futures, "", terminal).result(LIMIT)) == set(futures)


def test_nothing_to_wait_for_is_done() -> None:
    terminal = Terminal()
    assert progress([], "nothing", terminal).result(LIMIT) == []
    assert "0 of 0" in last_line(terminal)
    with pytest.raises(TypeError, match="fs must be Futures"):
        progress([1])
