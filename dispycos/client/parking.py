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
        self._leaving: set[Submission] = set()

    def __contains__(self, task: Submission) -> bool:
        return task in self._waiting

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def parks(self, task: Submission, say: Say) -> bool:
        """Keep `say` until the task has its place, and answer True; False: it may be said now."""
        if task not in self._waiting and _settled(task):
            return False
        task.parked = True
        self._waiting.setdefault(task, []).append(say)
        return True

    def leave(self) -> list[Submission]:
        """The tasks to which may be said what waits: by `take`, until that has nothing more."""
        ready = [task for task in self._waiting if task not in self._leaving and _settled(task)]
        self._leaving.update(ready)
        return ready

    def take(self, task: Submission) -> list[Say]:
        """What is to be said now to a task that leaves.

        Ask again when all of it was said, not before: what is sent meanwhile waits behind it.
        Nothing: nothing waits any more, or the task has lost its place.
        """
        calls: list[Say] = []
        if _settled(task):
            calls = self._waiting.pop(task)
            if calls:
                self._waiting[task] = []  # for what is sent until these are said
            else:
                task.parked = False
        if not calls:
            self._leaving.remove(task)
        return calls


def _settled(task: Submission) -> bool:
    """Whether the task has a place from which it won't be taken once it is pinned, or needs none any more."""
    server = task.server
    return task.stage is Stage.ENDED or (server is not None and (task.pinned or not server.recalling))
