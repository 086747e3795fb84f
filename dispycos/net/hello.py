"""HELLO: what each side of a connection says of itself before anything is proved.

A record of fixed size that holds numbers only. Every version of the wire keeps its layout,
or there would be nothing to tell a newer peer by. What is made of it: `net.auth`.

Pure. Requirement SE-13.
"""

from __future__ import annotations

import struct
from typing import Final

from dispycos.config import GIB, MIB, WIRE_VERSION, WIRE_VERSION_MIN
from dispycos.model import Incarnation, Location, Role
from dispycos.net.keys import KEY_ID_BYTES
from dispycos.net.packing import KNOWN_ROLES, pack_location, unpack_location
from dispycos.records import record

# The first byte is no text, no TLS record and no ssh banner.
MAGIC: Final = b"\xd5ispycos"
NONCE_BYTES: Final = 32

# Any control message must fit: who took less would make each of our answers to it, and to
# others about it, a fault of ours.
MIN_MESSAGE_BYTES: Final = MIB

INCARNATION_BYTES: Final = 16

# magic, record, facts, lowest and highest version, role, listening port, key id, incarnation,
# random bytes, our address and port, their address and port, longest message.
HELLO: Final = struct.Struct(f"!8sBBHHHH{KEY_ID_BYTES}s{INCARNATION_BYTES}s{NONCE_BYTES}s16sH16sHQ")
HELLO_RECORD: Final = 1

# Facts that each side states about the stream, as it sees it (SE-17).
UNDER_TLS: Final = 1
SAME_UID: Final = 2  # a unix socket or pipe whose other end belongs to our account


@record
class Hello:
    """What one side says of itself; numbers only."""

    incarnation: Incarnation
    roles: Role
    nonce: bytes  # 32 random bytes of this connection
    key_id: bytes  # which key it proves with; zeros: it does not know the dialer's
    version_min: int = WIRE_VERSION_MIN
    version_max: int = WIRE_VERSION
    facts: int = 0  # UNDER_TLS, SAME_UID
    port: int = 0  # where it listens itself; 0: nowhere
    ours: Location | None = None  # its end of the stream as it sees it; None: no TCP
    theirs: Location | None = None  # the other end as it sees it
    max_message_bytes: int = GIB  # the longest message it takes

    def encode(self) -> bytes:
        """The record's bytes."""
        our_address, our_port = pack_location(self.ours)
        their_address, their_port = pack_location(self.theirs)
        return HELLO.pack(
            MAGIC,
            HELLO_RECORD,
            self.facts,
            self.version_min,
            self.version_max,
            int(self.roles),
            self.port,
            self.key_id,
            self.incarnation,
            self.nonce,
            our_address,
            our_port,
            their_address,
            their_port,
            self.max_message_bytes,
        )

    @classmethod
    def decode(cls, data: bytes) -> Hello:
        """The record in `data`, whose magic was checked. ValueError if it is malformed."""
        (
            _,
            record,
            facts,
            version_min,
            version_max,
            roles,
            port,
            key_id,
            incarnation,
            nonce,
            our_address,
            our_port,
            their_address,
            their_port,
            max_message_bytes,
        ) = HELLO.unpack(data)
        if record != HELLO_RECORD:
            raise ValueError(f"record {record} where HELLO must come")
        if not 0 < version_min <= version_max:
            raise ValueError(f"wire versions {version_min} to {version_max}")
        if not any(incarnation) or not any(nonce):
            raise ValueError("an incarnation or random bytes of zeros only")
        if max_message_bytes < MIN_MESSAGE_BYTES:
            raise ValueError(f"a longest message of {max_message_bytes} bytes")
        return cls(
            incarnation=Incarnation(incarnation),
            roles=Role(roles & KNOWN_ROLES) if not roles & ~KNOWN_ROLES else Role(0),
            nonce=nonce,
            key_id=key_id,
            version_min=version_min,
            version_max=version_max,
            facts=facts,
            port=port,
            ours=unpack_location(our_address, our_port),
            theirs=unpack_location(their_address, their_port),
            max_message_bytes=max_message_bytes,
        )
