"""The page at real programs: a cluster of two nodes, and the founding document's examples."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import Looking
from tests.browser.test_pages import ask, cells
from tests.helpers import ROOT, Program, background, wait_until
from tests.process.schedulers import Place, place

__all__ = ["place"]

pytestmark = [pytest.mark.long("real clusters behind a browser take minutes"), pytest.mark.timeout(180)]

# Three tasks that wait until they are ended; what is typed is submitted.
PROGRAM = """
import sys
import threading
from dispycos import Client, Pycos, Task, config
from dispycos.httpd import HTTPServer

config.MinPulseInterval = 0.2

def waits(number, note="", task=None):
    print("here is", number, flush=True)
    yield task.receive()

def tell(rtask, task=None):
    status = yield rtask()
    print("ended", status.type.__name__, flush=True)

def main(task=None):
    Pycos(node="127.0.0.1", name="c1", discover_peers=False)
    client = Client([waits], pulse_interval=0.4)
    monitor = HTTPServer(client, port=0)
    print("viewer", monitor.viewer_link, flush=True)
    print("scheduled", (yield client.schedule(sys.argv[1])), flush=True)
    threading.Thread(target=lambda: [task.send(line.strip()) for line in sys.stdin], daemon=True).start()
    while len((yield client.servers())) < 4:
        yield task.sleep(0.05)
    print("four servers", flush=True)
    while (line := (yield task.receive())) != "end":
        rtask = yield client.rtask(waits, int(line), note="<b>bold</b>")
        Task(tell, rtask).set_daemon()
    yield client.close(terminate=True)
    monitor.shutdown()

if __name__ == "__main__":
    sys.exit(Task(main).value())
"""


def totals(page: Any) -> dict[str, str]:
    """The figures of the page Cluster."""
    names, values = page.locator(".totals dt"), page.locator(".totals dd")
    return dict(zip(names.all_inner_texts(), values.all_inner_texts(), strict=True))


@pytest.mark.row("MO-69", "MO-60", "HT-11", "HT-12", "HT-13", "HT-14")
def test_each_page_shows_a_real_cluster_of_two_nodes_of_two_servers(
    place: Place, looking: Callable[[str], Looking]
) -> None:
    shared = place.scheduler()
    for name in ("n1", "n2"):
        place.node("--peer", shared.where, name=name)
    path = place.path / "watched.py"
    path.write_text(PROGRAM)
    program = place.start(
        [sys.executable, str(path), shared.where],
        {"DISPYCOS_SECRET_FILE": str(place.key), "PYTHONPATH": str(ROOT)},
    )
    link = program.wait_line("dispycos monitor: ").rpartition(" ")[2]
    viewer_link = program.wait_line("viewer ").rpartition(" ")[2]
    program.wait_line("four servers", 40)
    for number in range(3):
        program.write(str(number))
    look = looking(link.partition("/#")[0])
    page, other = look.open(link), look.open(viewer_link)

    # Cluster: fields against the JSON, sorting, the same numbers in both browsers.
    wait_until(lambda: page.wait_for_timeout(20) or totals(page)["Running"] == "3", 20)
    cluster = ask(page, "cluster")["cluster"]
    shown = totals(page)
    assert [shown[name] for name in ("Submitted", "Done", "Running", "Waiting", "Of these failed")] == [
        str(cluster[name]) for name in ("submitted", "done", "running", "waiting", "failed")
    ]
    assert (shown["Submitted"], shown["Waiting"]) == ("3", "0")
    wait_until(lambda: other.wait_for_timeout(20) or totals(other) == shown)
    names = {node["name"] for node in ask(page, "nodes")["nodes"]}
    assert set(cells(page, "Name")) == names == {"n1", "n2"}
    page.locator("th[data-column=name] button").click()
    assert cells(page, "Name") == ["n1", "n2"]
    page.get_by_label("Update Interval").select_option("1")
    page.locator("#connection-text", has_text="Every 1 s").wait_for()
    page.get_by_label("Update Interval").select_option("0")

    # Node: its servers as the JSON has them.
    nodes = {node["name"]: node["id"] for node in ask(page, "nodes")["nodes"]}
    page.locator("tbody a", has_text="127.0.0.1").first.click()
    page.locator(".page[data-page=node]").wait_for()
    servers = ask(page, f"nodes/{nodes['n1']}")["servers"]
    wait_until(lambda: set(cells(page, "Location")) == {row["location"] for row in servers})

    # Server: the task, its arguments, where it stands; the viewer may look and not act.
    task = ask(page, "tasks?state=running&limit=1")["tasks"][0]
    for one in (page, other):
        one.goto(f"{look.origin}/#/server/{task['server']}")
        one.locator("tbody", has_text=re.compile(r"waits.*note='<b>bold</b>'", re.DOTALL)).wait_for()
        one.locator("tbody", has_text=re.compile(r"watched\.py.*11")).wait_for()
        one.locator(".log", has_text="here is").wait_for()
    assert other.get_by_role("button", name="Terminate selected").is_disabled()
    page.get_by_label(re.compile("Select .*waits")).first.check()
    page.get_by_role("button", name="Terminate selected").click()
    page.get_by_role("dialog").get_by_role("button", name="Terminate").click()
    assert program.wait_line("ended", 20) == "ended KeyboardInterrupt"
    other.locator("tbody", has_text="failed").wait_for()

    # Arguments are hidden for all by an operator, suspended servers get no task, and do again.
    page.goto(f"{look.origin}/#/cluster")
    page.get_by_label("Show Task Arguments").uncheck()
    wait_until(lambda: page.wait_for_timeout(20) or ask(page, "cluster")["cluster"]["show_args"] is False)
    page.goto(f"{look.origin}/#/node/{nodes['n2']}")
    page.get_by_role("button", name="Suspend", exact=True).first.click()
    page.get_by_role("dialog").get_by_role("button", name="Suspend").click()
    wait_until(lambda: page.wait_for_timeout(20) or state(page, nodes["n2"]) == "suspended", 20)
    page.get_by_role("button", name="Resume", exact=True).first.click()
    wait_until(lambda: page.wait_for_timeout(20) or state(page, nodes["n2"]) == "initialized", 20)

    program.write("end")
    for one in (page, other):
        one.locator(".banner", has_text="This is its last state.").wait_for()
    look.watched.expected.append("ERR_CONNECTION_REFUSED")
    look.watched.expected.append("WebSocket connection to")
    assert program.wait(30) == 0, program.output


def state(page: Any, node: str) -> str:
    found: str = ask(page, f"nodes/{node}")["node"]["state"]
    return found


@pytest.mark.row("MO-77", "XX-12", "XX-13", "MO-60")
@pytest.mark.parametrize("name", ["dispycos_httpd1", "dispycos_httpd2"])
def test_the_founding_documents_examples_are_seen_from_start_to_end(
    name: str, looking: Callable[[str], Looking], tmp_path: Path
) -> None:
    command = [sys.executable, str(ROOT / "examples" / f"{name}.py"), "--port", "0", "--scale", "0.1"]
    with background(command, cwd=tmp_path) as program:
        link = program.wait_line("dispycos monitor: ", 30).rpartition(" ")[2]
        look = looking(link.partition("/#")[0])
        page = look.open(link)
        # The last one takes hours: it runs whenever it is looked for, until it is ended in the page.
        for line in ("1", "2", "100000"):
            program.write(line)
        wait_until(lambda: page.wait_for_timeout(20) or totals(page)["Done"] == "2", 30)
        assert (totals(page)["Submitted"], totals(page)["Running"]) == ("3", "1")
        page.goto(f"{look.origin}/#/tasks")
        page.locator("tbody tr", has_text="running").locator("a").first.click()
        page.locator(".page[data-page=task]", has_text="(10000.0)").wait_for()
        look.watched.expected.extend(("ERR_CONNECTION_REFUSED", "WebSocket connection to"))
        end(program)
        page.get_by_role("button", name="Terminate").click()
        page.get_by_role("dialog").get_by_role("button", name="Terminate").click()
        page.locator(".banner", has_text=re.compile("finished, 3 tasks done, 1 failed.*last state")).wait_for(
            timeout=30_000
        )
        page.goto(f"{look.origin}/#/cluster")
        page.locator(".totals dd", has_text="3").first.wait_for()
        assert program.wait(30) == 0, program.output


def end(program: Program) -> None:
    program.write("quit")
