"""Datagrams: what is dropped, what is answered, and what may be dialled."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispycos.config import Limits
from dispycos.errors import LocalProtocolError
from dispycos.model import Location, Role
from dispycos.net.datagram import DATAGRAM_BYTES, DatagramKind, Dropped, Heard, Record, Watch, dial_address
from dispycos.net.keys import Keyring
from tests.unit.net.pairs import OTHER, A, B, K, random

LIMITS = replace(
    Limits(), max_datagram_sources=4, datagram_cache=8, max_answers_per_second=6, max_answers_per_source=3
)
WALL = 1_800_000_000
KEYS = Keyring(K).discovery_keys()
FAR = "192.0.2.7"


def watch(**options: Any) -> Watch:
    keys = options.get("keys", KEYS)
    return Watch(lambda: keys, A, options.get("limits", LIMITS))


def record(**changes: Any) -> Record:
    fields: dict[str, Any] = {
        "kind": DatagramKind.SEEK,
        "role": Role.CLIENT,
        "sought": Role.NODE,
        "incarnation": B,
        "port": 9706,
        "addresses": (FAR,),
        "time": WALL,
        "nonce": random("nonce", 16),
    }
    fields.update(changes)
    if fields["kind"] is DatagramKind.HERE:
        fields["sought"] = Role(0)
    return Record(**fields)


def encoded(**changes: Any) -> bytes:
    return record(**changes).encode(KEYS[0])


def reason(verdict: Dropped | Heard) -> str:
    assert isinstance(verdict, Dropped), verdict
    return verdict.reason


@pytest.mark.row("SE-28", "SE-32")
def test_a_record_is_small_fixed_and_holds_numbers_only() -> None:
    assert DATAGRAM_BYTES <= 512
    for addresses in ((), (FAR,), (FAR, "fe80::1", "2001:db8::1", "10.0.0.1")):
        data = encoded(addresses=addresses)
        assert len(data) == DATAGRAM_BYTES
        heard = watch().received(data, FAR, 0.0, WALL)
        assert heard == Heard(record(addresses=addresses), fresh=True)
    with pytest.raises(LocalProtocolError, match="5 addresses"):
        encoded(addresses=(FAR,) * 5)


@pytest.mark.row("SE-28", "SE-91", "SE-92")
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        bytes(65_507),
        b"ping:" + pickle.dumps({"a": 1}),
        encoded()[:-1],
        encoded() + b"\0",
    ],
    ids=["empty", "one byte", "65507", "pickle", "short", "long"],
)
def test_any_other_size_is_dropped_unparsed_and_counted(data: bytes) -> None:
    guard = watch()
    assert reason(guard.received(data, FAR, 0.0, WALL)) == "size"
    assert guard.dropped(FAR) == 1
    assert guard.counts == {"size": 1}


@pytest.mark.row("SE-28", "SE-93")
def test_each_flipped_bit_is_dropped() -> None:
    data = encoded()
    for bit in range(len(data) * 8):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        assert reason(watch().received(bytes(changed), FAR, 0.0, WALL)) in ("magic", "key")


@pytest.mark.row("SE-28", "SE-93")
def test_sources_are_counted_in_a_bounded_table() -> None:
    guard = watch()
    wrong = record().encode(Keyring(OTHER).discovery_keys()[0])
    for number in range(1000):
        guard.received(wrong, f"10.0.{number // 256}.{number % 256}", 0.0, WALL)
        guard.check()
    assert guard.counts == {"key": 1000}


@pytest.mark.row("SE-32", "SE-98")
def test_another_clusters_datagrams_cost_one_log_line_in_ten_minutes() -> None:
    guard = watch()
    wrong = record().encode(Keyring(OTHER).discovery_keys()[0])
    logged = [guard.received(wrong, FAR, now / 10, WALL).log for now in range(12_001)]  # type: ignore[union-attr]
    assert [number for number, log in enumerate(logged) if log] == [0, 6000, 12_000]


def test_datagrams_under_an_accepted_key_are_heard() -> None:
    both = Keyring(OTHER, [K]).discovery_keys()
    assert isinstance(watch(keys=both).received(encoded(), FAR, 0.0, WALL), Heard)


@pytest.mark.row("SE-28")
@pytest.mark.parametrize(
    "changes",
    [
        {"role": Role(0)},
        {"sought": Role(0)},
        {"incarnation": bytes(16)},
        {"nonce": bytes(16)},
    ],
)
def test_an_authentic_record_that_makes_no_sense_is_dropped(changes: dict[str, Any]) -> None:
    assert reason(watch().received(encoded(**changes), FAR, 0.0, WALL)) == "malformed"


def test_our_own_datagram_is_dropped() -> None:
    assert reason(watch().received(encoded(incarnation=A), FAR, 0.0, WALL)) == "self"


@pytest.mark.row("SE-30", "SE-94")
def test_a_double_is_refused_and_an_old_one_leads_to_no_dial() -> None:
    guard = watch()
    data = encoded()
    assert isinstance(guard.received(data, FAR, 0.0, WALL), Heard)
    for number in range(1000):
        assert reason(guard.received(data, FAR, number / 1000, WALL)) == "repeated"
    # An hour later it has left the cache of a busy process, but its clock tells.
    for number in range(20):
        guard.received(encoded(nonce=random(number, 16)), FAR, 1.0, WALL)
    heard = guard.received(data, FAR, 3600.0, WALL + 3600)
    assert isinstance(heard, Heard)
    assert not heard.fresh
    guard.check()


@pytest.mark.row("SE-30", "SE-97")
@pytest.mark.parametrize("time", [0, WALL - 61, WALL + 61, 4_291_747_200, (1 << 64) - 1])
def test_an_answer_by_another_clock_counts_if_it_echoes_our_question(time: int) -> None:
    guard = watch()
    here = encoded(kind=DatagramKind.HERE, time=time)
    assert reason(guard.received(here, FAR, 0.0, WALL)) == "stale"
    question = record(incarnation=A, nonce=random("asked", 16))
    guard.seek(question, 100.0)
    echo = encoded(kind=DatagramKind.HERE, time=time, echo=question.nonce)
    late = encoded(kind=DatagramKind.HERE, time=time, echo=question.nonce, nonce=random("late", 16))
    heard = guard.received(echo, FAR, 101.0, WALL)
    assert isinstance(heard, Heard)
    assert heard.fresh
    assert reason(guard.received(late, FAR, 161.0, WALL)) == "stale"


@pytest.mark.row("SE-30")
def test_a_question_by_another_clock_may_be_answered_but_leads_to_no_dial() -> None:
    heard = watch().received(encoded(time=WALL - 7200), FAR, 0.0, WALL)
    assert isinstance(heard, Heard)
    assert not heard.fresh


@pytest.mark.row("SE-31")
def test_answers_are_few_and_not_longer_than_their_question() -> None:
    guard = watch()
    assert len(encoded(kind=DatagramKind.HERE, echo=random("q", 16))) == len(encoded())
    assert [guard.may_answer(FAR, 0.0) for _ in range(4)] == [True] * 3 + [False]
    assert [guard.may_answer("192.0.2.8", 0.5) for _ in range(4)] == [True] * 3 + [False]
    assert not guard.may_answer("192.0.2.9", 0.9)
    assert guard.may_answer("192.0.2.9", 1.0)
    assert guard.may_answer(FAR, 1.0)


@pytest.mark.row("SE-29", "SE-95")
def test_datagrams_cause_at_most_five_dials_a_second_in_all() -> None:
    guard = watch()
    allowed = [now / 1000 for now in range(3000) if guard.may_dial(now / 1000)]
    for begin in allowed:
        assert sum(begin <= now < begin + 1.0 for now in allowed) <= 5
    assert len(allowed) == 15


@pytest.mark.rule("N9")
@pytest.mark.row("SE-29", "SE-95", "SE-96", "SE-99")
@pytest.mark.parametrize(
    ("addresses", "source", "port", "expected"),
    [
        ((FAR,), FAR, 9706, FAR),
        ((), FAR, 9706, FAR),
        (("198.51.100.1", FAR), FAR, 9706, FAR),
        (("198.51.100.1",), FAR, 9706, "198.51.100.1"),
        (("198.51.100.1", "198.51.100.2"), FAR, 9706, "198.51.100.1"),
        (("0.0.0.0", "198.51.100.2"), FAR, 9706, "198.51.100.2"),
        # Claimed ports.
        ((FAR,), FAR, 22, None),
        ((FAR,), FAR, 1023, None),
        ((FAR,), FAR, 0, None),
        # Our own, broadcast, multicast, everything, nothing.
        (("10.0.0.5",), "10.0.0.5", 9706, None),
        (("255.255.255.255",), "255.255.255.255", 9706, None),
        (("10.0.0.255",), "10.0.0.255", 9706, None),
        (("239.255.97.5",), "224.0.0.1", 9706, None),
        (("ff02::1",), "ff02::1", 9706, None),
        (("0.0.0.0", "::"), "0.1.2.3", 9706, None),
        (("240.0.0.1",), "240.0.0.1", 9706, None),
        # Loopback means somebody only on that host.
        (("127.0.1.1",), FAR, 9706, FAR),
        (("127.0.0.1", "::1"), FAR, 9706, FAR),
        (("127.0.0.1",), "127.0.0.1", 9706, "127.0.0.1"),
        (("::1",), "::1", 9706, "::1"),
        # A link-local address without a scope leads nowhere.
        (("fe80::1",), "2001:db8::1", 9706, "2001:db8::1"),
        (("fe80::1",), "fe80::1", 9706, None),
        ((), "fe80::1%2", 9706, "fe80::1%2"),
        ((FAR, FAR, FAR, FAR), FAR, 9706, FAR),
    ],
)
def test_one_address_at_most_is_worth_dialling(
    addresses: tuple[str, ...], source: str, port: int, expected: str | None
) -> None:
    ours = [Location("10.0.0.5", 9706)]
    found = dial_address(record(addresses=addresses, port=port), source, ours, broadcasts=["10.0.0.255"])
    assert found == (Location(expected, port) if expected else None)


@pytest.mark.row("SE-29")
def test_a_low_port_is_dialled_only_if_it_was_configured() -> None:
    assert dial_address(record(port=1023), FAR, [], low_ports=True) == Location(FAR, 1023)


@given(st.binary(max_size=600), st.sampled_from(["192.0.2.1", "::1", "not an address"]))
def test_no_bytes_crash_it(data: bytes, source: str) -> None:
    guard = watch()
    assert isinstance(guard.received(data, source, 0.0, WALL), Dropped)
    body = encoded()[:-16][: len(data)].ljust(DATAGRAM_BYTES - 16, b"\xff")
    authentic = body + KEYS[0].tag(body, b"")
    guard.received(authentic, source, 0.0, WALL)
    guard.check()
