"""Local sockets: the shorter way between two processes of one account on one host.

Beside each address where a process listens by TCP it has a unix socket, in Linux's abstract
namespace, whose name is that address; so no file is left behind, and whoever dials the address
tries the name first. A message is through in half of TCP's time, and wakes its reader in less.
The other end must be of our own account, as the system itself says: names are anybody's to take,
and a stranger who had taken one could read along where TCP's loopback shows him nothing.
Everybody else, and everything else, goes by TCP.

I/O half. Layer 3. Rule N8.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
import sys
from typing import Final

from dispycos.model import Location, host_and_port

AVAILABLE: Final = sys.platform == "linux"

_PREFIX: Final = b"\0dispycos/"
_CREDENTIALS: Final = struct.Struct("3i")  # pid, uid, gid
_NOBODY: Final = 65534  # the system's word for an account of another user namespace


def listening_socket(location: Location, backlog: int = 512) -> socket.socket | None:
    """Listen beside TCP at this address; None where that can't be, or somebody else has the name."""
    if not AVAILABLE or _anywhere(location):
        return None
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(_name(location))
        sock.listen(backlog)
    except OSError:
        sock.close()
        return None
    return sock


def connect(location: Location) -> socket.socket | None:
    """Connect to the process of this account that listens at that address; None: it is not here.

    Does not wait: nobody, or a queue that is full, is the same answer.
    """
    if not AVAILABLE:
        return None
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        sock.connect(_name(location))
        if is_ours(sock):
            return sock
    except OSError:
        pass  # TCP says what is wrong, if anything is
    sock.close()
    return None


def is_local(sock: socket.socket) -> bool:
    """Whether it is no TCP socket."""
    return AVAILABLE and sock.family == socket.AF_UNIX


def is_ours(sock: socket.socket) -> bool:
    """Whether the process at the other end is of our account."""
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, _ = _CREDENTIALS.unpack(raw)
    return bool(uid == os.geteuid() != _NOBODY)


def location(sock: socket.socket) -> Location | None:
    """The address that a listening or accepted local socket stands beside; None if it has no name of ours."""
    return _location(sock.getsockname())


def ends(sock: socket.socket) -> tuple[Location | None, Location | None]:
    """Our and their end: who dials has the address of whom he dials, and no port."""
    ours, theirs = _location(sock.getsockname()), _location(sock.getpeername())
    if ours is None and theirs is not None:
        return Location(theirs.addr, 0), theirs
    if theirs is None and ours is not None:
        return ours, Location(ours.addr, 0)
    return None, None


def _name(location: Location) -> bytes:
    return _PREFIX + str(location).encode()


def _location(name: bytes | str) -> Location | None:
    if not isinstance(name, bytes) or not name.startswith(_PREFIX):
        return None
    try:
        host, port = host_and_port(name.removeprefix(_PREFIX).decode())
        # Whoever dials chooses his own name: a word of his is not looked up, least of all here.
        return Location(str(ipaddress.ip_address(host)), port or 0)
    except ValueError:
        return None


def _anywhere(location: Location) -> bool:
    # Another host's address is not in that name, but whoever dials it would look for it here.
    return location.addr in ("0.0.0.0", "::")
