"""Groups: gateways by number and id, and their end."""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

from dispycos.gateways import lanes
from dispycos.gateways.gateway import Gateway
from dispycos.launch.launchers import launch
from dispycos.launch.opening import Errand
from dispycos.launch.spec import XSpec

_MAIN = "dispycos.gateways.far"


class Group:
    """Gateways in the order in which they were made. All end with the program."""

    defaultspec = "popen"

    def __init__(self, specs: Iterable[str | XSpec] = ()) -> None:
        self._gateways: list[Gateway] = []
        self._leaving: list[Gateway] = []  # told to exit, not gone yet
        self._lock = threading.RLock()
        self._count = 0
        atexit.register(self._cleanup_atexit)
        for spec in specs:
            self.makegateway(spec)

    def makegateway(self, spec: str | XSpec | None = None) -> Gateway:
        """Open a gateway: see `XSpec` for what can be said; none: `defaultspec`.

        ValueError for a bad specification or an id that is taken; HostNotFound says what was
        tried and what came of it.
        """
        if not spec:
            spec = self.defaultspec
        if not isinstance(spec, XSpec):
            spec = XSpec(spec)
        self.allocate_id(spec)
        launched = launch(spec, self._errand(spec))
        gateway = Gateway(self, spec, launched)
        with self._lock:
            self._gateways.append(gateway)
        return gateway

    def _errand(self, spec: XSpec) -> Errand:
        options: dict[str, Any] = {"id": spec.id, "execmodel": spec.execmodel or "thread", "env": spec.env}
        if options["execmodel"] not in lanes.MODELS:
            raise ValueError(f"execmodel={spec.execmodel!r}: there are {', '.join(lanes.MODELS)}")
        if spec.chdir:
            options["chdir"] = spec.chdir
        if spec.nice:
            options["nice"] = spec.nice
        if spec.dont_write_bytecode:
            options["dont_write_bytecode"] = True
        return Errand(_MAIN, options, has_package=bool(spec.popen) and spec.python is None)

    def allocate_id(self, spec: XSpec) -> None:
        """Give a specification without an id the next one. ValueError if its id is taken."""
        with self._lock:
            if spec.id is None:
                while (name := f"gw{self._count}") in self:
                    self._count += 1
                self._count += 1
                spec.id = name
            elif spec.id in self:
                raise ValueError(f"there is a gateway with the id {spec.id!r} already")

    def left(self, gateway: Gateway) -> None:
        """A gateway is no more to be counted."""
        with self._lock:
            if gateway in self._gateways:
                self._gateways.remove(gateway)
                self._leaving.append(gateway)

    # As a container.

    def __getitem__(self, key: int | str | Gateway) -> Gateway:
        with self._lock:
            if isinstance(key, int):
                return self._gateways[key]
            for gateway in self._gateways:
                if gateway is key or gateway.id == key:
                    return gateway
        raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        with self._lock:
            return any(gateway is key or gateway.id == key for gateway in self._gateways)

    def __len__(self) -> int:
        return len(self._gateways)

    def __iter__(self) -> Iterator[Gateway]:
        return iter(list(self._gateways))

    def __repr__(self) -> str:
        return f"<Group {[gateway.id for gateway in self]}>"

    # Ending.

    def terminate(self, timeout: float | None = None) -> None:
        """End all gateways: those that are not gone after `timeout` seconds (none: 10) are killed."""
        with self._lock:
            ending = [*self._leaving, *self._gateways]
            self._leaving.clear()
        deadline = time.monotonic() + (10.0 if timeout is None else timeout)
        for gateway in reversed(ending):
            gateway.exit()
        with self._lock:
            self._leaving.clear()
        for gateway in ending:
            if not gateway.join(max(deadline - time.monotonic(), 0)):
                gateway.kill()
                gateway.join(None)

    def _cleanup_atexit(self) -> None:
        self.terminate(1.0)
