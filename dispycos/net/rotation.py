"""Rotation: a process takes up the keys that its key file holds now, while it works (SE-08).

A key is replaced without a stop by three edits of the file everywhere: the new one as second
line; the new one first; the old one gone. Between the edits everybody must have taken up the
last, which is a matter of seconds: the file is looked at, and a daemon can be told by a signal.

I/O half, reactor thread. Layer 4.
"""

from __future__ import annotations

import logging

from dispycos.keyfile import KeySource
from dispycos.net.endpoint import Endpoint

log = logging.getLogger("dispycos")

LOOK_EVERY = 5.0  # seconds between looks at the file


class Rotation:
    """Looks at one process's key file."""

    def __init__(self, endpoint: Endpoint, source: KeySource) -> None:
        self._endpoint = endpoint
        self._source = source

    def start(self) -> None:
        """Look now and then from now on; a secret is not looked at."""
        if self._source.path is not None:
            self._endpoint.reactor.loop.call_later(LOOK_EVERY, self._look)

    def _look(self) -> None:
        if self._source.changed:
            self.reload()
        self.start()  # as long as the loop runs

    def reload(self) -> None:
        """Take up what the file holds now; what is no good in it changes nothing, and is said."""
        path = self._source.path
        if path is None:
            log.warning("this process was given a secret, no key file: there is nothing to load again")
            return
        try:
            keys = self._source.load()
        except (OSError, ValueError) as exc:
            log.error("the keys are as they were, for the file is no good: %s", exc)
            return
        self._endpoint.take_keys(keys)
        log.info("took up the keys of %s: %s", path, keys)
