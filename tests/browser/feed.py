"""A cluster that exists only as events: for the page, its tests and the monitor's figures.

    python -m tests.browser.feed --nodes 20 --servers 8 --rate 200 --failures 0.02

It drives the real monitor, on a real port, and prints the link. Nodes get tasks, fail, fall silent
and come back; actions that are asked for in the page are carried out. Ctrl-C ends it in order, so
that the page's last state can be seen; Ctrl-C twice ends it at once.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import signal
import threading
import time
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

from dispycos.httpd import running
from dispycos.httpd.events import (
    Changed,
    Gone,
    Happened,
    Lines,
    Living,
    LivingTask,
    Sights,
    TaskEnded,
    TaskPlaced,
    TaskSubmitted,
)
from dispycos.httpd.feed import Feed
from dispycos.httpd.known import EVERYTHING
from dispycos.httpd.metrics import Tally
from dispycos.httpd.source import Look, Result
from dispycos.kernel.operation import Operation
from dispycos.model import CLIENT_MADE, End

FUNCTIONS = ("compute", "resize", "fetch_page", "simulate", "<img src=x onerror=alert(1)>", "تحليل")
TRACE = 'Traceback (most recent call last):\n  File "work.py", line {line}, in {name}\n    step()\n'
TRACE += "ValueError: no such {what}"


@dataclass
class FakeServer:
    """One server and its tasks."""

    key: bytes
    index: int
    node: FakeNode
    state: str = "idle"
    tasks: dict[int, FakeTask] = field(default_factory=dict)
    done: int = 0
    failed: int = 0
    printed: int = 0
    told: dict[str, Any] = field(default_factory=dict)

    @property
    def location(self) -> str:
        return f"{self.node.address}:{9707 + self.index}"


@dataclass
class FakeNode:
    """One node."""

    key: bytes
    number: int
    address: str
    state: str = "initialized"
    servers: list[FakeServer] = field(default_factory=list)
    cpu: float = 50.0
    pulse: float = 0.0
    silent_until: float = 0.0


@dataclass
class FakeTask:
    """One task."""

    number: int
    name: str
    io: bool
    args: str
    submitted: float
    seconds: float
    server: FakeServer | None = None
    placed: float = 0.0
    ends: float = 0.0


class SyntheticSource:
    """Tells a monitor of a cluster that is made up; see `httpd.source.Source`.

    rate      tasks per second.
    failures  share of tasks that fail.
    """

    known = EVERYTHING

    def __init__(
        self, nodes: int, servers: int, rate: float, failures: float = 0.01, seed: int = 1, churn: bool = True
    ) -> None:
        self.name = "rehearsal.py"
        self.show_args = True
        self._random = random.Random(seed)
        self._rate = rate
        self._failures = failures
        self._churn = churn
        self._lock = threading.RLock()
        self._feed: Feed | None = None
        self._numbers = CLIENT_MADE
        self._submitted = self._done = self._failed = 0
        self._live: dict[int, FakeTask] = {}
        self._waiting: deque[FakeTask] = deque()
        self._owed = 0.0
        self._last = time.monotonic()
        self._next_pulse = 0.0
        self._round = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="synthetic cluster", daemon=True)
        self._look = Look()
        self._asked: deque[tuple[Look, Operation]] = deque()  # figures that the monitor waits for
        self._tally = Tally()
        self.nodes = [self._node(number, servers) for number in range(nodes)]
        self._servers = {server.key: server for node in self.nodes for server in node.servers}

    def _node(self, number: int, servers: int) -> FakeNode:
        address = f"10.{number >> 8 & 255}.{number & 255}.{1 + number % 250}"
        node = FakeNode(self._key(f"node {number}"), number, address, cpu=self._random.uniform(5, 95))
        node.servers = [FakeServer(self._key(f"server {number} {i}"), i, node) for i in range(1, servers + 1)]
        return node

    def _key(self, text: str) -> bytes:
        return hashlib.sha256(f"{text} {self._random.random()}".encode()).digest()[:16]

    # As the monitor's source.

    def watch(self, feed: Feed) -> None:
        self._feed = feed
        now = time.time()
        with self._lock:
            values = {
                "state": "scheduled",
                "scheduled": now,
                "client": "rehearsal.py",
                "waiting_clients": 2,
                "pulse_interval": 10.0,
            }
            self._put(Changed("cluster", None, values))
            for place, name in enumerate(("rehearsal.py", "nightly.py", "report.py")):
                client = {
                    "name": name,
                    "location": f"10.9.9.{place + 1}:9706",
                    "state": "queued" if place else "scheduled",
                    "place": place,
                    "since": now - 60 * place,
                    "why": "rehearsal.py has the cluster" if place else "",
                }
                self._put(Changed("client", name, client))
            for node in self.nodes:
                self._tell_node(node, now, new=True)
                for index, server in enumerate(node.servers):
                    self._tell_server(server, now, new=True, index=index + 1)
        self._thread.start()

    def refresh(self, look: Look) -> Operation:
        done = Operation()
        if self._stop.is_set():
            done.complete(None)
        else:
            # Told on our own thread, as a real program would on its own.
            self._asked.append((look, done))
        return done

    def _tell(self, look: Look, done: Operation) -> None:
        with self._lock:
            self._look = look
            now = time.time()
            for node in self.nodes:
                for server in node.servers:
                    self._tell_server(server, now)
            totals = {"submitted": self._submitted, "done": self._done, "failed": self._failed}
            self._put(Changed("cluster", None, totals))
            if look.survey:
                self._put(Living([self._living(task) for task in self._live.values()], now))
            for key in look.servers:
                self._tell_sights(self._servers[bytes(key)], now)  # type: ignore[call-overload]
        done.complete(None)

    def act(self, action: str, key: Hashable, role: str) -> Operation:
        done = Operation()
        with self._lock:
            done.complete(self._act(action, key))
        return done

    def set_show_args(self, show: bool) -> None:
        self.show_args = show

    def surroundings(self) -> dict[str, Any]:
        figures = {
            "tally": self._tally,
            "bytes": {"in": 1000 * self._done, "out": 700 * self._submitted},
            "sessions": {"responsive": len(self.nodes)},
        }
        return {"figures": figures, "client": {"name": self.name}, "configuration": {"pulse_interval": 10.0}}

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(5)

    # What happens in it.

    def _run(self) -> None:
        while not self._stop.wait(0.02):
            with self._lock:
                self.step(time.time())
            while self._asked:
                self._tell(*self._asked.popleft())
        while self._asked:
            self._asked.popleft()[1].complete(None)

    def step(self, now: float) -> None:
        """Let the time since the last call pass."""
        clock = time.monotonic()
        self._owed += (clock - self._last) * self._rate
        self._last = clock
        while self._owed >= 1:
            self._owed -= 1
            self._submit(now)
        for task in [task for task in self._live.values() if task.server is not None and task.ends <= now]:
            self._end(task, now)
        self._place(now)
        if now >= self._next_pulse:
            # Of many nodes a fifth each time, so that each pulses every 10 s as it says.
            self._next_pulse = now + 2.0
            self._pulse(now)

    def _submit(self, now: float) -> None:
        self._numbers += 1
        self._submitted += 1
        capacity = max(1, sum(len(node.servers) for node in self.nodes))
        seconds = self._random.expovariate(1 / (0.7 * capacity / max(self._rate, 0.1)))
        number = self._numbers & 0xFFFF
        name = FUNCTIONS[self._random.randrange(len(FUNCTIONS))]
        task = FakeTask(self._numbers, name, number % 17 == 0, f"({number}, 'part {number}')", now, seconds)
        self._live[task.number] = task
        self._waiting.append(task)
        if self._look.tasks:
            self._put(
                TaskSubmitted(task.number, name, task.io, 1, now, self._args(task), self._why_no_args())
            )

    def submit(self, name: str, *, args: str = "()", io: bool = False, seconds: float = 1e6) -> int:
        """Submit one task now; its short number, as in `name#12`."""
        with self._lock:
            now = time.time()
            self._numbers += 1
            self._submitted += 1
            task = FakeTask(self._numbers, name, io, args, now, seconds)
            self._live[task.number] = task
            self._waiting.append(task)
            if self._look.tasks:
                put = TaskSubmitted(task.number, name, io, 1, now, self._args(task), self._why_no_args())
                self._put(put)
            return task.number & 0xFFFFFFFF

    def fail(self, short: int, text: str) -> None:
        """Have a task end with that traceback or reason."""
        with self._lock:
            task = next(task for task in self._live.values() if task.number & 0xFFFFFFFF == short)
            self._end(task, time.time(), End.FAILED, text)

    def finish(self, short: int) -> None:
        """Have a task end as it should."""
        with self._lock:
            task = next(task for task in self._live.values() if task.number & 0xFFFFFFFF == short)
            self._end(task, time.time(), End.FINISHED)

    def tell_sampled(self, one_in: int) -> None:
        """Say that tasks are shown one in so many."""
        with self._lock:
            self._put(Changed("cluster", None, {"one_in": one_in}))

    def lend(self, elsewhere: str, monitor: str) -> None:
        """Be a shared scheduler: tasks are seen elsewhere."""
        with self._lock:
            self._put(Changed("cluster", None, {"elsewhere": elsewhere}))
            self._put(Changed("client", "rehearsal.py", {"monitor": monitor, "pid": 12, "servers": 4}))

    def print_line(self, server: FakeServer, text: str) -> None:
        """Have a server print a line."""
        self._put(Lines(server.key, [text], 0, time.time()))

    def rename(self, node: FakeNode, name: str) -> None:
        """Have a node be called otherwise."""
        self._put(Changed("node", node.key, {"name": name}))

    def _args(self, task: FakeTask) -> str | None:
        return task.args if self.show_args else None

    def _why_no_args(self) -> str:
        return "" if self.show_args else "the program does not show arguments"

    def _place(self, now: float) -> None:
        while self._waiting:
            free = self._free()
            if free is None:
                return
            task = self._waiting.popleft()
            if task.number not in self._live:
                continue
            task.server, task.placed, task.ends = free, now, now + task.seconds
            free.tasks[task.number] = task
            if self._look.tasks:
                args = self._args(task)
                why = self._why_no_args()
                self._put(
                    TaskPlaced(
                        task.number, task.name, task.io, 1, free.key, 1, task.submitted, now, args, why
                    )
                )

    def _free(self) -> FakeServer | None:
        for _ in range(20):
            node = self._random.choice(self.nodes)
            if node.state == "initialized":
                server = self._random.choice(node.servers)
                if server.state in ("idle", "busy") and len(server.tasks) < 2:
                    return server
        return None

    def _end(self, task: FakeTask, now: float, end: End | None = None, text: str = "") -> None:
        server = task.server
        if end is None:
            failed = self._random.random() < self._failures
            end = End.FAILED if failed else End.FINISHED
            if failed:
                text = TRACE.format(
                    line=task.number % 90, name=task.name, what=self._random.choice(("file", "row"))
                )
        del self._live[task.number]
        self._done += 1
        self._failed += end is not End.FINISHED and end is not End.CANCELLED
        self._tally.ended(task.name, end, now - task.placed)
        key = None
        if server is not None:
            server.tasks.pop(task.number, None)
            server.done += 1
            server.failed += end is End.FAILED
            key = server.key
        if self._look.tasks or end is not End.FINISHED:
            since = task.placed or task.submitted
            self._put(
                TaskEnded(task.number, task.name, task.io, 1, end, text, key, task.submitted, since, now)
            )

    def _pulse(self, now: float) -> None:
        self._round = (self._round + 1) % 5
        for node in self.nodes[self._round :: 5] if len(self.nodes) > 100 else self.nodes:
            if node.state == "zombie" and now >= node.silent_until:
                self._move(node, "initialized", "heard again", now)
            if node.state in ("initialized", "suspended"):
                node.pulse = now
                node.cpu = min(100.0, max(0.0, node.cpu + self._random.uniform(-9, 9)))
            if self._churn and node.state == "initialized" and self._random.random() < 0.002:
                node.silent_until = now + self._random.uniform(10, 30)
                self._move(node, "zombie", "no word for 50 s", now)
            self._tell_node(node, now)

    def _move(self, node: FakeNode, state: str, why: str, now: float) -> None:
        node.state = state
        level = "warning" if state in ("zombie", "closed") else "info"
        about = ("node", node.key)
        self._put(Happened(level, "node", f"node{node.number}", f"{state}: {why}", now, about))
        self._tell_node(node, now, why=why)

    # What is told.

    def _put(self, event: Any) -> None:
        if self._feed is not None:
            self._feed.put(event)

    def _tell_node(self, node: FakeNode, now: float, new: bool = False, why: str | None = None) -> None:
        if node.state == "closed":
            return
        psutil = node.number % 50 != 49
        values: dict[str, Any] = {
            "state": node.state,
            "cpu": round(node.cpu, 1) if psutil else None,
            "memory": int(node.cpu * 1e8) if psutil else None,
            "swap": 4 << 30 if psutil else None,
            "disk": (200 << 30) + node.number if psutil else None,
            "pulse": node.pulse or None,
        }
        if why is not None:
            values["why"] = why
        if not psutil:
            missing = dict.fromkeys(("cpu", "memory", "swap", "disk"), "psutil not installed on this node")
            values["notes"] = missing
        if new:
            values |= {
                "address": node.address,
                "port": 9706,
                "name": f"node{node.number}",
                "why": "",
                "cpus": len(node.servers),
                "granted": len(node.servers),
                "platform": "Linux-6.12.0-amd64-x86_64-with-glibc2.41",
                "python": "3.13.5",
                "release": "0.1.0" if node.number % 20 else "0.0.9",
                "incarnation": node.key.hex(),
                "lease": node.number + 1,
                "lease_end": now + 250,
                "holder": self.name,
                "since": now,
            }
        self._put(Changed("node", node.key, values))

    def _tell_server(self, server: FakeServer, now: float, new: bool = False, index: int = 0) -> None:
        if server.state == "closed" or server.node.state == "closed":
            return
        running = min(1, sum(not task.io for task in server.tasks.values())) + sum(
            task.io for task in server.tasks.values()
        )
        if server.state in ("idle", "busy"):
            server.state = "busy" if running else "idle"
        state = server.state
        if server.node.state in ("suspended", "zombie"):
            state = server.node.state
        values: dict[str, Any] = {
            "state": state,
            "submitted": server.done + len(server.tasks),
            "done": server.done,
            "failed": server.failed,
            "running": running,
            "waiting": len(server.tasks) - running,
        }
        if new:
            values |= {
                "location": server.location,
                "index": index,
                "why": "",
                "credits": 2,
                "mean": 0.5,
                "unresponsive": 0.0,
                "pid": 1000 + server.node.number * 10 + index,
                "incarnation": server.key.hex(),
                "since": now,
                "pulse": server.node.pulse or None,
                "notes": dict.fromkeys(("cpu", "memory"), "psutil not installed on this node"),
            }
        if values != server.told:
            server.told = values
            self._put(Changed("server", server.key, values, server.node.key))

    def _living(self, task: FakeTask) -> LivingTask:
        server = task.server.key if task.server is not None else None
        state = "waiting" if server is None else "sent"
        since = task.placed or task.submitted
        args = self._args(task)
        attempt = 0 if server is None else 1
        return LivingTask(
            task.number,
            task.name,
            task.io,
            state,
            attempt,
            1,
            server,
            task.submitted,
            since,
            since,
            args,
            self._why_no_args(),
        )

    def _tell_sights(self, server: FakeServer, now: float) -> None:
        sights = {}
        for task in server.tasks.values():
            line = 10 + int(now - task.placed) % 80
            stack = [("work.py", 5, task.name), ("work.py", line, "step"), ("lib/data.py", 88, "Table.rows")]
            sights[task.number] = (task.placed, stack)
        self._put(Sights(server.key, sights, now))
        server.printed += 1
        lines = [
            f"step {server.printed}: {len(server.tasks)} tasks here",
            "<script>alert('log')</script> \x1b[31mred",
        ]
        self._put(Lines(server.key, lines[: 1 + server.printed % 2], 0, now))

    # What is done to it.

    def _act(self, action: str, key: Hashable) -> Result:
        now = time.time()
        if action == "terminate_tasks":
            task = self._live.get(key) if isinstance(key, int) else None
            if task is None:
                return Result("gone", "it has ended before")
            self._end(task, now, End.CANCELLED, "ended by an operator of the web monitor")
            return Result("done", "it got KeyboardInterrupt")
        verb, _, kind = action.partition("_")
        if kind == "server":
            server = self._servers[bytes(key)]  # type: ignore[call-overload]
            if verb in ("suspend", "resume"):
                server.state = "suspended" if verb == "suspend" else "idle"
                self._tell_server(server, now)
                return Result("done", f"{server.location} is {server.state}")
            self._close_server(server, now)
            return Result("done", f"{server.location} closes")
        node = next(node for node in self.nodes if node.key == key)
        if verb in ("suspend", "resume"):
            self._move(
                node, "suspended" if verb == "suspend" else "initialized", "an operator asked for it", now
            )
            return Result("done", f"node{node.number} is {node.state}")
        for server in node.servers:
            self._close_server(server, now)
        node.state = "closed"
        self._put(Gone("node", node.key, "an operator closed it", now))
        return Result("done", f"node{node.number} closes")

    def _close_server(self, server: FakeServer, now: float) -> None:
        for task in list(server.tasks.values()):
            self._end(task, now, End.CANCELLED, f"{server.location} was closed with terminate=True")
        server.state = "closed"
        self._put(Gone("server", server.key, "an operator closed it", now))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=int, default=20)
    parser.add_argument("--servers", type=int, default=8, help="of each node")
    parser.add_argument("--rate", type=float, default=100.0, help="tasks a second")
    parser.add_argument("--failures", type=float, default=0.02, help="share of tasks that fail")
    parser.add_argument("--port", type=int, default=8181, help="0: a free one")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steady", action="store_true", help="no node falls silent")
    options = parser.parse_args()
    source = SyntheticSource(
        options.nodes, options.servers, options.rate, options.failures, options.seed, not options.steady
    )
    monitor = running.run(source, host=None, port=options.port)
    print(f"operator: {monitor.link}\nviewer:   {monitor.viewer_link}", flush=True)
    stop = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: (stop.set(), signal.signal(signal.SIGINT, signal.SIG_DFL)))
    stop.wait()
    monitor.thread.stop("interrupted", "Ctrl-C", 10.0)


if __name__ == "__main__":
    main()
