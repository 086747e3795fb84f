"""The page under load: 10,000 updates of 1,000 nodes of 8 servers, its main thread and its heap."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from dispycos.httpd import packing, topics
from dispycos.httpd.events import Changed
from dispycos.httpd.view import View
from tests.browser.conftest import Stage

pytestmark = [pytest.mark.long("thousands of updates are drawn"), pytest.mark.timeout(900)]

NODES, SERVERS, TICKS = 1000, 8, 10_000
AHEAD = 50  # updates that are sent before the page has shown the last of them
ROUNDS = 40  # different updates, made beforehand; then they come again

SHOWN = r"n => Number(document.querySelector('.totals dd').textContent.replace(/\D/g, '')) === n"


class Load:
    """A cluster of which a tenth changes with each update, as at 1,000 tasks a second."""

    def __init__(self) -> None:
        self.view = View("load", 0.0)
        for number in range(NODES):
            values = {"address": f"10.0.{number >> 8}.{number & 255}", "name": f"node{number}", "why": ""}
            figures = {"cpu": 50.0, "memory": 10**9, "swap": 4 << 30, "disk": 10**11, "state": "initialized"}
            self.view.handle(Changed("node", number, {**values, **figures, "pulse": 1.0}), 1.0)
            for index in range(SERVERS):
                place = {"location": f"{values['address']}:{9707 + index}", "state": "idle", "done": 0}
                self.view.handle(Changed("server", (number, index), place, number), 1.0)
        self.view.handle(Changed("cluster", None, {"state": "scheduled", "submitted": 0}), 1.0)
        self.view.end_tick(1.0)

    def tick(self, number: int) -> None:
        """Let half a second pass."""
        view = self.view
        for node in range(number % 20, NODES, 20):
            view.handle(Changed("node", node, {"cpu": (node + number) % 100, "pulse": number / 2}), 1.0)
        for server in range(number % 10, NODES * SERVERS, 10):
            state = ("busy", "idle")[(number // 10) % 2]
            values = {"state": state, "running": int(state == "busy"), "done": number}
            view.handle(Changed("server", divmod(server, SERVERS), values), 1.0)
        view.end_tick(1.0)

    def updates(self) -> Iterator[bytes]:
        """Differences without end, each with its own numbers, `submitted` among them."""
        made = []
        for number in range(ROUNDS):
            before = self.view.seq
            self.tick(number)
            delta = topics.delta(self.view, "cluster", before)
            assert delta is not None
            delta["changes"].append({"fields": ["submitted"], "rows": {"cluster": ["COUNT"]}})
            text = packing.text({**delta, "from": "FROM", "to": "TO"})
            made.append(
                text.replace('"COUNT"', "%(to)d").replace('"FROM"', "%(from)d").replace('"TO"', "%(to)d")
            )
        for number in count():
            yield packing.deflate((made[number % ROUNDS] % {"from": number, "to": number + 1}).encode())


@pytest.mark.row("MO-42", "MO-74", "MO-39")
def test_ten_thousand_updates_keep_the_page_quick_and_its_heap_small(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    load = Load()
    hello = packing.text(
        {"type": "hello", "epoch": "load", "seq": 1, "role": "viewer", "time": time.time(), "program": "load"}
        | {"release": "0", "tick": 0.5, "poll": 10, "interval": 0, "actions": False, "cluster": ""}
    )
    page = stage.looking.blank()
    sockets: list[Any] = []

    def between(socket: Any) -> None:
        sockets.append(socket)
        socket.on_message(lambda said: None)
        socket.send(hello)
        socket.send(packing.pack({**topics.snapshot(load.view, "cluster"), "to": 0}))
        socket.send(tick(0))

    def tick(number: int) -> str:
        return packing.text({"type": "tick", "seq": number, "time": time.time()})

    page.route_web_socket("**/live", between)
    page.goto(stage.link)
    page.locator("tbody tr[data-id]").nth(10).wait_for()
    page.evaluate(
        """() => {
            globalThis.long = [];
            new PerformanceObserver(list => long.push(...list.getEntries().map(one => one.duration)))
                .observe({type: 'longtask'});
        }"""
    )
    cdp = page.context.new_cdp_session(page)
    # Of the thread's own processor time: what else runs here does not count.
    cdp.send("Performance.enable", {"timeDomain": "threadTicks"})
    figures: list[dict[str, float]] = []
    for number, update in zip(range(1, TICKS + 1), load.updates(), strict=False):
        sockets[-1].send(update)
        sockets[-1].send(tick(number))
        if number % AHEAD == 0:
            # Looked at rarely: looking takes the page's time, too.
            page.wait_for_function(SHOWN, arg=number, polling=250, timeout=120_000)
        if number in (TICKS // 10, TICKS):
            cdp.send("HeapProfiler.collectGarbage")
            found = cdp.send("Performance.getMetrics")["metrics"]
            figures.append({one["name"]: one["value"] for one in found})
    first, last = figures
    pauses = page.evaluate("long")
    ticks = TICKS - TICKS // 10
    parts = ("TaskDuration", "ScriptDuration", "LayoutDuration", "RecalcStyleDuration")
    spent = {name: 1000 * (last[name] - first[name]) / ticks for name in parts}
    heap = [one["JSHeapUsedSize"] / 1e6 for one in figures]
    with capsys.disabled():
        print(
            f"\n{NODES} x {SERVERS}, {TICKS} updates, ms of the main thread for each: {rounded(spent)}; "
            f"{len(pauses)} pauses over 50 ms (longest {max(pauses, default=0):.0f}); heap {heap[0]:.1f} MB, "
            f"then {heap[1]:.1f} MB; {last['Nodes']:.0f} elements; load {os.getloadavg()[0]:.1f}"
        )
    # What the page itself does; beside it the task has what this browser takes to paint without a GPU.
    assert sum(spent[name] for name in parts[1:]) < 12
    # Pauses are of the wall's time: they say nothing where others want the processor, too.
    if os.getloadavg()[0] < 1.5 * (os.cpu_count() or 1):
        assert len(pauses) < 0.02 * TICKS
    assert heap[1] < 1.2 * heap[0] + 2 and heap[1] < 120


def rounded(figures: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.1f}" for name, value in figures.items())
