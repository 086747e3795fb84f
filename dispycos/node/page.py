"""The page that a server shares with its node: what the node can prove when the server is dead.

    begun       position of the last CPU task begun    written before the task's first step, so a
    begun_io    position of the last I/O task begun    death under it always counts it as begun
    running     tasks begun and not ended
    ended       tasks that ended, in whatever way
    step        odd while the kernel runs tasks, even while it waits; rises with each change

The daemon samples `step`: the same odd value for n seconds means that one step lasts that
long, so its task never yields (R-08). Nobody compares the clocks of two processes.

The daemon reads with pread, which answers less where a hostile server cut the file short; a
mapping would end the daemon by SIGBUS.

I/O half. Layer 5. Rules R-05, R-08, R-45.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile

from dispycos.records import record

_BEGUN, _BEGUN_IO, _RUNNING, _ENDED, _STEP = range(5)
_LAYOUT = struct.Struct("=5q")  # one machine: its own byte order
_SIZE = 4096


@record
class Counters:
    begun: int = 0
    begun_io: int = 0
    running: int = 0
    ended: int = 0
    step: int = 0


def make() -> int:
    """A new page of zeros, as a descriptor."""
    try:
        descriptor = os.memfd_create("dispycos-server", os.MFD_CLOEXEC)
    except (AttributeError, OSError):
        with tempfile.TemporaryFile(buffering=0) as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, _SIZE)
    return descriptor


def read(descriptor: int, before: Counters | None = None) -> Counters:
    """What stands in a page now. Positions and counts never fall: client code may have scribbled on it."""
    data = os.pread(descriptor, _LAYOUT.size, 0)
    values = Counters(*_LAYOUT.unpack(data.ljust(_LAYOUT.size, b"\0")))
    before = before or Counters()
    return Counters(
        max(values.begun, before.begun),
        max(values.begun_io, before.begun_io),
        max(values.running, 0),
        max(values.ended, before.ended),
        values.step,
    )


class Page:
    """The server's end: each write is one aligned 8-byte store."""

    def __init__(self, descriptor: int) -> None:
        self._map = mmap.mmap(descriptor, _SIZE)
        self._values = memoryview(self._map).cast("q")
        self._step = 0

    def begin(self, position: int, io: bool) -> None:
        """A task is about to begin at this position (of its own kind, from 1)."""
        self._values[_BEGUN_IO if io else _BEGUN] = position

    def count(self, running: int, ended: int) -> None:
        self._values[_RUNNING] = running
        self._values[_ENDED] = ended

    def enter(self) -> None:
        """The kernel begins a step, the first one since it waited or the next."""
        self._step += 2 if self._step & 1 else 1
        self._values[_STEP] = self._step

    def leave(self) -> None:
        """The kernel is about to wait."""
        if self._step & 1:
            self._step += 1
            self._values[_STEP] = self._step


class StepWatch:
    """The daemon's end: for how long one step has lasted, by the daemon's own clock. Pure."""

    def __init__(self) -> None:
        self._step = 0
        self._since: float | None = None

    def sample(self, step: int, now: float) -> float:
        """Seconds since this step was first seen; 0 if the kernel moved since the last look."""
        if step & 1 == 0 or step != self._step:
            self._step = step
            self._since = now if step & 1 else None
            return 0.0
        return now - self._since if self._since is not None else 0.0
