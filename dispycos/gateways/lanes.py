"""Lanes: which thread of the far end runs what it is sent.

It is the main thread if that has nothing else to do, else a thread of its own; with
execmodel=main_thread_only it is the main thread, and one piece of code at a time.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Final

_OCCUPIED: Final = (
    "the main thread runs other code already, and this gateway runs code in it only "
    "(execmodel=main_thread_only): wait for the end of that code first"
)


class NoLane(Exception):
    """The code can't be run now; the text says why."""


class Lanes:
    """Runs jobs: functions without arguments, which raise nothing."""

    def __init__(self, model: str) -> None:
        self._alone = model == "main_thread_only"
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._main_busy = False  # it has a job, or will have it at once
        self._closed = False
        self.busy = 0  # jobs that run

    def put(self, job: Callable[[], None]) -> None:
        """Run a job; any thread. NoLane if it must not run now."""
        with self._lock:
            if self._closed:
                raise NoLane("the gateway is at its end")
            if self._main_busy and self._alone:
                raise NoLane(_OCCUPIED)
            in_main, self._main_busy = not self._main_busy, True
            self.busy += 1
        if in_main:
            self._jobs.put(job)
        else:
            threading.Thread(target=self._run, args=(job,), name="dispycos remote code", daemon=True).start()

    def _run(self, job: Callable[[], None]) -> None:
        try:
            job()
        finally:
            with self._lock:
                self.busy -= 1

    def run(self) -> None:
        """Run in this thread, the main one, what it is to run; returns soon after `close`."""
        while True:
            try:
                job = self._jobs.get()
                if job is None:
                    return
                self._run(job)
                with self._lock:
                    self._main_busy = False
            except KeyboardInterrupt:
                if self._closed:
                    return

    def close(self) -> bool:
        """Run nothing more. True if code still runs in the main thread and is to be interrupted."""
        with self._lock:
            self._closed = True
        self._jobs.put(None)
        return self._main_busy
