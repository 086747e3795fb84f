"""When servers are told that their outcomes were seen: until then they keep them, and their values.

A part of `client.dispatch`. In batches, and soon after the first; at once at the end of a server.

Pure. Layer 2. Rule R-36.
"""

from __future__ import annotations

from typing import Any

from dispycos.client.credits import Server
from dispycos.events import Say
from dispycos.messages import OutcomesSeen

SEEN_AFTER = 64  # outcomes, before the server is told that they were seen ...
SEEN_WITHIN = 1.0  # ... or seconds after the first


class Acknowledgements:
    """What one client's servers are still to be told."""

    __slots__ = ("_owed", "due")

    def __init__(self) -> None:
        self._owed: dict[Server, None] = {}  # servers with outcomes that we did not acknowledge
        self.due: float | None = None  # when they are told at the latest

    def owe(self, server: Server, now: float, actions: list[Any]) -> None:
        """Outcomes of this server came."""
        if server.unseen >= SEEN_AFTER or server.closing:
            self.say([server], actions)
        elif server not in self._owed:
            self._owed[server] = None
            if self.due is None:
                self.due = now + SEEN_WITHIN

    def tick(self, now: float, actions: list[Any]) -> None:
        """Tell who has waited for long enough, and all others with it."""
        if self.due is not None and self.due <= now:
            self.say(list(self._owed), actions)

    def say(self, servers: list[Server], actions: list[Any]) -> None:
        """Tell these now, if there is anything to be told."""
        for server in servers:
            self._owed.pop(server, None)
            if server.unseen:
                server.unseen = 0
                seen = OutcomesSeen(server.number, server.position, server.position_io)
                actions.append(Say(server.incarnation, seen))
        if not self._owed:
            self.due = None

    def drop(self, server: Server) -> None:
        """It is gone."""
        self._owed.pop(server, None)
