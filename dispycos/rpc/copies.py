"""Copies: any object of one end of classic mode as what its other end can take, and make anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dispycos.model import Buffer, Payload
from dispycos.pickling import rebuild, values

Packed = tuple[bytes, list[bytes | bytearray]]


def packed(value: Any, what: str = "value") -> Packed:
    """An object as built-in data. NotSerializable says what of `what` can't be sent."""
    payload = values.dump(value, what=what)
    # What may be written here may be written there.
    return bytes(payload.data), [
        buffer if type(buffer) is bytearray else bytes(buffer) for buffer in payload.buffers
    ]


def unpacked(data: bytes, buffers: Sequence[Buffer], namespace: rebuild.Namespace | None = None) -> Any:
    """The object; `namespace` as for `values.load`."""
    # They came for this object alone, so it needs no copy of what it may write.
    return values.load(Payload(data, tuple(map(memoryview, buffers))), namespace)
