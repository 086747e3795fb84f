"""Addresses: what names stand for, and where to listen.

Importing this module lets `Location` take host names.

I/O half. Layer 3. SE-12.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Sequence

from dispycos.model import MAX_ADDRESSES, Location
from dispycos.net.interfaces import interfaces
from dispycos.net.listening import as_typed, everywhere

LOOPBACK = "127.0.0.1"

# A datagram socket "connected" to these finds the source address of the default route; nothing
# is sent. The addresses are of the documentation ranges: nobody's.
_FAR_IPV4 = ("192.0.2.1", 9)
_FAR_IPV6 = ("2001:db8::1", 9)


def resolve(host: str) -> str:
    """The numeric address of a host name, IPv4 if it has one. ValueError names what can't be resolved."""
    return all_of(host)[0]


def all_of(host: str) -> list[str]:
    """Every numeric address of a host name, of IPv4 if it has any; as `resolve`."""
    addresses = of_any_version(host)
    return [address for address in addresses if ":" not in address] or addresses


def of_any_version(host: str) -> list[str]:
    """Every numeric address of a host name, each once; as `resolve`."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        raise ValueError(f"can't resolve {host!r}: {getattr(exc, 'strerror', None) or exc}") from None
    return list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))


def is_loopback(address: str) -> bool:
    """Whether a host name or address leads to this machine and nowhere else."""
    return ipaddress.ip_address(Location(address, 0).addr).is_loopback


def default_address(only: int | None = None) -> str:
    """The address of the default route; without one, the first that is no loopback; else loopback.

    only  the socket family it is to be of; None: IPv4 if there is one.
    """
    for family, far in ((socket.AF_INET, _FAR_IPV4), (socket.AF_INET6, _FAR_IPV6)):
        if only not in (None, family):
            continue
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect(far)
                return str(probe.getsockname()[0]).partition("%")[0]
            except OSError:
                continue  # no route of this kind
    for interface in interfaces():
        address = ipaddress.ip_address(interface.address)
        wanted = only is None or (address.version == 6) is (only == socket.AF_INET6)
        if wanted and not address.is_loopback and not address.is_link_local:
            return interface.address
    return "::1" if only == socket.AF_INET6 else LOOPBACK


def bind_addresses(requested: Sequence[str] = (), *, loopback_only: bool = False) -> list[str]:
    """Where this process listens: the one place that decides it (SE-12).

    requested      host names or addresses that the user gave; 0.0.0.0 and :: only if typed.
    loopback_only  of a cluster that lives on this machine.
    OSError if an address is not this machine's or stands for all of them, ValueError if a name can't
    be resolved.
    """
    if loopback_only:
        return [LOOPBACK]
    if not requested:
        return [default_address()]
    return [_ours(host) for host in dict.fromkeys(requested)]


def reached(listening: Sequence[str]) -> Sequence[str]:
    """Those addresses that others are told of: the first, and what leads here from elsewhere."""
    first, *others = listening
    kinds = {address: ipaddress.ip_address(address) for address in others}
    lead_here = [a for a, kind in kinds.items() if not (kind.is_unspecified or kind.is_loopback)]
    return [first, *lead_here][:MAX_ADDRESSES]


def announced(given: Sequence[str]) -> list[str]:
    """The addresses that peers are told to dial, each once, for host names or addresses that the user gave.

    ValueError if a name can't be resolved, or leads to no machine: 0.0.0.0 and :: by any spelling.
    """
    found = {resolve(host): host for host in given}
    for address, host in found.items():
        if everywhere(address) is not None:
            raise ValueError(f"others can't dial {host}, every address of a machine: give the one they reach")
    return list(found)


def _ours(host: str) -> str:
    address = as_typed(host, Location(host, 0).addr)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError as exc:
            if exc.errno != errno.EADDRNOTAVAIL:
                raise
            named = address if address == host else f"{host} ({address})"
            raise OSError(exc.errno, f"can't listen at {named}: the address is not this machine's") from None
    return address


Location.resolver = staticmethod(resolve)
