"""Which server gets which task, and the one gate through which each task ends.

`submit` places a task at once where a server has a credit, or lets it wait (`placement`). Each
task gets exactly one outcome (D3, R-31): `gate` alone gives it. What had not begun when its
server died is placed again; what had begun is lost, and tried again only if the caller allowed
it (`lost_attempts`). Tasks that somebody wants ended stand in `cancels`.

Rules of use for the I/O half, which calls this from several threads under one lock:
  - Say actions are put on their way in the order in which they were answered, also across
    threads: hand them to the endpoint before the lock is released. Positions count on it.
  - `flush` is called when the kernel idles, when the reactor wakes and when `full` is true.
  - Servers come and go by the events of `client.events`; Heard is fed for the messages of
    servers and for each node's NodeReport.

Pure: no I/O, clock or randomness. Rules D1 to D5, S6; R-05, R-07, R-31, R-32, R-36, R-41 to R-44, R-69.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from dispycos.client import audit, demand
from dispycos.client.acknowledgements import Acknowledgements
from dispycos.client.cancels import Agenda, Cancels, Due
from dispycos.client.credits import Node, Server
from dispycos.client.demand import Work
from dispycos.client.events import (
    LeaseChanged,
    NoServers,
    ServerBack,
    ServerClosing,
    ServerGone,
    ServerResumed,
    ServerSuspect,
    ServerSuspended,
    ServerUsable,
)
from dispycos.client.gate import Gate, Phase
from dispycos.client.lost_attempts import LostAttempts
from dispycos.client.placement import Placement
from dispycos.client.submission import (
    FIRST,
    CancelAll,
    Cause,
    CloseNow,
    Closing,
    NodeExpected,
    NodeGone,
    Stage,
    Submission,
)
from dispycos.config import Limits
from dispycos.events import Heard, Note, Say
from dispycos.messages import (
    CancelTask,
    Ending,
    Finish,
    Holding,
    NodeReport,
    Outcomes,
    Recalled,
    SubmitRefused,
)
from dispycos.model import LOST, LOST_WITH_NODE, CodeHash, End, Incarnation, Payload
from dispycos.wording import listed, many

REFUSED_FIRST = 0.1  # seconds until a server that refused tasks is tried again; doubles ...
REFUSED_MAX = 5.0  # ... up to this; news of its lease end the wait at once
MAX_GONE = 1024  # servers remembered after their end, to tell late words from strange ones

_OPEN = Phase.OPEN
_SENT = Stage.SENT


class Dispatch:
    """The tasks of one client and the servers that run them.

    describe  a server's name for people, as `server n1:9707`; its incarnation by default.
    """

    __slots__ = (
        "_acks",
        "_agenda",
        "_cancels",
        "_handlers",
        "_heard",
        "_limits",
        "_lost_attempts",
        "describe",
        "gate",
        "gone",
        "placement",
        "stale",
    )

    def __init__(self, limits: Limits, describe: Callable[[Incarnation], str] | None = None) -> None:
        self._limits = limits
        self.describe = describe or (lambda server: f"server {server[:4].hex()}")
        self.placement = Placement(limits)
        self.gate = Gate(limits)
        self.stale = 0  # messages of servers that are not ours
        self.gone: dict[Incarnation, str] = {}  # at most MAX_GONE; the oldest is forgotten
        self._acks = Acknowledgements()
        self._agenda = Agenda()
        self._cancels = Cancels(limits, self.gate, self.placement, self._agenda)
        self._lost_attempts = LostAttempts(
            limits, self.gate, self._agenda, self.gone, self._place_name, self._retry
        )
        self._heard: dict[type, Callable[[Server, Any, float, list[Any]], None]] = {
            Outcomes: self._outcomes,
            Recalled: self._recalled,
            SubmitRefused: self._submit_refused,
            Holding: self._holding,
            Ending: self._server_ending,
        }
        self._handlers: dict[type, Due] = {
            ServerUsable: self._server_usable,
            ServerSuspended: self._server_suspended,
            ServerResumed: self._server_resumed,
            ServerSuspect: self._server_suspect,
            ServerBack: self._server_back,
            LeaseChanged: self._lease_changed,
            ServerClosing: self._server_closing,
            ServerGone: self._server_gone,
            NoServers: self._no_servers,
            NodeExpected: self._node_expected,
            NodeGone: self._node_gone,
            Closing: self._close,
            CancelAll: self._cancel_all,
            CloseNow: self._close_now,
        }

    # The shape of a machine.

    def handle(self, event: Any, now: float) -> list[Any]:
        """Answer what is to be done about an event."""
        actions: list[Any] = []
        if type(event) is Heard:
            server = self.placement.servers.get(event.peer)
            message = event.message
            if server is not None:
                heard = self._heard.get(type(message))
                if heard is not None:
                    heard(server, message, now, actions)
            elif type(message) is NodeReport:
                self._cancels.progress(message, now)
            elif type(message) in self._heard:
                self._from_stranger(event.peer, message, actions)
        else:
            handler = self._handlers.get(type(event))
            if handler is not None:
                handler(event, now, actions)
        return actions

    def next_deadline(self) -> float | None:
        # Asked after each event: written out, because a generator would cost more than the rest.
        first = self._agenda.first
        look_at, ack_at = self.placement.look_at, self._acks.due
        if look_at is not None and (first is None or look_at < first):
            first = look_at
        if ack_at is not None and (first is None or ack_at < first):
            first = ack_at
        return first

    def tick(self, now: float) -> list[Any]:
        actions: list[Any] = []
        self._agenda.run(now, actions)
        self._acks.tick(now, actions)
        placement = self.placement
        if placement.look_at is not None and placement.look_at <= now:
            placement.look_at = None
            placement.balance(now, actions)
        return actions

    # Submitting.

    def demand(self) -> Work:
        """What its tasks ask for."""
        return demand.of(self.placement, self.done)

    def define(self, function: CodeHash, code: Payload) -> None:
        """The definition that tasks name by this hash; it goes to each server before its first use (D5)."""
        self.placement.define(function, code, self.gate.tasks.values())

    def forget(self, functions: Iterable[CodeHash]) -> None:
        """Definitions that no later task names, unless they are defined again."""
        self.placement.forget(functions, self.gate.tasks.values())

    def defined(self, function: CodeHash) -> bool:
        """False: `define` it before a task names it."""
        return self.placement.defined(function)

    @property
    def full(self) -> bool:
        """A batch is complete: flush."""
        return self.placement.full

    def flush(self, now: float) -> list[Any]:
        """Hand over what was placed since the last call: the messages, in order."""
        return self.placement.flush()

    def submit(self, task: Submission, now: float) -> list[Any]:
        """Take a task: it is placed at once, or waits, or is refused (Ended with REJECTED)."""
        actions: list[Any] = []
        self.gate.enter(task, now)
        if self.gate.phase is not _OPEN:
            why = f"it was submitted after the client closed ({self.gate.why_closed})"
            self.gate.reject(task, why, now, actions)
        elif task.where is None and not task.io:
            placement = self.placement
            # While some wait there is no credit anywhere: this one waits behind them.
            server = None if placement.line.count else placement.first()
            if server is not None:
                placement.place(task, server, now, actions)
            else:
                self._wait_or_refuse(task, False, now, actions)
        else:
            self._place_or_queue(task, False, now, actions)
        return actions

    def _place_or_queue(self, task: Submission, front: bool, now: float, actions: list[Any]) -> None:
        """Place a READY task, or have it wait: at the front if it waited before."""
        line = self.placement.line_of(task)
        server = None if line is None or line.count else self.placement.candidate(task)
        if server is not None:
            self.placement.place(task, server, now, actions)
        else:
            self._wait_or_refuse(task, front, now, actions)

    def _wait_or_refuse(self, task: Submission, front: bool, now: float, actions: list[Any]) -> None:
        """No server takes it now: it waits, unless none ever will."""
        line = self.placement.line_of(task)
        if line is None:
            self.gate.reject(task, self._why_nowhere(task), now, actions)
        elif task.where is None and self.placement.hopeless:
            self.gate.reject(task, self.placement.hopeless, now, actions)
        elif front:
            line.put_back(task)
        else:
            line.append(task)

    def _retry(self, task: Submission, now: float, actions: list[Any]) -> None:
        self._place_or_queue(task, True, now, actions)

    def _why_nowhere(self, task: Submission) -> str:
        assert task.where is not None
        server = self.placement.servers.get(task.where)
        why = (
            "it is being closed" if server is not None else self.gone.get(task.where, "it is not known here")
        )
        return f"the server or node that it is meant for takes no tasks: {why}"

    # The gate.

    def _outcomes(self, server: Server, message: Outcomes, now: float, actions: list[Any]) -> None:
        outcomes = message.outcomes
        if message.number <= server.number:  # said again on a new session
            fresh = outcomes[server.number - message.number + 1 :]
            self.gate.late += len(outcomes) - len(fresh)
        else:
            fresh = outcomes
        if not fresh:
            return
        server.number = message.number + len(outcomes) - 1
        server.unseen += len(fresh)
        sent = server.sent
        head = next(iter(sent.values()), None)  # it ran; the others waited behind it (D1)
        done = 0
        for outcome in fresh:
            task = sent.get(outcome.id)
            if task is None:
                task = server.io.get(outcome.id)
            if task is None or task.attempt != outcome.attempt or task.stage is not _SENT:
                self.gate.late += 1
                continue
            if task.io:
                del server.io[outcome.id]
            else:
                del sent[outcome.id]
                done += 1
                if task is not head:
                    task.begun = now  # since the last message: outcomes do not wait for long
            if outcome.end in LOST:
                # A server does not say so of itself; whoever does, the rules of loss hold.
                self._lost_attempts.take(task, server, outcome.end, outcome.text, True, now, actions)
            else:
                self.gate.finish(task, outcome, actions)
        if done:
            server.node.load -= done
            server.heard_at = now
            server.failures = 0
            server.learn(message.spent, done, self._limits)
            following = next(iter(sent.values()), None)
            if following is not None and following is not head:
                following.begun = now
        self.placement.settle(server, now, actions)
        self._acks.owe(server, now, actions)

    # Given back: recalled, refused, or never begun when the server died.

    def _recalled(self, server: Server, message: Recalled, now: float, actions: list[Any]) -> None:
        if server.recalling:
            # What it did not give back has begun: it is not asked for again.
            for key in server.recalling.difference(message.ids):
                task = server.sent.get(key)
                if task is not None:
                    server.begun = max(server.begun, task.position)
            server.recalling = frozenset()
        elif message.ids:
            # Unasked: it is about to end.
            self._hold_back(server, now)
        self._given_back(server, message.ids, now, actions)

    def _submit_refused(self, server: Server, message: SubmitRefused, now: float, actions: list[Any]) -> None:
        self._hold_back(server, now)
        self._given_back(server, message.ids, now, actions)

    def _given_back(self, server: Server, ids: list[int], now: float, actions: list[Any]) -> None:
        """The server says that these never began there and never will."""
        tasks = []
        for key in ids:
            task = server.sent.get(key) or server.io.get(key)
            if task is not None and task.stage is _SENT:
                self.placement.take(task)
                tasks.append(task)
        self._again(tasks, now, actions)
        # Whoever idles comes first; only then may the server that gave them back take some again.
        self.placement.place_waiting(server.node, now, actions)
        self.placement.settle(server, now, actions)
        self.placement.balance(now, actions)

    def _again(self, tasks: Iterable[Submission], now: float, actions: list[Any]) -> None:
        """These are at no server and never began: they wait again, ahead of all, oldest first."""
        for task in sorted(tasks, key=lambda t: t.order, reverse=True):
            task.move(Cause.GIVE_BACK)
            if task.cancel is not None:
                end, reason = task.cancel
                self.gate.end(task, end, f"{reason}; {task!r} never began", actions)
            else:
                self._wait_or_refuse(task, True, now, actions)

    def _unplace(self, server: Server, now: float, actions: list[Any]) -> None:
        """What is only noted for a server that takes nothing now goes elsewhere."""
        if not server.usable and server.outbox:
            noted = self.placement.unsaid(server)
            for task in noted:
                self.placement.take(task)
            self._again(noted, now, actions)

    # Cancelling.

    def cancel(
        self, id: int, reason: str, now: float, end: End = End.CANCELLED, grace: float | None = None
    ) -> tuple[bool, list[Any]]:
        """End a task: whether it will end so (False: it had ended), and what is to be done.

        end  CANCELLED; FAILED: a KeyboardInterrupt that it does not handle is its status (DC-56).
        """
        actions: list[Any] = []
        task = self.gate.tasks.get(id)
        if task is None:
            return False, actions
        self._cancels.cancel(task, reason, end, grace, now, actions)
        return True, actions

    def _cancel_all(self, event: CancelAll, now: float, actions: list[Any]) -> None:
        self._cancels.all(event.reason, event.grace, event.io_only, now, actions)

    # Servers.

    def _place_name(self, server: Server) -> str:
        name = self.describe(server.incarnation)
        sign = server.incarnation[:4].hex()
        return name if sign in name else f"{name} (incarnation {sign})"

    def _server_usable(self, event: ServerUsable, now: float, actions: list[Any]) -> None:
        if event.server not in self.placement.servers:
            node = self.placement.node(event.node)
            server = self.placement.add(event.server, node, event.lease, now)
            for task in event.first:
                # Ahead of all that waits, whatever that is worth: so nothing runs there before.
                task.priority = FIRST
                self.gate.enter(task, now)
                if self.gate.phase is _OPEN and (line := self.placement.line_of(task)) is not None:
                    line.append(task)
                else:
                    self.gate.reject(task, "the client closed before its server came", now, actions)
            self.placement.settle(server, now, actions)

    def _server_suspended(self, event: ServerSuspended, now: float, actions: list[Any]) -> None:
        if server := self.placement.servers.get(event.server):
            server.move("suspend")
            self._unusable(server, now, actions)

    def _server_resumed(self, event: ServerResumed, now: float, actions: list[Any]) -> None:
        if server := self.placement.servers.get(event.server):
            server.move("resume")
            self.placement.settle(server, now, actions)

    def _server_suspect(self, event: ServerSuspect, now: float, actions: list[Any]) -> None:
        if server := self.placement.servers.get(event.server):
            server.suspect = True
            server.stuck = False  # what was said before is no news of this silence
            self._unusable(server, now, actions)

    def _server_back(self, event: ServerBack, now: float, actions: list[Any]) -> None:
        if server := self.placement.servers.get(event.server):
            server.suspect = False
            self.placement.settle(server, now, actions)
            self.placement.balance(now, actions)

    def _unusable(self, server: Server, now: float, actions: list[Any]) -> None:
        self._unplace(server, now, actions)
        self.placement.settle(server, now, actions)
        self.placement.place_waiting(server.node, now, actions)

    def _lease_changed(self, event: LeaseChanged, now: float, actions: list[Any]) -> None:
        if server := self.placement.servers.get(event.server):
            server.lease = event.lease
            self._accept_again(server, now, actions)

    def _hold_back(self, server: Server, now: float) -> None:
        """It takes nothing just now: try again later, or when its lease changes."""
        wait = min(REFUSED_FIRST * 2.0 ** min(server.failures, 16), REFUSED_MAX)
        server.failures += 1
        server.refused = now + wait
        self.placement.recount(server)
        self._agenda.add(now + wait, self._try_again, server)

    def _try_again(self, server: Server, now: float, actions: list[Any]) -> None:
        if 0 < server.refused <= now:
            self._accept_again(server, now, actions)

    def _accept_again(self, server: Server, now: float, actions: list[Any]) -> None:
        if server.incarnation in self.placement.servers:
            server.refused = 0.0
            self.placement.settle(server, now, actions)

    def _server_ending(self, server: Server, message: Ending, now: float, actions: list[Any]) -> None:
        self._hold_back(server, now)
        self._unusable(server, now, actions)
        self._cancels.ending(server, message)

    def _server_closing(self, event: ServerClosing, now: float, actions: list[Any]) -> None:
        server = self.placement.servers.get(event.server)
        if server is None:
            return
        first = not server.closing
        server.move("close")
        self.placement.recount(server)
        if first:
            self._refuse_lines(server, "that server is being closed", now, actions)
            self._unplace(server, now, actions)
            self.placement.recall(server, len(server.sent), None, now, actions)
        if event.terminate:
            reason = f"{self._place_name(server)} was closed with terminate=True"
            for task in [*server.sent.values(), *server.io.values()]:
                self._cancels.cancel(task, reason, End.FAILED, None, now, actions)
        if first:
            # In order: what it recalled it need not finish.
            actions.append(Say(server.incarnation, Finish(await_io=False)))
            self._acks.say([server], actions)
        self._unusable(server, now, actions)

    def _no_servers(self, event: NoServers, now: float, actions: list[Any]) -> None:
        self.placement.hopeless = event.reason if event.lasting else ""
        if event.reason:
            self._refuse_lines(self.placement, event.reason, now, actions)

    def _refuse_lines(
        self, place: Server | Node | Placement, why: str, now: float, actions: list[Any]
    ) -> None:
        for task in [*place.line.waiting(), *place.io_line.waiting()]:
            self.gate.reject(task, why, now, actions)

    def _server_gone(self, event: ServerGone, now: float, actions: list[Any]) -> None:
        server = self.placement.servers.get(event.server)
        if server is None:
            return
        server.move("gone")
        self.placement.remove(server)
        self._acks.drop(server)
        self._forget(event.server, event.reason)
        why = event.reason
        if server.forced:
            why = f"its process was ended because {server.forced}; {why}"
        never: list[Submission] = []
        for tasks, begun in ((server.sent, event.begun), (server.io, event.begun_io)):
            for task in tasks.values():
                if task.stage is not _SENT or 0 <= begun < task.position:
                    task.server = None
                    task.position = 0
                    never.append(task)
                else:
                    if event.end in LOST_WITH_NODE:
                        server.node.took.append(repr(task))
                    self._lost_attempts.take(task, server, event.end, why, begun >= 0, now, actions)
        self._refuse_lines(server, f"that server is gone: {why}", now, actions)
        self._again(never, now, actions)
        self.placement.place_waiting(server.node, now, actions)

    def _forget(self, incarnation: Incarnation, reason: str) -> None:
        self.gone[incarnation] = reason
        if len(self.gone) > MAX_GONE:
            del self.gone[next(iter(self.gone))]

    def _node_expected(self, event: NodeExpected, now: float, actions: list[Any]) -> None:
        self.placement.node(event.node)

    def _node_gone(self, event: NodeGone, now: float, actions: list[Any]) -> None:
        node = self.placement.nodes.get(event.node)
        if event.lost:
            took = node.took if node is not None else []
            what = event.reason if event.reason.startswith("node ") else f"node {event.lost}: {event.reason}"
            with_it = f"{many(len(took), 'task')} with it: {listed(took)}" if took else "no task was lost"
            actions.append(Note("warning", f"{what}; {with_it}"))
        if node is not None and not len(node.servers):
            self._refuse_lines(node, f"that node is gone: {event.reason}", now, actions)
            del self.placement.nodes[event.node]
            self._forget(event.node, event.reason)

    # Reconciliation.

    def _holding(self, server: Server, message: Holding, now: float, actions: list[Any]) -> None:
        held = {*message.waiting, *message.begun, *message.ended}
        missing: list[Submission] = []
        for tasks, received in ((server.sent, message.received), (server.io, message.received_io)):
            # What is still under way to it has a later position, and is not missing.
            for task in tasks.values():
                if task.stage is _SENT and task.position <= received and task.id not in held:
                    missing.append(task)
        for task in missing:
            self.placement.take(task)
            why = "the server has no record of it, though it was handed over"
            self._lost_attempts.take(task, server, End.SERVER_LOST, why, True, now, actions)
        for key in (*message.waiting, *message.begun):
            if key not in server.sent and key not in server.io:
                why = f"its client knows of no task {key} on this server"
                cancel = CancelTask(key, 0, End.CANCELLED, self._limits.grace, why)
                actions.append(Say(server.incarnation, cancel))
        # None of them waits there: the Recall was answered, or asks for nothing any more.
        if server.recalling.isdisjoint(message.waiting):
            server.recalling = frozenset()
        if message.received < server.position or message.received_io < server.position_io:
            # Either it is under way still, or it never arrived: our count will tell the server.
            server.unseen = 1
        self._acks.say([server], actions)
        self._accept_again(server, now, actions)

    def _from_stranger(self, peer: Incarnation, message: Any, actions: list[Any]) -> None:
        self.stale += 1
        if type(message) is Outcomes:
            self.gate.late += len(message.outcomes)
            if peer in self.gone:
                text = f"{len(message.outcomes)} late outcomes of {self.describe(peer)} were dropped"
                actions.append(Note("info", f"{text}: {self.gone[peer]}"))

    # The end of the client.

    def _close(self, event: Closing, now: float, actions: list[Any]) -> None:
        self.gate.close(event.reason, event.await_io, actions)

    def _close_now(self, event: CloseNow, now: float, actions: list[Any]) -> None:
        self.gate.close_now(event.reason)
        for task in sorted(self.gate.tasks.values(), key=lambda t: t.stage):
            begun = task.stage is _SENT
            if task.server is not None:
                self.placement.take(task)
            if begun:
                text = f"{task!r} was ended with its client: {event.reason}"
                self.gate.end(task, End.CANCELLED, text, actions)
            else:
                self.gate.reject(task, f"its client ended: {event.reason}", now, actions)

    # For people and tests.

    @property
    def tasks(self) -> dict[int, Submission]:
        """Those that live, by id."""
        return self.gate.tasks

    @property
    def submitted(self) -> int:
        return self.gate.submitted

    @property
    def done(self) -> int:
        return self.gate.done

    @property
    def late(self) -> int:
        """Outcomes that came after the end of their task or attempt: dropped and counted (R-31)."""
        return self.gate.late

    def lives(self, id: int) -> bool:
        """Whether the task has no outcome yet."""
        return id in self.gate.tasks

    def server_of(self, id: int) -> Incarnation | None:
        """Where the task is, if it has a server."""
        task = self.gate.tasks.get(id)
        server: Server | None = task.server if task is not None else None
        return server.incarnation if server is not None else None

    def pin(self, id: int) -> Incarnation | None:
        """From now on it stays where it is; answers where, None if it waits or has ended."""
        task = self.gate.tasks.get(id)
        if task is not None and task.server is not None:
            task.pinned = True
        return self.server_of(id)

    def why_waiting(self, id: int, now: float) -> str:
        """Why a task has not begun, as far as is known here (S6)."""
        return audit.why_waiting(self, id, now)

    def why_idle(self, now: float) -> str:
        """Why no task runs; "" if some do (S6)."""
        return audit.why_idle(self, now)

    def story(self, id: int) -> str:
        """What is known of one task."""
        return audit.story(self, id)

    def check(self) -> None:
        """Assert every invariant."""
        audit.check(self, self._limits)

    def compare(self, peer: Incarnation, message: Any) -> None:
        """Assert that what a server says it holds can be what it was given (R-62)."""
        server = self.placement.servers.get(peer)
        if type(message) is Holding and server is not None:
            audit.compare(self, server, message)
