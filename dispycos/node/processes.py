"""The daemon's hands: it starts the zygote, has servers forked, watches, kills, cleans up.

It carries out what `node.machine` asks (see `node.events` for what is promised back) and
feeds it the facts. What zygotes and servers say is checked like a stranger's words; that a
process is gone is believed of the kernel only.

I/O half, asyncio. Layer 5. Rules R-05, R-10, R-28, R-45, R-48, R-79, SE-24, SE-51.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import logging
import os
import signal
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from dispycos.errors import RemoteProtocolError
from dispycos.folders import FolderError
from dispycos.launch import fate
from dispycos.model import Incarnation, Location
from dispycos.net.keys import Keyring
from dispycos.net.reactor import Reactor
from dispycos.node import children, page, ties
from dispycos.node.children import Server, Zygote
from dispycos.node.events import (
    AskServerToEnd,
    AvailMeasured,
    CleanedUp,
    CleanWorkspace,
    CloseReservationKey,
    EndZygote,
    ForkServer,
    GiveLease,
    KillServer,
    Measure,
    OpenReservationKey,
    ServerExited,
    ServerSample,
    ServerStartFailed,
    ServerUp,
    StartZygote,
    ZygoteDelayed,
    ZygoteExited,
    ZygoteFailed,
    ZygoteReady,
)
from dispycos.node.figures import Figures, MemoryWatch, cpu_seconds, resident_bytes
from dispycos.node.fresh import FreshZygote, start_zygote
from dispycos.node.output import Output
from dispycos.node.pipe import LoopPipe, Said, close_all
from dispycos.node.settings import NodeSettings
from dispycos.node.start import ServerStart, ZygoteStart, pack, to_values
from dispycos.node.workspace import ClientFolder, Workspace
from dispycos.printer import Printer
from dispycos.protocol.facts import ServerSight
from dispycos.protocol.watching import MAX_PRINTED_BYTES

log = logging.getLogger("dispycos")

# Why a process can't start now, and may another time.
_PASSING = frozenset({errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM})
_LOOK_AGAIN = 0.02  # seconds between looks at a process that nobody reports
_ORPHANS_GRACE = 0.3  # seconds that orphans get: resource trackers of shared memory end by themselves
_KILL_PATIENCE = 10.0  # seconds of killing what is below us, then the node says what is left


class Processes:
    """All processes of the current client. Everything happens on the reactor thread.

    feed   takes the facts; never called from inside `perform`.
    ahead  a zygote that runs already, and is ours to end.
    """

    def __init__(
        self,
        reactor: Reactor,
        settings: NodeSettings,
        workspace: Workspace,
        keyring: Keyring,
        printer: Printer,
        feed: Callable[[Any], None],
        ahead: FreshZygote | None = None,
    ) -> None:
        self._loop = reactor.loop
        self._reactor = reactor
        self._settings = settings
        self._workspace = workspace
        self._keyring = keyring
        self._printer = printer
        self._feed = feed
        self.location: Location | None = None  # of this node; None before it listens
        self._ahead = ahead  # for the first client, until it is used or has ended
        self._figures = Figures(workspace.path)
        self._memory = MemoryWatch()
        self._folders: dict[int, ClientFolder] = {}  # reservation -> node directory; one at a time
        self._clients: dict[int, Incarnation] = {}
        self._zygotes: dict[int, Zygote] = {}  # by number; of one client at a time
        self._servers: dict[int, Server] = {}  # by index; at most one a place
        self._hands: dict[type[Any], Callable[[Any], object]] = {
            StartZygote: self._start_zygote,
            EndZygote: self._end_zygote,
            ForkServer: self._fork_server,
            AskServerToEnd: self._ask_to_end,
            KillServer: lambda action: self._kill_server(action.index),
            GiveLease: self._give_lease,
            OpenReservationKey: lambda action: self._keyring.open_reservation(action.reservation),
            CloseReservationKey: lambda action: self._keyring.close_reservation(action.reservation),
            CleanWorkspace: lambda action: self._reactor.spawn(self._clean(action.reservation)),
            Measure: lambda action: self._later(self.measured()),
        }

    def perform(self, action: Any) -> None:
        """Carry out one action of the machine; its facts come later."""
        self._hands[type(action)](action)

    def _later(self, event: Any) -> None:
        self._loop.call_soon(self._feed, event)

    # Figures.

    def measured(self) -> AvailMeasured:
        """The figures of the node and of every server that listens."""
        now = time.monotonic()
        samples = []
        for server in self._servers.values():
            if server.incarnation is None:
                continue
            counters = server.counters = page.read(server.page, server.counters)
            unresponsive = server.steps.sample(counters.step, now)
            server.resident = resident_bytes(server.pid) or server.resident
            samples.append(
                ServerSample(
                    server.index,
                    counters.begun,
                    counters.begun_io,
                    counters.running,
                    unresponsive,
                    counters.ended,
                )
            )
        return AvailMeasured(self._figures.measure(), tuple(samples))

    # Zygotes.

    def folder(self, reservation: int) -> ClientFolder:
        """The node directory of that reservation's client, made when it is first needed."""
        if reservation not in self._folders:
            self._folders[reservation] = self._workspace.new_client()
        return self._folders[reservation]

    def _start_zygote(self, action: StartZygote) -> None:
        try:
            zygote = self._exec_zygote(action)
        except OSError as exc:
            text = f"the node can't start a process for this client: {exc.strerror or exc}"
            if exc.errno in _PASSING:
                self._later(ZygoteDelayed(action.zygote, text))
            else:
                self._later(ZygoteFailed(action.zygote, text))
                self._later(ZygoteExited(action.zygote, text, by_signal=False))
            return
        self._zygotes[action.zygote] = zygote
        with contextlib.suppress(OSError):
            self._workspace.claim(f"zygote-{action.zygote}", zygote.process.pid)
        start = ZygoteStart(
            reservation=action.reservation,
            keys=tuple(key.reveal().hex() for key in self._keyring.open_reservation(action.reservation)),
            path=self.folder(action.reservation).path,
            limits=dataclasses.asdict(self._settings.limits),
            hosts=self._settings.hosts,
            announce=self._settings.announce,
            certificates=self._settings.certificates,
        )
        sizes, body = pack(action.code, action.setup)
        zygote.pipe.say(Said("prepare", {"start": to_values(start), "sizes": sizes}, body))

    def _exec_zygote(self, action: StartZygote) -> Zygote:
        self.folder(action.reservation)
        fresh, self._ahead = self._ahead or start_zygote(self._settings.run_as), None
        output = Output(self._loop, fresh.output, self._printer, self._settings.limits.max_output_lines)
        number = action.zygote
        # One that closes its pipe or breaks the rules is of no more use; its end is proved by waiting.
        pipe = LoopPipe(
            self._loop,
            fresh.pipe,
            lambda said: self._zygote_says(self._zygotes[number], said),
            lambda reason: self._kill_zygote(self._zygotes[number]),
        )
        return Zygote(number, action.reservation, fresh.process, output, pipe)

    def _end_zygote(self, action: EndZygote) -> None:
        zygote = self._zygotes.get(action.zygote)
        if zygote is None:
            return
        zygote.pipe.drain()
        # The pipe's end alone would mean that this process is dead.
        zygote.pipe.say(Said("end"))
        zygote.pipe.close()
        if action.force:
            self._kill_zygote(zygote)

    def _kill_zygote(self, zygote: Zygote) -> None:
        # Not Popen.kill, which might wait for it and keep what `reap` is to see. The pid is its
        # own until `reap` has waited for it.
        with contextlib.suppress(ProcessLookupError):
            self._workspace.rights.over_processes(os.kill, zygote.process.pid, signal.SIGKILL)

    def _zygote_says(self, zygote: Zygote, said: Said) -> None:
        descriptors = list(said.descriptors)
        try:
            if said.what == "ready":
                self._feed(ZygoteReady(zygote.number, said.text("warning")))
            elif said.what == "failed":
                self._feed(ZygoteFailed(zygote.number, said.text("reason")))
            elif said.what == "forked":
                server = self._place_of(zygote, said)
                if server.pid:
                    raise RemoteProtocolError(f"server {server.index} was forked twice")
                server.pid = said.number("pid")
                server.pidfd = descriptors.pop() if descriptors else -1
                self._forked(server)
            elif said.what == "not_forked":
                server = self._place_of(zygote, said)
                server.problem = said.text("reason")
                self._server_gone(server, None)
            elif said.what == "exited":
                self._server_gone(self._place_of(zygote, said), said.number("status"))
            else:
                raise RemoteProtocolError(f"a zygote says {said.what!r}")
        finally:
            close_all(descriptors)

    def _place_of(self, zygote: Zygote, said: Said) -> Server:
        server = self._servers.get(said.number("index"))
        if server is None or server.zygote is not zygote:
            raise RemoteProtocolError(f"a zygote speaks of a server that is not its own: {said.values!r}")
        return server

    # The end of processes, as the kernel tells it.

    def reap(self) -> None:
        """Wait for every child that has ended: zygotes, adopted servers, orphans. Called on SIGCHLD."""
        ended: dict[int, int] = {}
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            ended[pid] = status
        if self._ahead is not None and self._ahead.process.pid in ended:
            # Nobody had a use for it yet; when somebody has, another one is started.
            self._ahead.ended(ended.pop(self._ahead.process.pid))
            self._ahead = None
        # A zygote's end comes first: that of its servers follows from it.
        for zygote in list(self._zygotes.values()):
            if zygote.process.pid in ended:
                self._zygote_gone(zygote, ended.pop(zygote.process.pid))
        for server in list(self._servers.values()):
            if server.pid in ended:
                self._server_gone(server, ended.pop(server.pid))

    def _zygote_gone(self, zygote: Zygote, status: int) -> None:
        zygote.process.returncode = os.waitstatus_to_exitcode(status)
        zygote.pipe.drain()  # its last words
        zygote.pipe.close()
        zygote.output.close()
        del self._zygotes[zygote.number]
        self._workspace.disclaim(f"zygote-{zygote.number}")
        text = fate.ended(zygote.process.returncode)
        if status == signal.SIGKILL:
            text = self._memory.explain(text, 0)
        self._feed(ZygoteExited(zygote.number, zygote.output.after(text), os.WIFSIGNALED(status)))
        for server in list(self._servers.values()):
            if server.zygote is zygote:
                self._orphaned(server)
        self._loop.call_later(_ORPHANS_GRACE, self._end_orphans)

    def _end_orphans(self, group: int | None = None, until: float | None = None) -> None:
        """End what tasks had started that are gone: were we killed, nobody else would (R-11).

        group  of a server that is dead: only what did not move to a session of its own.
        until  when it gives up on processes that do not end, such as those we may not kill.
        """
        until = until or self._loop.time() + _KILL_PATIENCE
        apart = {zygote.process.pid for zygote in self._zygotes.values()} if group is None else set()
        if self._ahead is not None:
            apart.add(self._ahead.process.pid)
        left = self._kill_below(group, apart)
        if left and self._loop.time() < until:
            self._loop.call_later(_LOOK_AGAIN, self._end_orphans, group, until)
        elif left:
            # The end of the client says it again, if they are still there.
            log.warning("%s, which tasks had started, could not be ended in %g s", left, _KILL_PATIENCE)

    def _orphaned(self, server: Server) -> None:
        """Its zygote is dead: it dies too, and we wait for it, or look until it is gone."""
        if not server.pid:
            server.problem = "can't start: its zygote ended"
            self._server_gone(server, None)
            return
        self._kill_server(server.index)
        self._look_after(server)

    def _look_after(self, server: Server) -> None:
        if self._servers.get(server.index) is not server:
            return
        if ties.start_time(server.pid) is None:
            # A zombie of ours is waited for first: its status says more.
            self.reap()
            if self._servers.get(server.index) is server:
                self._server_gone(server, signal.SIGKILL)
            return
        self._loop.call_later(_LOOK_AGAIN, self._look_after, server)

    # Servers.

    def _fork_server(self, action: ForkServer) -> None:
        zygote = self._zygotes.get(action.zygote)
        if zygote is None:
            self._later(ServerStartFailed(action.index, "can't start: its zygote ended"))
            return
        try:
            path = self.folder(zygote.reservation).server_path(action.index)
            # All of them before anything is begun: descriptors may run out at each.
            ours, theirs, output, write, shared, copy = children.server_descriptors()
        except OSError as exc:
            text = exc.strerror or str(exc)
            self._later(ServerStartFailed(action.index, f"can't start: {text}"))
            return
        lines = self._settings.limits.max_output_lines
        out = Output(self._loop, output, self._printer, lines, begun=lambda: page.read(shared).begun)
        server = Server(action.index, zygote, out, shared)
        server.control = LoopPipe(
            self._loop,
            ours,
            lambda said: self._server_says(server, said),
            lambda reason: None,  # its end is proved by its parent
        )
        server.port = self._settings.ports[action.index]
        self._servers[action.index] = server
        start = ServerStart(
            index=action.index,
            name=f"{self._settings.name}_server-{action.index}",
            path=path,
            port=server.port,
        )
        descriptors = (write, theirs.detach(), copy)
        zygote.pipe.say(Said("fork", {"start": to_values(start)}, descriptors=descriptors))

    def _forked(self, server: Server) -> None:
        with contextlib.suppress(OSError):
            self._workspace.claim(f"server-{server.index}", server.pid)
        if server.killed:
            self._kill_server(server.index)
        elif server.ahead is not None:
            self._up(server, server.ahead)

    def _server_says(self, server: Server, said: Said) -> None:
        if said.what == "up" and server.incarnation is None:
            if server.pid:
                self._up(server, said)
            else:
                # It was quicker than its zygote, who has not said yet that it was forked.
                server.ahead = said
        elif said.what == "problem":
            server.problem = said.text("reason")
        elif said.what == "leaving":
            server.leaving = said.text("reason")
        close_all(said.descriptors)

    def _up(self, server: Server, said: Said) -> None:
        here = self.location
        assert here is not None, "servers start when the node listens"
        try:
            location = Location(said.text("addr"), said.number("port"), here.others)
            incarnation = Incarnation(bytes.fromhex(said.text("incarnation")))
        except (ValueError, RemoteProtocolError):
            server.problem = "it says that it listens at no location"
        else:
            if location.addr == here.addr and server.port in (0, location.port):
                server.incarnation = incarnation
                self._feed(ServerUp(server.index, server.pid, incarnation, location))
                return
            # Its client dials what we say, and code of others runs in there.
            server.problem = f"it says that it listens at {location}, which is not its place"
        self._kill_server(server.index)

    def look(self, wanted: Mapping[Incarnation, int]) -> list[ServerSight]:
        """What these servers use, and what they printed after those lines (NO_LINES: none are wanted)."""
        seen = []
        left = MAX_PRINTED_BYTES
        for server in self._servers.values():
            if server.incarnation is None or server.incarnation not in wanted:
                continue
            after = wanted[server.incarnation]
            lines = server.output.tail(after) if left > 0 else []
            left -= sum(len(line) for line in lines)
            memory = resident_bytes(server.pid) or None
            seconds = cpu_seconds(server.pid)
            number = server.output.count
            seen.append(ServerSight(server.incarnation, server.pid, seconds, memory, number, lines))
        return seen

    def _ask_to_end(self, action: AskServerToEnd) -> None:
        self._tell(action.index, action.server, "end", grace=action.grace, reason=action.reason)

    def _give_lease(self, action: GiveLease) -> None:
        self._tell(action.index, action.server, "lease", number=action.number, seconds=action.seconds)

    def renew_certificates(self) -> None:
        """Have every server look at the files of its certificate again."""
        for server in self._servers.values():
            if server.control is not None:
                server.control.say(Said("certificate"))

    def _tell(self, index: int, incarnation: Incarnation, what: str, **values: Any) -> None:
        server = self._servers.get(index)
        if server is not None and server.control is not None and server.incarnation == incarnation:
            server.control.say(Said(what, values))

    def _kill_server(self, index: int) -> None:
        server = self._servers.get(index)
        if server is None:
            return
        server.killed = True  # if it is not forked yet, it is killed then
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if server.pidfd >= 0:
                self._workspace.rights.over_processes(signal.pidfd_send_signal, server.pidfd, signal.SIGKILL)
            elif server.pid and ties.start_time(server.pid) is not None:
                self._workspace.rights.over_processes(os.kill, server.pid, signal.SIGKILL)

    def _server_gone(self, server: Server, status: int | None) -> None:
        """Its process is gone, or (None) never was."""
        if server.control is not None:
            server.control.drain()  # it may have died right after it said that it listens
            server.control.close()
        server.output.close()
        counters = page.read(server.page, server.counters)
        os.close(server.page)
        if server.pidfd >= 0:
            os.close(server.pidfd)
        del self._servers[server.index]
        self._workspace.disclaim(f"server-{server.index}")
        if server.pid:
            self._end_orphans(server.pid)
        text = self._how(server, status, counters)
        if server.incarnation is None:
            self._feed(ServerStartFailed(server.index, text))
        else:
            exited = ServerExited(
                server.index,
                server.incarnation,
                text,
                counters.begun,
                counters.begun_io,
                clean=status == 0,
                own=status == 0 and bool(server.leaving),
            )
            self._feed(exited)

    def _how(self, server: Server, status: int | None, counters: page.Counters) -> str:
        if status is None:
            return server.problem
        text = fate.ended(os.waitstatus_to_exitcode(status))
        if server.leaving and status == 0:
            return f"ended itself: {server.leaving}"
        if server.incarnation is None:
            text = f"can't start: {server.problem or text}"
        elif status == signal.SIGKILL and not server.killed:
            text = self._memory.explain(text, server.resident)
        if not counters.running or counters.begun_io:
            # Of I/O tasks any number may have died, whenever they began; or none of any kind did.
            return server.output.after(text, "last output of the server")
        # What one task prints is read after the next has begun, if that is soon: it may be both's.
        what = "last output" if counters.begun == 1 else "last output, perhaps of a task before it"
        return server.output.after(text, what, counters.begun)

    def _kill_below(self, group: int | None = None, apart: Collection[int] = ()) -> str:
        """Kill what is below us; answers what there was, in words."""
        return self._below(
            lambda us: self._workspace.rights.over_processes(ties.kill_below, us, group, apart)
        )

    @staticmethod
    def _below(look: Callable[[int], list[int]]) -> str:
        try:
            found = look(os.getpid())
        except OSError as exc:
            # For want of a descriptor; a moment later there may be one.
            return f"processes that can't be looked for ({exc.strerror})"
        return f"processes {', '.join(map(str, found))}" if found else ""

    # The end of a client.

    async def _clean(self, reservation: int) -> None:
        """Nothing of this client stays: no process, not even one with a session of its own, no file."""
        reason = await self._end_everything()
        folder = self._folders.pop(reservation, None)
        if folder is not None:
            try:
                # In a thread: there may be 100,000 files, and the pulses go on.
                await asyncio.to_thread(folder.remove)
            except (OSError, FolderError) as exc:
                reason = reason or f"files below {folder.path} could not be removed: {exc}"
        self._feed(CleanedUp(reservation, reason))

    async def _end_everything(self) -> str:
        begin = time.monotonic()
        if self._ahead is not None:
            # Not kept for the next client: what is below us at the end of one is to be nothing.
            os.kill(self._ahead.process.pid, signal.SIGKILL)  # `reap` has not waited for it
        while below := self._below(ties.descendants):
            waited = time.monotonic() - begin
            if waited > _ORPHANS_GRACE:
                below = self._kill_below()
            if waited > _KILL_PATIENCE:
                return f"{below} could not be ended"
            await asyncio.sleep(_LOOK_AGAIN)
        return ""

    async def close(self) -> None:
        """End all that is left and remove its files: for the end of the node."""
        for zygote in list(self._zygotes.values()):
            self._kill_zygote(zygote)
        for index in list(self._servers):
            self._kill_server(index)
        self._kill_below()
        await self._end_everything()
        self.reap()
        for folder in self._folders.values():
            with contextlib.suppress(OSError):
                await asyncio.to_thread(folder.remove)
        self._folders.clear()
