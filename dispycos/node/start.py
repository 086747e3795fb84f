"""What a zygote and its servers are told when they start, as values that travel as JSON.

The daemon makes these from its settings and the client's messages; nothing in them leads
to the cluster's key (SE-09).

I/O half. Layer 5.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from dispycos.config import Limits
from dispycos.model import Buffer, Payload
from dispycos.net.tls import CertificateFiles
from dispycos.records import record


@record
class ZygoteStart:
    """One client's zygote."""

    reservation: int
    keys: tuple[str, ...]  # hex of the reservation's keys, the one to prove with first; never of K
    path: str  # the node directory
    limits: dict[str, Any]  # the daemon's Limits
    hosts: tuple[str, ...] = ()  # addresses that servers listen at
    announce: tuple[str, ...] = ()  # the addresses that peers dial instead (DN-04)
    certificates: CertificateFiles | None = None  # None: plain TCP

    @classmethod
    def of(cls, values: dict[str, Any]) -> ZygoteStart:
        files = values["certificates"]
        certificates = CertificateFiles(**files) if files else None
        lists = {name: tuple(values[name]) for name in ("keys", "hosts", "announce")}
        return cls(**{**values, **lists, "certificates": certificates})

    def record(self) -> Limits:
        return Limits(**self.limits)


@record
class ServerStart:
    """One server of it."""

    index: int  # from 1
    name: str  # NAME_server-N
    path: str  # where it works
    port: int  # 0: any free one

    @classmethod
    def of(cls, values: dict[str, Any]) -> ServerStart:
        return cls(**values)


def to_values(start: ZygoteStart | ServerStart) -> dict[str, Any]:
    """A start as the values of a message."""
    return dataclasses.asdict(start)


def pack(*payloads: Payload | None) -> tuple[list[list[int] | None], bytes]:
    """Payloads as one body, and the sizes to take it apart again."""
    sizes: list[list[int] | None] = []
    parts: list[Buffer] = []
    for payload in payloads:
        if payload is None:
            sizes.append(None)
            continue
        pieces = (payload.data, *payload.buffers)
        sizes.append([memoryview(piece).nbytes for piece in pieces])
        parts += pieces
    return sizes, b"".join(parts)


def unpack(sizes: list[list[int] | None], body: Buffer) -> list[Payload | None]:
    """The payloads that `pack` joined."""
    view = memoryview(body)
    payloads: list[Payload | None] = []
    for lengths in sizes:
        if lengths is None:
            payloads.append(None)
            continue
        pieces = []
        for length in lengths:
            pieces.append(view[:length])
            view = view[length:]
        payloads.append(Payload(pieces[0], tuple(pieces[1:])))
    return payloads
