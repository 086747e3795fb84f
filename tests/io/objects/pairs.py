"""Two ends of an object connection in one process."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dispycos import keyfile
from dispycos.config import Limits
from dispycos.net.proof import prove
from dispycos.net.stream import Stream
from dispycos.objects.connection import Connection
from dispycos.objects.terms import Terms

_OPEN = Terms()


def pair(
    near: Any, far: Any, near_terms: Terms = _OPEN, far_terms: Terms = _OPEN
) -> tuple[Connection, Connection]:
    """Connections that share these roots on these terms."""
    one, other = (Stream.of_socket(end, private=True) for end in socket.socketpair())
    keyring = keyfile.throwaway()
    with ThreadPoolExecutor(1) as pool:
        listening = pool.submit(prove, other, keyring, Limits(), dialer=False, timeout=10)
        met = prove(one, keyring, Limits(), dialer=True, timeout=10), listening.result(10)
    return (
        Connection(one, met[0], name="the far end", root=near, terms=near_terms, first=True),
        Connection(other, met[1], name="the near end", root=far, terms=far_terms, first=False),
    )
