"""Cards: what a notebook shows of a thing."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from dispycos.card import MAX_TEXT, card, line
from dispycos.client.future import Future


class Seen(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_all_that_is_shown_is_text() -> None:
    hostile = "<script>alert('x')</script>\"&amp;"
    seen = Seen(card(hostile, hostile, [(hostile, hostile)]))
    assert seen.tags == {"div", "b", "table", "tr", "th", "td"}
    assert seen.text.count(hostile) == 4


def test_a_card_has_no_colour_of_its_own_and_no_script() -> None:
    shown = card("Client", "scheduled", [("servers", "2")])
    assert not re.search(r"#[0-9a-f]{3}|rgb|(?<!current)color\s*:|script|class=|<style", shown, re.IGNORECASE)


def test_long_texts_are_cut_and_facts_may_be_missing() -> None:
    assert len(Seen(card("Future", "", [("error", "x" * 10_000)])).text) <= MAX_TEXT + len("Future error")
    assert Seen(card("Client", "closed", [])).tags == {"div", "b"}


def test_a_future_is_shown_though_its_error_has_no_text() -> None:
    future = Future(None)
    future.fail(ValueError(2**200_000))
    assert repr(future) == "<Future of no task: failed, <its text can't be made: ValueError>>"
    assert "ValueError: <its text can't be made: ValueError>" in Seen(future._repr_html_()).text


def test_a_line_says_the_same() -> None:
    assert line("Client", "scheduled", [("servers", "2")]) == "<Client: scheduled, servers 2>"
    assert line("Client", "closed", []) == "<Client: closed>"
