"""Discovery under attack by datagrams: forged, recorded, from another cluster, far too many.

A datagram leads to one dial at most, changes nothing that exists, is answered to one host
with no more bytes than it had, and costs one line in the log (SECURITY, sections 5 and 10).
"""

import gc
import os
import pickle
import socket
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from dispycos.events import DialFailed, PeerUp
from dispycos.model import Incarnation, Location, Role
from dispycos.net.datagram import DATAGRAM_BYTES, MAGIC, DatagramKind, Record
from dispycos.net.keys import ClusterKey
from dispycos.net.search import Search
from tests.helpers import wait_until
from tests.io.hostile import OTHER, K, Party, Trap, cluster, exchange, flipped, meet, unharmed

pytestmark = pytest.mark.usefixtures("clean_log")

EVERYBODY = "127.255.255.255"


class Finder:
    """An honest scheduler that looks for nodes by UDP; `party` has its session with another."""

    def __init__(self, party: Party, other: Party, udp_port: int) -> None:
        self.party = party
        self.other = other
        self.port = udp_port
        self.search = party.ask(lambda: Search(party.endpoint, udp_port, wanted=Role.NODE))
        self.discovery = self.search._discovery

    def counts(self, word: str) -> int:
        return self.discovery._watch.counts.get(word, 0)

    @property
    def heard(self) -> int:
        """Datagrams so far, whatever came of them."""
        return sum(self.discovery._watch.counts.values())

    def hears(self, data: bytes, source: tuple[str, int]) -> None:
        """Let a datagram come from a source that only a forger could send from."""
        self.party.ask(lambda: self.discovery.heard(self.discovery._channels[0], data, source))

    def dials(self) -> list[Location]:
        return [event.location for event in self.party.saw(DialFailed)]

    def busy(self) -> bool:
        """It is dialling somebody, or is about to."""
        return self.party.ask(lambda: bool(self.party.endpoint._dialler._wanted or self.discovery._hints))


@pytest.fixture
def finder() -> Iterator[Finder]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with cluster() as make:
        party, other = make("finder", roles=Role.SCHEDULER | Role.PEER), make("other")
        meet(other, party)
        finder = Finder(party, other, port)
        with unharmed(party, other):
            yield finder
        party.ask(finder.search.close)


class Voice:
    """Sends datagrams; `source` is any address of the loopback network."""

    def __init__(self, finder: Finder, source: str = "127.0.0.1") -> None:
        self.finder = finder
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self.sock.bind((source, 0))
        self.sock.setblocking(False)

    def say(self, *datagrams: bytes) -> None:
        """Send them so that each is heard: a full queue would drop some."""
        for first in range(0, len(datagrams), 50):
            some = datagrams[first : first + 50]
            expected = self.finder.heard + len(some)
            for data in some:
                self.sock.sendto(data, (EVERYBODY, self.finder.port))
            wait_until(lambda expected=expected: self.finder.heard >= expected, 5, "all datagrams")

    def answers(self) -> list[bytes]:
        found = []
        while True:
            try:
                found.append(self.sock.recv(65536))
            except BlockingIOError:
                return found

    def __enter__(self) -> "Voice":
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()


@pytest.fixture
def voice(finder) -> Iterator[Voice]:
    with Voice(finder) as voice:
        yield voice


def record(**changes: Any) -> Record:
    """A HERE of a node that is in order but for `changes`."""
    fields: dict[str, Any] = {
        "kind": DatagramKind.HERE,
        "role": Role.NODE,
        "sought": Role(0),
        "incarnation": Incarnation(os.urandom(16)),
        "port": 40000,
        "addresses": ("127.0.0.1",),
        "time": int(time.time()),
        "nonce": os.urandom(16),
    }
    return Record(**{**fields, **changes})


def made(key: ClusterKey = K, **changes: Any) -> bytes:
    return record(**changes).encode(key.discovery_key())


def question(key: ClusterKey = K, **changes: Any) -> bytes:
    return made(key, kind=DatagramKind.SEEK, role=Role.NODE, sought=Role.SCHEDULER, **changes)


def hang_up(_sock: socket.socket) -> None:
    """What a trap does with who dials it."""


@pytest.mark.row("SE-91", "SE-92", "SE-28")
def test_what_is_no_datagram_of_ours_is_dropped_unparsed(finder, voice, tmp_path):
    class Canary:
        def __reduce__(self) -> Any:
            return (open, (str(tmp_path / "canary"), "w"))

    poison = pickle.dumps(Canary(), 2)
    good = made()
    garbage = [
        b"",
        b"x",
        b"ping:" + poison,
        (MAGIC + poison).ljust(DATAGRAM_BYTES, b"."),
        (MAGIC + b"\1\2" + poison).ljust(DATAGRAM_BYTES, b"."),
        good[:-1],
        good + b"x",
        os.urandom(DATAGRAM_BYTES),
        bytes(DATAGRAM_BYTES),
        os.urandom(65_507),
        good + os.urandom(65_507 - len(good)),
    ]
    voice.say(*garbage)
    assert finder.counts("HERE") == finder.counts("SEEK") == 0
    assert finder.heard == len(garbage)
    assert not voice.answers() and not finder.busy() and not finder.dials()
    assert not (tmp_path / "canary").exists()


@pytest.mark.row("SE-93", "SE-28")
def test_a_flood_of_wrong_tags_delays_nobody_and_costs_no_memory(finder, voice):
    good = made()
    wrong = [flipped(good, 8 * (DATAGRAM_BYTES - 1) + bit) for bit in range(8)]
    voice.say(*wrong)
    exchange(finder.party, finder.other)
    tracemalloc.start()
    try:
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        took, sent = [], 0
        begun = time.monotonic()
        while sent < 50_000:
            for data in wrong * 250:
                try:
                    voice.sock.sendto(data, (EVERYBODY, finder.port))
                except BlockingIOError:
                    break
                sent += 1
            asked = time.monotonic()
            exchange(finder.party, finder.other)
            took.append(time.monotonic() - asked)
        assert sorted(took)[len(took) // 2] < 1
        assert time.monotonic() - begun < 60
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 1 << 20
    finally:
        tracemalloc.stop()
    assert not voice.answers() and not finder.busy() and not finder.dials()
    finder.party.ask(finder.discovery._watch.check)


@pytest.mark.row("SE-94", "SE-30")
def test_a_recorded_datagram_leads_to_one_dial_at_once_and_to_none_an_hour_later(finder, voice):
    with Trap(hang_up) as fresh, Trap(hang_up) as old:
        now = made(port=fresh.location.port)
        voice.say(*[now] * 1000)
        voice.say(*[made(port=old.location.port, time=int(time.time()) - 3600)] * 100)
        wait_until(lambda: finder.dials() and not finder.busy(), 5)
        voice.say(*[now] * 100)
        assert not finder.busy()
        assert (fresh.dials, old.dials) == (1, 0)
    assert finder.counts("repeated") == 1099 and finder.counts("stale") == 100


@pytest.mark.row("SE-29", "SE-95")
def test_nodes_that_are_not_cost_five_dials_a_second(finder, voice):
    with ExitStack() as held:
        traps = [held.enter_context(Trap(hang_up)) for _ in range(8)]
        begun = time.monotonic()
        voice.say(*[made(port=trap.location.port) for trap in traps for _ in range(25)])
        wait_until(lambda: all(trap.dials for trap in traps) and not finder.busy(), 10)
        took = time.monotonic() - begun
        assert took > 0.9
        assert sum(trap.dials for trap in traps) <= 5 * (took + 1)


@pytest.mark.row("SE-95", "SE-31")
def test_a_forged_question_is_answered_to_one_host_only_and_not_often(finder):
    watch = finder.discovery._watch
    with Voice(finder) as everybody, Voice(finder, "127.0.0.77") as third:
        port = third.sock.getsockname()[1]
        listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listener.bind((EVERYBODY, 0))
            listener.setblocking(False)
            many = listener.getsockname()[1]
            for source in (EVERYBODY, "255.255.255.255", "239.255.97.5", "0.0.0.0", "ff02::1", "::"):
                finder.hears(question(), (source, many))
            assert not watch._answers, "nothing was answered to many"
            with pytest.raises(BlockingIOError):
                listener.recv(1)
        # A host that asked nothing: it gets what it would have got for a question of its own.
        for _ in range(100):
            finder.hears(question(), ("127.0.0.77", port))
        answers = wait_until(third.answers, 5)
        assert len(answers) <= finder.party.endpoint.limits.max_answers_per_source
        assert {len(answer) for answer in answers} == {DATAGRAM_BYTES}
        same = question()
        for number in range(1000):
            finder.hears(same, (f"127.0.{number // 250}.{number % 250 + 1}", port))
        assert len(watch._answers) <= finder.party.endpoint.limits.max_answers_per_second
        assert finder.counts("repeated") == 999
        # Itself.
        finder.hears(question(incarnation=finder.party.endpoint.incarnation), ("127.0.0.1", finder.port))
        assert finder.counts("self") == 1
        assert not everybody.answers()
    assert not finder.busy() and not finder.dials()


@pytest.mark.row("SE-95", "SE-96", "SE-99", "SE-97", "SE-29")
@pytest.mark.parametrize("source", ["127.0.0.1", EVERYBODY, "255.255.255.255", "239.255.97.5", "fe80::1"])
def test_no_claim_makes_it_dial_many_nobody_or_itself(finder, source):
    own = finder.party.location
    claims: list[dict[str, Any]] = [
        {"port": 22},
        {"port": 0},
        {"port": 1023},
        {"port": own.port, "addresses": ("127.0.0.1", "127.0.0.1", "0.0.0.0", "::")},
        {"addresses": ("0.0.0.0",), "port": own.port},
        {"addresses": (EVERYBODY, "255.255.255.255", "239.255.97.5", "ff02::1"), "port": own.port},
        {"addresses": ("::", "fe80::1", "ff05::1", "0.0.0.0"), "port": own.port},
        {"addresses": ("240.0.0.1", "0.1.2.3"), "port": own.port},
        {"addresses": (), "port": own.port},
        {"time": 0},
        {"time": 1 << 32},
        {"time": (1 << 64) - 1},
    ]
    for claim in claims:
        finder.hears(made(**claim), (source, 9))
    assert not finder.busy() and not finder.dials()
    assert not finder.discovery._watch._dials


@pytest.mark.row("SE-67", "SE-96", "SE-99")
def test_a_name_of_its_own_that_it_does_not_know_is_dialled_once(finder, voice):
    """127.0.1.1 is this host too, but nobody listens there; behind `own` it is itself."""
    voice.say(*[made(port=finder.party.location.port, addresses=("127.0.1.1",)) for _ in range(20)])
    wait_until(lambda: finder.dials() and not finder.busy(), 5)
    assert finder.dials()[0] == Location("127.0.1.1", finder.party.location.port)
    assert len(finder.party.saw(PeerUp)) == 1


@pytest.mark.row("SE-97", "SE-30")
@pytest.mark.parametrize("moment", [0, 1 << 32, (1 << 64) - 1])
def test_a_question_by_a_strange_clock_is_answered_and_dialled_by_nobody(finder, voice, moment):
    voice.say(question(time=moment))
    assert wait_until(voice.answers, 5)
    assert not finder.busy() and not finder.dials()


@pytest.mark.row("SE-98", "SE-32")
def test_another_cluster_of_a_thousand_nodes_is_ignored_in_a_few_lines(finder, caplog):
    for number in range(1000):
        source = f"127.0.{number // 250}.{number % 250 + 1}"
        for data in (made(OTHER), question(OTHER)):
            finder.hears(data, (source, 9705))
    lines = [text for text in caplog.messages if "another key" in text]
    assert 1 <= len(lines) <= 20
    assert all(K.fingerprint in line and OTHER.fingerprint not in line for line in lines)
    assert finder.counts("key") == 2000
    assert not finder.busy() and not finder.dials() and not finder.discovery._watch._answers


@pytest.mark.row("SE-29")
def test_a_datagram_does_not_end_the_dialling_of_a_peer_that_was_named(finder, voice):
    """What somebody asked for goes on, although one dial for a hint to the same place failed."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        location = Location("127.0.0.1", closed.getsockname()[1])
        for named_first in (True, False):
            finder.party.events.clear()
            if named_first:
                finder.party.dial(location)
                wait_until(finder.dials, 5)
                voice.say(made(port=location.port))
            else:
                finder.party.ask(lambda: finder.search._hint(location, Role.NODE))
                finder.party.dial(location)
            seen = len(finder.dials())
            wait_until(lambda seen=seen: len(finder.dials()) >= seen + 2, 5)
            finder.party.reactor.call(finder.party.endpoint.stop_dialling, location)
            wait_until(lambda: not finder.busy(), 5)


@pytest.mark.row("SE-29")
def test_a_datagram_about_a_peer_that_is_here_changes_nothing(finder, voice):
    other = finder.other.endpoint
    carrier = finder.party.endpoint.peer(other.incarnation).connection
    with Trap(hang_up) as trap:
        voice.say(
            made(incarnation=other.incarnation, port=trap.location.port),
            made(incarnation=other.incarnation, port=other.location.port),
            made(port=other.location.port),
        )
        assert not finder.busy() and trap.dials == 0
    assert finder.party.endpoint.peer(other.incarnation).connection is carrier
    assert not finder.dials()
