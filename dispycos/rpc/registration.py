"""Finding servers by name: what programs and servers say to a registry.

A server is known there as long as its connection to the registry lives, so one that crashed, or
whose machine fell silent, is forgotten by itself.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Any, Final

from dispycos.errors import DispycosError
from dispycos.rpc.connection import Connection
from dispycos.rpc.dialling import connect
from dispycos.rpc.errors import DiscoveryError
from dispycos.rpc.keys import Key
from dispycos.rpc.services import VoidService
from dispycos.rpc.settings import Config

log = logging.getLogger("dispycos")

REGISTRY_PORT: Final = 18811

_AGAIN: Final = 5.0  # seconds between attempts to reach a registry


class RegistryClient:
    """Where a registry is: this machine unless it is said."""

    def __init__(
        self, host: str = "localhost", port: int = REGISTRY_PORT, *, key: Key = None, timeout: float = 5.0
    ) -> None:
        self.host = host
        self.port = port
        self._key = key
        self._timeout = timeout

    def connect(self) -> Connection:
        """A connection to the registry. Errors as those of `rpc.connect`."""
        return connect(self.host, self.port, key=self._key, timeout=self._timeout)

    def discover(self, name: str) -> tuple[tuple[str, int], ...]:
        """Host and port of each server of that name, the newest last. DiscoveryError if there is none."""
        found: list[tuple[str, int]] = self._ask("discover", name)
        if not found:
            raise DiscoveryError(
                f"no server of {name.upper()!r} is registered at {self.host}:{self.port}; is it started "
                "with registrar=?"
            )
        return tuple((host, port) for host, port in found)

    def list_services(self) -> tuple[str, ...]:
        """The names that are registered, sorted."""
        return tuple(self._ask("list_services"))

    def _ask(self, what: str, *args: Any) -> Any:
        try:
            with self.connect() as conn:
                return getattr(conn.root, what)(*args)
        except (DispycosError, OSError, AttributeError) as exc:  # the last is no registry
            raise DiscoveryError(f"the registry at {self.host}:{self.port} did not answer: {exc}") from exc

    def __repr__(self) -> str:
        return f"<RegistryClient of {self.host}:{self.port}>"


class Registration:
    """Keeps a server registered, from a thread of its own, until `close`."""

    def __init__(self, registrar: RegistryClient, names: Sequence[str], host: str, port: int) -> None:
        self._registrar = registrar
        self._what = (list(names), host, port)
        self._ended = threading.Event()
        self._again = threading.Event()
        self._told = False
        self._thread = threading.Thread(target=self._run, name="dispycos registration", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                with self._registrar.connect() as conn:
                    conn.root.register(*self._what)
                    self._told = False
                    conn.when_gone(self._again.set)
                    self._again.wait()
                    self._again.clear()
            except (DispycosError, OSError) as exc:
                if not self._told:
                    log.warning("%r can't be reached, and is tried again: %s", self._registrar, exc)
                    self._told = True
            self._ended.wait(_AGAIN)

    def close(self) -> None:
        """Register no more."""
        self._ended.set()
        self._again.set()
        if self._thread is not threading.current_thread():
            self._thread.join(_AGAIN)


def discover(name: str, host: str | None = None, registrar: RegistryClient | None = None) -> Any:
    """Host and port of each server of a service, the newest last.

    host       only servers there.
    registrar  where the registry is; this machine's at the default port unless it is given.
    DiscoveryError if there is none, or no registry answers.
    """
    found = (registrar or RegistryClient()).discover(name)
    if host is not None:
        found = tuple(address for address in found if address[0] == host)
        if not found:
            raise DiscoveryError(f"no server of {name.upper()!r} is registered for host {host!r}")
    return found


def list_services(registrar: RegistryClient | None = None) -> tuple[str, ...]:
    """The names of the services that have servers. DiscoveryError if no registry answers."""
    return (registrar or RegistryClient()).list_services()


def connect_by_service(
    name: str,
    host: str | None = None,
    registrar: RegistryClient | None = None,
    service: Any = VoidService,
    config: Config = None,
    *,
    key: Key = None,
) -> Connection:
    """Connect to a server of a service, whichever answers, the newest first.

    DiscoveryError if none does; the last failure is its cause.
    """
    failure: Exception | None = None
    for where, port in reversed(discover(name, host, registrar)):
        try:
            return connect(where, port, service, config, key=key)
        except (DispycosError, OSError) as exc:
            failure = exc
    raise DiscoveryError(f"no server of {name.upper()!r} answers: {failure}") from failure
