"""What is to be looked at: the settings of this machine, and the other side if one is named.

Layer 8.
"""

from __future__ import annotations

from dispycos import config
from dispycos.net.keys import Keyring
from dispycos.net.tls import CertificateFiles
from dispycos.records import record


@record
class Plan:
    """Of one visit."""

    hosts: tuple[str, ...]  # numeric addresses that a process here listens at; none: they can't be had
    udp_port: int  # 0: no UDP
    multicast: bool
    keyring: Keyring | None  # None: there is no key that will do
    certificates: CertificateFiles | None
    within: float  # seconds for each answer
    name: str = ""  # the other side, as it was named; "": none
    addresses: tuple[str, ...] = ()  # its own
    port: int | None = None  # its port; None: those of nodes and schedulers

    @property
    def ports(self) -> tuple[int, ...]:
        """Where the other side may listen."""
        return (config.DispycosNodePort, config.DispycosSchedulerPort) if self.port is None else (self.port,)
