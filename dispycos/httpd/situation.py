"""The situation: everything that may explain why nothing runs, as one record.

Made of the view and of what only the program knows (`Source.surroundings`). What is unknown is
empty; nothing is guessed.

Pure. Layer 2. Rows MO-24, MO-25; rule S6.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from dispycos.httpd import lending
from dispycos.httpd.rows import Row
from dispycos.httpd.view import View


@dataclass(frozen=True, slots=True)
class Place:
    """A node or server that takes no tasks just now."""

    name: str
    state: str
    why: str = ""
    since: float | None = None  # when it was heard last, or entered this state
    abandon: bool = False  # of a silent node: it is given up
    lease_end: float | None = None  # of a node: when its lease lapses, unless it is renewed


@dataclass(frozen=True, slots=True)
class Ignored:
    """A node that no rule took, and the first criterion that failed."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Borrower:
    """A client of a shared scheduler."""

    who: str  # name, place, process
    state: str  # queued, scheduled, closing
    place: int = 0  # in the queue; 0: it has the cluster
    since: float | None = None  # when it came, or its turn began
    why: str = ""  # what it waits for
    nodes: int | None = None  # that it has
    servers: int | None = None


@dataclass(frozen=True, slots=True)
class Situation:
    """Times are seconds since the epoch; `now` is when it was taken."""

    now: float
    state: str = "scheduled"  # of the client: see rows.CLUSTER
    scheduled: float | None = None  # when its turn began
    # The client's turn.
    place: int = 0  # in the queue
    queue_reason: str = ""  # what the scheduler says it waits for
    holder: str = ""  # the client that has the cluster, its address, since when, what it does
    scheduler_lost: str = ""  # the scheduler does not answer, and since when
    # Tasks.
    submitted: int = 0
    done: int = 0
    running: int = 0
    waiting: int = 0
    last_begun: float | None = None  # when a task began last; None: never
    blocked_task: str = ""  # a task of the program that does not yield, and its line
    poisonous: tuple[str, ...] = ()  # tasks that killed their servers, with their deaths
    # Nodes.
    announced: tuple[str, ...] = ()  # where beacons were sent
    listening: str = ""  # where this process listens
    unreached: tuple[str, ...] = ()  # peers that were tried, with their last error
    fingerprint: str = ""  # of the key, as `dispycos key fingerprint` prints it
    wrong_key: tuple[str, ...] = ()  # who was refused for another key, and how often
    refused: tuple[str, ...] = ()  # refused for their version, TLS, or an ended lease
    ignored: tuple[Ignored, ...] = ()
    nodes: tuple[Place, ...] = ()  # that are held, whatever their state
    servers: tuple[Place, ...] = ()  # that are neither busy nor idle
    busy: int = 0
    idle: int = 0
    credits_used: int = 0  # tasks handed over and not begun
    longest: str = ""  # the longest running task, where it stands
    longest_since: float | None = None
    mean: float | None = None  # seconds that a task takes
    mean_ended: int = 0  # tasks at whose ends it was learnt ...
    mean_running: int = 0  # ... and tasks that run for longer already: then it is the least it can be
    resources: tuple[str, ...] = ()  # disk full, no descriptor, a fork that failed
    # Of a shared scheduler.
    elsewhere: str = ""  # where tasks are seen; "": here, it is none
    clients: tuple[Borrower, ...] = ()  # in the order of their turns
    holder_unheard: float | None = None  # when the one that has the cluster was last heard; None: it is
    stopping: str = ""  # why it takes no client any more
    journal: str = ""  # why it can't write down who waits

    @property
    def lent_to(self) -> Borrower | None:
        """The client that has the cluster."""
        return next((client for client in self.clients if client.place == 0), None)


def of(view: View, told: Mapping[str, Any], now: float) -> Situation:
    """The situation of a view and of what its program tells.

    told  fields of `Situation` by name under "situation"; they go before what the view knows.
    """
    cluster = view.cluster
    nodes = [node.row for node in view.nodes.values() if not node.closed]
    servers = [server.row for server in view.servers.values() if not server.closed]
    mean, ended, longer = _mean(view, servers, now)
    longest, since = _longest(view)
    found = Situation(
        now,
        state=cluster["state"],
        scheduled=cluster["scheduled"],
        submitted=cluster["submitted"] or 0,
        done=cluster["done"] or 0,
        running=cluster["running"],
        waiting=cluster["waiting"] or 0,
        last_begun=view.moved,
        nodes=tuple(
            Place(
                f"{row['name']} ({row['address']})",
                row["state"],
                row["why"] or "",
                row["pulse"],
                lease_end=row["lease_end"],
            )
            for row in nodes
        ),
        servers=tuple(
            Place(row["location"], row["state"], row["why"] or "", row["pulse"])
            for row in servers
            if row["state"] not in ("busy", "idle")
        ),
        busy=sum(row["state"] == "busy" for row in servers),
        idle=sum(row["state"] == "idle" for row in servers),
        credits_used=sum(row["waiting"] or 0 for row in servers),
        longest=longest,
        longest_since=since,
        mean=mean,
        mean_ended=ended,
        mean_running=longer,
        poisonous=tuple(_poisonous(view)),
        elsewhere=cluster["elsewhere"],
        clients=tuple(_borrowers(view)) if cluster["elsewhere"] else (),
    )
    return replace(found, **told.get("situation", {}))


def _borrowers(view: View) -> Iterable[Borrower]:
    """Clients of a shared scheduler, the one that has the cluster first."""
    rows = [row for row in view.clients.values() if row["state"] != "closed"]
    for row in sorted(rows, key=lambda row: int(row["place"])):
        who = lending.who(row["name"], row["location"], row["pid"])
        yield Borrower(
            who, row["state"], row["place"], row["since"], row["why"] or "", row["nodes"], row["servers"]
        )


def _mean(view: View, servers: list[Row], now: float) -> tuple[float | None, int, int]:
    """Seconds that a task takes, from how many that ended, and how many that run for longer already."""
    known = [row for row in servers if row["mean"] is not None]
    if not known:
        return None, 0, 0
    ended = sum(row["done"] or 1 for row in known)
    mean = sum(row["mean"] for row in known) / len(known)
    # One short task may have ended before any of the long ones has: those that run count as well.
    running = [now - row["begun"] for row in _running(view) if row["begun"] is not None]
    longer = [seconds for seconds in running if seconds > mean]
    return (mean * ended + sum(longer)) / (ended + len(longer)), ended, len(longer)


def _running(view: View) -> list[Row]:
    """The CPU tasks that run."""
    return [row for row in view.tasks.living.values() if row["state"] == "running" and row["kind"] == "CPU"]


def _longest(view: View) -> tuple[str, float | None]:
    running = _running(view)
    if not running:
        return "", None
    row = min(running, key=lambda row: row["begun"] or view.now)
    where = row["where"]
    at = f", at {where[-1][0]}:{where[-1][1]} in {where[-1][2]}" if where else ""
    server = view.find(row["server"] or "")
    place = f" on {server['location']}" if server is not None else ""
    return f"{row['name']}#{row.id[1:]}{place}{at}", row["begun"]


def _poisonous(view: View) -> Iterable[str]:
    for row in view.tasks.ended:
        text = view.tasks.reason(row.key) or ""
        if row["state"] == "failed" and "max_worker_deaths=" in text:
            yield text
