"""Keys: derivation, rings, the key file's format, and that nothing of them leaks."""

from __future__ import annotations

import copy
import hashlib
import hmac
import pickle
import traceback

import pytest

from dispycos.errors import LocalProtocolError
from dispycos.net.keys import (
    ClusterKey,
    InvalidKey,
    Key,
    Keyring,
    MacKey,
    ReservationKey,
    key_from_secret,
    parse_key_file,
)

SECRET = bytes(range(32))
LINE = SECRET.hex()


@pytest.mark.parametrize("size", [0, 1, 32, 63, 64])
@pytest.mark.parametrize(
    "parts", [(), (b"",), (b"one",), (b"one", bytearray(b"two"), memoryview(b"3" * 5000))]
)
def test_a_mac_is_that_of_the_standard_library(size: int, parts: tuple[bytes, ...]) -> None:
    key = SECRET * 2
    expected = hmac.digest(key[:size], b"".join(parts), "sha256")
    assert MacKey(key[:size]).mac(*parts) == expected


def test_a_tag_is_the_first_half_of_the_mac() -> None:
    assert MacKey(SECRET).tag(b"one", b"two") == hmac.digest(SECRET, b"onetwo", "sha256")[:16]


def test_derivation_is_hkdf_sha256() -> None:
    # RFC 5869 with salt "dispycos/1", info = label, 32 bytes of output.
    root = hmac.digest(b"dispycos/1", SECRET, "sha256")
    key = ClusterKey(SECRET)
    assert key.key_id == hmac.digest(root, b"key id\x01", "sha256")[:8]
    assert key.fingerprint == hmac.digest(root, b"fingerprint\x01", "sha256")[:8].hex()
    assert key.proof_key().mac(b"x") == hmac.digest(hmac.digest(root, b"proof\x01", "sha256"), b"x", "sha256")


@pytest.mark.row("SE-05")
def test_each_purpose_has_a_key_of_its_own() -> None:
    key = ClusterKey(SECRET)
    reservation = key.derive_reservation(1)
    made = [
        key.proof_key().mac(b""),
        key.discovery_key().mac(b""),
        key.traffic_key(b"one", b"context").mac(b""),
        key.traffic_key(b"two", b"context").mac(b""),
        key.traffic_key(b"one", b"another").mac(b""),
        reservation.reveal(),
        reservation.proof_key().mac(b""),
        key.derive_reservation(2).reveal(),
        MacKey(SECRET).mac(b""),
    ]
    assert len(set(made)) == len(made)
    assert len(key.fingerprint) == 16
    assert int(key.fingerprint, 16) >= 0


def test_a_key_has_32_bytes() -> None:
    for size in (0, 31, 33):
        with pytest.raises(InvalidKey, match=f"{size} bytes"):
            ClusterKey(bytes(size))


@pytest.mark.row("SE-11")
@pytest.mark.parametrize(
    "thing",
    [ClusterKey(SECRET), ReservationKey(7, SECRET), MacKey(SECRET), Keyring(ClusterKey(SECRET))],
    ids=lambda thing: type(thing).__name__,
)
def test_a_key_is_never_pickled_copied_or_shown(thing: object) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="refuses"):
            pickle.dumps(thing, protocol)
    with pytest.raises(TypeError, match="refuses"):
        copy.copy(thing)
    with pytest.raises(TypeError, match="refuses"):
        copy.deepcopy({"inside": thing})
    shown = repr(thing) + str(thing) + f"{thing!s}" + "%r" % [thing]
    assert LINE not in shown
    assert repr(SECRET) not in shown
    assert not hasattr(thing, "__dict__")
    if isinstance(thing, Key):
        assert thing.fingerprint in repr(thing)


@pytest.mark.row("SE-11", "SE-03")
def test_a_traceback_with_locals_does_not_show_the_file() -> None:
    def load() -> None:
        parse_key_file(f"{LINE}\nnot a key\n")

    with pytest.raises(InvalidKey) as caught:
        load()
    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert LINE not in shown
    assert "not a key" not in shown.split("InvalidKey")[-1]


@pytest.mark.row("SE-03")
def test_a_key_file_has_up_to_three_keys_and_comments() -> None:
    lines = [f"{number:064x}" for number in range(1, 5)]
    text = f"# ours\n\n  {lines[0].upper()}\n# theirs\n{lines[1]}  \n{lines[2]}\n"
    assert parse_key_file(text) == [bytes.fromhex(line) for line in lines[:3]]
    with pytest.raises(InvalidKey, match=r"line 4.*too many"):
        parse_key_file("\n".join(lines))


@pytest.mark.row("SE-03")
@pytest.mark.parametrize(
    "line", [LINE[:-1], LINE + "0", LINE[:-1] + "g", LINE + " " + LINE, LINE[:62], "secret", LINE + "\0"]
)
def test_any_other_line_is_refused_by_its_number_and_not_echoed(line: str) -> None:
    with pytest.raises(InvalidKey, match="line 3") as caught:
        parse_key_file(f"# comment\n\n{line}\n")
    assert line.strip() not in str(caught.value)
    assert LINE[:16] not in str(caught.value)


@pytest.mark.row("SE-03")
@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n"])
def test_a_key_file_without_a_key_is_refused(text: str) -> None:
    with pytest.raises(InvalidKey, match="no line of 64 hex digits"):
        parse_key_file(text)


@pytest.mark.row("SE-04")
def test_a_secret_is_stretched_by_scrypt_with_the_clusters_name() -> None:
    expected = hashlib.scrypt(
        b"a long enough secret", salt=b"dispycos/1/lab", n=2**16, r=8, p=1, maxmem=2**28, dklen=32
    )
    assert key_from_secret("a long enough secret", "lab").reveal() == expected


@pytest.mark.row("SE-04", "SE-07")
@pytest.mark.parametrize("secret", ["", " ", "\n\t"])
def test_an_empty_secret_is_refused(secret: str) -> None:
    with pytest.raises(InvalidKey, match="empty"):
        key_from_secret(secret)


@pytest.mark.row("SE-03")
def test_a_ring_proves_with_its_first_key_and_accepts_the_others() -> None:
    old, new, other = ClusterKey(SECRET), ClusterKey(b"n" * 32), ClusterKey(b"o" * 32)
    ring = Keyring(old, [new])
    assert ring.own is old
    assert ring.find(new.key_id) is new
    assert ring.find(other.key_id) is None
    ring.replace(new, [old])
    assert ring.own is new
    assert ring.find(old.key_id) is old
    ring.replace(new)
    assert ring.find(old.key_id) is None
    assert len(ring.discovery_keys()) == 1
    with pytest.raises(InvalidKey, match="4 keys"):
        Keyring(old, [new, other, ClusterKey(b"4" * 32)])


@pytest.mark.row("SE-09")
def test_a_reservations_key_is_accepted_only_while_it_is_open() -> None:
    ring = Keyring(ClusterKey(SECRET), [ClusterKey(b"n" * 32)])
    given, of_the_next = ring.open_reservation(7)
    assert given.reservation == of_the_next.reservation == 7
    assert ring.find(given.key_id) == given
    assert ring.reservation(7) == given
    # Its servers hold these and no others: they outlive the keys they are derived of.
    ring.take(Keyring(ClusterKey(b"n" * 32)))
    assert ring.open_reservation(7) == (given, of_the_next)
    assert ring.find(given.key_id) == ring.reservation(7) == given
    assert ring.find(of_the_next.key_id) == of_the_next
    ring.close_reservation(7)
    ring.close_reservation(7)
    assert ring.find(given.key_id) is None
    with pytest.raises(LocalProtocolError, match="not open"):
        ring.reservation(7)


@pytest.mark.row("SE-09")
def test_a_servers_ring_holds_its_reservations_key_only() -> None:
    given = ClusterKey(SECRET).derive_reservation(7)
    ring = Keyring(ReservationKey(7, given.reveal()))
    assert not ring.holds_cluster_key
    assert ring.reservation(7) == given
    assert ring.discovery_keys() == ()
    with pytest.raises(LocalProtocolError, match="does not hold K"):
        ring.open_reservation(8)
    with pytest.raises(LocalProtocolError, match="not open"):
        ring.reservation(8)
    with pytest.raises(InvalidKey, match="never both"):
        Keyring(given, [ClusterKey(SECRET)])
