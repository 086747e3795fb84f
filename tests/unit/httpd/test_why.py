"""Why nothing runs: each cause has a scenario in which it stands first, with its evidence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dispycos.httpd import causes, situation, why, why_lent
from dispycos.httpd.events import Changed, TaskEnded, TaskPlaced
from dispycos.httpd.situation import Borrower, Ignored, Place, Situation
from dispycos.httpd.view import View
from dispycos.model import End

SCENARIOS = Path(__file__).with_name("scenarios.txt")


def scenarios() -> Iterator[tuple[str, dict[str, Any], str, list[str]]]:
    """Title, fields, first cause, what it says."""
    for part in SCENARIOS.read_text().split("\n== ")[1:]:
        title, *lines = part.strip().splitlines()
        fields: dict[str, Any] = {}
        first, says = "", []
        for line in lines:
            name, _, value = line.partition(": ")
            if name == "first":
                first = value
            elif name == "says":
                says.append(value)
            elif name:
                fields[name] = eval(value, {"Place": Place, "Ignored": Ignored, "Borrower": Borrower})
        yield title, fields, first, says


ALL = list(scenarios())


@pytest.mark.row("MO-24", "MO-25")
@pytest.mark.parametrize(("title", "fields", "first", "says"), ALL, ids=[case[0] for case in ALL])
def test_the_cause_of_a_scenario_stands_first(
    title: str, fields: dict[str, Any], first: str, says: list[str]
) -> None:
    found = why.found(Situation(1000.0, **fields))

    assert [cause.id for cause in found][:1] == [first]
    text = causes.text(found[:1])
    for part in says:
        assert part in text
    assert found[0].advice
    assert found[0].evidence


@pytest.mark.row("MO-25")
def test_each_cause_is_first_in_some_scenario() -> None:
    firsts = set()
    for _, fields, _, _ in ALL:
        now = Situation(1000.0, **fields)
        tests = why_lent.CAUSES if now.elsewhere else why.CAUSES
        firsts.add(next(cause for cause in tests if cause(now) is not None))
    assert firsts == {*why.CAUSES, *why_lent.CAUSES}


def test_where_tasks_run_nothing_is_to_be_explained() -> None:
    busy = Situation(1000.0, nodes=(Place("n1", "initialized"),), running=3, busy=3, idle=1, waiting=0)
    assert why.found(busy) == []
    assert why.text(busy) == "nothing keeps tasks from running"


@pytest.mark.row("MO-24")
def test_a_scheduler_whose_client_has_nodes_says_where_its_tasks_are_seen() -> None:
    node, holder = Place("n1", "initialized"), Borrower("a", "scheduled", nodes=1, servers=2)
    lent = Situation(1000.0, nodes=(node,), clients=(holder,), elsewhere="a's own monitor shows them")
    assert why.found(lent) == []
    assert why.text(lent) == "no client waits\na's own monitor shows them"


def test_many_nodes_are_named_up_to_ten() -> None:
    places = tuple(Place(f"n{number}", "zombie", "", 1.0) for number in range(25))
    [cause] = why.found(Situation(1000.0, waiting=1, nodes=places))
    assert len(cause.evidence) == 11
    assert cause.evidence[-1] == "and 15 more"
    peers = tuple(f"can't reach 10.0.0.{n}:9706" for n in range(25))
    (cause,) = why.found(Situation(0.0, unreached=peers, wrong_key=peers, waiting=1))
    assert cause.evidence.count("and 15 more") == 2


@pytest.mark.row("MO-24")
def test_the_situation_is_that_of_the_view() -> None:
    view = View("test", 0.0)
    view.handle(Changed("cluster", None, {"state": "scheduled", "submitted": 5, "done": 1}), 0.0)
    node = {"name": "one", "address": "10.0.0.1", "state": "zombie", "pulse": 900.0}
    view.handle(Changed("node", "a", node), 0.0)
    view.handle(Changed("server", "b", {"location": "10.0.0.1:9707", "state": "zombie"}, "a"), 0.0)
    poison = "work#1 is tried no more, for 3 servers died (max_worker_deaths=3); look"
    view.handle(TaskEnded(1, "work", False, 1, End.FAILED, poison, None, 0.0, 0.0, 1.0), 1.0)
    view.end_tick(1.0)

    found = situation.of(view, {"situation": {"fingerprint": "abc"}}, 1000.0)

    assert found.nodes == (Place("one (10.0.0.1)", "zombie", "", 900.0),)
    assert found.servers == (Place("10.0.0.1:9707", "zombie"),)
    assert (found.waiting, found.submitted, found.fingerprint) == (4, 5, "abc")
    assert found.poisonous == (poison,)
    assert [cause.id for cause in why.found(found)] == ["poisonous", "silent"]


@pytest.mark.row("MO-24")
def test_what_a_task_takes_is_learnt_of_those_that_run_for_longer_too() -> None:
    view = View("test", 0.0)
    view.handle(Changed("node", "n", {"state": "initialized"}), 0.0)
    servers = {"a": {"mean": 1.0, "done": 1}, "b": {"mean": None, "done": 0}, "c": {"mean": None, "done": 0}}
    for number, (key, values) in enumerate(servers.items(), 1):
        view.handle(Changed("server", key, {"state": "busy", "location": key, **values}, "n"), 0.0)
        view.handle(TaskPlaced(number, "work", False, 1, key, 1, 0.0, 0.0 if key == "c" else 9.5), 9.5)
    view.end_tick(10.0)

    found = situation.of(view, {}, 10.0)

    # One has ended after 1 s, one runs for 10 s, and the others have only begun.
    assert (found.mean, found.mean_ended, found.mean_running) == (5.5, 1, 1)
