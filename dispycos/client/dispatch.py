"""Which server gets which task, and the one gate through which each task ends.

`submit` places a task at once where a server has a credit, or lets it wait (`admission`,
`placement`). Each task gets exactly one outcome (D3, R-31): `gate` alone gives it. Servers come
and go (`attendance`): what had not begun at one that died is placed again, what had begun is lost,
and tried again only if the caller allowed it (`lost_attempts`). Tasks that somebody wants ended
stand in `cancels`.

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
from dispycos.client.admission import Admission
from dispycos.client.attendance import Attendance
from dispycos.client.cancels import Agenda, Cancels, Due
from dispycos.client.credits import Server
from dispycos.client.demand import Work
from dispycos.client.gate import Gate, Phase
from dispycos.client.lost_attempts import LostAttempts
from dispycos.client.placement import Placement
from dispycos.client.reconciliation import Reconciliation
from dispycos.client.submission import CancelAll, CloseNow, Closing, Stage, Submission
from dispycos.config import Limits
from dispycos.events import Heard, Note
from dispycos.messages import Ending, Holding, NodeReport, Outcomes, Recalled, SubmitRefused
from dispycos.model import LOST, CodeHash, End, Incarnation, Payload

_OPEN = Phase.OPEN
_SENT = Stage.SENT


class Dispatch:
    """The tasks of one client and the servers that run them.

    describe  a server's name for people, as `server n1:9707`; its incarnation by default.
    """

    __slots__ = (
        "_acks",
        "_admission",
        "_agenda",
        "_attendance",
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
        self.gone: dict[Incarnation, str] = {}  # why those are no more that `attendance` remembers
        self._acks = Acknowledgements()
        self._agenda = Agenda()
        self._admission = Admission(self.gate, self.placement, self.gone)
        self._cancels = Cancels(limits, self.gate, self.placement, self._agenda)
        self._lost_attempts = LostAttempts(
            limits, self.gate, self._agenda, self.gone, self._place_name, self._retry
        )
        self._attendance = Attendance(
            self.gate,
            self.placement,
            self._admission,
            self._agenda,
            self._cancels,
            self._lost_attempts,
            self._acks,
            self.gone,
            self._place_name,
        )
        reconciliation = Reconciliation(
            limits, self.placement, self._lost_attempts, self._acks, self._attendance
        )
        self._heard: dict[type, Callable[[Server, Any, float, list[Any]], None]] = {
            Outcomes: self._outcomes,
            Recalled: self._recalled,
            SubmitRefused: self._submit_refused,
            Holding: reconciliation.holding,
            Ending: self._attendance.ending,
        }
        self._handlers: dict[type, Due] = {
            **self._attendance.handlers,
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
                self._admission.wait_or_refuse(task, False, now, actions)
        else:
            self._admission.place_or_queue(task, False, now, actions)
        return actions

    def _retry(self, task: Submission, now: float, actions: list[Any]) -> None:
        self._admission.place_or_queue(task, True, now, actions)

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

    # Given back: recalled, or refused.

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
            self._attendance.refused(server, now)
        self._admission.given_back(server, message.ids, now, actions)

    def _submit_refused(self, server: Server, message: SubmitRefused, now: float, actions: list[Any]) -> None:
        self._attendance.refused(server, now)
        self._admission.given_back(server, message.ids, now, actions)

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

    # Servers, and who is none of ours any more.

    def _place_name(self, server: Server) -> str:
        name = self.describe(server.incarnation)
        sign = server.incarnation[:4].hex()
        return name if sign in name else f"{name} (incarnation {sign})"

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
