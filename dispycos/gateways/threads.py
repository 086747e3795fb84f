"""Threads: which one of the far end runs what it is sent.

It is the main thread if that has nothing else to do, else a thread of its own; with
execmodel=main_thread_only it is the main thread, and one piece of code at a time.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Final, TypeAlias

# Seconds that code waits for the main thread: what ran there before may have said all it had to
# say, and be about to end.
PATIENCE: Final = 1.0

_OCCUPIED: Final = (
    "the main thread runs other code already, and this gateway runs code in it only "
    "(execmodel=main_thread_only): wait for the end of that code first"
)

# A function without arguments that raises nothing. It answers what is to be called when its
# thread is free again: whoever is told of its end finds it free.
Code: TypeAlias = Callable[[], Callable[[], object]]


class _Turn:
    """Code that waits for the main thread, at most for a while."""

    def __init__(self, code: Code, refuse: Callable[[str], object]) -> None:
        self.code = code
        self._refuse = refuse
        self._claim = threading.Lock()  # taken once: by who runs the code, or by who refuses it
        self._timer = threading.Timer(PATIENCE, self._expire)
        self._timer.daemon = True

    def wait(self) -> None:
        """From now on it may be refused."""
        self._timer.start()

    def claim(self) -> bool:
        """Whether it is to run; then it is not refused."""
        claimed = self._claim.acquire(blocking=False)
        self._timer.cancel()
        return claimed

    def _expire(self) -> None:
        if self._claim.acquire(blocking=False):
            self._refuse(_OCCUPIED)


class Threads:
    """Runs code.

    model  one of `execmodel.MODELS`.
    """

    def __init__(self, model: str) -> None:
        self._alone = model == "main_thread_only"
        self._turns: queue.SimpleQueue[_Turn | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self.main_busy = False  # it has code to run, or will have it at once
        self._closed = False
        self.busy = 0  # pieces of code that run

    def put(self, code: Code, refuse: Callable[[str], object]) -> None:
        """Run a piece of code; any thread. `refuse(reason)` is called if it may not run."""
        with self._lock:
            if self._closed:
                return  # nobody is left to be told
            in_main, self.main_busy = not self.main_busy, True
        if in_main or self._alone:
            turn = _Turn(code, refuse)
            if not in_main:
                turn.wait()
            self._turns.put(turn)
        else:
            threading.Thread(target=self._run, args=(code,), name="dispycos remote code", daemon=True).start()

    def _run(self, code: Code, *, main: bool = False) -> None:
        with self._lock:
            self.busy += 1
        try:
            done = code()
        finally:
            with self._lock:
                self.busy -= 1
                if main:
                    self.main_busy = False
        done()

    def run(self) -> None:
        """Run in this thread, the main one, what it is to run; returns soon after `close`."""
        while True:
            try:
                turn = self._turns.get()
                if turn is None:
                    return
                if turn.claim() and not self._closed:
                    self._run(turn.code, main=True)
            except KeyboardInterrupt:
                if self._closed:
                    return

    def close(self) -> bool:
        """Run nothing more. True if code still runs in the main thread and is to be interrupted."""
        with self._lock:
            self._closed = True
        self._turns.put(None)
        return self.main_busy
