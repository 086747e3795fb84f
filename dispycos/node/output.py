"""What zygotes and servers print: whole lines on the node's output, the last ones kept.

The node's output may be a pipe that nobody reads. Then the lines wait in a bounded queue,
and once that is full, in the processes that print; never in the daemon's loop.

I/O half. Layer 5. Rows DN-38; rules R-05, R-45.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable

_MAX_LINE = 64 * 1024  # bytes; a longer line is broken here
_MAX_QUEUED = 1024 * 1024  # bytes that wait for the node's output; full: printing waits
_CHUNK = 64 * 1024


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
                # Nobody will ever read it: prints of tasks must not end the node.
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


class Output:
    """The read end of one process's standard output and error.

    begun  the position of the last task begun there, to tell whose the last lines can't be.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        descriptor: int,
        printer: Printer,
        max_lines: int,
        begun: Callable[[], int] = lambda: 0,
    ) -> None:
        self._loop = loop
        self._descriptor = descriptor
        self._printer = printer
        self._begun = begun
        # The last lines, each with the last task that may have printed it.
        self._last: deque[tuple[int, str]] = deque(maxlen=max_lines)
        self._partial = b""
        os.set_blocking(descriptor, False)
        loop.add_reader(descriptor, self._readable)

    def after(self, text: str, what: str = "last output", since: int = 0) -> str:
        """`text`, and the last lines that were printed, if any.

        since  leave out what was read before the task at this position had begun.
        """
        lines = [line for printer, line in self._last if printer >= since]
        return "\n    ".join([f"{text}; {what}:", *lines]) if lines else text

    def _readable(self) -> None:
        if self._take() is False or self._printer.full(self._resume):
            self._loop.remove_reader(self._descriptor)

    def _resume(self) -> None:
        if self._descriptor >= 0:
            self._loop.add_reader(self._descriptor, self._readable)

    def _take(self) -> bool | None:
        """Read once: None if nothing is there now, False at the end."""
        try:
            data = os.read(self._descriptor, _CHUNK)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:
            return False
        if not data:
            return False
        *lines, self._partial = (self._partial + data).split(b"\n")
        if len(self._partial) > _MAX_LINE:
            lines.append(self._partial)
            self._partial = b""
        begun = self._begun()
        for line in lines:
            self._line(line, begun)
        return True

    def _line(self, line: bytes, begun: int) -> None:
        self._printer.put(line + b"\n")
        self._last.append((begun, line[:1000].decode("utf-8", "replace")))

    def close(self) -> None:
        """Take what is there, without waiting for more, and close. May be repeated."""
        if self._descriptor < 0:
            return
        self._loop.remove_reader(self._descriptor)
        # Bounded: children that a server left behind may print for ever.
        for _ in range(64):
            if not self._take():
                break
        if self._partial:
            self._line(self._partial, self._begun())
        os.close(self._descriptor)
        self._descriptor = -1
