"""What scheduler and nodes say goes ahead of bulk, on real connections."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dispycos.events import PeerGone, Say
from dispycos.messages import Avail, Deliver, NodeReport, Pulse, RegisterAgain
from dispycos.model import Payload, Role
from dispycos.net import frame as wire
from dispycos.net.codec import decode
from dispycos.net.runner import Runner
from dispycos.net.search import Search
from dispycos.scheduler.service import SchedulerService, ServiceOptions
from tests.helpers import wait_until
from tests.io.hostile import EVERYONE, K, Party, Player, meet
from tests.io.test_runner import Answers

BULK = 200_000_000  # bytes


def bulk() -> Deliver:
    return Deliver(1, Payload(b"", (bytes(BULK),)))


@pytest.mark.rule("N4", "N7")
@pytest.mark.row("R-23", "R-73")
@pytest.mark.parametrize("on_reactor", [True, False])
def test_a_pulse_overtakes_200_mb_that_were_queued_before_it(
    parties: Callable[..., Party], on_reactor: bool
) -> None:
    one, other = parties("one"), parties("other")
    pulses: list[NodeReport] = []
    other.endpoint.handle(NodeReport, lambda _peer, message: pulses.append(message), who=EVERYONE)
    meet(one, other)
    to = other.endpoint.incarnation
    runner = Runner(Answers(), one.reactor, one.endpoint, lambda action: None, urgent=True)
    before: list[bool] = []
    other.endpoint.handle(Deliver, lambda _peer, message: before.append(bool(pulses)), who=EVERYONE)

    def speak() -> None:
        one.endpoint.queue(to, bulk())
        runner.feed([Say(to, NodeReport(7, Avail(), []))])

    if on_reactor:
        one.ask(speak)
    else:
        speak()
    wait_until(lambda: before, 20, "the bulk")
    assert before == [True]
    assert other.heard[0].value.size == BULK
    assert not one.saw(PeerGone)


class Scheduling:
    """A real scheduler in a process that has more to say than its scheduler."""

    def __init__(self, party: Party) -> None:
        self.party = party
        party.ask(self._start)

    def _start(self) -> None:
        endpoint = self.party.endpoint
        self.search = Search(endpoint, None)
        self.service = SchedulerService(endpoint, ServiceOptions(), search=self.search)
        self.service.start()

    def close(self) -> None:
        self.party.do(self.service.stop(terminate=True, reason="the test is over", within=1.0))
        self.party.ask(self.search.close)


@pytest.fixture
def scheduling(parties: Callable[..., Party]) -> Iterator[Scheduling]:
    scheduling = Scheduling(parties("one", roles=Role.PEER | Role.CLIENT | Role.SCHEDULER))
    yield scheduling
    scheduling.close()


def frames(player: Player) -> Iterator[tuple[int, int, bytes]]:
    """Kind, word and body of each frame that is said to the player, as it reads them."""
    while True:
        length, kind, _flags, word, _seq, _ack = wire.HEADER.unpack(player.read(wire.HEADER_BYTES))
        yield kind, word, player.read(length)


@pytest.mark.row("R-23", "R-73")
def test_a_scheduler_answers_a_node_though_its_program_s_bulk_fills_the_window(
    scheduling: Scheduling,
) -> None:
    one = scheduling.party
    with Player(one.location, K, roles=Role.NODE) as node:
        node.open(name="node")
        wait_until(lambda: one.endpoint.peer(node.incarnation) and one.endpoint.peers(), 5)
        one.endpoint.say(node.incarnation, bulk())
        # It reads nothing yet and acknowledges nothing at all, so no more than a window can come.
        node.send(node.says(Pulse(0, Avail(), [])))
        for kind, word, body in frames(node):
            if kind == wire.MESSAGE:
                said: Any = decode(body[:word], memoryview(body[word:]))
                if isinstance(said, RegisterAgain):
                    break
        one.forget(node.incarnation)
