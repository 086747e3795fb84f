"""Task streams: a byte stream between two tasks of different processes, as messages.

Each end has one of a pair of sockets, whose other one belongs to a link. What is read of it goes to
the other end's task as bytes; that one answers with how many of them its link took, so at most
WINDOW of them are under way. Empty bytes are the end of the stream.

I/O half. Layer 7. Rule N4.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Generator
from typing import Any, Final

from dispycos.kernel.sockets import AsyncSocket
from dispycos.kernel.sync import Event
from dispycos.kernel.task import Task
from dispycos.model import MonitorStatus

WINDOW: Final = 4 * 1024 * 1024  # bytes
_CHUNK: Final = 256 * 1024  # bytes of a message


class TaskStream:
    """One end."""

    def __init__(self, ours: socket.socket) -> None:
        self._socket = AsyncSocket(ours)
        self._under_way = 0  # bytes that the other end did not take yet
        self._room = Event()

    def run(self, other: Task, task: Any) -> Generator[Any, Any, Any]:
        """Carry in `task` until the other end has no more, or its task ended; answers its status then.

        other  the task of the other end.
        """
        out = Task(self._send, other)
        try:
            while True:
                message = yield task.receive()
                if isinstance(message, MonitorStatus):
                    return message
                if isinstance(message, int):
                    self._under_way -= message
                    self._room.set()
                elif message:
                    # The link always reads, whatever it waits for: this holds up the other way never.
                    with contextlib.suppress(OSError):
                        yield self._socket.sendall(message)
                    other.send(len(message))
                else:
                    # What we have for it goes nowhere now, so it hears of no other end.
                    other.send(b"")
                    return None
        finally:
            out.terminate("its stream is over")

    def close(self) -> None:
        """Let the link see the end of its stream."""
        self._socket.close()

    def _send(self, other: Task, task: Any = None) -> Generator[Any, Any, Any]:
        task.set_daemon()
        data = b"more"
        while data:
            while self._under_way >= WINDOW:
                self._room.clear()
                yield self._room.wait()
            try:
                data = yield self._socket.recv(_CHUNK)
            except OSError:
                data = b""
            self._under_way += len(data)
            other.send(data)
