"""Stopping: code of others that one thread runs, and that any other thread may end.

TaskCancelled is raised in it between any two instructions. In the midst of ours that would leave
an answer half sent or a thread dead, so it comes while that code itself runs and at no other time:
what that code calls of ours, and what would stop it there, waits until the call can be given up.

I/O half. Layer 5.
"""

from __future__ import annotations

import ctypes
import functools
import threading
from collections.abc import Callable
from typing import Any, Final, ParamSpec, Protocol, TypeVar

from dispycos import forks
from dispycos.errors import TaskCancelled
from dispycos.kernel import trace

P = ParamSpec("P")
T = TypeVar("T")

_NOTHING: Final = None, None  # a value, and an error

# The innermost code that a thread runs, by ident.
running: Final[dict[int, Stoppable]] = {}


class Woken(Protocol):
    """Who looks again when it is woken, by any thread."""

    def wake(self) -> None: ...


class Stoppable:
    """One piece of such code, which is run once.

    waits  who waits inside of `shelter` for something, and is woken to give up.
    """

    __slots__ = (
        "_inner",
        "_lock",
        "_open",
        "_outcome",
        "_outer",
        "_sheltered",
        "_stopped",
        "_thread",
        "due",
        "waits",
    )

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread = 0  # that runs it
        self._open = False  # it runs now
        self._sheltered = 0  # calls of ours that it is in
        self._stopped = False  # so it is not stopped twice, and TaskCancelled comes once
        self._inner: Stoppable | None = None  # what runs inside of it, while it waits
        self._outer: Stoppable | None = None  # what it runs inside of
        self._outcome: tuple[Any, BaseException | None] = _NOTHING
        self.due = False  # it is to give up what it waits for
        self.waits: Woken | None = None

    def stop(self) -> None:
        """End it with TaskCancelled, or let it not begin. Any thread; without effect afterwards."""
        with self._lock:
            if self._stopped:
                return
            self._stopped = True
            inner, waits = None, None
            if self._open and self._sheltered:
                self.due = True
                inner, waits = self._inner, self.waits
            elif self._open:
                _interrupt(self._thread, TaskCancelled)
        if inner is not None:
            inner.stop()
        if waits is not None:
            waits.wake()

    def run(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Call it in this thread. TaskCancelled if it was stopped; afterwards nothing interrupts."""
        self._thread = me = threading.get_ident()
        self._outer = outer = running.get(me)
        try:
            if outer is not None:
                outer._take_in(self)
            running[me] = self
            self._attempt(function, args, kwargs)
        except TaskCancelled as exc:
            # That code had ended just before. There is one for each, so nothing follows this one.
            self._open = False
            self._outcome = None, exc
        if outer is not None:
            outer._inner = None
            self._outer = None  # or who keeps this one would keep the other, too
            running[me] = outer
        else:
            del running[me]
        value, error = self._outcome
        self._outcome = _NOTHING
        if error is None:
            return value  # type: ignore[no-any-return]  # that of `function`
        try:
            raise error
        finally:
            error = None  # or it would keep the frames of that code, and what they refer to

    def _take_in(self, inner: Stoppable) -> None:
        with self._lock:
            self._inner = inner
            if self.due:
                inner._stopped = True  # nothing new is begun for what is to end

    def _attempt(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        with self._lock:
            if self._stopped:
                raise TaskCancelled("it was cancelled before it began")
            self._open = True
        try:
            with forks.parent_goes_on():
                self._outcome = function(*args, **kwargs), None
        except BaseException as exc:
            self._outcome = None, exc
        self._shut()

    def _shut(self) -> None:
        with self._lock:
            self._open = False
            if self._stopped:
                _interrupt(self._thread, None)  # which was not raised yet, or was

    def shelter(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Call something of ours from that code: nothing interrupts it.

        TaskCancelled when it has ended, if `stop` was called meanwhile; `due` says so before.
        """
        depth = self._sheltered
        try:
            with self._lock:
                self._sheltered = depth + 1
            # What was raised in this thread before has come by now.
            return function(*args, **kwargs)
        finally:
            with self._lock:
                self._sheltered = depth
                due = self.due and not depth
                if due:
                    self.due = False
            if due:
                raise TaskCancelled("it was cancelled while it waited")


def sheltered(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Call something of ours: if this thread runs code that may be stopped, nothing interrupts it."""
    code = running.get(threading.get_ident())
    return function(*args, **kwargs) if code is None else code.shelter(function, *args, **kwargs)


def shelters(function: Callable[P, T]) -> Callable[P, T]:
    """That function, always called so."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        return sheltered(function, *args, **kwargs)

    return call


_NONE: Final = Stoppable()  # what runs in any other thread; never due


def enter_wait(waiting: Woken) -> Stoppable:
    """What this thread runs, whose `due` says when to give up; it wakes `waiting` then."""
    code = running.get(threading.get_ident())
    if code is None:
        return _NONE
    code.waits = waiting
    return code


def _interrupt(ident: int, error: type[BaseException] | None) -> None:
    # None takes back what has not been raised yet.
    raised = ctypes.py_object(error) if error is not None else None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), raised)


def _after_fork() -> None:
    # The thread that forked is in its code as before; others, and who may have held a lock to
    # stop it, stayed in the parent.
    me = threading.get_ident()
    code = running.pop(me, None)
    running.clear()
    if code is not None:
        running[me] = code
    while code is not None:
        code._lock = threading.Lock()
        code = code._outer


forks.in_child(_after_fork)
trace.leading.add(__name__)
