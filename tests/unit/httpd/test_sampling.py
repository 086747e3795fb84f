"""Which tasks a monitor is told of while a program makes more than anybody can look at."""

from __future__ import annotations

import pytest

from dispycos.httpd.sampling import MOST, Sampling

TICK = 0.5  # seconds


def told(sampling: Sampling, numbers: range) -> list[int]:
    """Those of these tasks that the monitor is told of, each from its beginning to its end."""
    found = [number for number in numbers if sampling.begins(number)]
    again = [number for number in numbers if sampling.begins(number)]
    assert again == found
    assert [number for number in numbers if sampling.ends(number, False)] == found
    return found


@pytest.mark.row("MO-06")
def test_each_task_is_told_while_there_are_few():
    sampling = Sampling()
    for second in range(5):
        sampling.pace(MOST, 1.0)
        assert sampling.one_in == 1
        tasks = range(second * MOST, (second + 1) * MOST)
        assert told(sampling, tasks) == list(tasks)
    assert sampling.left_out == 0


@pytest.mark.row("MO-06")
def test_of_many_tasks_so_many_a_second_are_told_and_what_is_left_out_is_counted():
    sampling = Sampling()
    rate = 20 * MOST
    sampling.pace(0, TICK)
    burst = told(sampling, range(int(rate * TICK)))
    assert len(burst) == MOST * TICK, "nobody knew that they would come"
    for tick in range(1, 10):
        sampling.pace(int(rate * TICK), TICK)
        assert sampling.one_in == 20
        sampling.left_out = 0
        tasks = range(int(tick * rate * TICK), int((tick + 1) * rate * TICK))
        found = told(sampling, tasks)
        assert found == [number for number in tasks if number % 20 == 0], "evenly"
        assert sampling.left_out == 3 * (len(tasks) - len(found))
    sampling.pace(10, TICK)
    assert told(sampling, range(10)) == list(range(10))


def test_a_task_that_was_told_is_told_to_its_end():
    sampling = Sampling()
    sampling.pace(0, TICK)
    assert sampling.begins(7)
    sampling.pace(100 * MOST, TICK)
    assert sampling.begins(7) and sampling.lives(7)
    assert not sampling.lives(8)
    assert sampling.ends(7, False)
    assert not sampling.begins(7), "it is over, and nothing is known of it"


def test_failures_are_told_of_all_tasks_so_many_a_second():
    sampling = Sampling()
    sampling.pace(100 * MOST, TICK)
    failures = [number for number in range(1, 10 * MOST, 2) if sampling.ends(number, True)]
    assert MOST * TICK <= len(failures) <= 2 * MOST * TICK


def test_a_survey_tells_all_that_live_unless_there_are_many():
    sampling = Sampling()
    sampling.pace(0, TICK)
    assert all(sampling.lives(number) for number in range(10 * MOST))
    sampling.forget()
    sampling.pace(50 * MOST, TICK)
    listed = [number for number in range(100 * MOST) if sampling.lives(number)]
    assert len(listed) == MOST * TICK
    assert all(sampling.ends(number, False) for number in listed)
