"""The house rules of the tests themselves: what is left behind is seen, skips are counted."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests import helpers
from tests.helpers import Finished, alive, census, leftovers, run_program, wait_until

pytestmark = pytest.mark.row("R-64")


def test_a_forgotten_thread_is_seen() -> None:
    before = census()
    end = threading.Event()
    thread = threading.Thread(target=end.wait, name="forgotten")
    thread.start()
    try:
        assert leftovers(before, timeout=0.05) == ["thread 'forgotten'"]
    finally:
        end.set()
        thread.join()
    assert leftovers(before) == []


def test_a_forgotten_socket_is_seen() -> None:
    before = census()
    with socket.socket():
        (found,) = leftovers(before, timeout=0.05)
        assert "socket:" in found
    assert leftovers(before) == []


def test_it_is_told_where_a_forgotten_connection_leads() -> None:
    before = census()
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        there = server.getsockname()
        assert any(text.endswith(f"to {there!r}") for text in leftovers(before, timeout=0.05))
    assert leftovers(before) == []


def test_a_forgotten_child_is_seen() -> None:
    before = census()
    with subprocess.Popen(["sleep", "1000"]) as child:
        try:
            assert any(f"process {child.pid}: sleep 1000" in text for text in leftovers(before, timeout=0.05))
        finally:
            child.kill()
    assert leftovers(before) == []


def test_an_orphan_with_a_session_of_its_own_is_seen() -> None:
    before = census()
    script = "import subprocess\nprint(subprocess.Popen(['sleep', '1000'], start_new_session=True,"
    code, out, err = helpers.run_python(
        script + " stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).pid)"
    )
    assert code == 0, err
    orphan = int(out)
    try:
        assert any(f"process {orphan}:" in text for text in leftovers(before, timeout=0.05))
    finally:
        os.kill(orphan, signal.SIGKILL)
    wait_until(lambda: not alive(orphan))
    assert leftovers(before) == []


def test_a_program_that_hangs_is_ended_and_its_stacks_are_shown() -> None:
    with pytest.raises(helpers.Overdue, match="in waiting_for_nothing"):
        helpers.run_python(
            "import time\ndef waiting_for_nothing():\n    time.sleep(1000)\nwaiting_for_nothing()",
            timeout=1,
        )


def test_a_condition_that_never_holds_says_what_it_was() -> None:
    with pytest.raises(AssertionError, match=r"waited 0.01 s for the moon; last answer: \[\]"):
        wait_until(list, 0.01, "the moon")


# Skips.

SKIPPING = """
import pytest
from tests.helpers import unavailable

def test_one():
    unavailable("netns", "Operation not permitted")

def test_other():
    pytest.skip("netns: Operation not permitted")

@pytest.mark.long("ten minutes")
def test_long():
    pass

def test_ready():
    pass
"""


def run_tests(folder: Path, *arguments: str, require: str | None = None) -> Finished:
    """Run the tests above as a run of their own under our conftest."""
    (folder / "test_skipping.py").write_text(SKIPPING)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n    long: ...\n")
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", *arguments]
    return run_program(command, cwd=folder, env={"DISPYCOS_REQUIRE": require})


@pytest.mark.row("R-60")
def test_the_run_ends_with_a_count_of_what_was_skipped_and_why(tmp_path: Path) -> None:
    code, out, _ = run_tests(tmp_path)
    assert code == 0, out
    assert "skipped 3 in all: 2 netns: Operation not permitted; 1 long: ten minutes; --long runs it" in out
    assert "1 passed, 3 skipped" in out.splitlines()[-1]


@pytest.mark.row("R-60")
def test_what_is_required_may_not_be_skipped(tmp_path: Path) -> None:
    code, out, _ = run_tests(tmp_path, require="cgroup,netns")
    assert code == 1
    assert "2 failed, 1 passed, 1 skipped" in out.splitlines()[-1]


@pytest.mark.row("R-66")
def test_long_tests_run_when_asked_and_each_may_be_repeated(tmp_path: Path) -> None:
    code, out, _ = run_tests(tmp_path, "--long", "--repeat", "3", "-k", "long or ready")
    assert code == 0, out
    assert "6 passed" in out.splitlines()[-1]


def test_a_run_without_a_test_fails(tmp_path: Path) -> None:
    assert run_tests(tmp_path, "-k", "nothing_of_this_name").code != 0
