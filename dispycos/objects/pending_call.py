"""Pending calls: what each will answer. An Operation that a plain thread waits for by reading."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

from dispycos.errors import Timeout
from dispycos.kernel import operation
from dispycos.kernel.operation import Operation

if TYPE_CHECKING:
    from collections.abc import Callable


class PendingCall(Operation):
    """Made by `Connection.begin`. `yield`, `await` or `result(timeout)` it.

    reads  (this, timeout) -> whether it is done: how a plain thread waits.
    """

    __slots__ = ("_reads", "answered", "conversation", "number")

    def __init__(
        self, number: int, conversation: int, reads: Callable[[PendingCall, float | None], bool]
    ) -> None:
        super().__init__()
        self.number = number
        self.conversation = conversation
        self._reads = reads
        self.answered = False  # it is done, and who waits is about to be told

    def _tell(self) -> None:
        self.answered = True
        super()._tell()

    def _block(self, timeout: float | None) -> None:
        if self.done():
            return
        if threading.get_ident() in operation.kernel_threads:
            super()._block(timeout)  # which says what to do instead
            return
        began = time.monotonic()
        if self._reads(self, timeout):
            return
        # The time is over, or nothing more will be read: then who found that out fails us, soon.
        if timeout is None:
            super()._block(None)
            return
        with contextlib.suppress(Timeout):
            super()._block(max(timeout - (time.monotonic() - began), 0))
        if not self.done():
            raise Timeout(f"no answer in {timeout:g} s")
