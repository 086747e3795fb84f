"""What nodes and servers are, as others are told; parts of messages.

Pure. Layer 0.
"""

from __future__ import annotations

from dataclasses import dataclass

from dispycos.model import Incarnation, Location


@dataclass(frozen=True, slots=True)
class Avail:
    """What a node has to spare; None where psutil is missing there."""

    cpu: float | None = None  # percent idle
    memory: int | None = None  # free bytes
    disk: int | None = None  # free bytes of dest_path's partition
    swap: int | None = None  # free bytes


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What a node says of itself; what allocation rules are applied to."""

    incarnation: Incarnation
    location: Location  # where it is dialled
    name: str
    platform: str  # platform.platform()
    python: str  # version, as 3.11.7
    cpus: int  # servers it may start
    avail: Avail


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """One live server, as its node knows it."""

    incarnation: Incarnation
    location: Location
    index: int  # from 1: its place on the node
    pid: int
    begun: int  # position of the last CPU task begun, from the shared page
    begun_io: int  # likewise for I/O tasks
    unresponsive: float = 0.0  # seconds its kernel has not stepped; 0: it steps


@dataclass(frozen=True, slots=True)
class Rule:
    """One allocation rule as data (S5); see `scheduler.allocate`."""

    node: str  # address, host name or pattern with '*'
    port: int
    platform: str  # regular expression, searched without case; '' any
    cpus: int
    memory: int
    disk: int
    asks_client: bool = False  # a subclass: its `allocate` runs in the client that wrote it
