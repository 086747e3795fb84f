"""`node.processes`: what the tasks of a dead zygote had started, on a virtual clock."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dispycos.node import ties
from dispycos.node.processes import Processes


class Clock:
    """What of a loop is used here."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[tuple[float, Callable[..., object], tuple[object, ...]]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, seconds: float, function: Callable[..., object], *args: object) -> None:
        self.timers.append((self.now + seconds, function, args))

    def run(self, most: float) -> None:
        """Until nothing is to come, or so many seconds have passed."""
        until = self.now + most
        while self.timers and self.now < until:
            self.now, function, args = self.timers.pop(0)
            function(*args)


@pytest.mark.parametrize("looks", [3, None], ids=["they end", "they stay"])
def test_processes_that_do_not_end_are_told_once_and_left(
    looks: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    calls: list[float] = []

    def kill_below(pid: int, group: int | None, apart: object) -> list[int]:
        calls.append(clock.now)
        if len(calls) == 1:
            raise OSError(errno.EMFILE, "Too many open files")  # nobody can be looked for now
        return [] if looks is not None and len(calls) > looks else [4711, 4712]

    monkeypatch.setattr(ties, "kill_below", kill_below)
    rights = SimpleNamespace(over_processes=lambda function, *args: function(*args))
    parts: list[Any] = [SimpleNamespace(loop=clock), None, SimpleNamespace(path=tmp_path, rights=rights)]
    processes = Processes(*parts, *[None] * 3)
    processes._end_orphans()
    clock.run(most=100)
    assert not clock.timers
    if looks is not None:
        assert len(calls) == looks + 1 and not caplog.records
    else:
        assert 10 <= clock.now - 100.0 < 10.1
        (said,) = caplog.messages
        assert said == "processes 4711, 4712, which tasks had started, could not be ended in 10 s"
