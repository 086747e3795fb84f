"""What zygotes and servers print: whole lines on the node's output, the last ones kept.

Where the node's output is read by nobody, the lines wait in the printer's queue, and once that
is full, in the processes that print; never in the daemon's loop.

I/O half. Layer 5. Rows DN-38; rules R-05, R-45.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable

from dispycos.printer import Printer
from dispycos.protocol.watching import MAX_PRINTED, MAX_PRINTED_BYTES

_MAX_LINE = 64 * 1024  # bytes; a longer line is broken here
_CHUNK = 64 * 1024


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
        self._tail: deque[str] = deque()  # for who watches; at most MAX_PRINTED lines and that many bytes
        self._tail_size = 0
        self.count = 0  # lines that were read so far
        os.set_blocking(descriptor, False)
        loop.add_reader(descriptor, self._readable)

    def after(self, text: str, what: str = "last output", since: int = 0) -> str:
        """`text`, and the last lines that were printed, if any.

        since  leave out what was read before the task at this position had begun.
        """
        lines = [line for printer, line in self._last if printer >= since]
        # Nothing but empty lines is no output.
        return "\n    ".join([f"{text}; {what}:", *lines]) if any(map(str.strip, lines)) else text

    def tail(self, after: int) -> list[str]:
        """The lines after that number, as far as they are kept; the last one has the number `count`."""
        wanted = min(len(self._tail), max(0, self.count - after))
        return list(self._tail)[len(self._tail) - wanted :]

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
        text = line[:1000].decode("utf-8", "replace")
        self._last.append((begun, text))
        self.count += 1
        self._tail.append(text)
        self._tail_size += len(text)
        while len(self._tail) > MAX_PRINTED or self._tail_size > MAX_PRINTED_BYTES // 4:
            self._tail_size -= len(self._tail.popleft())

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
