"""How one node is to run: what its command line or its LocalCluster says, checked.

I/O half. Layer 5.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import field

from dispycos import config
from dispycos.config import Limits
from dispycos.net.tls import CertificateFiles
from dispycos.node.hours import ServiceTimes
from dispycos.records import record

MAX_PORT = 65535


@record
class NodeSettings:
    """Everything that a node daemon needs to know but its key."""

    name: str
    hosts: tuple[str, ...]  # numeric addresses to listen at
    servers: int
    ports: tuple[int, ...]  # the node's, then one for each server; 0: any free one
    dest_path: str | None = None  # None: the default one
    clean: bool = False
    run_as: str = ""  # the account of client code, as `Account.spec`; "": the node's own (SE-52)
    announce: tuple[str, ...] = ()  # the addresses that peers dial instead (DN-04)
    certificates: CertificateFiles | None = None  # None: plain TCP
    udp_port: int | None = None  # None: no UDP socket exists (SE-33)
    multicast: bool = False
    discover: bool = False  # announce itself at start to all (DN-28)
    peers: tuple[tuple[str, int], ...] = ()  # dialled for ever
    scheduler_port: int = 0  # where a scheduler of this machine is looked for; 0: by UDP only
    ping_interval: float = 0.0  # seconds between announcements to all; 0: none
    min_pulse: float = 10.0
    max_pulse: float = 100.0
    zombie_period: float = 0.0
    serve: int = -1
    hours: ServiceTimes | None = None  # None: always
    commands: bool = True  # read stdin
    limits: Limits = field(default_factory=config.limits)


def port_list(ranges: Sequence[tuple[int, int]], servers: int, first: int) -> tuple[int, ...]:
    """The ports of `--tcp_ports`, exactly servers + 1 of them (DN-16).

    ranges  both ends included, in the order given; none: from `first` on. Ports beyond the
            highest fill up; among them 0: any free ones. ValueError: they run past 65535.
    """
    if servers >= MAX_PORT:
        raise ValueError(f"--cpus {servers} wants more servers than there are ports, at most {MAX_PORT - 1}")
    if (0, 0) in ranges:
        return (0,) * (servers + 1)
    ports: list[int] = []
    for low, high in ranges or [(first, first)]:
        ports += [port for port in range(low, high + 1) if port not in ports]
    highest = max(ports)
    while len(ports) < servers + 1:
        highest += 1
        ports.append(highest)
    ports = ports[: servers + 1]
    if max(ports) > MAX_PORT:
        raise ValueError(
            f"{servers + 1} ports from {ports[0]} on run past {MAX_PORT}: --tcp_ports takes lower ones, "
            f"--cpus {servers} may be less"
        )
    return tuple(ports)


def host_name() -> str:
    """The default name of a node."""
    return socket.gethostname() or "node"
