"""Arrivals: responses that are under way or came, and were not read yet; of one client."""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Callable

from dispycos import forks
from dispycos.easycluster.response import Response

Kept = Callable[[], Response | None]  # a response, as long as anybody wants it
Listener = Callable[[], Callable[[], object] | None]  # a weak reference to what is called


class Arrivals:
    """Any thread may use it. A forked child has none of what comes to its parent."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []
        self._renew()
        _here.add(self)

    def _renew(self) -> None:
        self._changed = threading.Condition()
        self._came: deque[Kept] = deque()
        self._outstanding = 0
        self._to_handle = 0  # responses under way or come that want to call something

    def listen(self, listener: Listener) -> None:
        """Have `listener()()` called whenever something came; in any thread."""
        with self._changed:
            self._listeners = [*(kept for kept in self._listeners if kept() is not None), listener]

    def expect(self, response: Response) -> None:
        """It is under way."""
        wants = response.wants_handling
        # Who calls something when it is done need not be kept by anybody; others are there as
        # long as somebody keeps them.
        kept: Kept = (lambda: response) if wants else weakref.ref(response)
        with self._changed:
            self._outstanding += 1
            self._to_handle += wants
            # Nobody is obliged to read what came.
            while self._came and not _wanted(self._came[0]()):
                self._came.popleft()
        response.call.add_done_callback(lambda _: self._arrived(kept))

    def _arrived(self, kept: Kept) -> None:
        with self._changed:
            self._outstanding -= 1
            self._came.append(kept)
            self._changed.notify_all()
        for listener in self._listeners:
            if (listen := listener()) is not None:
                listen()

    def stir(self) -> None:
        """Whoever waits looks again."""
        with self._changed:
            self._changed.notify_all()

    @property
    def idle(self) -> bool:
        """Whether nothing is under way and nothing waits to be read."""
        return not self._outstanding and not self._came

    @property
    def busy(self) -> bool:
        """Whether something may come meanwhile that wants to call something."""
        return self._to_handle > 0

    def any(self) -> bool:
        """Whether something waits to be read."""
        return bool(self._came)

    def take(self) -> Response | None:
        """The response that came first and was not waited for; None if there is none."""
        with self._changed:
            while self._came:
                response = self._came.popleft()()
                if response is None:
                    continue
                self._to_handle -= response.wants_handling
                if _wanted(response):
                    return response
        return None

    def wait(self, ready: Callable[[], bool], deadline: float | None) -> bool:
        """Until `ready()`, which is asked whenever something came; False after `deadline` (monotonic)."""
        with self._changed:
            while not ready():
                rest = None if deadline is None else deadline - time.monotonic()
                if rest is not None and rest <= 0:
                    return False
                self._changed.wait(rest)
        return True


def _wanted(response: Response | None) -> bool:
    return response is not None and (response.wants_handling or not response.seen)


_here = forks.each_in_child(Arrivals._renew)
