"""A bar in a terminal, HTML in a notebook, plain lines elsewhere."""

from __future__ import annotations

import io

import pytest

from dispycos.client.bar import Bar


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.mark.row("DC-66")
def test_a_terminal_gets_one_line_that_is_drawn_over_and_left_once() -> None:
    terminal = Terminal()
    with Bar(4, "copying", terminal) as bar:
        for _ in range(4):
            bar.advance()

    text = terminal.getvalue()
    assert text.count("\n") == 1
    assert text.endswith("\n")
    assert "copying" in text
    assert "4 of 4" in text.rpartition("\r")[2]


@pytest.mark.row("DC-66")
def test_elsewhere_a_short_run_prints_one_plain_line() -> None:
    stream = io.StringIO()
    with Bar(2, "copying", stream) as bar:
        bar.advance()
        bar.advance(failed=True)

    lines = stream.getvalue().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("  copying  2 of 2, ")
    assert "1 failed" in lines[0]


@pytest.mark.row("DC-66")
def test_a_hundred_thousand_steps_are_drawn_a_few_times_only() -> None:
    terminal = Terminal()
    with Bar(100_000, "", terminal) as bar:
        for _ in range(100_000):
            bar.advance()

    assert terminal.getvalue().count("\r") < 200


@pytest.mark.row("DC-66")
def test_a_closed_stream_stops_the_bar_and_not_the_program() -> None:
    stream = io.StringIO()
    bar = Bar(2, "copying", stream)
    stream.close()

    bar.advance(2)
    bar.close()

    assert bar.done == 2


def test_a_bar_without_steps_is_done_from_the_start() -> None:
    stream = io.StringIO()
    Bar(0, "nothing", stream).close()

    assert "0 of 0" in stream.getvalue()


@pytest.mark.row("DC-66")
def test_its_html_needs_no_script_and_takes_no_tags_from_labels() -> None:
    bar = Bar(4, "<b>copying</b>", io.StringIO())
    bar.advance(1, "50% & more")
    bar.advance(failed=True)
    text = bar._repr_html_()
    assert '<progress max="1" value="0.5000"></progress>' in text
    assert "&lt;b&gt;copying&lt;/b&gt;" in text
    assert "50% &amp; more" in text
    assert "2 of 4" in text
    assert "1 failed" in text
    assert "script" not in text


@pytest.mark.row("DC-66")
def test_what_was_done_before_says_nothing_about_the_rate() -> None:
    bar = Bar(100, "", io.StringIO())
    bar.advance(90, before=True)
    assert repr(bar) == "90 of 100"
    bar.advance(5)
    assert "95 of 100" in repr(bar)
    assert " left" in repr(bar)
