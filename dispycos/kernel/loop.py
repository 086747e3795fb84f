"""Running a kernel on a thread, and what happens when the program ends.

A Loop steps its kernel and blocks on one thread-safe wake-up in between. The first Task of a
program starts the process's own Loop on a daemon thread; a server runs its own in the main
thread instead (`Loop(); own(loop); loop.run()`).

When the main program ends, its non-daemon tasks go on (KE-27). The interpreter has to be held
for that before it begins to refuse threads and executors; see `kernel.program`.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from dispycos import config, forks
from dispycos.errors import Timeout
from dispycos.kernel import builtin_names, event_loop, forked_child, operation, program, trace
from dispycos.kernel.core import Kernel
from dispycos.kernel.operation import Operation
from dispycos.kernel.receiver import Receiver, current
from dispycos.kernel.task import Task
from dispycos.kernel.timers import Timer
from dispycos.kernel.trace import Frame
from dispycos.kernel.wait import Finish, not_ended, seconds
from dispycos.model import End
from dispycos.wording import listed

log = logging.getLogger("dispycos")

FLUSH_INTERVAL = 0.003  # seconds between calls of `before_wait` while the kernel never waits
END_TIMEOUT = 1.0  # seconds that the end of the program waits for daemon tasks to be ended
LOOK_UP = 0.5  # seconds after which who waits for tasks looks whether a signal came
BUG_STATUS = 70  # exit status after a bug in the kernel: EX_SOFTWARE of sysexits.h


class Running(NamedTuple):
    """What a kernel's thread does just now."""

    task: Task
    seconds: float  # since the step began in which it runs
    frames: list[Frame]  # where it is, outermost first


class Waiter(Protocol):
    """Where a kernel's thread waits while it has nothing to do."""

    def wait(self, timeout: float | None) -> None:
        """Wait until `wake`, or for so many seconds; it may return earlier. The kernel's thread."""

    def look(self) -> None:
        """See whether something came, without waiting; called now and then while there is work."""

    def wake(self) -> None:
        """Let `wait` return, now or when it is called next; any thread, signal handlers included."""


class _Latch:
    """A waiter for whom nobody but other threads has work."""

    def __init__(self) -> None:
        self._signal = threading.Lock()  # released to wake the thread, however often
        self._signal.acquire()

    def wait(self, timeout: float | None) -> None:
        self._signal.acquire(timeout=-1 if timeout is None else min(timeout, threading.TIMEOUT_MAX))

    def look(self) -> None:
        """Nobody comes here."""

    def wake(self) -> None:
        try:
            self._signal.release()
        except RuntimeError:
            pass  # it is released: the thread wakes in any case


class Loop:
    """A kernel and the thread that runs it."""

    def __init__(self) -> None:
        self.kernel = Kernel()
        self.kernel.thread = -1  # nobody's, until it runs
        self.kernel.ident = threading.get_ident
        self.kernel.wake = self._wake
        self.kernel.join_in_thread = self._join_task
        self.kernel.join_outside = self._join_outside
        self._waiter: Waiter = _Latch()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._step_began = 0.0  # time.monotonic() when the present step began
        # (priority, order, function, args, kwargs), called once, lowest first.
        self._at_exit: list[tuple[float, int, Callable[..., object], tuple[Any, ...], dict[str, Any]]] = []
        _loops.add(self)

    # Running.

    def start(self) -> None:
        """Run the kernel in a daemon thread of its own. RuntimeError if it runs already."""
        if self._thread is not None:
            raise RuntimeError("this loop runs already")
        self._thread = threading.Thread(target=self.run, name="dispycos kernel", daemon=True)
        self._thread.start()

    def run(self) -> None:
        """Run the kernel in this thread until `stop`.

        Signals are the caller's: a handler may call `stop` or `interrupt_all`, which are safe
        there; Python's own handler of SIGINT would raise in whatever task runs.
        """
        kernel = self.kernel
        me = threading.get_ident()
        kernel.thread = me
        operation.kernel_threads[me] = kernel
        token = current.set(kernel)
        born = forks.generation
        try:
            self._run(kernel)
        except Exception as error:
            if forks.generation != born:
                # What a child raised in what the kernel was at: no bug of the parent's kernel.
                forks.leave(error.__cause__)
            self._give_up(error)
        finally:
            current.reset(token)
            operation.kernel_threads.pop(me, None)
            kernel.thread = -1

    def _run(self, kernel: Kernel) -> None:
        clock, step = time.monotonic, kernel.step
        flushed = 0.0
        while not self._stopping:
            self._step_began = now = clock()
            deadline = step(now)
            if deadline is not None and deadline <= now:
                if now - flushed >= FLUSH_INTERVAL:
                    flushed = now
                    for call in kernel.before_wait:
                        call()
                    self._waiter.look()
                continue
            for call in kernel.before_wait:
                call()
            # From here on whoever brings work wakes us; what was brought before is seen below.
            kernel.asleep = True
            if not (kernel.has_work or self._stopping):
                kernel.idles += 1
                self._waiter.wait(None if deadline is None else max(0.0, deadline - clock()))
            kernel.asleep = False

    def _wake(self) -> None:
        self._waiter.wake()

    def wait_in(self, waiter: Waiter) -> None:
        """Have the thread wait there from now on; any thread."""
        before, self._waiter = self._waiter, waiter
        before.wake()  # it may be there just now

    def leave(self, waiter: Waiter) -> None:
        """Have it wait as at first, if it waits there; any thread."""
        if self._waiter is waiter:
            self.wait_in(_Latch())

    def _give_up(self, error: Exception) -> None:
        # Going on could lose messages or results without a word (K5).
        removed, replaced = builtin_names.put_back()  # before all that needs them
        what = "the kernel broke" if removed else "a bug in the kernel"
        if removed or replaced:
            both = {"removed": removed, "replaced": replaced}
            both = {"removed": removed, "replaced": replaced}
            done = [f"{verb} {listed(names)}" for verb, names in both.items() if names]
            tasks = [str(task) for task in self.kernel.tasks.values()]
            error.add_note(
                f"code that ran here {' and '.join(done)} of Python's builtins, which may be why; "
                f"tasks here: {listed(tasks) if tasks else 'none any more'}"
            )
        log.critical("%s; this process ends", what, exc_info=error)
        program.flush()
        os._exit(BUG_STATUS)

    def _disown(self) -> None:
        # As `forks` has it. What is waited for in the present waiter is the parent's as well.
        self._waiter = _Latch()
        if self.kernel.thread == threading.get_ident():
            forked_child.confine(self.kernel)
        else:
            self._stopping = True
        self.kernel.thread = -1

    def stop(self) -> None:
        """Let `run` return after the present step; any thread, signal handlers included."""
        self._stopping = True
        self._wake()

    # Looking at it.

    @property
    def step_began(self) -> float:
        """When the present or last step began, on `time.monotonic`; any thread."""
        return self._step_began

    @property
    def kept_for(self) -> float:
        """Seconds that the task that runs just now has not yielded, 0 if none does; any thread."""
        return 0.0 if self.kernel.current is None else time.monotonic() - self._step_began

    def running(self) -> Running | None:
        """What runs just now, or None if no task does; any thread."""
        task, began = self.kernel.current, self._step_began
        if task is None:
            return None
        frame = sys._current_frames().get(self.kernel.thread)
        return Running(task, time.monotonic() - began, trace.running_frames(frame))

    # Waiting for tasks.

    def join(self, timeout: float | None = None, show_running: bool = False) -> bool:
        """Wait until no task but daemons lives; False after `timeout` seconds.

        show_running  log the tasks that are waited for.
        RuntimeError inside a task, which would wait for itself.
        """
        if threading.get_ident() in operation.kernel_threads:
            raise RuntimeError("join() in a task would wait for that task: `yield task()` waits for others")
        kernel = self.kernel
        if show_running:
            for task in list(kernel.tasks.values()):
                log.warning("waiting for %s, which is %s", task, task.state)
        limit = seconds(timeout)
        deadline = None if limit is None else time.monotonic() + limit
        told = threading.Event()
        kernel.on_empty.append(told.set)
        try:
            while not kernel.is_empty:
                left = LOOK_UP if deadline is None else min(LOOK_UP, deadline - time.monotonic())
                if left <= 0:
                    return kernel.is_empty
                # Not without end: a signal that comes just before a lock is waited for does not
                # interrupt that wait, and Ctrl-C would have no effect.
                told.wait(left)
                told.clear()
            return True
        finally:
            kernel.on_empty.remove(told.set)

    def _join_task(self, task: Task, timeout: float | None) -> bool:
        if not task.is_alive():
            return True
        if threading.get_ident() in operation.kernel_threads:
            raise RuntimeError(f"value() in a task would block all tasks: `yield` the end of {task}")
        if event_loop.is_held_up():
            raise RuntimeError(
                "value() in a running event loop would block all that runs there: "
                f"`await task.result()` waits for the end of {task}"
            )
        wait = _ThreadJoin(task)
        self.kernel.post(wait.begin)
        try:
            wait.operation.result(timeout)
        except Timeout:
            self.kernel.post(wait._delist, task)
            return not task.is_alive()
        return True

    def _join_outside(self, task: Task, raises: bool, timeout: float | None) -> Operation:
        wait = _OutsideJoin(task, raises, timeout)
        self.kernel.post(wait.begin)
        return wait.operation

    # Ending.

    def interrupt_all(self, reason: str = "") -> None:
        """Raise KeyboardInterrupt in each task; any thread, signal handlers included."""
        for task in list(self.kernel.tasks.values()):
            task.interrupt(reason)

    def at_exit(self, priority: float, function: Callable[..., object], *args: Any, **kwargs: Any) -> None:
        """Call `function` once when the loop ends, after its tasks; lower priorities first."""
        self._at_exit.append((priority, len(self._at_exit), function, args, kwargs))

    def drop_at_exit(self, function: Callable[..., object]) -> None:
        """Take `at_exit` back."""
        self._at_exit = [entry for entry in self._at_exit if entry[2] != function]

    def finish(self) -> None:
        """Wait until no task but daemons lives, then end. RuntimeError inside a task."""
        self.join()
        self.terminate()

    def terminate(self) -> None:
        """End all tasks, call what `at_exit` holds, and stop; a new first Task starts a new loop.

        RuntimeError inside a task.
        """
        if threading.get_ident() in operation.kernel_threads:
            raise RuntimeError("a task can't end the loop that it runs in")
        if self._thread is not None and self._thread.is_alive():
            ended = Operation()
            self.kernel.post(self._terminate_tasks, ended)
            try:
                ended.result(END_TIMEOUT)
            except Timeout:
                log.warning("%s does not yield; the program ends without it", self.kernel.current)
        for _, _, function, args, kwargs in sorted(self._at_exit, key=lambda entry: entry[:2]):
            try:
                function(*args, **kwargs)
            except Exception:
                log.exception("%r failed at the end of the program", function)
        self._at_exit.clear()
        self.stop()
        if self._thread is not None:
            self._thread.join(END_TIMEOUT)
        _disown(self)

    def _terminate_tasks(self, ended: Operation) -> None:
        tasks = list(self.kernel.tasks.values())
        for task in tasks:
            task.terminate(f"{task} was ended by the end of the program")
        if tasks:
            self.kernel.post(self._terminate_tasks, ended)  # in the next step, for those made meanwhile
        else:
            ended.complete()

    def _end_with_program(self, interrupted: bool) -> None:
        """Wait for the tasks after the main program. Ctrl-C interrupts them; again: leave at once.

        It ends the program, unless all tasks that it came to caught it and returned, as with asyncio.run.
        """
        # At a prompt it ended a line, perhaps an hour ago.
        by_interrupt = interrupted and not program.is_interactive()
        came_here = False
        ending: list[Task] | None = None
        while True:
            try:
                if interrupted and ending is None:
                    ending = self._say_what_ends()
                    self.interrupt_all("the program was interrupted")
                    self._leave_if_kept()
                self.join()
                if came_here:
                    by_interrupt = not ending or any(task._end is not End.FINISHED for task in ending)
                # Inside, for what is called at exit may take a while too.
                self.terminate()
                break
            except KeyboardInterrupt:
                if interrupted:
                    program.leave(130)
                interrupted = came_here = True
        if by_interrupt:
            program.end_by_interrupt()

    def _leave_if_kept(self) -> None:
        """Leave if a task does not yield for the grace that it has: it never hears of the Ctrl-C (R-20)."""
        heard = threading.Event()
        self.kernel.post(heard.set)
        grace = config.limits().grace
        if not heard.wait(grace):
            log.warning("a task has not yielded for %g s%s: this process ends", grace, self._where_kept())
            program.leave(130)

    def _where_kept(self) -> str:
        """The line of the program that the task which runs just now is at; "": there is none."""
        running = self.running()
        if running is None or not running.frames:
            return ""
        at = running.frames[-1]
        return f", in {at.filename}, line {at.line}"

    def _say_what_ends(self) -> list[Task]:
        waited_for = [task for task in list(self.kernel.tasks.values()) if not task._daemon]
        if waited_for:
            program.say_interrupted(listed([str(task) for task in waited_for]))
        return waited_for


_loops = forks.each_in_child(Loop._disown)


class _Joining(Operation):
    """Done when a task has ended."""

    __slots__ = ("_task",)

    def __init__(self, task: Task) -> None:
        super().__init__()
        self._task = task

    def _unawaited(self) -> None:
        self._task._unawaited()


class _ThreadJoin(Finish):
    """A plain thread's wait for the end of a task."""

    __slots__ = ("operation",)

    def __init__(self, task: Task) -> None:
        self._task = task
        self._waiter = None
        self.operation = _Joining(task)

    def begin(self) -> None:
        if self._task.is_alive():
            self._enlist(self._task)
        else:
            self.operation.complete()

    def _ended(self) -> None:
        self.operation.complete()


class _OutsideJoin(_ThreadJoin):
    """The wait for a task's end of somebody who is no task of that kernel: asyncio, or a plain thread."""

    __slots__ = ("_raises", "_timeout", "_timer")

    _timer: Timer | None

    def __init__(self, task: Task, raises: bool, timeout: float | None) -> None:
        super().__init__(task)
        self._raises = raises
        self._timeout = timeout
        self._timer = None

    def begin(self) -> None:
        if not self._task.is_alive():
            self._ended()
            return
        self._enlist(self._task)
        if self._timeout is not None:
            self._timer = self._task._kernel.call_later(self._timeout, self._late)

    def _ended(self) -> None:
        if self._timer is not None:
            self._task._kernel.timers.cancel(self._timer)
        value, error = self._task._outcome(self._raises)
        if error is None:
            self.operation.complete(value)
        else:
            self.operation.fail(error)

    def _late(self) -> None:
        self._delist(self._task)
        if self._raises:
            self.operation.fail(not_ended(self._task, self._timeout))
        else:
            self.operation.complete(None)


# The process's own loop.

_own: Loop | None = None
_owning = threading.Lock()


def default() -> Loop:
    """The process's own loop, started if there is none; any thread."""
    global _own
    loop = _own
    if loop is not None:
        return loop
    with _owning:
        if _own is None:
            _own = Loop()
            program.hold(_at_program_end)
            _own.start()
        return _own


def is_default(loop: Loop) -> bool:
    """Whether `loop` is the process's own, and was not ended; any thread."""
    return _own is loop


def own(loop: Loop) -> None:
    """Make `loop` the process's own, before anything has started one. Who does this runs it and ends it."""
    global _own
    with _owning:
        if _own is not None:
            raise RuntimeError("this process has a loop already: own() comes before the first Task")
        _own = loop


def _disown(loop: Loop) -> None:
    global _own
    with _owning:
        if _own is loop:
            _own = None


def current_kernel() -> Kernel:
    """The kernel that the calling thread runs, else the process's own."""
    kernel: Kernel | None = operation.kernel_threads.get(threading.get_ident())
    return kernel if kernel is not None else default().kernel


def current_task() -> Task | None:
    """The task that the calling thread runs, or None."""
    kernel: Kernel | None = operation.kernel_threads.get(threading.get_ident())
    return None if kernel is None else kernel.current


def _at_program_end(interrupted: bool) -> None:
    loop = _own
    if loop is not None and loop._thread is not None:
        loop._end_with_program(interrupted)


def _after_fork() -> None:
    # The threads stayed in the parent, and its tasks with them: the child begins anew.
    global _own, _owning
    _own = None
    _owning = threading.Lock()
    current.set(None)


forks.in_child(_after_fork)

Receiver._default = staticmethod(current_kernel)  # type: ignore[method-assign]  # the pure half has no threads
