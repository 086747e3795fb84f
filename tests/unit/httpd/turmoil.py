"""A cluster in turmoil: random events for a view, from a seed, that could all really happen."""

from __future__ import annotations

import random
from typing import Any

from dispycos.httpd.events import (
    Changed,
    Gone,
    Happened,
    Lines,
    Living,
    LivingTask,
    Sample,
    Sights,
    TaskEnded,
    TaskPlaced,
    TaskSubmitted,
)
from dispycos.httpd.view import View
from dispycos.model import End

STATES = ("initialized", "suspended", "zombie", "preparing", "failed")


class Turmoil:
    """Feeds a view; what it misses on purpose, a survey makes good."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = 1000.0
        self.view = View("turmoil", self.now)
        self.nodes: dict[str, set[str]] = {}
        self.tasks: dict[int, str | None] = {}
        self.done: dict[str, int] = {}
        self.count = 0

    def step(self) -> None:
        """Let one thing happen."""
        self.now += self.random.expovariate(2.0)
        action = self.random.choices(
            (
                self._node,
                self._server,
                self._figures,
                self._submit,
                self._place,
                self._end,
                self._gone,
                self._survey,
                self._other,
            ),
            (1, 2, 4, 6, 8, 6, 0.4, 0.5, 2),
        )[0]
        action()

    def tell(self, event: Any) -> None:
        self.view.handle(event, self.now)

    def _new(self) -> int:
        self.count += 1
        return self.count

    def _any_server(self) -> str | None:
        servers = [server for servers in self.nodes.values() for server in servers]
        return self.random.choice(servers) if servers else None

    def _node(self) -> None:
        if self.nodes and self.random.random() < 0.7:
            key = self.random.choice(list(self.nodes))
        else:
            key = f"node{self._new()}"
            self.nodes[key] = set()
        values = {"address": "10.0.0.1", "name": key, "state": self.random.choice(STATES), "pulse": self.now}
        self.tell(Changed("node", key, values))

    def _server(self) -> None:
        if not self.nodes:
            return
        node = self.random.choice(list(self.nodes))
        key = f"server{self._new()}"
        self.nodes[node].add(key)
        self.tell(Changed("server", key, {"location": key, "state": "idle"}, node))

    def _figures(self) -> None:
        key = self._any_server()
        if key is None:
            return
        done = self.done[key] = self.done.get(key, 0) + self.random.randrange(3)
        running = sum(server == key for server in self.tasks.values())
        values = {
            "state": "busy" if running else "idle",
            "done": done,
            "running": min(1, running),
            "waiting": max(0, running - 1),
            "submitted": done + running,
        }
        self.tell(Changed("server", key, values))

    def _submit(self) -> None:
        number = self._new()
        self.tasks[number] = None
        if self.random.random() < 0.9:
            args = "(1,)" if number % 2 else None
            self.tell(TaskSubmitted(number, "work", number % 5 == 0, 1, self.now, args))

    def _place(self) -> None:
        server = self._any_server()
        if server is None or not self.tasks:
            return
        number = self.random.choice(list(self.tasks))
        self.tasks[number] = server
        if self.random.random() < 0.9:
            self.tell(TaskPlaced(number, "work", number % 5 == 0, 1, server, 1, self.now, self.now))

    def _end(self) -> None:
        if not self.tasks:
            return
        number = self.random.choice(list(self.tasks))
        server = self.tasks.pop(number)
        if self.random.random() < 0.9:
            end = self.random.choice(list(End))
            text = "" if end is End.FINISHED else f"it was {end.name}"
            before = self.now - 1
            io = number % 5 == 0
            event = TaskEnded(number, "work", io, 1, end, text, server, before, before, self.now)
            self.tell(event)

    def _gone(self) -> None:
        if not self.nodes:
            return
        node = self.random.choice(list(self.nodes))
        if self.nodes[node] and self.random.random() < 0.6:
            key = self.random.choice(sorted(self.nodes[node]))
            self.nodes[node].discard(key)
            self.tell(Gone("server", key, "it ended", self.now))
            lost = {key}
        else:
            lost = self.nodes.pop(node)
            self.tell(Gone("node", node, "it ended", self.now))
        for number, server in self.tasks.items():
            if server in lost:
                self.tasks[number] = None
        if self.random.random() < 0.1:
            self.now += 700  # rows of closed ones are forgotten

    def _survey(self) -> None:
        tasks = [
            LivingTask(
                number,
                "work",
                number % 5 == 0,
                "sent" if server else "waiting",
                1,
                1,
                server,
                number,
                number,
                number,
                None,
            )
            for number, server in self.tasks.items()
        ]
        self.tell(Living(tasks, self.now))

    def _other(self) -> None:
        server = self._any_server()
        kind = self.random.randrange(4)
        if kind == 0:
            self.tell(Sample(self.now))
        elif kind == 1:
            self.tell(Happened("info", "note", "somebody", "something", self.now))
        elif server is not None and kind == 2:
            self.tell(Lines(server, ["a line", "another"], self.random.randrange(2), self.now))
        elif server is not None:
            sights = {
                number: (self.now - 1, [("work.py", 3, "work")])
                for number, where in self.tasks.items()
                if where == server
            }
            self.tell(Sights(server, sights, self.now))
