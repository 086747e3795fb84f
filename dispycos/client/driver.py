"""The driver of one client: its two machines, their events and what they ask for.

`fleet` and `dispatch` run under one lock, from whatever thread something happens in: tasks
are submitted on the kernel's thread or a plain one, the fleet hears on the reactor's, dispatch
on that which read the message, the kernel's or the reactor's.
What they answer for other processes is handed to the endpoint before the lock is released,
so it leaves in the order in which it was answered. What they answer for the program is
*news*: it crosses to the kernel's thread in one batch per wake-up and keeps its order too.

I/O half. Layer 5. Rules D1, D3, N7.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dispycos import validation
from dispycos.client import events
from dispycos.client.demand import Work
from dispycos.client.dispatch import Dispatch
from dispycos.client.fleet import Fleet
from dispycos.client.forked import Elsewhere
from dispycos.client.listener import Listener
from dispycos.client.orders import (
    Answered,
    AwaitNoMore,
    AwaitServers,
    ForceServer,
    Notify,
    SayDemand,
    SendFiles,
    ServersMissing,
    ServersThere,
)
from dispycos.client.parking import Parking
from dispycos.client.reporting import Reporting
from dispycos.client.request import Placing, Request
from dispycos.client.servers_wait import ServersWait
from dispycos.client.shipping import is_large, portions
from dispycos.client.submission import (
    AllDone,
    CloseNow,
    Drained,
    Ended,
    EndServer,
    NodeExpected,
    NodeGone,
    Placed,
    Stage,
    Submission,
)
from dispycos.events import Dial, Forget, Heard, Note, Say, StopDialling
from dispycos.kernel.core import Kernel
from dispycos.kernel.operation import Operation
from dispycos.messages import NodeReport, Recalled, ServerEnded, Submit
from dispycos.model import DispycosStatus, End, Incarnation, Status
from dispycos.net.alarm import Alarm
from dispycos.net.endpoint import BURST, Endpoint

log = logging.getLogger("dispycos")

# A check of every invariant looks at each living task: with many of them it is made now and then.
CHECK_ALWAYS = 200  # tasks
CHECK_EVERY = 100  # events, beyond that

_FOR_DISPATCH = frozenset(
    {
        events.ServerUsable,
        events.ServerSuspended,
        events.ServerResumed,
        events.ServerSuspect,
        events.ServerBack,
        events.LeaseChanged,
        events.ServerClosing,
        events.ServerGone,
        events.NoServers,
        NodeGone,
    }
)

# The answer to a submission of which its caller learns otherwise, as a Future does.
_NOBODY_WAITS = Operation(None)

_tickets = itertools.count(1)  # of orders; unique in this process, so that one scheduler may serve several


class Driver:
    """Drives the machines of one client."""

    def __init__(
        self, kernel: Kernel, endpoint: Endpoint, fleet: Fleet, dispatch: Dispatch, listener: Listener
    ) -> None:
        self.kernel = kernel
        self.endpoint: Any = endpoint
        self.fleet = fleet
        self.dispatch = dispatch
        self._listener = listener
        self._reactor = endpoint.reactor
        self._lock: Any = threading.Lock()
        self._elsewhere: Elsewhere | None = None
        self._said = False  # something waits in the endpoint; set when it does, by who has the lock
        self._dirty = False  # dispatch may have placed tasks that are not said yet
        self._large = False  # some of them may be large
        self._told = False  # the reactor has been told of that
        # What the kernel's thread is to hear; it stands for tasks and statuses that exist, so
        # the program's own pace bounds it.
        self._news: list[Any] = []  # for the kernel's thread, and not posted yet
        # What was posted last and is not heard yet. News join it unless something else was posted
        # since: a task's last message comes before the news of its end.
        self._batch: list[Any] | None = None
        self._reporting = Reporting(fleet, dispatch, lambda: listener.monitor, self._say)
        self._orders: dict[int, Operation] = {}  # each has a waiter, and is answered once
        self._awaited: dict[int, ServersWait] = {}  # likewise
        self._for_fleet: list[Any] = []  # what dispatch answered for it: fed when its own actions are done
        self._parking = Parking()
        self._alarm = Alarm(self._reactor, self._tick)
        self._unchecked = 0
        self._deadlines: tuple[float | None, float | None] = (None, None)
        kernel.before_wait.append(self._before_wait)
        # Whether somebody flushes while a task keeps the kernel from it.
        self._watched_over = endpoint.when_kept(self._flush_kept)

    # Events.

    def feed(self, event: Any) -> None:
        """Let something happen to the fleet; any thread."""
        with self._lock:
            now = time.monotonic()
            self._of_fleet(self.fleet.handle(event, now), now)
            self._settle(now)
        self._after()

    def hear_fleet(self, peer: Incarnation, message: Any) -> None:
        """A message of scheduler, node or server that the fleet wants; reactor thread."""
        if type(message) is ServerEnded:
            # What it said before it died goes before the proof of its death.
            self.endpoint.read_out(message.server)
        self.feed(Heard(peer, message))

    def hear_dispatch(self, peer: Incarnation, message: Any) -> None:
        """A message of a server about its tasks; the thread that read it."""
        with self._lock:
            now = time.monotonic()
            if validation.ON:
                validation.compare(self.dispatch, peer, message)
            self._of_dispatch(self.dispatch.handle(Heard(peer, message), now), now)
            if type(message) is Recalled:
                self._let_leave()
            elif type(message) is NodeReport:
                self._reporting.say_counts()
            self._settle(now)
        self._after()

    def tell_counts(self) -> None:
        """Where our monitor is has changed; any thread."""
        with self._lock:
            self._reporting.say_counts()
        self._after()

    def tell_dispatch(self, event: Any) -> None:
        """Closing, CancelAll or CloseNow; any thread."""
        with self._lock:
            now = time.monotonic()
            self._of_dispatch(self.dispatch.handle(event, now), now)
            self._settle(now)
        self._after()

    def order(self, make: Callable[[int], Any]) -> tuple[int | None, Operation]:
        """Give the fleet an order; any thread.

        make  the order, from its ticket. Answers what is known at once (None: not yet), and the
        Operation that gets the code in its order among the statuses; other than 0 is logged.
        """
        ticket = next(_tickets)
        operation = self._orders[ticket] = Request(self)
        code = None
        with self._lock:
            now = time.monotonic()
            # What the program asked for before goes before: a task that it has got is on its way.
            self._flush_now(now)
            actions = self.fleet.handle(make(ticket), now)
            for action in actions:
                if type(action) is Answered and action.ticket == ticket:
                    code = action.code
            self._of_fleet(actions, now)
            self._settle(now)
        self._after()
        return code, operation

    # Waiting for servers.

    def await_servers(self, count: int, timeout: float | None) -> ServersWait:
        """The answer gets the servers when there are so many; any thread. `timeout`: seconds."""
        ticket = next(_tickets)
        wait = self._awaited[ticket] = ServersWait(self, ticket, count)
        self.feed(AwaitServers(ticket, count, timeout))
        return wait

    def await_no_more(self, ticket: int) -> None:
        """Nobody waits for that answer any more; any thread. May be repeated."""
        if self._awaited.pop(ticket, None) is not None:
            self.feed(AwaitNoMore(ticket))

    def why_no_more(self) -> str:
        """How many servers there are, and what keeps more of them away; any thread."""
        with self._lock:
            return self.fleet.prospects.why_no_more(time.monotonic())

    # Tasks.

    def submit(self, task: Submission, large: bool = False, awaited: bool = True) -> Operation:
        """Take a task; any thread. The answer gets its handle when it is placed, or a refusal.

        Placed and Ended go to the listener.
        awaited  False: nobody waits for the answer, and it says nothing.
        """
        kernel, dispatch = self.kernel, self.dispatch
        placed, request = None, _NOBODY_WAITS
        with self._lock:
            actions = dispatch.submit(task, time.monotonic())
            self._dirty = True
            if large:
                self._large = True
            if (
                len(actions) == 1
                and type(actions[0]) is Placed
                and kernel.ident() == kernel.thread
                and self._batch is None
                and not self._news
            ):
                # The usual case: there is a credit, and who waits for the answer is in this thread.
                placed = actions[0]
            else:
                if awaited:
                    request = task.owner._request = Placing(self, task)
                self._of_dispatch(actions, 0.0)
            if validation.ON:
                self._check(task)
        if placed is None:
            self._after(dispatch.full)
            return request
        self._listener.placed(placed)
        if dispatch.placement.full:
            self.flush()
        elif not self._watched_over:
            self._flush_soon()
        return Operation(task.owner) if awaited else request

    def define(self, function: Any, code: Any) -> None:
        """Make a definition known before a task names it; any thread."""
        with self._lock:
            self.dispatch.define(function, code)

    def forget(self, functions: Any) -> None:
        """Keep these definitions no longer, but for those that living tasks name; any thread."""
        with self._lock:
            self.dispatch.forget(functions)

    def defined(self, function: Any) -> bool:
        return self.dispatch.defined(function)

    def demand(self) -> Work:
        """The work that its tasks are, and the servers that are waited for; any thread."""
        with self._lock:
            return self._reporting.demand()

    def expect(self, node: Incarnation) -> None:
        """Tasks for a node of the fleet wait while it has no usable server; any thread."""
        with self._lock:
            if node in self.fleet.nodes_held:
                self._of_dispatch(self.dispatch.handle(NodeExpected(node), 0.0), 0.0)

    def why(self) -> str:
        """What keeps tasks from being placed, or the close from ending; "": nothing does. Any thread."""
        with self._lock:
            return self.fleet.why(time.monotonic())

    def why_waiting(self, id: int) -> str:
        """Why a task has no server yet; "": nothing is in its way. Any thread."""
        with self._lock:
            now = time.monotonic()
            return self.fleet.why(now) or self.dispatch.why_waiting(id, now)

    def cancel(self, id: int, reason: str, end: End, grace: float | None = None) -> bool:
        """End a task: False if it had ended; any thread. `grace`: seconds; None: as the limits say."""
        with self._lock:
            now = time.monotonic()
            will, actions = self.dispatch.cancel(id, reason, now, end, grace)
            self._of_dispatch(actions, now)
            self._settle(now)
        self._after()
        return will

    def hold(self, task: Submission, say: Callable[[], object]) -> bool:
        """Somebody sends to, or passes on, a task: it stays where it is from now on.

        True: `say` may be called now. False: the task has no place just now, or is being
        recalled from it; `say` is called when that is settled.
        """
        with self._lock:
            if self._parking.parks(task, say):
                return False
            self.dispatch.pin(task.id)
            if task.stage is Stage.PLACED:
                # It goes there ahead of what is said to it.
                self._flush_now(time.monotonic())
            self._listener.settled(task)
        self._write()
        return True

    def _unpark(self) -> None:
        with self._lock:
            self._let_leave()
        self._write()

    def _let_leave(self) -> None:
        for task in self._parking.leave():
            self.dispatch.pin(task.id)
            self._flush_now(time.monotonic())
            self._listener.settled(task)
            self._reactor.call(self._say_parked, task)

    def _say_parked(self, task: Submission) -> None:
        with self._lock:
            calls = self._parking.take(task)
        # Each by itself, and not under the lock: they may pickle, and fail.
        for say in calls:
            self._reactor.call(say)
        if calls:
            self._reactor.call(self._say_parked, task)

    # What the machines answer; under the lock.

    def _of_fleet(self, actions: list[Any], now: float) -> None:
        for action in actions:
            kind = type(action)
            if kind is Say:
                self._say(action)
            elif kind in _FOR_DISPATCH:
                if kind is events.ServerUsable:
                    action = self._with_first(action)
                self._of_dispatch(self.dispatch.handle(action, now), now)
                if kind is events.ServerGone:
                    self._listener.server_gone(action.server)
                elif kind is events.NoServers:
                    self._listener.no_servers(action.reason, action.lasting)
            elif kind is Dial:
                self._reactor.call(self._dial, action)
            elif kind is StopDialling:
                self._reactor.call(self.endpoint.stop_dialling, action.location)
            elif kind is Forget:
                self._reactor.call(self.endpoint.forget, action.peer, action.reason)
            elif kind is Note:
                log.log(getattr(logging, action.level.upper()), "%s", action.text)
            elif kind is SendFiles:
                self._reactor.call(self._listener.send_files, action.node)
            elif kind is SayDemand:
                self._reporting.say_demand(action.anew)
            else:
                if kind is Notify and type(action.message) is DispycosStatus:
                    self._of_turn(action.message, now)
                self._news.append(action)

    def _with_first(self, action: events.ServerUsable) -> events.ServerUsable:
        first = self._listener.server_usable(action.server)
        if any(task.args is not None and is_large(task.args) for task in first):
            self._large = True
        return replace(action, first=tuple(first))

    def _of_turn(self, message: DispycosStatus, now: float) -> None:
        if message.status is Status.ClientScheduled:
            self._listener.turn_begun(self.fleet.turn.reservation)
            self._reporting.say_counts()  # before a node's first pulse, and if there never is one
        elif message.status is Status.ClientClosed:
            # What lives ends now, so that this status is the last one (ST-01).
            reason = message.reason or "the client's turn is over"
            self._of_dispatch(self.dispatch.handle(CloseNow(reason), now), now)

    def _dial(self, action: Dial) -> None:
        self.endpoint.dial(action.location, reservation=action.reservation)

    def _of_dispatch(self, actions: list[Any], now: float) -> None:
        self._dirty = True
        for action in actions:
            kind = type(action)
            if kind is Say:
                self._say(action)
            elif kind is Ended or kind is Placed:
                self._news.append(action)
                if self._parking and action.task in self._parking:
                    self._reactor.call(self._unpark)
            elif kind is AllDone:
                self._news.append(action)
            elif kind is Note:
                log.log(getattr(logging, action.level.upper()), "%s", action.text)
            elif kind is EndServer:
                self._for_fleet.append(ForceServer(action.server, action.reason))
            else:
                assert kind is Drained, f"nobody carries out {action!r}"

    def _settle(self, now: float) -> None:
        """Bring an event to its end: all that the machines have for each other, and their checks."""
        while self._for_fleet:
            self._of_fleet(self.fleet.handle(self._for_fleet.pop(0), now), now)
        # Under the lock: who is asked may tidy up.
        self._deadlines = (self.fleet.next_deadline(), self.dispatch.next_deadline())
        self._check()

    def _say(self, action: Say) -> None:
        parts = [action.message]
        if self._large and type(action.message) is Submit:
            parts = portions(action.message)
        try:
            for part in parts:
                self.endpoint.queue(action.peer, part)
                # Not before: who writes clears it, and would find nothing yet.
                self._said = True
        except Exception as error:
            # Its tasks have an end then.
            self.endpoint.could_not_say(action.peer, action.message, error)

    def _flush_now(self, now: float) -> None:
        if self._dirty:
            self._dirty = False
            for action in self.dispatch.flush(now):
                self._say(action)
            self._large = False

    # After the lock is released.

    def _after(self, full: bool = False) -> None:
        """Write, tell the kernel's thread, set the timer: what the events of this thread led to."""
        if self._news:
            with self._lock:
                if self._news:
                    self._post_news()
        if self._dirty:
            if full or (self._reactor.here and (self._batch is None or self.dispatch.placement.line.count)):
                with self._lock:
                    self._flush_now(time.monotonic())
            elif self._reactor.here:
                # What was placed last was waited for: who waited runs now and may have more for
                # the same message. Only if the kernel is kept from waiting do we write.
                self._flush_soon()
            elif not self.kernel.here:
                # From a plain thread: whatever comes until the reactor looks is one batch.
                if not self._told:
                    self._told = True
                    self._reactor.call(self._flush_told)
            elif not self._watched_over:
                # On the kernel's own thread a burst lasts until it waits: see _before_wait.
                self._flush_soon()
        self._write()
        self._rearm()

    def _write(self) -> None:
        if self._said:
            self._said = False
            self.endpoint.flush()

    def _flush_soon(self) -> None:
        if not self._told:
            self._told = True
            self._reactor.later(BURST, self._flush_told)

    def _flush_kept(self) -> None:
        """A task keeps the kernel from waiting: what it asked for is on its way all the same."""
        if self._dirty:
            self.flush()

    def _flush_told(self) -> None:
        self._told = False
        self.flush()

    def flush(self) -> None:
        """Hand over what was placed; any thread."""
        with self._lock:
            self._flush_now(time.monotonic())
        self._write()

    def _before_wait(self) -> None:
        if self._dirty:
            with self._lock:
                self._flush_now(time.monotonic())
            if self._said:
                self._said = False
                # The kernel is about to wait: there is no better moment, and nobody else to do it.
                self.endpoint.write_dirty()

    def _post_news(self) -> None:
        if self._batch is not None and self.kernel.newest(self._batch):
            self._batch += self._news
        else:
            self._batch = self._news
            self.kernel.post(self._hear_news, self._batch)
        self._news = []

    def _hear_news(self, batch: list[Any]) -> None:
        with self._lock:
            # From here on nothing joins it.
            if self._batch is batch:
                self._batch = None
        listener = self._listener
        for action in batch:
            kind = type(action)
            if kind is Ended:
                listener.ended(action)
            elif kind is Placed:
                listener.placed(action)
            elif kind is Answered:
                if action.code:
                    log.warning("%s", action.reason)
                operation = self._orders.pop(action.ticket, None)
                if operation is not None:
                    operation.complete(action.code)
            elif kind is AllDone:
                listener.all_done()
            elif kind is ServersThere or kind is ServersMissing:
                if (wait := self._awaited.pop(action.ticket, None)) is not None:
                    wait.answer(action)
            else:
                listener.news(action)

    # Time.

    def _rearm(self) -> None:
        self._alarm.set(*self._deadlines)

    def _tick(self) -> None:
        with self._lock:
            now = time.monotonic()
            for machine, perform in ((self.fleet, self._of_fleet), (self.dispatch, self._of_dispatch)):
                due = machine.next_deadline()
                if due is not None and due <= now:
                    perform(machine.tick(now), now)
            self._settle(now)
        self._after()

    def disown(self, why: str) -> None:
        """In a forked child: everything that is asked of it raises Closed (`client.forked`)."""
        self._lock = self.endpoint = self._elsewhere = Elsewhere(why)

    def must_be_here(self) -> None:
        """Closed, if this process is a forked child of that which submits its tasks."""
        if self._elsewhere is not None:
            self._elsewhere.refuse()

    def stop(self) -> None:
        """Drive no more; reactor thread."""
        self._alarm.stop()
        if self._before_wait in self.kernel.before_wait:
            self.kernel.before_wait.remove(self._before_wait)

    # Invariants.

    def _check(self, event: Any = None) -> None:
        if not validation.ON:
            return
        self._unchecked += 1
        if len(self.dispatch.tasks) > CHECK_ALWAYS and self._unchecked < CHECK_EVERY:
            return
        self._unchecked = 0
        validation.check(self.fleet, event)
        validation.check(self.dispatch, event)
