"""The kernel in a program of its own: its bugs, its log lines, what it imports."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import run_program
from tests.process.kernel.pythons import run


@pytest.mark.rule("K5")
def test_a_bug_in_the_kernel_stops_the_process_loudly(python: str, tmp_path: Path) -> None:
    code, out, err = run(
        python,
        tmp_path,
        """
def innocent(task=None):
    try:
        yield task.receive()
    except BaseException:
        print("the bug was given to a task")

def bug():
    raise ZeroDivisionError("our bug")

task = Task(innocent)
loop.default().kernel.post(bug)
task.value()
""",
    )
    assert code == 70
    assert out == ""
    assert "a bug in the kernel" in err
    assert "ZeroDivisionError: our bug" in err


@pytest.mark.row("KE-24")
def test_the_level_alone_makes_debug_lines_visible(python: str, tmp_path: Path) -> None:
    code, out, err = run(
        python,
        tmp_path,
        """
import logging
from dispycos.log import logger

def work():
    yield
    logger.debug("hidden")
    logger.setLevel(logging.DEBUG)
    logger.debug("number %d", 5)
    logger.debug("bad %d %s", "x")
    logger.warning("bad %q")
    logger.getChild("part").info("of a part")
    logging.getLogger("other").warning("elsewhere")
    return "alive"

print(Task(work).value())
""",
    )
    assert (code, out) == (0, "alive\n")
    lines = err.splitlines()
    assert len(lines) == 5, err
    for line, text in zip(
        lines,
        [
            "dispycos - number 5",
            "dispycos - 'bad %d %s' can't be formatted with ('x',)",
            "dispycos - bad %q",
            "dispycos.part - of a part",
            "elsewhere",
        ],
        strict=True,
    ):
        assert line.endswith(text)
        if text != "elsewhere":
            stamp = line.removesuffix(text).strip()
            assert len(stamp) == len("2026-01-02 03:04:05")
            assert stamp[4] == stamp[7] == "-"


@pytest.mark.row("KE-24")
def test_a_program_with_its_own_logging_sees_each_line_once(python: str, tmp_path: Path) -> None:
    code, _, err = run(
        python,
        tmp_path,
        """
import logging
logging.basicConfig(format="mine: %(message)s")
dispycos.log.logger.warning("once")
""",
    )
    assert (code, err) == (0, "mine: once\n")


def test_the_kernel_needs_nothing_but_the_standard_library(python: str, tmp_path: Path) -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[3])!r})\n"
        "import dispycos.kernel.sockets, dispycos.kernel.pipes, dispycos.kernel.channel, dispycos.log\n"
    )
    code, _, err = run_program([python, "-I", "-S", "-c", program])
    assert (code, err) == (0, "")
