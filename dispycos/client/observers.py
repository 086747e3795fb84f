"""Who is told what becomes of a client's tasks, servers and nodes: its status_task and its watchers.

I/O half. Layer 5. Rows ST-01, ST-09.
"""

from __future__ import annotations

import logging
from typing import Any

from dispycos.client.watcher import Watcher
from dispycos.kernel.task import Task

log = logging.getLogger("dispycos")


class Observers:
    """That of one client's turn. `tell` is called on the kernel's thread."""

    __slots__ = ("status_task", "watchers")

    def __init__(self, status_task: Task | None) -> None:
        self.status_task = status_task  # None: the program has none, or it has ended
        self.watchers: tuple[Watcher, ...] = ()  # replaced as a whole, by any thread

    def tell(self, message: Any) -> None:
        """Send status_task a message, if there is one."""
        task = self.status_task
        if task is None:
            return
        try:
            gone = task.send(message) != 0
        except Exception as error:
            # A task of another process, and a result that can't be sent on (ST-09).
            log.warning("status_task %s does not get %s: %s", task, type(message).__name__, error)
            return
        if gone:
            log.info("status_task %s has ended: it gets no more messages", task)
            self.status_task = None
