"""The clients of one process: what they are called, and what all of them are told."""

from __future__ import annotations

from typing import Any

import pytest

from dispycos.client.orders import NoNodes
from dispycos.client.switchboard import Switchboard, numbered


class Endpoint:
    """Takes handlers, and hears nothing."""

    def handle(self, kind: Any, handler: Any, **how: Any) -> None: ...
    def watch(self, watcher: Any) -> None: ...


class Driver:
    """What it is fed."""

    def __init__(self) -> None:
        self.fed: list[Any] = []
        self.feed = self.fed.append


def add(switchboard: Switchboard, driver: Any, *, ours: bool = True) -> str:
    return switchboard.add(driver, lambda peer, message: False, "here", ours=ours)


def test_clients_of_one_process_are_called_by_numbers_that_nobody_else_has() -> None:
    switchboard = Switchboard(Endpoint())  # type: ignore[arg-type]
    first, second, third = Driver(), Driver(), Driver()
    assert [add(switchboard, one) for one in (first, second, third)] == ["here", "here #2", "here #3"]
    switchboard.remove(second)  # type: ignore[arg-type]
    switchboard.remove(second)  # type: ignore[arg-type]
    assert add(switchboard, Driver()) == "here #2"


def test_a_name_that_is_taken_gets_the_first_number_that_is_not() -> None:
    assert numbered("here", {"here #2"}) == "here"
    assert numbered("here", {"here", "here #2", "here #4"}) == "here #3"


@pytest.mark.row("R-99")
def test_clients_are_told_that_no_node_comes_also_those_that_come_later() -> None:
    switchboard = Switchboard(Endpoint())  # type: ignore[arg-type]
    first, later, last = Driver(), Driver(), Driver()
    add(switchboard, first)
    switchboard.starts("one")
    assert switchboard.hopeless("one", "h1 refuses", True)
    add(switchboard, later)
    assert later.fed == [NoNodes("h1 refuses")]
    first.fed.clear()
    switchboard.hopeful("one")
    switchboard.hopeful("one")
    assert first.fed == [NoNodes("")]
    add(switchboard, last)
    assert last.fed == []


@pytest.mark.row("R-99")
def test_what_one_cluster_can_not_have_another_may_have() -> None:
    switchboard = Switchboard(Endpoint())  # type: ignore[arg-type]
    client, later = Driver(), Driver()
    add(switchboard, client)
    switchboard.starts("ssh")
    switchboard.starts("slurm")
    assert not switchboard.hopeless("ssh", "h1 refuses", True)
    add(switchboard, later)
    assert {*client.fed, *later.fed} == {NoNodes("")}
    assert switchboard.hopeless("slurm", "no such partition", True)
    assert client.fed[-1] == later.fed[-1] == NoNodes("h1 refuses; no such partition")
    switchboard.starts("local")  # one more, of which nobody knows yet
    assert client.fed[-1] == NoNodes("")
    switchboard.starts_none("local")
    assert client.fed[-1] == NoNodes("h1 refuses; no such partition")
    switchboard.starts_none("ssh")
    switchboard.starts_none("slurm")
    switchboard.starts_none("slurm")
    switchboard.hopeful("slurm")
    assert client.fed[-1] == NoNodes("")


@pytest.mark.row("R-99")
def test_where_one_is_tried_for_what_comes_later_only_what_waits_is_refused() -> None:
    switchboard = Switchboard(Endpoint())  # type: ignore[arg-type]
    client, later = Driver(), Driver()
    add(switchboard, client)
    switchboard.starts("one")
    switchboard.starts("other")
    switchboard.hopeless("one", "h1 refuses", False)
    client.fed.clear()
    assert switchboard.hopeless("other", "h2 refuses", True)
    assert client.fed == [NoNodes("h1 refuses; h2 refuses", lasting=False)]
    add(switchboard, later)
    assert later.fed == []


@pytest.mark.row("R-99")
def test_nobody_is_refused_who_has_nodes_by_a_scheduler_elsewhere() -> None:
    switchboard = Switchboard(Endpoint())  # type: ignore[arg-type]
    elsewhere, here = Driver(), Driver()
    switchboard.starts("one")
    assert not switchboard.hopeless("one", "h1 refuses", True)
    add(switchboard, elsewhere, ours=False)
    assert not switchboard.hopeless("one", "h1 refuses", True)
    add(switchboard, here)
    assert switchboard.hopeless("one", "h1 refuses", True)
    assert switchboard.ours == [here]
