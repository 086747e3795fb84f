"""What the two ends of a gateway say to each other: a head of a few bytes, and a tail.

Pure: no I/O, clock or randomness.
"""

from __future__ import annotations

import struct
from typing import Final

from dispycos.errors import RemoteProtocolError
from dispycos.model import Buffer

EXECUTE: Final = 1  # run the order in the tail, with this channel
ITEM: Final = 2  # a value for this channel: `gateways.plain`
BYTES: Final = 3  # the same for a `bytes`, which stands in the tail as it is
CLOSE: Final = 4  # this channel is closed at both ends; the tail is the error's text, or empty
LAST: Final = 5  # nobody sends to you through this channel any more; you may go on sending
CREDIT: Final = 6  # the receiver took so many bytes of items: as many more may be sent
STATUS: Final = 7  # send your status through this channel and close it
ASIDE: Final = 8  # as EXECUTE, in a thread of its own whatever the execution model says, and not counted

_KINDS: Final = range(EXECUTE, ASIDE + 1)
_HEAD: Final = struct.Struct("!BIQ")

# Bytes of items that may be on their way to one channel and not taken by anybody.
WINDOW: Final = 4 * 1024 * 1024
# Bytes taken of which the sender is told together, so that not every item costs a message.
LOT: Final = WINDOW // 4
# Credit with which any item may go, however large: all but what the other end may have kept back.
ENOUGH: Final = WINDOW - LOT
PER_ITEM: Final = 64  # that each item counts for beside its own size


def head(kind: int, channel: int, amount: int = 0) -> bytes:
    """The head of a message; amount: of CREDIT, bytes."""
    return _HEAD.pack(kind, channel, amount)


def read(data: Buffer) -> tuple[int, int, int]:
    """Kind, channel and amount of a head; RemoteProtocolError if it is none."""
    if len(data) != _HEAD.size:
        raise RemoteProtocolError(f"a gateway's message with a head of {len(data)} bytes")
    kind, channel, amount = _HEAD.unpack(data)
    if kind not in _KINDS or not channel:
        raise RemoteProtocolError(f"a gateway's message of kind {kind} for channel {channel}")
    return kind, channel, amount
