"""Processes of one account on one host meet by a local socket, and nobody else does."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dispycos.events import PeerUp
from dispycos.model import Location
from dispycos.net import local_sockets, transport
from dispycos.net.reactor import Reactor
from tests.helpers import wait_until
from tests.io.hostile import K, Party, cluster, meet

pytestmark = [
    pytest.mark.skipif(not local_sockets.AVAILABLE, reason="local sockets: not on this system"),
    # From Python 3.12 on; the children here call nothing that a thread might have locked.
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]

STRANGER = 4242  # a user id that is nobody's here


@pytest.fixture
def parties() -> Iterator[Callable[..., Party]]:
    with cluster(K) as make:
        yield make


def family(party: Party, other: Party) -> socket.AddressFamily:
    peer = party.endpoint.peer(other.endpoint.incarnation)
    assert peer is not None and peer.connection is not None
    return peer.connection._socket.family


def as_stranger(code: Callable[[], object]) -> int:
    """Run this in a forked child of another account; its exit status."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.setresuid(STRANGER, STRANGER, STRANGER)
            status = int(code() or 0)
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can try as another account")


def test_two_processes_of_one_account_meet_by_a_local_socket(parties):
    one, other = parties("one"), parties("other")
    meet(one, other)
    assert family(one, other) == family(other, one) == socket.AF_UNIX
    # To everybody else it looks as if they had met by TCP.
    assert one.saw(PeerUp)[0].location == other.location
    peer = other.endpoint.peer(one.endpoint.incarnation)
    assert peer is not None and peer.source == "127.0.0.1"


def test_where_no_local_socket_answers_they_meet_by_tcp(parties, monkeypatch):
    one = parties("one")
    monkeypatch.setattr(local_sockets, "AVAILABLE", False)
    other = parties("other")
    meet(one, other)
    assert family(one, other) == family(other, one) == socket.AF_INET


@pytest.mark.row("SE-17")
@needs_root
def test_a_name_that_another_account_has_taken_is_left_for_tcp(parties):
    one = parties("one")
    place = Location("127.0.0.1", one.location.port)
    one.do(_closes_local(one))
    told, ready = os.pipe()
    done, finish = os.pipe()

    def take_the_name() -> None:
        taken = local_sockets.listening_socket(place)
        os.write(ready, b"y" if taken else b"n")
        os.read(done, 1)

    pid = os.fork()
    if pid == 0:
        os.setresuid(STRANGER, STRANGER, STRANGER)
        take_the_name()
        os._exit(0)
    try:
        assert os.read(told, 1) == b"y"
        assert local_sockets.connect(place) is None
        other = parties("other")
        meet(other, one)
        assert family(other, one) == socket.AF_INET
        # Nor is who listens there kept from listening by TCP alone.
        assert local_sockets.listening_socket(place) is None
    finally:
        os.write(finish, b"x")
        os.waitpid(pid, 0)
        for end in (told, ready, done, finish):
            os.close(end)


async def _closes_local(party: Party) -> None:
    for listener in party.endpoint._reception._near:
        listener.close()


@pytest.mark.row("SE-13")
@needs_root
def test_another_account_that_knocks_there_is_turned_away_before_a_word(parties):
    one = parties("one")
    name = local_sockets._name(one.location)

    def knock() -> int:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(5)
        sock.connect(name)
        return len(sock.recv(1))

    assert as_stranger(knock) == 0


@pytest.mark.parametrize("name", [b"\xff\xfe", b"a name", b"127.0.0.1:99999", b"far.example:9706", b"::1]:9"])
@pytest.mark.row("SE-13")
def test_a_name_that_a_dialer_gave_himself_is_neither_believed_nor_looked_up(name, monkeypatch):
    asked: list[str] = []
    monkeypatch.setattr(Location, "resolver", lambda host: asked.append(host) or "127.0.0.1")
    place = Location("127.0.0.1", 9)
    listening = local_sockets.listening_socket(place)
    assert listening is not None
    dialled = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    dialled.bind(b"\0dispycos/" + name)
    dialled.connect(local_sockets._name(place))
    accepted, _ = listening.accept()
    assert transport.socket_ends(accepted) == (place, Location("127.0.0.1", 0))
    assert asked == []
    for sock in (listening, dialled, accepted):
        sock.close()


def test_an_address_that_means_all_has_none():
    for anywhere in ("0.0.0.0", "::"):
        assert local_sockets.listening_socket(Location(anywhere, 9706)) is None


def test_the_name_goes_with_the_process(parties):
    one = parties("one")
    place = one.location
    near = local_sockets.connect(place)
    assert near is not None
    near.close()
    one.do(one.endpoint.close())
    wait_until(lambda: local_sockets.connect(place) is None)
    assert local_sockets._name(place)[1:].decode() not in Path("/proc/net/unix").read_text()


def test_its_ends_are_those_of_the_address(parties):
    place = Location("::1", 9)
    listening = local_sockets.listening_socket(place)
    assert listening is not None
    dialled = local_sockets.connect(place)
    accepted, _ = listening.accept()
    assert transport.socket_ends(dialled) == (Location("::1", 0), place)
    assert transport.socket_ends(accepted) == (place, Location("::1", 0))
    for sock in (listening, dialled, accepted):
        sock.close()


def test_a_reactor_hears_of_who_dials(parties):
    reactor = Reactor.in_thread()
    place = Location("127.0.0.1", 9)
    near = local_sockets.listening_socket(place)
    assert near is not None
    came: list[socket.socket] = []
    listener = reactor.wait(_listen(reactor, near, came))
    assert listener.location == place
    dialled = local_sockets.connect(place)
    wait_until(lambda: bool(came))
    reactor.call(listener.close)
    reactor.stop()
    for sock in (dialled, *came):
        sock.close()


async def _listen(reactor: Reactor, sock: socket.socket, came: list[socket.socket]) -> transport.Listener:
    return transport.Listener(reactor, sock, came.append)
