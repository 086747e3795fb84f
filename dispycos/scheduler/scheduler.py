"""Scheduler: the private scheduler of a program, and the names of statuses.

`Scheduler()` starts one in this process, at once; no reference to it is needed. A Client that
finds none starts one by itself.

I/O half. Layer 5. Rows DS-01, DS-19.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from typing import Any

from dispycos import config
from dispycos.arguments import seconds, seconds_or_none
from dispycos.kernel.operation import Operation
from dispycos.model import Location, Status, host_and_port
from dispycos.net.reactor import Reactor
from dispycos.options import Options
from dispycos.runtime import Network, runtime
from dispycos.scheduler import survey
from dispycos.scheduler.service import SchedulerService, ServiceOptions


class Scheduler:
    """The scheduler of this process; a second call gives the same one.

    ping_interval  seconds between searches for nodes; 0: once.
    pulse_interval seconds; a client that asks for more between signs of life of a node gets these; None: any.
    zombie_period  seconds after which a client that ran nothing on a node is closed there; 0: never.
    nodes          hosts, `host:port` or Locations that are reached without discovery; a name may stand for
                   many, and is looked up again and again.
    clean          a former scheduler of a program left nothing, for it writes no file: it is so either way.
    Other arguments are those of Pycos, which start the network of this process if it has none.
    """

    NodeIgnore = Status.NodeIgnore
    NodeDiscovered = Status.NodeDiscovered
    NodeInitialized = Status.NodeInitialized
    NodeSuspended = Status.NodeSuspended
    NodeResumed = Status.NodeResumed
    NodeClosed = Status.NodeClosed
    NodeDisconnected = Status.NodeDisconnected
    NodeAbandoned = Status.NodeAbandoned
    ServerDiscovered = Status.ServerDiscovered
    ServerInitialized = Status.ServerInitialized
    ServerSuspended = Status.ServerSuspended
    ServerResumed = Status.ServerResumed
    ServerClosed = Status.ServerClosed
    ServerDisconnected = Status.ServerDisconnected
    ServerAbandoned = Status.ServerAbandoned
    TaskCreated = Status.TaskCreated
    TaskStarted = Status.TaskCreated
    TaskFinished = Status.TaskFinished
    TaskAbandoned = Status.TaskAbandoned
    TaskTerminated = Status.TaskTerminated
    ClientScheduled = Status.ClientScheduled
    ClientClosed = Status.ClientClosed

    def __init__(
        self,
        *,
        ping_interval: float = 0.0,
        pulse_interval: float | None = None,
        zombie_period: float = 0.0,
        nodes: Iterable[str | Location] = (),
        clean: bool = False,
        **network: Any,
    ) -> None:
        if type(clean) is not bool:
            raise TypeError(f"clean: True or False, not {clean!r}")
        nodes = list(nodes)
        options = ServiceOptions(
            nodes=tuple(node for node in nodes if isinstance(node, Location)),
            hosts=tuple(_host(node) for node in nodes if not isinstance(node, Location)),
            ping_interval=seconds("ping_interval", ping_interval),
            idle_limit=seconds("zombie_period", zombie_period),
            longest_pulse=_pulse(pulse_interval),
        )
        self._network = runtime.network(Options.given(Scheduler, network) if network else None)
        self._service = start(self._network, options)

    @property
    def location(self) -> Location | None:
        """Where clients of other processes find it."""
        return self._network.endpoint.location

    def status(self) -> dict[str, Any]:
        """Clients that run and wait, nodes and their servers."""
        return self._network.reactor.wait(self._status())

    async def _status(self) -> dict[str, Any]:
        return self._service.machine.status(time.monotonic())

    def print_status(self) -> None:
        """Print `status()`, a line for each client and node."""
        for line in survey.lines(self.status()):
            print(line)

    def close(self, terminate: bool = False, timeout: float | None = None) -> Operation:
        """Yield this: end the scheduler, when the running client has closed, or with it if `terminate`."""
        limit = seconds_or_none("timeout", timeout)
        stop = self._service.stop(terminate=terminate, reason="the scheduler was closed", within=limit)
        return self._network.reactor.run(stop)


def _host(node: str) -> tuple[str, int]:
    host, port = host_and_port(node)
    return host, config.DispycosNodePort if port is None else port


def _pulse(value: float | None) -> float:
    if value is None:
        return math.inf
    found = seconds("pulse_interval", value)
    if not found:
        raise ValueError("pulse_interval 0 is no time between signs of life")
    return found


def start(network: Network, options: ServiceOptions | None = None) -> SchedulerService:
    """The scheduler of this process on `network`, started if there is none; any thread."""

    def make() -> SchedulerService:
        service = SchedulerService(
            network.endpoint,
            options or ServiceOptions(),
            search=network.search,
            searching=network.searching,
        )
        _here(network.reactor, service)
        network.on_close(lambda: _stop(service))
        return service

    return network.service(SchedulerService, make)


def _here(reactor: Reactor, service: SchedulerService) -> None:
    # Whoever asks next, in whatever thread, is behind this in the reactor's queue.
    if reactor.here:
        service.start()
    else:
        reactor.call(service.start)


async def _stop(service: SchedulerService) -> None:
    await service.stop(terminate=True, reason="its program ends", within=2.0)
