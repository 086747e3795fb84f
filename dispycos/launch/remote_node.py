"""A node on another machine, as who started it sees it. The far end is `launch.far_node`.

I/O half. Layer 3.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from dispycos.errors import DispycosError
from dispycos.launch.baggage import archive
from dispycos.launch.fate import ended
from dispycos.launch.launched import Launched
from dispycos.launch.launchers import launch
from dispycos.launch.opening import Errand
from dispycos.launch.spec import XSpec
from dispycos.launch.wire import NODE_DRAIN, NODE_END, NODE_ENDED, NODE_FAILED, NODE_LINE
from dispycos.model import Buffer
from dispycos.net.link import Link

_MAIN: Final = "dispycos.launch.far_node"


@dataclass(frozen=True, slots=True)
class Line:
    """The node printed it."""

    text: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The node is no more; said once, last."""

    reason: str
    code: int | None  # its exit code; None: nobody knows


Tell: TypeAlias = Callable[[Line | Ended], object]


class RemoteNode:
    """A node that is started by a specification, and ends with us.

    keys       of the cluster, in hexadecimal; they go there inside the stream.
    arguments  options of dispycosnode.
    tell       called with what happens from then on; by the thread that hears of it.
    HostNotFound says why there is none; VersionMismatch; ModuleNotFoundError names what is missing here.
    """

    def __init__(self, spec: XSpec, keys: Sequence[str], arguments: Sequence[str], tell: Tell) -> None:
        packed = archive()
        self._tell = tell
        self._ended: Ended | None = None
        self._launched: Launched = launch(spec, Errand(_MAIN, {}, becomes="a node"), silent=True)
        self._link = Link(self._launched.stream, self._launched.meeting, self._hear, lambda: None, self._lost)
        self._link.start("dispycos remote node")
        order = {"keys": list(keys), "arguments": list(arguments)}
        # What breaks here is told by `lost`.
        with contextlib.suppress(DispycosError, OSError):
            self._link.send(repr(order).encode(), (packed,))

    def _hear(self, head: Buffer, tail: Buffer) -> None:
        said, text = bytes(head), bytes(tail).decode(errors="replace")
        if said == NODE_LINE:
            self._tell(Line(text))
        elif said == NODE_ENDED:
            code = int(text)
            self._ended = Ended(f"the node {'ended with' if code >= 0 else 'was'} {ended(code)}", code)
        elif said == NODE_FAILED:
            self._ended = Ended(text, None)

    def _lost(self, reason: str) -> None:
        self._tell(self._ended or Ended(f"the connection is lost: {reason}", None))

    def drain(self) -> None:
        """Have it end with its last task; `tell` says when it has. Only if it has said that it is ready."""
        self._order(NODE_DRAIN)

    def end(self) -> None:
        """Have it end in order; `tell` says when it has."""
        self._order(NODE_END)

    def _order(self, order: bytes) -> None:
        with contextlib.suppress(DispycosError, OSError):
            self._link.send(order, (b"",))

    def abandon(self) -> None:
        """Part from it: it ends by itself."""
        self._link.close("the program that started the node ends", 0.0)

    def wait(self, timeout: float) -> bool:
        """Whether what leads there ended within `timeout` seconds."""
        return self._launched.wait(timeout)

    def kill(self) -> None:
        """End what leads there at once."""
        self._launched.kill()


def why_none(error: Exception) -> str:
    """What kept a node from being started, in a line."""
    if isinstance(error, DispycosError | OSError | ValueError | ImportError):
        return " ".join(str(error).split())
    return f"an error of dispycos: {type(error).__name__}: {error}"
