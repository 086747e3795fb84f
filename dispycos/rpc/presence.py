"""Presence: how a service hears of the begin and end of each of its connections."""

from __future__ import annotations

import inspect
import logging
import threading
from collections.abc import Callable
from typing import Any

from dispycos import forks

log = logging.getLogger("dispycos")


class Hooks:
    """What a service may override. Each may be written without `conn` too."""

    def on_connect(self, conn: Any) -> None:
        """Called once a connection is there, before the other end uses it."""

    def on_disconnect(self, conn: Any) -> None:
        """Called once a connection is gone, however that came."""


class Presence:
    """The hooks of a service for one connection: each is called once, and in order."""

    def __init__(self, service: Any) -> None:
        self._service = service
        self._lock = threading.Lock()
        # The other end may have come, asked and gone before anybody here gets to say that it begins.
        self._begun = not self.is_awaited
        self._gone = False
        self._told = False

    @property
    def is_awaited(self) -> bool:
        """Whether the service wants to hear of a beginning."""
        return type(self._service).on_connect is not Hooks.on_connect

    def begin(self, conn: Any) -> None:
        """The connection is there, for a service that awaits it. Whatever the hook raises."""
        with self._lock:
            if self._gone:
                return
        _call(self._service.on_connect, conn)
        with self._lock:
            self._begun = True
        self._tell(conn)

    def end(self, conn: Any) -> None:
        """It is gone."""
        with self._lock:
            self._gone = True
        self._tell(conn)

    def _tell(self, conn: Any) -> None:
        with self._lock:
            if self._told or not (self._begun and self._gone):
                return
            self._told = True
        if type(self._service).on_disconnect is not Hooks.on_disconnect:
            try:
                _call(self._service.on_disconnect, conn)
            except Exception:
                log.exception("on_disconnect of %r failed", self._service)


def _call(hook: Callable[..., None], conn: Any) -> None:
    try:
        takes_it = bool(inspect.signature(hook).parameters)
    except (ValueError, TypeError):
        takes_it = True  # it has no signature
    with forks.parent_goes_on():
        if takes_it:
            hook(conn)
        else:
            hook()
