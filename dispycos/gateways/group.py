"""Groups: gateways by number and id, and their end."""

from __future__ import annotations

import atexit
import threading
import time
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from dispycos import forks
from dispycos.gateways.execmodel import ExecModel
from dispycos.gateways.gateway import PATIENCE, Gateway
from dispycos.gateways.kinds import KINDS, PopenGateway, SocketGateway, SshGateway, set_home
from dispycos.gateways.multichannel import MultiChannel
from dispycos.launch import carry
from dispycos.launch.launchers import launch
from dispycos.launch.opening import Errand
from dispycos.launch.quoting import excerpt
from dispycos.launch.spec import XSpec

__all__ = [
    "Group",
    "PopenGateway",
    "SocketGateway",
    "SshGateway",
    "default_group",
    "makegateway",
    "set_execmodel",
]

_MAIN: Final = "dispycos.gateways.far"
_TASKS: Final = "dispycos.gateways.far_tasks"  # the same, which can run tasks

_LATER: Final = ("dispycos.gateways.pending",)  # when code there first waits in asyncio

END_TIME: Final = 10.0  # seconds that a far end has to end by itself
_KILL_TIME: Final = 5.0  # seconds for a far end that was killed to be gone
_EXIT_TIME: Final = 1.0  # the same when the program ends
_CARRIER_TIME: Final = carry.PATIENCE + 1.0  # seconds that a carrier has to kill what it carries


class Group:
    """Gateways in the order in which they were made. All end with the program."""

    defaultspec = "popen"

    def __init__(self, specs: Iterable[str | XSpec] = (), execmodel: str = "thread") -> None:
        """Open a gateway for each specification.

        execmodel  of far ends whose specification says nothing else: see `set_execmodel`.
        """
        self._renew()
        self._count = 0
        _groups.add(self)
        self.set_execmodel(execmodel)
        atexit.register(self._cleanup_atexit)
        for spec in specs:
            self.makegateway(spec)

    def _renew(self) -> None:
        """Have no gateways: in a forked child, where they are the parent's."""
        self._gateways: list[Gateway] = []
        self._leaving: list[Gateway] = []  # told to exit, not gone yet
        self._opening: set[str] = set()  # ids of gateways that are not there yet
        self._lock = threading.RLock()  # anew in a child: a thread of the parent's may have had it

    # Execution models.

    def set_execmodel(self, execmodel: str, remote_execmodel: str | None = None) -> None:
        """Say what code at far ends runs in, if their specification does not: one of `execmodel.MODELS`.

        execmodel         what this end says of itself; it uses threads in any case.
        remote_execmodel  of the far ends; None: the same.
        ValueError for an unknown one, and if the group has gateways already.
        """
        if len(self):
            raise ValueError(f"the execution model can't change any more: there are {len(self)} gateways")
        self._execmodel = ExecModel(execmodel)
        self._remote_execmodel = ExecModel(remote_execmodel or execmodel)

    @property
    def execmodel(self) -> ExecModel:
        """Of this end."""
        return self._execmodel

    @property
    def remote_execmodel(self) -> ExecModel:
        """Of far ends whose specification does not say."""
        return self._remote_execmodel

    # Opening.

    def makegateway(self, spec: str | XSpec | None = None) -> Gateway:
        """Open a gateway: see `XSpec` for what can be said; none: `defaultspec`.

        ValueError for a bad specification or an id that is taken; HostNotFound says what was
        tried and what came of it.
        """
        if not spec:
            spec = self.defaultspec
        if not isinstance(spec, XSpec):
            spec = XSpec(spec)
        kinds = [kind for key, kind in KINDS.items() if getattr(spec, key) is not None]
        kind = kinds[0] if len(kinds) == 1 else Gateway
        gateway = kind.__new__(kind)
        self.open(gateway, spec)
        return gateway

    def open(self, gateway: Gateway, spec: XSpec) -> None:
        """Open a gateway that was made and not opened; see `makegateway`."""
        self._reap()
        name = self._claim(spec)
        try:
            carrier = None if spec.via is None else self._carrier("via", spec.via)
            host = None if spec.installvia is None else self._carrier("installvia", spec.installvia)
            gateway.begin(self, spec, launch(spec, self._errand(spec), carrier, host))
            with self._lock:
                self._gateways.append(gateway)
        finally:
            with self._lock:
                self._opening.discard(name)

    def _reap(self) -> None:
        with self._lock:
            self._leaving = [gateway for gateway in self._leaving if not gateway.join(0)]

    def _errand(self, spec: XSpec) -> Errand:
        model = ExecModel(str(spec.execmodel or self._remote_execmodel.backend)).backend
        main = _TASKS if model == "task" else _MAIN
        return Errand(main, {"id": spec.id, "execmodel": model}, _LATER)

    def _carrier(self, key: str, name: str) -> Gateway:
        try:
            return self[name]
        except KeyError:
            raise ValueError(f"{key}={excerpt(name)}: this group has no gateway of that id") from None

    def allocate_id(self, spec: XSpec) -> None:
        """Give a specification without an id the next one. ValueError if its id is taken."""
        with self._lock:
            if spec.id is None:
                while (name := f"gw{self._count}") in self or name in self._opening:
                    self._count += 1
                self._count += 1
                spec.id = name
            elif spec.id in self or spec.id in self._opening:
                raise ValueError(f"there is a gateway with the id {spec.id!r} already")

    def _claim(self, spec: XSpec) -> str:
        with self._lock:
            self.allocate_id(spec)
            name = str(spec.id)
            self._opening.add(name)
        return name

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

    # All of them.

    def remote_exec(
        self, source: str | types.ModuleType | Callable[..., Any], **arguments: Any
    ) -> MultiChannel:
        """Run it at each far end: see `Gateway.remote_exec`."""
        return MultiChannel([gateway.remote_exec(source, **arguments) for gateway in self])

    def terminate(self, timeout: float | None = None) -> None:
        """End all gateways: those that are not gone after `timeout` seconds (None: END_TIME) are killed.

        One through which others are reached has three seconds at least: it kills those.
        """
        timeout = END_TIME if timeout is None else timeout
        deadline = time.monotonic() + timeout
        patience = time.monotonic() + min(timeout, PATIENCE)  # for all together
        with self._lock:
            ending = [*self._leaving, *self._gateways]
        for gateway in reversed(ending):
            gateway.exit(max(patience - time.monotonic(), 0.0))
        # Only a carrier can kill what it carries, so it is not killed before it has done that.
        carriers = {gateway.spec.via for gateway in ending}
        carried = max(deadline, time.monotonic() + _CARRIER_TIME)
        for gateway in sorted(ending, key=lambda gateway: gateway.id in carriers):
            until = carried if gateway.id in carriers else deadline
            if not gateway.join(max(until - time.monotonic(), 0.0)):
                gateway.kill()
                # Its process, not all that came from it: what takes it here may never return.
                gateway.wait_gone(_KILL_TIME)
        with self._lock:
            self._leaving[:] = [gateway for gateway in self._leaving if gateway not in ending]

    def _cleanup_atexit(self) -> None:
        self.terminate(_EXIT_TIME)


_groups = forks.each_in_child(Group._renew)

# What programs use that need no more than one group.
default_group: Final = Group()
makegateway = default_group.makegateway
set_execmodel = default_group.set_execmodel
set_home(default_group)
