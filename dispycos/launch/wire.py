"""What is said between near ends and socket servers, in one message, and keepers of nodes.

Pure: no I/O, clock or randomness.
"""

from __future__ import annotations

from typing import Final

GATEWAY: Final = b"gateway"  # the message's head
NONCE_BYTES: Final = 16  # of the gateway's key

# The tail is a dict of plain values as Python writes it:
#   boot, order, packed  the parts of a program, see `launch.program`; the server adds the key
#   python               words that start the Python, or none for the server's own
#   nonce                what the key of this gateway is derived with

# To a far end that keeps a node; anything else is its order, with the archive behind it.
NODE_END: Final = b"end"
NODE_DRAIN: Final = b"drain"  # it is to end with its last task; only where it has said that it is ready

# From it.
NODE_LINE: Final = b"line"  # of the node's output
NODE_ENDED: Final = b"ended"  # with the exit code
NODE_FAILED: Final = b"failed"  # with the reason: there is no node
