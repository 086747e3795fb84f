"""A shared scheduler as the source of a monitor: who has its servers, who waits, its nodes.

The scheduler sees neither tasks nor their arguments (rule 4). Of tasks there are counts: those
that the running client tells at its pulses, and how many run and have ended at each server, as its
node's pulse says. All else is unknown here, and said to be. Its nodes and servers are that
client's, so nothing can be done to them from here; their client's own monitor can.

I/O half. Layer 7. Rows MO-01, MO-10, MO-14, MO-23, MO-37; SE-24.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Container, Hashable
from typing import Any

from dispycos.httpd import lending
from dispycos.httpd.feed import Feed
from dispycos.httpd.known import Known
from dispycos.httpd.network import figures
from dispycos.httpd.source import Look, Result
from dispycos.httpd.telling import NO_PSUTIL, Telling, now, wall_time
from dispycos.kernel.operation import Operation
from dispycos.messages import ServerFacts
from dispycos.model import Incarnation
from dispycos.net.endpoint import Endpoint
from dispycos.scheduler.roster import Client, Node, NodeState
from dispycos.scheduler.service import SchedulerService

NOT_TOLD = "a scheduler is not told; see the monitor of the client that has the cluster"
NO_HOLDER = "no client has the cluster"
NOT_YET = "the client that has the cluster has not told yet"
_STATES = {
    NodeState.DISCOVERED: "discovered",
    NodeState.SUSPENDED: "suspended",
    NodeState.RESERVING: "preparing",
    NodeState.INITIALIZED: "initialized",
    NodeState.ZOMBIE: "zombie",
    NodeState.RELEASING: "closing",
    NodeState.CLOSED: "closed",
}
_UNCOUNTED = dict.fromkeys(("submitted", "failed", "waiting"), NOT_TOLD)
_UNTOLD = _UNCOUNTED | dict.fromkeys(("cpu", "memory", "mean", "credits"), NOT_TOLD)


class SchedulerSource:
    """Tells a monitor of one scheduler; see `httpd.source.Source`."""

    known = Known(("done", "running"), by_pulse=True)
    show_args = False  # it never has any

    def __init__(self, service: SchedulerService, endpoint: Endpoint, name: str) -> None:
        self.name = name
        self._service = service
        self._endpoint = endpoint
        self._telling = Telling()
        self._found: dict[str, Any] = {}  # of the situation, at the last survey; replaced as a whole

    def watch(self, feed: Feed) -> None:
        self._telling.feed = feed

    def stop(self) -> None:
        """Nothing is told unasked."""

    def set_show_args(self, show: bool) -> None:
        """Nothing to show: see above."""

    def refresh(self, look: Look) -> Operation:
        done = Operation()
        try:
            self._endpoint.reactor.call(self._survey, done)
        except RuntimeError:
            done.complete(None)  # the scheduler has ended: nothing changes any more
        return done

    def act(self, action: str, key: Hashable, role: str) -> Operation:
        done = Operation()
        done.complete(Result("refused", "a scheduler does nothing to nodes: their client's monitor does"))
        return done

    def surroundings(self) -> dict[str, Any]:
        endpoint = self._endpoint
        return {
            "figures": figures(endpoint),
            "configuration": dataclasses.asdict(endpoint.limits),
            "situation": {
                "listening": str(endpoint.location),
                "fingerprint": endpoint.keyring.own.fingerprint,
                "unreached": tuple(self._service.why_unreached()),
                **self._found,
            },
        }

    # On the reactor's thread.

    def _survey(self, done: Operation) -> None:
        try:
            machine = self._service.machine
            wall, clock = now(), time.monotonic()
            active = machine.active
            self._clients(active, list(machine.queue.values()), wall, clock)
            unheard = active.unheard_since if active is not None else None
            self._found = {
                "holder_unheard": None if unheard is None else wall - (clock - unheard),
                "stopping": machine.stopping,
                "journal": machine.unwritten,
            }
            nodes = dict(machine.nodes)
            living = {server.incarnation for node in nodes.values() for server in node.living}
            self._all_gone("server", living, "its process is gone", wall)
            self._all_gone("node", nodes, "its process is gone", wall)
            for key, node in nodes.items():
                self._node(key, node, wall, clock)
        finally:
            done.complete(None)

    def _clients(self, active: Client | None, queue: list[Client], wall: float, clock: float) -> None:
        present = set()
        for place, client in enumerate([*([active] if active else []), *queue], 0 if active else 1):
            counts = client.counts
            unknown = dict.fromkeys(("submitted", "done", "monitor"), NOT_YET)
            values = {
                "name": client.name,
                "location": str(client.location) if client.location else None,
                "pid": client.pid or None,
                "state": client.state.value,
                "place": place,
                "since": wall_time(client.since, wall, clock, None),
                "why": self._service.machine.why(client, clock),
                "nodes": client.granted,
                "servers": sum(len(node.living) for node in client.nodes.values()),
                "monitor": lending.address(counts.monitor) if counts else None,
                "submitted": counts.submitted if counts else None,
                "done": counts.done if counts else None,
                "running": sum(_running(node) for node in client.nodes.values()),
                "notes": unknown if counts is None and client is active else None,
            }
            present.add(client.reservation)
            if self._telling.put("client", client.reservation, values) and place == 0:
                self._telling.happened("info", "client", client.name, client.state.value)
        self._all_gone("client", present, "its turn is over", wall)
        self._cluster(active, len(queue), wall, clock)

    def _cluster(self, active: Client | None, waiting: int, wall: float, clock: float) -> None:
        counts = active.counts if active else None
        untold = NO_HOLDER if active is None else NOT_YET
        notes = {} if counts else dict.fromkeys(("submitted", "done", "waiting", "rate"), untold)
        who = ""
        if active is not None:
            location = str(active.location) if active.location else None
            who = lending.who(active.name, location, active.pid)
        values: dict[str, Any] = {
            "state": active.state.value if active else "not scheduled",
            "scheduled": wall_time(active.since, wall, clock, None) if active else None,
            "client": active.name if active else "",
            "waiting_clients": waiting,
            "pulse_interval": active.pulse if active else None,
            "submitted": counts.submitted if counts else None,
            "done": counts.done if counts else None,
            "elsewhere": lending.elsewhere(who, lending.address(counts.monitor) if counts else None)
            if active
            else lending.NOBODY,
            "notes": {**notes, "failed": NOT_TOLD},
        }
        self._telling.put("cluster", None, values)

    def _node(self, key: Incarnation, node: Node, wall: float, clock: float) -> None:
        facts, avail, held = node.facts, node.avail, node.client is not None
        suspended = node.state is NodeState.SUSPENDED
        peer = self._endpoint.peer(key)
        free = {
            "cpu": None if avail.cpu is None else round(avail.cpu, 1),
            "memory": avail.memory,
            "swap": avail.swap,
            "disk": avail.disk,
        }
        notes = {name: NO_PSUTIL for name, value in free.items() if value is None}
        # To the tenth: the difference of two clocks is not the same twice.
        pulse = wall_time(node.last_heard, wall, clock, 1)
        values = {
            "address": facts.location.addr,
            "port": facts.location.port,
            "name": facts.name,
            "platform": facts.platform,
            "python": facts.python,
            "release": peer.release if peer is not None else None,
            "cpus": facts.cpus,
            "granted": node.servers if held else 0,
            "incarnation": key.hex(),
            "state": _STATES[node.state],
            "why": node.why_not_free() if suspended else node.why,
            **free,
            "pulse": pulse,
            "lease": node.lease or None,
            "lease_end": wall_time(node.lease_until, wall, clock, None) if held else None,
            "holder": node.client.name if node.client is not None else "",
            "since": wall_time(node.since, wall, clock, None) if held and node.since else None,
            "notes": {**notes, **_UNCOUNTED},
        }
        if self._telling.put("node", key, values):
            text = f"{values['state']}{f': {node.why}' if node.why else ''}"
            self._telling.happened("info", "node", facts.name, text, ("node", key))
        for server in node.living:
            self._server(server, node, pulse)

    def _server(self, server: ServerFacts, node: Node, pulse: float) -> None:
        state = "busy" if server.running else "idle"
        values = {
            "location": str(server.location),
            "index": server.index,
            "pid": server.pid,
            "incarnation": server.incarnation.hex(),
            "state": "zombie" if node.state is NodeState.ZOMBIE else state,
            "running": server.running,
            "done": server.ended,
            "pulse": pulse,
            "unresponsive": server.unresponsive,
            "notes": _UNTOLD,
        }
        self._telling.put("server", server.incarnation, values, node.incarnation)

    def _all_gone(self, kind: str, present: Container[Hashable], why: str, wall: float) -> None:
        """All of that kind that were told and are there no more."""
        for key in self._telling.absent(kind, present):
            self._telling.gone(kind, key, why, wall)


def _running(node: Node) -> int:
    """Tasks that run there, as its last pulse said."""
    return sum(server.running for server in node.living)
