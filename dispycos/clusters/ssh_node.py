"""One node of an SSHCluster: from the login on its host, in a thread, to its end.

I/O half. Layer 5. Rule R-11.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

from dispycos.launch.remote_node import Ended, Line, RemoteNode, Tell, why_none
from dispycos.node import printed
from dispycos.node.printed import Logged, Ready
from dispycos.wording import harmless

log = logging.getLogger("dispycos")

_PARTING: Final = 2.0  # seconds for an ssh whose node has ended
_KEPT_LINES: Final = 5  # of what it prints before it is ready: it says why it never is
_WRONG_USAGE: Final = 2  # the exit status of a node that refuses its options


class Owner(Protocol):
    """Who wants the node."""

    def call(self, function: Callable[..., object], *args: Any) -> None:
        """Have one of these called in a thread of its own; any thread."""

    def is_ready(self, node: SSHNode) -> None:
        """It listens at `node.ready`."""

    def is_over(self, node: SSHNode, reason: str, well: bool) -> None:
        """It is gone, or does not come; `well`: it ended as it was asked to."""


class SSHNode:
    """It, from its login on.

    host    where it is, as the user wrote it, for the log and before what tasks print.
    launch  logs in and starts it, which takes a while; see RemoteNode.
    logins  how many there may be at a time.
    """

    def __init__(
        self,
        number: int,
        host: str,
        launch: Callable[[Tell], RemoteNode],
        logins: threading.Semaphore,
        owner: Owner,
    ) -> None:
        self.number = number
        self.host = host
        self.ready: Ready | None = None
        self.refuses = False  # its options; it would do so again
        self._launch = launch
        self._logins = logins
        self._owner = owner
        self._refused = threading.Event()
        self._remote: RemoteNode | None = None  # None: the login is under way
        self._over = False  # it has ended
        self._kept: deque[str] = deque()  # lines that are not shown yet

    def start(self) -> None:
        """Log in. RuntimeError if there can't be one more thread."""
        # Not of a pool: a program that ends does not wait for a host that is silent.
        threading.Thread(target=self._log_in, name="dispycos ssh", daemon=True).start()

    @property
    def unwanted(self) -> bool:
        """It is to end, or not to come at all."""
        return self._refused.is_set()

    def refuse(self) -> bool:
        """It is not wanted any more; False: its login is under way, and what that leads to ends by itself."""
        self._refused.set()
        return self._remote is not None

    def end(self, *, soon: bool) -> None:
        """Have it end in order; `soon`: its tasks are interrupted. May wait for its stream."""
        assert self._remote is not None
        if soon or self.ready is None:
            self._remote.end()
        else:
            self._remote.drain()

    def part(self) -> None:
        """Leave it to itself: it ends, and of what led there nothing is left. Waits up to 2 seconds."""
        if self._remote is not None:
            self._remote.abandon()
            if not self._remote.wait(_PARTING):
                self._remote.kill()

    def _log_in(self) -> None:
        with self._logins:
            try:
                if not self.unwanted:
                    self._remote = self._launch(self._hear)
            except Exception as exc:
                self._owner.call(self._owner.is_over, self, why_none(exc), False)
                return
        # Who wants it no more, or heard of its end, may have found no login to part from.
        if self.unwanted or self._over:
            self.part()
        if self.unwanted:
            self._owner.call(self._owner.is_over, self, "it is not needed", True)

    def _hear(self, event: Line | Ended) -> None:
        """In the thread of its link."""
        if isinstance(event, Ended):
            self._over = True
            self.refuses = self.ready is None and event.code == _WRONG_USAGE
            well = event.code == 0 or (self.ready is None and self.unwanted)
            self._owner.call(self._owner.is_over, self, self._why(event), well)
            return
        if self.ready is not None:
            self._show(event.text)
            return
        read = printed.read(event.text)
        if isinstance(read, Ready):
            self.ready = read
            self._owner.call(self._owner.is_ready, self)
        else:
            self._kept.append(event.text)
        # Of one that never is ready they are the reason, and are told as that.
        while len(self._kept) > (0 if self.ready else _KEPT_LINES):
            self._show(self._kept.popleft())

    def _why(self, event: Ended) -> str:
        said = [_words(line) for line in self._kept]
        if self.refuses and said:
            # Last, behind its usage.
            return f"its node refuses to start: {said[-1].removeprefix('dispycosnode: error: ')}"
        return f"{event.reason}: {'; '.join(said)}" if said else event.reason

    def _show(self, line: str) -> None:
        read = printed.read(line)
        if isinstance(read, Logged):
            log.log(read.level, "%s: %s", self.host, harmless(read.text))
        else:
            with contextlib.suppress(OSError, ValueError):  # our output may be closed
                print(f"{self.host}: {harmless(line)}", flush=True)


def _words(line: str) -> str:
    read = printed.read(line)
    return harmless(read.text if isinstance(read, Logged) else line)
