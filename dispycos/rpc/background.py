"""A thread in which the other end's events are handled, while the program does other things."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final, Self

from dispycos.net.waiting import Waiting
from dispycos.rpc.connection import Connection

log = logging.getLogger("dispycos")

_STOPPING: Final = 10.0  # seconds in which what it does now may end


class BgServingThread:
    """Reads a connection, and does what the other end asks in a thread of its own, until `stop`.

    callback  called in that thread when the connection is gone.
    """

    def __init__(self, conn: Connection, callback: Callable[[], object] | None = None) -> None:
        self._conn = conn
        self._callback = callback
        self._waiting = Waiting()
        self._stopped = False
        self._thread = threading.Thread(
            target=self._run, name=f"dispycos background, {conn.name}", daemon=True
        )
        self._thread.start()

    @property
    def active(self) -> bool:
        """Whether it goes on."""
        return self._thread.is_alive() and not self._stopped

    def stop(self) -> None:
        """End the thread, after what it does now. May be repeated."""
        self._stopped = True
        self._waiting.wake()
        if self._thread is not threading.current_thread():
            self._thread.join(_STOPPING)

    def _run(self) -> None:
        self._conn.serve_until(self._waiting, lambda: self._stopped, None)
        if not self._stopped and self._callback is not None:
            try:
                self._callback()
            except Exception:
                log.exception("the callback of %r failed", self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
