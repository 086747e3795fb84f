"""A shared scheduler as the source of a monitor: its clients, its nodes, their servers.

The scheduler sees neither tasks nor their arguments (rule 4): of tasks there are the counts that
the running client tells. Its nodes and servers are that client's, so nothing can be done to them
from here; their client's own monitor can.

I/O half. Layer 7. Rows MO-01, MO-10, MO-23, MO-37; SE-24.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Container, Hashable
from typing import Any

from dispycos.httpd.feed import Feed
from dispycos.httpd.network import figures
from dispycos.httpd.source import Look, Result
from dispycos.httpd.telling import Telling, now
from dispycos.kernel.operation import Operation
from dispycos.messages import ServerFacts
from dispycos.model import Incarnation
from dispycos.net.endpoint import Endpoint
from dispycos.scheduler.roster import Client, Node, NodeState
from dispycos.scheduler.service import SchedulerService

NOT_TOLD = "a scheduler is not told; see the monitor of the client that has the cluster"
_STATES = {
    NodeState.DISCOVERED: "discovered",
    NodeState.SUSPENDED: "suspended",
    NodeState.RESERVING: "preparing",
    NodeState.INITIALIZED: "initialized",
    NodeState.ZOMBIE: "zombie",
    NodeState.RELEASING: "closing",
    NodeState.CLOSED: "closed",
}


class SchedulerSource:
    """Tells a monitor of one scheduler; see `httpd.source.Source`."""

    show_args = False  # it never has any

    def __init__(self, service: SchedulerService, endpoint: Endpoint, name: str) -> None:
        self.name = name
        self._service = service
        self._endpoint = endpoint
        self._telling = Telling()

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
            },
        }

    # On the reactor's thread.

    def _survey(self, done: Operation) -> None:
        try:
            machine = self._service.machine
            wall, clock = now(), time.monotonic()
            self._clients(machine.active, list(machine.queue.values()), wall, clock)
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
        for place, client in enumerate([*([active] if active else []), *queue]):
            number = place if active else place + 1
            counts = client.counts
            values = {
                "name": client.name,
                "location": str(client.location) if client.location else None,
                "state": client.state.value,
                "place": number,
                "since": round(wall - (clock - client.since)),
                "why": self._service.machine.why(client, clock),
                "submitted": counts.submitted if counts else 0,
                "done": counts.done if counts else 0,
                "running": counts.running if counts else 0,
            }
            present.add(client.reservation)
            if self._telling.put("client", client.reservation, values) and number == 0:
                self._telling.happened("info", "client", client.name, client.state.value)
        self._all_gone("client", present, "its turn is over", wall)
        counts = active.counts if active else None
        cluster: dict[str, Any] = {
            "state": "scheduled" if active else "not scheduled",
            "client": active.name if active else "",
            "waiting_clients": len(queue),
            "submitted": counts.submitted if counts else 0,
            "done": counts.done if counts else 0,
            "failed": None,
            "notes": {"failed": NOT_TOLD},
        }
        self._telling.put("cluster", None, cluster)

    def _node(self, key: Incarnation, node: Node, wall: float, clock: float) -> None:
        facts, avail = node.facts, node.avail
        suspended = node.state is NodeState.SUSPENDED
        values = {
            "address": facts.location.addr,
            "port": facts.location.port,
            "name": facts.name,
            "platform": facts.platform,
            "python": facts.python,
            "cpus": facts.cpus,
            "incarnation": key.hex(),
            "state": _STATES[node.state],
            "why": node.why_not_free() if suspended else node.why,
            "cpu": None if avail.cpu is None else round(avail.cpu, 1),
            "memory": avail.memory,
            "swap": avail.swap,
            "disk": avail.disk,
            # To the tenth: the difference of two clocks is not the same twice.
            "pulse": round(wall - (clock - node.last_heard), 1),
            "lease": node.lease,
            "holder": node.client.name if node.client is not None else "",
        }
        if self._telling.put("node", key, values):
            text = f"{values['state']}{f': {node.why}' if node.why else ''}"
            self._telling.happened("info", "node", facts.name, text, ("node", key))
        for server in node.living:
            self._server(server, key)

    def _server(self, server: ServerFacts, node: Incarnation) -> None:
        values = {
            "location": str(server.location),
            "index": server.index,
            "pid": server.pid,
            "incarnation": server.incarnation.hex(),
            "state": "idle",
            "unresponsive": server.unresponsive,
            "notes": dict.fromkeys(("cpu", "memory", "running"), NOT_TOLD),
        }
        self._telling.put("server", server.incarnation, values, node)

    def _all_gone(self, kind: str, present: Container[Hashable], why: str, wall: float) -> None:
        """All of that kind that were told and are there no more."""
        for key in self._telling.absent(kind, present):
            self._telling.gone(kind, key, why, wall)
