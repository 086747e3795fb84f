"""The handshake: who gets through, who does not, and what each of them hears."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from dispycos.errors import AuthenticationError, LocalProtocolError, RemoteProtocolError, VersionMismatch
from dispycos.model import Location, Role
from dispycos.net.auth import PROOF, Failed, Handshake, HandshakeState, Proven
from dispycos.net.hello import HELLO, MAGIC, Hello
from dispycos.net.keys import ClusterKey, Keyring
from tests.unit.net.pairs import LOOPBACK, OTHER, A, B, K, dialer, listener, proven, random, shake


def failed(end: object, code: str) -> Failed:
    assert isinstance(end, Failed), end
    assert end.code == code, end
    return end


def hello(**changes: Any) -> bytes:
    fields = {"incarnation": A, "roles": Role.CLIENT, "nonce": random("raw"), "key_id": K.key_id}
    return Hello(**{**fields, **changes}).encode()


@pytest.mark.rule("N1")
@pytest.mark.row("SE-14")
def test_both_ends_prove_the_key_and_the_dialer_first() -> None:
    one, two = dialer(port=5000), listener(max_message_bytes=1 << 20)
    two.opening()
    answer, end = two.received(one.opening())
    assert (len(answer), end) == (HELLO.size, None)
    proof, end = one.received(answer)
    assert (len(proof), end) == (PROOF.size, None)
    answer, their = two.received(proof)
    assert isinstance(their, Proven)
    none, our = one.received(answer + b"frames")
    assert none == b""
    assert isinstance(our, Proven)
    assert our.left_over == b"frames"
    assert their.left_over == b""
    assert (our.peer.incarnation, our.peer.roles) == (B, Role.NODE)
    assert (their.peer.incarnation, their.peer.roles, their.peer.port) == (A, Role.CLIENT, 5000)
    assert our.send_key.mac(b"x") == their.receive_key.mac(b"x")
    assert our.receive_key.mac(b"x") == their.send_key.mac(b"x")
    assert our.send_key.mac(b"x") != our.receive_key.mac(b"x")
    assert our.max_message_bytes == their.max_message_bytes == 1 << 20
    assert our.reservation is their.reservation is None
    assert our.version == their.version == 1
    assert our.tags
    assert their.tags


@pytest.mark.rule("N1")
def test_the_listener_says_nothing_of_worth_before_the_proof() -> None:
    one, two = dialer(), listener()
    two.opening()
    two.received(one.opening())
    assert two.state is HandshakeState.PROOF
    silent, end = two.received(PROOF.pack(MAGIC, 2, 1, bytes(32)))
    assert silent == b""
    failed(end, "authentication")


def test_any_chunking_of_the_bytes_gives_the_same() -> None:
    for size in (1, 2, 7, 41, 119):
        one, two = dialer(), listener()
        two.opening()
        ways = {two: bytearray(one.opening()), one: bytearray()}
        ends: dict[Handshake, Proven | Failed | None] = {one: None, two: None}
        while not (ends[one] and ends[two]):
            for hand, other in ((two, one), (one, two)):
                while ways[hand]:
                    chunk = bytes(ways[hand][:size])
                    del ways[hand][:size]
                    answer, ends[hand] = hand.received(chunk)
                    ways[other] += answer
        assert isinstance(ends[one], Proven)
        assert isinstance(ends[two], Proven)


@pytest.mark.row("SE-13")
def test_records_are_small_and_of_fixed_size() -> None:
    assert HELLO.size == 118
    assert PROOF.size == 42
    assert HELLO.size <= 128
    full = Hello(
        incarnation=A,
        roles=Role.SERVER,
        nonce=random(1),
        key_id=K.key_id,
        facts=3,
        port=9707,
        ours=Location("fe80::1", 1),
        theirs=Location("10.1.2.3", 65535),
        max_message_bytes=(1 << 64) - 1,
    )
    assert len(full.encode()) == HELLO.size
    assert Hello.decode(full.encode()) == full


@pytest.mark.row("SE-13", "SE-62", "SE-63")
@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        random("noise", 1 << 20),
        MAGIC[:-1] + b"!",
        b"\0",
    ],
    ids=["http", "tls", "ssh", "random", "magic but its last byte", "zero"],
)
def test_a_wrong_magic_is_closed_without_a_byte_of_answer(data: bytes) -> None:
    two = listener()
    two.opening()
    answer, end = two.received(data)
    assert answer == b""
    failed(end, "magic")


@pytest.mark.row("SE-64")
def test_a_hello_cut_after_any_byte_waits_and_costs_nothing() -> None:
    whole = hello()
    for cut in range(len(whole)):
        two = listener()
        two.opening()
        assert two.received(whole[:cut]) == (b"", None)
        assert len(two._received) == cut
        failed(two.broken(), "closed")


@pytest.mark.row("SE-65", "R-30")
def test_wire_version_0_is_malformed_and_65535_is_another_one() -> None:
    for low, high in ((0, 0), (0, 1), (2, 1)):
        two = listener()
        two.opening()
        answer, end = two.received(hello(version_min=low, version_max=high))
        assert answer == b""
        failed(end, "malformed")
    two = listener()
    two.opening()
    answer, end = two.received(hello(version_min=65535, version_max=65535))
    text = failed(end, "version").text
    assert "65535 to 65535" in text
    assert "1 to 1" in text
    assert Hello.decode(answer).version_max == 1


@pytest.mark.row("R-30")
@pytest.mark.parametrize(("ours", "theirs"), [((1, 1), (2, 3)), ((4, 4), (2, 3))])
def test_both_ends_name_both_versions(ours: tuple[int, int], theirs: tuple[int, int]) -> None:
    for end in shake(dialer(versions=ours), listener(versions=theirs)):
        failure = failed(end, "version")
        assert f"{ours[0]} to {ours[1]}" in failure.text
        assert f"{theirs[0]} to {theirs[1]}" in failure.text
        assert isinstance(failure.error(), VersionMismatch)


@pytest.mark.row("R-30")
def test_the_highest_common_version_is_taken() -> None:
    for ours, theirs, common in (((1, 2), (2, 3), 2), ((2, 2), (1, 2), 2), ((1, 9), (1, 1), 1)):
        one, two = shake(dialer(versions=ours), listener(versions=theirs))
        assert isinstance(one, Proven)
        assert isinstance(two, Proven)
        assert one.version == two.version == common


@pytest.mark.row("SE-66")
@pytest.mark.parametrize("role", [0, 32, 33, 0x8000])
def test_an_unknown_role_is_refused(role: int) -> None:
    data = bytearray(hello())
    data[14:16] = role.to_bytes(2, "big")
    two = listener()
    two.opening()
    answer, end = two.received(bytes(data))
    assert answer == b""
    failed(end, "role")


@pytest.mark.row("SE-67")
def test_talking_to_itself_is_noted_on_both_ends() -> None:
    for end in shake(dialer(), listener(incarnation=A, roles=Role.CLIENT)):
        assert isinstance(failed(end, "self").error(), RemoteProtocolError)


@pytest.mark.row("SE-68")
def test_an_unknown_key_fails_with_the_fingerprint_of_the_own_key_on_each_side() -> None:
    one, two = shake(dialer(keyring=Keyring(OTHER)), listener())
    ours, theirs = failed(one, "authentication"), failed(two, "authentication")
    assert "authentication failed" in ours.text
    assert OTHER.fingerprint in ours.text
    assert K.fingerprint in theirs.text
    assert isinstance(ours.error(), AuthenticationError)


def test_a_listener_that_closes_leaves_the_dialer_with_a_reason() -> None:
    one = dialer()
    one.opening()
    assert isinstance(failed(one.broken(), "closed").error(), AuthenticationError)
    one, two = dialer(), listener()
    two.opening()
    one.received(two.received(one.opening())[0])
    assert "authentication failed" in failed(one.broken(), "authentication").text
    one, two = dialer(), listener()
    two.opening()
    one.received(two.received(one.opening())[0])
    # Its process was killed: nobody's key is at fault.
    assert "authentication failed" not in failed(one.broken(in_order=False), "closed").text


@pytest.mark.row("SE-56")
def test_an_unproven_peer_hears_no_text() -> None:
    for bad in (hello(key_id=OTHER.key_id), hello(version_min=9, version_max=9), hello(incarnation=B)):
        two = listener()
        two.opening()
        answer, end = two.received(bad)
        assert isinstance(end, Failed)
        assert len(answer) == HELLO.size
        assert Hello.decode(answer).key_id == bytes(8)


@pytest.mark.row("SE-69")
def test_random_bytes_of_zeros_or_of_our_own_are_refused() -> None:
    data = bytearray(hello())
    data[42:74] = bytes(32)
    two = listener()
    two.opening()
    answer, end = two.received(bytes(data))
    assert answer == b""
    failed(end, "malformed")
    two = listener()
    two.opening()
    failed(two.received(hello(nonce=random("listener")))[1], "self")
    with pytest.raises(LocalProtocolError):
        dialer(nonce=bytes(32))


@pytest.mark.row("SE-69", "SE-73")
def test_a_recorded_handshake_is_worth_nothing_on_a_new_connection() -> None:
    one, two = dialer(), listener()
    two.opening()
    recorded = one.opening()
    proof, _ = one.received(two.received(recorded)[0])
    again = listener(nonce=random("a new connection"))
    again.opening()
    answer, end = again.received(recorded)
    assert end is None
    answer, end = again.received(proof)
    assert answer == b""
    failed(end, "authentication")


@pytest.mark.row("SE-70")
def test_each_flipped_bit_of_a_proof_is_refused() -> None:
    for victim in ("listener", "dialer"):
        for bit in range(PROOF.size * 8):
            one, two = dialer(), listener()
            two.opening()
            proof, _ = one.received(two.received(one.opening())[0])
            if victim == "dialer":
                proof, _ = two.received(proof)
            changed = bytearray(proof)
            changed[bit // 8] ^= 1 << bit % 8
            answer, end = (two if victim == "listener" else one).received(bytes(changed))
            assert answer == b""
            assert isinstance(end, Failed), bit


@pytest.mark.row("SE-71")
def test_the_listeners_own_proof_or_hello_cannot_be_reflected() -> None:
    # An attacker without the key dials and sends back what the listener says.
    two = listener()
    two.opening()
    hers, end = two.received(hello())
    assert end is None
    failed(two.received(PROOF.pack(MAGIC, 2, 1, hers[42:74]))[1], "authentication")
    # The dialer's words come back to it.
    one = dialer()
    failed(one.received(one.opening())[1], "self")
    # A dialer's proof comes back as the listener's, where both state one role.
    one, two = dialer(roles=Role.PEER), listener(roles=Role.PEER)
    two.opening()
    proof, _ = one.received(two.received(one.opening())[0])
    failed(one.received(proof)[1], "authentication")


@pytest.mark.row("SE-72")
def test_a_proof_of_a_parallel_connection_is_refused() -> None:
    lines = []
    for number in range(2):
        one, two = dialer(nonce=random(("d", number))), listener(nonce=random(("l", number)))
        two.opening()
        proof, _ = one.received(two.received(one.opening())[0])
        lines.append((one, two, proof))
    failed(lines[0][1].received(lines[1][2])[1], "authentication")
    failed(lines[1][1].received(lines[0][2])[1], "authentication")


@pytest.mark.row("SE-74", "SE-75", "SE-14")
def test_no_bit_of_either_hello_can_be_changed_on_the_path() -> None:
    for victim in (0, 1):
        for bit in range(HELLO.size * 8):
            one, two = dialer(), listener()
            two.opening()
            ends: list[Proven | Failed | None] = [None, None]
            first = one.opening()
            if victim == 0:
                first = flip(first, bit)
            answer, ends[1] = two.received(first)
            if victim == 1:
                answer = flip(answer, bit)
            if answer:
                proof, ends[0] = one.received(answer)
                if proof and ends[1] is None:
                    answer, ends[1] = two.received(proof)
                    if answer:
                        _, ends[0] = one.received(answer)
            assert not any(isinstance(end, Proven) for end in ends), (victim, bit)


def flip(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.mark.row("SE-74", "SE-09")
def test_a_reservations_key_proves_a_server_of_that_reservation_only() -> None:
    ring = Keyring(K)
    given, *_ = ring.open_reservation(3)
    server = Keyring(given)
    one, two = shake(dialer(keyring=server, roles=Role.SERVER), listener(keyring=ring))
    assert isinstance(one, Proven)
    assert isinstance(two, Proven)
    assert two.reservation == 3
    for role in (Role.SCHEDULER, Role.CLIENT, Role.NODE, Role.PEER, Role.SERVER | Role.SCHEDULER):
        _, two = shake(dialer(keyring=server, roles=role), listener(keyring=ring))
        assert "reservation 3" in failed(two, "role").text
    # Nor may its listener be anything else to who holds K.
    one, _ = shake(dialer(keyring=ring, key=given), listener(keyring=server, roles=Role.SCHEDULER))
    failed(one, "role")
    # Nor may a fellow pass for the scheduler at a server.
    _, two = shake(dialer(keyring=server, roles=Role.SCHEDULER), listener(keyring=server, roles=Role.SERVER))
    failed(two, "role")


@pytest.mark.row("SE-74", "SE-09")
def test_an_ended_reservations_key_is_refused() -> None:
    ring = Keyring(K)
    given, *_ = ring.open_reservation(3)
    ring.close_reservation(3)
    ring.open_reservation(4)
    one, two = shake(dialer(keyring=Keyring(given), roles=Role.SERVER), listener(keyring=ring))
    failed(one, "authentication")
    failed(two, "authentication")


@pytest.mark.row("SE-09")
def test_who_holds_the_clusters_key_reaches_a_server_by_its_reservation() -> None:
    ring = Keyring(K)
    given, *_ = ring.open_reservation(3)
    server = listener(keyring=Keyring(given), roles=Role.SERVER)
    one, two = shake(dialer(keyring=ring, key=ring.reservation(3)), server)
    assert isinstance(one, Proven)
    assert isinstance(two, Proven)
    assert one.reservation == two.reservation == 3
    one, two = shake(dialer(keyring=ring), listener(keyring=Keyring(given), roles=Role.SERVER))
    failed(one, "authentication")


def test_keys_are_rotated_without_a_stop() -> None:
    old, new = K, ClusterKey(b"n" * 32)
    rings = [Keyring(old), Keyring(old, [new]), Keyring(new, [old]), Keyring(new)]
    for this, that in pairwise(rings):
        for one, two in ((this, that), (that, this), (this, this)):
            ours, theirs = shake(dialer(keyring=one), listener(keyring=two))
            assert isinstance(ours, Proven), (one, two)
            assert isinstance(theirs, Proven), (one, two)
    ours, _ = shake(dialer(keyring=rings[0]), listener(keyring=rings[3]))
    failed(ours, "authentication")


LEFT, RIGHT = LOOPBACK
FAR = Location("10.0.0.1", 40000), Location("10.0.0.2", 9706)


@pytest.mark.row("SE-17", "SE-76")
@pytest.mark.parametrize(
    ("ours", "theirs", "tags"),
    [
        ({"ours": LEFT, "theirs": RIGHT}, {"ours": RIGHT, "theirs": LEFT}, False),
        (
            {"ours": Location("::1", 5), "theirs": Location("::1", 6)},
            {"ours": Location("::1", 6), "theirs": Location("::1", 5)},
            False,
        ),
        # A forwarder: the dialer reached its port, the listener sees its other end.
        (
            {"ours": LEFT, "theirs": Location("127.0.0.1", 7)},
            {"ours": RIGHT, "theirs": Location("127.0.0.1", 8)},
            True,
        ),
        (
            {"ours": LEFT, "theirs": RIGHT},
            {"ours": RIGHT, "theirs": Location("127.0.0.1", 8)},
            True,
        ),
        ({"ours": FAR[0], "theirs": FAR[1]}, {"ours": FAR[1], "theirs": FAR[0]}, True),
        ({}, {}, True),
        ({"ours": LEFT, "theirs": RIGHT}, {}, True),
        ({"unix_same_uid": True}, {"unix_same_uid": True}, False),
        ({"unix_same_uid": True}, {}, True),
        ({}, {"unix_same_uid": True}, True),
        ({"tls_fingerprint": b"c" * 32}, {"tls_fingerprint": b"c" * 32}, False),
    ],
)
def test_tags_are_left_out_only_where_nobody_can_stand_between(
    ours: dict[str, Any], theirs: dict[str, Any], tags: bool
) -> None:
    one, two = shake(dialer(**ours), listener(**theirs))
    assert isinstance(one, Proven)
    assert isinstance(two, Proven)
    assert one.tags is two.tags is tags


@pytest.mark.row("SE-14")
@pytest.mark.parametrize(("ours", "theirs"), [(b"m" * 32, b"c" * 32), (b"c" * 32, None), (None, b"c" * 32)])
def test_a_man_in_the_middle_of_tls_fails(ours: bytes | None, theirs: bytes | None) -> None:
    one, two = shake(dialer(tls_fingerprint=ours), listener(tls_fingerprint=theirs))
    failed(one, "authentication")
    failed(two, "authentication")


@pytest.mark.row("SE-20")
def test_each_connection_has_traffic_keys_of_its_own() -> None:
    first, _ = proven()
    one, _ = shake(dialer(nonce=random("again")), listener())
    assert isinstance(one, Proven)
    assert one.send_key.mac(b"") != first.send_key.mac(b"")
    assert one.credential == first.credential


@pytest.mark.row("SE-20")
def test_the_credential_tells_keys_apart_and_lets_a_key_holder_take_on_roles() -> None:
    ring = Keyring(K)
    given = Keyring(*ring.open_reservation(3))
    other = Keyring(*ring.open_reservation(4))
    seen = set()
    for options in (
        {"roles": Role.CLIENT},
        {"roles": Role.SERVER},
        {"roles": Role.SERVER, "keyring": given},
        {"roles": Role.SERVER, "keyring": other},
    ):
        _, two = shake(dialer(**options), listener(keyring=ring))
        assert isinstance(two, Proven)
        seen.add(two.credential)
    # Both roles under the cluster's key are one credential; each reservation is its own.
    assert len(seen) == 3


@pytest.mark.row("SE-11")
def test_a_proven_shows_no_key() -> None:
    one, _ = proven()
    assert "key=" not in repr(one)


def test_a_handshake_that_has_ended_takes_no_bytes() -> None:
    two = listener()
    with pytest.raises(LocalProtocolError, match="takes no bytes"):
        two.received(b"early")
    two.opening()
    two.received(b"no magic")
    with pytest.raises(LocalProtocolError, match="takes no bytes"):
        two.received(hello())
    with pytest.raises(LocalProtocolError, match="no open"):
        two.opening()
