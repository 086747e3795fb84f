"""What delivery hears keeps its order, also with the loss of who said it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dispycos.config import Limits
from dispycos.events import PeerGone
from dispycos.kernel.core import Kernel
from dispycos.kernel.operation import Operation
from dispycos.messages import Answer, Deliver, Undelivered
from dispycos.model import Incarnation, Role
from dispycos.net import values
from dispycos.net.delivery import Delivery
from dispycos.net.endpoint import Endpoint
from dispycos.net.keys import ClusterKey, Keyring
from dispycos.net.reactor import Reactor

PEER = Incarnation(b"p" * 16)


@pytest.fixture
def delivery() -> Iterator[Delivery]:
    reactor = Reactor.in_thread()

    async def open_it() -> Endpoint:
        return Endpoint(
            reactor, roles=Role.PEER, keyring=Keyring(ClusterKey(bytes(32))), limits=Limits(), name="one"
        )

    endpoint = reactor.wait(open_it())
    delivery = Delivery(Kernel(), endpoint)
    yield delivery
    delivery.close()
    reactor.wait(endpoint.close())
    reactor.stop()


@pytest.mark.rule("N2")
def test_an_answer_goes_before_the_loss_of_who_gave_it(delivery):
    asked = Operation()
    ticket = delivery._tickets.open(asked, PEER, if_lost=lambda reason: f"lost: {reason}", timeout=None)
    delivery._hear_answer(PEER, Answer(ticket, values.dump(49)))
    delivery._peer_event(PeerGone(PEER, "it said goodbye"))
    delivery.kernel.step(0.0)
    assert asked.result(0) == 49


@pytest.mark.rule("N2")
def test_a_message_goes_before_the_word_that_there_is_nobody(delivery):
    heard = []
    delivery._take_deliver = lambda peer, message: heard.append("message")
    delivery._lose_watched = lambda key, reason: heard.append(reason)
    delivery._hear_deliver(PEER, Deliver(1, values.dump("hello")))
    delivery._hear_undelivered(PEER, Undelivered(7, 0, "it has ended"))
    delivery.kernel.step(0.0)
    assert heard == ["message", "it has ended"]
