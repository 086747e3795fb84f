"""A printer: whole lines on this process's standard output, from a thread of its own.

The output may be a pipe that nobody reads. Then the lines wait in a bounded queue, never the
loop that prints them.

I/O half. Layer 3. Rows DN-38, DS-02; rule R-45.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable

_MAX_QUEUED = 1024 * 1024  # bytes that wait for the output; full: who prints on is asked to wait


class Printer:
    """Writes lines to a descriptor from a thread of its own, which is started with the first line."""

    def __init__(self, loop: asyncio.AbstractEventLoop, descriptor: int = 1) -> None:
        self._loop = loop
        self._descriptor = descriptor
        self._lines: deque[bytes] = deque()  # bounded by _MAX_QUEUED, see `full`
        self._size = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._broken = False
        self._paused: set[Callable[[], None]] = set()  # called on the loop once there is room

    def put(self, line: bytes) -> None:
        """Print a line soon, its end included."""
        with self._changed:
            if self._broken or self._closing:
                return
            self._lines.append(line)
            self._size += len(line)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="dispycos-output", daemon=True)
                self._thread.start()
            self._changed.notify()

    def full(self, resume: Callable[[], None]) -> bool:
        """Should the caller stop reading? If so `resume` is called when it may go on."""
        with self._changed:
            if self._size < _MAX_QUEUED or self._broken:
                return False
            self._paused.add(resume)
            return True

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._lines and not self._closing:
                    self._changed.wait()
                if not self._lines:
                    return
                data = b"".join(self._lines)
                self._lines.clear()
            try:
                while data:
                    data = data[os.write(self._descriptor, data) :]
            except OSError:
                # Nobody will ever read it: prints must not end the program.
                self._broken = True
            with self._changed:
                self._size = sum(map(len, self._lines))
                resume, self._paused = self._paused, set()
            for call in resume:
                with contextlib.suppress(RuntimeError):
                    self._loop.call_soon_threadsafe(call)
            if self._broken:
                return

    def close(self, timeout: float = 1.0) -> None:
        """Print what waits, for `timeout` seconds at most."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout)
