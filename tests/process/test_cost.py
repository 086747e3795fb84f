"""What a task, a message and a start cost stays small: calls, bytes, wake-ups, copies, imports, never times.

The bounds stand a fifth above what was measured when they were set; a batch that grows or
shrinks with what else the machine does moves the counts by less. `python -m bench.cost` shows
where they stand.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from types import FrameType

import pytest

from bench import scale
from bench.cost import COUNTED, Side
from bench.workloads import by_id
from dispycos.client.dispatch import Dispatch
from dispycos.client.submission import Submission
from dispycos.config import Limits
from dispycos.messages import Deliveries, Outcomes, Submit
from dispycos.model import CLIENT_MADE, CodeHash, End, Outcome, TaskSpec
from dispycos.net.codec import encode
from dispycos.pickling import values


@pytest.fixture(scope="module")
def side() -> Iterator[Side]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DISPYCOS_VALIDATE", raising=False)  # checking costs more than all that is checked
        side = Side("ours", None)
    yield side
    side.runner.close()


@pytest.mark.parametrize(
    ("workload", "client", "servers"),
    [("P1", 66, 60), ("P3", 98, 98), ("P4", 27, 20)],
)
def test_a_task_and_a_message_enter_few_functions(
    side: Side, workload: str, client: int, servers: int
) -> None:
    n = COUNTED[workload] // 2
    side.run(by_id(workload), n // 10)  # what is compiled, imported or shipped once
    calls = min(side.calls(by_id(workload), n) for _ in range(2))
    assert calls[0] < client
    assert calls[1] < servers


def test_a_task_and_its_outcome_take_few_bytes() -> None:
    function = CodeHash(os.urandom(16))
    tasks, outcomes = [], []
    for number in range(256):
        id_ = CLIENT_MADE + 1_000_000 + number
        tasks.append(TaskSpec(id_, 1, function, values.dump_call((number,), {}, name="same")))
        outcomes.append(Outcome(id_, 1, End.FINISHED, values.dump(number)))
    assert len(encode(Submit(1, tasks))[0]) < 64 * 256
    assert len(encode(Outcomes(1, outcomes, 0.1))[0]) < 24 * 256


def test_a_message_that_leaves_with_others_takes_few_bytes_more_than_its_pickle() -> None:
    pickles = [values.dump(("x", number)).data for number in range(256)]
    said, _ = encode(Deliveries([CLIENT_MADE + 1] * 256, [bytes(data) for data in pickles]))
    assert len(said) < sum(map(len, pickles)) + 12 * 256


def test_tasks_wake_few_threads_for_each(side: Side) -> None:
    n = COUNTED["P1"]
    side.run(by_id("P1"), n // 10)
    _, woken, _, others_woken, _ = min(side.round(by_id("P1"), n) for _ in range(2))
    assert woken + others_woken < 0.5


# bytes are filled where they stay (`room`); an array that can be written to is copied once when it is sent,
# so that what changes later does not travel.
@pytest.mark.parametrize(("workload", "payloads"), [("P5M", 1.2), ("P5N", 2.3)])
def test_a_large_value_takes_little_more_than_its_size(side: Side, workload: str, payloads: float) -> None:
    peak = min(side.run(by_id(workload), 1)["value"] for _ in range(2))
    assert 0.9 < peak < payloads


@pytest.mark.parametrize(
    ("module", "not_needed"),
    [
        # While the node starts its program imports the rest, and while the zygote does the node does.
        ("dispycos.clusters.local", {"asyncio", "ssl", "cloudpickle", "psutil"}),
        ("dispycos.node.fresh", {"asyncio", "dataclasses", "ctypes", "inspect"}),
        # A web monitor is more than all else; a scheduler imports it where it has one.
        ("dispycos.scheduler.cli", {"tornado", "psutil", "dispycos.httpd.monitor"}),
        ("dispycos.node.zygote", {"psutil", "tomllib", "difflib", "sqlite3", "importlib.resources"}),
    ],
)
def test_what_a_start_waits_for_imports_little(module: str, not_needed: set[str]) -> None:
    program = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert not not_needed & set(done.stdout.split())


def test_what_waits_takes_less_than_a_kibibyte_of_the_dispatch() -> None:
    machine, payload, count = Dispatch(Limits()), scale.PAYLOAD, 1000
    tracemalloc.start()
    try:
        for number in range(count):
            machine.submit(Submission(CLIENT_MADE + 1 + number, scale.FUNCTION, payload), 0.0)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(machine.tasks) == count
    assert taken < 1024 * count


def test_an_event_enters_as_many_functions_at_any_size_of_cluster() -> None:
    few, many = _calls_each(20), _calls_each(200)
    assert many[0] < 1.15 * few[0]
    assert many[1] < 1.15 * few[1]


def _calls_each(nodes: int) -> tuple[float, float]:
    """Functions that an event enters in the scheduler's machine, and in the dispatch."""
    found = []
    for work in (scale.run_scheduler, scale.run_dispatch):
        seen = itertools.count()

        def see(frame: FrameType, event: str, argument: object, seen: itertools.count[int] = seen) -> None:
            if event == "call":
                next(seen)

        before = sys.getprofile()
        sys.setprofile(see)
        try:
            events, _ = work(nodes)
        finally:
            sys.setprofile(before)
        found.append(next(seen) / events)
    return found[0], found[1]
