"""What the two ends of an object connection say to each other: a head of fixed size, and a tail.

Pure: no I/O, clock or randomness.
"""

from __future__ import annotations

import struct
from typing import Final

from dispycos.errors import RemoteProtocolError
from dispycos.model import Buffer

CALL: Final = 1  # do this; the tail is the request
RESULT: Final = 2  # of the call of this number: a value
ERROR: Final = 3  # of the call of this number: an exception
DROP: Final = 4  # references of the receiver's objects: pairs of number and count
CANCEL: Final = 5  # nobody waits for the call of this number any more
REFUSED: Final = 6  # the connection could not begin here, and is closed; the tail is the exception

# Lanes: which thread of the called end does it. Numbers from 0 on are threads by number.
FRESH: Final = -1  # a thread of its own
MAIN: Final = -2  # the main thread

# Calls of one end that the other has not answered: who asks more breaks the rules (N4).
MOST_CALLS: Final = 50_000
MOST_ASKED: Final = MOST_CALLS - 1000  # from here on one asks no more; threads may do so at once

_HEAD: Final = struct.Struct("!BQQi")
_DROP: Final = struct.Struct("!QI")
_KINDS: Final = range(CALL, REFUSED + 1)


def pack(kind: int, call: int = 0, conversation: int = 0, lane: int = 0) -> bytes:
    """The bytes of a head.

    call          number of the call, given by its caller.
    conversation  calls that wait for each other, at both ends, are one conversation.
    """
    return _HEAD.pack(kind, call, conversation, lane)


def read(data: Buffer) -> tuple[int, int, int, int]:
    """Kind, call, conversation and lane of a head; RemoteProtocolError if it is none."""
    if len(data) != _HEAD.size:
        raise RemoteProtocolError(f"a head of {len(data)} bytes")
    kind, call, conversation, lane = _HEAD.unpack(data)
    if kind not in _KINDS or lane < MAIN:
        raise RemoteProtocolError(f"a message of kind {kind} for lane {lane}")
    return kind, call, conversation, lane


def pack_drops(drops: dict[int, int]) -> bytes:
    """The tail of DROP: counts by number."""
    return b"".join(_DROP.pack(number, count) for number, count in drops.items())


def read_drops(data: Buffer) -> list[tuple[int, int]]:
    """Numbers and counts in the tail of a DROP."""
    if len(data) % _DROP.size:
        raise RemoteProtocolError(f"a list of dropped references of {len(data)} bytes")
    return list(_DROP.iter_unpack(data))
