"""A task of this program that does not yield: one line says which, and where (R-21).

While it keeps the kernel's thread nothing else of the program runs: no task goes on, no result
is taken. The network does, so nobody else notices. It needs `net.ears`, which notice too.

I/O half. Layer 5. Rows R-21, R-33; rule K8.
"""

from __future__ import annotations

import logging
import os

from dispycos.kernel.loop import Loop
from dispycos.net.endpoint import Endpoint

log = logging.getLogger("dispycos")


class Stuck:
    """Watches one loop, from the reactor."""

    def __init__(self, loop: Loop, endpoint: Endpoint) -> None:
        self._loop = loop
        self._patience = endpoint.limits.visible_wait
        self._told = 0.0  # when the step began of which a line tells
        endpoint.when_kept(self._look)

    def _look(self) -> None:
        if self._loop.kept_for < self._patience:
            return
        began, running = self._loop.step_began, self._loop.running()
        if began != self._told and running is not None:
            self._told = began
            theirs = [frame for frame in running.frames if not _is_library(frame.filename)]
            where = (theirs or running.frames)[-1:]
            log.warning(
                "%s has not yielded for %.0f s, and no other task of this program runs meanwhile: %s",
                running.task,
                running.seconds,
                where[0] if where else "its code has no lines",
            )


_LIBRARY = os.path.dirname(os.__file__)


def _is_library(filename: str) -> bool:
    # Where a task sleeps or computes in the standard library matters less than who called that.
    return filename.startswith(_LIBRARY)
