"""What a near end says to a socket server, in the one message of their session.

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
