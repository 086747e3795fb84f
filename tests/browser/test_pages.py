"""Each page in a real browser: its fields against the JSON, order, choices, actions, keys."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tests.browser.conftest import Stage
from tests.helpers import wait_until

FITS = "one => one.scrollWidth <= one.clientWidth"
PAGES = ("cluster", "node", "server", "tasks", "timeline", "events", "client", "about", "why")


def cells(page: Any, label: str) -> list[str]:
    """What stands in a column of the first table."""
    found: list[str] = page.locator(f"tbody td[data-label='{label}']").all_inner_texts()
    return [text.strip() for text in found]


def ask(page: Any, path: str) -> Any:
    """JSON of the monitor, with the session of the page."""
    code = """path => fetch('api/v1/' + path, {headers: {Authorization: 'Bearer ' +
        JSON.parse(localStorage['dispycos-monitor']).sessions[0].key}}).then(answer => answer.json())"""
    return page.evaluate(code, path)


@pytest.mark.row("MO-67", "MO-68", "HT-15", "MO-50", "MO-48")
def test_every_page_opens_with_one_heading_and_never_scrolls_sideways(stage: Stage) -> None:
    stage.source.submit("compute")
    page = stage.open()
    for name in PAGES:
        page.goto(f"{stage.origin}/#/{name}")
        page.locator(f".page[data-page={name}]").wait_for()
        assert page.locator("h1").count() == 1
        for width in (320, 1280, 3840):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (width, name)
    menu = page.locator("nav a span:first-child").all_text_contents()
    assert menu[:3] == ["Cluster", "Node", "Server"]


@pytest.mark.row("MO-48")
def test_tables_fit_a_window_of_1024_pixels_and_details_come_where_there_is_room(stage: Stage) -> None:
    stage.source.submit("compute")
    page = stage.open()
    for width, absent in ((1280, 0), (1200, 1), (1024, 3)):
        page.set_viewport_size({"width": width, "height": 900})
        for address in ("#/cluster", "#/client", "#/about", "#/node/n1", "#/server/s1", "#/tasks"):
            page.goto(f"{stage.origin}/{address}")
            shown = page.locator(f".page[data-page={address.split('/')[1]}]")
            box = shown.locator(".table-box").first
            box.locator("th").first.wait_for()
            wait_until(partial(box.evaluate, FITS), what=f"{address} to fit {width} pixels")
            if not absent and address in ("#/cluster", "#/tasks"):
                box.locator("tbody tr[data-id]").first.wait_for()
                for title in box.locator("th button").all():
                    title.click()
                    assert title.evaluate(FITS), title.inner_text()
        shown.get_by_text("Columns", exact=True).click()
        assert shown.locator(".choices label:visible").count() == 9 - absent
        assert shown.locator("th:visible").count() == 11 - absent


@pytest.mark.row("MO-14", "MO-23", "MO-49")
def test_a_scheduler_shows_who_has_its_servers_in_place_of_tasks(stage: Stage) -> None:
    page = stage.open()
    monitor = "http://10.9.9.1:8181"
    stage.source.lend(f"The servers are lent: the monitor at {monitor} shows tasks.", monitor)
    link = page.locator(".elsewhere a")
    link.wait_for()
    assert (link.get_attribute("href"), link.get_attribute("rel")) == (monitor, "noreferrer")
    menu = page.locator("nav a:visible span:first-child").all_inner_texts()
    assert menu == ["Cluster", "Node", "Server", "Events", "Clients", "About", "Why clients wait"]
    assert cells(page, "Place") == ["has it", "1", "2"]
    assert set(cells(page, "Lent to")) == {"rehearsal.py"}
    nodes = page.locator(".page[data-page=cluster] .table-box").last
    for width in (1279, 1198):  # where all columns have just room, and where one has gone
        page.set_viewport_size({"width": width, "height": 900})
        wait_until(partial(nodes.evaluate, FITS), what=f"nodes to fit {width} pixels")
    assert "failed" not in page.locator(".totals").inner_text()
    page.goto(f"{stage.origin}/#/tasks")
    page.locator(".page[data-page=tasks] .elsewhere", has_text="shows tasks").wait_for()
    page.goto(f"{stage.origin}/#/server/s1")
    page.locator(".page[data-page=server] .elsewhere").wait_for()
    assert page.locator(".page table").count() == 0
    suspend = page.get_by_role("button", name="Suspend", exact=True)
    wait_until(lambda: (suspend.get_attribute("title") or "").startswith("A scheduler does nothing"))


@pytest.mark.row("MO-15", "MO-16", "HT-11")
def test_cluster_shows_what_the_json_says(stage: Stage) -> None:
    for _ in range(3):
        stage.source.submit("compute")
    page = stage.open()
    page.locator(".totals dd", has_text="3").first.wait_for()
    cluster = ask(page, "cluster")["cluster"]
    shown = dict(
        zip(
            page.locator(".totals dt").all_inner_texts(),
            page.locator(".totals dd").all_inner_texts(),
            strict=True,
        )
    )
    assert {name: shown[name] for name in ("Submitted", "Done", "Of these failed", "Running")} == {
        "Submitted": str(cluster["submitted"]),
        "Done": str(cluster["done"]),
        "Running": str(cluster["running"]),
        "Of these failed": str(cluster["failed"]),
    }
    nodes = {node["address"]: node for node in ask(page, "nodes")["nodes"]}
    for address, name, servers in zip(
        cells(page, "IP address"), cells(page, "Name"), cells(page, "Servers"), strict=True
    ):
        assert (nodes[address]["name"], str(nodes[address]["servers"])) == (name, servers)
    assert "rehearsal.py, 2 waiting" in page.locator("#strip").inner_text()
    link = page.locator("tbody a").first.get_attribute("href")
    assert re.fullmatch(r"#/node/n\d+", link)


@pytest.mark.row("MO-16", "HT-11", "MO-50", "MO-45")
def test_nodes_are_sorted_by_address_descending_by_number_and_by_any_column(
    stages: Callable[..., Stage],
) -> None:
    stage = stages(12, 1)
    page = stage.open()
    page.locator("tbody tr").nth(11).wait_for()
    by_number = sorted(cells(page, "IP address"), key=lambda text: [int(part) for part in text.split(".")])
    assert cells(page, "IP address") == by_number[::-1]
    head = page.locator("th[data-column=address]")
    assert head.get_attribute("aria-sort") == "descending"
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    wait_until(lambda: cells(page, "IP address") == by_number)
    page.locator("th[data-column=name] button").click()
    assert head.get_attribute("aria-sort") == "none"
    page.reload()
    page.locator("body:not(.out)").wait_for()
    assert page.locator("th[data-column=name]").get_attribute("aria-sort") == "ascending"


@pytest.mark.row("MO-17", "MO-45")
def test_the_interval_is_chosen_or_typed_and_kept(stage: Stage) -> None:
    page = stage.open()
    page.get_by_label("Update Interval").select_option("2")
    page.locator("#connection-text", has_text="Every 2 s").wait_for()
    page.get_by_label("Update Interval").select_option("other")
    typed = page.get_by_label("Seconds between updates")
    typed.fill("9999")
    typed.press("Tab")
    assert page.locator("#interval-wrong").inner_text() == "0.2 to 3600 seconds"
    assert typed.get_attribute("aria-invalid") == "true"
    typed.fill("0.7")
    typed.press("Tab")
    page.locator("#connection-text", has_text="Every 0.7 s").wait_for()
    page.reload()
    page.locator("#connection-text", has_text="Every 0.7 s").wait_for()


@pytest.mark.row("MO-17", "HT-06")
def test_arguments_are_hidden_by_a_viewer_for_himself_and_by_an_operator_for_all(stage: Stage) -> None:
    viewer, operator = stage.open(viewer=True), stage.open()
    viewer.get_by_label("Show Task Arguments").uncheck()
    viewer.goto(f"{stage.origin}/#/tasks")
    stage.source.submit("compute", args="(41, 'secret')")
    viewer.locator("tbody td[data-label=Arguments]", has_text="hidden").wait_for()
    assert stage.source.show_args
    operator.get_by_label("Show Task Arguments").uncheck()
    wait_until(lambda: not stage.source.show_args)
    viewer.goto(f"{stage.origin}/#/cluster")
    viewer.locator("#show-args:disabled").wait_for()


@pytest.mark.row("MO-18", "HT-12")
def test_a_node_is_found_by_its_address_and_an_unknown_one_is_said_to_be(stage: Stage) -> None:
    node = stage.source.nodes[0]
    page = stage.open(f"node/{node.address}")
    page.locator("h1", has_text=f"Node {node.address} node0").wait_for()
    wait_until(lambda: len(cells(page, "Location")) == 2)
    assert set(cells(page, "Location")) == {server.location for server in node.servers}
    assert "Linux-6.12.0" in page.locator(".facts").inner_text()
    page.goto(f"{stage.origin}/#/node/n999")
    page.locator(".banner", has_text="no node 'n999' is known".capitalize()).wait_for()
    page.goto(f"{stage.origin}/#/node/10.7.7.7")
    page.locator("tr.empty", has_text="No node at 10.7.7.7 is known").wait_for()


@pytest.mark.row("MO-14")
def test_what_is_unknown_is_a_dash_with_its_reason(stages: Callable[..., Stage]) -> None:
    stage = stages(50, 1)  # the last one has no psutil
    page = stage.open()
    cell = page.locator("tr", has_text="node49").locator("td[data-label='CPU available']")
    assert cell.inner_text().strip() == "–"
    assert cell.get_attribute("title") == "psutil not installed on this node"


@pytest.mark.row("MO-19", "HT-13", "HT-14", "MO-34", "MO-55", "MO-56")
def test_a_task_is_terminated_from_its_server_s_page(stage: Stage) -> None:
    short = stage.source.submit("compute", args="(7,)")
    page = stage.open(f"server/{stage.placed(short)}")
    running = page.get_by_role("region", name="Running tasks")
    row = running.locator("tbody tr", has_text=f"compute#{short}")
    row.wait_for()
    row.locator("td", has_text="Table.rows data.py:88").wait_for()
    assert "(7,)" in row.inner_text()
    button = running.get_by_role("button", name="Terminate selected")
    assert button.is_disabled()
    row.get_by_role("checkbox").check()
    button.click()
    dialog = page.get_by_role("dialog", name=f"Terminate compute#{short}?")
    assert "gets KeyboardInterrupt and has 5 s" in dialog.inner_text()
    assert page.evaluate("document.activeElement.textContent") == "Cancel"
    dialog.get_by_role("button", name="Terminate").click()
    page.locator(".message", has_text="it got KeyboardInterrupt").wait_for()
    page.get_by_role("region", name="Last 50 ended").locator("tr", has_text=f"compute#{short}").wait_for()
    assert page.locator(".message").count() == 1  # it stays until it is read


@pytest.mark.row("MO-18", "MO-34", "MO-56", "HT-14")
def test_a_node_is_suspended_and_undo_resumes_it(stage: Stage) -> None:
    page = stage.open("node/n1")
    page.get_by_role("button", name="Suspend", exact=True).click()
    page.get_by_role("button", name="Suspend node").click()
    page.locator(".head .state", has_text="suspended").wait_for()
    assert stage.source.nodes[0].state == "suspended"
    page.get_by_role("button", name="Undo").click()
    page.locator(".head .state", has_text="initialized").wait_for()
    assert stage.source.nodes[0].state == "initialized"


@pytest.mark.row("MO-55", "MO-54")
def test_closing_a_node_with_running_tasks_wants_its_name(stage: Stage) -> None:
    for _ in range(8):
        stage.source.submit("compute")
    page = stage.open("node/n1")
    page.locator(".facts", has_text="2 running").wait_for()
    close = page.get_by_role("button", name="Close", exact=True)
    close.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Close node").click()
    assert dialog.get_by_role("alert").inner_text() == "That is not node0."
    field = dialog.get_by_label("Type node0 to go on")
    assert field.get_attribute("aria-invalid") == "true"
    page.keyboard.press("Escape")
    dialog.wait_for(state="detached")
    assert page.evaluate("document.activeElement.textContent") == "Close"
    assert stage.source.nodes[0].state == "initialized"
    close.click()
    field.fill("node0")
    dialog.get_by_role("button", name="Close node").click()
    page.locator(".head .state", has_text="closed").wait_for()


@pytest.mark.row("MO-58", "SE-39")
def test_a_viewer_sees_actions_disabled_with_the_reason(stage: Stage) -> None:
    page = stage.open("node/n1", viewer=True)
    for name in ("Suspend", "Resume", "Close", "Restart"):
        button = page.get_by_role("button", name=name, exact=True)
        assert button.is_disabled()
        assert "viewer" in button.get_attribute("title")


@pytest.mark.row("MO-20")
def test_tasks_are_filtered_and_one_tells_its_whole_story(stage: Stage) -> None:
    good, bad = stage.source.submit("compute"), stage.source.submit("resize")
    page = stage.open("tasks")
    page.locator("tbody tr", has_text=f"#{good}").wait_for()
    trace = 'Traceback (most recent call last):\n  File "work.py", line 3, in resize\nValueError: no such row'
    stage.source.fail(bad, trace)
    page.locator("tbody tr", has_text="ValueError: no such row").wait_for()
    page.locator("main p", has_text="Done in all: 1, 1 of them failed.").wait_for()
    page.get_by_label("Filter", exact=True).fill("state:failed name:res")
    wait_until(lambda: cells(page, "Id") == [f"#{bad}"])
    page.get_by_label("Filter", exact=True).fill("state:failed name:compute")
    page.locator("tr.empty", has_text="No task matches the filter.").wait_for()
    page.goto(f"{stage.origin}/#/task/t{good}")
    page.locator(".stack li", has_text="Table.rows").wait_for()
    stage.source.finish(good)
    page.locator(".head .state", has_text="finished").wait_for()
    page.goto(f"{stage.origin}/#/task/t{bad}")
    page.locator("pre[aria-label=Reason]", has_text='File "work.py", line 3, in resize').wait_for()
    page.goto(f"{stage.origin}/#/task/t987654")
    page.locator(".page p", has_text="Nothing is known of task t987654").wait_for()
    stage.looking.watched.faults = [fault for fault in stage.looking.watched.faults if "404" not in fault]


@pytest.mark.row("MO-21", "MO-53", "MO-41")
def test_the_timeline_is_a_picture_a_table_and_a_file(stage: Stage) -> None:
    short = stage.source.submit("compute")
    page = stage.open("timeline")
    canvas = page.locator(".picture canvas")
    wait_until(lambda: "1 task at 4 servers" in (canvas.get_attribute("aria-label") or ""))
    painted = "c => new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size > 8"
    wait_until(lambda: canvas.evaluate(painted))
    canvas.focus()
    page.keyboard.press("d")
    page.locator(".listing td", has_text=f"compute#{short}").wait_for()
    with page.expect_download() as saved:
        page.get_by_role("button", name="Export").click()
    with open(saved.value.path(), encoding="utf-8") as file:
        events = json.load(file)["traceEvents"]
    assert [event["name"] for event in events if event["ph"] == "B"] == ["compute"]
    page.keyboard.press("Escape")
    canvas.focus()
    page.keyboard.press("n")
    page.keyboard.press("Enter")
    page.locator("h1", has_text=f"Task compute#{short}").wait_for()


@pytest.mark.row("MO-22")
def test_events_are_filtered_by_level_and_downloaded(stage: Stage) -> None:
    short = stage.source.submit("compute")
    page = stage.open("events")
    stage.placed(short)
    stage.source.fail(short, "ValueError: =1+1")
    row = page.locator("tbody tr", has_text=f"compute#{short}")
    row.wait_for()
    page.get_by_role("combobox", name="Level").select_option("error")
    wait_until(lambda: set(cells(page, "Level")) == {"error"})
    with page.expect_download() as saved:
        page.get_by_role("button", name="Download").click()
    with open(saved.value.path(), encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    assert [line["level"] for line in lines] == ["error"]


@pytest.mark.row("MO-23")
def test_client_and_about_tell_who_waits_and_which_versions_differ(stage: Stage) -> None:
    page = stage.open("client")
    wait_until(lambda: cells(page, "Name") == ["rehearsal.py", "nightly.py", "report.py"])
    assert cells(page, "Place") == ["has it", "1", "2"]
    page.goto(f"{stage.origin}/#/about")
    page.locator("td", has_text="0.0.9 ≠ here").first.wait_for()


@pytest.mark.row("MO-06")
def test_tasks_says_while_it_shows_only_one_in_so_many(stage: Stage) -> None:
    page = stage.open("tasks")
    words = page.locator("main p[role=status]")
    assert words.inner_text() == ""
    stage.source.tell_sampled(20)
    page.get_by_text("1 in 20 is shown here, the counts are of all").wait_for()
    stage.source.tell_sampled(1)
    wait_until(lambda: words.inner_text() == "")


@pytest.mark.row("MO-24")
def test_why_nothing_runs_is_a_line_on_cluster_and_a_page(stages: Callable[..., Stage]) -> None:
    stage = stages(1, 1)
    stage.source.nodes[0].state = "suspended"
    stage.source.submit("compute")
    page = stage.open()
    hint = page.locator("a.hint")
    hint.wait_for(timeout=20_000)
    hint.click()
    page.locator(".causes h2", has_text="suspended").wait_for()
    assert page.locator(".causes .advice").first.inner_text()


@pytest.mark.row("HT-09", "MO-69")
def test_two_browsers_show_the_same_numbers(stage: Stage) -> None:
    first, second = stage.open(), stage.open(viewer=True)
    for _ in range(4):
        stage.source.submit("compute")
    for page in (first, second):
        page.locator(".totals dd", has_text="4").first.wait_for()
    assert (
        first.locator(".totals dd").all_inner_texts()[:5]
        == second.locator(".totals dd").all_inner_texts()[:5]
    )
