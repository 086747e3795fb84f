"""The kernel: which task runs next, and what becomes of what it yields.

A step runs each task that was ready when it began once, in order (K2), up to its next `yield`
that is not answered at once. What a task yields is a wait (it sleeps until that ends it), a
generator or coroutine (it is run as a subroutine), or anything else (a scheduling point that
gives the value back). A refusal is raised: it stands where a Task was to be waited for.

Not here: the thread it runs on, the clock, and how it sleeps. `kernel.loop` has those.

Pure: no I/O, clock or randomness. Rules K1 to K7.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from itertools import count, repeat
from types import CoroutineType, GeneratorType
from typing import Any, ClassVar
from weakref import WeakValueDictionary

from dispycos.errors import HotSwapException, InternalError, TaskCancelled
from dispycos.frames import set_traceback, traceback_of, with_traceback
from dispycos.kernel import unwaited
from dispycos.kernel.network import Kind, Names, Outside
from dispycos.kernel.refusal import Refused
from dispycos.kernel.target import Runnable
from dispycos.kernel.task import FINISHED, Task, _Terminate
from dispycos.kernel.timers import Timer, Timers
from dispycos.kernel.wait import AT_ONCE, Raise, Waitable, seconds
from dispycos.model import End

log = logging.getLogger("dispycos")

# Subroutines in subroutines. A runaway recursion gets RecursionError before it takes the memory.
MAX_DEPTH = 100_000

# Waits in a row that were answered at once, after which others get their turn all the same (KE-04).
MAX_AT_ONCE = 16

_CLOSES = 3  # times that a generator may swallow GeneratorExit before it is left to the collector


class _Ended:
    """What a run answers when there is no task left to go on with."""


_ENDED = _Ended()


def _nothing() -> None:
    pass


class Kernel:
    """Tasks, and the queue of those that are ready.

    Attributes of use to others:
    current      the Task that runs, or None.
    tasks        those that live, by number.
    channels     channels and RPS that somebody holds, by number.
    names        registered tasks and channels.
    network      this process's face to others; None until it has one.
    before_wait  called on the kernel's thread each time before it would block, and every
                 few milliseconds while it is busy.
    idles        how often it has blocked.
    on_empty     called on the kernel's thread whenever the last non-daemon task has ended.
    """

    # Whether `raise StopIteration(v)` returns v from a generator, as it did before Python 3.7;
    # for programs of that time (CO-11).
    old_returns: ClassVar[bool] = False

    def __init__(self) -> None:
        self.current: Task | None = None
        self.tasks: dict[int, Task] = {}
        self.channels: WeakValueDictionary[int, Any] = WeakValueDictionary()
        self.names = Names()
        self.network: Outside | None = None
        self.before_wait: list[Callable[[], object]] = []
        self.on_empty: list[Callable[[], object]] = []
        self.idles = 0
        self.now = 0.0  # seconds; what the present step was given
        self.timers = Timers()
        self.ready: deque[Task] = deque()  # at most one entry a live task
        self.swaps: dict[int, Task] = {}  # tasks that are to be hot-swapped
        # Calls from other threads, and those that are to wait for the next step. What crosses
        # is bounded where it comes from: the network's windows, the callers' own threads.
        self._posted: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._daemons: set[int] = set()
        self.numbers = count(1)
        # The thread that steps it, and how a thread knows itself. A kernel without a loop is
        # stepped by whoever holds it.
        self.ident: Callable[[], int] = int
        self.thread = 0
        # Whether its thread may be blocked, and what unblocks it.
        self.asleep = False
        self.wake: Callable[[], object] = _nothing
        # Waits in a plain thread for a task's end, at most so many seconds; False at the time-out.
        self.join_in_thread: Callable[[Task, float | None], bool] = _cannot_block
        # An Operation of a task's end, for who is no task of this kernel.
        self.join_outside: Callable[[Task, bool, float | None], Any] = _cannot_block

    @property
    def here(self) -> bool:
        """Whether the caller runs on the kernel's own thread."""
        return self.ident() == self.thread

    # Tasks.

    def spawn(
        self,
        target: Callable[..., Any],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        *,
        number: int | None = None,
        name: str | None = None,
        daemon: bool = False,
        on_done: Callable[[Task], object] | None = None,
    ) -> Task:
        """Run `target(*args, **kwargs)` as a task; kernel thread, or before the kernel runs.

        number   its id, if a client made one (model.CLIENT_MADE); None: the next of this process.
        on_done  called with the Task when it has ended, on the kernel's thread: `_end`, `_value`
                 and `_error` say how.
        TypeError if target is no generator function or async def, or does not take the arguments.
        """
        task: Task = Task.__new__(Task)
        if number is None:
            number = next(self.numbers)
        task._begin(self, number, target, args, {} if kwargs is None else kwargs)
        if name is not None:
            task._name = name
        if on_done is not None:
            task._on_done = on_done
        if daemon:
            task.set_daemon()
        return task

    def new_number(self) -> int:
        """An id that no task or channel of this process had or will have; any thread."""
        return next(self.numbers)

    def mark_daemon(self, task: Task) -> None:
        """Note that the end of the program waits, or does not wait, for a task; any thread."""
        self._daemons.discard(task.number)
        if task._daemon and task.is_alive():
            self._daemons.add(task.number)
            if not task.is_alive():
                self._daemons.discard(task.number)  # it ended meanwhile, in its own thread
            self.post(self.tell_empty)

    @property
    def is_empty(self) -> bool:
        """Whether no task but daemons lives; any thread."""
        return len(self.tasks) <= len(self._daemons)

    def lasting(self) -> list[Task]:
        """The tasks that the end of the program waits for; any thread."""
        return [task for number, task in list(self.tasks.items()) if number not in self._daemons]

    def tell_empty(self) -> None:
        """Tell those of `on_empty`, if it is so."""
        if self.is_empty:
            for call in list(self.on_empty):
                call()

    # From other threads.

    def post(self, function: Callable[..., object], *args: Any) -> None:
        """Call `function(*args)` on the kernel's thread, before its next step; any thread."""
        self._posted.append((function, args))
        if self.asleep:
            self.rouse()

    def newest(self, argument: object) -> bool:
        """Whether what was posted last, and did not run yet, has this argument; any thread."""
        try:
            return any(one is argument for one in self._posted[-1][1])
        except IndexError:
            return False

    def rouse(self) -> None:
        """Unblock the kernel's thread, once a burst."""
        self.asleep = False
        self.wake()

    @property
    def has_work(self) -> bool:
        """Whether a step has something to do whatever the time is."""
        return bool(self.ready or self._posted or self.timers.fresh)

    # Names.

    def register(self, kind: Kind, name: str, receiver: Any) -> int:
        """0, or -1 if the name belongs to another; any thread."""
        done = self.names.register(kind, name, receiver)
        if done == 0:
            self.post(self.names.announce, kind, name)
        return done

    def unregister(self, kind: Kind, name: str, receiver: Any) -> int:
        """0, or -1 if `receiver` has not this name; any thread."""
        return self.names.unregister(kind, name, receiver)

    # Time.

    def call_later(self, delay: float, function: Callable[..., object], *args: Any) -> Timer:
        """Call `function(*args)` after `delay` seconds; kernel thread. `timers.cancel` takes it back."""
        delay_seconds = seconds(delay)
        if delay_seconds is None:
            raise ValueError(f"a call after {delay!r} seconds is never made")
        return self.timers.add(delay_seconds, function, *args)

    # Running.

    def step(self, now: float) -> float | None:
        """Run what is ready, once; the kernel's thread.

        now  seconds; never less than before.
        Answers when to step again: a time that is not after `now` if more is ready, None if
        nothing waits for a time. A call to `post` is a reason to step in any case.

        InternalError: a bug in the kernel, or in what was posted to it. It can't go on then.
        """
        self.now = now
        timers = self.timers
        ready = self.ready
        try:
            if self._posted:
                self._run_posted()
            if timers.fresh or timers.heap:
                timers.advance(now)
            # The hot path, written for speed: no call but those that each task needs.
            for _ in repeat(None, len(ready)) if ready else ():
                self.current = task = ready.popleft()
                if task._attention is not None and not self._may_go_on(task):
                    self._take(task, self._attend(task))
                    continue
                more = MAX_AT_ONCE
                while True:
                    try:
                        value = task._generator.send(task._input)
                    except BaseException as error:
                        raised = error
                    else:
                        if value is None or (
                            # What `send` answered; in a coroutine it is another loop's.
                            type(value) is int
                            and task._attention is None
                            and type(task._generator) is GeneratorType
                        ):
                            task._input = value
                            ready.append(task)
                        elif isinstance(value, Waitable) and task._attention is None:
                            waiting = value._wait(task)
                            if waiting is AT_ONCE:
                                granted: Any = task._attention
                                if more and granted is None:
                                    more -= 1
                                    continue
                                if more and isinstance(granted, Waitable):
                                    more -= 1
                                    task._attention = None
                                    task._input = granted._collect(task)
                                    continue
                                ready.append(task)
                            elif waiting is None:
                                ready.append(task)
                            else:
                                task._waiting = waiting
                        else:
                            self._take(task, value)
                        break
                    # Outside the handler: what runs now must not find an exception being handled.
                    if type(raised) is StopIteration and not task._stack:
                        task._finish(FINISHED, raised.value, None)
                    else:
                        self._take(task, self._unwind(task, raised))
                    del raised
                    break
            if self.swaps:
                self._swap()
        except Exception as error:
            raise InternalError(
                f"the kernel broke while it ran {self.current or 'no task'}: {error!r}"
            ) from error
        finally:
            self.current = None
        if ready or self._posted or timers.fresh:
            return now
        return timers.next_deadline() if timers.heap else None

    def _run_posted(self) -> None:
        posted = self._posted
        for _ in range(len(posted)):
            function, args = posted.popleft()
            function(*args)

    def _may_go_on(self, task: Task) -> bool:
        """Take what a wait has granted; False if an exception is the answer."""
        attention = task._attention
        if isinstance(attention, Waitable):
            task._attention = None
            task._input = attention._collect(task)
            return True
        return False

    def _take(self, task: Task, value: Any) -> None:
        """Do what a task asks for by yielding `value`."""
        if value is _ENDED:
            return
        kind = type(value)
        if task._attention is not None:
            # The task has something thrown into it where it stands, so it won't wait there.
            if kind is GeneratorType or kind is CoroutineType:
                _close(value)
        elif isinstance(value, Waitable):
            waiting = value._wait(task)
            if waiting is not None and waiting is not AT_ONCE:
                task._waiting = waiting
                return
        elif kind is GeneratorType or kind is CoroutineType:
            self._call(task, value)
        elif value is not None and type(task._generator) is CoroutineType:
            task._attention = _foreign(value)
        elif kind is Refused:
            task._attention = value.yielded()
        else:
            if isinstance(value, Task):
                unwaited.given_back(task._generator)
            task._input = value
        self.ready.append(task)

    def _call(self, task: Task, subroutine: Runnable) -> None:
        """Let `task` go on in a subroutine."""
        stack = task._stack
        if stack is None:
            task._stack = [task._generator]
        elif len(stack) < MAX_DEPTH:
            stack.append(task._generator)
        else:
            _close(subroutine)
            task._attention = RecursionError(f"{task} is {MAX_DEPTH} subroutines deep")
            return
        task._generator = subroutine
        task._input = None

    def _attend(self, task: Task) -> Any:
        """Run a task into which something is thrown."""
        attention = task._attention
        task._attention = None
        if isinstance(attention, _Terminate):
            return self._drop(task, attention.reason)
        if isinstance(attention, Raise):
            attention = with_traceback(attention.error, attention.traceback)
        try:
            return task._generator.throw(attention)
        except BaseException as error:
            raised = error
        return self._unwind(task, raised)

    def _unwind(self, task: Task, error: BaseException) -> Any:
        """Go on after the innermost subroutine returned or raised; answer what is yielded next."""
        while True:
            if self.old_returns and type(error) is RuntimeError:
                error = _as_return(error)
            stack = task._stack
            returned = type(error) is StopIteration
            if not returned and (tb := traceback_of(error)) is not None:
                set_traceback(error, tb.tb_next)  # our own frame
            if stack:
                task._generator = generator = stack.pop()
            elif returned:
                task._finish(FINISHED, error.value, None)  # type: ignore[attr-defined]  # StopIteration
                return _ENDED
            elif issubclass(type(error), HotSwapException) and _is_runnable(error):
                task._generator = generator = error.args[0]
                task._swappable = False
                error = StopIteration(None)
                returned = True
            else:
                task._fail(error)
                return _ENDED
            try:
                if returned:
                    return generator.send(error.value)  # type: ignore[attr-defined]  # StopIteration
                return generator.throw(error)
            except BaseException as following:
                error = following

    def _drop(self, task: Task, reason: str) -> Any:
        """End a task for good, from its innermost subroutine outwards."""
        while True:
            task._error = _close(task._generator) or task._error
            if not task._stack:
                break
            task._generator = task._stack.pop()
        if task._error is not None:
            task._fail(task._error)
        else:
            task._finish(End.CANCELLED, None, TaskCancelled(reason))
        return _ENDED

    def _swap(self) -> None:
        for number, task in list(self.swaps.items()):
            if task._end is not None or task._try_swap():
                self.swaps.pop(number, None)


def _close(generator: Any) -> BaseException | None:
    """Close a generator; answer what it raised meanwhile, unless that was only its refusal to end."""
    for _ in range(_CLOSES):
        try:
            generator.close()
            return None
        except RuntimeError as error:
            if not str(error).endswith("ignored GeneratorExit"):
                return error
        except BaseException as error:
            return error
    return None


def _foreign(value: object) -> TypeError:
    kind = type(value)
    return TypeError(
        f"a task can't await {kind.__module__}.{kind.__qualname__}: {value!r} belongs to another event loop"
    )


def _as_return(error: RuntimeError) -> BaseException:
    """What `raise StopIteration(v)` was meant to be, which Python turns into a RuntimeError."""
    cause = error.__cause__
    if type(cause) is StopIteration and str(error).endswith("raised StopIteration"):
        return StopIteration(cause.value)
    return error


def _is_runnable(swap: BaseException) -> bool:
    return bool(swap.args) and type(swap.args[0]) in (GeneratorType, CoroutineType)


def _cannot_block(task: Task, *_how: Any) -> bool:
    raise RuntimeError(f"nothing steps the kernel of {task}: who waited for it would wait for ever")
