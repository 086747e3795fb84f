"""Discovery over real sockets: processes of one host find each other, and nothing else happens."""

import os
import socket
import sys
import time
from collections.abc import Iterator

import pytest

from dispycos.config import Limits
from dispycos.model import Location, Role
from dispycos.net import addresses, interfaces
from dispycos.net.datagram import DATAGRAM_BYTES, DatagramKind, Record
from dispycos.net.discovery import Discovery
from dispycos.net.endpoint import Endpoint
from dispycos.net.keys import ClusterKey, Keyring
from dispycos.net.reactor import Reactor
from tests.helpers import wait_until


class Party:
    """An endpoint with discovery, and the hints it got."""

    def __init__(self, reactor: Reactor, key: ClusterKey, port: int, roles: Role, **options) -> None:
        self.reactor = reactor
        self.hints: list[tuple[Location, Role]] = []

        async def start() -> None:
            self.endpoint = Endpoint(
                reactor, roles=roles, keyring=Keyring(key), limits=Limits(), name=roles.name or "?"
            )
            await self.endpoint.listen([addresses.LOOPBACK])
            self.discovery = Discovery(
                self.endpoint,
                udp_port=port,
                multicast=options.get("multicast", False),
                on_hint=lambda location, role: self.hints.append((location, role)),
            )

        reactor.run(start()).result(5)

    @property
    def counts(self) -> dict[str, int]:
        return self.discovery._watch.counts

    def seek(self, role: Role) -> None:
        self.reactor.call(self.discovery.seek, role)

    def announce(self) -> None:
        self.reactor.call(self.discovery.announce)

    def close(self) -> None:
        async def close() -> None:
            self.discovery.close()
            await self.endpoint.close()

        self.reactor.run(close()).result(5)


@pytest.fixture
def udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def party(udp_port) -> Iterator:
    reactor = Reactor.in_thread()
    made: list[Party] = []
    shared = ClusterKey(os.urandom(32))

    def make(roles: Role, key: ClusterKey = shared, **options) -> Party:
        made.append(Party(reactor, key, udp_port, roles, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()
    reactor.stop()


@pytest.mark.rule("N9")
def test_a_seeker_hears_of_all_that_have_the_role_and_of_no_others(party):
    seeker = party(Role.SCHEDULER)
    nodes = [party(Role.NODE), party(Role.NODE)]
    party(Role.CLIENT)
    seeker.seek(Role.NODE)
    wait_until(lambda: len(seeker.hints) == 2, 5)
    assert {hint for hint, _ in seeker.hints} == {node.endpoint.location for node in nodes}
    assert all(role is Role.NODE for _, role in seeker.hints)
    assert not any(node.hints for node in nodes)


@pytest.mark.rule("N9")
def test_an_announcement_is_heard_by_those_who_were_there_before(party):
    scheduler = party(Role.SCHEDULER)
    node = party(Role.NODE)
    node.announce()
    wait_until(lambda: scheduler.hints, 5)
    assert scheduler.hints == [(node.endpoint.location, Role.NODE)]
    assert not node.hints


@pytest.mark.row("SE-32")
def test_another_clusters_datagrams_come_to_nothing_but_one_line(party, caplog):
    stranger = party(Role.NODE, key=ClusterKey(os.urandom(32)))
    scheduler = party(Role.SCHEDULER)
    for _ in range(20):
        stranger.announce()
    wait_until(lambda: scheduler.counts.get("key", 0) >= 20, 5)
    assert not scheduler.hints
    lines = [record for record in caplog.records if "another key" in record.getMessage()]
    assert (
        len([line for line in lines if scheduler.endpoint.keyring.own.fingerprint in line.getMessage()]) == 1
    )


@pytest.mark.row("SE-28", "SE-91", "SE-92")
@pytest.mark.parametrize("size", [0, 1, DATAGRAM_BYTES - 1, DATAGRAM_BYTES, DATAGRAM_BYTES + 1, 60_000])
def test_garbage_is_counted_and_nothing_else(party, udp_port, size):
    scheduler, node = party(Role.SCHEDULER), party(Role.NODE)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.sendto(os.urandom(size), ("127.255.255.255", udp_port))
        wait_until(lambda: sum(scheduler.counts.values()) >= 1, 5)
        sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            sock.recvfrom(1000)
    node.announce()
    wait_until(lambda: scheduler.hints, 5)


@pytest.mark.row("SE-94")
def test_a_recorded_datagram_sent_a_thousand_times_is_one_hint(party, udp_port):
    scheduler, node = party(Role.SCHEDULER), party(Role.NODE)
    record = Record(
        DatagramKind.HERE,
        Role.NODE,
        Role(0),
        node.endpoint.incarnation,
        40_000,
        ("127.0.0.1",),
        int(time.time()),
        b"n" * 16,
    )
    data = record.encode(node.endpoint.keyring.discovery_keys()[0])
    old = Record(
        DatagramKind.HERE, Role.NODE, Role(0), node.endpoint.incarnation, 40_001, ("127.0.0.1",),
        int(time.time()) - 3600, b"o" * 16,
    ).encode(node.endpoint.keyring.discovery_keys()[0])  # fmt: skip
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        for _ in range(1000):
            sock.sendto(data, ("127.255.255.255", udp_port))

        def stale() -> int | None:
            sock.sendto(old, ("127.255.255.255", udp_port))  # again: the thousand may have filled the queue
            return scheduler.counts.get("stale")

        wait_until(stale, 5)
    assert scheduler.hints == [(Location("127.0.0.1", 40_000), Role.NODE)]


@pytest.mark.row("SE-29")
def test_many_announcements_lead_to_five_dials_a_second_and_none_is_forgotten(party, udp_port):
    scheduler, node = party(Role.SCHEDULER), party(Role.NODE)
    key = node.endpoint.keyring.discovery_keys()[0]
    begun = time.monotonic()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        for number in range(8):
            record = Record(
                DatagramKind.HERE, Role.NODE, Role(0), os.urandom(16), 41_000 + number, ("127.0.0.1",),
                int(time.time()), os.urandom(16),
            )  # fmt: skip
            sock.sendto(record.encode(key), ("127.255.255.255", udp_port))
        wait_until(lambda: len(scheduler.hints) == 8, 8)
    assert time.monotonic() - begun >= 0.9


@pytest.mark.row("SE-31")
def test_an_answer_is_no_longer_than_its_question_and_goes_to_the_asker_alone(party, udp_port):
    party(Role.NODE)
    seeker, bystander = party(Role.SCHEDULER), party(Role.SCHEDULER)
    seeker.seek(Role.NODE)
    wait_until(lambda: seeker.hints, 5)
    assert not bystander.hints and "HERE" not in bystander.counts


def test_a_port_that_another_program_shares_with_nobody_is_told_with_that_program(party, monkeypatch):
    node = party(Role.NODE)
    here = [one for one in interfaces.interfaces() if one.address == "127.0.0.1"]
    monkeypatch.setattr("dispycos.net.discovery.interfaces", lambda: here)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("0.0.0.0", 0))
        port = sock.getsockname()[1]
        told = rf"can't use UDP port {port} .* \(pid {os.getpid()}\) shares it with nobody: end it, or give"
        with pytest.raises(OSError, match=told):
            Discovery(node.endpoint, udp_port=port, multicast=False, on_hint=print)


def test_a_process_without_interfaces_for_it_says_so(party, monkeypatch):
    node = party(Role.NODE)
    monkeypatch.setattr("dispycos.net.discovery.interfaces", list)
    with pytest.raises(OSError, match=r"can't use UDP port 9 for discovery: no interface is up"):
        Discovery(node.endpoint, udp_port=9, multicast=False, on_hint=print)


@pytest.mark.row("DN-37")
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only psutil lists interfaces")
def test_without_psutil_linux_lists_the_same_interfaces(monkeypatch):
    def lists_the_same() -> bool:
        with_psutil = interfaces.interfaces()
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "psutil", None)  # importing it fails
            without = interfaces.interfaces()
        # psutil tells of further IPv4 addresses of an interface, too.
        same = set(without) <= set(with_psutil)
        return same and {found.name for found in without} == {found.name for found in with_psutil}

    # Other tests' interfaces come and go meanwhile.
    wait_until(lists_the_same)
