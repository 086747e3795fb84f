"""A program of the same key that breaks the rules of a pool is told so, and nobody else notices."""

from __future__ import annotations

from typing import Any

import pytest

from dispycos.messages import DefineJob, ForgetJobs, Job, JoinPool, PoolClosed, PoolRoom, SubmitJobs
from dispycos.model import CodeHash, Incarnation, Location, Payload, Role
from dispycos.runtime import Network
from dispycos.workers import ClusterExecutor
from dispycos.workers.connection import masters
from tests.helpers import wait_until
from tests.process.workers.conftest import Master

KNOWN, UNKNOWN = CodeHash(b"k" * 16), CodeHash(b"u" * 16)


class Program:
    """Speaks with a master by hand."""

    def __init__(self, port: int) -> None:
        where = Location("127.0.0.1", port)
        self._network: Network = masters(where)._network
        self.heard: list[Any] = []
        for kind in (PoolRoom, PoolClosed):
            self._network.endpoint.handle(
                kind, lambda peer, message: self.heard.append(message), who=Role.SCHEDULER
            )
        self._network.reactor.call(self._network.endpoint.dial, where)
        self._master: Incarnation = wait_until(lambda: self._found(where))
        self.say(JoinPool("by hand"))
        wait_until(lambda: self.heard)

    def _found(self, where: Location) -> Any:
        peer = self._network.endpoint.peer_at(where, 0)
        return peer.incarnation if peer is not None and peer.introduced else None

    def say(self, message: Any) -> None:
        self._network.endpoint.say(self._master, message)

    def refusal(self) -> str:
        """What it is told at last."""
        wait_until(lambda: isinstance(self.heard[-1], PoolClosed))
        reason: str = self.heard[-1].reason
        return reason


def job(number: int, function: CodeHash = KNOWN) -> Job:
    return Job(number, function, Payload(b"no pickle at all"), 0)


@pytest.mark.row("CW-01")
@pytest.mark.usefixtures("program")
@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ([SubmitJobs([job(1, UNKNOWN)])], "a function that it did not define"),
        ([SubmitJobs([job(1), job(1)])], "sent twice"),
        ([SubmitJobs([job(n) for n in range(500)]), ForgetJobs([KNOWN])], "forgot the function"),
    ],
    ids=["undefined", "twice", "forgotten"],
)
def test_who_breaks_the_rules_is_told(pool: Master, said: list[Any], reason: str) -> None:
    program = Program(pool.port)
    # Neither is a pickle: the master does not find out.
    program.say(DefineJob(KNOWN, "a name", "/", [], Payload(b"no pickle either")))
    for message in said:
        program.say(message)
    assert reason in program.refusal()
    program.say(SubmitJobs([job(7)]))  # nobody hears it any more
    with ClusterExecutor(port=pool.port) as executor:
        assert executor.submit(abs, -1).result(20) == 1
    assert pool.program.process.poll() is None
