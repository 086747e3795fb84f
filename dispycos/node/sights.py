"""What the tasks of this server do just now, told to its client when it asks.

Looking runs nothing of the tasks and stops none of them: their frames are read (K8).

I/O half. Layer 5. Rows MO-19.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from dispycos.kernel.loop import Loop
from dispycos.kernel.trace import Frame
from dispycos.messages import LookAtTasks, TasksSeen
from dispycos.model import Incarnation, Role
from dispycos.net.endpoint import Endpoint
from dispycos.protocol.facts import StackLine, TaskSight
from dispycos.protocol.watching import MAX_SIGHTS, MAX_STACK

_MAX_FILE = 120  # characters of a file's name: the last ones tell most
_MAX_FUNCTION = 120


class Sights:
    """Answers who asks.

    begun   the tasks of the client that run: id -> (attempt, when it began).
    client  whose they are; nobody else is answered.
    """

    def __init__(
        self,
        loop: Loop,
        endpoint: Endpoint,
        begun: Callable[[], Mapping[int, tuple[int, float]]],
        client: Callable[[], Incarnation | None],
    ) -> None:
        self._loop = loop
        self._endpoint = endpoint
        self._begun = begun
        self._client = client
        endpoint.handle(LookAtTasks, self._asked, who=Role.CLIENT)

    def _asked(self, peer: Incarnation, message: LookAtTasks) -> None:
        if peer == self._client():
            self._endpoint.say(peer, TasksSeen(self._look()))

    def _look(self) -> list[TaskSight]:
        now = time.monotonic()
        oldest = sorted(self._begun().items(), key=lambda item: item[1][1])[:MAX_SIGHTS]
        running = self._loop.running()
        sights = []
        for number, (attempt, began) in oldest:
            task = self._loop.kernel.tasks.get(number)
            if task is None:
                continue
            inside = running is not None and running.task is task
            frames = running.frames if inside and running is not None else task.where()
            lines = [_line(frame) for frame in frames[-MAX_STACK:]]
            sights.append(TaskSight(number, attempt, now - began, lines))
        return sights


def _line(frame: Frame) -> StackLine:
    return StackLine(frame.filename[-_MAX_FILE:], max(0, frame.line), frame.function[:_MAX_FUNCTION])
