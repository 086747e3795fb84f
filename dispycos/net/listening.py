"""Sockets that listen for TCP connections: the one place that binds them.

I/O half. Layer 3.
"""

from __future__ import annotations

import errno
import os
import socket


def listening_socket(host: str, port: int, backlog: int = 512) -> socket.socket:
    """Bind and listen. OSError names address and port: in use, not this machine's, not permitted."""
    try:
        return bound(host, port, backlog)
    except OSError as exc:
        reason = {
            errno.EADDRINUSE: "the port is in use by another program",
            errno.EADDRNOTAVAIL: "the address is not this machine's",
            errno.EACCES: "ports below 1024 need privileges",
        }.get(exc.errno or 0, exc.strerror or str(exc))
        raise OSError(exc.errno, f"can't listen at {host}:{port}: {reason}") from None


def bound(host: str, port: int, backlog: int) -> socket.socket:
    """As `listening_socket`; OSError in the system's words."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":  # elsewhere it would let two programs have one port
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
        sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock
