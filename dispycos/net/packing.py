"""Packing: how addresses and roles stand in the fixed-size records of the wire.

Used before anything is proved, so there is nothing here but numbers (SE-13, SE-28).

Pure.
"""

from __future__ import annotations

import ipaddress
from typing import Final

from dispycos.model import Location, Role

ADDRESS_BYTES: Final = 16  # an IPv6 address, or an IPv4 address mapped into one
KNOWN_ROLES: Final = int(Role.CLIENT | Role.SCHEDULER | Role.NODE | Role.SERVER | Role.PEER)

_NO_ADDRESS: Final = bytes(ADDRESS_BYTES)
_MAPPED: Final = bytes(10) + b"\xff\xff"


def pack_address(address: str) -> bytes:
    """The 16 bytes of a numeric address; a scope is left out, it means nothing elsewhere."""
    packed = ipaddress.ip_address(address).packed
    return packed if len(packed) == ADDRESS_BYTES else _MAPPED + packed


def unpack_address(packed: bytes) -> str:
    """The address in those 16 bytes."""
    if packed.startswith(_MAPPED):
        return str(ipaddress.IPv4Address(packed[len(_MAPPED) :]))
    return str(ipaddress.IPv6Address(packed))


def pack_location(location: Location | None) -> tuple[bytes, int]:
    """Address and port; zeros for None."""
    if location is None:
        return _NO_ADDRESS, 0
    return pack_address(location.addr), location.port


def unpack_location(packed: bytes, port: int) -> Location | None:
    """The location in an address and a port; None for zeros."""
    if packed == _NO_ADDRESS and not port:
        return None
    return Location(unpack_address(packed), port)


def is_loopback(location: Location | None) -> bool:
    """Whether it means this host itself."""
    # By way of the packed form, in which an IPv4 address has one spelling.
    if location is None:
        return False
    return ipaddress.ip_address(unpack_address(pack_address(location.addr))).is_loopback
