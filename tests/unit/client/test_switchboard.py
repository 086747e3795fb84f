"""The clients of one process: what they are called, and what all of them are told."""

from __future__ import annotations

from typing import Any

from dispycos.client.orders import NoneComes
from dispycos.client.switchboard import Switchboard


class Endpoint:
    """Takes handlers, and hears nothing."""

    def handle(self, kind: Any, handler: Any, **how: Any) -> None: ...
    def watch(self, watcher: Any) -> None: ...


class Driver:
    """What it is fed."""

    def __init__(self) -> None:
        self.fed: list[Any] = []
        self.feed = self.fed.append


def add(switchboard: Switchboard, driver: Any) -> str:
    return switchboard.add(driver, lambda peer, message: False, "here")


def test_clients_of_one_process_are_called_by_numbers_that_nobody_else_has() -> None:
    switchboard = Switchboard(Endpoint())  # type: ignore[arg-type]
    first, second, third = Driver(), Driver(), Driver()
    assert [add(switchboard, one) for one in (first, second, third)] == ["here", "here #2", "here #3"]
    switchboard.remove(second)  # type: ignore[arg-type]
    switchboard.remove(second)  # type: ignore[arg-type]
    assert add(switchboard, Driver()) == "here #2"


def test_clients_are_told_that_no_node_comes_also_those_that_come_later() -> None:
    switchboard = Switchboard(Endpoint())  # type: ignore[arg-type]
    first, later, last = Driver(), Driver(), Driver()
    add(switchboard, first)
    switchboard.none_comes("one", "h1 refuses", True)
    switchboard.none_comes("other", "h2 refuses", False)
    add(switchboard, later)
    assert later.fed == [NoneComes("h1 refuses")]
    switchboard.some_come("one")
    switchboard.some_come("one")
    assert first.fed == [
        NoneComes("h1 refuses"),
        NoneComes("h1 refuses; h2 refuses"),
        NoneComes("h1 refuses"),
        NoneComes(""),
    ]
    add(switchboard, last)
    assert last.fed == []
