"""Pending calls: what each will answer. An Operation that a plain thread waits for by reading."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Protocol

from dispycos.errors import Timeout
from dispycos.kernel import operation
from dispycos.kernel.operation import Owned


class Host(Protocol):
    """What a call needs of its connection."""

    def await_answer(self, pending: PendingCall, timeout: float | None) -> bool:
        """Wait in a plain thread; whether it is done."""

    def abroad(self) -> Exception | None:
        """What the connection raises in a forked child; None: it is this process's own."""


class PendingCall(Owned):
    """Made by `Connection.begin`. `yield`, `await` or `result(timeout)` it."""

    __slots__ = ("_host", "answered", "conversation", "number")

    def __init__(self, number: int, conversation: int, host: Host) -> None:
        super().__init__()
        self.number = number
        self.conversation = conversation
        self._host = host
        self.answered = False  # it is done, and who waits is about to be told

    def _tell(self) -> None:
        self.answered = True
        super()._tell()

    def _abroad(self) -> Exception | None:
        return self._host.abroad()

    def _block(self, timeout: float | None) -> None:
        if self.done():
            return
        if threading.get_ident() in operation.kernel_threads:
            super()._block(timeout)  # which says what to do instead
            return
        began = time.monotonic()
        if self._host.await_answer(self, timeout):
            return
        # The time is over, or nothing more will be read: then who found that out fails us, soon.
        if timeout is None:
            super()._block(None)
            return
        with contextlib.suppress(Timeout):
            super()._block(max(timeout - (time.monotonic() - began), 0))
        if not self.done():
            raise Timeout(f"no answer in {timeout:g} s")
