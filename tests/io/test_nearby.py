"""Who is asked to look around is believed, who was not is not; and servers are told nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from dispycos.events import PeerGone, PeerUp
from dispycos.messages import Deliver, FindNear, Near
from dispycos.model import Payload, Role
from dispycos.net.keys import ClusterKey
from dispycos.net.search import Search
from tests.helpers import wait_until
from tests.io.test_endpoint import Party, meet


class Seeker(Party):
    """One endpoint that asks, is asked, and broadcasts nothing."""

    def __init__(self, key: ClusterKey, name: str) -> None:
        super().__init__(key, name)
        self.search = self.do(self._search())

    async def _search(self) -> Search:
        return Search(self.endpoint, None)


@pytest.fixture
def three() -> Iterator[list[Seeker]]:
    """The second is connected with both others."""
    key = ClusterKey(os.urandom(32))
    made = [Seeker(key, name) for name in ("one", "between", "third")]
    meet(made[0], made[1])
    meet(made[2], made[1])
    yield made
    for party in made:
        party.close()


def ups(party: Party) -> list[str]:
    return [event.name for event in party.saw(PeerUp)]


@pytest.mark.row("KE-29")
def test_who_is_asked_tells_of_those_it_is_connected_with(three: list[Seeker]) -> None:
    one, between, _third = three
    one.reactor.call(one.search.ask, between.endpoint.incarnation, Role.PEER)
    wait_until(lambda: ups(one) == ["between", "third"], 5, "the third to be reached")


@pytest.mark.row("KE-29", "SE-29")
def test_what_nobody_asked_for_leads_to_no_dial(three: list[Seeker]) -> None:
    one, between, third = three
    between.endpoint.say(one.endpoint.incarnation, Near(third.location))
    between.say(one, 1)
    wait_until(lambda: one.heard, 5, "what was said after it")
    assert one.endpoint.dialling(third.location) is None
    assert ups(one) == ["between"]


@pytest.mark.row("KE-29", "SE-19")
def test_a_server_may_not_ask_who_is_near(three: list[Seeker]) -> None:
    one, *_ = three
    key = one.endpoint.keyring.own
    server = Party(key, "server", Role.SERVER)
    try:
        meet(server, one)
        server.endpoint.say(one.endpoint.incarnation, FindNear(Role.PEER))
        server.endpoint.say(one.endpoint.incarnation, Deliver(1, Payload(b"x")))
        wait_until(lambda: server.saw(PeerGone), 5, "its session to end")
        assert not one.heard
    finally:
        server.close()
