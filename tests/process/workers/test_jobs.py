"""What a job finds on its worker, and what it leaves there."""

from __future__ import annotations

import os
import sys
import sysconfig
import venv
from pathlib import Path
from typing import Any

import pytest

from dispycos.workers import ClusterExecutor, WorkerLost, connection
from tests.helpers import background, run_program, run_python, wait_until
from tests.process.workers.conftest import Master

pytestmark = pytest.mark.usefixtures("program")


def where() -> tuple[str, list[str], int]:
    return os.getcwd(), sys.path[:], os.getpid()


def fails_elsewhere() -> None:
    os.chdir("/")
    sys.path.insert(0, "/nowhere")
    raise ValueError("the job failed")


@pytest.mark.row("CW-08")
def test_a_closure_has_what_it_captured(pool: Master) -> None:
    numbers = [1, 2, 3]

    def adds(more: int) -> int:
        return sum(numbers) + more

    with ClusterExecutor(port=pool.port) as executor:
        assert executor.submit(adds, 4).result(20) == 10
        numbers.append(10)
        assert executor.submit(adds, 4).result(20) == 20
        assert list(executor.map(lambda x: x * len(numbers), range(3))) == [0, 4, 8]


@pytest.mark.row("CW-09")
def test_a_job_is_where_its_program_was_when_it_was_submitted(pool: Master, folder: Path) -> None:
    with ClusterExecutor(port=pool.port) as executor:
        assert executor.submit(where).result(20)[0] == str(folder)
        (folder / "below").mkdir()
        os.chdir("below")
        below = [executor.submit(where) for _ in range(4)]
        os.chdir(folder)
        assert {future.result(20)[0] for future in below} == {str(folder / "below")}
        # However a job ends, the next one is in its own place again.
        for _ in range(4):
            with pytest.raises(ValueError, match="the job failed"):
                executor.submit(fails_elsewhere).result(20)
            at, path, _pid = executor.submit(where).result(20)
            assert at == str(folder)
            assert "/nowhere" not in path
        (folder / "gone").mkdir()
        os.chdir("gone")
        (folder / "gone").rmdir()
        with pytest.raises(FileNotFoundError):
            executor.submit(where)


@pytest.mark.row("CW-09")
def test_a_working_directory_that_the_worker_lacks_is_named(pool: Master, folder: Path) -> None:
    with ClusterExecutor(port=pool.port) as executor:
        (folder / "gone").mkdir()
        os.chdir("gone")
        blocks = [executor.submit(later, str(folder), number) for number in range(2)]
        wait_until(lambda: len(list(folder.glob("begun-*"))) == 2)
        waiting = [executor.submit(where) for _ in range(20)]
        os.chdir(folder)
        (folder / "gone").rmdir()
        (folder / "go").touch()
        assert [done.result(20) for done in blocks] == [0, 1]
        error = waiting[-1].exception(20)
        assert isinstance(error, FileNotFoundError)
        assert str(folder / "gone") in str(error)
        assert executor.submit(where).result(20)[0] == str(folder)


def later(folder: str, number: int) -> int:
    import time

    with open(os.path.join(folder, f"begun-{number}"), "w", encoding="ascii"):
        pass
    while not os.path.exists(os.path.join(folder, "go")):
        time.sleep(0.002)
    return number


@pytest.mark.row("CW-08")
def test_a_program_may_have_a_new_function_for_each_job(
    pool: Master, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "FUNCTIONS_KEPT", 20)
    with ClusterExecutor(port=pool.port) as executor:
        first = executor.submit(pow, 2, 3)
        made = [executor.submit(lambda number=number: number) for number in range(120)]
        assert first.result(20) == 8
        assert [future.result(20) for future in made] == list(range(120))
        assert len(executor._connection._defined) < 60
        assert executor.submit(pow, 2, 4).result(20) == 16  # forgotten, and defined again


LIBRARY = """
class Thing:
    def __init__(self, value):
        self.value = value
NAME = {name!r}
"""

PROGRAM = """
import os, sys
from dispycos.workers import ClusterExecutor

sys.path.insert(0, os.path.join(sys.argv[2], "library"))

def use(value):
    import tools
    return tools.Thing(value), tools.NAME

def gate(path):
    import time
    while not os.path.exists(path):
        time.sleep(0.002)

if __name__ == "__main__":
    with ClusterExecutor(port=int(sys.argv[1])) as executor:
        import tools
        for number in range(20):
            thing, name = executor.submit(use, number).result(20)
            assert type(thing) is tools.Thing, type(thing)
            assert (thing.value, name) == (number, tools.NAME)
        print(name)
"""


@pytest.mark.row("CW-10")
def test_each_programs_jobs_import_its_own_modules(pool: Master, tmp_path: Path) -> None:
    for name in ("one", "other"):
        library = tmp_path / name / "library"
        library.mkdir(parents=True)
        (library / "tools.py").write_text(LIBRARY.format(name=name))
        (tmp_path / name / "program.py").write_text(PROGRAM)
    commands = [
        [sys.executable, str(tmp_path / name / "program.py"), str(pool.port), str(tmp_path / name)]
        for name in ("one", "other")
    ]
    with background(commands[0]) as one, background(commands[1]) as other:
        assert (one.wait(30), one.output) == (0, "one")
        assert (other.wait(30), other.output) == (0, "other")
    with ClusterExecutor(port=pool.port) as executor:
        assert executor.submit(loaded, "tools").result(20) is False


def loaded(name: str) -> bool:
    return name in sys.modules


IN_A_VENV = """
import sys
import only_there
from dispycos.workers import ClusterExecutor

def use(value):
    return only_there.Doubled(value)

if __name__ == "__main__":
    with ClusterExecutor(port=int(sys.argv[1])) as executor:
        doubled = executor.submit(use, 4).result(20)
        assert type(doubled) is only_there.Doubled
        print(doubled.value)
"""


@pytest.mark.row("CW-10")
def test_jobs_of_a_program_in_a_virtual_environment_import_what_is_installed_there(
    pool: Master, tmp_path: Path
) -> None:
    venv.create(tmp_path / "venv", symlinks=True)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(tmp_path / "venv")}))
    source = "class Doubled:\n    def __init__(self, value):\n        self.value = 2 * value\n"
    (packages / "only_there.py").write_text(source)
    # dispycos itself, as if it were installed there, too.
    (packages / "others.pth").write_text("\n".join(path for path in sys.path if path) + "\n")
    program = tmp_path / "program.py"
    program.write_text(IN_A_VENV)
    python = tmp_path / "venv" / "bin" / "python"
    assert run_program([python, program, str(pool.port)]) == (0, "8\n", "")
    with ClusterExecutor(port=pool.port) as executor:
        assert executor.submit(loaded, "only_there").result(20) is False


@pytest.mark.row("CW-17")
def test_a_job_that_ends_its_worker_is_told_with_the_reason_and_the_worker_comes_back(
    pool: Master, tmp_path: Path
) -> None:
    with ClusterExecutor(port=pool.port) as executor:
        error = executor.submit(os._exit, 3).exception(20)
        assert isinstance(error, WorkerLost)
        assert "127.0.0.1:" in str(error)
        assert "exit code 3" in str(error) or "status 3" in str(error), str(error)
        assert "retries=N" in str(error)
        assert [future.result(20) for future in [executor.submit(abs, -n) for n in range(8)]] == list(
            range(8)
        )
    with ClusterExecutor(port=pool.port, retries=2) as executor:
        assert executor.submit(dies_twice, str(tmp_path / "tries")).result(20) == 3


def dies_twice(path: str) -> int:
    with open(path, "a+", encoding="ascii") as file:
        file.write("x")
        tries = file.tell()
    if tries < 3:
        os._exit(9)
    return tries


def test_what_one_program_left_on_a_worker_is_gone_for_the_next(pool: Master) -> None:
    def leaves() -> int:
        import builtins

        builtins.left_over = 1  # type: ignore[attr-defined]
        return os.getpid()

    def finds() -> bool:
        import builtins

        return hasattr(builtins, "left_over")

    source = """
import sys
from dispycos.workers import ClusterExecutor
def leaves():
    import builtins
    builtins.left_over = 1
with ClusterExecutor(port=int(sys.argv[1])) as executor:
    for _ in range(10):
        executor.submit(leaves).result(20)
"""
    assert run_python(source, str(pool.port)) == (0, "", "")
    with ClusterExecutor(port=pool.port) as executor:
        assert not any(future.result(20) for future in [executor.submit(finds) for _ in range(10)])


def test_large_arguments_and_results_go_both_ways(pool: Master) -> None:
    def doubled(*parts: bytes) -> Any:
        return [part * 2 for part in parts]

    with ClusterExecutor(port=pool.port) as executor:
        parts = [os.urandom(2_000_000), os.urandom(10), os.urandom(500_000)]
        for future in [executor.submit(doubled, *parts) for _ in range(12)]:
            assert future.result(30) == [part * 2 for part in parts]
