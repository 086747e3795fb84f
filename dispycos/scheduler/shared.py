"""The shared scheduler: a process of its own, which many clients use one after another.

It owns the port, the journal, the files that clients sent it and the commands typed at it; all
else is the same service and machine as in a client's own process. No code of a client runs
here and nothing of a client's is decoded (SE-24).

I/O half, asyncio only. Layer 5. Rows DS-02, DS-07 to DS-10, DS-16, DS-19, DS-21; GN-06, R-17, R-53.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import signal
import time
from collections.abc import Callable
from dataclasses import field

from dispycos import config
from dispycos.config import Limits
from dispycos.console import read_commands
from dispycos.model import Incarnation, Location, Role
from dispycos.net.endpoint import Endpoint
from dispycos.net.files import FileReceiver
from dispycos.net.filestore import FileStore
from dispycos.net.keys import Keyring
from dispycos.net.reactor import Reactor
from dispycos.net.search import Search
from dispycos.net.tls import CertificateFiles, Tls
from dispycos.printer import Printer
from dispycos.records import record
from dispycos.scheduler import survey
from dispycos.scheduler.service import SchedulerService, ServiceOptions
from dispycos.scheduler.storage import Storage
from dispycos.supervision import DRAIN, Supervisor
from dispycos.wording import many

log = logging.getLogger("dispycos")

HELP = "commands: status (or an empty line), quit, exit, terminate"
END_WITHIN = 14.0  # seconds from SIGTERM until the scheduler ends, whoever has not let go
FORCED = 1  # exit code after that, and after a second signal
_SAY_GOODBYE = 0.5  # seconds for the last words to peers


@record
class SharedSettings:
    """Everything that a shared scheduler needs to know but its key."""

    name: str
    hosts: tuple[str, ...]  # numeric addresses to listen at
    port: int
    announce: tuple[str, ...] = ()  # the addresses that peers dial instead
    certificates: CertificateFiles | None = None  # None: plain TCP
    udp_port: int | None = None  # None: no UDP socket exists (SE-33)
    multicast: bool = False
    nodes: tuple[tuple[str, int], ...] = ()  # named ones, reached for as long as it lives
    dest_path: str | None = None  # None: the account's own folder for temporary files
    clean: bool = False  # forget what an earlier scheduler left
    commands: bool = True  # read stdin
    service: ServiceOptions = field(default_factory=ServiceOptions)
    limits: Limits = field(default_factory=config.limits)


class SharedScheduler:
    """One shared scheduler. `start`, then `ended` tells when and how it is over; then `close`."""

    def __init__(self, settings: SharedSettings, keyring: Keyring) -> None:
        self._settings = settings
        self._reactor = Reactor.running()
        self._loop = self._reactor.loop
        self._printer = Printer(self._loop)
        self._exit: asyncio.Future[int] = self._loop.create_future()
        self._signals = 0
        self._stopping: asyncio.Task[None] | None = None
        self._removals: set[asyncio.Task[None]] = set()  # one for each client that has just left
        limits = dataclasses.replace(settings.limits, max_file_bytes=settings.service.max_file_bytes)
        self.endpoint = Endpoint(
            self._reactor,
            roles=Role.SCHEDULER,
            keyring=keyring,
            limits=limits,
            name=settings.name,
            tls=Tls(settings.certificates) if settings.certificates else None,
        )
        self._storage: Storage | None = None
        self._search: Search | None = None
        self._files: FileReceiver | None = None
        self._service: SchedulerService | None = None

    # Its life.

    async def start(self) -> Location:
        """Listen and serve. OSError names the address, port or folder that can't be used."""
        settings, endpoint = self._settings, self.endpoint
        location = await endpoint.listen(settings.hosts, settings.port, announce=settings.announce)
        # Nobody is heard before the next turn of the loop: by then the journal is read.
        port = endpoint.listening[0].port
        self._storage = Storage(
            settings.dest_path, port, endpoint.incarnation, clean=settings.clean, limits=endpoint.limits
        )
        journal = self._storage.journal
        if journal.damaged:
            log.error(
                "the journal could not be read and is kept as %s: the scheduler begins with nothing, and "
                "who holds the cluster keeps it by saying so",
                journal.damaged,
            )
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._signalled, number)
        if DRAIN is not None:
            self._loop.add_signal_handler(DRAIN, self._drain)
        self._search = Search(endpoint, settings.udp_port, multicast=settings.multicast)
        self._files = FileReceiver(endpoint, self._store_of)
        self._service = SchedulerService(
            endpoint,
            settings.service,
            search=self._search,
            searching=self._searching,
            journal=journal,
            on_left=self._client_left,
            named="--node",
        )
        for host, port in settings.nodes:
            self._service.named.add_host(host, port)
        self._service.start()
        # Nodes that were started first look for a scheduler no more.
        self._search.announce()
        if settings.commands:
            read_commands(self._loop, self._typed)
        return location

    @property
    def service(self) -> SchedulerService:
        """The service, once it is started."""
        assert self._service is not None
        return self._service

    @property
    def monitor_file(self) -> str:
        """Where the web monitor keeps what its next run needs; it goes where the journal goes."""
        assert self._storage is not None
        return self._storage.monitor_file

    def describe(self) -> str:
        """In a line, for whom it works and with what."""
        status = self.service.machine.status(time.monotonic())
        active = f"client {status['active']['name']} runs" if status["active"] else "no client runs"
        waiting = many(len(status["queue"]), "waits", "wait")
        return f"{active}, {waiting}, {many(len(status['nodes']), 'node')}"

    def say(self, line: str) -> None:
        """Print a line on standard output."""
        self._printer.put(line.encode("utf-8", "backslashreplace") + b"\n")

    async def ended(self) -> int:
        """Wait until the scheduler is to end; answers its exit code."""
        return await self._exit

    async def close(self) -> None:
        """Say goodbye, remove what nobody needs any more, close every port."""
        if self._stopping is not None:
            self._stopping.cancel()
        machine = self._service.machine if self._service is not None else None
        if self._service is not None:
            await self._service.stop(terminate=True, reason="the scheduler ends", within=0.0)
        if self._search is not None:
            self._search.close()
        if self._files is not None:
            await self._files.close()
        await asyncio.gather(*self._removals)
        try:
            async with asyncio.timeout(_SAY_GOODBYE):
                await self.endpoint.close()
        except TimeoutError:
            log.debug("a peer did not take our goodbye in time")
        if self._storage is not None:
            self._storage.close(empty=machine is not None and machine.active is None and not machine.queue)
        for number in (signal.SIGTERM, signal.SIGINT, DRAIN):
            if number is not None:
                self._loop.remove_signal_handler(number)
        self._printer.close()

    def _end(self, code: int) -> None:
        if not self._exit.done():
            self._exit.set_result(code)

    def _searching(self) -> str:
        return "" if self._search is None else self._search.described("the scheduler")

    # Files of clients (DS-09, DS-10).

    def _store_of(self, peer: Incarnation) -> FileStore | None:
        if self._service is None or self._storage is None or not self._service.machine.knows(peer):
            return None
        try:
            return self._storage.files_of(peer)
        except OSError as exc:
            log.warning("no files are taken: %s", exc)
            return None

    def _client_left(self) -> None:
        assert self._service is not None and self._storage is not None
        for client in self._storage.clients_with_files():
            if not self._service.machine.knows(client):
                task = self._reactor.spawn(self._remove_files(client))
                self._removals.add(task)
                task.add_done_callback(self._removals.discard)

    async def _remove_files(self, client: Incarnation) -> None:
        assert self._files is not None and self._storage is not None
        store = self._storage.take_from(client)
        if store is None:
            return
        # A file under way must not be written into what is being removed.
        await self._files.drop(store)
        store.close()
        try:
            await asyncio.to_thread(self._storage.remove_files, client)
        except OSError as exc:
            log.warning("files of a client that left stay in %s: %s", self._storage.path, exc)

    # The person who runs the scheduler.

    def _typed(self, line: str) -> None:
        word = line.lower()
        assert self._service is not None
        if word in ("", "status"):
            for text in survey.lines(self._service.machine.status(time.monotonic())):
                self.say(text)
        elif word in ("quit", "exit"):
            self._stop(terminate=False, reason="its scheduler ends: somebody typed quit there")
        elif word == "terminate":
            self._stop(terminate=True, reason="its scheduler ends: somebody typed terminate there")
        else:
            self.say(f"{line[:40]!r} is no command; {HELP}")

    def _stop(self, *, terminate: bool, reason: str, within: float | None = None) -> None:
        """End when every client has left; after `within` seconds in any case, if so many are given."""
        if self._stopping is not None:
            self._stopping.cancel()

        async def stop() -> None:
            assert self._service is not None
            left = await self._service.stop(terminate=terminate, reason=reason, within=within)
            self._end(0 if left else FORCED)

        self._stopping = self._reactor.spawn(stop())

    def _drain(self) -> None:
        log.info("the scheduler is asked to end when its client has ended")
        self._stop(terminate=False, reason="its scheduler ends: it was asked to end after the client")

    def _signalled(self, number: int) -> None:
        self._signals += 1
        if self._signals > 1:
            self._end(FORCED)
            return
        name = signal.Signals(number).name
        log.info("%s: the scheduler ends; a second signal ends it at once", name)
        self._stop(terminate=True, reason=f"its scheduler ends: it got {name}", within=END_WITHIN)


async def serve(
    settings: SharedSettings,
    keyring: Keyring,
    ready: Callable[[SharedScheduler, Location], None],
    supervisor: Supervisor | None = None,
) -> int:
    """Run a shared scheduler to its end; answers its exit code. OSError: it could not start.

    supervisor  who is told that it is ready, and when it ends; None: nobody.
    """
    supervisor = supervisor or Supervisor()
    scheduler = SharedScheduler(settings, keyring)
    try:
        location = await scheduler.start()
        ready(scheduler, location)
        supervisor.ready(scheduler.describe)
        return await scheduler.ended()
    finally:
        supervisor.stopping()
        await scheduler.close()
