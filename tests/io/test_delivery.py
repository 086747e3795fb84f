"""What delivery hears keeps its order, also with the loss of who said it."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import pytest

from dispycos.config import Limits
from dispycos.errors import RemoteProtocolError
from dispycos.events import PeerGone
from dispycos.kernel.core import Kernel
from dispycos.kernel.operation import Operation
from dispycos.messages import Answer, Deliver, Deliveries, ReceiverKind, Undelivered
from dispycos.model import CLIENT_MADE, Incarnation, Location, Role
from dispycos.net import remote
from dispycos.net.delivery import Delivery
from dispycos.net.endpoint import Endpoint
from dispycos.net.keys import ClusterKey, Keyring
from dispycos.net.reactor import Reactor
from dispycos.net.remote import RemoteTask
from dispycos.pickling import values

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


@pytest.mark.rule("N2", "N3")
def test_of_a_bundle_each_message_has_its_own_receiver_and_its_own_failure(delivery, caplog):
    said = []
    delivery.endpoint.location = Location("127.0.0.1", 9)
    delivery.endpoint.say = lambda peer, message: said.append(message)
    got = []

    def listen(task=None):
        for _ in range(3):
            got.append((yield task.receive()))

    task = delivery.kernel.spawn(listen)
    pickles = [pickle.dumps(value) for value in ("first", "second", "third")]
    to = [task.number, 12345, task.number, task.number, task.number]
    delivery._hear_deliveries(PEER, Deliveries(to, [pickles[0], b"", b"broken", *pickles[1:]]))
    for now in range(3):
        delivery.kernel.step(float(now))
    assert got == ["first", "second", "third"]
    assert [message.to for message in said] == [12345, task.number]
    assert "never lived" in said[0].reason
    assert "can't be unpickled" in said[1].reason


@pytest.mark.row("SE-16")
def test_a_bundle_with_more_receivers_than_values_breaks_the_rules(delivery):
    with pytest.raises(RemoteProtocolError, match="as many values as receivers"):
        delivery._hear_deliveries(PEER, Deliveries([1, 2], [b"x"]))


def test_who_names_himself_again_and_again_is_the_same_handle(delivery):
    reference = (ReceiverKind.TASK, b"q" * 16, ("127.0.0.1", 9), 5, "far", 0)
    assert remote.restore(*reference) is remote.restore(*reference)
    for number in range(2 * remote.MAX_HANDLES):
        remote.restore(*reference[:3], number, "far", 0)
    assert len(delivery.handles) <= remote.MAX_HANDLES


def test_a_task_that_was_referred_to_before_it_began_here_is_found_once_it_has(delivery):
    def later(task=None):
        yield

    number = CLIENT_MADE + 1
    reference = (ReceiverKind.TASK, delivery.incarnation, ("127.0.0.1", 9), number, "later", 0)
    assert isinstance(remote.restore(*reference), RemoteTask)
    task = delivery.kernel.spawn(later, number=number)
    assert remote.restore(*reference) is task
