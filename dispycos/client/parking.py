"""Messages for tasks that have no place just now, or are being recalled from it.

Whoever talks to a task pins it where it is. While a recall is under way nobody knows yet
whether that comes in time, so what is said meanwhile waits here, in its order.

Everything is called under the driver's lock. Layer 5. Rules D1, D2.
"""

from __future__ import annotations

from collections.abc import Callable

from dispycos.client.submission import Stage, Submission

Say = Callable[[], object]


class Parking:
    """As many messages as the program sent to tasks on their way; they leave with the task's next news."""

    def __init__(self) -> None:
        self._waiting: dict[Submission, list[Say]] = {}

    def __contains__(self, task: Submission) -> bool:
        return task in self._waiting

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def parks(self, task: Submission, say: Say) -> bool:
        """Keep `say` until the task has its place, and answer True; False: it may be said now."""
        if task.stage is Stage.ENDED or (task not in self._waiting and _settled(task)):
            return False
        self._waiting.setdefault(task, []).append(say)
        return True

    def leave(self) -> list[tuple[Submission, list[Say]]]:
        """What may be said now, by task."""
        ready = [task for task in self._waiting if task.stage is Stage.ENDED or _settled(task)]
        return [(task, self._waiting.pop(task)) for task in ready]


def _settled(task: Submission) -> bool:
    """Whether the task has a place from which it won't be taken once it is pinned."""
    server = task.server
    return server is not None and (task.pinned or not server.recalling)
