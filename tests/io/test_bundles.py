"""Small messages leave together, in order, each once, and are refused one by one."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from dispycos.config import Limits
from dispycos.errors import Closed
from dispycos.events import PeerGone, PeerUp
from dispycos.messages import Answer, Deliver, Deliveries
from dispycos.model import Payload
from dispycos.net.bundle import MAX_BYTES, MAX_MESSAGES
from dispycos.net.endpoint import FIRST, JOINED
from dispycos.net.peer import Peer
from tests.helpers import wait_until
from tests.io.test_endpoint import EVERYONE, Party, meet, parties

__all__ = ["parties"]


class Hearer:
    """Tells in which order messages came, and how many came together."""

    def __init__(self, party: Party) -> None:
        self.numbers: list[int] = []
        self.together: list[int] = []
        party.endpoint.handle(Deliveries, self._hear_many, who=EVERYONE)
        party.endpoint.handle(Deliver, lambda _, message: self.numbers.append(message.to), who=EVERYONE)
        party.endpoint.handle(Answer, lambda _, message: self.numbers.append(message.ticket), who=EVERYONE)

    def _hear_many(self, _peer: object, message: Deliveries) -> None:
        assert len(message.to) == len(message.values)
        self.numbers += message.to
        self.together.append(len(message.to))


@pytest.fixture
def pair(parties: Callable[..., Party]) -> tuple[Party, Party, Hearer]:
    one, other = parties("one"), parties("other")
    hearer = Hearer(other)
    meet(one, other)
    return one, other, hearer


def peer_of(one: Party, other: Party) -> Peer:
    peer = one.endpoint.peer(other.endpoint.incarnation)
    assert peer is not None
    return peer


@pytest.mark.rule("N2", "N7")
def test_what_is_sent_before_anything_is_written_leaves_together(pair) -> None:
    one, other, hearer = pair
    to = other.endpoint.incarnation
    answers = [one.endpoint.bundle(to, number, b"x") for number in range(MAX_MESSAGES + 10)]
    assert answers.count(FIRST) == 2
    assert answers.count(JOINED) == MAX_MESSAGES + 8
    one.endpoint.flush()
    wait_until(lambda: len(hearer.numbers) == len(answers), 5)
    assert hearer.numbers == list(range(MAX_MESSAGES + 10))
    assert hearer.together == [MAX_MESSAGES, 10]


@pytest.mark.rule("N4")
def test_a_bundle_is_bounded_in_bytes_too(pair) -> None:
    one, other, hearer = pair
    to, piece = other.endpoint.incarnation, bytes(MAX_BYTES // 4)
    for number in range(10):
        one.endpoint.bundle(to, number, piece)
    one.endpoint.flush()
    wait_until(lambda: len(hearer.numbers) == 10, 5)
    assert hearer.together == [4, 4, 2]


@pytest.mark.rule("N2")
@pytest.mark.row("R-40")
def test_bundles_and_others_keep_their_order_across_breaks(pair) -> None:
    one, other, hearer = pair
    to, choice = other.endpoint.incarnation, random.Random(7)
    for number in range(4000):
        if choice.random() < 0.9:
            if one.endpoint.bundle(to, number, b"x") == FIRST:
                one.endpoint.flush()
        elif choice.random() < 0.5:
            one.endpoint.say(to, Answer(number, None))
        else:
            one.say(other, number)
        if number % 900 == 450:
            one.cut(other)
    wait_until(lambda: len(hearer.numbers) >= 4000, 10)
    assert hearer.numbers == list(range(4000))
    assert not one.saw(PeerGone)


@pytest.mark.rule("N4")
def test_nothing_is_bundled_for_who_takes_nothing(pair) -> None:
    one, other, _ = pair
    to, peer = other.endpoint.incarnation, peer_of(one, other)
    with peer.lock:
        peer.session._outbox.refuse_above = -1  # as with a full queue
    assert one.endpoint.bundle(to, 1, b"x") == 0
    assert not peer.bundle.waits


@pytest.mark.rule("N3")
def test_nothing_is_bundled_for_who_is_unknown_or_gone(pair) -> None:
    one, other, _ = pair
    to, peer = other.endpoint.incarnation, peer_of(one, other)
    assert one.endpoint.bundle(one.endpoint.incarnation, 1, b"x") == 0
    with peer.lock:
        peer.session.close("ended by the test")
    assert one.endpoint.bundle(to, 1, b"x") == 0
    one.do(one.endpoint.close())
    assert one.endpoint.bundle(to, 1, b"x") == 0
    with pytest.raises(Closed):
        one.endpoint.queue(to, Deliver(1, Payload(b"x")))


@pytest.mark.rule("N2")
def test_a_goodbye_comes_behind_what_was_bundled(pair) -> None:
    one, other, hearer = pair
    for number in range(5):
        one.endpoint.bundle(other.endpoint.incarnation, number, b"x")
    assert not peer_of(one, other).idle
    one.do(one.endpoint.close())
    wait_until(lambda: other.saw(PeerGone), 5)
    assert hearer.numbers == list(range(5))
    assert len(other.saw(PeerUp)) == 1


def test_a_bundle_fits_into_one_frame() -> None:
    assert 2 * MAX_BYTES + 20 * MAX_MESSAGES < 2**16
    assert 2 * MAX_MESSAGES < Limits().max_elements
