"""Running a function once everywhere: on each server or node that is there, and on each that comes.

I/O half. Layer 5. Rows DC-60, DC-65.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from dispycos.client.growing import Growing
from dispycos.client.presence import Place
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
        # On the kernel's thread from here on.
        # The program may be going through it when the next server comes.
        self._found: Growing[Location, Any] = Growing()
        self._sent: dict[Incarnation, set[Incarnation]] = {}  # where it was sent -> the servers there
        self._left = 0  # calls that have not ended
        work.presence.tell(self)

    def came(self, place: Place) -> None:
        """See `presence.Host`."""
        where, location = (
            (place.node, place.node_location) if self._per_node else (place.server, place.location)
        )
        servers = self._sent.setdefault(where, set())
        if not servers and self._work.open:
            future = self._work.submissions.call(
                self._function, self._name, self._payload, self._arguments, self._options, where
            )
            self._left += 1
            future.add_done_callback(partial(self._ended, location))
        servers.add(place.server)

    def gone(self, server: Incarnation) -> None:
        """See `presence.Host`. A node whose last server went begins anew with the next."""
        for where, servers in list(self._sent.items()):
            servers.discard(server)
            if not servers:
                del self._sent[where]

    def none(self, reason: str) -> None:
        """See `presence.Host`. Who waits is told; it runs all the same where a server comes after all."""
        if not self._left:
            self.fail(TaskRejected(f"{self._name} runs nowhere: {reason}"))

    def stopped(self) -> None:
        """See `presence.Host`."""
        self.complete(self._found)

    def _ended(self, location: Location, future: Any) -> None:
        self._found[location] = future.task._outcome(False)[0]
        self._left -= 1
        if not self._left:
            self.complete(self._found)
