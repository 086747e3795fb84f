"""Times, durations and figures on the page: whose clock they follow, and that nothing jumps."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest

from tests.browser.conftest import Stage
from tests.helpers import wait_until

pytestmark = pytest.mark.long("each zone is a browser of its own")

AHEAD = 5000.0  # seconds that the program's clock is before the browser's


@pytest.mark.row("MO-44")
def test_times_are_of_the_browsers_zone_and_durations_of_the_programs_clock(stage: Stage) -> None:
    """The browser stands in Kathmandu, and its clock is behind."""
    page = stage.looking.blank(timezone_id="Asia/Kathmandu")
    page.clock.install(time=time.time() - AHEAD)
    page.goto(stage.link)
    page.locator("body:not(.out)").wait_for()
    page.locator(".zone", has_text=re.compile(r"Asia/Kath?mandu, UTC\+5:45")).wait_for()
    short = stage.source.submit("compute")
    begun = time.time()
    stage.placed(short)
    page.goto(f"{stage.origin}/#/tasks")
    row = page.locator("tbody tr", has_text="compute")
    row.wait_for()
    shown = row.locator("td", has_text=re.compile(r"^\d\d:\d\d:\d\d$")).first.inner_text()
    hours, minutes, seconds = map(int, shown.split(":"))
    there = time.gmtime(begun + 5.75 * 3600)
    apart = (hours - there.tm_hour) * 3600 + (minutes - there.tm_min) * 60 + seconds - there.tm_sec
    assert min(apart % 86400, -apart % 86400) <= 5

    def elapsed() -> float:
        found = re.search(r"(?:(\d+):)?([\d.]+) ?s?$", row.locator("td").nth(column(page)).inner_text())
        assert found
        return 60 * float(found[1] or 0) + float(found[2])

    assert elapsed() < 30
    # A minute of the browser's: durations go on by themselves.
    before = elapsed()
    page.clock.fast_forward(20_000)
    wait_until(lambda: page.wait_for_timeout(20) or elapsed() > before)


def column(page: Any) -> int:
    """Where a task's elapsed time stands."""
    heads = page.locator("thead th").all_inner_texts()
    return next(at for at, text in enumerate(heads) if "Elapsed" in text)


@pytest.mark.row("MO-44", "MO-52")
def test_a_digit_more_moves_nothing(stage: Stage) -> None:
    page = stage.open()
    page.locator("tbody tr").nth(1).wait_for()
    where = """() => JSON.stringify([...document.querySelectorAll('.totals dt, .totals dd, tbody td, #strip > *')]
        .map(one => [Math.round(one.getBoundingClientRect().left), Math.round(one.getBoundingClientRect().top)]))"""
    for _ in range(9):
        stage.source.finish(stage.source.submit("compute"))
    page.locator(".totals dd", has_text=re.compile("^9$")).first.wait_for()
    before = json.loads(page.evaluate(where))
    for _ in range(2):
        stage.source.finish(stage.source.submit("compute"))
    page.locator(".totals dd", has_text=re.compile("^11$")).first.wait_for()
    assert json.loads(page.evaluate(where)) == before
    variants = page.evaluate("getComputedStyle(document.querySelector('tbody td')).fontVariantNumeric")
    assert variants == "tabular-nums"
