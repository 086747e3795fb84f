"""Examples that are watched in a browser: what the monitor says of them is asked as a program asks."""

from __future__ import annotations

import json
import re
import signal
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.helpers import Program, background, wait_until
from tests.process.examples import FOLDER, LOCATION, parsed, run


class Watched:
    """An example that runs, and its monitor."""

    def __init__(self, program: Program) -> None:
        self.program = program
        line = program.wait_line("dispycos monitor: ", 30)
        found = re.fullmatch(r"dispycos monitor: (http://127\.0\.0\.1:\d+)/#token=(\S+)", line)
        assert found, line
        self._url, self._token = found.groups()

    def asked(self, address: str) -> dict[str, Any]:
        """The monitor's answer."""
        return self._open(address)

    def _open(self, address: str, body: bytes | None = None) -> dict[str, Any]:
        request = urllib.request.Request(f"{self._url}/api/v1/{address}", body)
        request.add_header("Authorization", f"Bearer {self._token}")
        if body is not None:
            request.add_header("Content-Type", "application/json")
            request.add_header("Origin", self._url)
        with urllib.request.urlopen(request, timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    def terminate(self, task: str) -> None:
        """End a task as an operator does in the page."""
        body = {"action": "terminate_tasks", "targets": [task], "seen": 10**9}
        answer = self._open("actions", json.dumps(body).encode())
        assert [one["result"] for one in answer["results"]] == ["done"]

    def wait_counts(self, **wanted: int) -> None:
        """Until these fields of the cluster have these values."""

        def counts() -> bool:
            row = self.asked("cluster")["cluster"]
            return {name: row[name] for name in wanted} == wanted

        wait_until(counts, 30, f"{wanted}; the program printed {self.program.output}")

    def lines(self) -> list[str]:
        """What it printed beside the monitor's address, once it has ended well."""
        assert self.program.wait(30) == 0, self.program.output
        return [line for line in self.program.lines if not line.startswith("dispycos monitor: ")]


@contextmanager
def watched(name: str, *args: str, scale: float = 0.1) -> Iterator[Watched]:
    command = [sys.executable, FOLDER / f"{name}.py", *args, "--port", "0", "--scale", str(scale)]
    with background(command) as program:
        yield Watched(program)


def end_input(program: Program) -> None:
    assert program.process.stdin
    program.process.stdin.close()


@pytest.mark.row("XX-01")
def test_jobs_say_which_server_processed_them() -> None:
    processed = parsed(rf"job (\d+) processed by {LOCATION}", run("dispycos_client1", "4", "--port", "0"))
    assert sorted(job for job, _ in processed) == ["0", "1", "2", "3"]
    assert len({location for _, location in processed}) == 2


@pytest.mark.row("XX-01", "HT-01", "MO-60")
def test_jobs_are_seen_in_the_monitor_while_they_run() -> None:
    # Jobs of minutes: they run whenever the monitor is asked, until Ctrl-C.
    with watched("dispycos_client1", "4", scale=1000) as example:
        tasks = wait_until(
            lambda: len(found := example.asked("tasks?name=compute&state=running")["tasks"]) == 2 and found
        )
        for task in tasks:
            server = wait_until(
                lambda task=task: (
                    (row := example.asked(f"servers/{task['server']}")["server"])["running"] and row
                )
            )
            assert (server["state"], server["running"]) == ("busy", 1)
        example.program.signal(signal.SIGINT)
        assert example.program.wait(30) in (1, 130, -signal.SIGINT), example.program.output
        assert not re.search(r"job \d+ processed by", example.program.output)


@pytest.mark.row("XX-12", "HT-16", "DC-39")
def test_tasks_that_are_typed_are_counted_and_awaited() -> None:
    with watched("dispycos_httpd1") as example:
        for line in ("0.5", "what", "1", "2"):
            example.program.write(line)
        example.wait_counts(submitted=3, done=3, failed=0, running=0)
        example.program.write("30000")
        (task,) = wait_until(lambda: example.asked("tasks?state=running")["tasks"], 30)
        assert (task["name"], task["args"]) == ("sleep", "(3000.0)")
        end_input(example.program)  # what still runs is awaited
        wait_until(lambda: example.asked("cluster")["cluster"]["state"] == "closing")
        example.terminate(task["id"])
        assert example.lines() == ["seconds for a task to sleep, or quit:", "'what' is no number of seconds"]


@pytest.mark.row("XX-13", "HT-08", "ST-05")
def test_a_status_task_hears_everything_beside_the_monitor() -> None:
    with watched("dispycos_httpd2") as example:
        for line in ("1", "0.5", "2"):
            example.program.write(line)
        example.wait_counts(submitted=3, done=3, failed=0)
        example.program.write("quit")
        lines = example.lines()
    told = parsed(rf"rtask (sleep/\d+@{LOCATION}) (started|done)", lines)
    assert len(told) == 6
    for task in {name for name, *_ in told}:
        assert [what for name, _, what in told if name == task] == ["started", "done"]
