"""Pycos: the program's part in a network, as programs name it.

A thin surface over the process's kernel and network; one object per process. Making one
starts the network; what concerns local tasks only does not.

I/O half. Layer 5. Rows KE-25 to KE-31.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from dispycos import config
from dispycos.errors import DispycosError
from dispycos.events import DialFailed, PeerEvent, PeerGone, PeerUp
from dispycos.kernel import loop as kernel_loop
from dispycos.kernel.operation import Operation
from dispycos.kernel.task import Task
from dispycos.model import Incarnation, Location, Role
from dispycos.net.files import FileSender
from dispycos.net.peer import Peer
from dispycos.options import Options
from dispycos.received import Received
from dispycos.runtime import Network, runtime

log = logging.getLogger("dispycos")


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """A process came or went, as `Pycos.peer_status` tells."""

    location: Location
    name: str
    status: int

    Online: ClassVar[int] = 1
    Offline: ClassVar[int] = 0


class Pycos:
    """This process as a peer of others.

    node, host     name or address to listen at, or a list of them; default: of the default route.
    ext_ip_addr, ext_host  the address that others dial instead (a NAT's outside), or a list of them,
                           tried in order.
    tcp_port       default: a free one. udp_port: of discovery.
    name           for `locate`; default: the host's.
    discover_peers False: no datagram is ever sent, and only named peers are met.
    secret         only processes with the same one are met; default: the user's key file.
    dest_path      where received files go; max_file_size: larger ones are refused.
    ipv4_udp_multicast  instead of broadcast.

    Later calls give the same object; arguments that differ are ignored with a warning.
    """

    _instance: ClassVar[Pycos | None] = None
    _network: Network
    _arguments: dict[str, Any]
    _statuses: list[Task]  # who gets PeerStatus messages
    _watching: bool
    _ignoring: bool
    _here: dict[Incarnation, PeerStatus]  # as many as there are sessions

    def __new__(cls, **arguments: Any) -> Self:
        made = Pycos._instance
        if made is not None and not made._network.closed:
            if arguments and arguments != made._arguments:
                # Names, not values: one of them is the secret (SE-57).
                log.warning("Pycos was made before, with other values: %s is ignored", ", ".join(arguments))
            return made  # type: ignore[return-value]  # one per process, whatever the subclass
        self = super().__new__(cls)
        self._network = runtime.network(replace(Options.given(cls, arguments), meets_peers=True))
        self._arguments = arguments
        self._statuses = []
        self._watching = False
        self._ignoring = False
        Pycos._instance = self
        return self

    @classmethod
    def instance(cls) -> Pycos:
        """The one object of this process, made if there is none."""
        return cls()

    # Local tasks.

    @staticmethod
    def cur_task() -> Task | None:
        """The task that runs in this thread, or None."""
        return kernel_loop.current_task()

    @classmethod
    def scheduler(cls) -> Pycos:
        """The same as `instance()`."""
        return cls()

    def join(self, show_running: bool = False, timeout: float | None = None) -> bool:
        """Wait until no task but daemons lives; False after `timeout` seconds. RuntimeError in a task."""
        return kernel_loop.default().join(timeout, show_running)

    def finish(self) -> None:
        """Wait until no task but daemons lives, then end. RuntimeError in a task."""
        kernel_loop.default().finish()

    def terminate(self) -> None:
        """End all tasks and the network; a new Pycos may be made afterwards. RuntimeError in a task."""
        kernel_loop.default().terminate()

    def is_alive(self) -> bool:
        """Whether it has not been ended."""
        return not self._network.closed

    @staticmethod
    def atexit(priority: float, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Call `function` once when tasks have ended; lower priorities first."""
        kernel_loop.default().at_exit(priority, function, *args, **kwargs)

    @staticmethod
    def drop_atexit(function: Callable[..., Any]) -> None:
        """Take `atexit` back."""
        kernel_loop.default().drop_at_exit(function)

    # This process.

    @property
    def location(self) -> Location:
        """Where this process is reached."""
        return self._network.delivery.location

    @property
    def locations(self) -> list[Location]:
        """Where this process listens."""
        return self._network.endpoint.listening

    @property
    def name(self) -> str:
        """What `locate` finds this process by."""
        return self._network.endpoint.name

    @property
    def dest_path(self) -> str:
        """The folder below which files from others are stored."""
        return self._network.dest_path

    @dest_path.setter
    def dest_path(self, path: str | os.PathLike[str]) -> None:
        self._store_at(path)

    def _store_at(self, path: str | os.PathLike[str]) -> None:
        received: Received | None = self._network.services.get(Received)
        if received is None:
            raise ValueError("files for a server go to its own folder: dest_path can't be set there")
        self._network.reactor.wait(received.move(os.path.abspath(path)))

    # Others.

    def peer(
        self,
        loc: Location | str,
        udp_port: int = 0,
        stream_send: bool = False,
        relay: bool = False,
    ) -> Operation:
        """Yield this: 0 when this process is connected with the one at `loc`, -1 if nobody answers there.

        A host without a port stands for the node there: its port is DispycosNodePort.
        udp_port     of no use: a process that is named is dialled.
        stream_send  every connection is a stream already.
        relay        also reach for the programs and nodes near it, once each, as it tells of them: those
                     of its network, where this process is heard by no broadcast. `peer_status` tells
                     who came.
        """
        return self._run(self._reach(Location.parse(loc, config.DispycosNodePort), relay))

    async def _reach(self, location: Location, relay: bool) -> int:
        peer = await self._network.peers.reach(location)
        if peer is None:
            return -1
        if relay:
            self._network.search.ask(peer.incarnation, Role.PEER | Role.NODE)
        return 0

    def peers(self) -> list[Location]:
        """Where the processes are that this one is connected with."""
        return [where for peer in self._network.endpoint.peers() if (where := _place(peer)) is not None]

    def discover_peers(self, port: int | None = None) -> None:
        """Look for other processes by UDP again, at the port of this process; ValueError for another."""
        own = self._network.search.port
        if port is not None and own is not None and port != own:
            raise ValueError(f"discover_peers looks at UDP port {own}, that of this process, not at {port!r}")
        self._network.reactor.call(self._network.meet_peers)

    @property
    def ignore_peers(self) -> bool:
        """Whether no further process is met that is not named; assign True or False."""
        return self._ignoring

    @ignore_peers.setter
    def ignore_peers(self, flag: bool) -> None:
        self._ignoring = bool(flag)
        self._network.reactor.call(self._network.search.ignore, Role.PEER, self._ignoring)

    def locate(self, name: str, timeout: float | None = None) -> Operation:
        """Yield this: the Location of the process of that name, or None after `timeout` seconds."""
        return self._run(self._locate(name, timeout))

    async def _locate(self, name: str, timeout: float | None) -> Location | None:
        if name == self.name:
            return self.location
        wanted = self._network.peers.present(lambda peer: peer.name == name and _place(peer) is not None)
        try:
            return _place(await asyncio.wait_for(wanted, timeout))
        except TimeoutError:
            return None

    def close_peer(self, location: Location, timeout: float | None = 10) -> Operation:
        """Yield this: 0 when the connection with that process has ended, -1 if there was none.

        timeout  of no use: this side ends it at once.
        """
        return self._run(self._close_peer(location))

    async def _close_peer(self, location: Location) -> int:
        endpoint = self._network.endpoint
        peer = endpoint.peer_at(location)
        if peer is None:
            return -1
        endpoint.forget(peer.incarnation, "closed by the program")
        self._tell(PeerStatus(location, peer.name, PeerStatus.Offline))
        return 0

    def peer_status(self, task: Task | None) -> None:
        """Let `task` receive a PeerStatus for each process that is here, comes or goes; None: nobody."""
        if task is not None and not isinstance(task, Task):
            raise TypeError(f"peer_status takes a Task or None, not {task!r:.200}")
        self._network.reactor.call(self._set_status_task, task)

    def _set_status_task(self, task: Task | None) -> None:
        self._statuses = [] if task is None else [*self._statuses, task]
        if not self._watching:
            self._watching = True
            self._here = {}
            self._network.endpoint.watch(self._peer_event)
            for peer in self._network.endpoint.peers():
                self._note(peer)
        if task is not None:
            for status in self._here.values():
                task.send(status)

    def _note(self, peer: Peer) -> PeerStatus | None:
        where = _place(peer)
        if where is None:
            return None
        status = self._here[peer.incarnation] = PeerStatus(where, peer.name, PeerStatus.Online)
        return status

    def _peer_event(self, event: PeerEvent | DialFailed) -> None:
        status = None
        if isinstance(event, PeerUp):
            peer = self._network.endpoint.peer(event.peer)
            status = None if peer is None else self._note(peer)
        elif isinstance(event, PeerGone):
            known = self._here.pop(event.peer, None)
            status = None if known is None else replace(known, status=PeerStatus.Offline)
        if status is not None:
            self._tell(status)

    def _tell(self, status: PeerStatus) -> None:
        # One that has ended is dropped.
        self._statuses = [task for task in self._statuses if task.send(status) == 0]

    # Files.

    def send_file(
        self,
        location: Location,
        file: str | os.PathLike[str],
        dir: str | None = None,
        overwrite: bool = False,
        timeout: float | None = 10,
    ) -> Operation:
        """Yield this: 0 when the file is stored below the peer's `dest_path` (and `dir`), or was; else -1.

        timeout  seconds for each MB; None: as long as the peer is there. The reason of -1 is logged.
        """
        name = _file_name(file, dir)
        return self._run(self._send_file(location, file, name, overwrite, timeout))

    async def _send_file(
        self,
        location: Location,
        file: str | os.PathLike[str],
        name: str,
        overwrite: bool,
        timeout: float | None,
    ) -> int:
        try:
            to = await self._incarnation(location)
            await self._sender().send_file(to, file, name, overwrite=overwrite, timeout=timeout)
        except (DispycosError, OSError) as error:
            log.warning("%s was not sent to %s: %s", os.fspath(file), location, error)
            return -1
        return 0

    def del_file(
        self,
        location: Location,
        file: str | os.PathLike[str],
        dir: str | None = None,
        timeout: float | None = None,
    ) -> Operation:
        """Yield this: 0 when the file that was sent there is removed, else -1."""
        return self._run(self._del_file(location, _file_name(file, dir), timeout))

    async def _del_file(self, location: Location, name: str, timeout: float | None) -> int:
        try:
            to = await self._incarnation(location)
            await self._sender().delete_file(to, name, timeout=timeout)
        except (DispycosError, OSError) as error:
            log.warning("%s was not removed at %s: %s", name, location, error)
            return -1
        return 0

    async def _incarnation(self, location: Location) -> Incarnation:
        if location in (self._network.endpoint.location, *self._network.endpoint.listening):
            return self._network.endpoint.incarnation
        peer = await self._network.peers.reach(location)
        if peer is None:
            raise OSError(f"nobody answers at {location}")
        return peer.incarnation

    def _sender(self) -> FileSender:
        network = self._network
        return network.service(FileSender, lambda: FileSender(network.endpoint))

    def _run(self, coroutine: Any) -> Operation:
        return self._network.reactor.run(coroutine)


def _place(peer: Peer) -> Location | None:
    return peer.location or peer.dialled


def _file_name(file: str | os.PathLike[str], dir: str | None) -> str:
    name = os.path.basename(os.fspath(file))
    return f"{dir.strip('/')}/{name}" if dir else name
