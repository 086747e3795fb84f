"""Examples that keep data in the memory of nodes and servers: every digest is checked with hashlib."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.process.examples import LIBRARY, LOCATION, parsed, run

FILES = [LIBRARY / "argparse.py", LIBRARY / "ast.py"]


def right(algorithm: str, file: str) -> str:
    return hashlib.new(algorithm, (LIBRARY / file).read_bytes()).hexdigest()


def check_digests(lines: list[str], files: set[str]) -> None:
    found = parsed(r"(\w+)sum for (\S+): ([0-9a-f]+)", lines)
    assert len(found) == 15
    assert {file for _, file, _ in found} <= files
    assert all(digest == right(algorithm, file) for algorithm, file, digest in found)
    assert len({algorithm for algorithm, _, _ in found}) == 5


@pytest.mark.row("XX-08", "DC-48")
def test_a_node_loads_its_file_once_for_all_its_servers():
    check_digests(run("dispycos_client9_node"), {"argparse.py", "ast.py"})


@pytest.mark.row("XX-09")
def test_each_server_loads_the_file_that_was_sent_to_it():
    check_digests(run("dispycos_client9_server"), {"argparse.py", "ast.py"})


@pytest.mark.row("XX-09")
def test_a_server_gets_the_file_that_the_user_names(tmp_path: Path):
    lines = run("dispycos_client9_server", str(LIBRARY / "bisect.py"))
    check_digests(lines, {"bisect.py"})


@pytest.mark.row("XX-17", "DC-27")
def test_servers_answer_about_the_file_they_keep_and_are_restarted_for_the_next():
    lines = run("dispycos_mem_servers")
    found = parsed(rf'server at {LOCATION} computed (\w+) for (\S+) as "([0-9a-f]+)"', lines)
    assert len(found) == len(set(found)) == 12
    assert {file for _, _, file, _ in found} == {"abc.py", "argparse.py", "ast.py", "bisect.py"}
    assert all(digest == right(algorithm, file) for _, algorithm, file, digest in found)
    # Each file had a server of its own: none was asked about a second one.
    assert len({(location, file) for location, _, file, _ in found}) == 4
