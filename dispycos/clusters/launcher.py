"""Who starts and ends the nodes of a cluster, for `clusters.elastic`.

I/O half, reactor thread. Layer 5.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol

from dispycos.model import Incarnation


class Owner(Protocol):
    """Who asks for nodes, and is told what becomes of them."""

    def room(self, nodes: int) -> None:
        """So many there can be at the moment."""

    def at_most(self, nodes: int, reason: str) -> None:
        """There will never be more than so many."""

    def came(self, number: int, servers: int = 0) -> None:
        """A node is here; with how many servers, if that is known."""

    def ended(self, number: int, reason: str, *, in_order: bool = False, elsewhere: bool = False) -> None:
        """A node is gone, or does not come: see `scaling.NodeEnded`."""


class Launcher(ABC):
    """Starts and ends nodes by their numbers, and tells its owner. Nothing but `begin` and `stop` waits."""

    owner: Owner | None = None  # None: nobody is told

    @abstractmethod
    async def begin(self) -> int:
        """Start what there is to be from the first; how many nodes are here, numbered from 1."""

    @abstractmethod
    def start(self, number: int) -> None:
        """Start a node; `owner.came` or `owner.ended` answers."""

    @abstractmethod
    def drain(self, number: int) -> None:
        """Have it end with its last task, or not come at all; `owner.ended` answers."""

    @abstractmethod
    def present(self) -> Mapping[Incarnation, int]:
        """The nodes that are here, and their numbers."""

    @abstractmethod
    async def stop(self) -> None:
        """End all, and wait until they are gone."""

    def told(self) -> dict[str, Any]:
        """What else people want to know, as entries of the cluster's status."""
        return {}

    def coming(self) -> list[str]:
        """What keeps nodes that are not here yet, for a client that waits for some; any thread."""
        return []

    def came(self, number: int, servers: int = 0) -> None:
        """Tell the owner."""
        if self.owner is not None:
            self.owner.came(number, servers)

    def ended(self, number: int, reason: str, *, in_order: bool = False, elsewhere: bool = False) -> None:
        """Tell the owner."""
        if self.owner is not None:
            self.owner.ended(number, reason, in_order=in_order, elsewhere=elsewhere)
