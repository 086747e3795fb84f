"""What one server runs: which attempt begins next, what is recalled, cancelled, refused.

One CPU task at a time, in the order of `Submit`; I/O tasks begin at once beside it. Nothing is
taken under another lease than the server's, nothing begins after the lease has expired (R-18,
R-35); what has begun goes on. Each attempt that was taken is answered exactly once: by an
Outcome, by Recalled or by SubmitRefused. Outcomes are numbered and kept until they were seen.

Rules of use for the I/O half, which calls this from the kernel's and the reactor's thread under
one lock:
  - `begun` and `begun_io` are set when Begin is answered: copy them into the shared page before
    the task's generator is entered, so that a death in between counts the attempt as begun.
  - `ended` is the kernel's way in; outcomes are answered as one message when half of what was
    here at the last Submit is done (not few), or all of it, or `Limits.batch_tasks`. While `unsent` is
    true, have `flush` called soon by the reactor: an outcome must not wait for the long task
    that follows it.
  - A task that died of an Interrupt or ForceEnd is reported with End.CANCELLED, its exception as
    the value; one that caught it and returned is FINISHED, and that counts (DC-56).

Pure: no I/O, clock or randomness. Rules D1, D3, S2; R-05, R-18, R-34 to R-36, R-43, R-44.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from typing import Any

from dispycos.config import Limits
from dispycos.events import Heard, PeerBack, PeerGone, PeerUp, Say
from dispycos.messages import (
    CancelTask,
    CloseRequest,
    Ending,
    Finish,
    Finished,
    Holding,
    Outcomes,
    OutcomesSeen,
    Recall,
    Recalled,
    Submit,
    SubmitRefused,
)
from dispycos.model import End, Incarnation, Outcome, Payload
from dispycos.node.attempts import (
    PHASES,
    STAGES,
    Attempt,
    Begin,
    BreakOff,
    Cause,
    CloseWanted,
    EndAll,
    Ended,
    EndProcess,
    ForceEnd,
    Interrupt,
    LeaseGiven,
    Phase,
    Stage,
)
from dispycos.story import About

# After ForceEnd a task that yields is gone within one step of the kernel; one that is still here
# after this many seconds does not yield at all, and only the end of the process ends it (DC-57).
FORCE_WAIT = 0.5
PATIENT = 600.0  # seconds; who gives a longer grace lets a plain call go on

WORTH_A_MESSAGE = 8  # outcomes; fewer wait for the last task, or for `flush`

_WAITING, _BEGUN, _INTERRUPTED, _FORCED, _ENDED = Stage
_BEGIN, _INTERRUPT, _FORCE, _END, _DROP = Cause
_SERVING, _DRAINING, _FINISHED = Phase


class Execution:
    """The tasks of one server, for one client.

    client  whose tasks these are; what anybody else says is counted in `stale` and has no effect.
    """

    __slots__ = (
        "_await_io",
        "_deadlines",
        "_expires",
        "_handlers",
        "_holding_at",
        "_io",
        "_leaving",
        "_limits",
        "_number",
        "_queue",
        "_refused",
        "_report_at",
        "_running",
        "_seen",
        "_spent",
        "_tasks",
        "_unseen",
        "begun",
        "begun_io",
        "client",
        "lease",
        "phase",
        "received",
        "received_io",
        "stale",
        "unsent",
    )

    def __init__(self, client: Incarnation, limits: Limits) -> None:
        self.client = client
        self._limits = limits
        self.phase = _SERVING
        self.lease = 0  # number; 0: none yet
        self._expires = 0.0
        self.received = 0  # positions taken in
        self.received_io = 0
        self.begun = 0  # position of the last that began: what the shared page shows
        self.begun_io = 0
        self.stale = 0  # events of other clients, attempts and leases: dropped and counted
        self._tasks: dict[int, Attempt] = {}  # waiting and begun; the client's credits bound it
        self._queue: deque[Attempt] = deque()  # CPU tasks in order; holds ended ones until their turn
        self._running: Attempt | None = None  # the CPU task
        self._io = 0  # I/O tasks begun
        self.unsent: list[Outcome] = []  # that wait for `flush`; at most batch_tasks
        self._unseen: deque[Outcome] = deque()  # said and not seen; the client's credits bound it
        self._report_at = WORTH_A_MESSAGE  # so many outcomes are said before all is done
        self._number = 0  # of the newest outcome that was said
        self._seen = 0  # the newest that was seen
        self._spent = 0.0
        self._refused = False  # a Submit was refused since the last lease
        self._leaving = False  # a task here had it closed: nothing more begins (DC-54)
        self._await_io = True
        self._deadlines: list[tuple[float, int, int, Stage]] = []  # when, task, attempt, its stage then
        self._holding_at: float | None = None
        self._handlers: dict[type, Callable[[Any, float], list[Any]]] = {
            Submit: self._submit,
            OutcomesSeen: self._outcomes_seen,
            Recall: self._recall,
            CancelTask: self._cancel,
            Finish: self._finish,
            LeaseGiven: self._lease_given,
            PeerUp: self._attached,
            PeerBack: self._attached,
            PeerGone: self._client_lost,
            CloseWanted: self._close_wanted,
            EndAll: self._end_all,
        }

    # The shape of a machine.

    def handle(self, event: Any, now: float) -> list[Any]:
        """Answer what is to be done about an event."""
        kind = type(event)
        if kind is Ended:
            return self.ended(event.id, event.attempt, event.end, event.value, event.text, event.ran, now)
        if kind is Heard:
            if event.peer != self.client:
                self.stale += 1
                return []
            event = event.message
        elif kind in (PeerUp, PeerBack, PeerGone) and event.peer != self.client:
            return []
        handler = self._handlers.get(type(event))
        return handler(event, now) if handler is not None else []

    def next_deadline(self) -> float | None:
        if not self._deadlines:
            return self._holding_at
        first = self._deadlines[0][0]
        return first if self._holding_at is None else min(first, self._holding_at)

    def tick(self, now: float) -> list[Any]:
        actions: list[Any] = []
        while self._deadlines and self._deadlines[0][0] <= now:
            _, key, attempt, stage = heapq.heappop(self._deadlines)
            task = self._tasks.get(key)
            if task is None or task.spec.attempt != attempt or task.stage is not stage:
                continue
            if stage is _BEGUN:
                reason = f"it ran longer than its timeout of {task.spec.timeout:g} s"
                self._interrupt(task, End.TIMED_OUT, self._limits.grace, reason, now, actions)
            elif stage is _INTERRUPTED:
                self._move(task, _FORCE)
                actions.append(ForceEnd(key, task.reason))
                heapq.heappush(self._deadlines, (now + FORCE_WAIT, key, attempt, _FORCED))
            else:
                self._end_process(task, actions)
        if self._holding_at is not None and self._holding_at <= now:
            actions.append(self._holding(now))
        return actions

    def _end_process(self, task: Attempt, actions: list[Any]) -> None:
        end = End.TIMED_OUT if task.wanted is End.TIMED_OUT else End.CANCELLED
        reason = f"{task.reason}; it did not yield after the grace, so its server process was ended"
        actions += self.flush()
        actions.append(Say(self.client, Ending(task.spec.id, task.spec.attempt, end, reason)))
        actions.append(EndProcess(task.spec.id, reason))
        if self.phase is not _FINISHED:
            self._move_phase("process ends")
        self._expires = 0.0
        self._holding_at = None

    # The hot path: Submit, begin, ended, Outcomes.

    def _move(self, task: Attempt, cause: Cause) -> None:
        task.stage = STAGES[task.stage][cause]

    def _submit(self, message: Submit, now: float) -> list[Any]:
        refusal = ""
        if message.lease != self.lease:
            refusal = f"it was submitted under lease {message.lease}; this server holds lease {self.lease}"
        elif now >= self._expires:
            refusal = f"lease {self.lease} of this server ended {now - self._expires:.1f} s ago"
        elif self.phase is not _SERVING or self._leaving:
            refusal = "this server is closing and takes nothing more"
        actions: list[Any] = []
        tasks = self._tasks
        queue = self._queue
        refused = []
        for spec in message.tasks:
            # Refused ones count too: the client counts what it hands over, not what is taken.
            if spec.io:
                position = self.received_io = self.received_io + 1
            else:
                position = self.received = self.received + 1
            if refusal or spec.id in tasks:
                refused.append(spec.id)
                continue
            task = tasks[spec.id] = Attempt(spec, position)
            if spec.io:
                self._begin(task, now, actions)
            else:
                queue.append(task)
        if refused:
            self._refused = True
            refusal = refusal or "this server holds a task of that id already"
            actions.append(Say(self.client, SubmitRefused(refused, self.lease, refusal)))
        # With half of them done there is time to hear of more before the last is.
        self._report_at = min(max(WORTH_A_MESSAGE, len(queue) // 2), self._limits.batch_tasks)
        if self._running is None and queue:
            self._begin_next(now, actions)
        return actions

    def _begin_next(self, now: float, actions: list[Any]) -> None:
        if now >= self._expires:
            return
        queue = self._queue
        while queue:
            task = queue.popleft()
            if task.stage is _WAITING:
                self._begin(task, now, actions)
                return

    def _begin(self, task: Attempt, now: float, actions: list[Any]) -> None:
        self._move(task, _BEGIN)
        spec = task.spec
        if spec.io:
            self.begun_io = task.position
            self._io += 1
        else:
            self.begun = task.position
            self._running = task
        if spec.timeout:
            heapq.heappush(self._deadlines, (now + spec.timeout, spec.id, spec.attempt, _BEGUN))
        actions.append(Begin(spec))

    def ended(
        self, id: int, attempt: int, end: End, value: Payload | None, text: str, ran: float, now: float
    ) -> list[Any]:
        """The kernel is through with an attempt; answers what begins next.

        end  FINISHED, FAILED, CANCELLED (it died of Interrupt or ForceEnd, or of terminate) or
             REJECTED (its arguments or function could not be loaded).
        ran  seconds from its begin.
        """
        task = self._tasks.get(id)
        if task is None or task.spec.attempt != attempt or task.stage is _WAITING:
            self.stale += 1
            return []
        del self._tasks[id]
        if task.wanted is not None:
            end, value, text = _as_wanted(task, end, value, text)
        self._move(task, _END)
        actions: list[Any] = []
        unsent = self.unsent
        unsent.append(Outcome(id, attempt, end, value, text))
        if task is self._running:
            self._running = None
            self._spent += ran
            if self._queue:
                self._begin_next(now, actions)
        else:
            self._io -= 1
        if self._running is None or len(unsent) >= self._report_at:
            actions += self.flush()
        if self.phase is _DRAINING:
            self._wind_up(now, actions)
        return actions

    def flush(self) -> list[Any]:
        """Say all outcomes that wait, as one message."""
        unsent = self.unsent
        if not unsent:
            return []
        message = Outcomes(self._number + 1, unsent, self._spent)
        self._number += len(unsent)
        self._unseen.extend(unsent)
        self.unsent = []
        self._spent = 0.0
        return [Say(self.client, message)]

    # What the client says.

    def _outcomes_seen(self, message: OutcomesSeen, now: float) -> list[Any]:
        unseen = self._unseen
        while self._seen < min(message.number, self._number):
            self._seen += 1
            unseen.popleft()
        actions: list[Any] = []
        if message.position > self.received or message.position_io > self.received_io:
            # No session may lose a Submit; should it happen all the same, both sides count on alike.
            self.received = max(self.received, message.position)
            self.received_io = max(self.received_io, message.position_io)
            actions.append(self._holding(now))
        if self.phase is _DRAINING:
            self._wind_up(now, actions)
        return actions

    def _recall(self, message: Recall, now: float) -> list[Any]:
        given = [key for key in message.ids if self._drop(key) is not None]
        actions: list[Any] = [Say(self.client, Recalled(given))]
        if self.phase is _DRAINING:
            self._wind_up(now, actions)
        return actions

    def _drop(self, id: int) -> Attempt | None:
        """Take a task out that has not begun; None if it has, or is not here."""
        task = self._tasks.get(id)
        if task is None or task.stage is not _WAITING:
            return None
        self._move(task, _DROP)
        del self._tasks[id]
        # What was taken from the tail leaves no trace in the queue, however often it happens.
        while self._queue and self._queue[-1].stage is _ENDED:
            self._queue.pop()
        return task

    def _cancel(self, message: CancelTask, now: float) -> list[Any]:
        task = self._tasks.get(message.id)
        # Ended already: its outcome is on the way, and the server decides a race.
        attempt = message.attempt
        if task is None or (attempt and task.spec.attempt != attempt):
            return []
        actions: list[Any] = []
        if self._drop(message.id) is not None:
            text = f"{message.reason}; it had not begun on this server"
            self.unsent.append(Outcome(message.id, task.spec.attempt, End.CANCELLED, None, text))
            actions += self.flush()
            if self.phase is _DRAINING:
                self._wind_up(now, actions)
        elif task.stage is _BEGUN:
            self._interrupt(task, End(message.end), message.grace, message.reason, now, actions)
        elif task.stage is _INTERRUPTED:
            # Asked again: the shorter grace counts.
            self._plan_force(task, message.grace, now, actions)
        return actions

    def _interrupt(
        self, task: Attempt, wanted: End, grace: float, reason: str, now: float, actions: list[Any]
    ) -> None:
        self._move(task, _INTERRUPT)
        task.wanted = wanted
        task.reason = reason
        actions.append(Interrupt(task.spec.id, reason))
        self._plan_force(task, grace, now, actions)

    def _plan_force(self, task: Attempt, grace: float, now: float, actions: list[Any]) -> None:
        if grace < PATIENT and not task.broken_off:
            task.broken_off = True
            actions.append(BreakOff(task.spec.id, task.reason))
        heapq.heappush(self._deadlines, (now + grace, task.spec.id, task.spec.attempt, _INTERRUPTED))

    def _finish(self, message: Finish, now: float) -> list[Any]:
        if self.phase is _FINISHED:
            return []
        self._move_phase("finish")
        self._await_io = message.await_io
        actions: list[Any] = []
        self._wind_up(now, actions)
        return actions

    def _move_phase(self, cause: str) -> None:
        self.phase = PHASES[self.phase, cause]

    def _wind_up(self, now: float, actions: list[Any]) -> None:
        """Draining: see whether something is left."""
        if len(self._tasks) == self._io and not self._await_io:
            for task in list(self._tasks.values()):
                if task.stage is _BEGUN:
                    reason = "its server was closed when its other tasks had ended"
                    self._interrupt(task, End.FAILED, self._limits.grace, reason, now, actions)
        if self._tasks:
            return
        actions += self.flush()
        # What was not seen yet might have to be said again, so the process lives on until it was.
        if not self._unseen:
            self._move_phase("nothing left")
            self._holding_at = None
            actions.append(Say(self.client, Finished()))

    # Sessions, lease, closing.

    def _attached(self, event: PeerUp | PeerBack, now: float) -> list[Any]:
        if self.phase is _FINISHED:
            return []
        actions: list[Any] = []
        # A session that begins anew knows nothing of the former one's messages.
        if type(event) is PeerUp and self._unseen:
            actions.append(Say(self.client, Outcomes(self._seen + 1, list(self._unseen), 0.0)))
        actions.append(self._holding(now))
        return actions

    def _holding(self, now: float) -> Say:
        """What this server has, for the client to compare (R-36)."""
        self._holding_at = now + self._limits.reconcile_interval
        waiting = [key for key, task in self._tasks.items() if task.stage is _WAITING]
        begun = [key for key, task in self._tasks.items() if task.stage is not _WAITING]
        ended = [outcome.id for outcome in self._unseen]
        ended += [outcome.id for outcome in self.unsent]
        return Say(self.client, Holding(self.received, self.received_io, waiting, begun, ended))

    def _client_lost(self, event: PeerGone, now: float) -> list[Any]:
        if self.phase is not _FINISHED:
            self._move_phase("client lost")
        self._expires = 0.0
        self._holding_at = None
        return []

    def _lease_given(self, event: LeaseGiven, now: float) -> list[Any]:
        if event.number < self.lease or self.phase is _FINISHED:
            self.stale += 1
            return []
        self.lease = event.number
        self._expires = now + event.seconds
        actions: list[Any] = []
        if self._running is None and self._queue:
            self._begin_next(now, actions)
        if self._refused and event.seconds > 0:
            # The client holds back what was refused until it hears of this.
            self._refused = False
            actions.append(self._holding(now))
        return actions

    def _close_wanted(self, event: CloseWanted, now: float) -> list[Any]:
        actions: list[Any] = [Say(self.client, CloseRequest(event.node, event.terminate, event.restart))]
        # What was sent ahead goes back now, else the next one would begin here, in a process that the
        # caller wanted gone: the client's own recall comes after the caller has ended.
        self._leaving = True
        self._give_back(actions)
        return actions

    def _give_back(self, actions: list[Any]) -> None:
        given = [key for key in list(self._tasks) if self._drop(key) is not None]
        if given:
            actions.append(Say(self.client, Recalled(given)))

    def _end_all(self, event: EndAll, now: float) -> list[Any]:
        if self.phase is _FINISHED:
            return []
        self._move_phase("finish")
        self._await_io = True  # they are interrupted here
        actions: list[Any] = []
        self._give_back(actions)
        for task in self._tasks.values():
            if task.stage is _BEGUN:
                self._interrupt(task, End.FAILED, event.grace, event.reason, now, actions)
            elif task.stage is _INTERRUPTED:
                self._plan_force(task, event.grace, now, actions)
        self._wind_up(now, actions)
        return actions

    def has(self, id: int) -> bool:
        """Is an attempt at this task here, waiting or begun? Any thread."""
        return id in self._tasks

    # For people and tests.

    def story(self, id: int) -> str:
        """What this server knows of a task."""
        task = self._tasks.get(id)
        if task is None:
            if any(o.id == id for o in self.unsent) or any(o.id == id for o in self._unseen):
                return f"task {id} ended here; its outcome was not seen yet"
            return f"task {id} is not here"
        kind = "I/O task" if task.spec.io else "CPU task"
        text = (
            f"{kind} {id}, attempt {task.spec.attempt}, position {task.position}: {task.stage.name.lower()}"
        )
        return f"{text}: {task.reason}" if task.reason else text

    def why_idle(self, now: float) -> str:
        """Why no CPU task runs here; "" if one does (S6)."""
        if self._running is not None:
            return ""
        if self.phase is not _SERVING:
            return f"this server is {self.phase.value}"
        if now >= self._expires:
            return (
                f"lease {self.lease} ended {now - self._expires:.1f} s ago" if self.lease else "no lease yet"
            )
        return "no task was submitted to this server"

    def check(self) -> None:
        """Assert every invariant."""
        cpu = [task for task in self._tasks.values() if not task.spec.io]
        begun = [task for task in cpu if task.stage is not _WAITING]
        assert begun == ([self._running] if self._running else []), "one CPU task runs at a time (D1)"
        assert self.begun <= self.received, "more begun than received"
        assert self.begun_io <= self.received_io, "more I/O tasks begun than received"
        waiting = [task for task in self._queue if task.stage is _WAITING]
        assert waiting == [task for task in cpu if task.stage is _WAITING], "the queue is not what waits"
        for task in cpu:
            overtaken = task.stage is _WAITING and task.position <= self.begun
            assert not overtaken, About(task.spec.id, f"task {task.spec.id} was overtaken")
            uncounted = task.stage is not _WAITING and task.position > self.begun
            assert not uncounted, About(task.spec.id, f"task {task.spec.id} began uncounted")
        io = [task for task in self._tasks.values() if task.spec.io]
        assert len(io) == self._io, "I/O tasks miscounted"
        for key, task in self._tasks.items():
            assert key == task.spec.id and task.stage is not _ENDED, About(
                key, f"task {key} ended and is kept"
            )
        assert len(self._unseen) == self._number - self._seen, "outcomes misnumbered"
        assert self.phase is not _FINISHED or not self.unsent or self._expires == 0.0
        assert self._running is not None or not self.unsent or self._io, "an idle server keeps outcomes back"


def _as_wanted(task: Attempt, end: End, value: Payload | None, text: str) -> tuple[End, Payload | None, str]:
    """The outcome of a task that somebody had ended: what was wanted, if it died of that."""
    if end is not End.CANCELLED:
        return end, value, text
    if task.wanted is End.FAILED and task.stage is _INTERRUPTED:
        # It did not handle the KeyboardInterrupt: that is its status (DC-56).
        return End.FAILED, value, text
    wanted = End.TIMED_OUT if task.wanted is End.TIMED_OUT else End.CANCELLED
    return (
        wanted,
        None,
        task.reason if task.stage is _INTERRUPTED else f"{task.reason}; ended by force after the grace",
    )
