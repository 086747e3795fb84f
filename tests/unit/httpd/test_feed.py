"""The queue between the program and the monitor: bounded, and what is left out is known to be."""

from __future__ import annotations

import pytest

from dispycos.httpd import feed
from dispycos.httpd.feed import Feed


@pytest.mark.row("MO-04", "MO-05")
def test_a_monitor_that_takes_nothing_costs_no_memory_and_asks_for_a_survey_afterwards() -> None:
    queue = Feed()
    for number in range(3 * feed.MAX_EVENTS):
        queue.put(number)
    assert queue.collapsed == 2 * feed.MAX_EVENTS
    assert queue.survey_wanted

    queue.put_always("figures")

    taken = queue.take()
    assert len(taken) == feed.MAX_EVENTS + 1
    assert taken[-1] == "figures"
    assert queue.take() == []
    for number in range(3 * feed.MAX_EVENTS):
        queue.put_always(number)
    assert len(queue.take()) == 2 * feed.MAX_EVENTS
