"""An installed socket server: the far end of an errand that a gateway's near end sent through it.

It listens where it is told, says where that is, and serves one gateway, with a key made for it.
It ends with that gateway, and when the stream ends that it was sent by. Row EX-05.
"""

from __future__ import annotations

import socket
from typing import Any, Final

from dispycos.gateways.listener import BACKLOG, Listener
from dispycos.launch.beginning import meet_near_end
from dispycos.model import Buffer
from dispycos.net.keys import ClusterKey, Keyring
from dispycos.net.link import Link
from dispycos.net.listening import listening_at

_FAREWELL: Final = 3.0  # seconds for the link to end


def settle(options: dict[str, Any]) -> None:
    """Listen. OSError says why that can't be."""
    host, port = options["address"]
    options["listener"] = listening_at(host, port, BACKLOG)


def main(reader: int, writer: int, options: dict[str, Any]) -> None:
    """Serve, until the one gateway or the stream with these descriptors ends."""
    listening: socket.socket = options["listener"]
    stream, meeting = meet_near_end(reader, writer, options)
    served = Keyring(ClusterKey(bytes.fromhex(options["served"])))
    listener = Listener([listening], lambda: served, once=True)

    def heard(head: Buffer, tail: Buffer) -> None:
        # The near end has nothing to say.
        listener.close()

    link = Link(stream, meeting, heard, lambda: None, lambda _: listener.close())
    link.start("dispycos socket server")
    host, port = listening.getsockname()[:2]
    link.send(repr((host, port)).encode())
    listener.serve()
    link.close("the gateway has ended")
    link.join(_FAREWELL)
