"""Messages for browsers as bytes: JSON, then raw deflate, once for all who get the same (MO-28).

Pure. Layer 2.
"""

from __future__ import annotations

import json
import zlib
from typing import Any

# Half of what the best level saves, at a fifth of its time; see docs/monitor-wire.md for the sizes.
_LEVEL = 2


def text(message: Any) -> str:
    """JSON in ASCII: what is no character by itself (a lone surrogate) travels as an escape."""
    return json.dumps(message, separators=(",", ":"), allow_nan=False)


def pack(message: Any) -> bytes:
    """JSON as raw deflate, which `new DecompressionStream("deflate-raw")` opens."""
    return deflate(text(message).encode("ascii"))


def deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def unpack(data: bytes) -> Any:
    """What `pack` made."""
    return json.loads(zlib.decompress(data, -15))
