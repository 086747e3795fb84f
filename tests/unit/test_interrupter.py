"""Where an interruption may be raised: in a client's plain function, and nowhere else."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dispycos.client import batch
from dispycos.client.chunk import Each, Results
from dispycos.kernel.core import Kernel
from dispycos.kernel.operation import Operation
from dispycos.kernel.target import as_target
from dispycos.kernel.task import interruption
from dispycos.model import End, Outcome, Payload
from dispycos.net.reactor import Reactor
from dispycos.node.interrupter import Interrupter, _in_plain_call
from dispycos.node.ties import age
from dispycos.pickling import code, values
from dispycos.workers.job import JobFunction
from dispycos.workers.outcome import interruption as interruption_of
from tests.helpers import wait_until


def looks(*_: Any) -> bool:
    return _in_plain_call(sys._getframe())


def looks_deeper(*_: Any) -> bool:
    return max([1], key=looks) == 1 and looks()


def looks_from_ours(*_: Any) -> bool:
    """As what it gave to something of ours to call."""
    seen: list[bool] = []
    Operation(1).add_done_callback(lambda _: seen.append(looks()))
    return seen == [True]


def looks_from_an_import(*_: Any) -> bool:
    """As the body of a module that is being imported."""
    seen: list[bool] = []

    class Finder:
        @staticmethod
        def find_spec(name: str, path: Any = None, target: Any = None) -> None:
            if name == "no_such_module_of_dispycos":
                seen.append(looks())

    sys.meta_path.insert(0, Finder)  # type: ignore[arg-type]
    try:
        with contextlib.suppress(ImportError):
            importlib.import_module("no_such_module_of_dispycos")
    finally:
        sys.meta_path.remove(Finder)  # type: ignore[arg-type]
    return seen == [True]


def looks_from_a_block(*_: Any) -> bool:
    """As what begins a `with` block: nobody would leave it."""

    class Block:
        def __enter__(self) -> bool:
            return _in_plain_call(sys._getframe())

        def __exit__(self, *_: Any) -> None:
            pass

    with Block() as seen:
        return seen


def looks_from_a_finalizer(*_: Any) -> bool:
    """As what is called where an object goes."""

    class Dropped:
        def __del__(self) -> None:
            seen.append(looks())

    seen: list[bool] = []
    del (dropped := [Dropped()])[:]
    return not dropped and seen == [True]


def looks_from_a_new_process(*_: Any) -> bool:
    """As `subprocess.Popen`, between the start of a process and the one who knows it."""

    class Args(list[str]):
        def __iter__(self) -> Iterator[str]:
            seen.append(looks())
            return super().__iter__()

    seen: list[bool] = []
    with subprocess.Popen(Args(["true"])):
        return any(seen)


def task(*_: Any) -> Iterator[Any]:
    yield
    return looks()


def task_that_calls(*_: Any) -> Any:
    """A decorated generator function: plain at first."""
    return task()


@contextlib.contextmanager
def interrupting() -> Iterator[Interrupter]:
    """Of a kernel on this thread."""
    before, report = signal.getsignal(signal.SIGURG), sys.unraisablehook
    reactor = Reactor.in_thread()
    yield Interrupter(Kernel(), reactor, {})
    reactor.stop()
    signal.signal(signal.SIGURG, before)
    sys.unraisablehook = report


@pytest.fixture
def interrupter() -> Iterator[Interrupter]:
    with interrupting() as made:
        yield made


def run(interrupter: Interrupter, call: Callable[[], Any]) -> Any:
    """The ended task of a plain call that is to be interrupted."""
    made: Any = interrupter
    made._begun[-1] = 1, time.monotonic()
    ended = interrupter._kernel.spawn(as_target(call), (), number=-1)
    while ended.is_alive():
        interrupter._kernel.step(0.0)
    del made._begun[-1]
    return ended


@pytest.mark.row("R-20")
def test_a_signal_of_somebody_elses_ends_nobody(interrupter: Interrupter) -> None:
    def call(another: int) -> str:
        # As Go's runtime does; and while another call is to end.
        interrupter._wanted[another] = "it is too long"
        signal.raise_signal(signal.SIGURG)
        interrupter._wanted.clear()
        return "went on"

    kernel = interrupter._kernel
    signal.raise_signal(signal.SIGURG)  # no task runs
    ended = kernel.spawn(as_target(call), (-1,))
    while ended.is_alive():
        kernel.step(0.0)
    assert ended._value == "went on"


@pytest.mark.row("DC-56")
def test_who_is_to_be_interrupted_while_its_arguments_are_loaded_is_not_forgotten(
    interrupter: Interrupter,
) -> None:
    begun: Any = interrupter._begun
    begun[-1] = 1, 0.0  # its arguments are being loaded, so the kernel does not know it yet
    interrupter._reactor.call(interrupter._want, -1, "it is too long")
    interrupter._reactor.wait(asyncio.sleep(0.0))
    assert -1 in interrupter._wanted

    def call() -> None:
        signal.raise_signal(signal.SIGURG)

    ended = interrupter._kernel.spawn(as_target(call), (), number=-1)
    while ended.is_alive():
        interrupter._kernel.step(0.0)
    assert isinstance(ended._error, KeyboardInterrupt)
    begun.clear()


def waits() -> None:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        time.sleep(0.001)


@pytest.mark.row("DC-56")
def test_what_python_catches_itself_is_raised_again() -> None:
    """As in the callback of a weak reference."""
    counted = []

    def callback(_: Any) -> None:
        counted.append(1)
        waits()

    def call() -> None:
        item = {1}
        interrupter.ask(-1, "it is too long")
        kept = weakref.ref(item, callback)
        del item
        assert kept() is None
        waits()

    # Not the fixture: pytest has hooks of its own in tests, and puts them back.
    with interrupting() as interrupter:
        ended = run(interrupter, call)
    assert isinstance(ended._error, KeyboardInterrupt) and str(ended._error) == "it is too long"
    assert counted == [1]


@pytest.mark.row("DC-56")
def test_what_the_call_has_started_is_interrupted_with_it(interrupter: Interrupter) -> None:
    def starts(**more: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, **more)

    def call() -> None:
        started.append(starts())
        started.append(starts(start_new_session=True))
        wait_until(lambda: (age(started[1].pid) or 0) > 0.1)
        interrupter.ask(-1, "it is too long")
        waits()

    started = [starts()]
    wait_until(lambda: (age(started[0].pid) or 0) > 0.1)
    assert isinstance(run(interrupter, call)._error, KeyboardInterrupt)
    before, inside, apart = started
    assert inside.wait(20) in (-signal.SIGINT, 1)
    assert before.poll() is None and apart.poll() is None
    for process in started:
        with process:
            process.kill()


@pytest.mark.row("DC-56", "R-20")
@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (looks, True),
        (looks_deeper, True),
        (looks_from_ours, False),
        (looks_from_an_import, False),
        (looks_from_a_block, False),
        (looks_from_a_finalizer, False),
        (looks_from_a_new_process, False),
        (task, False),
        (task_that_calls, False),
    ],
)
@pytest.mark.parametrize("mapped", [False, True])
def test_only_a_plain_function_is_interrupted_where_it_is(
    function: Callable[..., Any], expected: bool, mapped: bool
) -> None:
    kernel = Kernel()
    target = as_target(Each(function, False) if mapped else function)
    ended = kernel.spawn(target, ([1],) if mapped else ())
    while ended.is_alive():
        kernel.step(0.0)
    assert (Results(*ended._value).load() if mapped else [ended._value]) == [expected]


@pytest.mark.row("DC-56", "R-20")
def test_a_call_of_a_batch_is_interrupted_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "_prepared", True)  # joblib has no part in it
    kernel = Kernel()
    ended = kernel.spawn(as_target(batch.Run("looks")), (lambda: [looks(), looks_deeper()],))
    while ended.is_alive():
        kernel.step(0.0)
    assert ended._value[0] == [True, True]


def run_job(function: Callable[..., Any], folder: str) -> Any:
    """As a worker does; its task."""
    _, definition = code.dump_definition(function)
    job = JobFunction(b"program", function.__name__, folder, (), definition.data, definition.buffers)
    payload = values.dump_call((), {}, name="job")
    kernel = Kernel()
    ended = kernel.spawn(as_target(job), (payload.data, *payload.buffers))
    while ended.is_alive():
        kernel.step(0.0)
    return ended


@pytest.mark.row("DC-56", "R-20")
def test_a_job_of_a_pool_is_interrupted_where_it_is_and_its_worker_is_as_before(tmp_path: Path) -> None:
    before, path, main = os.getcwd(), sys.path[:], sys.modules["__main__"]

    def interrupted() -> None:
        raise interruption("its program left")

    well, *value = run_job(looks, str(tmp_path))._value
    assert well and values.load(Payload(value[0]))
    ended = run_job(interrupted, str(tmp_path))
    assert isinstance(ended._error, KeyboardInterrupt)  # and no failure that the job answers
    told = Outcome(1, 1, End.FAILED, *values.dump_exception(ended._error))
    assert interruption_of(told) == "its program left"
    other = Outcome(1, 1, End.FAILED, None, "Traceback:\nMessageTooLarge: KeyboardInterrupt: no")
    assert interruption_of(other) is None
    assert (os.getcwd(), sys.path, sys.modules["__main__"]) == (before, path, main)
