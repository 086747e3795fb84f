"""Where a master is: its port, and a host as users name one.

I/O half. Layer 7. Rows CW-01, CW-05.
"""

from __future__ import annotations

from dispycos.arguments import port as checked_port
from dispycos.arguments import text
from dispycos.model import Location, host_and_port

PORT = 5494  # TCP, of a master


def location(host: str, port: int | None = None) -> Location:
    """Where the master of `host` (a name, an address, or HOST:PORT) listens.

    ValueError if the name can't be resolved, or two ports are given.
    """
    name, number = host_and_port(text("host", host))
    if number is not None and port is not None and number != port:
        raise ValueError(f"host {host!r} names a port, and port={port} another one")
    return Location(name, checked_port("port", number or port or PORT, least=1))
