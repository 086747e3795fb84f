"""What a tiny task and a message cost stays small: Python calls and bytes, not times.

The bounds stand a fifth above what was measured when they were set; a batch that grows or
shrinks with what else the machine does moves the counts by less. `python -m bench.cost` shows
where they stand.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from bench.cost import COUNTED, Side
from bench.workloads import by_id
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
    side.run(by_id(workload), n)  # what is compiled, imported or shipped once
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
