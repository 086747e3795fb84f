"""A master with workers, as command lines start them, and this process as their client program."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from dispycos.kernel import loop
from tests import helpers
from tests.helpers import Program, background, wait_until

MASTER = [sys.executable, "-m", "dispycos.workers.master"]
WORKER = [sys.executable, "-m", "dispycos.workers.worker"]
READY = re.compile(r"master ready at \S+:(\d+)")


class Master:
    """A master started from its command line."""

    def __init__(self, program: Program) -> None:
        self.program = program
        found = READY.search(program.wait_line("master ready at", 20))
        assert found, program.output
        self.port = int(found[1])

    def wait_workers(self, number: int) -> None:
        """Until so many workers are usable."""
        wait_until(lambda: self.workers == number, 20, f"{number} workers: {self.program.output}")

    @property
    def workers(self) -> int:
        """How many there are, as it says."""
        said = re.findall(r"INFO (\d+) workers?", self.program.output)
        return int(said[-1]) if said else 0


@contextlib.contextmanager
def a_master(*options: str, port: int = 0, env: Mapping[str, str | None] | None = None) -> Iterator[Master]:
    """A master of its own."""
    with background([*MASTER, "--port", str(port), *options], env=env) as program:
        yield Master(program)
        end(program)


@contextlib.contextmanager
def a_worker(port: int, *options: str, cwd: str | os.PathLike[str] | None = None) -> Iterator[Program]:
    """One more worker of the master there; it need not be ready yet."""
    with background([*WORKER, f"localhost:{port}", *options], cwd=cwd) as program:
        yield program
        end(program)


def end(program: Program) -> None:
    """End a program of ours in order, if it runs: what it started ends with it."""
    if program.process.poll() is None:
        program.process.terminate()
        assert program.wait(20) in (0, 1), program.output


@pytest.fixture(scope="module")
def pool() -> Iterator[Master]:
    """A master and two workers, for all tests of a file."""
    with a_master() as master, a_worker(master.port) as one, a_worker(master.port) as other:
        master.wait_workers(2)
        programs = {master.program.pid, one.pid, other.pid}
        helpers.lasting |= programs
        yield master
        helpers.lasting -= programs


@pytest.fixture
def program() -> Iterator[None]:
    """This process as a program: at the end its threads and network are gone."""
    yield
    loop.default().terminate()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
