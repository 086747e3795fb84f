"""Where tasks go: which server takes one now, in which line the others wait, what is handed over.

A part of `client.dispatch`; it ends no task. Least loaded node first, ties in order (D2); a task
that could run and a credit for it never coexist after an event (R-69). Tasks sent ahead of a
busy server are recalled when another idles (D1, R-44).

Pure. Layer 2.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

from dispycos.client.credits import LeastFirst, Mode, Node, Server
from dispycos.client.lines import Line, ahead
from dispycos.client.submission import Cause, Drained, Placed, Stage, Submission
from dispycos.config import Limits
from dispycos.events import Say
from dispycos.messages import Define, Recall, Submit
from dispycos.model import CodeHash, Incarnation, Payload, TaskSpec

MAX_RECALL_CANDIDATES = 64  # busy servers looked at when one idles
MAX_FUNCTIONS = 4096  # definitions kept; beyond it, those that no living task names are forgotten

_PLACED, _SENT = Stage.PLACED, Stage.SENT
_PLACE, _SEND, _GIVE_BACK = Cause.PLACE, Cause.SEND, Cause.GIVE_BACK


class Placement:
    """The servers of one client, their nodes, and the lines before them."""

    __slots__ = (
        "_code",
        "_dirty",
        "_limits",
        "_only",
        "_open",
        "_order",
        "full",
        "hopeless",
        "idle",
        "io_line",
        "line",
        "loaded",
        "look_at",
        "nodes",
        "servers",
    )

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._order = 0
        self.full = False  # a server's batch is full: flush
        self.hopeless = ""  # why no server will come; "": one may
        self.servers: dict[Incarnation, Server] = {}  # as many as the scheduler grants
        self.nodes: dict[Incarnation, Node] = {}
        self.line = Line()  # tasks for any server
        self.io_line = Line()
        self.idle: dict[Server, None] = {}  # usable servers that have no CPU task
        self.loaded: dict[Server, None] = {}  # servers with tasks sent ahead
        self.look_at: float | None = None  # when idle servers look for tasks to recall again
        self._open: LeastFirst[Node] = LeastFirst()
        self._only: Node | None = None  # the one node that has servers, if there is only one
        self._dirty: dict[Server, None] = {}  # servers with an outbox
        self._code: dict[CodeHash, Payload] = {}  # at most about MAX_FUNCTIONS

    # Servers come, change and go.

    def node(self, incarnation: Incarnation) -> Node:
        node = self.nodes.get(incarnation)
        if node is None:
            self._order += 1
            node = self.nodes[incarnation] = Node(incarnation, self._order)
        return node

    def add(self, incarnation: Incarnation, node: Node, lease: int, now: float) -> Server:
        self._order += 1
        server = self.servers[incarnation] = Server(incarnation, node, lease, self._order, now)
        server.cpu_credits = min(server.cpu_credits, self._limits.max_credits)
        if not len(node.servers):
            self._open.add(node)
            self._only = node if len(self._open) == 1 else None
        node.servers.add(server)
        return server

    def remove(self, server: Server) -> None:
        del self.servers[server.incarnation]
        node = server.node
        node.servers.remove(server)
        # What it still has is nobody's load.
        node.load -= len(server.sent)
        if not len(node.servers):
            self._open.remove(node)
            self._only = next(iter(self._open)) if len(self._open) == 1 else None
        for table in (self.idle, self.loaded, self._dirty):
            table.pop(server, None)

    def recount(self, server: Server) -> None:
        """Its tasks, or whether it may be used, changed."""
        if len(server.sent) < 2:
            self.loaded.pop(server, None)
        if server.usable and not server.sent:
            self.idle[server] = None
        else:
            self.idle.pop(server, None)
        if server.free > 0:
            server.node.servers.fell(server)
            self._open.fell(server.node)

    def settle(self, server: Server, now: float, actions: list[Any]) -> None:
        """After anything that changed what a server has or may take."""
        self.fill(server, now, actions)
        self.recount(server)
        if not server.sent:
            if server.mode is Mode.CLOSING:
                server.move("drained")
                actions.append(Drained(server.incarnation))
            elif server.usable:
                self.balance(now, actions)

    # Who takes a task.

    def first(self) -> Server | None:
        """The server that takes the next CPU task, if one does."""
        if self._only is not None:
            # One node needs no comparing: half the cost of a placement.
            return self._only.servers.first()
        least = self._open.first()
        return least.servers.first() if least is not None else None

    def line_of(self, task: Submission) -> Line | None:
        """Where it waits; None: what it is meant for takes nothing any more."""
        if task.where is None:
            return self.io_line if task.io else self.line
        server = self.servers.get(task.where)
        if server is not None:
            if server.closing:
                return None
            return server.io_line if task.io else server.line
        node = self.nodes.get(task.where)
        if node is None:
            return None
        return node.io_line if task.io else node.line

    def candidate(self, task: Submission) -> Server | None:
        """The server that takes this task now, if one does."""
        if task.io:
            return self._io_candidate(task)
        if task.where is None:
            return self.first()
        server = self.servers.get(task.where)
        if server is not None:
            return server if server.free > 0 else None
        return self.nodes[task.where].servers.first()

    def _io_candidate(self, task: Submission) -> Server | None:
        """I/O tasks are no load: the least loaded node, and there who has the fewest of them."""
        found: Iterable[Server]
        if task.where is None:
            found = self.servers.values()
        elif task.where in self.servers:
            found = (self.servers[task.where],)
        else:
            found = self.nodes[task.where].servers
        most = self._limits.max_io_credits
        return min(
            (server for server in found if server.usable and len(server.io) < most),
            key=lambda s: (s.node.load / len(s.node.servers), len(s.io), s.node.order, s.order),
            default=None,
        )

    def place(self, task: Submission, server: Server, now: float, actions: list[Any]) -> None:
        """Give the task to the server; `flush` says so."""
        task.move(_PLACE)
        task.server = server
        task.since = now
        if task.io:
            server.io[task.id] = task
        else:
            sent = server.sent
            sent[task.id] = task
            server.node.load += 1
            count = len(sent)
            if count == 1:
                server.heard_at = now
                self.idle.pop(server, None)
            elif count == 2:
                self.loaded[server] = None
        outbox = server.outbox
        outbox.append(task)
        if len(outbox) == 1:
            self._dirty[server] = None
        elif len(outbox) >= self._limits.batch_tasks:
            self.full = True
        if task.announce:
            actions.append(Placed(task, server.incarnation))

    def fill(self, server: Server, now: float, actions: list[Any]) -> None:
        """Give a server that has credits what waits for it, best first."""
        node = server.node
        line = self.line
        if server.line.count or node.line.count:
            lines = (server.line, node.line, line)
            for _ in range(server.free):
                task = pop_first(lines)
                if task is None:
                    break
                self.place(task, server, now, actions)
        elif line.count:
            for _ in range(min(server.free, line.count)):
                task = line.pop()
                assert task is not None, "a line that counts wrong"
                self.place(task, server, now, actions)
        if (self.io_line.count or node.io_line.count or server.io_line.count) and server.usable:
            while len(server.io) < self._limits.max_io_credits:
                task = pop_first((server.io_line, node.io_line, self.io_line))
                if task is None:
                    break
                self.place(task, server, now, actions)

    def place_waiting(self, node: Node | None, now: float, actions: list[Any]) -> None:
        """Tasks came back to the general lines, and to those of `node`: place what can be."""
        lines = [self.line, self.io_line]
        if node is not None:
            lines += [node.line, node.io_line]
        for line in lines:
            while line.count:
                task = line.first()
                server = self.candidate(task) if task is not None else None
                if server is None:
                    break
                line.pop()
                assert task is not None
                self.place(task, server, now, actions)

    def take(self, task: Submission) -> Server:
        """Take a task from the server that has it; its stage is the caller's to change."""
        server: Server = task.server
        if task.io:
            del server.io[task.id]
        else:
            del server.sent[task.id]
            server.node.load -= 1
        task.server = None
        task.position = 0
        self.recount(server)
        return server

    # What is handed over.

    def define(self, function: CodeHash, code: Payload, live: Iterable[Submission]) -> None:
        """Keep a definition; it goes to each server ahead of its first use there (D5)."""
        self._code[function] = code
        if len(self._code) > MAX_FUNCTIONS:
            used = {task.function for task in live} | {function}
            for other in [key for key in self._code if key not in used][: MAX_FUNCTIONS // 2]:
                del self._code[other]
                # Should it ever be defined again, each server is told anew.
                for server in self.servers.values():
                    server.known.discard(other)

    def forget(self, functions: Iterable[CodeHash], live: Iterable[Submission]) -> None:
        """Keep these no longer, but for those that a living task names."""
        used = {task.function for task in live}
        for function in functions:
            if function not in used and self._code.pop(function, None) is not None:
                for server in self.servers.values():
                    server.known.discard(function)

    def defined(self, function: CodeHash) -> bool:
        return function in self._code

    def flush(self) -> list[Any]:
        """The messages for what was placed since the last call, in order."""
        self.full = False
        actions: list[Any] = []
        if not self._dirty:
            return actions
        batch = self._limits.batch_tasks
        dirty, self._dirty = self._dirty, {}
        for server in dirty:
            outbox, server.outbox = server.outbox, []
            specs: list[TaskSpec] = []
            known = server.known
            for task in outbox:
                # What was cancelled or given back meanwhile still stands in the outbox.
                if task.stage is not _PLACED or task.server is not server or task.args is None:
                    continue
                task.move(_SEND)
                if task.io:
                    server.position_io = task.position = server.position_io + 1
                else:
                    server.position = task.position = server.position + 1
                if task.function not in known:
                    known.add(task.function)
                    code = self._code.get(task.function)
                    if code is not None:  # None: a component, which is there already
                        actions.append(Say(server.incarnation, Define(task.function, code)))
                specs.append(TaskSpec(task.id, task.attempt, task.function, task.args, task.io, task.timeout))
                if len(specs) == batch:
                    actions.append(Say(server.incarnation, Submit(server.lease, specs)))
                    specs = []
            if specs:
                actions.append(Say(server.incarnation, Submit(server.lease, specs)))
        return actions

    def unsaid(self, server: Server) -> list[Submission]:
        """What is only noted for this server, and will not be said any more; the newest first."""
        noted = [task for task in server.outbox if task.stage is _PLACED and task.server is server]
        server.outbox = []
        return list(dict.fromkeys(reversed(noted)))

    # Recall.

    def balance(self, now: float, actions: list[Any]) -> None:
        """Idle servers look for tasks that were sent ahead of busy ones."""
        if not self.loaded or not self.idle:
            return
        for server in list(islice(self.idle, MAX_RECALL_CANDIDATES)):
            if not self._recall_for(server, now, actions):
                break

    def _recall_for(self, idle: Server, now: float, actions: list[Any]) -> bool:
        """Ask the most loaded server to give back half of what it has. False: none can."""
        victim = None
        for server in islice(self.loaded, MAX_RECALL_CANDIDATES):
            if server.recalling or server.suspect or server.closing:
                continue
            if victim is None or len(server.sent) > len(victim.sent):
                victim = server
        if victim is None:
            return False
        ahead_time = (len(victim.sent) - 1) * max(victim.mean, 0.0)
        patience = victim.heard_at + self._limits.send_ahead_time
        if ahead_time < self._limits.send_ahead_time and now < patience:
            # It will be through sooner than it could answer, unless the task that runs now is long.
            if self.look_at is None or patience < self.look_at:
                self.look_at = patience
            return False
        return self.recall(victim, len(victim.sent) // 2, idle, now, actions)

    def recall(self, victim: Server, count: int, idle: Server | None, now: float, actions: list[Any]) -> bool:
        """Take back up to `count` tasks from the tail; idle: those that this one could run.

        What was handed over comes back only with the server's answer (R-44).
        """
        ids: list[int] = []
        noted: list[Submission] = []
        for task in reversed(victim.sent.values()):
            if len(ids) + len(noted) >= count:
                break
            if not _movable(task, victim, idle):
                continue
            if task.stage is _PLACED:
                noted.append(task)
            elif task.position > victim.begun:
                ids.append(task.id)
        if ids:
            victim.recalling = frozenset(ids)
            actions.append(Say(victim.incarnation, Recall(ids)))
        for task in noted:
            self.take(task)
            task.move(_GIVE_BACK)
            line = self.line_of(task)
            assert line is not None
            line.put_back(task)
        if noted:
            self.place_waiting(victim.node, now, actions)
            self.fill(victim, now, actions)
            self.recount(victim)
        return bool(ids or noted)


def _movable(task: Submission, victim: Server, idle: Server | None) -> bool:
    if task.pinned or task.cancel is not None:
        return False
    if task.where is None:
        return True
    return task.where == victim.node.incarnation and (idle is None or idle.node is victim.node)


def pop_first(lines: tuple[Line, ...]) -> Submission | None:
    """Take who is ahead of all in these lines."""
    best: Line | None = None
    first: Submission | None = None
    for line in lines:
        task = line.first() if line.count else None
        if task is not None and (first is None or ahead(task, first)):
            best, first = line, task
    return best.pop() if best is not None else None


def why_not(server: Server) -> str:
    """What keeps a server from taking a task."""
    if server.mode is not Mode.OPEN:
        return server.mode.name.lower()
    if server.suspect:
        return "not heard from"
    if server.refused:
        return "refusing tasks until its lease is renewed"
    return "busy"
