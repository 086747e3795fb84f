"""Components that are files, on their way to a node's directory (DC-03).

I/O half. Layer 5.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dispycos.client.components import FileComponent
from dispycos.client.orders import FilesSent
from dispycos.model import Incarnation
from dispycos.net.files import FileSender
from dispycos.runtime import Network


class NodeFiles:
    """The files of one client."""

    def __init__(self, network: Network, files: Sequence[FileComponent]) -> None:
        self._network = network
        self._files = tuple(files)

    def send(self, node: Incarnation, answer: Callable[[Any], object]) -> None:
        """Store all of them in this node's directory; `answer` gets FilesSent. Reactor thread."""
        self._network.reactor.spawn(self._send(node, answer))

    async def _send(self, node: Incarnation, answer: Callable[[Any], object]) -> None:
        network = self._network
        sender = network.service(FileSender, lambda: FileSender(network.endpoint))
        for file in self._files:
            try:
                await sender.send_file(
                    node, file.path, file.name, overwrite=True, timeout=network.limits.request_timeout
                )
            except Exception as error:
                answer(FilesSent(node, f"component {file.path} could not be stored there: {error}"))
                return
        answer(FilesSent(node))
