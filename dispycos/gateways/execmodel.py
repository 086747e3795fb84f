"""Execution models: what code at a far end runs in, by the name that specifications use.

This end always uses threads; a task or a coroutine that uses a channel is met by the channel.
"""

from __future__ import annotations

import queue
import threading
import time
from typing import Final

# thread            the main thread if it has nothing else to do, else a thread of its own
# main_thread_only  the main thread, and one at a time
# task              generator functions and `async def` are tasks; all else as with thread
MODELS: Final = ("thread", "main_thread_only", "task")


class ExecModel:
    """A model, and what programs of its kind are made of: standard modules and classes.

    ValueError for an unknown name.
    """

    queue = queue
    Event = threading.Event
    Lock = threading.Lock
    RLock = threading.RLock

    def __init__(self, backend: str) -> None:
        if backend not in MODELS:
            raise ValueError(f"execmodel={backend[:40]!r}: there are {', '.join(MODELS)}")
        self.backend = backend

    def __repr__(self) -> str:
        return f"<ExecModel {self.backend}>"

    def get_ident(self) -> int:
        """Of the calling thread."""
        return threading.get_ident()

    def sleep(self, seconds: float) -> None:
        """Of the calling thread."""
        time.sleep(seconds)
