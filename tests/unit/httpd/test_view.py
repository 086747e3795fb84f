"""The view: sums, identities, rings; and that snapshot plus differences is always the model."""

from __future__ import annotations

import random

import pytest

from dispycos.httpd import tasks, view
from dispycos.httpd.changes import KEPT
from dispycos.httpd.events import (
    Changed,
    Gone,
    Happened,
    Lines,
    Living,
    LivingTask,
    Sample,
    TaskEnded,
    TaskPlaced,
    TaskSubmitted,
)
from dispycos.httpd.history import HOUR, Ring
from dispycos.httpd.topics import UnknownTopic, delta, snapshot
from dispycos.httpd.view import View
from dispycos.model import End
from tests.unit.httpd.page import Page, fresh
from tests.unit.httpd.turmoil import Turmoil

TOPICS = ("cluster", "tasks", "timeline", "events")


def with_servers(nodes: int = 1, servers: int = 2) -> View:
    """A view of node0..., each with server0.0..., all idle."""
    made = View("test", 0.0)
    for node in range(nodes):
        made.handle(Changed("node", f"node{node}", {"state": "initialized", "name": f"node{node}"}), 0.0)
        for server in range(servers):
            key = f"server{node}.{server}"
            made.handle(Changed("server", key, {"state": "idle", "location": key}, f"node{node}"), 0.0)
    made.end_tick(0.0)
    return made


def place(made: View, number: int, server: str, now: float, io: bool = False) -> None:
    made.handle(TaskPlaced(number, "work", io, 1, server, 1, now, now), now)


def end(
    made: View, number: int, server: str | None, now: float, how: End = End.FINISHED, text: str = ""
) -> None:
    made.handle(TaskEnded(number, "work", False, 1, how, text, server, now, now, now), now)


# Snapshot plus differences.


def run(seed: int, steps: int = 120) -> None:
    """One random run with browsers that update at different times; each must see the model."""
    turmoil = Turmoil(seed)
    made, chance = turmoil.view, random.Random(seed)
    pages: list[Page] = []
    for number in range(steps):
        turmoil.step()
        if chance.random() < 0.5:
            continue
        made.end_tick(turmoil.now)
        made.check()
        if number % 10 == 0:
            pages.append(Page(chance.choice(TOPICS)))
            rows = [row_id for row_id in made.rows if row_id[0] in "ns"]
            if rows:
                row_id = chance.choice(rows)
                pages.append(Page(f"{'node' if row_id[0] == 'n' else 'server'}/{row_id}"))
        for page in list(pages):
            # Some miss ticks, some are always up to date.
            if chance.random() < (0.2 if pages.index(page) % 3 else 1.0):
                try:
                    page.update(made)
                except UnknownTopic:
                    pages.remove(page)
    made.end_tick(turmoil.now)
    made.check()
    for page in pages:
        if page.topic.partition("/")[2] and made.find(page.topic.partition("/")[2]) is None:
            continue
        page.update(made)
        present = fresh(made, page.topic)
        assert page.rows == present.rows, f"seed {seed}: {page.topic} differs"
        if page.topic.startswith("server/"):
            assert page.log[len(page.log) - len(present.log) :] == present.log


@pytest.mark.row("MO-08", "MO-26", "MO-30", "MO-31", "MO-65")
@pytest.mark.parametrize("seed", range(60))
def test_snapshot_and_differences_are_the_model_also_for_one_that_misses_ticks(seed: int) -> None:
    run(seed)


@pytest.mark.long("10,000 runs take minutes, and 60 are in every run")
@pytest.mark.row("MO-65")
@pytest.mark.timeout(1800)
def test_it_holds_for_ten_thousand_runs() -> None:
    for seed in range(1000, 11_000):
        run(seed, 60)


def test_who_was_away_for_longer_than_is_kept_is_told_so() -> None:
    made = with_servers()
    for number in range(KEPT + 2):
        made.handle(Changed("cluster", None, {"submitted": number + 1}), number)
        made.end_tick(number)

    assert not made.changes.reaches(made.seq - KEPT - 1)
    assert made.changes.reaches(made.seq - KEPT)
    assert delta(made, "cluster", made.seq - KEPT) is not None


def test_nothing_new_is_nothing_said() -> None:
    made = with_servers()
    before = made.seq

    made.end_tick(1.0)

    assert made.seq == before
    made.handle(Happened("info", "note", "x", "y", 1.0), 1.0)
    made.end_tick(1.0)
    assert delta(made, "cluster", before) is None
    assert delta(made, "events", before) is not None


@pytest.mark.row("MO-27")
def test_topics_that_are_none_are_said_to_be() -> None:
    made = with_servers()
    for topic in ("", "nodes", "node/", "node/s1", "server/n1", "server/s99", "cluster/n1", "x" * 40):
        with pytest.raises(UnknownTopic):
            snapshot(made, topic)


# Identities.


@pytest.mark.row("MO-09")
def test_a_node_that_comes_back_is_a_new_row_and_the_old_one_stays_for_ten_minutes() -> None:
    made = with_servers()
    made.handle(Gone("node", "node0", "it was switched off", 10.0), 10.0)
    made.handle(Changed("node", "node0 again", {"state": "initialized"}), 20.0)
    made.end_tick(20.0)

    assert made.rows["n1"]["state"] == "closed"
    assert made.rows["n1"]["why"] == "it was switched off"
    assert made.rows["n2"]["state"] == "initialized"
    assert made.rows["s1"]["state"] == "closed"

    page = fresh(made, "cluster")
    made.end_tick(10.0 + view.CLOSED_KEPT)
    page.update(made)
    assert "n1" not in page.rows
    assert "s1" not in page.rows
    assert "n2" in page.rows
    made.check()


def test_ids_are_never_given_again() -> None:
    made = with_servers()
    made.handle(Gone("node", "node0", "", 1.0), 1.0)
    made.end_tick(1.0 + view.CLOSED_KEPT)
    made.handle(Changed("node", "node0", {}), 700.0)
    made.end_tick(700.0)

    assert "n1" not in made.rows
    assert made.nodes["node0"].row.id == "n2"


# Sums and states.


@pytest.mark.row("MO-08", "HT-11")
def test_nodes_add_up_their_servers_also_those_that_are_forgotten() -> None:
    made = with_servers(servers=2)
    for server, done in (("server0.0", 3), ("server0.1", 4)):
        values = {"done": done, "submitted": done + 1, "running": 1, "state": "busy"}
        made.handle(Changed("server", server, values), 1.0)
    made.end_tick(1.0)
    assert (made.rows["n1"]["done"], made.rows["n1"]["running"]) == (7, 2)
    assert made.cluster["running"] == 2
    assert made.cluster["servers_busy"] == 2

    made.handle(Gone("server", "server0.0", "", 2.0), 2.0)
    made.end_tick(2.0 + view.CLOSED_KEPT)

    node = made.rows["n1"]
    assert (node["done"], node["submitted"], node["running"], node["servers"]) == (7, 9, 1, 1)
    made.check()


def test_more_nodes_than_there_is_room_for_are_said_and_closed_ones_go_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(view, "MAX_NODES", 2)
    made = with_servers(nodes=2, servers=0)
    made.handle(Gone("node", "node0", "", 1.0), 1.0)

    made.handle(Changed("node", "third", {}), 2.0)
    made.handle(Changed("node", "fourth", {}), 2.0)
    made.end_tick(2.0)

    assert set(made.nodes) == {"node1", "third"}
    assert [row["text"] for row in made.events] == ["there are more than 2 nodes: the others are not shown"]
    made.check()


# Tasks.


@pytest.mark.row("MO-19")
def test_of_the_cpu_tasks_at_a_server_the_first_runs_and_the_next_begins_when_it_ends() -> None:
    made = with_servers()
    for number in (1, 2):
        place(made, number, "server0.0", float(number))
    place(made, 3, "server0.0", 3.0, io=True)
    assert [made.rows[f"t{number}"]["state"] for number in (1, 2, 3)] == ["running", "sent", "running"]
    assert made.rows["t2"]["begun"] is None

    end(made, 1, "server0.0", 9.0)

    assert made.rows["t1"]["state"] == "finished"
    assert (made.rows["t2"]["state"], made.rows["t2"]["begun"]) == ("running", 9.0)
    made.check()


@pytest.mark.row("MO-10", "R-39")
def test_ended_tasks_are_forgotten_and_running_ones_never(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "MAX_ENDED", 5)
    made = with_servers(servers=1)
    place(made, 1, "server0.0", 1.0)
    for number in range(2, 20):
        end(made, number, "server0.0", 2.0)
        made.end_tick(2.0)

    assert made.rows["t1"]["state"] == "running"
    assert [row.id for row in made.tasks.ended] == ["t15", "t16", "t17", "t18", "t19"]
    assert "t14" not in made.rows
    made.check()


@pytest.mark.row("MO-10")
def test_only_the_first_waiting_tasks_have_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "MAX_WAITING", 3)
    made = with_servers()
    for number in range(1, 6):
        made.handle(TaskSubmitted(number, "work", False, 1, 1.0, None), 1.0)
    assert sorted(made.tasks.living) == [1, 2, 3]

    place(made, 5, "server0.0", 2.0)

    assert made.rows["t5"]["state"] == "running"
    made.check()


def test_a_survey_makes_good_what_was_missed() -> None:
    made = with_servers()
    place(made, 1, "server0.0", 1.0)
    place(made, 2, "server0.0", 1.5)

    living = [
        LivingTask(2, "work", False, "sent", 1, 1, "server0.1", 0.5, 2.0, 2.0, None),
        LivingTask(3, "work", False, "waiting", 0, 1, None, 2.5, 2.5, 2.5, "(7,)"),
    ]
    made.handle(Living(living, 3.0), 3.0)

    assert sorted(made.tasks.living) == [2, 3]
    assert made.rows["t2"]["server"] == "s2"
    assert made.rows["t3"]["args"] == "(7,)"
    made.check()


@pytest.mark.row("MO-10")
def test_what_was_sent_ahead_while_nobody_looked_began_when_it_was_its_turn() -> None:
    made = with_servers(servers=1)
    running = LivingTask(2, "work", False, "sent", 1, 1, "server0.0", 0.5, 1.0, 9.0, None)
    waiting = LivingTask(3, "work", False, "sent", 1, 1, "server0.0", 1.0, 1.0, 1.0, None)
    made.handle(Living([running, waiting], 14.0), 14.0)

    assert (made.rows["t2"]["submitted"], made.rows["t2"]["begun"]) == (0.5, 9.0)
    assert made.rows["t3"]["begun"] is None
    made.handle(TaskEnded(2, "work", False, 1, End.FINISHED, "", "server0.0", 1.0, 9.0, 17.0), 17.0)
    assert (made.rows["t2"]["begun"], made.rows["t2"]["ended"]) == (9.0, 17.0)
    assert made.rows["t3"]["begun"] == 17.0
    made.check()


@pytest.mark.row("MO-10")
def test_a_task_that_is_seen_first_when_it_is_placed_was_submitted_before() -> None:
    made = with_servers(servers=1)
    made.handle(TaskPlaced(1, "work", False, 1, "server0.0", 1, 0.5, 9.0), 9.0)
    assert (made.rows["t1"]["submitted"], made.rows["t1"]["begun"]) == (0.5, 9.0)


@pytest.mark.row("MO-10")
def test_the_end_of_a_task_says_when_it_can_have_begun() -> None:
    made = with_servers(servers=1)
    made.handle(TaskEnded(1, "work", False, 1, End.FINISHED, "", "server0.0", 1.0, 9.0, 17.0), 17.0)
    assert (made.rows["t1"]["submitted"], made.rows["t1"]["begun"]) == (1.0, 9.0)
    # Of tasks that were not all told of, it looked like the first at its server.
    place(made, 2, "server0.0", 17.0)
    assert made.rows["t2"]["begun"] == 17.0
    made.handle(TaskEnded(2, "work", False, 1, End.FINISHED, "", "server0.0", 17.0, 25.0, 33.0), 33.0)
    assert made.rows["t2"]["begun"] == 25.0
    made.check()


def test_a_closed_servers_tasks_wait_until_it_is_known_what_became_of_them() -> None:
    made = with_servers()
    place(made, 1, "server0.0", 1.0)
    made.handle(Gone("server", "server0.0", "killed by signal 9", 2.0), 2.0)
    assert (made.rows["t1"]["state"], made.rows["t1"]["server"]) == ("waiting", None)
    made.check()

    end(made, 1, "server0.0", 3.0, End.SERVER_LOST, "server s was lost: killed by signal 9")

    assert made.rows["t1"]["state"] == "lost"
    assert made.rows["t1"]["server"] == "s1"
    made.check()


@pytest.mark.row("MO-20", "R-32")
def test_a_failures_whole_text_is_kept_and_its_row_has_the_last_line() -> None:
    made = with_servers()
    text = 'Traceback (most recent call last):\n  File "x.py", line 1, in f\n    g()\nValueError: no\n'
    place(made, 1, "server0.0", 1.0)
    end(made, 1, "server0.0", 2.0, End.FAILED, text)

    assert made.rows["t1"]["reason"] == "ValueError: no"
    assert made.tasks.reason(1) == text


@pytest.mark.row("MO-11")
def test_many_failures_at_once_are_summed_up_and_events_are_a_ring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "MAX_EVENTS", 30)
    made = with_servers()
    for number in range(100):
        end(made, number + 1, "server0.0", 1.0, End.FAILED, "ValueError: no")
    made.end_tick(1.0)

    assert len(made.events) == view.FAILURES_TOLD + 1
    assert made.events[-1]["text"] == "80 more tasks failed in this moment"
    page = fresh(made, "events")
    for _ in range(20):
        made.handle(Happened("info", "note", "x", "y", 2.0), 2.0)
    made.end_tick(2.0)
    page.update(made)
    assert len(page.rows) == 30


# Figures.


@pytest.mark.row("MO-13")
def test_samples_are_a_ring_of_an_hour_and_unknown_is_none() -> None:
    ring = Ring(3)
    for number in range(5):
        ring.add((number, None, 2.0, 0.5))

    assert ring.last(10) == [[2, None, 2.0, 0.5], [3, None, 2.0, 0.5], [4, None, 2.0, 0.5]]
    assert ring.last(1) == [[4, None, 2.0, 0.5]]
    full = Ring(HOUR)
    for _ in range(HOUR):
        full.add((1.0, 2.0, 3.0, 4.0))
    assert full.bytes <= 20_000


@pytest.mark.row("MO-13")
def test_a_page_gets_the_samples_that_it_lacks() -> None:
    made = with_servers()
    page = fresh(made, "node/n1")
    for number in range(3):
        made.handle(Changed("node", "node0", {"cpu": 10.0 * number}), 5.0 * number)
        made.handle(Sample(5.0 * number), 5.0 * number)
        made.end_tick(5.0 * number)
        if number != 1:
            page.update(made)

    assert [sample[0] for sample in page.hour] == [0.0, 10.0, 20.0]
    assert fresh(made, "node/n1").hour == page.hour


def test_the_day_has_a_mean_for_each_minute() -> None:
    made = with_servers()
    for number in range(25):
        made.handle(Changed("node", "node0", {"cpu": float(number)}), 5.0 * number)
        made.handle(Sample(5.0 * number), 5.0 * number)
        made.end_tick(5.0 * number)

    assert [sample[0] for sample in snapshot(made, "cluster")["history"]["day"]] == [5.5, 17.5]
    assert "day" in (delta(made, "cluster", made.seq - 2) or {})["history"]
    assert "day" not in (delta(made, "cluster", made.seq - 1) or {})["history"]


@pytest.mark.row("MO-12")
def test_a_servers_log_keeps_its_last_lines_and_says_what_was_left_out() -> None:
    made = with_servers()
    made.handle(Lines("server0.0", [f"line {number}" for number in range(250)], 3, 1.0), 1.0)
    made.end_tick(1.0)

    log = snapshot(made, "server/s1")["log"]
    assert len(log) == 200
    assert log[-1] == [251, 1.0, "line 249"]
    made.handle(Lines("server0.0", ["x" * 100_000] * 40, 0, 2.0), 2.0)
    made.end_tick(2.0)
    assert sum(len(text) for _, _, text in snapshot(made, "server/s1")["log"]) <= 64 * 1024


def test_the_rate_is_of_the_last_seconds() -> None:
    made = with_servers()
    for second in range(10):
        made.handle(Changed("cluster", None, {"submitted": 20 * second, "done": 20 * second}), float(second))
        made.end_tick(float(second))
    assert made.cluster["rate"] == pytest.approx(20.0, abs=0.1)

    for second in range(10, 20):
        made.end_tick(float(second))
    assert made.cluster["rate"] == 0.0
