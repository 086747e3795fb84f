"""The program's side of a driver: what it is told, and where.

Layer 5.
"""

from __future__ import annotations

from typing import Any, Protocol

from dispycos.client.submission import Ended, Placed, Submission
from dispycos.model import Incarnation


class Listener(Protocol):
    """The program's side of a driver. All is called on the kernel's thread, in order."""

    @property
    def monitor(self) -> str:
        """Where its web monitor listens; "": it has none. Any thread."""

    def placed(self, action: Placed) -> None: ...
    def ended(self, action: Ended) -> None: ...
    def news(self, action: Any) -> None:
        """Notify, PleaseClose or TurnEnded."""

    def all_done(self) -> None: ...
    def send_files(self, node: Incarnation) -> None:
        """The exception: on the reactor's thread."""

    def turn_begun(self, reservation: int) -> None:
        """Ahead of the news; any thread, under the driver's lock."""

    def settled(self, task: Submission) -> None:
        """Where this task is, it stays, and it is told there; any thread, under the driver's lock."""

    def server_usable(self, server: Incarnation) -> list[Submission]:
        """Its words are this client's; what it is to do first. Any thread, under the driver's lock."""

    def server_gone(self, server: Incarnation) -> None:
        """It is no more; any thread, under the driver's lock."""

    def no_servers(self, reason: str, lasting: bool) -> None:
        """None is there, and none comes for what waits, or ever if `lasting`, and why; "": one may.

        Any thread, under the driver's lock.
        """
