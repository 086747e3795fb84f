"""SSHCluster: nodes of this program on machines that it can log in to.

Nothing need be installed there but Python (`launch.remote_node`). ssh starts and ends the nodes; then
they, the clients and the scheduler of this program reach each other by TCP.

I/O half. Layer 5. Rules SE-06, R-11.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, Never, Self

from dispycos import keyfile
from dispycos.arguments import integer, text
from dispycos.clusters.hosts import Hosts
from dispycos.clusters.scalable import Scalable
from dispycos.clusters.ssh_nodes import SSHNodes
from dispycos.guidance import habits, hints
from dispycos.launch.ssh import spec_of, target_of
from dispycos.model import Role
from dispycos.node.processors import processors
from dispycos.options import default_options
from dispycos.runtime import Network, runtime
from dispycos.scheduler.service import SchedulerService

# A scheduler of this program alone, that looks for nobody: its nodes are named.
_ROLES: Final = Role.PEER | Role.CLIENT | Role.SCHEDULER


class SSHCluster(Scalable):
    """Nodes by ssh, one on each host, and a scheduler in this process.

        with SSHCluster(["host1", "alice@host2:2222"]) as cluster, Client() as client: ...

    hosts       [USER@]HOST[:PORT] each, with ssh and Python 3.11 or newer, and nothing else; in a dict,
                each with more options of dispycosnode for it alone.
    nodes       how many there are at the start; None: one on each host.
    servers     on each; 0: one for each processor there; less than 0: that many are left free.
    python      the program there. ssh_config: a file to be used as ssh's configuration.
    options     of dispycosnode.

    ssh takes the configuration, keys and agent of this account, and asks nothing. A host that refuses,
    or whose node dies, is told with ssh's own words, and others are used; it is tried again after 10
    seconds, then ever more rarely; but not if its node refuses its options. As root it does so: name a
    USER, or give `options=["--allow_root"]`. If none of them ever had a node for half a minute, calls
    that wait fail with TaskRejected, which has the words of each.

    The key lives in memory only, unless this process is in a network already: then the nodes join that
    one. When it closes, its nodes end, and nothing of them is left.
    """

    def __init__(
        self,
        hosts: Sequence[str] | Mapping[str, Sequence[str]],
        *,
        nodes: int | None = None,
        servers: int = 0,
        python: str | None = None,
        ssh_config: str | os.PathLike[str] | None = None,
        options: Sequence[str] = (),
        **unknown: Never,
    ) -> None:
        hints.refuse(type(self), unknown, habits.OF_SSH)
        if isinstance(hosts, str) or not hosts:
            raise ValueError(f"hosts must be a list of [USER@]HOST[:PORT], not {hosts!r:.200}")
        self._specs = {host: spec_of(text("hosts", host), python, ssh_config) for host in hosts}
        for spec in self._specs.values():
            target_of(spec.ssh, spec.ssh_config)  # what is no host is told here, and not at the start
        self._hosts = Hosts(hosts)
        self._first = len(hosts) if nodes is None else integer("nodes", nodes, least=0, most=len(hosts))
        # Until one is there nobody knows how many it has.
        each = integer("servers", servers)
        super().__init__(each if each > 0 else processors(), most=len(hosts))
        own = hosts if isinstance(hosts, Mapping) else {}
        self._options = {host: [f"--cpus={servers}", *options, *own.get(host, ())] for host in hosts}

    def start(self) -> Self:
        """Start its scheduler, and have its first nodes come: they are not waited for."""
        is_new = self._network is None
        super().start()
        if is_new:
            self._limit(self._first, self._first)
        return self

    def _join(self) -> tuple[Network, bool]:
        ours = runtime.present is None
        options = replace(default_options(), udp_port=None, roles=_ROLES)
        network = runtime.network(options, keyfile.throwaway() if ours else None)
        return network, ours

    def _make_launcher(self, network: Network, service: SchedulerService) -> SSHNodes:
        for host, options in self._options.items():
            if network.endpoint.tls is not None and not any(one.startswith("--cert") for one in options):
                raise ValueError(
                    f"this program speaks TLS, and a node that ssh starts on {host} has no certificate: "
                    "options=['--certfile=FILE', ..] names one there"
                )
        return SSHNodes(network, service, self._specs, self._hosts, self._options)
