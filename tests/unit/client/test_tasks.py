"""What a program sends to a task of its client takes one way at a time, so that it keeps its order."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from dispycos.client.submission import Stage, Submission
from dispycos.client.tasks import ClientTask
from dispycos.model import CodeHash, Incarnation, Location
from dispycos.net import remote

SERVER = Incarnation(b"s" * 16)


class Maker:
    """A driver that keeps what is to be said to a task, and the carrier of what is said at once."""

    def __init__(self) -> None:
        self.kernel: Any = None
        self.endpoint: Any = None
        self.held = 0
        self.sent: list[Any] = []

    def hold(self, task: Submission, say: Callable[[], object]) -> bool:
        self.held += 1
        return False

    def send(self, handle: ClientTask, value: Any) -> int:
        self.sent.append(value)
        return 0

    def cancel(self, *args: Any) -> bool:
        raise AssertionError("nobody cancels here")

    def why_waiting(self, id: int) -> str:
        raise AssertionError("nobody waits here")

    def must_be_here(self) -> None:
        raise AssertionError("nobody waits here")


@pytest.fixture
def maker(monkeypatch: pytest.MonkeyPatch) -> Maker:
    maker = Maker()
    monkeypatch.setattr(remote, "carrier", maker)
    return maker


@pytest.mark.row("DC-23")
@pytest.mark.parametrize("parked", [False, True], ids=["nothing waits", "something waits"])
def test_what_is_sent_goes_straight_there_unless_something_waits_before_it(
    maker: Maker, parked: bool
) -> None:
    handle = ClientTask.wanted(maker, 1, "compute", 7)
    handle._submission = task = Submission(1, CodeHash(b"h"), None, pinned=True)
    task.stage, task.parked = Stage.SENT, parked
    task.server = SimpleNamespace(incarnation=SERVER)
    handle.place((SERVER, Location("127.0.0.1", 9707)))

    assert handle.send("hello") == 0
    assert (maker.held, maker.sent) == ((1, []) if parked else (0, ["hello"]))
