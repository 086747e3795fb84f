"""Components that are files, on their way to a node (DC-03).

I/O half. Layer 5.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dispycos.client.components import FileComponent
from dispycos.client.orders import FilesSent
from dispycos.model import Incarnation
from dispycos.runtime import Network


class FileSender:
    """Sends one client's files."""

    def __init__(self, network: Network, files: Sequence[FileComponent]) -> None:
        self._network = network
        self._files = tuple(files)

    def send(self, node: Incarnation, answer: Callable[[Any], object]) -> None:
        """Store all of them in this node's directory; `answer` gets FilesSent. Reactor thread."""
        self._network.reactor.spawn(self._send(node, answer))

    async def _send(self, node: Incarnation, answer: Callable[[Any], object]) -> None:
        answer(FilesSent(node, "not yet"))
