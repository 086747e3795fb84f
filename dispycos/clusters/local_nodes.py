"""The nodes of a LocalCluster: processes of this program on loopback.

I/O half, reactor thread. Layer 5.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from dispycos.clusters.launcher import Launcher
from dispycos.model import Incarnation, Location
from dispycos.node.embedded import LocalNode, NodeNotStarted
from dispycos.runtime import Network
from dispycos.scheduler.service import SchedulerService


class LocalNodes(Launcher):
    """Starts and ends them, and tells the scheduler of them.

    launch  starts one, by its number; NodeNotStarted, or what the system says.
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

    async def begin(self) -> int:
        """Start the first one; NodeNotStarted."""
        await self._start(1)
        return 1

    def start(self, number: int) -> None:
        """See `Launcher`."""
        self._starting[number] = self._network.reactor.spawn(self._start_or_tell(number))

    def drain(self, number: int) -> None:
        """See `Launcher`."""
        node = self._nodes.get(number)
        if node is not None:
            node.drain()
        elif (starting := self._starting.get(number)) is not None:
            starting.cancel()
            starting.add_done_callback(lambda _: self.ended(number, "it is not needed"))

    def present(self) -> Mapping[Incarnation, int]:
        """See `Launcher`."""
        return {node.incarnation: number for number, node in self._nodes.items()}

    @property
    def locations(self) -> list[Location]:
        """Where they are, the oldest first; any thread."""
        return [node.location for node in list(self._nodes.values())]

    async def stop(self) -> None:
        """See `Launcher`."""
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
        task = self._network.reactor.spawn(self._bury(number, node, reason))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _bury(self, number: int, node: LocalNode, reason: str) -> None:
        await node.stop()  # until then nobody knows how its process ended
        self.ended(number, node.fate or reason, in_order=node.ended_in_order)
