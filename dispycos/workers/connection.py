"""A program's connection with a master: jobs go out as there is room, results come back.

All that a program sends to one master shares one connection. Jobs wait here, in order, until
the master has room; only then are they said to run, and before that they can be cancelled
without asking anybody. Results are opened, and who waits for them is told, by a thread of the
connection's own: code of users runs neither where bytes move nor where tasks do.

I/O half. Layer 7. Rows CW-01, CW-06, CW-07.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import logging
import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from dispycos.config import MIB
from dispycos.errors import MessageTooLarge
from dispycos.events import DialFailed, PeerEvent, PeerGone
from dispycos.kernel import loop as kernel_loop
from dispycos.kernel.program import was_interrupted
from dispycos.kernel.target import name_of
from dispycos.messages import (
    DefineJob,
    ForgetJobs,
    Job,
    JobsEnded,
    JoinPool,
    LeavePool,
    PoolClosed,
    PoolRoom,
    SubmitJobs,
)
from dispycos.model import CodeHash, Incarnation, Location, Outcome, Payload, Role
from dispycos.net import addresses
from dispycos.net.peer import Peer
from dispycos.options import Options
from dispycos.pickling import code, values
from dispycos.runtime import Network, runtime
from dispycos.workers import surroundings
from dispycos.workers.errors import MasterLost, NoMaster
from dispycos.workers.outcome import opened

log = logging.getLogger("dispycos")

AT_EXIT = 40.0  # before the network closes: who submitted jobs waits for them at the program's end
JOBS_IN_MESSAGE = 256
BYTES_IN_MESSAGE = MIB
BYTES_OUT = 64 * MIB  # arguments of jobs that are with the master; one job more is always sent
FUNCTIONS_KEPT = 1000  # that the master has of this program and no job names just now
FRAME = 64 * 1024  # bytes that a message may have beside the arguments of its job


class Call(Protocol):
    """Who wants the result of a job."""

    def begin(self) -> bool:
        """It is about to be sent; False: nobody wants it any more."""

    def end(self, value: Any, error: BaseException | None) -> object:
        """It has ended; the connection's own thread. Once, if it was begun."""


class Waiting(NamedTuple):
    """A job that is not sent yet."""

    call: Call
    define: DefineJob  # shared by all jobs of that function
    args: Payload
    retries: int


class Out(NamedTuple):
    """A job that is with the master."""

    call: Call
    size: int  # bytes of its arguments
    function: CodeHash


_numbers = itertools.count(1)  # of jobs; unique in this process


class Connection:
    """With one master. `Masters.connect` makes it, or answers the one there is."""

    def __init__(self, network: Network, master: Incarnation, where: Location) -> None:
        self.where = where
        self.master = master
        self.users = 0  # executors and threads that have not let go of it
        self.room = 0
        self.workers = 0
        self.lost: MasterLost | None = None
        self.welcome: asyncio.Future[None] = network.reactor.loop.create_future()
        self._network = network
        self._endpoint = network.endpoint
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._pending: deque[Waiting] = deque()
        self._out: dict[int, Out] = {}
        self._bytes = 0
        self._stopped_up = False  # somebody calls `_pump` when there is room in what is queued
        # Definitions that were made lately, and those that the master has: how many jobs out name them.
        self._made: dict[tuple[CodeHash, surroundings.Surroundings], DefineJob] = {}
        self._defined: dict[CodeHash, int] = {}
        # What has ended and is to be told; None: that was all. As many as there are jobs.
        self._ended: queue.SimpleQueue[tuple[Call, Outcome | BaseException] | None] = queue.SimpleQueue()
        self._untold = 0  # of them that were not told yet
        self._thread = threading.Thread(target=self._tell, name="dispycos-jobs", daemon=True)
        self._thread.start()

    # What users of it call; any thread.

    def submit(
        self, call: Call, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], retries: int
    ) -> None:
        """Have a job done. What can't be pickled, or is too large, raises here; MasterLost if it is gone."""
        hash_, definition = code.dump_definition(fn)
        name = name_of(fn)
        payload = values.dump_call(args, kwargs, name=name)
        self._must_fit(f"the arguments of {name}", payload)
        around = surroundings.now()
        with self._lock:
            if self.lost is not None:
                raise self.lost
            define = self._made.get((hash_, around))
            if define is None:
                self._must_fit(f"{name} and what it refers to", definition)
                define = DefineJob(_hash(hash_, around), name, around.folder, list(around.path), definition)
                if len(self._made) >= FUNCTIONS_KEPT:
                    self._made.clear()
                self._made[hash_, around] = define
            self._pending.append(Waiting(call, define, payload, retries))
            self._pump()
        self._endpoint.flush()

    def _must_fit(self, what: str, payload: Payload) -> None:
        most = self._endpoint.limits.max_message_bytes - FRAME
        if payload.size > most:
            raise MessageTooLarge(
                f"{what} have {payload.size} bytes, and a job may have {most}; have the job read large data "
                "from a file"
            )

    def wait_idle(self, timeout: float | None = None) -> bool:
        """Wait until every job has ended and was told of; False after `timeout` seconds."""
        with self._idle:
            return self._idle.wait_for(lambda: not (self._pending or self._out or self._untold), timeout)

    # Sending; under the lock.

    def _pump(self) -> None:
        jobs: list[Job] = []
        size = 0
        while self._pending and len(self._out) < self.room and self.lost is None:
            if self._bytes > BYTES_OUT or not self._may_write():
                break
            waiting = self._pending.popleft()
            if not waiting.call.begin():
                self._idle.notify_all()
                continue
            number = next(_numbers)
            args, function = waiting.args, waiting.define.function
            self._out[number] = Out(waiting.call, args.size, function)
            self._bytes += args.size
            uses = self._defined.get(function)
            if uses is None:
                self._make_room()
                self._endpoint.queue(self.master, waiting.define)
            self._defined[function] = (uses or 0) + 1
            # Buffers of several jobs may be more than one message takes.
            if jobs and (args.buffers or size + args.size > BYTES_IN_MESSAGE or len(jobs) >= JOBS_IN_MESSAGE):
                self._endpoint.queue(self.master, SubmitJobs(jobs))
                jobs, size = [], 0
            jobs.append(Job(number, function, args, waiting.retries))
            size += args.size
            if args.buffers:
                self._endpoint.queue(self.master, SubmitJobs(jobs))
                jobs, size = [], 0
        if jobs:
            self._endpoint.queue(self.master, SubmitJobs(jobs))

    def _make_room(self) -> None:
        """One function more is to be defined: a program may have a new one for each job."""
        if len(self._defined) >= FUNCTIONS_KEPT:
            unused = [function for function, uses in self._defined.items() if not uses]
            oldest = unused[: FUNCTIONS_KEPT // 2]
            for function in oldest:
                del self._defined[function]
            self._endpoint.queue(self.master, ForgetJobs(oldest))

    def _may_write(self) -> bool:
        if self._endpoint.writable(self.master):
            return True
        if not self._stopped_up:
            self._stopped_up = True
            self._endpoint.when_writable(self.master).add_done_callback(self._unstopped)
        return False

    def _unstopped(self, _: Any) -> None:
        with self._lock:
            self._stopped_up = False
            self._pump()
        self._endpoint.flush()

    # Hearing; reactor thread.

    def hear_room(self, message: PoolRoom) -> None:
        """The master takes so many jobs."""
        with self._lock:
            self.room, self.workers = message.jobs, message.workers
            self._pump()
        self._endpoint.flush()
        if not self.welcome.done():
            self.welcome.set_result(None)

    def hear_ended(self, message: JobsEnded) -> None:
        """Some jobs have ended."""
        with self._lock:
            for outcome in message.outcomes:
                out = self._out.pop(outcome.id, None)
                if out is not None:
                    self._bytes -= out.size
                    self._defined[out.function] -= 1
                    self._untold += 1
                    self._ended.put((out.call, outcome))
            self._pump()
        self._endpoint.flush()

    def lose(self, reason: str) -> None:
        """The master is gone: nothing that is with it, or waits for it, will ever be done."""
        error = MasterLost(
            f"the master at {self.where} is gone: {reason}; jobs that it had not told the end of may have run"
        )
        with self._lock:
            if self.lost is not None:
                return
            self.lost = error
            calls = [out.call for out in self._out.values()]
            calls += [waiting.call for waiting in self._pending if waiting.call.begin()]
            self._out.clear()
            self._pending.clear()
            for call in calls:
                self._untold += 1
                self._ended.put((call, MasterLost(str(error))))
            self._idle.notify_all()
        if not self.welcome.done():
            self.welcome.set_exception(error)

    # Telling; its own thread.

    def _tell(self) -> None:
        while (ended := self._ended.get()) is not None:
            call, outcome = ended
            try:
                value, error = (None, outcome) if isinstance(outcome, BaseException) else opened(outcome)
                call.end(value, error)
            except BaseException:
                # Whoever it was wrote it, and the others are to be told all the same.
                log.exception("a program's own code failed when it was told of a job's end")
            # Nothing of it is to live until the next one ends.
            del ended, call, outcome, value, error
            with self._idle:
                self._untold -= 1
                if not self._untold:
                    self._idle.notify_all()

    def close(self) -> None:
        """Nobody uses it any more; any thread."""
        self._ended.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join()


def _hash(function: CodeHash, around: surroundings.Surroundings) -> CodeHash:
    """The name of a function in its surroundings."""
    text = "\0".join((around.folder, *around.path)).encode("utf-8", "surrogateescape")
    return CodeHash(hashlib.sha256(bytes(function) + text).digest()[:16])


class Masters:
    """The connections of this process; one such object for each network."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._lock = threading.Lock()  # one connects or lets go at a time
        self._connections: dict[Incarnation, Connection] = {}
        endpoint = network.endpoint
        endpoint.handle(PoolRoom, self._room, who=Role.SCHEDULER)
        endpoint.handle(JobsEnded, self._jobs_ended, who=Role.SCHEDULER)
        endpoint.handle(PoolClosed, self._closed, who=Role.SCHEDULER)
        endpoint.watch(self._peer_event)
        # Of the master that is sought: what the last dial found, and whether waiting mends it.
        self._failed: dict[Location, DialFailed] = {}
        self._dialled: dict[Location, asyncio.Event] = {}
        self._ending = False
        kernel_loop.default().at_exit(AT_EXIT, self._program_ends)

    # Any thread.

    def connect(self, where: Location, timeout: float) -> Connection:
        """The connection with the master there; `let_go` of it. NoMaster within `timeout` seconds."""
        with self._lock:
            connection = self._network.reactor.wait(self._connect(where, timeout))
            connection.users += 1
            return connection

    def let_go(self, connection: Connection) -> None:
        """One who connected needs it no more, and has no job there."""
        with self._lock:
            connection.users -= 1
            if connection.users:
                return
            if not self._network.closed:
                self._network.reactor.call(self._leave, connection)
        connection.close()

    def _leave(self, connection: Connection) -> None:
        if self._connections.get(connection.master) is connection:
            del self._connections[connection.master]
            self._network.endpoint.say(connection.master, LeavePool())

    def _program_ends(self) -> None:
        """Jobs of a program that ends are awaited, unless Ctrl-C ended it."""
        first, self._ending = not self._ending, True
        if first and not was_interrupted():
            for connection in list(self._connections.values()):
                connection.wait_idle()
        for connection in list(self._connections.values()):
            connection.lose("this program has ended")
            connection.close()

    # Reactor thread.

    async def _connect(self, where: Location, timeout: float) -> Connection:
        try:
            async with asyncio.timeout(timeout):
                peer = await self._reach(where)
                known = self._connections.get(peer.incarnation)
                if known is not None:
                    return known
                made = Connection(self._network, peer.incarnation, where)
                self._connections[peer.incarnation] = made
                self._network.endpoint.say(peer.incarnation, JoinPool(self._network.endpoint.name))
                try:
                    await made.welcome
                except BaseException:
                    self._connections.pop(peer.incarnation, None)
                    made.lose("it did not take this program")
                    made.close()
                    raise
                return made
        except TimeoutError:
            failed = self._failed.get(where)
            found = failed.reason if failed is not None else f"nothing answers there within {timeout:g} s"
        except MasterLost as lost:
            found = f"{lost}"
        finally:
            self._network.endpoint.stop_dialling(where, owner=self)
        raise NoMaster(
            f"no master of workers was reached at {where} in {timeout:g} s: {found}; is "
            "`python -m dispycos.workers.master` running there, with the same key?"
        )

    async def _reach(self, where: Location) -> Peer:
        endpoint = self._network.endpoint
        changed = self._dialled[where] = asyncio.Event()
        try:
            while True:
                peer = endpoint.peer_at(where, 0)
                if peer is not None and peer.introduced:
                    if Role.SCHEDULER not in peer.roles:
                        raise NoMaster(f"what answers at {where} is no master of workers: {peer}")
                    return peer
                failed = self._failed.get(where)
                if failed is not None and failed.told:
                    raise NoMaster(f"the master at {where} was not joined: {failed.reason}")
                if endpoint.dialling(where) is None:
                    endpoint.dial(where, owner=self)
                changed.clear()
                await changed.wait()
        finally:
            self._dialled.pop(where, None)

    def _peer_event(self, event: PeerEvent | DialFailed) -> None:
        if isinstance(event, PeerGone):
            connection = self._connections.pop(event.peer, None)
            if connection is not None:
                connection.lose(event.reason)
        elif isinstance(event, DialFailed) and event.location in self._dialled:
            self._failed[event.location] = event
        for changed in self._dialled.values():
            changed.set()

    def _room(self, master: Incarnation, message: PoolRoom) -> None:
        if (connection := self._connections.get(master)) is not None:
            connection.hear_room(message)

    def _jobs_ended(self, master: Incarnation, message: JobsEnded) -> None:
        if (connection := self._connections.get(master)) is not None:
            connection.hear_ended(message)

    def _closed(self, master: Incarnation, message: PoolClosed) -> None:
        if (connection := self._connections.pop(master, None)) is not None:
            connection.lose(message.reason)


def masters(where: Location) -> Masters:
    """Those of this process, which gets a network if it has none: loopback, if the master is there."""
    network = runtime.present
    if network is None:
        near = addresses.is_loopback(where.addr)
        network = runtime.network(Options(hosts=(addresses.LOOPBACK,) if near else ()))
    return network.service(Masters, lambda: Masters(network))
