"""Service hours by the time of day."""

from __future__ import annotations

import pytest

from dispycos.node.events import Hours
from dispycos.node.hours import service_times


def at(times: object, clock: str) -> Hours:
    hours, minutes = map(int, clock.split(":"))
    return times.at(hours * 60 + minutes)  # type: ignore[attr-defined, no-any-return]


@pytest.mark.row("DN-24")
def test_the_documents_example_past_midnight() -> None:
    times = service_times("17:00", "07:00", "08:00", now=0)
    assert [at(times, clock) for clock in ("17:00", "23:59", "00:00", "06:59")] == [Hours.OPEN] * 4
    assert [at(times, clock) for clock in ("07:00", "07:59")] == [Hours.CLOSED] * 2
    assert [at(times, clock) for clock in ("08:00", "12:00", "16:59")] == [Hours.ENDED] * 3


@pytest.mark.row("DN-24")
def test_without_an_end_running_tasks_go_on() -> None:
    times = service_times("09:00", "17:00", None, now=0)
    assert [at(times, clock) for clock in ("08:59", "09:00", "16:59", "17:00")] == [
        Hours.CLOSED,
        Hours.OPEN,
        Hours.OPEN,
        Hours.CLOSED,
    ]


@pytest.mark.row("DN-24")
def test_without_a_stop_tasks_are_taken_to_the_end() -> None:
    times = service_times("09:00", None, "17:00", now=0)
    assert [at(times, clock) for clock in ("09:00", "16:59", "17:00")] == [
        Hours.OPEN,
        Hours.OPEN,
        Hours.ENDED,
    ]


@pytest.mark.row("DN-24")
def test_without_a_start_it_is_now() -> None:
    times = service_times(None, "10:00", None, now=22 * 60)
    assert [at(times, clock) for clock in ("22:00", "09:59", "10:00", "21:59")] == [
        Hours.OPEN,
        Hours.OPEN,
        Hours.CLOSED,
        Hours.CLOSED,
    ]


@pytest.mark.row("DN-24")
def test_no_times_are_no_limits() -> None:
    assert service_times(None, None, None, now=0) is None


@pytest.mark.row("DN-24")
@pytest.mark.parametrize(
    ("start", "stop", "end"),
    [
        ("09:00", None, None),
        ("24:00", "10:00", None),
        ("09:60", "10:00", None),
        ("9", "10:00", None),
        ("09:00", "17:00", "16:00"),
        ("09:00", "x", None),
    ],
)
def test_what_makes_no_sense_is_refused(start: str, stop: str | None, end: str | None) -> None:
    with pytest.raises(ValueError, match=r"service|HH:MM"):
        service_times(start, stop, end, now=0)
