"""Ctrl-C for a plain call: KeyboardInterrupt where it is, for it has no `yield` to raise it at.

A task is interrupted at its next `yield`. A plain function has none; it gets the exception as a
program at a terminal does, between two of its own lines and out of `time.sleep`. Where it has
called something of ours, or is where an exception between two lines would leave the server broken
for later calls (a module half imported, a lock taken and not guarded yet, a process started that
nobody knows), nothing is raised: a moment later it is looked at again. It may catch the exception
and go on, and is not asked twice; where Python itself caught it (in the callback of a weak reference)
it is raised once more. What calls it is a task, and is interrupted at its own next
`yield`: a map's chunk ends with its turn of some milliseconds, whatever the item made of it that
caught the exception. What stays in C never hears of it and is ended with its process after the
grace, like a task that does not yield.

At a terminal Ctrl-C reaches what a program has started, too, and libraries count on that: a pool of
processes waits at its end for what these do. So what the call has started gets SIGINT with it, as
far as it is in our process group; not while other tasks run here, whose it might be.

SIGURG carries it, which by itself does nothing. Others may use it too, as Go's runtime does in a
process that has a library of Go: one that we did not send has us look whether something is wanted
here, and raises nothing that would not be raised a moment later. Who installs a handler of its own
and keeps the signal for itself has its calls ended after the grace. Without `pthread_kill`
(Windows) nothing is raised before the grace is over.

I/O half. Layer 5. Rows DC-56, R-20.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from types import FrameType
from typing import Any

from dispycos.kernel.core import Kernel
from dispycos.kernel.target import calls_plainly
from dispycos.kernel.task import interruption, is_interruption
from dispycos.net.reactor import Reactor
from dispycos.node import ties

_LOOK_AGAIN = 0.05  # seconds; the call was where it can't be interrupted

# Whoever is in these, or was called by them, is let finish: they are soon done ...
_DELICATE_MODULES = frozenset(
    {
        "_frozen_importlib",
        "_frozen_importlib_external",
        "importlib._bootstrap",
        "importlib._bootstrap_external",
        "logging",
        "logging.handlers",
        "tempfile",
    }
)
_DELICATE_CODE = frozenset({subprocess.Popen.__init__.__code__})
# ... and who enters or leaves a `with` block, or takes or gives back a lock.
_DELICATE_NAMES = frozenset({"__enter__", "__exit__", "acquire", "release"})


class Interrupter:
    """Interrupts plain calls of a server; made by its main thread, which is the kernel's.

    begun  task -> attempt and when it began (monotonic), of those that have not ended.
    """

    def __init__(self, kernel: Kernel, reactor: Reactor, begun: Mapping[int, tuple[int, float]]) -> None:
        self._kernel = kernel
        self._reactor = reactor
        self._begun = begun
        self._thread = threading.get_ident()
        # Task -> reason, until it was raised there or the task has ended: as many as there are tasks.
        self._wanted: dict[int, str] = {}
        self._knocks = False
        if hasattr(signal, "pthread_kill"):
            signal.signal(signal.SIGURG, self._raise)
            self._report = sys.unraisablehook
            sys.unraisablehook = self._unraisable

    def ask(self, id: int, reason: str) -> None:
        """Have a task interrupted if it is a plain call; any thread."""
        if hasattr(signal, "pthread_kill"):
            self._reactor.call(self._want, id, reason)

    def _want(self, id: int, reason: str) -> None:
        self._wanted[id] = reason
        if not self._knocks:
            self._knock()

    def _knock(self) -> None:
        for over in [task for task in list(self._wanted) if task not in self._begun]:
            self._wanted.pop(over, None)  # it may just have been raised there
        self._knocks = bool(self._wanted)
        if self._knocks:
            signal.pthread_kill(self._thread, signal.SIGURG)
            self._reactor.later(_LOOK_AGAIN, self._knock)

    def _raise(self, number: int, frame: FrameType | None) -> None:
        """On the kernel's thread, between two instructions of whatever it runs."""
        task = self._kernel.current
        if task is None or task.number not in self._wanted or not _in_plain_call(frame):
            return
        error = interruption(self._wanted.pop(task.number))
        if list(self._begun) == [task.number]:
            self._reactor.call(self._pass_on, self._begun[task.number][1], time.monotonic())
        raise error

    def _pass_on(self, began: float, raised: float) -> None:
        # The call may have ended by now, and the next one may start processes.
        for pid in ties.descendants(os.getpid(), os.getpgid(0)):
            age, now = ties.age(pid), time.monotonic()
            if age is not None and now - raised + ties.TICK <= age <= now - began + ties.TICK:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGINT)

    def _unraisable(self, unraisable: Any) -> None:
        # Called in the thread and at the moment where Python caught what nobody else could.
        task, error = self._kernel.current, unraisable.exc_value
        if task is not None and error is not None and is_interruption(error):
            self._reactor.call(self._want, task.number, str(error))
        else:
            self._report(unraisable)


def _in_plain_call(frame: FrameType | None) -> bool:
    """Is this thread in a plain function of the client's, where it may be interrupted?"""
    if frame is None or frame.f_code.co_name in _DELICATE_NAMES:
        return False
    while frame is not None and not _is_ours(frame):
        # A finalizer is to be whole, and Python would catch what is raised there.
        if frame.f_code.co_name == "__del__" or frame.f_code in _DELICATE_CODE:
            return False
        if frame.f_globals.get("__name__") in _DELICATE_MODULES:
            return False
        frame = frame.f_back
    return frame is not None and frame.f_code in calls_plainly


def _is_ours(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).partition(".")[0] == "dispycos"
