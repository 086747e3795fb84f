"""Running a function once everywhere: on each server or node that is there, and on each that comes.

I/O half. Layer 5. Rows DC-60, DC-65.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from dispycos.client.growing import Growing
from dispycos.client.presence import Place
from dispycos.client.submission import Submission
from dispycos.client.task_options import TaskOptions
from dispycos.client.work import Work
from dispycos.errors import TaskRejected
from dispycos.kernel.operation import Operation
from dispycos.kernel.target import name_of
from dispycos.model import Incarnation, Location


class Everywhere(Operation):
    """Gives a dict of Location to result or status; see `Submitter.run_everywhere`."""

    __slots__ = (
        "_arguments",
        "_found",
        "_function",
        "_left",
        "_lock",
        "_name",
        "_options",
        "_payload",
        "_per_node",
        "_sent",
        "_work",
    )

    def __init__(
        self,
        work: Work,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        per_node: bool,
        options: TaskOptions,
    ) -> None:
        super().__init__()
        self._work = work
        self._name = name_of(function)
        self._function = work.submissions.definition(function)
        self._arguments = args, kwargs
        self._payload = work.submissions.pickled(self._name, args, kwargs)
        self._options = options
        self._per_node = per_node
        self._lock = threading.Lock()  # of _sent and _left; nobody waits who has it
        # The program may be going through it when the next server comes.
        self._found: Growing[Location, Any] = Growing()
        self._sent: dict[Incarnation, set[Incarnation]] = {}  # where it was sent -> the servers there
        self._left = 0  # calls that have not ended
        work.presence.tell(self)

    def _title(self) -> str:
        return f"client.run_everywhere({self._name})"

    def first(self, place: Place) -> Submission | None:
        """See `presence.Host`."""
        if not self._begins(place):
            return None
        # Of a node it is the first server, so that one gets it.
        future, task = self._work.submissions.first_call(
            self._function, self._name, self._payload, self._arguments, self._options, self._where(place)
        )
        future.add_done_callback(partial(self._ended, self._location(place)))
        return task

    def came(self, place: Place) -> None:
        """See `presence.Host`."""
        if self._begins(place):
            future = self._work.submissions.call(
                self._function, self._name, self._payload, self._arguments, self._options, self._where(place)
            )
            future.add_done_callback(partial(self._ended, self._location(place)))

    def _begins(self, place: Place) -> bool:
        """Whether it is to run there, now that this server is there."""
        with self._lock:
            servers = self._sent.setdefault(self._where(place), set())
            begins = not servers and self._work.open
            servers.add(place.server)
            self._left += begins
        return begins

    def _where(self, place: Place) -> Incarnation:
        return place.node if self._per_node else place.server

    def _location(self, place: Place) -> Location:
        return place.node_location if self._per_node else place.location

    def gone(self, server: Incarnation) -> None:
        """See `presence.Host`. A node whose last server went begins anew with the next."""
        with self._lock:
            for where, servers in list(self._sent.items()):
                servers.discard(server)
                if not servers:
                    del self._sent[where]

    def no_servers(self, reason: str) -> None:
        """See `presence.Host`. Who waits is told; it runs all the same where a server comes after all."""
        if not self._left:
            self.fail(TaskRejected(f"{self._name} runs nowhere: {reason}"))

    def stopped(self) -> None:
        """See `presence.Host`."""
        self.complete(self._found)

    def _ended(self, location: Location, future: Any) -> None:
        self._found[location] = future.task._outcome(False)[0]
        with self._lock:
            self._left -= 1
            over = not self._left
        if over:
            self.complete(self._found)
