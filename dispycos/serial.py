"""serialize and deserialize: any value as bytes and back, in the way in which messages are made.

Layer 5. Row KE-24.
"""

from __future__ import annotations

from typing import Any

from dispycos.model import Buffer, Payload
from dispycos.pickling import code, values
from dispycos.runtime import runtime


def serialize(obj: Any) -> bytes:
    """Pickle `obj`, with the functions and classes it needs. NotSerializable names the part that can't be."""
    try:
        return code.dumps(obj)
    except Exception:
        values.dump(obj)  # finds the part
        raise


def deserialize(data: Buffer) -> Any:
    """What `serialize` made in this or another process. Only for bytes of who may run code here."""
    network = runtime.present
    payload = Payload(data)
    return values.load(payload) if network is None else network.delivery.load(payload)
