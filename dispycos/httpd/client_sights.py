"""What servers and nodes answer to a monitor that looks: stacks of tasks, output, memory.

One for each network: it hears the answers, and hands them to every monitor of this process.

I/O half, on the reactor's thread. Layer 7. Rows MO-12, MO-18, MO-19.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable, Iterable
from typing import Any, Protocol

from dispycos.client.members import Server
from dispycos.client.work import Work
from dispycos.httpd.events import Changed, Lines, Sights
from dispycos.httpd.feed import Feed
from dispycos.httpd.telling import now
from dispycos.messages import LookAtServers, LookAtTasks, ServersSeen, TasksSeen
from dispycos.model import Incarnation, Role
from dispycos.net.endpoint import Endpoint
from dispycos.protocol.facts import ServerSight
from dispycos.protocol.watching import MAX_ASKED, NO_LINES

NOT_ASKED = "asked for while somebody looks at this server or its node"
UNKNOWN = "the node can't say: psutil is not installed there, or not for this system"


class Hearer(Protocol):
    """Who is handed the answers."""

    def tasks_seen(self, server: Incarnation, message: TasksSeen) -> None: ...
    def servers_seen(self, message: ServersSeen) -> None: ...


class Answers:
    """The answers on one endpoint."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._hearers: tuple[Hearer, ...] = ()  # replaced as a whole, under the lock
        self._lock = threading.Lock()
        endpoint.handle(TasksSeen, self._tasks_seen, who=Role.SERVER)
        endpoint.handle(ServersSeen, self._servers_seen, who=Role.NODE)

    def add(self, hearer: Hearer) -> None:
        """Hand it the answers from now on; any thread."""
        with self._lock:
            self._hearers = (*self._hearers, hearer)

    def remove(self, hearer: Hearer) -> None:
        """Hand it no more; any thread."""
        with self._lock:
            self._hearers = tuple(other for other in self._hearers if other is not hearer)

    def _tasks_seen(self, peer: Incarnation, message: TasksSeen) -> None:
        for hearer in self._hearers:
            hearer.tasks_seen(peer, message)

    def _servers_seen(self, peer: Incarnation, message: ServersSeen) -> None:
        for hearer in self._hearers:
            hearer.servers_seen(message)


class ClientSights:
    """Asks for one monitor, and tells its feed what comes."""

    def __init__(self) -> None:
        self.feed = Feed()
        self._answers: Answers | None = None
        self._printed: dict[Incarnation, int] = {}  # number of the last line known of a server
        self._used: dict[Incarnation, tuple[float, float]] = {}  # (clock, CPU seconds) at the last look

    def begin(self, work: Work) -> None:
        """Hear what the servers of this work answer."""
        self.close()
        self._printed.clear()
        self._used.clear()
        network = work.network
        self._answers = answers = network.service(Answers, lambda: Answers(network.endpoint))
        answers.add(self)

    def close(self) -> None:
        """Hear no more. May be repeated."""
        if self._answers is not None:
            self._answers.remove(self)
            self._answers = None

    def look(self, work: Work, servers: Iterable[Hashable], nodes: Iterable[Hashable]) -> None:
        """Ask: of servers their tasks, output and figures, of nodes the figures of all their servers."""
        endpoint, fleet = work.network.endpoint, work.driver.fleet
        wanted: dict[Incarnation, dict[Incarnation, int]] = {}
        for key in nodes:
            node = fleet.nodes_held.get(key)  # type: ignore[call-overload]  # keys are incarnations
            if node is not None:
                wanted[node.incarnation] = dict.fromkeys(node.servers, NO_LINES)
        for key in servers:
            server: Server | None = fleet.crew.servers.get(key)  # type: ignore[call-overload]
            if server is not None:
                endpoint.say(server.incarnation, LookAtTasks())
                after = self._printed.get(server.incarnation, 0)
                wanted.setdefault(server.node.incarnation, {})[server.incarnation] = after
        reservation = fleet.turn.reservation
        for node_key, asked in wanted.items():
            some = list(asked.items())[:MAX_ASKED]
            message = LookAtServers(reservation, [key for key, _ in some], [after for _, after in some])
            endpoint.say(node_key, message)

    # What is answered.

    def tasks_seen(self, server: Incarnation, message: TasksSeen) -> None:
        wall = now()
        tasks = {
            sight.id: (
                round(wall - sight.ran, 3),
                [(line.file, line.line, line.function) for line in sight.stack],
            )
            for sight in message.tasks
        }
        self.feed.put_always(Sights(server, tasks, wall))

    def servers_seen(self, message: ServersSeen) -> None:
        wall, clock = now(), time.monotonic()
        for sight in message.servers:
            self.feed.put_always(Changed("server", sight.incarnation, self._figures(sight, clock)))
            if sight.lines:
                before = self._printed.get(sight.incarnation, 0)
                left_out = max(0, sight.number - len(sight.lines) - before) if before else 0
                self._printed[sight.incarnation] = sight.number
                self.feed.put_always(Lines(sight.incarnation, list(sight.lines), left_out, wall))

    def _figures(self, sight: ServerSight, clock: float) -> dict[str, Any]:
        notes = {}
        cpu = None
        if sight.cpu_seconds is None:
            notes["cpu"] = UNKNOWN
        else:
            before = self._used.get(sight.incarnation)
            self._used[sight.incarnation] = (clock, sight.cpu_seconds)
            if before is not None and clock > before[0]:
                cpu = round(100 * max(0.0, sight.cpu_seconds - before[1]) / (clock - before[0]), 1)
            else:
                notes["cpu"] = "known with the next look"
        if sight.memory is None:
            notes["memory"] = UNKNOWN
        return {"pid": sight.pid, "cpu": cpu, "memory": sight.memory, "notes": notes or None}
