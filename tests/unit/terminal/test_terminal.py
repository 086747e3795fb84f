"""What `dispycos top` shows, without a terminal: keys, the model, the order of rows, frames."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from dispycos.httpd.rows import NODE, TASK
from dispycos.terminal import columns, screen, texts
from dispycos.terminal.desk import MENU, Desk
from dispycos.terminal.keys import Keys
from dispycos.terminal.model import Model
from tests.unit.httpd.turmoil import Turmoil

NOW = 1_700_000_000.0
LIVE = screen.Link("127.0.0.1:8181", True, "")


def cluster(**values: Any) -> dict[str, Any]:
    zeros = dict.fromkeys(("running", "waiting", "done", "failed", "waiting_clients"), 0)
    for kind, states in (
        ("nodes", ("initialized", "suspended", "zombie", "other")),
        ("servers", ("busy", "idle", "other")),
    ):
        zeros |= {f"{kind}_{state}": 0 for state in states}
    texts = dict.fromkeys(("client", "why", "elsewhere"), "")
    return {"state": "scheduled", "rate": 0.0, **texts, **zeros, **values}


def snapshot(topic: str, rows: dict[str, dict[str, Any]], to: int = 1) -> dict[str, Any]:
    """A message of rows that all have the fields of the first of their kind."""
    made: dict[str, list[Any]] = {}
    names: dict[str, list[str]] = {}
    kinds = {"c": "client", "n": "node", "s": "server", "t": "task", "e": "event"}
    for row_id, row in rows.items():
        kind = "cluster" if row_id == "cluster" else kinds[row_id[0]]
        fields = names.setdefault(kind, list(row))
        made[row_id] = [row[name] for name in fields]
    return {"type": "snapshot", "topic": topic, "to": to, "columns": names, "rows": made}


def greeted(*messages: dict[str, Any]) -> Model:
    model = Model()
    hello = {"type": "hello", "epoch": "e", "seq": 1, "role": "viewer", "program": "work.py", "tick": 0.5}
    for message in (hello, *messages, {"type": "tick", "seq": 1, "time": NOW}):
        assert model.handle(message, NOW) is None
    return model


def delta(number: int, rows: dict[str, dict[str, Any]], *gone: str) -> dict[str, Any]:
    """What changed in the topic `cluster` with that number."""
    changes = [{"fields": list(row), "rows": {row_id: list(row.values())}} for row_id, row in rows.items()]
    numbers = {"from": number - 1, "to": number}
    return {"type": "delta", "topic": "cluster", **numbers, "changes": changes, "gone": list(gone)}


def node(address: str, **more: Any) -> dict[str, Any]:
    unknown = dict.fromkeys(field.name for field in NODE if field.overview)
    known = {"address": address, "port": 9706, "name": f"at {address}", "state": "initialized", "done": 0}
    return {**unknown, **known, **more}


def nodes(*addresses: str) -> Model:
    rows = {f"n{number}": node(address) for number, address in enumerate(addresses)}
    return greeted(snapshot("cluster", {"cluster": cluster(), **rows}))


def shown(desk: Desk, model: Model) -> list[str]:
    return [row["address"] for _, row in desk.rows(model, NOW)]


# Keys.


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (b"q", ["q"]),
        (b"\x1b[A\x1bOB\x1b[5~\x1b[1;5C", ["up", "down", "page up"]),
        ("ü/".encode(), ["ü", "/"]),
        (b"\xff\xfej\r\x7f", ["j", "enter", "backspace"]),
        (b"\x1bx", []),
    ],
)
def test_bytes_of_a_terminal_are_named_however_they_are_cut(data: bytes, names: list[str]) -> None:
    assert Keys().feed(data) == names
    keys = Keys()
    assert [name for byte in data for name in keys.feed(bytes([byte]))] == names
    assert not keys.undecided


def test_an_escape_without_more_is_the_key() -> None:
    keys = Keys()
    assert keys.feed(b"j\x1b") == ["j"]
    assert keys.undecided
    assert keys.settle() == ["escape"]
    assert not keys.undecided
    assert keys.feed(b"k") == ["k"]


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_no_bytes_stop_the_reading_of_keys(parts: list[bytes]) -> None:
    keys = Keys()
    for part in parts:
        keys.feed(part)
    keys.settle()
    assert keys.feed(b"q") in (["q"], [])
    assert (keys.feed(b"qq") or keys.feed(b"qq"))[-1] == "q"


# The model.


@pytest.mark.row("MO-26", "MO-31", "MO-65")
@pytest.mark.parametrize("seed", range(5))
def test_a_terminal_knows_what_the_view_knows(seed: int) -> None:
    from dispycos.httpd import topics

    turmoil = Turmoil(seed)
    model = Model()
    view = turmoil.view
    number = -1
    for _ in range(60):
        turmoil.step()
        view.end_tick(turmoil.now)
        for topic in ("cluster", "tasks", "events"):
            known = number >= 0 and view.changes.reaches(number)
            message = topics.delta(view, topic, number) if known else topics.snapshot(view, topic)
            if message is not None:
                assert model.handle(message, NOW) is None
        number = view.seq
        model.handle({"type": "tick", "seq": number, "time": turmoil.now}, NOW)
    for topic in ("cluster", "tasks", "events"):
        whole = Model()
        whole.handle(topics.snapshot(view, topic), NOW)
        assert model.topics[topic].rows == whole.topics[topic].rows


@pytest.mark.row("MO-20")
def test_tasks_have_the_numbers_by_which_events_name_them() -> None:
    narrow, wide = (
        {column.title: size for column, size in columns.fitting(columns.TASKS, width)} for width in (80, 200)
    )
    assert narrow["ID"] == 6 and sum(narrow.values()) + len(narrow) - 1 <= 80
    assert "SERVER" in narrow and "REASON, OR ARGUMENTS" in narrow
    # Long names get room before reasons do, and no more than they need.
    assert (wide["TASK"], sum(wide.values()) + len(wide) - 1) == (24, 200)
    [number] = [column for column in columns.TASKS if column.title == "ID"]
    model = Model()
    model.handle({"type": "hello", "epoch": "e", "role": "viewer", "program": "p", "tick": 0.5}, NOW)
    snapshot = {"type": "snapshot", "topic": "tasks", "to": 1, "columns": {"task": ["name"]}}
    model.handle({**snapshot, "rows": {"t12": ["compute"]}}, NOW)
    [(_, row)] = model.rows("tasks", "task")
    assert number.text(number.value(row, model, NOW)) == "#12"


@pytest.mark.row("MO-31")
def test_a_gap_asks_for_a_snapshot() -> None:
    model = nodes("10.0.0.1")
    assert model.handle(delta(4, {"n0": {"state": "zombie"}}), NOW) == "cluster"
    assert model.find("n0") == {"id": "n0", **node("10.0.0.1")}


def test_another_run_at_the_same_address_is_not_mixed_with_the_first() -> None:
    model = nodes("10.0.0.1")
    model.handle({"type": "bye", "reason": "finished", "time": NOW, "totals": {}, "text": ""}, NOW)
    model.handle(
        {"type": "hello", "epoch": "f", "seq": 1, "role": "viewer", "program": "x", "tick": 0.5}, NOW
    )
    assert model.cluster is None and not model.ended


# Order.


def test_addresses_are_sorted_by_number_and_what_is_unknown_comes_last() -> None:
    model = nodes("10.0.0.10", "10.0.0.9", "fe80::1", "9.0.0.1")
    desk = Desk()
    assert shown(desk, model) == ["9.0.0.1", "10.0.0.9", "10.0.0.10", "fe80::1"]
    desk.press("r", model, NOW)
    assert shown(desk, model) == ["fe80::1", "10.0.0.10", "10.0.0.9", "9.0.0.1"]
    ordered = sorted(["b:2", "10.0.0.1:99", "10.0.0.1:100", None, "", 3, 2.5], key=columns.order)
    assert ordered == [2.5, 3, "10.0.0.1:99", "10.0.0.1:100", "b:2", None, ""]


def test_the_next_column_decides_the_order() -> None:
    rows = {"n0": node("10.0.0.1", name="b"), "n1": node("10.0.0.2", name="a")}
    model, desk = greeted(snapshot("cluster", {"cluster": cluster(), **rows})), Desk()
    desk.press("s", model, NOW)
    assert shown(desk, model) == ["10.0.0.2", "10.0.0.1"]
    desk.press("S", model, NOW)
    assert shown(desk, model) == ["10.0.0.1", "10.0.0.2"]


@pytest.mark.row("MO-43")
def test_a_held_order_stands_still_and_values_go_on() -> None:
    model, desk = nodes("10.0.0.1", "10.0.0.2"), Desk()
    shown(desk, model)
    desk.press("p", model, NOW)
    assert model.handle(delta(2, {"n0": {"address": "10.0.0.9"}}), NOW) is None
    assert shown(desk, model) == ["10.0.0.9", "10.0.0.2"]
    desk.press("p", model, NOW)
    assert shown(desk, model) == ["10.0.0.2", "10.0.0.9"]


@pytest.mark.row("MO-52")
def test_the_cursor_stays_on_its_row_and_near_its_place_when_that_goes() -> None:
    model, desk = nodes("10.0.0.2", "10.0.0.4", "10.0.0.6"), Desk()
    shown(desk, model)
    desk.press("down", model, NOW)
    assert desk.here.cursor == "n1"
    model.handle(delta(2, {"n7": node("10.0.0.1")}), NOW)
    shown(desk, model)
    assert (desk.here.cursor, desk.here.at) == ("n1", 2)
    model.handle(delta(3, {}, "n1"), NOW)
    shown(desk, model)
    assert desk.here.cursor == "n2"


def test_until_a_row_is_chosen_the_first_one_is_shown_first() -> None:
    model, desk = nodes("10.0.0.2", "10.0.0.4"), Desk()
    desk.height = 1
    shown(desk, model)
    model.handle(delta(2, {"n7": node("10.0.0.1")}), NOW)
    shown(desk, model)
    assert (desk.here.cursor, desk.here.first) == ("n7", 0)


def test_keys_may_come_faster_than_frames() -> None:
    model, desk = nodes("10.0.0.1", "10.0.0.2"), Desk()
    for key in ("4", "1", "down", "enter"):
        desk.press(key, model, NOW)
    assert desk.here.topic == "node/n1"


def test_pages_are_opened_and_left_as_they_were() -> None:
    model, desk = nodes("10.0.0.1", "10.0.0.2"), Desk()
    shown(desk, model)
    for key in ("s", "down", "enter"):
        desk.press(key, model, NOW)
    assert desk.topics == ["cluster", "node/n1"]
    desk.press("escape", model, NOW)
    assert (desk.topics, desk.here.cursor, desk.here.sort) == (["cluster"], "n1", 1)
    for number, topic in enumerate(("cluster", "cluster", "tasks", "events", "cluster"), 1):
        desk.press(str(number), model, NOW)
        assert desk.here.topic == topic
    desk.press("tab", model, NOW)
    assert desk.here.page.name == MENU[0]


def test_a_filter_is_typed_and_left() -> None:
    model, desk = nodes("10.0.0.1", "10.0.0.2"), Desk()
    for key in ("/", "q", "backspace", ".", "0", ".", "2", "enter"):
        desk.press(key, model, NOW)
    assert shown(desk, model) == ["10.0.0.2"]
    desk.press("escape", model, NOW)
    assert len(shown(desk, model)) == 2
    assert not desk.over
    desk.press("q", model, NOW)
    assert desk.over


# Frames.


def lines(desk: Desk, model: Model, width: int = 100, height: int = 24) -> list[str]:
    return screen.draw(desk, model, LIVE, width, height, NOW).plain.split("\n")


@pytest.mark.row("MO-48")
@given(st.integers(1, 200), st.integers(3, 60), st.sampled_from("12345?/p"), st.integers(0, 40))
def test_a_frame_fills_the_terminal_and_no_more(width: int, height: int, key: str, count: int) -> None:
    model, desk = nodes(*(f"10.0.{number}.1" for number in range(count))), Desk()
    desk.press(key, model, NOW)
    frame = lines(desk, model, width, height)
    assert len(frame) == height
    assert {cell_len(line) for line in frame} == {width}


@pytest.mark.row("SE-55", "SE-110")
def test_nothing_that_others_said_is_obeyed_by_the_terminal() -> None:
    hostile = "a\x1b]0;mine\x07\x1b[2J\u202eb\r\nc\x9b\U000e0001"
    assert texts.clean(hostile) == "a\\x1b]0;mine\\x07\\x1b[2J\\u202eb  c\\x9b\\U000e0001"
    rows = {"n0": node("10.0.0.1", name=hostile, state=hostile)}
    model, desk = greeted(snapshot("cluster", {"cluster": cluster(why=hostile), **rows})), Desk()
    model.program = hostile
    for key in ("1", "enter", "1"):
        desk.press(key, model, NOW)
        assert all(line.isprintable() for line in lines(desk, model))


@pytest.mark.row("MO-14")
def test_unknown_is_a_dash() -> None:
    model = greeted(
        snapshot("cluster", {"cluster": cluster(), "n0": node("10.0.0.1", memory=None, cpu=None)})
    )
    [line] = [line for line in lines(Desk(), model) if "10.0.0.1" in line]
    assert texts.DASH in line


def task(state: str, notes: dict[str, str] | None = None, **known: Any) -> dict[str, Any]:
    unknown = dict.fromkeys(field.name for field in TASK)
    return {**unknown, "name": "compute", "state": state, "attempt": 1, "notes": notes, **known}


@pytest.mark.row("MO-14")
def test_below_a_table_stands_why_its_dashes_are_unknown() -> None:
    unseen = dict.fromkeys(("server", "begun", "submitted", "args"), "not recorded: nobody looked")
    rows = {"t1": task("failed", unseen, reason="ValueError"), "t2": task("waiting", submitted=NOW)}
    ended = {"t3": task("finished", server="s1", submitted=NOW, begun=NOW, ended=NOW)}
    totals = snapshot("cluster", {"cluster": cluster()})
    desk = Desk()
    desk.press("3", Model(), NOW)
    model = greeted(totals, snapshot("tasks", rows | ended))
    told = "– not recorded: nobody looked; the task has not begun"
    assert told in (line.rstrip() for line in lines(desk, model))
    # Nothing to explain, or no room for it.
    assert told not in "\n".join(lines(desk, model, height=9))
    assert not [line for line in lines(desk, greeted(totals, snapshot("tasks", ended))) if line[0] == "–"]


@pytest.mark.row("MO-14", "MO-23")
def test_a_scheduler_shows_its_clients_and_where_tasks_are_seen() -> None:
    told = {"elsewhere": "The servers are lent to a, whose own monitor shows the tasks. " * 3, "rate": None}
    clients = {
        f"c{place}": {"name": name, "place": place, "state": "queued", "why": why, "since": NOW - 5}
        for place, name, why in (
            (2, "late", "client a holds it"),
            (0, "a", ""),
            (1, "next", "client a holds it"),
        )
    }
    rows = {"n0": node("10.0.0.1", done=7, failed=None), **clients}
    unknown = cluster(done=None, waiting=None, **told)
    model, desk = greeted(snapshot("cluster", {"cluster": unknown, **rows})), Desk()
    frame = lines(desk, model)
    assert frame[2].strip() == "tasks 0 running"
    assert "DONE" in frame[4] and "FAILED" not in frame[4]
    desk.press("5", model, NOW)
    assert [line.split()[:3] for line in lines(desk, model)[5:8]] == [
        ["has", "it", "a"],
        ["1", "next", "queued"],
        ["2", "late", "queued"],
    ]
    desk.press("3", model, NOW)
    assert " ".join(line.strip() for line in lines(desk, model)[5:7]) == told["elsewhere"].strip()


@pytest.mark.row("MO-60")
def test_the_end_of_the_program_is_said_and_the_last_state_stays() -> None:
    model = nodes("10.0.0.1")
    bye = {"type": "bye", "reason": "failed", "time": NOW, "totals": {}, "text": "Error:\nValueError: no"}
    model.handle(bye, NOW)
    frame = lines(Desk(), model, 160)
    assert "the program failed at" in frame[0] and "ValueError: no; its last state" in frame[0]
    assert any("10.0.0.1" in line for line in frame)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (0.25, "0.25 s"), (3, "3.0 s"), (59.9, "59 s"), (185, "3:05"), (7384, "2:03:04"),
     (435_600, "5 d 01:00")],
)  # fmt: skip
def test_durations(seconds: float | None, text: str) -> None:
    assert texts.span(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (200 << 30, "200 GiB")]
)
def test_sizes(value: float | None, text: str) -> None:
    assert texts.size(value) == text
