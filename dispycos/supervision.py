"""Between a daemon and what started it: it is told how the daemon is, and may ask it to drain.

Told is by systemd's protocol of notifications, sd_notify(3).

Ready, stopping, a line about what it does, and the sign of life that a watchdog waits for. The
sign comes from the loop that serves, so a loop that stands still is noticed. Where nobody asks
(no NOTIFY_SOCKET), nothing is said.

I/O half. Layer 3.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable, MutableMapping

log = logging.getLogger("dispycos")

# As `quit` typed at a node or scheduler; None: the system has none.
DRAIN = getattr(signal, "SIGUSR1", None)

_IMPORTANT = 1.0  # seconds that a loop may stand still for what is said once
LOOK_EVERY = 5.0  # seconds between looks at what is to be said, unless the watchdog wants it sooner


class Supervisor:
    """Who watches this process; `Supervisor.asked()` is the one that asked for it.

    address   of its socket; "": nobody.
    watchdog  seconds without a sign of life after which it ends this process; 0: it does not.
    """

    def __init__(self, address: str = "", watchdog: float = 0.0) -> None:
        self._address = address
        self._interval = min(LOOK_EVERY, watchdog / 3) if watchdog else LOOK_EVERY
        self._watchdog = watchdog > 0
        self._said = ""
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    def asked(cls, environ: MutableMapping[str, str] = os.environ) -> Supervisor:
        """As the environment says, which loses it: what this process starts is not to speak for it."""
        address = environ.pop("NOTIFY_SOCKET", "")
        microseconds = environ.pop("WATCHDOG_USEC", "")
        whose = environ.pop("WATCHDOG_PID", "")
        ours = not whose or whose == str(os.getpid())
        watchdog = int(microseconds) / 1e6 if microseconds.isdecimal() and ours else 0.0
        return cls(address, watchdog)

    def ready(self, describe: Callable[[], str]) -> None:
        """This process serves; from now on what `describe` says is told when it changes. On the loop."""
        if self._address:
            self._said = describe()
            self._say("READY=1", f"STATUS={self._said}", within=_IMPORTANT)
            self._later(describe)

    def stopping(self) -> None:
        """This process ends; may be repeated."""
        if self._address:
            self._say("STOPPING=1", within=_IMPORTANT)
        if self._timer is not None:
            self._timer.cancel()

    def _later(self, describe: Callable[[], str]) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._interval, self._look, describe)

    def _look(self, describe: Callable[[], str]) -> None:
        lines = ["WATCHDOG=1"] if self._watchdog else []
        text = describe()
        if text != self._said:
            lines.append(f"STATUS={text}")
        if lines and self._say(*lines):
            self._said = text  # else it is told at the next look
        self._later(describe)

    def _say(self, *lines: str, within: float = 0.0) -> bool:
        """Send them; if its queue is full, wait for at most so many seconds. Whether that was done."""
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.settimeout(within)
                sock.sendto("\n".join(lines).encode("utf-8", "backslashreplace"), address)
        except OSError as exc:
            # A supervisor that does not listen is no reason to serve no more.
            log.debug("%s is not told %s: %s", self._address, lines[0], exc)
            return False
        return True
