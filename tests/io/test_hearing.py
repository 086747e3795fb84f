"""What came is heard in order, by the thread that may hear it (net.hearing)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from dispycos.errors import RemoteProtocolError
from dispycos.kernel.loop import Loop
from dispycos.messages import Answer, Deliver, Message, Undelivered
from dispycos.model import Payload, Role
from dispycos.net import ears
from tests.helpers import wait_until
from tests.io.hostile import Party, meet

pytestmark = pytest.mark.skipif(not ears.AVAILABLE, reason="ears: this system has no epoll")


class Hearer:
    """A process whose kernel's thread may hear Answer, and only the reactor Undelivered."""

    def __init__(self, party: Party) -> None:
        self.party = party
        self.heard: list[tuple[str, int]] = []
        self.loop = Loop()
        self.loop.start()
        party.ask(lambda: party.endpoint.hear_with(self.loop))
        party.endpoint.handle(Answer, self._hear, who=Role.CLIENT, aside=True)
        party.endpoint.handle(Undelivered, self._hear, who=Role.CLIENT)

    def _hear(self, _peer: object, message: Answer | Undelivered) -> None:
        self.heard.append(("kernel" if self.loop.kernel.here else "reactor", message.ticket))

    def close(self) -> None:
        self.party.close()
        self.loop.terminate()


@pytest.fixture
def hearer(one: Party) -> Iterator[Hearer]:
    hearer = Hearer(one)
    yield hearer
    hearer.close()


def say(speaker: Party, hearer: Hearer, *messages: Message) -> None:
    """In one go, so that they come in one."""
    for message in messages:
        speaker.endpoint.queue(hearer.party.endpoint.incarnation, message)
    speaker.endpoint.flush()


def test_the_kernels_thread_hears_what_a_handler_allows(
    hearer: Hearer, parties: Callable[..., Party]
) -> None:
    speaker = parties("speaker")
    meet(speaker, hearer.party)

    def heard_by_the_kernel() -> bool:
        # While this machine is busy the reactor may come first.
        number = len(hearer.heard)
        say(speaker, hearer, Answer(number, None))
        wait_until(lambda: len(hearer.heard) > number)
        return hearer.heard[-1] == ("kernel", number)

    wait_until(heard_by_the_kernel)


@pytest.mark.rule("N2")
def test_what_is_left_to_the_reactor_keeps_its_order_and_that_of_what_follows(
    hearer: Hearer, parties: Callable[..., Party]
) -> None:
    speaker = parties("speaker")
    meet(speaker, hearer.party)
    for first in range(0, 600, 3):
        burst = (Answer(first, None), Undelivered(0, first + 1, ""), Answer(first + 2, None))
        say(speaker, hearer, *burst)
    wait_until(lambda: len(hearer.heard) == 600)
    assert [number for _, number in hearer.heard] == list(range(600))
    assert all(thread == "reactor" for thread, number in hearer.heard if number % 3 == 1)


@pytest.mark.row("SE-16")
def test_what_a_handler_finds_against_the_rules_ends_the_session(
    hearer: Hearer, parties: Callable[..., Party], caplog: pytest.LogCaptureFixture
) -> None:
    speaker = parties("speaker")
    meet(speaker, hearer.party)

    def refuse(_peer: object, _message: object) -> None:
        raise RemoteProtocolError("it is not as it must be")

    hearer.party.endpoint.handle(Deliver, refuse, who=Role.CLIENT, aside=True)
    say(speaker, hearer, Deliver(1, Payload(b"")))
    wait_until(lambda: hearer.party.endpoint.peer(speaker.endpoint.incarnation) is None)
    assert "it is not as it must be" in caplog.text
    assert "Traceback" not in caplog.text
