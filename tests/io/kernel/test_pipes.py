"""Files and pipes of tasks."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from dispycos.kernel.pipes import AsyncFile, AsyncPipe
from dispycos.kernel.task import Task
from tests.helpers import environment, wait_until

Gen = Generator[Any, Any, Any]

PIPES: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}


def start(program: str, **kwargs: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", program], **(kwargs or PIPES))


@pytest.mark.row("KE-23")
def test_a_pipe_is_read_in_parts_lines_and_whole(run: Callable[..., Any]) -> None:
    reading, writing = os.pipe()

    def target() -> Gen:
        with AsyncFile(reading) as file:
            first = yield file.read(3)
            second = yield file.read(5, full=True)
            third = yield file.readline()
            fourth = yield file.readline(4)
            rest = yield file.read()
            end = yield file.read(5)
            return first, second, third, fourth, rest, end, (yield file.readline())

    task = Task(target)
    wait_until(lambda: task.state == "waiting")
    os.write(writing, b"abcde")
    wait_until(lambda: task.state == "waiting")
    os.write(writing, b"fgh line\nlong line\nlast")
    os.close(writing)
    assert task.value(10) == (b"abc", b"defgh", b" line\n", b"long", b" line\nlast", b"", b"")


@pytest.mark.row("KE-23")
def test_reading_times_out_and_keeps_what_came(run: Callable[..., Any]) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"half a li")

    async def target() -> Any:
        with AsyncFile(reading) as file:
            with pytest.raises(TimeoutError):
                await file.readline(timeout=0.05)
            os.write(writing, b"ne\n")
            return await file.readline(timeout=5)

    assert run(target) == b"half a line\n"
    os.close(writing)


@pytest.mark.row("KE-23")
def test_writing_waits_for_the_reader(run: Callable[..., Any]) -> None:
    reading, writing = os.pipe()
    data = os.urandom(1_000_000)

    def writer() -> Gen:
        with AsyncFile(writing) as file:
            some = yield file.write(data)
            all_ = yield file.write(data[some:], full=True)
            return some + all_

    def reader() -> Gen:
        with AsyncFile(reading) as file:
            return (yield file.read())

    task = Task(writer)
    assert run(reader) == data
    assert task.value(10) == len(data)


@pytest.mark.row("KE-23")
def test_writing_to_nobody_or_too_long_raises(run: Callable[..., Any]) -> None:
    reading, writing = os.pipe()

    def target() -> Gen:
        with AsyncFile(writing) as file:
            with pytest.raises(TimeoutError):
                yield file.write(bytes(1_000_000), full=True, timeout=0.05)
            os.close(reading)
            with pytest.raises(BrokenPipeError):
                yield file.write(b"x")
        with pytest.raises(OSError, match="closed"):
            yield file.write(b"x")
        return file.fileno()

    assert run(target) == -1


@pytest.mark.row("KE-23")
def test_close_wakes_who_waits(run: Callable[..., Any]) -> None:
    reading, writing = os.pipe()
    file = AsyncFile(reading)

    def target() -> Gen:
        with pytest.raises(OSError, match="closed"):
            yield file.read(1)
        return "told"

    task = Task(target)
    wait_until(lambda: task.state == "waiting")
    file.close()
    file.close()
    assert task.value(10) == "told"
    os.close(writing)


@pytest.mark.row("KE-23")
def test_a_regular_file_is_read_and_written(run: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "file"

    def target() -> Gen:
        with AsyncFile(path.open("wb", buffering=0)) as file:
            yield file.write(b"first\nsecond\n" * 10_000, full=True)
        with AsyncFile(path.open("rb", buffering=0)) as file:
            line = yield file.readline()
            part = yield file.read(7)
            rest = yield file.read()
            return line, part, len(rest), (yield file.read(1))

    assert run(target) == (b"first\n", b"second\n", 130_000 - 13, b"")


NOTHING = """
from dispycos import AsyncFile, Task

def main(task=None):
    assert (yield AsyncFile(0).readline()) == b""
    assert (yield AsyncFile(1).write(b"nobody reads this", full=True)) == 17
    return 3

raise SystemExit(Task(main).value(10))
"""


@pytest.mark.row("KE-23")
def test_a_program_whose_input_and_output_are_nothing_reads_the_end_and_writes() -> None:
    # The system's waiting refuses such a device, which is always ready.
    program = [sys.executable, "-c", NOTHING]
    ended = subprocess.run(
        program, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=environment(), timeout=30
    )
    assert ended.returncode == 3


@pytest.mark.row("KE-23")
def test_a_process_answers_line_by_line(run: Callable[..., Any]) -> None:
    program = (
        "import sys\nfor line in sys.stdin:\n    print(line.upper(), end='', flush=True)\n"
        "print('end', file=sys.stderr)"
    )

    def target() -> Gen:
        with AsyncPipe(start(program)) as pipe:
            got = []
            for word in (b"one\n", b"two\n"):
                yield pipe.write(word, full=True)
                got.append((yield pipe.readline(timeout=10)))
            assert pipe.poll() is None
            pipe.stdin.close()
            got.append((yield pipe.read()))
            got.append((yield pipe.readline_stderr()))
            got.append((yield pipe.read_stderr()))
            return got, pipe.wait(10), pipe.args[0]

    assert run(target) == ([b"ONE\n", b"TWO\n", b"", b"end\n", b""], 0, sys.executable)


@pytest.mark.row("KE-23")
def test_a_chain_of_processes_is_written_first_and_read_last(run: Callable[..., Any]) -> None:
    double = "import sys\nfor line in sys.stdin:\n    print(int(line) * 2)"
    first = start(double, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    last = start(double, stdin=first.stdout, stdout=subprocess.PIPE)
    assert first.stdout
    first.stdout.close()

    def target() -> Gen:
        with AsyncPipe(first, last) as pipe:
            with pytest.raises(ValueError, match="stderr"):
                yield pipe.read_stderr()
            return (yield pipe.communicate(b"1\n5\n"))

    assert run(target) == (b"4\n20\n", None)
    assert (first.wait(10), last.wait(10)) == (0, 0)


@pytest.mark.row("KE-23")
def test_communicate_moves_more_than_pipes_hold(run: Callable[..., Any]) -> None:
    program = (
        "import sys\ndata = sys.stdin.buffer.read()\nsys.stderr.buffer.write(data[::-1])\n"
        "sys.stdout.buffer.write(data)"
    )
    data = os.urandom(500_000)
    process = start(program)

    async def target() -> Any:
        return await AsyncPipe(process).communicate(data)

    assert run(target) == (data, data[::-1])
    assert process.wait(10) == 0


@pytest.mark.row("KE-23")
def test_communicate_with_a_process_that_does_not_read(run: Callable[..., Any]) -> None:
    process = start("print('bye')")

    def target() -> Gen:
        return (yield AsyncPipe(process).communicate(bytes(1_000_000)))

    assert run(target) == (b"bye\n", b"")
    process.wait(10)


@pytest.mark.row("KE-23")
def test_other_tasks_run_while_a_process_is_waited_for(run: Callable[..., Any]) -> None:
    process = start("input()\nprint('done')")

    def waiting() -> Gen:
        with AsyncPipe(process) as pipe:
            line = yield pipe.readline()
        return line

    def other(task: Any = None) -> Gen:
        for _ in range(20):
            yield task.sleep(0.001)
        assert process.stdin
        os.write(process.stdin.fileno(), b"\n")

    task = Task(waiting)
    wait_until(lambda: task.state == "waiting")
    run(other)
    assert task.value(10) == b"done\n"
    process.wait(10)
