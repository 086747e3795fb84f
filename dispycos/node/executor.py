"""Carries out what `node.execution` decides: tasks begin, are interrupted, end; outcomes leave.

The machine is driven from two threads under one lock: the kernel's, where tasks end and the
client is heard while it waits, and the reactor's, which hears the client while a task runs.
What follows from the end of a task, above all the next task, is done in the kernel's thread
at once, without a detour.

I/O half. Layer 5. Rules D1, N6; R-01 to R-05, DC-53 to DC-57.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from dispycos import frames
from dispycos.config import Limits
from dispycos.events import Heard
from dispycos.kernel import trace
from dispycos.kernel.core import Kernel
from dispycos.kernel.task import Task, is_interruption
from dispycos.messages import (
    CancelTask,
    Define,
    Finish,
    OutcomesSeen,
    Recall,
    Submit,
)
from dispycos.model import End, Incarnation, Payload, Role, TaskSpec
from dispycos.net.delivery import Delivery
from dispycos.net.runner import Runner
from dispycos.node.attempts import (
    Begin,
    BreakOff,
    CloseWanted,
    EndAll,
    EndProcess,
    ForceEnd,
    Interrupt,
    LeaseGiven,
    Phase,
)
from dispycos.node.early import EarlyMessages
from dispycos.node.execution import Execution
from dispycos.node.interrupter import Interrupter
from dispycos.node.namespace import ClientNamespace
from dispycos.node.oversize import smaller
from dispycos.node.page import Page
from dispycos.pickling import values

log = logging.getLogger("dispycos")
trace.leading.add(__name__)

REPORT_EVERY = 0.005  # seconds between messages about ended tasks, while others go on

_NO_TERMINAL = "nobody types at a server: ask in the program, and submit what was answered"

_FROM_CLIENT = (Submit, Recall, CancelTask, OutcomesSeen, Finish)


class Executor:
    """The tasks of this server.

    begun  filled here: task -> attempt and when it began, of those that run.
    end  called, on any thread, when this process is to end: everything is done, or a task
         does not yield (then with the reason).
    """

    def __init__(
        self,
        kernel: Kernel,
        delivery: Delivery,
        namespace: ClientNamespace,
        page: Page,
        limits: Limits,
        interrupter: Interrupter,
        begun: dict[int, tuple[int, float]],
        end: Callable[[str], None],
    ) -> None:
        self._kernel = kernel
        self._interrupter = interrupter
        self._endpoint = endpoint = delivery.endpoint
        self._reactor = endpoint.reactor
        self._early = EarlyMessages(kernel, delivery, limits, self._waits)
        self._namespace = namespace
        self._page = page
        self._limits = limits
        self._end = end
        self._lock = threading.Lock()
        self._machine: Execution | None = None  # None until the client has said who it is
        self._runner: Runner | None = None
        self._lease: LeaseGiven | None = None  # given before that
        self._lease_at = 0.0
        self._begun = begun
        self._ended = 0  # tasks so far
        self._flushed = 0.0  # when outcomes were last handed over
        self._armed = False  # the reactor will look whether some wait
        self._ending = False
        kernel.before_wait.append(self._before_wait)
        for kind in _FROM_CLIENT:
            endpoint.handle(kind, self._heard, who=Role.CLIENT, aside=True)
        endpoint.handle(Define, self._define, who=Role.CLIENT, aside=True)
        endpoint.watch(self._peer_event)

    # What the node and the client say.

    def serve(self, client: Incarnation) -> bool:
        """Work for this client from now on; False: this server has another one."""
        if self._machine is not None:
            return self._machine.client == client
        self._machine = Execution(client, self._limits)
        self._runner = Runner(
            self._machine, self._reactor, self._endpoint, self._perform, lock=self._lock, smaller=smaller
        )
        if self._lease is not None:
            passed = time.monotonic() - self._lease_at
            self.feed(LeaseGiven(self._lease.number, max(0.0, self._lease.seconds - passed)))
        return True

    def lease(self, number: int, seconds: float) -> None:
        """The node hands on the lease."""
        if self._machine is None:
            self._lease, self._lease_at = LeaseGiven(number, seconds), time.monotonic()
        else:
            self.feed(LeaseGiven(number, seconds))

    def end_all(self, grace: float, reason: str) -> None:
        """End everything within `grace` seconds, then `end`."""
        self._ending = True
        if self._machine is None:
            self._end("")
            return
        self.feed(EndAll(grace, reason))
        self._look_for_the_end()

    def feed(self, event: Any) -> None:
        """Let something happen; any thread."""
        if self._runner is not None:
            self._runner.feed(event)
            self._look_for_the_end()

    @property
    def client(self) -> Incarnation | None:
        """Who is worked for; None until he has said so."""
        return None if self._machine is None else self._machine.client

    def begun(self) -> dict[int, tuple[int, float]]:
        """The tasks that run: id -> (attempt, when it began); any thread."""
        return dict(self._begun)

    def ask_to_close(self, node: bool, terminate: bool, restart: bool) -> None:
        """A task called dispycos_close_server or dispycos_close_node."""
        self.feed(CloseWanted(node, terminate, restart))

    def _heard(self, peer: Incarnation, message: Any) -> None:
        self.feed(Heard(peer, message))

    def _define(self, peer: Incarnation, message: Define) -> None:
        # Before the Submit that follows it is looked at, in whatever thread that begins its tasks.
        if self._machine is not None and peer == self._machine.client:
            self._namespace.define(message.function, message.code)

    def _peer_event(self, event: Any) -> None:
        if self._machine is not None and getattr(event, "peer", None) == self._machine.client:
            self.feed(event)

    def _waits(self, id: int) -> bool:
        machine = self._machine
        return machine is not None and machine.has(id)

    def _look_for_the_end(self) -> None:
        machine = self._machine
        if self._ending and machine is not None and machine.phase is Phase.FINISHED and not machine.unsent:
            self._end("")

    # Actions of the machine, in the thread that fed the event.

    def _perform(self, action: Any) -> None:
        kind = type(action)
        if kind is Begin:
            # In the kernel's next step also where this thread is its own: what is unpickled runs
            # code of the client's, and whoever hears messages must not stand still for that.
            self._kernel.post(self._begin, action.spec)
        elif kind is Interrupt:
            self._kernel.post(self._interrupt, action)
        elif kind is BreakOff:
            self._interrupter.ask(action.id, action.reason)
        elif kind is ForceEnd:
            self._kernel.post(self._force, action)
        elif kind is EndProcess:
            self._end(action.reason)
        else:
            raise AssertionError(f"no hand for {action!r}")

    def _interrupt(self, action: Interrupt) -> None:
        task = self._kernel.tasks.get(action.id)
        if task is not None:
            task.interrupt(action.reason)

    def _force(self, action: ForceEnd) -> None:
        task = self._kernel.tasks.get(action.id)
        if task is not None:
            task.terminate(action.reason)

    # On the kernel's thread.

    def _begin(self, first: TaskSpec) -> None:
        """Enter a task. Whatever goes wrong here is the task's outcome, and the next one begins."""
        spec: TaskSpec | None = first
        while spec is not None:
            failed = self._enter(spec)
            spec = None if failed is None else self._over(spec.id, *failed)

    def _enter(self, spec: TaskSpec) -> tuple[End, Payload | None, str] | None:
        """Enter a task; None, or its outcome if it can't be."""
        machine, begun = self._machine, self._begun
        assert machine is not None
        # Into the page first: a death from here on counts it as begun.
        self._page.begin(machine.begun_io if spec.io else machine.begun, spec.io)
        begun[spec.id] = (spec.attempt, time.monotonic())
        self._page.count(len(begun), self._ended)
        try:
            function = self._namespace.function(spec.function)
            args, kwargs = self._namespace.load(spec.args)
        except ModuleNotFoundError as exc:
            # No line of the user's led here: his function has not begun.
            exc.add_note(self._missing(exc))
            return (End.REJECTED, *values.dump_exception(exc.with_traceback(None)))
        except BaseException as exc:
            return (End.REJECTED, *values.dump_exception(exc))
        try:
            self._kernel.spawn(function, args, kwargs, number=spec.id, on_done=self._done)
            if self._early.kept:
                self._early.begun(spec.id)
        except BaseException as exc:
            trace.trim(exc)
            return (End.FAILED, *values.dump_exception(exc))
        return None

    def _done(self, task: Task) -> None:
        """A task of the client has ended."""
        end, value, text = task._end, None, ""
        if end is End.FINISHED:
            try:
                value = values.dump(task._value, what="result")
            except BaseException as exc:
                end = End.FAILED
                value, text = values.dump_exception(exc)
        else:
            error = task._error
            assert error is not None
            if end is not End.FAILED or is_interruption(error):
                end = End.CANCELLED
            if _needs_terminal(error):
                error.add_note(_NO_TERMINAL)
            value, text = values.dump_exception(error)
        spec = self._over(task.number, end, value, text)
        if spec is not None:
            self._begin(spec)

    def _over(self, id: int, end: End, value: Payload | None, text: str) -> TaskSpec | None:
        """Tell the machine how a task ended; answers which one begins now, if one does."""
        attempt, began = self._begun.pop(id)
        self._ended += 1
        self._early.ended(id)
        machine, runner = self._machine, self._runner
        assert machine is not None
        assert runner is not None
        now = time.monotonic()
        ran = now - began
        actions = runner.ask(machine.ended, id, attempt, end, value, text, ran)
        if len(actions) == 1 and type(actions[0]) is Begin:
            spec: TaskSpec | None = actions[0].spec  # the usual case
        else:
            spec = None
            self._page.count(len(self._begun), self._ended)
            runner.carry_out(actions)
        if machine.unsent:
            self._report(now)
        if self._ending:
            self._look_for_the_end()
        return spec

    # Outcomes of a burst of short tasks leave together; none waits behind a long task.

    def _report(self, now: float) -> None:
        if now - self._flushed >= REPORT_EVERY:
            self._flush()
        elif not self._armed:
            # The task that begins next may not yield for an hour.
            self._armed = True
            self._reactor.later(REPORT_EVERY, self._flush_armed)

    def _before_wait(self) -> None:
        machine = self._machine
        if machine is not None and machine.unsent:
            self._flush()

    def _flush_armed(self) -> None:
        self._armed = False
        machine = self._machine
        if machine is not None and machine.unsent:
            self._flush()

    def _flush(self) -> None:
        self._flushed = time.monotonic()
        runner, machine = self._runner, self._machine
        assert runner is not None
        assert machine is not None
        said = runner.ask(lambda now: machine.flush(), flush=False)
        # Before the rest: a flush would have the reactor's thread look after what is written here.
        self._endpoint.write_dirty()
        runner.carry_out(said)
        self._look_for_the_end()

    def _missing(self, exc: ModuleNotFoundError) -> str:
        name = (exc.name or "").partition(".")[0]
        here = self._endpoint
        return (
            f"server {here.location} of node {here.name} has no module {name}: install it on that machine,"
            f" or let it travel among the components, Client([.., {name}])"
        )


def _needs_terminal(error: BaseException) -> bool:
    """Whether input() or breakpoint() raised it, having found an end where people type."""
    kind = type(error)
    if kind is SystemExit:
        # So the debugger leaves from Python 3.14 on.
        trace = error.__traceback__
        return trace is not None and frames.raised_in(trace) == "pdb"
    return (kind is EOFError and str(error) == "EOF when reading a line") or kind.__name__ == "BdbQuit"
