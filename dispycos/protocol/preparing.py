"""What a client and its nodes say to each other.

Pure. Layer 0.
"""

from __future__ import annotations

from typing import Any

from dispycos.model import Incarnation, Location, Payload
from dispycos.protocol.facts import Avail, ServerFacts
from dispycos.records import record

# The client says to a node.


@record
class Prepare:
    """Start a zygote with my code; run node_setup in it; then fork the servers."""

    reservation: int
    code: Payload  # the components
    setup: Payload | None  # node_setup and its arguments
    servers: int
    restart: bool  # a server that closes comes back (restart_servers)
    lease: int = 0  # the grant this is for


@record
class CloseServer:
    """End this server; `grace` seconds after it was asked to end by itself, by force."""

    reservation: int
    server: Incarnation
    restart: bool
    grace: float
    reason: str


@record
class RestartNode:
    """End zygote and servers, run node_setup again, fork anew; None: the former setup."""

    reservation: int
    setup: Payload | None
    lease: int = 0  # the grant this is for


# A node says to its client.


@record
class Prepared:
    """node_setup is done: servers follow."""

    reservation: int
    lease: int = 0  # the grant, as in all that a node says to its client
    warning: str = ""  # what the program should know of it


@record
class PrepareFailed:
    """No server can be started, and why."""

    reservation: int
    reason: str
    lease: int = 0


@record
class ServerStarted:
    """It listens at its location; dial it with the reservation's key."""

    reservation: int
    server: ServerFacts
    lease: int = 0


@record
class ServerEnded:
    """Its process is gone; this is proof (wait result)."""

    reservation: int
    server: Incarnation
    location: Location
    asked: bool  # True: it was told to close
    restarts: bool  # True: another one takes its place
    reason: str  # exit code or signal by name, and its last output
    begun: int  # position of the last CPU task begun
    begun_io: int


@record
class ServerDelayed:
    """A server can't be started now; tried again by itself (R-28)."""

    reservation: int
    index: int
    reason: str


@record
class NodeReport:
    """With each Pulse: what I have to spare and how my servers are."""

    reservation: int
    avail: Avail
    servers: list[ServerFacts]
    lease: int = 0  # the one my servers hold
    lease_left: float = 0.0  # seconds; 0: it lapsed, they begin nothing more


@record
class NodeOpen:
    """Whether my servers shall get new tasks (DN-24); leaving: close me when these are done (DN-22)."""

    reservation: int
    open: bool
    leaving: bool
    reason: str


NUMBERS: dict[int, type[Any]] = {
    60: Prepare,
    61: CloseServer,
    62: RestartNode,
    70: Prepared,
    71: PrepareFailed,
    72: ServerStarted,
    73: ServerEnded,
    74: ServerDelayed,
    75: NodeReport,
    76: NodeOpen,
}
