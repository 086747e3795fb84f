"""Sockets that listen for TCP connections: the one place that binds them.

I/O half. Layer 3. SE-12.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
from typing import Final

from dispycos.wording import program_of

EVERYWHERE: Final = ("0.0.0.0", "::")  # every address of this machine, of IPv4 and of IPv6


def as_typed(host: str, address: str) -> str:
    """`address`, for which `host` stands: everywhere only if that is what was typed (SE-12).

    Else OSError: 0 is a spelling of it, and a name may lead there.
    """
    meant = everywhere(address)
    if meant is not None and host not in EVERYWHERE:
        raise OSError(f"{host} stands for every address of this machine: write {meant} if that is meant")
    return address


def everywhere(address: str) -> str | None:
    """Which of `EVERYWHERE` a numeric address is, however it is written; None: neither."""
    found = ipaddress.ip_address(address.partition("%")[0])
    found = getattr(found, "ipv4_mapped", None) or found
    return str(found) if found.is_unspecified else None


def listening_at(
    host: str, port: int, backlog: int, family: socket.AddressFamily = socket.AF_UNSPEC
) -> socket.socket:
    """Bind and listen at what a host name or address stands for. As `listening_socket` and `as_typed`."""
    try:
        *_, address = socket.getaddrinfo(host, None, family, socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as exc:
        why = getattr(exc, "strerror", None) or exc
        raise OSError(f"{host!r} is no address of this machine: {why}") from None
    return listening_socket(as_typed(host, str(address[0])), port, backlog)


def listening_socket(host: str, port: int, backlog: int = 512) -> socket.socket:
    """Bind and listen. OSError names address and port: in use, not this machine's, not permitted."""
    try:
        return bound(host, port, backlog)
    except OSError as exc:
        who = holder(host, port, "tcp") if exc.errno == errno.EADDRINUSE else ""
        reason = {
            errno.EADDRINUSE: f"the port is in use by {who or 'another program'}",
            errno.EADDRNOTAVAIL: "the address is not this machine's",
            errno.EACCES: "ports below 1024 need privileges",
        }.get(exc.errno or 0, exc.strerror or str(exc))
        where = f"[{host}]" if ":" in host else host
        raise OSError(exc.errno, f"can't listen at {where}:{port}: {reason}") from None


def holder(address: str, port: int, kind: str) -> str:
    """Which program has a port there, with its process; "": the system does not tell this account.

    kind  tcp: who listens; udp.
    """
    try:
        import psutil  # by those who ask
    except ImportError:
        return ""
    with contextlib.suppress(psutil.Error, OSError):
        for one in psutil.net_connections(kind):
            if not (one.pid and one.laddr and one.laddr.port == port):
                continue
            same = one.laddr.ip == address or {one.laddr.ip, address} & {*EVERYWHERE}
            if same and (kind == "udp" or one.status == psutil.CONN_LISTEN):
                return f"{program_of(psutil.Process(one.pid).cmdline())} (pid {one.pid})"
    return ""


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
