"""Tasks: what users run, join, message, monitor and end.

A Task is a generator or coroutine that the kernel drives, with a stack of the subroutines it
is in, a mailbox, and what is known of its end. Its states (K1) need no field of their own:
done has an `_end`, running is `kernel.current`, waiting has a `_waiting`, else it is ready.

`send`, `resume`, `throw`, `interrupt` and `terminate` may be called in any thread (K7). A
reference to a task of another process is a subclass that overrides the public methods; so
whatever concerns *another* task goes through its public methods.

Pure: no I/O, clock or randomness. Rules K1, K4 to K8.
"""

from __future__ import annotations

import logging
from collections import OrderedDict, deque
from collections.abc import Callable
from types import FunctionType
from typing import Any, ClassVar, NoReturn

from dispycos.errors import HotSwapException
from dispycos.frames import with_traceback
from dispycos.kernel import trace, unwaited
from dispycos.kernel.mailbox import DELIVERED, RECEIVE, ROOM, Deliver, Receive
from dispycos.kernel.network import Kind
from dispycos.kernel.receiver import Receiver, current
from dispycos.kernel.target import RUNS, Runnable, begin, name_of
from dispycos.kernel.timers import Timer
from dispycos.kernel.trace import Frame
from dispycos.kernel.wait import FAILED, OK, Finish, Join, Raise, Sleep, Waitable, seconds
from dispycos.model import CLIENT_MADE, End, MonitorStatus, Status

log = logging.getLogger("dispycos")

FINISHED = End.FINISHED  # looked up for each task that ends, and slow in the enum


class _Terminate:
    """What `terminate()` leaves with a task as its `_attention`."""

    __slots__ = ("reason",)

    def __init__(self, reason: str) -> None:
        self.reason = reason


class Task(Receiver):
    """Run `target(*args, **kwargs)` as a task of this process.

    target  a generator function or `async def`; its parameter `task`, if it has a default and
            is not passed, is filled with this Task. TypeError names any other target.

    `Task(target=f, args=(1,), kwargs={})` is the same as `Task(f, 1)`.
    """

    __slots__ = (
        "_attention",  # what the next run begins with instead of `_input`: an exception, a wait, _Terminate
        "_blocked",  # deliveries that wait for room in the mailbox, by an id; None: none yet
        "_daemon",  # True: the end of the program does not wait for this task
        "_end",  # model.End, or None while it lives
        "_error",  # the exception that ended it, if FAILED or CANCELLED
        "_generator",  # the innermost subroutine; None when done
        "_held",  # locks it owns, by their id; None: none yet
        "_input",  # what the current yield gives at the next run
        "_joiners",  # waits for its end: None, one, or a dict of several
        "_messages",  # the mailbox; None before the first message
        "_monitors",  # tasks that get its status when it ends; None: none yet
        "_on_done",  # called with the Task when it has ended, on the kernel's thread
        "_stack",  # the callers of `_generator`, outermost first; None before the first call
        "_swap",  # the generator that a hot_swap wants in place; None: none
        "_swappable",
        "_timer",  # of the present wait
        "_value",  # the result if FINISHED, the traceback if FAILED
        "_waiting",  # what it waits for: asked to `_undo` or `_expire` the wait
    )

    _kind: ClassVar[Kind] = "task"

    _end: End | None
    _error: BaseException | None
    _stack: list[Runnable] | None
    _messages: deque[Any] | None
    _blocked: OrderedDict[object, Callable[[], object]] | None
    _attention: Any
    _joiners: Finish | dict[Finish, None] | None
    _monitors: list[Task] | None
    _held: dict[int, Any] | None
    _timer: Timer | None
    _waiting: Waitable | None

    def __init__(self, target: Any = None, /, *args: Any, **kwargs: Any) -> None:
        kernel = current.get() or self._default()
        if target is None and kwargs:
            target, args, kwargs = _by_keyword(**kwargs)
        self._begin(kernel, next(kernel.numbers), target, args, kwargs)

    def _begin(
        self, kernel: Any, number: int, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self._kernel = kernel
        self.number = number
        self._generator: Any
        if (
            type(target) is FunctionType
            and not kwargs
            and (code := target.__code__).co_flags & RUNS
            and (not (code.co_argcount or code.co_kwonlyargcount) or "task" not in code.co_varnames)
        ):
            self._generator = target(*args)  # what `begin` would do, for most targets
            self._name = target.__name__
        else:
            self._generator = begin(target, args, kwargs, self)
            self._name = name_of(target)
            if not number & CLIENT_MADE:  # its client has looked at what it sends
                unwaited.warn(target)
        self._input: Any = None
        self._end = self._attention = self._error = self._stack = self._waiting = self._timer = None
        self._messages = self._blocked = self._joiners = self._monitors = self._held = None
        self._value: Any = None
        self._swap: Any = None
        self._on_done: Callable[[Task], object] | None = None
        self._daemon = self._swappable = False
        kernel.tasks[number] = self
        kernel.ready.append(self)
        if kernel.asleep:
            kernel.rouse()

    # Who it is.

    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._end is None

    def set_daemon(self, flag: bool = True) -> None:
        """With True, let the program end without waiting for this task."""
        self._daemon = bool(flag)
        self._kernel.mark_daemon(self)

    def register(self, name: str | None = None) -> int:
        """Make it known by `name` (its function's) to `Task.locate`: 0; -1 if it is taken, or ended."""
        return -1 if self._end is not None else super().register(name)

    # Waiting for it.

    def __call__(self, timeout: float | None = None) -> Any:
        """Yield this: its result; the status if it failed. See `finish`."""
        if timeout is not None:
            return Join(self, timeout, False)
        # Filled in here, because a joined task is the common case and __init__ costs as much again.
        wait = Finish()
        wait._task = self
        wait._waiter = None
        return wait

    def __await__(self) -> NoReturn:
        # Which of the two a bare `await task` means is not ours to guess: they differ where it failed.
        raise TypeError(
            "a task itself can't be awaited: `await task()` gives its result, or its MonitorStatus if it "
            "failed; `await task.result()` raises what it raised"
        )

    def finish(self, timeout: float | None = None) -> Any:
        """Yield this: its result when it has ended, its MonitorStatus if it failed, None at the time-out."""
        return Join(self, timeout, False)

    def result(self, timeout: float | None = None) -> Any:
        """Yield this: its result, or raises what it raised.

        TimeoutError after `timeout` seconds; TaskCancelled if somebody ended it.
        """
        return Join(self, timeout, True)

    def value(self, timeout: float | None = None) -> Any:
        """Wait in a plain thread: its result, its status if it failed, None after `timeout` seconds.

        RuntimeError inside a task, which would wait for ever: `yield task()` there.
        """
        if not self._kernel.join_in_thread(self, seconds(timeout)):
            return None
        return self._outcome(False)[0]

    def _outcome(self, raises: bool) -> tuple[Any, BaseException | None]:
        """What a joiner gets: a value, or an exception to raise, with the traceback of its end."""
        if self._end is FINISHED:
            return self._value, None
        if not raises:
            return self._status(), None
        error = self._error
        assert error is not None
        return None, with_traceback(error, self._value)

    def _why(self) -> str:
        """What keeps it from ending, for who has waited for too long; "": nothing is known."""
        return ""

    def _status(self) -> MonitorStatus:
        """How it ended, as monitors and waiters get it."""
        if self._end is FINISHED:
            return MonitorStatus(self, StopIteration, self._value)
        error = self._error
        assert error is not None
        if self._end is End.CANCELLED:
            return MonitorStatus(self, Status.TaskTerminated, str(error))
        return MonitorStatus(self, type(error), trace.text_of(with_traceback(error, self._value)))

    def notify(self, task: Task) -> Any:
        """Let `task` receive a MonitorStatus when this task ends, at once if it has: 0, or -1 if it can't."""
        if not task.is_alive():
            return FAILED
        if self._end is not None:
            return OK if self._tell(task) == 0 else FAILED
        if self._monitors is None:
            self._monitors = [task]
        elif task not in self._monitors:
            self._monitors.append(task)
        return OK

    def monitor(self, other: Task) -> Any:
        """Yield this: `other.notify(self)`, so that this task receives the status of `other`; 0 or -1."""
        return other.notify(self)

    # Messages.

    def send(self, message: Any) -> int:
        """Put a message into its mailbox; any thread. 0, or -1 if the task has ended."""
        if self._end is not None:
            return -1
        kernel = self._kernel
        if kernel.ident() != kernel.thread:
            kernel.post(self._put, message)
            return 0
        messages = self._messages
        if messages is None:
            self._messages = deque((message,))
        else:
            messages.append(message)
        waiting = self._waiting
        if waiting is not None and waiting.hears:
            waiting._arrived(self)  # type: ignore[attr-defined]  # `hears` says that it is a Hearing
        return 0

    def _put(self, message: Any) -> None:
        if self._end is None:
            self.send(message)

    def deliver(self, message: Any, timeout: float | None = None) -> Any:
        """Yield this: 1 when the message is in its mailbox, 0 after `timeout` seconds, -1 if it has ended.

        Waits while 1,000 messages are in the mailbox.
        """
        if self._kernel.here and not self._is_full():
            return DELIVERED if self.send(message) == 0 else FAILED
        return Deliver(self, message, timeout)

    def _is_full(self) -> bool:
        messages = self._messages
        return messages is not None and len(messages) >= ROOM

    def _when_room(self, key: object, call: Callable[[], object]) -> None:
        """Call `call()` once, when the mailbox has room or the task has ended; kernel thread.

        key  names the call: `_blocked.pop(key)` takes it back.
        """
        if self._end is not None or not self._is_full():
            call()
        elif self._blocked is None:
            self._blocked = OrderedDict({key: call})
        else:
            self._blocked[key] = call

    def _admit(self) -> None:
        blocked = self._blocked
        while blocked and not (self._is_full() and self._end is None):
            blocked.popitem(last=False)[1]()

    def receive(self, timeout: float | None = None, alarm_value: Any = None) -> Any:
        """Yield this: the earliest message, or `alarm_value` after `timeout` seconds.

        RuntimeError in any other task or thread: a task receives its own messages only.
        """
        if self._kernel.current is not self:
            raise RuntimeError(f"only {self} itself receives its messages")
        if timeout is None:
            return RECEIVE
        return Receive(timeout, alarm_value)

    recv = receive

    # Sleeping.

    def sleep(self, timeout: float | None = None, alarm_value: Any = None) -> Any:
        """Yield this: what `resume` gives, or `alarm_value` after `timeout` seconds.

        0 or less: `alarm_value` at once. None: until resumed.
        """
        return Sleep(timeout, alarm_value)

    suspend = sleep

    def resume(self, update: Any = None) -> int:
        """Wake it from `sleep` with `update`; any thread. 0, or -1 if it has ended."""
        if self._end is not None:
            return -1
        if not self._kernel.here:
            self._kernel.post(self.resume, update)
        elif isinstance(self._waiting, Sleep):
            self._wake(update)
        else:
            log.warning("%s is not suspended: resume has no effect", self)
        return 0

    wakeup = resume

    # Ending it.

    def throw(self, *args: Any) -> int:
        """Raise an exception at its current `yield`; any thread. 0, or -1 if it has ended.

        args  an exception, or its class and value. TypeError for anything else.
        """
        return self._throw_in(_exception(*args))

    def interrupt(self, reason: str = "") -> int:
        """Raise KeyboardInterrupt at its current `yield`, and let it go on if it catches that; any thread."""
        return self._throw_in(interruption(reason))

    def _throw_in(self, error: BaseException) -> int:
        if self._end is not None:
            return -1
        if not self._kernel.here or isinstance(self._attention, (BaseException, Raise)):
            # In another thread, or something thrown earlier is still to be raised: later.
            self._kernel.post(self._throw_in, error)
        elif not isinstance(self._attention, _Terminate):
            self._seize(error)
        return 0

    def terminate(self, reason: str = "") -> int:
        """Raise GeneratorExit at its current `yield` and drop it, whatever it does; any thread.

        0, or -1 if it has ended. Its status is TaskTerminated, with `reason` as its text.
        """
        if self._end is not None:
            return -1
        if not reason:
            by = self._kernel.current if self._kernel.here else None
            reason = f"{self} was ended by terminate(), called by {'the program' if by is None else by}"
        if not self._kernel.here:
            self._kernel.post(self.terminate, reason)
        elif not isinstance(self._attention, _Terminate):
            self._seize(_Terminate(reason))
        return 0

    def _seize(self, attention: Any) -> None:
        """Begin the next run with `attention`, whether the task waits or is ready."""
        if self._waiting is not None:
            self._waiting._undo(self)
            self._wake_with(attention)
            return
        granted, self._attention = self._attention, attention
        if isinstance(granted, Waitable):
            granted._decline(self)

    # Being waited with: called by waits and by the kernel, on its thread.

    def _wake(self, value: Any) -> None:
        self._waiting = None
        timer = self._timer
        if timer is not None:
            self._timer = None
            self._kernel.timers.cancel(timer)
        self._input = value
        self._kernel.ready.append(self)

    def _wake_with(self, attention: Any) -> None:
        self._attention = attention
        self._wake(None)

    def _limit(self, timeout: float) -> None:
        self._timer = self._kernel.timers.add(timeout, self._time_out)

    def _time_out(self) -> None:
        waiting = self._waiting
        assert waiting is not None
        self._timer = self._waiting = None
        waiting._undo(self)
        waiting._expire(self)
        self._kernel.ready.append(self)

    def _unawaited(self) -> None:
        """An asyncio program awaited its end and was cancelled: see `Operation._unawaited`.

        A task of one's own goes on: it ends by what its program sends it, not by who watches it.
        """

    def _finish(self, end: End, value: Any, error: BaseException | None) -> None:
        """Note the end and tell everybody who asked for it."""
        self._end = end
        self._value = value
        self._error = error
        self._generator = self._stack = self._input = self._attention = self._messages = self._swap = None
        kernel = self._kernel
        if self._daemon:
            kernel.mark_daemon(self)  # first, so that no thread sees fewer tasks than daemons
        del kernel.tasks[self.number]
        if kernel.on_empty:
            kernel.tell_empty()
        if self._held:
            for lock in list(self._held.values()):
                log.warning("%s ended while it held %r; released", self, lock)
                lock._abandon()
        if self._blocked:
            self._admit()
        joiners = self._joiners
        if joiners is not None:
            self._joiners = None
            if type(joiners) is Finish and end is FINISHED:
                # The usual case, made short: one joiner and a result.
                waiter, joiners._waiter = joiners._waiter, None
                waiter._wake(value)  # type: ignore[union-attr]  # it waits, so it has a waiter
            elif isinstance(joiners, Finish):
                joiners._ended()
            else:
                for join in joiners:
                    join._ended()
        if self._monitors is not None:
            for monitor in self._monitors:
                self._tell(monitor)
            self._monitors = None
        if self._on_done is not None:
            on_done, self._on_done = self._on_done, None
            on_done(self)

    def _tell(self, monitor: Task) -> int:
        """Send the status to a monitor: 0, or -1 if it is gone."""
        try:
            return monitor.send(self._status())
        except Exception as error:
            # To another process, and the result can't be pickled: the monitor learns that instead.
            log.warning("the result of %s can't be sent to %s: %s", self, monitor, error)
            return monitor.send(MonitorStatus(self, type(error), trace.text_of(error)))

    def _fail(self, error: BaseException) -> None:
        """End by an exception that nothing in the task caught."""
        tb = trace.trim(error)
        if is_interruption(error):
            log.info("%s was interrupted", self)
        elif self.number & CLIENT_MADE:
            # Its client gets it, and says so where nobody asks there.
            log.info("%s ended by %s", self, trace.kind_of(error))
        else:
            log.error("%s ended by %s", self, trace.kind_of(error), exc_info=(type(error), error, tb))
        self._finish(End.FAILED, tb, error)

    # Hot swapping.

    def hot_swappable(self, flag: bool) -> None:
        """Say whether this task may be replaced by `hot_swap` where it waits next."""
        self._swappable = bool(flag)

    def hot_swap(self, target: Any, *args: Any, **kwargs: Any) -> int:
        """Run `target(*args, **kwargs)` in place of its function, once it allows that. 0, or -1 if ended.

        HotSwapException, with the new generator as `args[0]`, is raised in the task when it is
        swappable, in no subroutine, and waits for no more than a message, a resume or its turn.
        It goes on as it was if it catches that; queued messages stay in any case.
        """
        if self._end is not None:
            return -1
        self._kernel.post(self._want_swap, begin(target, args, kwargs, self))
        return 0

    def _want_swap(self, generator: Runnable) -> None:
        if self._end is not None:
            generator.close()
            return
        if self._swap is not None:
            self._swap.close()  # the later wish counts
        self._swap = generator
        self._kernel.swaps[self.number] = self

    def _try_swap(self) -> bool:
        """Raise HotSwapException in the task if this is the moment; True if there is nothing left to do."""
        if self._swap is None:
            return True
        idle = (self._waiting is None and self._input is None) or isinstance(self._waiting, (Sleep, Receive))
        if not (self._swappable and not self._stack and self._attention is None and idle):
            return False
        generator, self._swap = self._swap, None
        self._seize(HotSwapException(generator))
        return True

    # Looking at it.

    @property
    def state(self) -> str:
        """One of "ready", "waiting", "running", "done" (K1)."""
        if self._end is not None:
            return "done"
        if self._kernel.current is self:
            return "running"
        return "ready" if self._waiting is None else "waiting"

    def where(self) -> list[Frame]:
        """The lines at which it stands, outermost first; empty if it has ended. Any thread."""
        return trace.frames([*(self._stack or ()), self._generator])


def _by_keyword(
    target: Any = None, args: Any = (), kwargs: dict[str, Any] | None = None
) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    return target, tuple(args), dict(kwargs or {})


def interruption(reason: str = "") -> KeyboardInterrupt:
    """The KeyboardInterrupt by which somebody ends a task; that is no failure, also where it travels to."""
    error = KeyboardInterrupt(reason) if reason else KeyboardInterrupt()
    error.by_request = True  # type: ignore[attr-defined]  # a mark of ours
    return error


def is_interruption(error: BaseException) -> bool:
    """Whether it is one of these, and not of the task's own."""
    return type(error) is KeyboardInterrupt and getattr(error, "by_request", False)


def _exception(*args: Any) -> BaseException:
    """What `throw(*args)` means."""
    kind = args[0] if args else None
    value = args[1] if len(args) > 1 else None
    if isinstance(kind, BaseException):
        return kind
    if isinstance(kind, type) and issubclass(kind, BaseException):
        if isinstance(value, kind):
            return value
        error: Any = kind() if value is None else kind(*value) if isinstance(value, tuple) else kind(value)
        if isinstance(error, BaseException):
            return error
    raise TypeError(f"throw takes an exception, or its class and value, not {args!r}")
