"""The handshake: both ends of a connection prove that they know a key.

The dialer sends HELLO, the listener answers HELLO, the dialer proves, the listener proves.
Both records have a fixed size and hold numbers only, so nothing of a stranger is ever
decoded. Each proof is an HMAC over a label of its direction, the prover's role, both HELLOs
in full, the listener's certificate under TLS and whether frames will carry tags; so it is
worth nothing on another connection, in the other direction, or after a change on the path.

A listener answers a wrong magic with nothing at all. A dialer without the right key, or of
another wire version, gets the listener's HELLO, from which it can tell its user why.

Pure: the 32 random bytes are an argument. Rule N1; requirements SE-13, SE-14, SE-17, SE-20.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import struct
from dataclasses import field, replace
from typing import Final, NamedTuple

from dispycos.config import GIB, WIRE_VERSION, WIRE_VERSION_MIN
from dispycos.errors import (
    AuthenticationError,
    DispycosError,
    LocalProtocolError,
    RemoteProtocolError,
    VersionMismatch,
)
from dispycos.model import Incarnation, Location, Role
from dispycos.net.hello import HELLO, MAGIC, NONCE_BYTES, SAME_UID, UNDER_TLS, Hello
from dispycos.net.keys import KEY_ID_BYTES, Key, Keyring, MacKey
from dispycos.net.packing import is_loopback
from dispycos.records import record

PROOF: Final = struct.Struct("!8sBB32s")
PROOF_RECORD: Final = 2

_UNKNOWN_KEY: Final = bytes(KEY_ID_BYTES)
_NO_CERTIFICATE: Final = bytes(32)

# What mends a wrong key, for whoever reads the refusal.
_REMEDY: Final = "give both the same key file or the same secret"


class HandshakeState(enum.Enum):
    """What a handshake waits for."""

    NEW = "new"  # to be opened
    HELLO = "their HELLO"
    PROOF = "their PROOF"
    PROVEN = "nothing: both have proved the key"
    FAILED = "nothing: it failed"


class Cause(enum.Enum):
    """What moves a handshake from one state to another."""

    OPEN = "open"
    HELLO = "HELLO"
    PROOF = "PROOF"
    FAULT = "fault"


_S, _C = HandshakeState, Cause
TRANSITIONS: Final = {
    (_S.NEW, _C.OPEN): _S.HELLO,
    (_S.HELLO, _C.HELLO): _S.PROOF,
    (_S.PROOF, _C.PROOF): _S.PROVEN,
    (_S.NEW, _C.FAULT): _S.FAILED,
    (_S.HELLO, _C.FAULT): _S.FAILED,
    (_S.PROOF, _C.FAULT): _S.FAILED,
}


@record
class Proven:
    """Both sides have proved the key."""

    peer: Hello
    send_key: MacKey = field(repr=False)
    receive_key: MacKey = field(repr=False)
    tags: bool  # frames carry tags (SE-17)
    version: int  # of the wire: the highest that both speak
    key_id: bytes  # of the key that was proved; it may be dropped from the ring later (SE-08)
    reservation: int | None  # of the peer's ReservationKey; None: it holds the cluster's key
    credential: bytes  # what a resumed session must prove again, see `Session.attach`
    max_message_bytes: int  # the longest that both take
    left_over: bytes = field(repr=False)  # came behind the proof: the first bytes of frames


class Failed(NamedTuple):
    """No session will come of this connection; close it after sending what there is to send."""

    code: str  # magic, malformed, version, role, self, authentication or closed
    text: str  # for our own log and user; the peer is told nothing

    def error(self) -> DispycosError:
        """The exception that says so to a caller who dialled."""
        if self.code == "version":
            return VersionMismatch(self.text)
        if self.code in ("authentication", "closed"):
            return AuthenticationError(self.text)
        return RemoteProtocolError(self.text)


class Handshake:
    """One connection until both ends are proven, or one is not.

    Send `opening()`, then what `received` answers, and do so before closing on Failed.
    Nobody calls it again after the end. The 5 seconds of SE-15 are its owner's to count.
    """

    __slots__ = ("_certificate", "_dialer", "_hello", "_key", "_keyring", "_peer", "_received", "_state")

    def __init__(
        self,
        *,
        dialer: bool,
        incarnation: Incarnation,
        roles: Role,
        keyring: Keyring,
        nonce: bytes,
        key: Key | None = None,
        ours: Location | None = None,
        theirs: Location | None = None,
        port: int = 0,
        max_message_bytes: int = GIB,
        tls_fingerprint: bytes | None = None,
        unix_same_uid: bool = False,
        versions: tuple[int, int] = (WIRE_VERSION_MIN, WIRE_VERSION),
    ) -> None:
        """Prepare one end.

        key              what a dialer proves with; None: the ring's own. To reach a server,
                         its reservation's (SE-09). A listener goes by the dialer's HELLO.
        nonce            32 random bytes, never used before.
        ours, theirs     the ends of a TCP stream as this side sees them, else None.
        tls_fingerprint  SHA-256 of the listener's certificate, at both ends; None: no TLS.
        unix_same_uid    this is a unix socket or pipe whose other end has our uid.
        """
        if len(nonce) != NONCE_BYTES or not any(nonce):
            raise LocalProtocolError(f"a handshake needs {NONCE_BYTES} random bytes")
        if tls_fingerprint is not None and len(tls_fingerprint) != len(_NO_CERTIFICATE):
            raise LocalProtocolError("a certificate's fingerprint is its SHA-256")
        self._dialer = dialer
        self._keyring = keyring
        self._key = key or keyring.own
        self._certificate = tls_fingerprint
        self._hello = Hello(
            incarnation=incarnation,
            roles=roles,
            nonce=nonce,
            key_id=self._key.key_id,
            version_min=versions[0],
            version_max=versions[1],
            facts=(UNDER_TLS if tls_fingerprint else 0) | (SAME_UID if unix_same_uid else 0),
            port=port,
            ours=ours,
            theirs=theirs,
            max_message_bytes=max_message_bytes,
        )
        self._peer: tuple[Hello, bytes] | None = None  # decoded, and as it came
        self._received = b""  # less than one record: at most 118 bytes
        self._state = HandshakeState.NEW

    @property
    def state(self) -> HandshakeState:
        """What it waits for."""
        return self._state

    def _move(self, cause: Cause) -> None:
        target = TRANSITIONS.get((self._state, cause))
        if target is None:
            raise LocalProtocolError(f"no {cause.value} in a handshake that waits for {self._state.value}")
        self._state = target

    def opening(self) -> bytes:
        """What to send first; a listener sends nothing before it has heard a HELLO."""
        self._move(Cause.OPEN)
        return self._hello.encode() if self._dialer else b""

    def received(self, data: bytes) -> tuple[bytes, Proven | Failed | None]:
        """Take bytes of the connection: what to send, and the end if it has come."""
        if self._state not in (HandshakeState.HELLO, HandshakeState.PROOF):
            raise LocalProtocolError(f"a handshake that waits for {self._state.value} takes no bytes")
        data = self._received + data
        answer = b""
        try:
            # A stranger is known by its first bytes; no need to wait for more of them.
            seen = data[: len(MAGIC)]
            if seen != MAGIC[: len(seen)]:
                raise _Fault("magic", _TLS_HERE if _is_tls(seen) else _STRANGE)
            if self._state is HandshakeState.HELLO:
                if len(data) < HELLO.size:
                    self._received = data
                    return b"", None
                record, data = data[: HELLO.size], data[HELLO.size :]
                answer = self._take_hello(record)
            if self._state is HandshakeState.PROOF and len(data) >= PROOF.size:
                record, data = data[: PROOF.size], data[PROOF.size :]
                more, proven = self._take_proof(record, data)
                return answer + more, proven
            if not MAGIC.startswith(data[: len(MAGIC)]):
                raise _Fault("magic", "the peer's PROOF does not begin with the magic")
            self._received = data
            return answer, None
        except _Fault as fault:
            self._move(Cause.FAULT)
            self._received = b""
            return fault.answer, Failed(fault.code, fault.text)

    def broken(self, in_order: bool = True) -> Failed:
        """The connection ended before the handshake did.

        in_order  the peer closed it when it had read what we said, as one does that refuses our proof.
        """
        waited = self._state
        if waited not in (HandshakeState.PROVEN, HandshakeState.FAILED):
            self._move(Cause.FAULT)
        if in_order and self._dialer and waited is HandshakeState.PROOF:
            return Failed(
                "authentication",
                "authentication failed: the peer refused our proof; "
                f"is its key the same as ours, fingerprint {self._key.fingerprint}? {_REMEDY}",
            )
        return Failed("closed", f"the peer ended the connection while we waited for {waited.value}")

    # HELLO.

    def _take_hello(self, record: bytes) -> bytes:
        ours = self._hello
        try:
            peer = Hello.decode(record)
        except ValueError as exc:
            raise _Fault("malformed", f"the peer's HELLO has {exc}") from None
        if not peer.roles:
            raise _Fault("role", "the peer states no role that we know")
        # What follows the dialer may learn from our HELLO, so that it can tell its user.
        answer = b"" if self._dialer else self._answer(_UNKNOWN_KEY)
        if peer.incarnation == ours.incarnation or peer.nonce == ours.nonce:
            raise _Fault("self", "the connection leads back to this process itself", answer)
        if min(ours.version_max, peer.version_max) < max(ours.version_min, peer.version_min):
            raise _Fault(
                "version",
                f"the peer speaks wire versions {peer.version_min} to {peer.version_max}, "
                f"this process {ours.version_min} to {ours.version_max}; update the older one",
                answer,
            )
        if self._dialer:
            if peer.key_id != self._key.key_id:
                raise _Fault(
                    "authentication",
                    "authentication failed: the peer does not know our key, "
                    f"fingerprint {self._key.fingerprint}; {_REMEDY}",
                )
        else:
            key = self._keyring.find(peer.key_id)
            if key is None:
                raise _Fault(
                    "authentication",
                    "authentication failed: the peer's key is not among ours, "
                    f"fingerprint {self._keyring.own.fingerprint}; {_REMEDY}",
                    answer,
                )
            self._key = key
        self._check_role(peer)
        self._peer = (peer, record)
        self._move(Cause.HELLO)
        if self._dialer:
            return PROOF.pack(MAGIC, PROOF_RECORD, self._tags(), self._proof(by_dialer=True))
        return self._answer(self._key.key_id)

    def _answer(self, key_id: bytes) -> bytes:
        # The listener's HELLO, which names the dialer's key if it is known here.
        self._hello = replace(self._hello, key_id=key_id)
        return self._hello.encode()

    def _check_role(self, peer: Hello) -> None:
        # A reservation's key proves "server of reservation n" to who holds K, and nothing
        # else. A server can't tell its fellow from its client by that key, which is why
        # neither may pass for the scheduler.
        if self._key.reservation is None:
            return
        if self._keyring.holds_cluster_key:
            good = peer.roles == Role.SERVER
        else:
            good = bool(peer.roles & (Role.SERVER | Role.CLIENT | Role.NODE))
        if not good:
            raise _Fault(
                "role",
                f"the peer states {peer.roles!r} under the key of reservation {self._key.reservation}",
            )

    # PROOF.

    def _tags(self) -> int:
        # 0 only where nobody can stand between the two (SE-17): both say that they are
        # under TLS, both that the other end is their own account, or both see the same two
        # loopback ends, which a forwarder would break.
        assert self._peer is not None
        ours, peer = self._hello, self._peer[0]
        both = ours.facts & peer.facts
        if both & UNDER_TLS and self._certificate is not None:
            return 0
        if both & SAME_UID:
            return 0
        ends = (ours.ours, ours.theirs)
        if None in ends or ends != (peer.theirs, peer.ours):
            return 1
        return 0 if all(is_loopback(end) for end in ends) else 1

    def _transcript(self) -> bytes:
        assert self._peer is not None
        hellos = (self._hello.encode(), self._peer[1])
        first, second = hellos if self._dialer else hellos[::-1]
        return first + second + (self._certificate or _NO_CERTIFICATE) + bytes([self._tags()])

    def _proof(self, *, by_dialer: bool) -> bytes:
        assert self._peer is not None
        prover = self._hello if by_dialer == self._dialer else self._peer[0]
        label = b"dispycos proof of the dialer" if by_dialer else b"dispycos proof of the listener"
        return self._key.proof_key().mac(label, struct.pack("!H", prover.roles), self._transcript())

    def _take_proof(self, record: bytes, left_over: bytes) -> tuple[bytes, Proven]:
        assert self._peer is not None
        peer = self._peer[0]
        good = PROOF.pack(MAGIC, PROOF_RECORD, self._tags(), self._proof(by_dialer=not self._dialer))
        if not hmac.compare_digest(good, record):
            raise _Fault(
                "authentication",
                "authentication failed: the peer's proof is wrong, or something on the path changed it",
            )
        self._move(Cause.PROOF)
        self._received = b""
        context = hashlib.sha256(self._transcript()).digest()
        from_dialer = self._key.traffic_key(b"from the dialer", context)
        from_listener = self._key.traffic_key(b"from the listener", context)
        answer = b""
        if not self._dialer:
            answer = PROOF.pack(MAGIC, PROOF_RECORD, self._tags(), self._proof(by_dialer=False))
        number = self._key.reservation
        proven = Proven(
            peer=peer,
            send_key=from_dialer if self._dialer else from_listener,
            receive_key=from_listener if self._dialer else from_dialer,
            tags=bool(self._tags()),
            version=min(self._hello.version_max, peer.version_max),
            key_id=self._key.key_id,
            reservation=number,
            # Who holds the cluster's key may take on more roles while a session lives; what a
            # reservation's key proves is one role, and stays so.
            credential=b"cluster" if number is None else f"{number} {int(peer.roles)}".encode(),
            max_message_bytes=min(self._hello.max_message_bytes, peer.max_message_bytes),
            left_over=left_over,
        )
        return answer, proven


_STRANGE = "the peer does not speak the protocol of dispycos"
_TLS_HERE = "the peer speaks TLS and this process does not: start both with a certificate, or both without"


def _is_tls(data: bytes) -> bool:
    """Whether it begins as a record of TLS does that holds an alert, or a handshake."""
    return data[:1] in (b"\x15", b"\x16") and data[1:2] == b"\x03"


class _Fault(Exception):
    """The peer's bytes are refused; `answer` is what it may still hear."""

    def __init__(self, code: str, text: str, answer: bytes = b"") -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.answer = answer
