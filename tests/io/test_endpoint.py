"""Two endpoints over real loopback sockets: introductions, order, breaks, losses, refusals."""

import os
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from dispycos.config import Limits
from dispycos.events import DialFailed, PeerBack, PeerGone, PeerSuspect, PeerUp
from dispycos.messages import Answer, Deliver, Queued
from dispycos.model import Location, Payload, Role
from dispycos.net import addresses, local_sockets
from dispycos.net.endpoint import Endpoint
from dispycos.net.keys import ClusterKey, Keyring
from dispycos.net.reactor import Reactor
from tests.helpers import wait_until

LIMITS = replace(Limits(), keepalive=0.2, suspect_after=0.6, handshake_timeout=1.0, unreachable_kept=1.5)
EVERYONE = Role.CLIENT | Role.SCHEDULER | Role.NODE | Role.SERVER | Role.PEER


class Party:
    """One endpoint on a reactor of its own, with all that it heard."""

    def __init__(self, key: ClusterKey, name: str, roles: Role = Role.PEER, listens: bool = True) -> None:
        self.reactor = Reactor.in_thread(name)
        self.endpoint = Endpoint(self.reactor, roles=roles, keyring=Keyring(key), limits=LIMITS, name=name)
        self.events: list[object] = []
        self.heard: list[object] = []
        self.endpoint.watch(self.events.append)
        self.endpoint.handle(Deliver, lambda _peer, message: self.heard.append(message), who=EVERYONE)
        self.location = self.do(self.endpoint.listen(["127.0.0.1"])) if listens else None

    def do(self, coroutine):
        return self.reactor.run(coroutine).result(5)

    def dial(self, location: Location) -> None:
        self.reactor.call(self.endpoint.dial, location)

    def say(self, other: "Party", number: int, data: bytes = b"x") -> None:
        self.endpoint.say(other.endpoint.incarnation, Deliver(number, Payload(data)))

    def saw(self, kind: type) -> list:
        return [event for event in self.events if isinstance(event, kind)]

    def cut(self, other: "Party") -> None:
        """Break the connection under the session, as a network would."""

        def cut() -> None:
            peer = self.endpoint.peer(other.endpoint.incarnation)
            if peer is not None and peer.connection is not None:
                peer.connection._break("cut by the test")

        self.reactor.call(cut)

    def close(self) -> None:
        self.do(self.endpoint.close())
        self.reactor.stop()


@pytest.fixture(params=["local sockets", "TCP"])
def parties(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator:
    if request.param == "TCP":
        monkeypatch.setattr(local_sockets, "AVAILABLE", False)
    made: list[Party] = []
    key = ClusterKey(os.urandom(32))

    def make(name: str, key: ClusterKey = key, roles: Role = Role.PEER, listens: bool = True) -> Party:
        made.append(Party(key, name, roles, listens))
        return made[-1]

    yield make
    for party in made:
        party.close()


def meet(one: Party, other: Party) -> None:
    one.dial(other.location)
    wait_until(lambda: one.saw(PeerUp) and other.saw(PeerUp), 5)


@pytest.mark.rule("N1", "N2")
def test_two_endpoints_introduce_themselves_and_talk_in_order(parties):
    one, other = parties("one"), parties("other")
    meet(one, other)
    up = one.saw(PeerUp)[0]
    assert (up.peer, up.name, up.location) == (other.endpoint.incarnation, "other", other.location)
    for number in range(5000):
        one.say(other, number)
    wait_until(lambda: len(other.heard) == 5000, 5)
    assert [message.to for message in other.heard] == list(range(5000))


@pytest.mark.rule("N2")
@pytest.mark.row("R-40")
def test_messages_sent_across_breaks_arrive_in_order_each_once(parties):
    one, other = parties("one"), parties("other")
    meet(one, other)
    for number in range(3000):
        one.say(other, number)
        if number % 700 == 350:
            one.cut(other)
        if number % 900 == 450:
            other.cut(one)
    wait_until(lambda: len(other.heard) >= 3000, 10)
    assert [message.to for message in other.heard] == list(range(3000))
    assert not one.saw(PeerGone) and not other.saw(PeerGone)


@pytest.mark.rule("N6")
def test_large_values_arrive_whole_beside_small_ones(parties):
    one, other = parties("one"), parties("other")
    meet(one, other)
    data, buffer = os.urandom(100_000), os.urandom(20_000_000)
    one.endpoint.say(other.endpoint.incarnation, Deliver(1, Payload(data, (buffer,))))
    one.say(other, 2)
    wait_until(lambda: len(other.heard) == 2, 10)
    first, second = other.heard
    assert first.value.data == data and first.value.buffers[0] == buffer and second.to == 2


def test_a_peer_that_ends_its_process_is_lost_by_its_goodbye(parties):
    one, other = parties("one"), parties("other")
    meet(one, other)
    other.do(other.endpoint.close())
    wait_until(lambda: one.saw(PeerGone), 5)
    assert "closed" in one.saw(PeerGone)[0].reason


@pytest.mark.rule("N3")
def test_a_peer_whose_port_refuses_is_suspect_then_lost(parties):
    one, other = parties("one"), parties("other")
    meet(one, other)

    async def vanish() -> None:
        other.endpoint._reception.close()
        other.endpoint._closed = True
        other.endpoint._peers[one.endpoint.incarnation].connection.close()

    other.do(vanish())
    wait_until(lambda: one.saw(PeerGone), 8)
    assert one.saw(PeerSuspect)
    assert "refused" in one.saw(PeerGone)[0].reason


@pytest.mark.rule("N3")
@pytest.mark.row("R-15", "R-19")
def test_a_vanished_peer_that_nobody_can_dial_is_given_up_in_time_and_watchers_are_told(parties):
    one, other = parties("one"), parties("other", listens=False)
    other.dial(one.location)
    wait_until(lambda: one.saw(PeerUp) and other.saw(PeerUp), 5)
    assert one.saw(PeerUp)[0].location is None

    async def vanish() -> None:
        await other.endpoint._dialler.close()
        other.endpoint._peers[one.endpoint.incarnation].connection.close()

    began = time.monotonic()
    other.do(vanish())
    lost = wait_until(lambda: one.saw(PeerGone), 8)
    assert time.monotonic() - began >= LIMITS.unreachable_kept
    assert "did not come back in 1.5 s" in lost[0].reason
    assert one.endpoint.peer(other.endpoint.incarnation) is None


@pytest.mark.rule("N4")
def test_an_endpoint_refuses_limits_that_its_peers_would_not_share(parties):
    one = parties("one")

    async def make() -> None:
        limits = replace(LIMITS, max_elements=100_000)
        Endpoint(one.reactor, roles=Role.PEER, keyring=one.endpoint.keyring, limits=limits, name="other")

    with pytest.raises(ValueError, match="max_elements=100000: it is 10000 in every process"):
        one.do(make())


def test_a_broken_connection_is_reported_as_suspect_and_back(parties):
    one, other = parties("one"), parties("other")
    meet(one, other)
    one.cut(other)
    wait_until(lambda: one.saw(PeerBack) and other.saw(PeerBack), 5)
    assert len(one.saw(PeerUp)) == len(other.saw(PeerUp)) == 1


@pytest.mark.row("GN-01")
def test_a_wrong_key_opens_nothing_and_both_sides_say_so(parties, caplog):
    one = parties("one")
    other = parties("other", key=ClusterKey(os.urandom(32)))
    one.dial(other.location)
    wait_until(lambda: one.saw(DialFailed), 5)
    assert "authentication failed" in one.saw(DialFailed)[0].reason
    wait_until(lambda: "authentication failed" in caplog.text, 5)
    assert not one.saw(PeerUp) and not other.events


@pytest.mark.rule("N5")
@pytest.mark.row("SE-19")
def test_a_message_that_its_sender_may_not_say_ends_the_session(parties):
    one, other = parties("one"), parties("other")
    other.endpoint.handle(Queued, lambda peer, message: None, who=Role.SCHEDULER)
    meet(one, other)
    one.endpoint.say(other.endpoint.incarnation, Queued(1, 1, "not mine to say"))
    wait_until(lambda: other.saw(PeerGone), 5)
    assert "Queued" in other.saw(PeerGone)[0].reason
    wait_until(lambda: one.saw(PeerGone), 5)


@pytest.mark.row("SE-19")
def test_a_message_nobody_handles_ends_the_session(parties):
    one, other = parties("one"), parties("other")
    meet(one, other)
    one.endpoint.say(other.endpoint.incarnation, Answer(1, Payload(b"")))
    wait_until(lambda: other.saw(PeerGone), 5)


@pytest.mark.row("SE-59", "SE-60", "SE-62", "SE-63")
@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"SSH-2.0-x\r\n",
        os.urandom(1 << 20),
    ],
    ids=["silence", "http", "tls", "ssh", "random"],
)
def test_garbage_is_closed_in_time_and_sessions_go_on(parties, garbage):
    one, other = parties("one"), parties("other")
    meet(one, other)
    with socket.create_connection((one.location.addr, one.location.port), timeout=20) as stranger:
        try:
            stranger.sendall(garbage)
            assert stranger.recv(1) == b""
        except (ConnectionResetError, BrokenPipeError):
            pass
    one.say(other, 7)
    wait_until(lambda: other.heard, 5)


@pytest.mark.rule("N7")
@pytest.mark.parametrize("_round", range(10))
def test_both_ends_dialling_at_once_keep_one_session(parties, _round):
    one, other = parties("one"), parties("other")
    one.dial(other.location)
    other.dial(one.location)
    wait_until(lambda: one.saw(PeerUp) and other.saw(PeerUp), 5)
    for number in range(50):
        one.say(other, number)
        other.say(one, number)
    wait_until(lambda: len(one.heard) >= 50 and len(other.heard) >= 50, 5)
    assert [message.to for message in one.heard] == [message.to for message in other.heard] == list(range(50))
    assert len(one.saw(PeerUp)) == len(other.saw(PeerUp)) == 1
    assert not one.saw(PeerGone) and not other.saw(PeerGone)


def test_a_port_in_use_is_one_clear_sentence(parties):
    one = parties("one")
    other = parties("other")
    with pytest.raises(
        OSError, match=rf"can't listen at 127\.0\.0\.1:{one.location.port}: the port is in use"
    ):
        other.do(other.endpoint.listen(["127.0.0.1"], one.location.port))
    with pytest.raises(OSError, match="the address is not this machine's"):
        other.do(other.endpoint.listen(["192.0.2.77"]))


def test_what_a_process_says_to_itself_needs_no_wire(parties):
    one = parties("one")
    one.say(one, 5)
    wait_until(lambda: one.heard, 5)


@pytest.mark.row("R-50")
def test_a_place_is_dialled_as_long_as_one_of_its_owners_wants_it(parties):
    one, other = parties("one"), parties("other")
    place = other.location
    other.do(other.endpoint.close())
    one.reactor.call(lambda: one.endpoint.dial(place, owner=one))
    one.reactor.call(one.endpoint.dial, place)
    wait_until(lambda: one.saw(DialFailed), 5)
    one.reactor.call(one.endpoint.stop_dialling, place)
    failures = len(one.saw(DialFailed))
    wait_until(lambda: len(one.saw(DialFailed)) > failures + 1, 5)
    one.reactor.call(one.endpoint.stop_dialling, place, one)
    other_dials = one.endpoint._dialler._wanted
    wait_until(lambda: not other_dials, 5)


@pytest.mark.rule("N3")
@pytest.mark.row("R-70")
def test_to_a_session_that_has_just_ended_nothing_is_said_and_nothing_breaks(parties) -> None:
    one, other = parties("one"), parties("other")
    meet(one, other)
    peer = one.endpoint.peer(other.endpoint.incarnation)
    # As the reactor leaves it between the end of the session and telling the watchers.
    with peer.lock:
        peer.session.close("ended by the test")
    one.say(other, 1)
    assert not one.endpoint.queue(other.endpoint.incarnation, Deliver(2, Payload(b"x")))


@pytest.mark.row("DN-04")
def test_the_addresses_of_a_process_are_tried_in_order(parties) -> None:
    one, other = parties("one"), parties("other")
    port = other.location.port
    # Nobody listens at the first, and at the second it is another key.
    strange = parties("strange", ClusterKey(os.urandom(32)), listens=False)
    strange.do(strange.endpoint.listen(["127.0.0.8"], port))
    one.dial(Location("127.0.0.7", port, ["127.0.0.8", "127.0.0.1"]))
    wait_until(lambda: one.saw(PeerUp), 5, "the third address to be tried")
    assert not one.saw(DialFailed)
    (peer,) = one.endpoint.peers()
    assert peer.name == "other"
    # Asked for by the address that answered, it is not dialled again.
    assert one.endpoint.peer_at(Location("127.0.0.1", port)) is peer


@pytest.mark.row("DN-04")
def test_an_address_that_does_not_answer_does_not_hold_the_next_one_up(
    parties, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "LIMITS", replace(LIMITS, handshake_timeout=60.0))
    one, other = parties("one"), parties("other")
    port = other.location.port
    with socket.socket() as silent:
        silent.bind(("127.0.0.7", port))
        silent.listen(0)
        with socket.create_connection(("127.0.0.7", port)):  # what comes now gets no answer at all
            one.dial(Location("127.0.0.7", port, ["127.0.0.1"]))
            wait_until(lambda: one.saw(PeerUp), 5, "the second address to be tried")
            assert not one.saw(DialFailed)


@pytest.mark.row("DN-04")
def test_an_address_that_takes_connections_and_says_nothing_does_not_hold_the_next_one_up(
    parties, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "LIMITS", replace(LIMITS, handshake_timeout=60.0))
    one, other = parties("one"), parties("other")
    port = other.location.port
    with socket.create_server(("127.0.0.7", port)):
        one.dial(Location("127.0.0.7", port, ["127.0.0.1"]))
        wait_until(lambda: one.saw(PeerUp), 5, "the second address to be tried")
        assert not one.saw(DialFailed)


@pytest.mark.row("DN-04", "R-50")
def test_what_no_address_answers_is_told_of_each(parties) -> None:
    one = parties("one")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    one.reactor.call(lambda: one.endpoint.dial(Location("127.0.0.7", port, ["127.0.0.1"]), once=True))
    wait_until(lambda: one.saw(DialFailed), 5, "the dial to fail")
    (failed,) = one.saw(DialFailed)
    assert failed.refused
    assert f"127.0.0.7:{port}" in failed.reason and f"127.0.0.1:{port}" in failed.reason


@pytest.mark.row("DN-03", "DN-04")
def test_all_addresses_are_told_that_lead_here_from_elsewhere(parties) -> None:
    one, other = parties("one", listens=False), parties("other")
    at = one.do(one.endpoint.listen(["127.0.0.1", "127.0.0.2"], announce=["192.0.2.1", "127.0.0.1"]))
    assert at.addresses == ("192.0.2.1", "127.0.0.1")
    other.dial(Location("127.0.0.1", at.port))
    wait_until(lambda: other.saw(PeerUp), 5)
    (peer,) = other.endpoint.peers()
    assert peer.location.addresses == ("192.0.2.1", "127.0.0.1")
    assert list(addresses.reached(["10.0.0.1", "127.0.0.1", "::", "10.1.0.1"])) == ["10.0.0.1", "10.1.0.1"]
