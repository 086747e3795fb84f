"""Interfaces: the addresses that this machine has, and where broadcasts of each go.

psutil lists them on every system. Without it Linux is asked itself, for the first IPv4 address
and all IPv6 addresses of each interface; any other system shows its loopback only, so that
nobody is found by UDP there, and peers have to be named.

I/O half. Layer 3. DN-37.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
import sys
from collections.abc import Iterator
from typing import NamedTuple

_LINUX = sys.platform == "linux"

# Questions about an interface, of linux/sockios.h, and one of its flags, of linux/if.h.
_FLAGS, _ADDRESS, _BROADCAST, _NETMASK = 0x8913, 0x8915, 0x8919, 0x891B
_IS_UP = 0x1
_QUESTION = struct.Struct("16s24x")  # struct ifreq: the name, then the answer's union
_IPV4 = slice(20, 24)  # the address in an ifreq that was answered


class Interface(NamedTuple):
    """One address of one network interface."""

    name: str
    address: str  # numeric; a link-local IPv6 address without its scope
    broadcast: str  # of its subnet; "" where there is none
    number: int  # of the interface; 0: unknown


def interfaces() -> list[Interface]:
    """The addresses of this machine's interfaces that are up, loopback among them."""
    try:
        return list(_of_psutil())
    except ImportError:
        pass  # nodes and clients work without it (DN-37)
    if _LINUX:
        return [*_ipv4_of_linux(), *_ipv6_of_linux()]
    return [Interface("loopback", "127.0.0.1", "127.255.255.255", 0)]


def _of_psutil() -> Iterator[Interface]:
    import psutil  # by those who ask: most processes of a cluster never do

    stats = psutil.net_if_stats()
    indexes = {name: index for index, name in socket.if_nameindex()}
    for name, entries in psutil.net_if_addrs().items():
        if name in stats and not stats[name].isup:
            continue
        for entry in entries:
            if entry.family in (socket.AF_INET, socket.AF_INET6):
                address = entry.address.partition("%")[0]
                broadcast = _broadcast(address, entry.netmask, entry.broadcast)
                yield Interface(name, address, broadcast, indexes.get(name, 0))


def _ipv4_of_linux() -> Iterator[Interface]:
    import fcntl  # there is none on Windows

    def ask(name: str, question: int) -> bytes:
        return fcntl.ioctl(probe, question, _QUESTION.pack(name.encode()))

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for index, name in socket.if_nameindex():
            # One without an IPv4 address, or that goes while we look, answers with an error.
            with contextlib.suppress(OSError):
                (flags,) = struct.unpack_from("=H", ask(name, _FLAGS), 16)
                if flags & _IS_UP:
                    address, netmask, broadcast = (
                        socket.inet_ntoa(ask(name, question)[_IPV4])
                        for question in (_ADDRESS, _NETMASK, _BROADCAST)
                    )
                    given = None if broadcast == "0.0.0.0" else broadcast
                    yield Interface(name, address, _broadcast(address, netmask, given), index)


def _ipv6_of_linux() -> Iterator[Interface]:
    # address, index, length of the prefix, scope, flags, name; an interface that is down has no line
    with contextlib.suppress(OSError), open("/proc/net/if_inet6") as file:
        for line in file:
            digits, index, _, _, _, name = line.split()
            address = socket.inet_ntop(socket.AF_INET6, bytes.fromhex(digits))
            yield Interface(name, address, "", int(index, 16))


def _broadcast(address: str, netmask: str | None, given: str | None) -> str:
    if ":" in address or not netmask:
        return ""
    if given:
        return given
    network = ipaddress.IPv4Network(f"{address}/{netmask}", strict=False)
    return str(network.broadcast_address) if network.prefixlen < 31 else ""
