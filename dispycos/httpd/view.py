"""The view: what browsers are shown of a cluster, folded from what its client or scheduler tells.

`handle` takes one event of `httpd.events`; `end_tick` numbers what changed since the last tick.
`topics` makes snapshots and differences of it. Nothing here knows of connections, bytes or
browsers, and nothing asks the cluster anything: what is unknown is None, with a note why.

Its sums: a node's counts are those of its servers, present and forgotten; the cluster's running
tasks are those of its nodes; its counts of states are counts of rows. `check` asserts them.

Pure: no I/O, clock or randomness; `now` is seconds since the epoch, since it is shown to people.
Layer 2. Rows MO-08 to MO-14.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Hashable
from operator import itemgetter
from typing import Any

from dispycos.httpd.changes import Changes
from dispycos.httpd.events import (
    Changed,
    Ended,
    Gone,
    Happened,
    Lines,
    Living,
    Sample,
    Sights,
    TaskEnded,
    TaskPlaced,
    TaskSubmitted,
)
from dispycos.httpd.history import DAY, HOUR, STEP, Day, Ring
from dispycos.httpd.known import COUNTS, EVERYTHING, Known
from dispycos.httpd.places import NodePlace, ServerPlace
from dispycos.httpd.rows import FULL, INDEX, LETTERS, STATE, Row
from dispycos.httpd.tasks import ENDS, GOOD, Tasks, shortened
from dispycos.wording import many

MAX_NODES = 5000  # rows; beyond it closed ones are forgotten early, and new ones not shown
MAX_SERVERS = 40_000
MAX_CLIENTS = 1000
MAX_EVENTS = 5000
CLOSED_KEPT = 600.0  # seconds that the row of what ended stays (MO-09)
FAILURES_TOLD = 20  # events of failed tasks in one tick; the others are summed up in one line
RATE_OVER = 5.0  # seconds over which tasks per second are taken

NODE_GROUPS = {
    "initialized": "nodes_initialized",
    "suspended": "nodes_suspended",
    "zombie": "nodes_zombie",
    "closed": "",
}
SERVER_GROUPS = {"busy": "servers_busy", "idle": "servers_idle", "closed": ""}

_STATE_OF_SERVER = INDEX["server"]["state"]
_sampled = itemgetter(*(INDEX["node"][name] for name in ("cpu", "memory", "running", "done")))


class View:
    """The rows of one cluster.

    name   of the program or scheduler.
    known  what it can tell of tasks.
    """

    def __init__(self, name: str, now: float, known: Known = EVERYTHING) -> None:
        self.rows: dict[str, Row] = {}
        self.changes = Changes()
        self.nodes: dict[Hashable, NodePlace] = {}
        self.servers: dict[Hashable, ServerPlace] = {}
        self.clients: dict[Hashable, Row] = {}
        self.tasks = Tasks(self.rows, self.changes, self.servers)
        self.events: deque[Row] = deque()
        self.history = Day()  # of the whole cluster
        self.samples: deque[int] = deque(maxlen=HOUR)  # in which tick each was taken
        self.minutes: deque[int] = deque(maxlen=DAY)  # likewise, of those of the day
        self.sampled = 0.0  # when the last one was
        self.ended: Ended | None = None  # the program or its turn is over
        self.now = now  # of the last event or tick
        self.moved: float | None = None  # when a task began or ended last, as far as is known
        self._moved_at = (0, 0)  # tasks done and running then
        self._numbers: Counter[str] = Counter()  # ids given, by kind
        self._closed: deque[tuple[float, str, Hashable]] = deque()  # when, kind, key; the oldest first
        self._moved_nodes: dict[NodePlace, None] = {}  # counts of their servers changed in this tick
        self._states: dict[str, Counter[str]] = {"node": Counter(), "server": Counter()}
        self._rates: deque[tuple[float, int]] = deque()  # (time, tasks done) of the last RATE_OVER
        self._failures = 0  # told in this tick
        self._unshown: Counter[str] = Counter()  # rows for which there was no room, by kind
        self._known = known
        self._counts = itemgetter(*(INDEX["server"][name] for name in known.counts))
        self._counted = sum(1 << INDEX["server"][name] for name in known.counts)
        self._zeros = {name: 0 if name in known.counts else None for name in COUNTS}
        self.cluster = Row("cluster", "cluster", None)
        self.rows["cluster"] = self.cluster
        zeros = dict.fromkeys(("browsers", "collapsed", "waiting_clients"), 0)
        self._put(self.cluster, {"name": name, "state": "not scheduled", "started": now, "rate": 0.0})
        self._put(self.cluster, {**self._zeros, **zeros, "one_in": 1, "show_args": False})
        self._put(self.cluster, {"why": "", "client": "", "elsewhere": ""})
        self._group()
        self._on: dict[type[Any], Callable[[Any], None]] = {
            Changed: self._changed,
            Gone: self._gone,
            TaskSubmitted: self.tasks.submitted,
            TaskPlaced: self.tasks.placed,
            TaskEnded: self._task_ended,
            Living: self.tasks.survey,
            Sights: self.tasks.seen,
            Lines: self._lines,
            Sample: self._sample,
            Happened: self._happened,
            Ended: self._over,
        }

    @property
    def seq(self) -> int:
        """The number of the model: of the last tick in which something changed."""
        return self.changes.seq

    # The shape of a machine.

    def handle(self, event: Any, now: float) -> None:
        """Fold one event in."""
        self.now = now
        self._on[type(event)](event)

    def end_tick(self, now: float) -> int:
        """Number what changed since the last call; answers the number of the model."""
        self.now = now
        if self._failures > FAILURES_TOLD:
            more = self._failures - FAILURES_TOLD
            self._happened(
                Happened("error", "task", "tasks", f"{many(more, 'more task')} failed in this moment", now)
            )
        self._failures = 0
        self._add_up()
        while self._closed and self._closed[0][0] <= now - CLOSED_KEPT:
            self._forget_first()
        self._put(self.cluster, {"rate": self._rate(now)})
        self._group()
        moved = (self.cluster["done"], self.cluster["running"])
        if moved != self._moved_at:
            self._moved_at, self.moved = moved, now
        self.changes.end_tick()
        return self.seq

    def find(self, row_id: str) -> Row | None:
        """The row of that id."""
        return self.rows.get(row_id)

    def server_of(self, row: Row) -> ServerPlace | None:
        return self.servers.get(row.key) if row.kind == "server" else None

    # Rows that come, change and go.

    def _changed(self, event: Changed) -> None:
        if event.kind == "server":  # the most frequent one
            server = self.servers.get(event.key) or self._new_server(event.key, event.node)
            if server is not None:
                self._put_server(server, event.values)
        elif event.kind == "cluster":
            self._put(self.cluster, event.values)
        elif event.kind == "node":
            node = self.nodes.get(event.key) or self._new_node(event.key)
            if node is not None:
                self._put(node.row, event.values)
        else:
            row = self.clients.get(event.key) or self._new_client(event.key)
            if row is not None:
                self._put(row, event.values)

    def _new_node(self, key: Hashable) -> NodePlace | None:
        if not self._room("node", len(self.nodes), MAX_NODES):
            return None
        row = self._new("node", key, {"state": "discovered", "servers": 0, **self._zeros})
        node = self.nodes[key] = NodePlace(row, dict.fromkeys(self._known.counts, 0))
        return node

    def _new_server(self, key: Hashable, node_key: Hashable) -> ServerPlace | None:
        node = self.nodes.get(node_key)
        if node is None or not self._room("server", len(self.servers), MAX_SERVERS):
            return None
        row = self._new("server", key, {"state": "discovered", "node": node.row.id, **self._zeros})
        server = self.servers[key] = ServerPlace(row, node)
        node.servers[row.id] = server
        self._put(node.row, {"servers": node.row["servers"] + 1})
        return server

    def _new_client(self, key: Hashable) -> Row | None:
        if not self._room("client", len(self.clients), MAX_CLIENTS):
            return None
        row = self.clients[key] = self._new("client", key, {})
        return row

    def _room(self, kind: str, count: int, most: int) -> bool:
        """Whether one more row of that kind can be shown; what ended is forgotten early for it."""
        if count < most:
            return True
        for entry in self._closed:
            if entry[1] == kind:
                self._closed.remove(entry)
                self._forget(kind, entry[2])
                return True
        self._unshown[kind] += 1
        if self._unshown[kind] == 1:
            text = f"there are more than {most:,} {kind}s: the others are not shown"
            self._happened(Happened("warning", "note", f"{kind}s", text, self.now))
        return False

    def _new(self, kind: str, key: Hashable, values: dict[str, Any]) -> Row:
        self._numbers[kind] += 1
        row = Row(f"{LETTERS[kind]}{self._numbers[kind]}", kind, key)
        self.rows[row.id] = row
        row.put(values)
        if kind in self._states:
            self._states[kind][row["state"]] += 1
        self.changes.mark(row, FULL[kind])
        return row

    def _put(self, row: Row, values: dict[str, Any]) -> None:
        states = self._states.get(row.kind)
        before = "" if states is None else row["state"]
        mask = row.put(values)
        if not mask:
            return
        if states is not None and row["state"] != before:
            states[before] -= 1
            states[row["state"]] += 1
        self.changes.mark(row, mask)

    def _put_server(self, server: ServerPlace, values: dict[str, Any]) -> None:
        """A server's values; the sums of its node follow at the end of the tick."""
        if server.closed:
            return
        # As `_put`, but in few steps: there are up to 40,000 of them.
        row = server.row
        before = row.values[_STATE_OF_SERVER]
        mask = row.put(values)
        if not mask:
            return
        if mask & STATE["server"]:
            states = self._states["server"]
            states[before] -= 1
            states[row.values[_STATE_OF_SERVER]] += 1
        if mask & self._counted:
            self._moved_nodes[server.node] = None
        self.changes.mark(row, mask)

    def _add_up(self) -> None:
        """The sums of nodes whose servers changed: once, however many of them did."""
        more = 0
        for node in self._moved_nodes:
            row = node.row
            own = [self._counts(server.row.values) for server in node.servers.values()]
            sums = dict(
                zip(node.retired, map(sum, zip(node.retired.values(), *own, strict=True)), strict=True)
            )
            more += sums["running"] - row["running"]
            self.changes.mark(row, row.put(sums))
        self._moved_nodes.clear()
        if more:
            self._put(self.cluster, {"running": self.cluster["running"] + more})

    # What ended.

    def _gone(self, event: Gone) -> None:
        end = {"state": "closed", "why": shortened(event.why)}
        if event.kind == "client":
            row = self.clients.get(event.key)
            if row is not None and row["state"] != "closed":
                self._put(row, {**end, "since": event.time})
                self._closed.append((event.time, "client", event.key))
        elif event.kind == "server":
            server = self.servers.get(event.key)
            if server is not None and not server.closed:
                self._server_gone(server, end, event.time)
        else:
            node = self.nodes.get(event.key)
            if node is not None and not node.closed:
                for server in list(node.servers.values()):
                    if not server.closed:
                        self._server_gone(server, end, event.time)
                node.closed = True
                self._put(node.row, {**end, "closed": event.time})
                self._closed.append((event.time, "node", event.key))

    def _server_gone(self, server: ServerPlace, end: dict[str, Any], time: float) -> None:
        none = {name: self._zeros[name] for name in ("running", "waiting")}
        self._put_server(server, {**end, "closed": time, **none})
        self.tasks.server_closed(server, time)
        server.closed = True
        self._put(server.node.row, {"servers": server.node.row["servers"] - 1})
        self._closed.append((time, "server", server.row.key))

    def _forget_first(self) -> None:
        _, kind, key = self._closed.popleft()
        self._forget(kind, key)

    def _forget(self, kind: str, key: Hashable) -> None:
        if kind == "server":
            server = self.servers.pop(key, None)
            if server is not None:
                del server.node.servers[server.row.id]
                for name in server.node.retired:
                    server.node.retired[name] += server.row[name]
                self.tasks.server_forgotten(server)
                self._forget_row(server.row)
        elif kind == "node":
            node = self.nodes.pop(key, None)
            if node is not None:
                for server in list(node.servers.values()):
                    self._forget("server", server.row.key)
                self._forget_row(node.row)
        elif (row := self.clients.pop(key, None)) is not None:
            self._forget_row(row)

    def _forget_row(self, row: Row) -> None:
        del self.rows[row.id]
        if row.kind in self._states:
            self._states[row.kind][row["state"]] -= 1
        self.changes.remove(row.id)

    # Tasks, lines, events.

    def _task_ended(self, event: TaskEnded) -> None:
        self.tasks.over(event)
        if event.end in GOOD:
            return
        self._failures += 1
        if self._failures <= FAILURES_TOLD:
            text = f"{ENDS[event.end]}: {shortened(event.text) or 'no reason was given'}"
            subject = f"{event.name}#{event.number & 0xFFFFFFFF}"
            about = Happened("error", "task", subject, text, event.time, ("task", event.number))
            self._happened(about)

    def _lines(self, event: Lines) -> None:
        server = self.servers.get(event.server)
        if server is None:
            return
        seq = self.seq + 1
        if event.left_out:
            lines = many(event.left_out, "line was", "lines were")
            server.log.add(seq, event.time, f"[{lines} left out: too many in a second]")
        for line in event.lines:
            server.log.add(seq, event.time, line)
        self.changes.touch()

    def _happened(self, event: Happened) -> None:
        self._numbers["event"] += 1
        row = Row(f"{LETTERS['event']}{self._numbers['event']}", "event", self._numbers["event"])
        row.put(
            {
                "time": event.time,
                "level": event.level,
                "kind": event.kind,
                "subject": event.subject[:255],
                "row": self._row_about(event.about),
                "text": event.text[:4096],
            }
        )
        self.rows[row.id] = row
        self.changes.mark(row, FULL["event"])
        self.events.append(row)
        if len(self.events) > MAX_EVENTS:
            first = self.events.popleft()
            del self.rows[first.id]
            self.changes.remove(first.id)

    def _row_about(self, about: tuple[str, Hashable] | None) -> str | None:
        if about is None:
            return None
        kind, key = about
        if kind == "task":
            return self.tasks.id_of(key) if isinstance(key, int) else None
        place = self.nodes.get(key) if kind == "node" else self.servers.get(key)
        return place.row.id if place is not None else None

    def _over(self, event: Ended) -> None:
        self.ended = event
        self._put(self.cluster, {"state": "closed", "closed": event.time, "why": ""})
        self._happened(Happened("info", "client", self.cluster["name"], event.reason, event.time))

    # Figures.

    def _sample(self, event: Sample) -> None:
        """A sample of each node and of all (MO-13)."""
        self._add_up()
        cpus: list[float] = []
        memory = 0.0
        for node in self.nodes.values():
            if node.closed:
                continue
            cpu, held, running, done = _sampled(node.row.values)
            if node.history is None:
                node.history = Ring(HOUR)
                node.done_before.append(done)
            before = node.done_before
            steps = min(len(before), max(1, round(self._rate_over() / STEP)))
            rate = max(0, done - before[-steps]) / (steps * STEP)
            before.append(done)
            node.history.add((cpu, held, running, rate))
            if cpu is not None:
                cpus.append(cpu)
            memory += held or 0
        mean = sum(cpus) / len(cpus) if cpus else None
        self.history.add((mean, memory or None, self.cluster["running"], self._rate(event.time)))
        self.samples.append(self.seq + 1)
        if self.history.whole_minute:
            self.minutes.append(self.seq + 1)
        self.sampled = event.time
        self.changes.touch()

    def _rate_over(self) -> float:
        """Seconds over which tasks per second are taken: by pulses it is told of two."""
        pulses = 2 * (self.cluster["pulse_interval"] or 0.0) if self._known.by_pulse else 0.0
        return max(RATE_OVER, pulses)

    def _rate(self, now: float) -> float | None:
        """Tasks that ended per second, over the last seconds."""
        rates = self._rates
        done = self.cluster["done"]
        if rates and (done is None or done < rates[-1][1]):
            rates.clear()  # the turn of another client
        if done is None:
            return None
        if not rates or rates[-1][1] != done or now - rates[-1][0] >= 1.0:
            rates.append((now, done))
        while len(rates) > 1 and rates[1][0] <= now - self._rate_over():
            rates.popleft()
        passed = now - rates[0][0]
        return round((done - rates[0][1]) / max(passed, 1.0), 1) if passed > 0 else 0.0

    def _group(self) -> None:
        """The counts of states in the row of the cluster, and of tasks that wait."""
        values = dict.fromkeys(
            (
                "nodes_initialized",
                "nodes_suspended",
                "nodes_zombie",
                "nodes_other",
                "servers_busy",
                "servers_idle",
                "servers_other",
            ),
            0,
        )
        for kind, groups in (("node", NODE_GROUPS), ("server", SERVER_GROUPS)):
            for state, count in self._states[kind].items():
                group = groups.get(state, f"{kind}s_other")
                if group and count:
                    values[group] += count
        self._put(self.cluster, values)
        submitted, done, running = (self.cluster[name] for name in ("submitted", "done", "running"))
        known = submitted is not None and done is not None
        self._put(self.cluster, {"waiting": max(0, submitted - done - running) if known else None})

    # Invariants.

    def check(self) -> None:
        """Assert every invariant."""
        states = {"node": Counter[str](), "server": Counter[str]()}
        for row_id, row in self.rows.items():
            assert row.id == row_id
            assert row.seq <= self.seq + 1
            if row.kind in states:
                states[row.kind][row["state"]] += 1
        for kind, counted in states.items():
            known = Counter({state: count for state, count in self._states[kind].items() if count})
            assert counted == known, f"states of {kind}s miscounted: {known}, not {counted}"
        for node in self.nodes.values():
            if node in self._moved_nodes:
                continue
            for name in node.retired:
                total = node.retired[name] + sum(server.row[name] for server in node.servers.values())
                assert node.row[name] == total, f"{node.row.id} shows {node.row[name]} {name}, not {total}"
            living = sum(not server.closed for server in node.servers.values())
            assert node.row["servers"] == living
        running = sum(node.row["running"] for node in self.nodes.values())
        assert self._moved_nodes or self.cluster["running"] == running, (
            f"running is {self.cluster['running']}, not {running}"
        )
        assert len(self.servers) == sum(len(node.servers) for node in self.nodes.values())
        assert len(self.events) <= MAX_EVENTS
        self.tasks.check()
