"""The page while its connection stalls, breaks and comes back, and when the program ends."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import Looking, Stage
from tests.helpers import Program, background, wait_until

REFUSED = ("ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE", "WebSocket connection to")


@pytest.fixture
def rehearsal() -> Iterator[Callable[..., tuple[Program, str, str]]]:
    """`program, link, origin = rehearsal(port)`: the synthetic cluster as a program of its own."""
    started: list[Any] = []

    def start(port: int = 0) -> tuple[Program, str, str]:
        options = ["--nodes", "2", "--servers", "2", "--rate", "5", "--steady", "--port", str(port)]
        run = background([sys.executable, "-m", "tests.browser.feed", *options])
        program = run.__enter__()
        started.append(run)
        link = program.wait_line("operator:").split()[1]
        return program, link, link.partition("/#")[0]

    yield start
    for run in started:
        run.__exit__(None, None, None)


def state(page: Any) -> str:
    """The state of the connection, as the page shows it."""
    found: str = page.locator("#connection").get_attribute("data-state")
    return found


@pytest.mark.row("MO-60", "HT-07", "HT-17", "MO-70")
def test_the_end_of_the_program_leaves_its_last_state(
    rehearsal: Callable[..., Any], looking: Callable[[str], Looking]
) -> None:
    program, link, origin = rehearsal()
    look = looking(origin)
    look.watched.expected.extend(REFUSED)
    page = look.open(link)
    page.locator("tbody tr[data-id]").nth(1).wait_for()
    program.signal(signal.SIGINT)
    banner = page.locator(".banner", has_text="This is its last state.")
    banner.wait_for()
    assert "interrupted" in banner.inner_text()
    assert page.title().startswith("Ended at ")
    # Sorting, searching and saving go on.
    page.locator("th[data-column=name] button").click()
    wait_until(lambda: page.locator("td[data-label=Name]").all_inner_texts() == ["node0", "node1"])
    page.get_by_role("combobox", name="Search").fill("node1")
    wait_until(lambda: page.locator("td[data-label=Name]").all_inner_texts() == ["node1"])
    page.goto(f"{origin}/#/node/n1")
    close = page.get_by_role("button", name="Close", exact=True)
    wait_until(lambda: close.get_attribute("title") == "The program has ended")


@pytest.mark.row("MO-61", "MO-59", "MO-70")
def test_a_program_that_was_killed_is_said_to_have_probably_ended(
    rehearsal: Callable[..., Any], looking: Callable[[str], Looking]
) -> None:
    program, link, origin = rehearsal()
    look = looking(origin)
    look.watched.expected.extend(REFUSED)
    page = look.open(link)
    program.signal(signal.SIGKILL)
    wait_until(lambda: page.wait_for_timeout(20) or state(page) == "waiting")
    assert page.locator(".banner").count() == 0
    # Ten seconds later; waiting for them would be all that this test does.
    page.evaluate("() => { const now = Date.now; Date.now = () => now() + 10_500; }")
    page.locator(".banner", has_text="the program has probably ended. Last state shown.").wait_for()
    assert page.title().startswith("No answer since ")


@pytest.mark.row("MO-62", "MO-70")
def test_another_run_at_the_address_does_not_replace_the_old_state_by_itself(
    rehearsal: Callable[..., Any], looking: Callable[[str], Looking]
) -> None:
    program, link, origin = rehearsal()
    look = looking(origin)
    look.watched.expected.extend((*REFUSED, "401"))
    page = look.open(link)
    program.signal(signal.SIGINT)
    page.locator(".banner", has_text="This is its last state.").wait_for()
    program.wait()
    shown = page.locator(".totals dd").first.inner_text()
    _, other_link, _ = rehearsal(int(origin.rpartition(":")[2]))
    page.locator("#connection").click()
    page.locator(".banner", has_text="Open the link that the program printed").wait_for()
    assert page.locator(".totals dd").first.inner_text() == shown
    # The link opened in the same tab shows the new run.
    page.goto(other_link)
    page.locator("#connection[data-state=live]").wait_for()
    assert page.locator(".banner").count() == 0


@pytest.mark.row("MO-62", "MO-70")
def test_a_killed_scheduler_that_is_started_again_is_gone_on_with(
    tmp_path: Path, looking: Callable[[str], Looking]
) -> None:
    options = ["--tcp_port", "0", "--udp_port", "0", "--host", "127.0.0.1", "--dest_path", str(tmp_path)]
    command = [sys.executable, "-m", "dispycos", *options, "--daemon", "--http"]
    with background([*command, "127.0.0.1:0"]) as program:
        link = program.wait_line("dispycos monitor: ").rpartition(" ")[2]
        port = program.wait_line("ready at").rpartition(":")[2]
        origin = link.partition("/#")[0]
        look = looking(origin)
        look.watched.expected.extend(REFUSED)
        page = look.open(link)
        page.locator("#connection[data-state=live]").wait_for()
        page.locator(".elsewhere", has_text="This scheduler lends servers and sees no tasks").wait_for()
        program.kill()
    page.locator("#connection-text", has_text="Reconnecting").wait_for()
    command[command.index("--tcp_port") + 1] = port
    with background([*command, origin.removeprefix("http://")]) as program:
        assert program.wait_line("dispycos monitor: ").rpartition(" ")[2] == link
        page.locator("#connection").click()
        page.locator("#connection[data-state=live]").wait_for()
        assert page.locator(".banner").count() == 0
        summary = page.locator(".chart canvas").first
        wait_until(
            lambda: page.wait_for_timeout(20) or "restarted at" in (summary.get_attribute("aria-label") or "")
        )
        page.goto(f"{origin}/#/events")
        page.locator("tbody", has_text="it was started again").wait_for()
        look.close()
        program.signal(signal.SIGTERM)
        assert program.wait(20) == 0
    # Nobody is left who could go on with it: who may look goes with the journal.
    assert list(tmp_path.iterdir()) == []


@pytest.mark.row("MO-59", "MO-64", "MO-70")
def test_a_silent_program_makes_the_page_stale_and_only_differences_follow(
    rehearsal: Callable[..., Any], looking: Callable[[str], Looking]
) -> None:
    program, link, origin = rehearsal()
    look = looking(origin)
    page = look.open(link)
    page.evaluate("""() => { globalThis.kept = document.querySelector('tbody tr[data-id]') }""")
    os.kill(program.pid, signal.SIGSTOP)
    try:
        page.locator("#connection-text", has_text="Stale since").wait_for()
        assert page.title().startswith("Stale since ")
        assert "grayscale" in page.evaluate("getComputedStyle(document.querySelector('main')).filter")
    finally:
        os.kill(program.pid, signal.SIGCONT)
    page.locator("#connection[data-state=live]").wait_for()
    assert page.evaluate("globalThis.kept.isConnected")


@pytest.mark.row("MO-62")
def test_a_run_that_needs_no_login_is_offered_and_taken_on_request(stage: Stage) -> None:
    page = stage.looking.blank()
    sockets: list[Any] = []

    def between(socket: Any) -> None:
        sockets.append(socket)
        monitor = socket.connect_to_server()
        if len(sockets) > 1:
            # The same monitor, with another epoch in its greeting.
            monitor.on_message(
                lambda said: socket.send(
                    re.sub('"epoch":"[0-9a-f]+"', '"epoch":"feed"', said) if isinstance(said, str) else said
                )
            )

    page.route_web_socket("**/live", between)
    page.goto(stage.link)
    page.locator("tbody tr[data-id]").nth(1).wait_for()
    stage.source.submit("compute")
    page.locator(".totals dd", has_text="1").first.wait_for()
    sockets[0].close()
    page.locator(".banner", has_text="A new run answers here.").wait_for()
    stage.source.submit("compute")
    assert page.locator(".totals dd").first.inner_text() == "1"
    page.get_by_role("button", name="Show the new run").click()
    page.locator(".totals dd", has_text="2").first.wait_for()
    assert page.locator(".banner").count() == 0


@pytest.mark.row("MO-31")
def test_a_lost_difference_is_asked_for(stage: Stage) -> None:
    page = stage.looking.blank()
    asked: list[str] = []
    lose: list[type] = []  # a difference, and the tick that would say that all is there

    def between(socket: Any) -> None:
        monitor = socket.connect_to_server()
        socket.on_message(lambda said: (asked.append(json.loads(said)["type"]), monitor.send(said)))
        monitor.on_message(
            lambda said: lose.pop(0) if lose and isinstance(said, lose[0]) else socket.send(said)
        )

    page.route_web_socket("**/live", between)
    page.goto(stage.link)
    page.locator("tbody tr[data-id]").nth(1).wait_for()
    lose.extend((bytes, str))
    stage.source.submit("compute")
    wait_until(lambda: page.wait_for_timeout(20) or not lose)
    stage.source.submit("compute")
    page.locator(".totals dd", has_text="2").first.wait_for()
    assert "snapshot" in asked


@pytest.mark.row("MO-32", "MO-70")
def test_without_a_websocket_the_page_polls(stage: Stage) -> None:
    page = stage.looking.blank()
    page.add_init_script(
        "globalThis.WebSocket = class { constructor() { setTimeout(() => this.onclose({code: 1006, reason: ''})) } close() {} }"
    )
    page.goto(stage.link)
    page.locator("#connection-text", has_text="Polling").wait_for()
    stage.source.submit("compute")
    page.locator(".totals dd", has_text="1").first.wait_for()


@pytest.mark.row("SE-36", "MO-45")
def test_the_token_leaves_the_address_line_and_a_new_tab_needs_no_login(stage: Stage) -> None:
    page = stage.open()
    assert "token" not in page.url
    second = page.context.new_page()
    second.goto(stage.origin)
    second.locator("body:not(.out)").wait_for()
    token = stage.link.rpartition("=")[2]
    assert token not in page.evaluate(
        "JSON.stringify(localStorage) + document.title + document.body.innerText"
    )
    page.get_by_role("button", name="Log out").click()
    page.get_by_role("heading", name="Log in").wait_for()
    assert page.evaluate("JSON.parse(localStorage['dispycos-monitor']).sessions") == []
    second.locator("#connection[data-state=login]").wait_for()
    assert page.context.cookies() == []


@pytest.mark.row("SE-36", "MO-49", "MO-54")
def test_a_wrong_token_is_said_to_be_one(stage: Stage) -> None:
    stage.looking.watched.expected.append("401")
    page = stage.looking.blank()
    page.goto(stage.origin)
    field = page.get_by_label("Link or token")
    field.fill("nonsense")
    field.press("Enter")
    page.locator("#token-wrong", has_text="no link or token of this run").wait_for()
    assert field.get_attribute("aria-invalid") == "true"
    field.fill(stage.link)
    field.press("Enter")
    page.locator("body:not(.out)").wait_for()
