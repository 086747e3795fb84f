"""What tasks, nodes and logs say is shown as it is, runs nothing, and leaves no page or file."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.conftest import Stage
from tests.helpers import wait_until

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(2)</script>",
    "javascript:alert(3)",
    "${alert(4)} %s{0} {{alert(4)}}",
    '" onmouseover="alert(5)',
)


def quiet(page: Any) -> None:
    """Have any script that runs, and any request it makes, be seen."""
    page.add_init_script("globalThis.alerts = []; globalThis.alert = text => alerts.push(text)")


@pytest.mark.row("SE-109", "SE-41", "MO-71", "HT-15")
def test_markup_in_names_arguments_reasons_and_logs_stays_text(stage: Stage) -> None:
    page = stage.looking.blank()
    quiet(page)
    page.goto(stage.link)
    page.locator("body:not(.out)").wait_for()
    stage.source.rename(stage.source.nodes[0], HOSTILE[0])
    page.locator("td[data-label=Name]", has_text=HOSTILE[0]).wait_for()
    page.goto(f"{stage.origin}/#/tasks")
    shorts = [stage.source.submit(text, args=text, io=True) for text in HOSTILE]
    for short, text in zip(shorts, HOSTILE, strict=True):
        row = page.locator("tr", has_text=f"#{short}")
        wait_until(lambda row=row, text=text: row.locator("td[data-label=Name]").inner_text() == text)
        assert row.locator("td[data-label=Arguments]").inner_text() == text
        stage.source.fail(short, f"ValueError: {text}")
    page.goto(f"{stage.origin}/#/task/t{shorts[0]}")
    page.locator("pre[aria-label=Reason]", has_text=HOSTILE[0]).wait_for()
    page.goto(f"{stage.origin}/#/server/s1")
    page.locator("pre.log", has_text="Nothing was printed").or_(
        page.locator("pre.log .line").first
    ).first.wait_for()
    stage.source.print_line(stage.source.nodes[0].servers[0], HOSTILE[1])
    page.locator("pre.log .line", has_text=HOSTILE[1]).wait_for()
    for path in ("timeline", "events", "about", "client"):
        page.goto(f"{stage.origin}/#/{path}")
        page.locator(f".page[data-page={path}]").wait_for()
    assert page.evaluate("alerts") == []
    assert page.evaluate("document.querySelectorAll('main img, main script, main iframe').length") == 0


@pytest.mark.row("SE-109")
def test_what_can_not_be_seen_or_turns_text_around_is_shown_as_a_sign(stage: Stage) -> None:
    page = stage.open("tasks")
    short = stage.source.submit("a\u202eb\x1b[31mc\ud800d", args="x" * 1_000_000)
    name = page.locator("tr", has_text=f"#{short}").locator("td[data-label=Name]")
    wait_until(lambda: name.inner_text() == "a\\u202eb\u241b[31mc\\ud800d")


@pytest.mark.row("MO-63", "SE-110", "SE-109")
def test_a_report_opens_without_script_or_network(stage: Stage, tmp_path: Any) -> None:
    page = stage.open()
    stage.source.rename(stage.source.nodes[0], HOSTILE[1])
    page.locator("td[data-label=Name]", has_text=HOSTILE[1]).wait_for()
    saved = []
    page.on("download", lambda download: saved.append(download))
    page.get_by_role("button", name="Save report").click()
    wait_until(lambda: page.wait_for_timeout(20) or len(saved) == 2)
    html = next(one for one in saved if one.suggested_filename.endswith(".html"))
    path = tmp_path / "report.html"
    html.save_as(path)
    report = page.context.new_page()
    quiet(report)
    asked: list[str] = []
    report.on("request", lambda request: asked.append(request.url))
    report.goto(path.as_uri())
    assert report.locator("td", has_text=HOSTILE[1]).count() == 3  # the node, and at its two servers
    assert report.evaluate("document.scripts.length") == 0
    assert asked == [path.as_uri()]


@pytest.mark.row("SE-37", "SE-102", "SE-103", "MO-71")
def test_a_foreign_page_gets_nothing(stage: Stage) -> None:
    """From another name that leads to the same port, and from a page without an origin."""
    stage.looking.watched.expected.extend(
        (
            "403",
            "CORS",
            "Failed to load",
            "evil.test",
            "ERR_FAILED",
            "Content Security",
            "Cross-Origin",
            "LOCAL_NETWORK",
        )
    )
    port = stage.origin.rpartition(":")[2]
    page = stage.looking.blank()
    answer = page.goto(f"http://evil.test:{port}/")
    assert answer.status == 403
    page.goto("data:text/html,<title>foreign</title>")
    code = (
        f"""() => fetch('{stage.origin}/api/v1/cluster').then(answer => answer.text(), error => 'blocked')"""
    )
    assert page.evaluate(code) == "blocked"
    socket = f"""() => new Promise(done => {{ const s = new WebSocket('{stage.origin.replace("http", "ws")}/api/v1/live');
        s.onopen = () => done('open'); s.onclose = () => done('closed') }})"""
    assert page.evaluate(socket) == "closed"
