"""A server: a child of the zygote that runs one client's tasks.

Two threads: tasks run on the kernel in the main thread, bytes move on the reactor in its own
(rule 2). It holds the key of its client's reservation and no other (SE-09). Its output, its
orders and its page are pipes to the daemon; it ends when it is told, when the daemon or the
zygote is gone, or when a task that does not yield must be ended.

    it says to the daemon   up(incarnation, addr, port)   problem(reason)
    the daemon says to it   lease(number, seconds)   end(grace, reason)

I/O half. Layer 5. Rows DN-34, DN-38, DC-53 to DC-57; rules R-05, R-08, R-11, SE-09.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import sys
from typing import Any

from dispycos.kernel.core import Kernel
from dispycos.kernel.loop import Loop, own
from dispycos.kernel.operation import Operation
from dispycos.messages import ServerReady, SetUpFailed, SetUpServer
from dispycos.model import Incarnation, Role
from dispycos.net.certificate import InvalidCertificate
from dispycos.net.delivery import Delivery
from dispycos.net.endpoint import Endpoint
from dispycos.net.files import FileReceiver
from dispycos.net.filestore import FileStore
from dispycos.net.keys import Keyring, ReservationKey
from dispycos.net.reactor import Reactor
from dispycos.net.rotation import take_up
from dispycos.net.tls import Tls
from dispycos.node import interpreter, ties
from dispycos.node.executor import Executor
from dispycos.node.interrupter import Interrupter
from dispycos.node.namespace import ClientNamespace, describe_failure, setup_problem
from dispycos.node.page import Page
from dispycos.node.pipe import LoopPipe, Said
from dispycos.node.sights import Sights
from dispycos.node.start import ServerStart, ZygoteStart
from dispycos.records import record
from dispycos.runtime import Network, runtime

log = logging.getLogger("dispycos")

# How long a thread may keep the interpreter while the other wants it. The default of 5 ms
# would be the time that a busy task delays each message.
_SWITCH_INTERVAL = 0.0005
_LAST_WORDS = 0.5  # seconds for outcomes to leave before this process ends
_LOOKS = 50  # at whether they did
_CANT_LISTEN = 3  # exit codes
_BUG = 70


@record(frozen=False)
class Birth:
    """What a forked child is to become; the descriptors are its own."""

    zygote: ZygoteStart
    start: ServerStart
    namespace: ClientNamespace
    parent: int
    output: int
    control: int
    page: int


def main(birth: Birth) -> int:
    """Be a server until its end; answers the exit code. In the child's only thread."""
    ties.die_with_parent(birth.parent)
    os.setpgid(0, 0)  # what tasks start is found by it
    ties.prefer_for_oom()
    _print_to(birth.output)
    os.chdir(birth.start.path)
    sys.path.insert(0, birth.start.path)
    sys.setswitchinterval(_SWITCH_INTERVAL)
    gc.enable()
    return Server(birth).run()


def _print_to(output: int) -> None:
    for descriptor in (1, 2):
        os.dup2(output, descriptor)
    os.close(output)
    for stream in (sys.stdout, sys.stderr):
        # A line is printed when it is complete, not when a buffer is full (DN-38).
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]  # TextIOWrapper


def _watch_steps(kernel: Kernel, page: Page) -> None:
    """Have the page show when the kernel runs tasks, so that the node sees one that never yields (R-08)."""
    step = kernel.step

    def watched(now: float) -> float | None:
        page.enter()
        return step(now)

    kernel.step = watched  # type: ignore[method-assign]  # this one kernel only
    kernel.before_wait.append(page.leave)


class Server:
    """The parts of a server process, put together."""

    def __init__(self, birth: Birth) -> None:
        self._birth = birth
        self._limits = birth.zygote.record()
        self._page = Page(birth.page)
        os.close(birth.page)
        self._loop = Loop()
        self._kernel = self._loop.kernel
        _watch_steps(self._kernel, self._page)
        self._reactor = Reactor.in_thread()
        self._begun: dict[int, tuple[int, float]] = {}  # task -> attempt, when it began; those that run
        self._interrupter = Interrupter(self._kernel, self._reactor, self._begun)
        self._ready = False
        self._leaving = False
        self._endpoint: Endpoint
        self._executor: Executor
        self._sights: Sights
        self._control: LoopPipe

    def run(self) -> int:
        """Serve until the end."""
        own(self._loop)
        self._reactor.run(self._start()).add_done_callback(_must_succeed)
        self._loop.run()
        return 0

    # On the reactor's thread.

    async def _start(self) -> None:
        zygote, start = self._birth.zygote, self._birth.start
        control = socket.socket(fileno=self._birth.control)
        # The daemon's end closes when it is gone, or wants us gone without a word.
        self._control = LoopPipe(self._reactor.loop, control, self._told, lambda reason: os._exit(0))
        own, *others = [ReservationKey(zygote.reservation, bytes.fromhex(key)) for key in zygote.keys]
        keyring = Keyring(own, others)
        try:
            tls = Tls(zygote.certificates) if zygote.certificates else None
        except InvalidCertificate as exc:
            self._control.say(Said("problem", {"reason": str(exc)}))
            os._exit(_CANT_LISTEN)
        self._endpoint = Endpoint(
            self._reactor, roles=Role.SERVER, keyring=keyring, limits=self._limits, name=start.name, tls=tls
        )
        self._endpoint.hear_with(self._loop)
        delivery = Delivery(self._kernel, self._endpoint, reservation=zygote.reservation)
        delivery.load = self._birth.namespace.load
        self._executor = Executor(
            self._kernel,
            delivery,
            self._birth.namespace,
            self._page,
            self._limits,
            self._interrupter,
            self._begun,
            self._end,
        )
        self._sights = Sights(self._loop, self._endpoint, self._executor.begun, lambda: self._executor.client)
        self._endpoint.handle(SetUpServer, self._set_up, who=Role.CLIENT)
        self._birth.namespace.add_server_names(self._executor.ask_to_close)
        network = Network(self._kernel, self._reactor, self._endpoint, delivery)
        runtime.adopt(network)
        # Whoever proved this reservation's key is its client or another server of it.
        store = FileStore(start.path, self._limits, max_file_bytes=self._limits.max_file_bytes)
        network.service(FileReceiver, lambda: FileReceiver(self._endpoint, lambda peer: store))
        try:
            location = await self._endpoint.listen(zygote.hosts, start.port, announce=zygote.announce)
        except OSError as exc:
            self._control.say(Said("problem", {"reason": exc.strerror or str(exc)}))
            os._exit(_CANT_LISTEN)
        incarnation = self._endpoint.incarnation.hex()
        where = {"addr": location.addr, "port": location.port}
        self._control.say(Said("up", {"incarnation": incarnation, **where}))

    def _told(self, said: Said) -> None:
        if said.what == "lease":
            self._executor.lease(said.number("number"), float(said.values["seconds"]))
        elif said.what == "end":
            self._executor.end_all(float(said.values["grace"]), said.text("reason"))
        elif said.what == "certificate" and self._endpoint.tls is not None:
            take_up(self._endpoint.tls)

    def _set_up(self, peer: Incarnation, message: SetUpServer) -> None:
        if message.reservation != self._birth.zygote.reservation or not self._executor.serve(peer):
            log.warning("a client that this server does not serve wanted to set it up")
            return
        if self._ready or message.setup is None:
            self._set_up_done(peer, "")
        else:
            self._kernel.post(self._run_setup, peer, message.setup)

    def _set_up_done(self, peer: Incarnation, problem: str) -> None:
        if problem:
            self._endpoint.say(peer, SetUpFailed(problem[-self._limits.max_reason_chars :]))
            return
        if not self._ready:
            self._ready = True
            # What server_setup loaded stays, like what node_setup loaded: not the collector's.
            self._kernel.post(_freeze)
        self._endpoint.say(peer, ServerReady(os.getpid(), self._birth.start.name))

    def _end(self, reason: str) -> None:
        """Leave once what was said is written; any thread."""
        self._reactor.call(self._leave, reason)

    def _leave(self, reason: str) -> None:
        if not self._leaving:
            self._leaving = True
            if reason:
                self._control.say(Said("leaving", {"reason": reason}))
            self._reactor.spawn(self._last_words(in_order=not reason))

    async def _last_words(self, in_order: bool) -> None:
        if not in_order:
            await self._wait_until_heard()
        await self._endpoint.close()
        try:
            interpreter.flush()
        finally:
            # Not by the kernel's thread: the task that must end may never give it back.
            os._exit(0)

    async def _wait_until_heard(self) -> None:
        """Let our peers have what was said: closing drops what a socket did not take."""
        peers = self._endpoint.peers()
        self._endpoint.write_dirty()
        for _ in range(_LOOKS):
            if all(peer.idle for peer in peers):
                return
            await asyncio.sleep(_LAST_WORDS / _LOOKS)

    # On the kernel's thread.

    def _run_setup(self, peer: Incarnation, setup: Any) -> None:
        def done(task: Any) -> None:
            self._reactor.call(self._set_up_done, peer, setup_problem("server_setup", task))

        try:
            function, args, kwargs = self._birth.namespace.load(setup)
            self._kernel.spawn(function, args, kwargs, on_done=done)
        except BaseException as exc:
            self._reactor.call(self._set_up_done, peer, describe_failure("server_setup", exc))


def _must_succeed(started: Operation) -> None:
    error = started.exception()
    if error is not None:
        log.critical("a server could not be started", exc_info=error)
        os._exit(_BUG)


def _freeze() -> None:
    gc.collect()
    gc.freeze()
