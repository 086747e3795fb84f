"""Failures that nobody asks for are told in a few lines, whatever their number."""

from __future__ import annotations

import logging

import pytest

from dispycos.client.unasked import _Lines
from dispycos.model import End, Outcome


def failed(text: str) -> Outcome:
    return Outcome(1, 1, End.FAILED, None, text)


@pytest.mark.row("KE-08")
def test_equal_failures_are_one_line_and_a_number(caplog: pytest.LogCaptureFixture) -> None:
    lines = _Lines()
    with caplog.at_level(logging.ERROR, "dispycos"):
        for number in range(50):
            lines.tell(f"t/{number}", failed("no such row"))
        lines.tell("t/51", failed("another"))
        lines.sum_up()
        lines.sum_up()
    assert caplog.messages == [
        "t/0 failed, and nobody asked for its result: no such row",
        "t/51 failed, and nobody asked for its result: another",
        "and 49 more tasks failed in the same way",
    ]


@pytest.mark.row("KE-08", "R-33")
def test_what_was_lost_with_its_node_is_one_line_and_a_number(caplog: pytest.LogCaptureFixture) -> None:
    lines = _Lines()
    with caplog.at_level(logging.ERROR, "dispycos"):
        for number in range(50):
            text = f"server n1:9707 was lost with its node while it ran t#{number}"
            lines.tell(f"t/{number}", Outcome(number, 1, End.NODE_LOST, None, text))
            # A server that dies by itself has its own reason.
            if number < 2:
                lines.tell(f"t/{number}", Outcome(number, 1, End.SERVER_LOST, None, f"exit code {number}"))
        lines.sum_up()
    assert caplog.messages == [
        "t/0 failed, and nobody asked for its result: server n1:9707 was lost with its node while it ran t#0",
        "t/0 failed, and nobody asked for its result: exit code 0",
        "t/1 failed, and nobody asked for its result: exit code 1",
        "and 49 more tasks failed in the same way",
    ]


@pytest.mark.row("KE-08")
def test_of_many_different_failures_the_first_ones_are_told(caplog: pytest.LogCaptureFixture) -> None:
    lines = _Lines()
    with caplog.at_level(logging.ERROR, "dispycos"):
        for number in range(14):
            lines.tell("t", failed(f"reason {number}"))
        lines.sum_up()
    assert len(caplog.messages) == 11
    assert caplog.messages[-1] == "4 more tasks failed, and nobody asked for a result"
