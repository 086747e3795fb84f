"""The rows that browsers see: their kinds, their fields, and one row.

This is the one place where a field is named; docs/monitor-wire.md lists the same tables, and a test
compares the two. A field that nobody knows is None, and `notes` of its row says why (MO-14).

Pure. Layer 2. Rows MO-08 to MO-10, MO-14.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a kind of row."""

    name: str
    type: str  # text, count, number, bytes, percent, seconds, time, flag, id, stack, notes
    text: str  # what it means
    overview: bool = False  # True: the topic `cluster` has it too


CLUSTER = (
    Field("name", "text", "the program's name", True),
    Field("state", "text", "not scheduled, queued, scheduled, closing, closed", True),
    Field("why", "text", "the first cause of MO-24 that holds now, '' if none", True),
    Field("started", "time", "when the monitor was started", True),
    Field("scheduled", "time", "when the client's turn began", True),
    Field("closed", "time", "when it ended", True),
    Field("client", "text", "the client in possession of the cluster", True),
    Field("waiting_clients", "count", "clients that wait for their turn", True),
    Field("nodes_initialized", "count", "nodes that may run tasks", True),
    Field("nodes_suspended", "count", "suspended by somebody or by their hours", True),
    Field("nodes_zombie", "count", "silent", True),
    Field("nodes_other", "count", "discovered, preparing, restarting, failed, closing", True),
    Field("servers_busy", "count", "with a running task", True),
    Field("servers_idle", "count", "ready, without one", True),
    Field("servers_other", "count", "any other state but closed", True),
    Field("submitted", "count", "tasks that were submitted, by the client that has the cluster", True),
    Field("done", "count", "of these, ended in whatever way", True),
    Field("failed", "count", "of these: raised, lost, timed out, or never begun", True),
    Field("running", "count", "tasks that run now", True),
    Field("waiting", "count", "tasks that were submitted and do not run", True),
    Field(
        "rate",
        "number",
        "tasks that ended per second, over the last 5 s; at a scheduler over two pulses, if longer",
        True,
    ),
    Field("pulse_interval", "seconds", "between pulses of the nodes", True),
    Field("show_args", "flag", "the program lets arguments be shown", True),
    Field("browsers", "count", "that watch now", True),
    Field("collapsed", "count", "changes of tasks that were too many to be shown one by one", True),
    Field(
        "elsewhere", "text", "of a shared scheduler: where tasks are shown, for it sees none; '' here", True
    ),
    Field("one_in", "count", "tasks are shown one in so many now, because there are too many; 1: each", True),
    Field("notes", "notes", "why fields are unknown: {field: reason}", True),
)

CLIENT = (
    Field("name", "text", "as queue listings show it", True),
    Field("location", "text", "where its program listens", True),
    Field("pid", "count", "its process there", True),
    Field("state", "text", "queued, scheduled, closing, closed", True),
    Field("place", "count", "in the queue, from 1; 0 has the cluster", True),
    Field("since", "time", "when it entered this state", True),
    Field("why", "text", "what it waits for", True),
    Field("nodes", "count", "nodes that it has", True),
    Field("servers", "count", "servers that run for it", True),
    Field("monitor", "text", "address of its own monitor, which shows its tasks; '' it has none", True),
    Field("submitted", "count", "its tasks so far", True),
    Field("done", "count", "of these, ended", True),
    Field("running", "count", "of these, running now", True),
    Field("notes", "notes", "why fields are unknown: {field: reason}", True),
)

NODE = (
    Field("address", "text", "numeric IP address", True),
    Field("port", "count", "TCP port of the node's own process", True),
    Field("name", "text", "the machine's name", True),
    Field(
        "state",
        "text",
        "discovered, preparing, initialized, suspended, zombie, restarting, failed, closing, closed",
        True,
    ),
    Field("why", "text", "why it is in this state", True),
    Field("servers", "count", "live ones", True),
    Field("cpu", "percent", "CPU available", True),
    Field("memory", "bytes", "memory available", True),
    Field("swap", "bytes", "swap available", True),
    Field("disk", "bytes", "free on the partition of its files", True),
    Field("submitted", "count", "tasks given to its servers", True),
    Field("done", "count", "of these, ended in whatever way", True),
    Field("failed", "count", "of these: raised, lost or timed out", True),
    Field("running", "count", "running there now", True),
    Field("waiting", "count", "handed over, and not begun", True),
    Field("pulse", "time", "when it was last heard", True),
    Field("cpus", "count", "servers that it may start"),
    Field("granted", "count", "servers granted to this client"),
    Field("platform", "text", "platform.platform() there"),
    Field("python", "text", "version of Python there"),
    Field("release", "text", "version of dispycos there"),
    Field("incarnation", "text", "which process it is, in hex; never used again"),
    Field("lease", "count", "number of the grant"),
    Field("lease_end", "time", "when the lease of its servers ends, unless it is renewed"),
    Field("holder", "text", "the client that holds the lease", True),
    Field("since", "time", "when it was granted to the client that holds it"),
    Field("closed", "time", "when it was closed; the row stays 10 minutes"),
    Field("notes", "notes", "why fields are unknown: {field: reason}", True),
)

SERVER = (
    Field("node", "id", "the row of its node", True),
    Field("location", "text", "address and port", True),
    Field(
        "state",
        "text",
        "discovered, setting up, idle, busy, suspended, zombie, failed, closing, closed",
        True,
    ),
    Field("running", "count", "running there now", True),
    Field("index", "count", "its place on the node, from 1"),
    Field("why", "text", "why it is in this state"),
    Field("submitted", "count", "tasks given to it"),
    Field("done", "count", "of these, ended in whatever way"),
    Field("failed", "count", "of these: raised, lost or timed out"),
    Field("waiting", "count", "handed over, and not begun"),
    Field("cpu", "percent", "CPU that its process uses"),
    Field("memory", "bytes", "resident memory of its process"),
    Field("pulse", "time", "when its node last told of it"),
    Field("unresponsive", "seconds", "for how long a task there has not yielded; 0: it does"),
    Field("credits", "count", "tasks that may be at it at a time"),
    Field("mean", "seconds", "that a task took there lately"),
    Field("pid", "count", "its process on the node"),
    Field("incarnation", "text", "which process it is, in hex; never used again"),
    Field("since", "time", "when it was announced"),
    Field("closed", "time", "when it was closed; the row stays 10 minutes"),
    Field("notes", "notes", "why fields are unknown: {field: reason}"),
)

TASK = (
    Field("name", "text", "of the function"),
    Field(
        "state",
        "text",
        "waiting, sent, running, paused, finished, failed, cancelled, timed out, rejected, lost, abandoned",
    ),
    Field("attempt", "count", "from 1; 0 before the first"),
    Field("attempts", "count", "that are allowed"),
    Field("server", "id", "the row of the server that has it, or had it last"),
    Field("kind", "text", "CPU or I/O"),
    Field("submitted", "time", "when it was submitted"),
    Field("begun", "time", "when the present or last attempt began"),
    Field("ended", "time", "when it ended"),
    Field("reason", "text", "how it ended or why it waits, shortened to 300 characters"),
    Field("args", "text", "its arguments as text"),
    Field("where", "stack", "where it stands: [[file, line, function], ...], innermost last"),
    Field("notes", "notes", "why fields are unknown: {field: reason}"),
)

EVENT = (
    Field("time", "time", "when it happened"),
    Field("level", "text", "info, warning, error"),
    Field("kind", "text", "client, node, server, task, action, note"),
    Field("subject", "text", "whom it is about, as people name it"),
    Field("row", "id", "the row it is about, if that is known"),
    Field("text", "text", "what happened"),
)

# The first letter of an id tells its kind; the row of the cluster itself is `cluster`.
KINDS: dict[str, tuple[Field, ...]] = {
    "cluster": CLUSTER,
    "client": CLIENT,
    "node": NODE,
    "server": SERVER,
    "task": TASK,
    "event": EVENT,
}
LETTERS = {"client": "c", "node": "n", "server": "s", "task": "t", "event": "e"}
OF_LETTER = {letter: kind for kind, letter in LETTERS.items()}

NAMES: dict[str, tuple[str, ...]] = {
    kind: tuple(field.name for field in fields) for kind, fields in KINDS.items()
}
INDEX: dict[str, dict[str, int]] = {
    kind: {name: at for at, name in enumerate(names)} for kind, names in NAMES.items()
}
FULL: dict[str, int] = {kind: (1 << len(names)) - 1 for kind, names in NAMES.items()}
OVERVIEW: dict[str, int] = {
    kind: sum(1 << at for at, field in enumerate(fields) if field.overview) for kind, fields in KINDS.items()
}
# The field `state` of each kind, as the bit of a mask; 0: it has none.
STATE: dict[str, int] = {
    kind: 1 << names.index("state") if "state" in names else 0 for kind, names in NAMES.items()
}


class Row:
    """One row: its values in the order of its kind's fields, and when it last changed."""

    __slots__ = ("id", "key", "kind", "seq", "state_seq", "values")

    def __init__(self, id: str, kind: str, key: Any) -> None:
        self.id = id
        self.kind = kind
        self.key = key  # who it is: an incarnation, a task's number
        self.values: list[Any] = [None] * len(NAMES[kind])
        self.seq = 0  # number of the model at its last change
        self.state_seq = 0  # ... and at the last change of `state`

    def __getitem__(self, name: str) -> Any:
        return self.values[INDEX[self.kind][name]]

    def put(self, values: dict[str, Any]) -> int:
        """Take new values; answers which differ, as a bit for each field."""
        mask = 0
        index, own = INDEX[self.kind], self.values
        for name, value in values.items():
            at = index[name]
            if own[at] != value:
                own[at] = value
                mask |= 1 << at
        return mask

    def all(self) -> dict[str, Any]:
        return dict(zip(NAMES[self.kind], self.values, strict=True))
