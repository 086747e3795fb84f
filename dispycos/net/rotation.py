"""Rotation: a process takes up the keys and the certificate that its files hold now, while it works (SE-08).

A key is replaced without a stop by three edits of the file everywhere: the new one as second
line; the new one first; the old one gone. Between the edits everybody must have taken up the
last, which is a matter of seconds: the file is looked at, and a daemon can be told by a signal.
A renewed certificate is shown to whoever connects from then on; a node tells its servers.

I/O half, reactor thread. Layer 4.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from dispycos.keyfile import KeySource
from dispycos.net.endpoint import Endpoint
from dispycos.net.tls import Tls

log = logging.getLogger("dispycos")

LOOK_EVERY = 5.0  # seconds between looks at the file


class Rotation:
    """Looks at the key file and the certificate of one process.

    source   of its keys; None: they were made for this process, and are not replaced.
    renewed  called when another certificate was taken up.
    """

    def __init__(
        self, endpoint: Endpoint, source: KeySource | None, renewed: Callable[[], object] | None = None
    ) -> None:
        self._endpoint = endpoint
        self._source = source
        self._renewed = renewed

    @property
    def _path(self) -> Path | None:
        return None if self._source is None else self._source.path

    def start(self) -> None:
        """Look now and then from now on; a secret is not looked at."""
        if self._path is not None or self._endpoint.tls is not None:
            self._endpoint.reactor.loop.call_later(LOOK_EVERY, self._look)

    def listen_to_hangup(self, *, at_terminal: bool) -> None:
        """Look at once when this process gets SIGHUP, too.

        at_terminal  its end is ours, as ever: SIGHUP is left alone then.
        """
        if hasattr(signal, "SIGHUP"):
            ends = at_terminal and os.isatty(0) and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
            if not ends:
                self._endpoint.reactor.loop.add_signal_handler(signal.SIGHUP, self.reload)

    def _look(self) -> None:
        if self._source is not None and self._source.changed:
            self._reload_keys(self._source)
        if self._endpoint.tls is not None and self._endpoint.tls.changed:
            self._reload_certificate(self._endpoint.tls)
        self.start()  # as long as the loop runs

    def reload(self) -> None:
        """Take up what the files hold now; what is no good in them changes nothing, and is said."""
        tls = self._endpoint.tls
        if self._source is not None and self._path is not None:
            self._reload_keys(self._source)
        if tls is not None:
            self._reload_certificate(tls)
        if self._path is None and tls is None:
            log.warning("this process was given a secret, no key file: there is nothing to load again")

    def _reload_certificate(self, tls: Tls) -> None:
        if take_up(tls) and self._renewed is not None:
            self._renewed()

    def _reload_keys(self, source: KeySource) -> None:
        try:
            keys = source.load()
        except (OSError, ValueError) as exc:
            log.error("the keys are as they were, for the file is no good: %s", exc)
            return
        self._endpoint.take_keys(keys)
        log.info("took up the keys of %s: %s", source.path, keys)


class Renewable(Protocol):
    """A certificate of which the files may hold another one later."""

    notice: str  # what is wrong with it, though it can be used

    def reload(self) -> None:
        """Show from now on what the files hold; OSError or ValueError: it is as it was."""


def take_up(tls: Renewable) -> bool:
    """Show from now on what the files hold; False, and a line that says why: they are no good."""
    try:
        tls.reload()
    except (OSError, ValueError) as exc:
        log.error("the certificate is as it was, for the files are no good: %s", exc)
        return False
    log.info("took up %s%s", tls, f"; {tls.notice}" if tls.notice else "")
    return True
