"""The nodes of a LocalCluster: processes of this program on loopback.

I/O half, reactor thread. Layer 5.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from dispycos.model import Incarnation, Location
from dispycos.node.embedded import LocalNode, NodeNotStarted
from dispycos.runtime import Network
from dispycos.scheduler.service import SchedulerService


class LocalNodes:
    """Starts and ends them, and tells the scheduler of them.

    launch       starts one, by its number; NodeNotStarted, or what the system says.
    came, ended  are told of each but the first, by its number.
    """

    def __init__(
        self,
        network: Network,
        service: SchedulerService,
        launch: Callable[[int], Awaitable[LocalNode]],
    ) -> None:
        self._network = network
        self._service = service
        self._launch = launch
        self._nodes: dict[int, LocalNode] = {}
        self._starting: dict[int, asyncio.Task[None]] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self.came: Callable[[int], None] = lambda number: None
        self.ended: Callable[[int, str], None] = lambda number, reason: None

    async def start_first(self) -> Location:
        """Start the first one; NodeNotStarted."""
        await self._start(1)
        return self._nodes[1].location

    def start(self, number: int) -> None:
        """See `elastic.Launcher`."""
        self._starting[number] = self._network.reactor.spawn(self._start_or_tell(number))

    def drain(self, number: int) -> None:
        """See `elastic.Launcher`."""
        node = self._nodes.get(number)
        if node is not None:
            node.drain()
        elif (starting := self._starting.get(number)) is not None:
            starting.cancel()
            starting.add_done_callback(lambda _: self.ended(number, "it was not needed any more"))

    def present(self) -> Mapping[Incarnation, int]:
        """See `elastic.Launcher`."""
        return {node.incarnation: number for number, node in self._nodes.items()}

    @property
    def count(self) -> int:
        """How many there are; any thread."""
        return len(self._nodes)

    async def stop(self) -> None:
        """End all, and wait until they are gone."""
        self.came, self.ended = lambda number: None, lambda number, reason: None
        starting = list(self._starting.values())
        for task in starting:
            task.cancel()
        await asyncio.gather(*starting, return_exceptions=True)
        nodes, self._nodes = list(self._nodes.values()), {}
        await asyncio.gather(*(node.stop() for node in nodes), *self._ending)

    async def _start_or_tell(self, number: int) -> None:
        try:
            await self._start(number)
        except NodeNotStarted as exc:
            self.ended(number, str(exc))
        except Exception as exc:
            # A full disk, for one: what neither comes nor ends would be waited for for ever.
            self.ended(number, f"{type(exc).__name__}: {exc}")
        else:
            self.came(number)
        finally:
            del self._starting[number]

    async def _start(self, number: int) -> None:
        node = await self._launch(number)
        self._nodes[number] = node
        node.when_ended(lambda reason: self._gone(number, reason))
        self._service.add_node(node.location)

    def _gone(self, number: int, reason: str) -> None:
        node = self._nodes.pop(number, None)
        if node is None:
            return
        # Nobody listens there any more, or somebody else.
        self._service.drop_node(node.location)
        task = self._network.reactor.spawn(node.stop())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        self.ended(number, reason)
