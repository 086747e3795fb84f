"""The node daemon: the process that a machine gives to the cluster.

It owns ports, directories, pid files and figures; it starts, counts and ends the processes of
the current client. What to do is decided by `node.machine`, what it takes is done by
`node.processes`. No code of a client runs here and nothing of a client's is decoded (SE-24).

I/O half, asyncio only. Layer 5. Rows DN-01, DN-19 to DN-27; GN-06, R-11, R-53.
"""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import signal
import sys
from collections.abc import Callable
from typing import Any

from dispycos.console import read_commands
from dispycos.events import DialFailed, Heard, PeerEvent
from dispycos.messages import (
    CloseServer,
    LookAtServers,
    NodeFacts,
    Prepare,
    RegisterAgain,
    Release,
    Renew,
    Reserve,
    RestartNode,
    ServersSeen,
)
from dispycos.model import Incarnation, Location, Role
from dispycos.net.endpoint import Endpoint
from dispycos.net.files import FileReceiver
from dispycos.net.filestore import FileStore
from dispycos.net.keys import Keyring
from dispycos.net.reactor import Reactor
from dispycos.net.runner import Runner
from dispycos.net.tls import Tls
from dispycos.node import console, figures, ties
from dispycos.node.events import CleanWorkspace, Exit, Hours, Order, Ordered, ServiceHours
from dispycos.node.fresh import FreshZygote
from dispycos.node.hours import LOOK_EVERY, ServiceTimes
from dispycos.node.machine import NodeMachine
from dispycos.node.neighbours import Neighbours
from dispycos.node.processes import Processes
from dispycos.node.settings import NodeSettings
from dispycos.node.tenancy import NodeState
from dispycos.node.workspace import Workspace
from dispycos.printer import Printer
from dispycos.protocol.watching import MAX_ASKED
from dispycos.supervision import DRAIN, Supervisor

log = logging.getLogger("dispycos")

END_WITHIN = 14.0  # seconds from SIGTERM until what has not ended is ended by force
FORCED = 1  # exit code after that, and after a second signal
_SAY_GOODBYE = 0.5  # seconds for the last words to peers

# Who may say what to a node (N5).
_TOLD_BY: dict[type[Any], Role] = {
    Reserve: Role.SCHEDULER,
    Renew: Role.SCHEDULER,
    Release: Role.SCHEDULER | Role.CLIENT,
    Prepare: Role.CLIENT,
    CloseServer: Role.CLIENT,
    RestartNode: Role.CLIENT,
    RegisterAgain: Role.SCHEDULER | Role.CLIENT,
}


class Daemon:
    """One node. `start`, then `ended` tells when and how it is over; then `close`."""

    def __init__(
        self,
        settings: NodeSettings,
        keyring: Keyring,
        workspace: Workspace,
        ahead: FreshZygote | None = None,
    ) -> None:
        self._settings = settings
        self._keyring = keyring
        self._workspace = workspace
        self._reactor = Reactor.running()
        self._loop = self._reactor.loop
        self._printer = Printer(self._loop)
        self._exit: asyncio.Future[int] = self._loop.create_future()
        self._signals = 0
        self.endpoint = Endpoint(
            self._reactor,
            roles=Role.NODE,
            keyring=keyring,
            limits=settings.limits,
            name=settings.name,
            tls=Tls(settings.certificates) if settings.certificates else None,
        )
        self._processes = Processes(
            self._reactor, settings, workspace, keyring, self._printer, self._feed, ahead
        )
        self._runner: Runner | None = None
        self._machine: NodeMachine | None = None
        self._neighbours: Neighbours | None = None
        self._files = FileReceiver(self.endpoint, self._store_of, do=workspace.rights.over_files)
        self._stores: dict[int, FileStore] = {}  # by reservation; one at a time

    # Its life.

    async def start(self) -> Location:
        """Listen and serve. OSError names the address and port that can't be used."""
        settings = self._settings
        location = await self.endpoint.listen(settings.hosts, settings.ports[0], announce=settings.announce)
        self._processes.location = location
        ties.adopt_orphans()
        self._loop.add_signal_handler(signal.SIGCHLD, self._processes.reap)
        self._processes.reap()  # a zygote that was started ahead may be dead already
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._signalled, number)
        if DRAIN is not None:
            self._loop.add_signal_handler(DRAIN, self.drain)
        facts = NodeFacts(
            self.endpoint.incarnation,
            location,
            settings.name,
            _platform(),
            sys.version.partition(" ")[0],
            settings.servers,
            self._processes.measured().avail,
        )
        self._machine = NodeMachine(
            facts,
            settings.limits,
            serve=settings.serve,
            min_pulse=settings.min_pulse,
            max_pulse=settings.max_pulse,
            zombie_period=settings.zombie_period,
            hours=settings.hours.now() if settings.hours else Hours.OPEN,
        )
        self._runner = Runner(self._machine, self._reactor, self.endpoint, self._perform, urgent=True)
        for kind, who in _TOLD_BY.items():
            self.endpoint.handle(kind, self._heard, who=who)
        self.endpoint.handle(LookAtServers, self._look_at_servers, who=Role.CLIENT)
        self.endpoint.watch(self._peer_event)
        self._neighbours = Neighbours(self.endpoint, settings)
        if not figures.available:
            log.warning("psutil is not installed: this node can't say what it has to spare")
        if settings.hours is not None:
            self._look_at_the_clock(settings.hours)
        if settings.commands:
            read_commands(self._loop, self._typed)
        return location

    def describe(self) -> str:
        """In a line, what it is and for whom."""
        assert self._machine is not None
        return console.show_status(self._machine.status()).partition("\n")[0]

    def say(self, line: str) -> None:
        """Print a line on the node's output."""
        self._printer.put(line.encode("utf-8", "backslashreplace") + b"\n")

    async def ended(self) -> int:
        """Wait until the node is to end; answers its exit code."""
        return await self._exit

    async def close(self) -> None:
        """End every process, say goodbye, remove every file, close every port."""
        if self._runner is not None:
            self._runner.stop()
        if self._neighbours is not None:
            self._neighbours.close()
        await self._files.close()
        for store in self._stores.values():
            store.close()
        await self._processes.close()
        try:
            async with asyncio.timeout(_SAY_GOODBYE):
                await self.endpoint.close()
        except TimeoutError:
            log.debug("a peer did not take our goodbye in time")
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, DRAIN):
            if number is not None:
                self._loop.remove_signal_handler(number)
        self._workspace.close()
        self._printer.close()

    def end(self, code: int) -> None:
        """Be over, with this exit code; the first one counts."""
        if not self._exit.done():
            self._exit.set_result(code)

    # The machine's surroundings.

    def _heard(self, peer: Incarnation, message: Any) -> None:
        self._feed(Heard(peer, message))

    def _peer_event(self, event: PeerEvent | DialFailed) -> None:
        # A dial of ours that fails is tried again by itself: nothing for the machine to decide.
        if not isinstance(event, DialFailed):
            self._feed(event)

    def _feed(self, event: Any) -> None:
        if self._runner is not None:
            self._runner.feed(event)

    def _perform(self, action: Any) -> None:
        if isinstance(action, Exit):
            log.info("the node ends: %s", action.reason)
            self.end(action.code)
        elif isinstance(action, CleanWorkspace):
            self._reactor.spawn(self._clean(action))
        else:
            self._processes.perform(action)

    def _look_at_the_clock(self, times: ServiceTimes) -> None:
        self._feed(ServiceHours(times.now()))
        self._loop.call_later(LOOK_EVERY, self._look_at_the_clock, times)

    # Who watches (MO-12, MO-18).

    def _look_at_servers(self, peer: Incarnation, message: LookAtServers) -> None:
        assert self._machine is not None
        status = self._machine.status()
        if status["client"] != peer or status["reservation"] != message.reservation:
            return  # not his any more: nothing waits for the answer
        wanted = dict(zip(message.servers[:MAX_ASKED], message.after, strict=False))
        seen = self._processes.look(wanted)
        self.endpoint.say(peer, ServersSeen(message.reservation, seen))

    # Files of the client (DC-03, GN-04).

    def _store_of(self, peer: Incarnation) -> FileStore | None:
        """The node directory, for the client of the present reservation and its servers."""
        assert self._machine is not None
        status = self._machine.status()
        reservation, client = status["reservation"], status["client"]
        there = self.endpoint.peer(peer)
        ours = peer == client or (there is not None and there.reservation == reservation)
        if not reservation or not ours or self._machine.state is NodeState.RELEASING:
            return None
        if reservation not in self._stores:
            limits = self._settings.limits
            path = self._processes.folder(reservation).path
            # Ours, and what the scheduler allows the clients of the whole cluster (DS-10).
            sizes = [size for size in (limits.max_file_bytes, status["max_file_bytes"]) if size]
            most = min(sizes, default=0)
            self._stores[reservation] = self._workspace.rights.over_files(FileStore, path, limits, most)
        return self._stores[reservation]

    async def _clean(self, action: CleanWorkspace) -> None:
        store = self._stores.pop(action.reservation, None)
        if store is not None:
            # A file under way, whoever sends it, must not be written into what is being removed.
            await self._files.drop(store)
            store.close()
        self._processes.perform(action)

    def renewed(self) -> None:
        """Another certificate was taken up: the servers that run are to show it, too."""
        self._processes.renew_certificates()

    # The person who runs the node.

    def _typed(self, line: str) -> None:
        word = line.lower()
        if word in ("", "status"):
            self._feed(self._processes.measured())
            assert self._machine is not None
            self.say(console.show_status(self._machine.status()))
        elif word in console.ORDERS:
            self._feed(Ordered(console.ORDERS[word]))
        else:
            self.say(f"{line[:40]!r} is no command; {console.HELP}")

    def drain(self) -> None:
        """Take no new tasks, and end with the last one, as `quit` typed at the node does."""
        log.info("the node is asked to end when its tasks have ended")
        self._feed(Ordered(Order.QUIT))

    def _signalled(self, number: int) -> None:
        self._signals += 1
        if self._signals > 1:
            self.end(FORCED)
            return
        log.info("%s: the node ends; a second signal ends it at once", signal.Signals(number).name)
        self._loop.call_later(END_WITHIN, self.end, FORCED)
        self._feed(Ordered(Order.TERMINATE))


async def serve(
    settings: NodeSettings,
    keyring: Keyring,
    workspace: Workspace,
    ready: Callable[[Daemon, Location], None],
    ahead: FreshZygote | None = None,
    supervisor: Supervisor | None = None,
) -> int:
    """Run a node to its end; answers its exit code. OSError: it could not listen.

    ahead       a zygote for the first client, started already.
    supervisor  who is told that it is ready, and when it ends; None: nobody.
    """
    supervisor = supervisor or Supervisor()
    daemon = Daemon(settings, keyring, workspace, ahead)
    try:
        location = await daemon.start()
        ready(daemon, location)
        supervisor.ready(daemon.describe)
        return await daemon.ended()
    finally:
        supervisor.stopping()
        await daemon.close()


def _platform() -> str:
    """What `platform.platform()` says, which would run a program to learn the processor's name."""
    if sys.platform != "linux":
        return platform.platform()
    system = os.uname()
    library = "".join(platform.libc_ver())
    return "-".join(filter(None, (system.sysname, system.release, system.machine, "with", library)))
