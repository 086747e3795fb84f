"""The cluster's key and what is derived from it.

A ClusterKey is the shared secret K. It never authenticates anything itself: proofs,
traffic keys, discovery tags, key ids, fingerprints and the keys of reservations are
derived from it by HKDF-SHA256 under distinct labels (SE-05). A ReservationKey is what a
server or zygote holds in place of K (SE-09). A Keyring is all the keys that one process
proves with and accepts.

A key object shows its fingerprint and nothing else, and refuses to be pickled or copied.
Reading and creating key files is `dispycos.keyfile`.

Pure: randomness is an argument. Requirements SE-03 to SE-05, SE-09, SE-11.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import struct
from collections.abc import Iterable, Sequence
from typing import NoReturn

from dispycos.errors import LocalProtocolError
from dispycos.model import Buffer

KEY_BYTES = 32
KEY_ID_BYTES = 8
TAG_BYTES = 16

# scrypt of a typed secret: about 64 MiB and 0.3 s, so that guessing is dear (SE-04).
SCRYPT_N = 1 << 16
SCRYPT_R = 8
SCRYPT_P = 1

MAX_KEYS = 3  # of one file: the first for own proofs, two more accepted (SE-03)
MAX_RESERVATIONS = 4096  # live at a time; a cluster serves one client at a time, so few are

_SALT = b"dispycos/1"
_KEY_LINE = re.compile(r"[0-9a-fA-F]{64}")
_SHA256_BLOCK = 64
_INNER_PAD = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD = bytes(byte ^ 0x5C for byte in range(256))


class InvalidKey(LocalProtocolError, ValueError):
    """A key, key file or secret that can't be used; the text says how to repair it."""


class _Secret:
    """What must not leave the process by accident (SE-11)."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(f"{type(self).__name__} refuses to be pickled or copied")

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class MacKey(_Secret):
    """An HMAC-SHA256 key with both of its pads hashed ahead.

    The result is that of `hmac.digest`; a short message costs half as much, and parts
    that lie apart in memory need not be joined.
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, data: bytes) -> None:
        if len(data) > _SHA256_BLOCK:
            raise InvalidKey(f"a MAC key of {len(data)} bytes is longer than {_SHA256_BLOCK}")
        block = data.ljust(_SHA256_BLOCK, b"\0")
        self._inner = hashlib.sha256(block.translate(_INNER_PAD))
        self._outer = hashlib.sha256(block.translate(_OUTER_PAD))

    def mac(self, *parts: Buffer) -> bytes:
        """The 32 bytes of HMAC-SHA256 over the parts, one after the other."""
        inner = self._inner.copy()
        for part in parts:
            inner.update(part)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()

    def tag(self, first: Buffer, second: Buffer) -> bytes:
        """The first 16 bytes of `mac(first, second)`: one frame's tag (SE-16)."""
        inner = self._inner.copy()
        inner.update(first)
        inner.update(second)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()[:TAG_BYTES]


class Key(_Secret):
    """32 secret bytes and their derivations; what both kinds of key share."""

    __slots__ = ("_data", "_root", "fingerprint", "key_id")

    key_id: bytes  # names the key in a HELLO; 8 bytes that tell nothing about it
    fingerprint: str  # 16 hex digits, for people and logs

    # The reservation whose servers hold this key; None for the cluster's own.
    reservation: int | None = None

    def __init__(self, data: bytes) -> None:
        if not isinstance(data, bytes | bytearray | memoryview):
            # What it is may be a secret in another form, so it is not shown.
            raise TypeError(f"a key must be {KEY_BYTES} bytes, not of type {type(data).__name__}")
        if len(data) != KEY_BYTES:
            raise InvalidKey(f"a key of {len(data)} bytes was given, it must have {KEY_BYTES}")
        self._data = bytes(data)
        self._root = hmac.digest(_SALT, self._data, "sha256")  # HKDF-Extract
        self.key_id = self._derive(b"key id")[:KEY_ID_BYTES]
        self.fingerprint = self._derive(b"fingerprint")[:8].hex()

    def _derive(self, label: bytes) -> bytes:
        # HKDF-Expand with one block of output: 32 bytes.
        return hmac.digest(self._root, label + b"\x01", "sha256")

    def proof_key(self) -> MacKey:
        """The key of handshake proofs."""
        return MacKey(self._derive(b"proof"))

    def traffic_key(self, direction: bytes, context: bytes) -> MacKey:
        """The key of the frames of one direction of one connection.

        context  hash of both HELLOs, so that no two connections share a key (SE-20).
        """
        secret = hmac.digest(context, self._derive(b"session"), "sha256")
        return MacKey(hmac.digest(secret, direction + b"\x01", "sha256"))

    def reveal(self) -> bytes:
        """The 32 bytes themselves, to be written to a key file or a child's pipe."""
        return self._data

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Key):
            return NotImplemented
        return hmac.compare_digest(self._data, other._data)

    def __hash__(self) -> int:
        return hash(self.key_id)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.fingerprint}>"


class ClusterKey(Key):
    """The secret K: whoever holds it may run code on every node of the cluster."""

    __slots__ = ()

    def discovery_key(self) -> MacKey:
        """The key of datagram tags."""
        return MacKey(self._derive(b"discovery"))

    def derive_reservation(self, number: int) -> ReservationKey:
        """The key that the servers and zygotes of reservation `number` hold instead of K."""
        return ReservationKey(number, self._derive(b"reservation" + struct.pack("!Q", number)))

    def derive_gateway(self, nonce: bytes) -> ClusterKey:
        """The key of one gateway behind a socket server, whose code never sees this one.

        nonce  random bytes, never used before.
        """
        return ClusterKey(self._derive(b"gateway" + nonce))


class ReservationKey(Key):
    """Proves "server of reservation `number`" and nothing else (SE-09)."""

    __slots__ = ("reservation",)

    def __init__(self, number: int, data: bytes) -> None:
        super().__init__(data)
        self.reservation = number


class Keyring:
    """The keys of one process: its own first, then those it accepts from peers.

    A process that holds K accepts the keys of a reservation only between
    `open_reservation` and `close_reservation`. They are derived when it is opened, one of each
    key that is accepted then, and outlive these: its servers hold no others. A server's ring
    holds ReservationKeys only.
    """

    __slots__ = ("_by_id", "_discovery", "_keys", "_reservations")

    def __init__(self, own: Key, others: Sequence[Key] = ()) -> None:
        self._reservations: dict[int, tuple[ReservationKey, ...]] = {}
        self._keys: tuple[Key, ...] = ()
        self._by_id: dict[bytes, Key] = {}
        self.replace(own, others)

    def replace(self, own: Key, others: Sequence[Key] = ()) -> None:
        """Take another set of keys, keeping the open reservations (SE-08)."""
        keys = (own, *others)
        if len(keys) > MAX_KEYS:
            raise InvalidKey(f"{len(keys)} keys were given; at most {MAX_KEYS} are accepted")
        if len({type(key) for key in keys}) > 1:
            raise InvalidKey("a process holds the cluster's keys or those of a reservation, never both")
        self._keys = keys
        self._discovery = tuple(key.discovery_key() for key in keys if isinstance(key, ClusterKey))
        self._index()

    def take(self, other: Keyring) -> None:
        """Take the keys of another ring, keeping the open reservations."""
        own, *others = other._keys
        self.replace(own, others)

    def _index(self) -> None:
        by_id: dict[bytes, Key] = {key.key_id: key for key in self._keys}
        for derived in self._reservations.values():
            by_id.update((key.key_id, key) for key in derived)
        self._by_id = by_id

    def reveal(self) -> list[bytes]:
        """The cluster's keys themselves, the own one first."""
        return [key.reveal() for key in self._keys if isinstance(key, ClusterKey)]

    @property
    def own(self) -> Key:
        """The key that this process proves with."""
        return self._keys[0]

    @property
    def holds_cluster_key(self) -> bool:
        """False in a server or zygote, which hold a reservation's key only."""
        return isinstance(self._keys[0], ClusterKey)

    def find(self, key_id: bytes) -> Key | None:
        """The key of that id if it is accepted now."""
        return self._by_id.get(key_id)

    def open_reservation(self, number: int) -> tuple[ReservationKey, ...]:
        """Accept servers of reservation `number` from now on; returns the keys to give them."""
        own = self._keys[0]
        if not isinstance(own, ClusterKey):
            raise LocalProtocolError(f"reservation {number} can't be opened: this process does not hold K")
        if number not in self._reservations and len(self._reservations) >= MAX_RESERVATIONS:
            raise LocalProtocolError(f"reservation {number} exceeds {MAX_RESERVATIONS} open ones")
        if number not in self._reservations:
            keys = [key for key in self._keys if isinstance(key, ClusterKey)]
            self._reservations[number] = tuple(key.derive_reservation(number) for key in keys)
            self._index()
        return self._reservations[number]

    def close_reservation(self, number: int) -> None:
        """Refuse servers of reservation `number` from now on; may be repeated."""
        self._reservations.pop(number, None)
        self._index()

    def reservation(self, number: int) -> ReservationKey:
        """The key to dial a server of an open reservation with."""
        own = self._keys[0]
        if isinstance(own, ReservationKey) and own.reservation == number:
            return own
        if number in self._reservations:
            return self._reservations[number][0]
        raise LocalProtocolError(f"reservation {number} is not open in this process")

    def discovery_keys(self) -> tuple[MacKey, ...]:
        """Keys of datagram tags: the first to send with, all to accept."""
        return self._discovery

    def __repr__(self) -> str:
        return f"<Keyring {' '.join(key.fingerprint for key in self._keys)}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Keyring refuses to be pickled or copied")


def parse_key_file(text: str) -> list[bytes]:
    """The keys of a key file, the first one for own proofs.

    InvalidKey names the line that is wrong and never quotes it.
    """
    keys: list[bytes] = []
    problem = _parse_lines(text.splitlines(), keys)
    text = ""  # a traceback that shows locals must not show the file
    if problem:
        keys.clear()
        raise InvalidKey(problem)
    return keys


def _parse_lines(lines: Iterable[str], keys: list[bytes]) -> str:
    for number, line in enumerate(lines, 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        if not _KEY_LINE.fullmatch(stripped):
            return f"line {number} of the key file is not 64 hex digits; make a new file or correct it"
        if len(keys) == MAX_KEYS:
            return f"line {number} of the key file is a key too many; at most {MAX_KEYS} are accepted"
        key = bytes.fromhex(stripped)
        if key in keys:
            return f"line {number} of the key file repeats an earlier key; remove it"
        keys.append(key)
    return "" if keys else "the key file has no line of 64 hex digits; make a new file or correct it"


def keyring_of(keys: Sequence[bytes]) -> Keyring:
    """A ring of cluster keys: the first for own proofs, the others accepted."""
    own, *others = [ClusterKey(key) for key in keys]
    return Keyring(own, others)


def key_from_secret(secret: str, cluster: str = "dispycos") -> ClusterKey:
    """The key that everybody who types `secret` gets; takes 0.3 s and 64 MiB (SE-04)."""
    if not secret.strip():
        raise InvalidKey("the secret is empty; give one of at least 16 characters, or a key file")
    data = hashlib.scrypt(
        secret.encode(),
        salt=_SALT + b"/" + cluster.encode(),
        n=SCRYPT_N,
        r=SCRYPT_R,
        p=SCRYPT_P,
        maxmem=2 * 128 * SCRYPT_N * SCRYPT_R,
        dklen=KEY_BYTES,
    )
    return ClusterKey(data)
