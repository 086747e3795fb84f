"""Examples of jobs: what they print is compared with what is computed here."""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
from datetime import datetime
from pathlib import Path

import pytest

from dispycos import MonitorStatus, Task
from dispycos.kernel import loop
from tests.process.examples import LIBRARY, LOCATION, end_of, module, parsed, run


@pytest.mark.row("XX-02")
def test_results_come_once_per_job_with_the_time_at_the_server():
    began = datetime.now().astimezone()
    results = parsed(rf"result for (\d+) from {LOCATION}: (\S+)", run("dispycos_client2", "6"))
    assert [int(job) for job, _, _ in results] == list(range(6))
    assert len({location for _, location, _ in results}) <= 2
    for _, _, moment in results:
        # Milliseconds were cut off there.
        assert began.timestamp() - 0.001 <= datetime.fromisoformat(moment).timestamp()
        assert datetime.fromisoformat(moment) <= datetime.now().astimezone()


@pytest.mark.row("XX-03")
def test_instances_go_to_tasks_and_come_back_worked_on():
    lines = run("dispycos_client3", "6")
    asked = parsed(r"request (\d+): (\S+)", [line for line in lines if line.startswith("request")])
    answers = parsed(
        r"result for job (\d+): (\d+): (\S+)", [line for line in lines if line.startswith("result")]
    )
    assert len(asked) == len(answers) == 6 and len(lines) == 12
    assert {(job, i, float(root)) for job, i, root in answers} == {
        (i, i, math.sqrt(float(x))) for i, x in asked
    }


@pytest.mark.row("XX-04")
def test_files_go_to_a_task_and_its_own_files_come_back(tmp_path: Path):
    lines = run("dispycos_client4", "4", env={"TMPDIR": str(tmp_path)})
    outputs = dict(parsed(r"job (\d+) output is in (.+)", lines))
    assert sorted(outputs) == ["0", "1", "2", "3"] and len(lines) == 4
    for i, source in enumerate(sorted(LIBRARY.glob("*.py"))[:4]):
        lengths = [len(line.rstrip(b"\r\n")) for line in source.read_bytes().splitlines(keepends=True)]
        assert Path(outputs[str(i)]).read_text().split() == [str(length) for length in lengths]


@pytest.mark.row("XX-05")
def test_a_program_among_the_components_is_fed_and_read_through_pipes():
    lines = run("dispycos_client5", "2")
    source = Path(os.__file__).read_text().splitlines()
    for job in range(2):
        mine = [line for line in lines if line.startswith(f"job {job} ")]
        expected = [
            f"job {job} output: Line {number} has {len(line.rstrip())} characters, {len(line.split())} words"
            for number, line in enumerate(source[10 * job : 10 * job + 10], 1)
        ]
        assert mine == [*expected, f"job {job} done"]
    assert len(lines) == 22


@pytest.mark.row("XX-06", "ST-04")
def test_status_messages_are_enough_to_schedule_by():
    lines = run("dispycos_client7", "5")
    started = parsed(
        rf"rtask_proc started at {LOCATION} with (\S+)", [line for line in lines if " started " in line]
    )
    finished = parsed(r"rtask_proc finished with (\S+)", [line for line in lines if " finished " in line])
    assert len(started) == len(finished) == 5 and len(lines) == 10
    assert sorted(x for _, x in started) == sorted(x for (x,) in finished)
    busy = 0
    for line in lines:
        busy += 1 if " started " in line else -1
        assert 0 <= busy <= 2, lines


@pytest.mark.row("XX-07", "KE-04")
def test_messages_queue_while_a_task_blocks_its_server():
    found = parsed(rf"{LOCATION} computed result: (\d+)", run("dispycos_client8", "4"))
    assert [int(total) for _, total in found] == [sum(range(10 * i, 10 * i + 10)) for i in range(4)]


@pytest.mark.row("XX-10", "DC-12", "DC-54")
def test_each_file_is_worked_on_in_a_pristine_server():
    folder = Path(json.__file__).parent
    lines = run("dispycos_client10", str(folder), "4")
    files = sorted(path for path in folder.iterdir() if path.is_file())[:4]
    assert lines == [
        f"sha256sum for {file}: {hashlib.sha256(file.read_bytes()).hexdigest()}" for file in files
    ]


# A job that fails is no hang, whatever the program waits for.


def broken(*args, task=None):
    yield
    raise ValueError("the job is broken")


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("dispycos_client2", "compute"),
        ("dispycos_client3", "solve"),
        ("dispycos_client5", "run"),
        ("dispycos_client7", "rtask_proc"),
        ("dispycos_live_analytics", "save"),
    ],
)
@pytest.mark.row("XX-02", "XX-03", "XX-05", "XX-06", "XX-15")
def test_a_program_whose_job_fails_ends_and_says_so(cluster, name, function):
    example = module(name)
    setattr(example, function, broken)
    status = Task(example.main, argparse.Namespace(n=2, scale=0.1)).value(20)
    assert isinstance(status, MonitorStatus), "the program ended well, or not at all"
    assert "the job is broken" in str(status.value)
    assert loop.default().join(20), "a task of the program waits for what will not come"


@pytest.mark.row("XX-02")
def test_a_number_of_jobs_that_is_none_is_refused():
    found = end_of("dispycos_client2", "many")
    assert found.code == 2 and "many" in found.err
