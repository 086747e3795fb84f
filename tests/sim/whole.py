"""Whole clusters in the World: scheduler, nodes, zygotes, servers and client programs.

Every decision is the real machines'; processes, files and the kernel of a server are a few
plain lines each. Each party checks what it can judge itself; `Cluster` checks what nobody can:
no node serves two clients, no lease number comes twice, every status stream keeps its grammar,
what a client closed leaves nothing behind.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from typing import Any

from dispycos import messages as m
from dispycos.client import events as servers
from dispycos.client import orders, submission
from dispycos.client.dispatch import Dispatch
from dispycos.client.fleet import Fleet
from dispycos.client.submission import Submission
from dispycos.config import Limits
from dispycos.events import Dial, DialFailed, Heard, PeerBack, PeerGone, PeerSuspect, PeerUp, StopDialling
from dispycos.model import (
    CLIENT_MADE,
    CodeHash,
    DispycosStatus,
    End,
    Incarnation,
    Location,
    Payload,
    Role,
    Status,
    TaskSpec,
)
from dispycos.node import attempts
from dispycos.node import events as facts
from dispycos.node.execution import Execution, Phase
from dispycos.node.machine import NodeMachine, NodeState
from dispycos.scheduler import events as journal
from dispycos.scheduler import leases
from dispycos.scheduler.machine import SchedulerMachine
from dispycos.testing import Chaos, Condition, Ledger, Process, World
from tests.sim.kinds import disturb
from tests.sim.servers import Behaviour, ServerProcess

LIMITS = Limits(
    keepalive=0.3,
    suspect_after=1.0,
    refusal_window=1.0,
    redial_max=2.0,
    redial_max_suspect=0.5,
    grace=1.0,
    request_timeout=3.0,
    restart_backoff_max=4.0,
)
PULSE = 1.0
HOLD = 30.0  # H
FUNCTION = CodeHash(b"f" * 16)
_PEER = (Heard, PeerUp, PeerGone, PeerBack, PeerSuspect)


class Server(ServerProcess):
    """A server of a zygote: set up by its client, ended by its node."""

    def __init__(self, zygote: Zygote, index: int, port: int) -> None:
        node = zygote.node
        name = f"{node.name}z{zygote.number}s{index}p{port}"
        assert node.location is not None
        super().__init__(node.world, name, location=Location(node.location.addr, port), parent=zygote)
        self.cluster = node.cluster
        self.zygote = zygote
        self.index = index
        self.ending = False
        self.announced = False
        self.reservation = zygote.reservation
        self.client = zygote.client

    def boot(self) -> None:
        self.run(self.cluster.execution(self.client, self.world.limits))

    def machines_for(self, event: Any) -> Sequence[Any]:
        peer = event.peer if isinstance(event, _PEER) else None
        if isinstance(event, Heard) and isinstance(event.message, m.SetUpServer):
            return []
        return [] if isinstance(event, PeerUp) and peer != self.client else self.machines

    def accepts(self, peer: Process, reservation: int) -> str:
        return "" if reservation == self.reservation else "wrong key"

    def hear(self, event: Any) -> None:
        if isinstance(event, Heard) and isinstance(event.message, m.SetUpServer):
            assert event.message.reservation == self.reservation
            assert event.peer == self.client
            self.after(self.world.random.uniform(0, 0.1), self.set_up)
        super().hear(event)

    def set_up(self) -> None:
        draw = self.world.random.random()
        if draw < self.cluster.setup_kills:
            self.kill("killed by signal 11 (SIGSEGV)")
        elif draw < self.cluster.setup_kills + self.cluster.setup_fails:
            self.say(self.client, m.SetUpFailed("server_setup returned 1"))
        else:
            self.say(self.client, m.ServerReady(1, self.name))

    def judge(self, spec: TaskSpec) -> None:
        assert self.execution.lease == self.cluster.lease_of(self), f"{self.name} works under a stale lease"
        self.cluster.began(self, spec)

    def say(self, peer: Incarnation, message: Any) -> None:
        super().say(peer, message)
        self.end_if_done()

    def end_if_done(self) -> None:
        if self.ending and self.execution.phase is Phase.FINISHED:
            self.after(0.01, self.kill, "exit code 0")

    def end(self, grace: float, reason: str) -> None:
        self.ending = True
        self.feed(self.execution, attempts.EndAll(grace, reason))
        self.end_if_done()


class Zygote(Process):
    """Runs node_setup, forks servers, tells its node of their ends."""

    def __init__(self, node: Node, action: facts.StartZygote, client: Incarnation) -> None:
        super().__init__(node.world, f"{node.name}z{action.zygote}", parent=node)
        self.node = node
        self.number = action.zygote
        self.reservation = action.reservation
        self.client = client
        self.servers: dict[int, Server] = {}  # by index, until the node was told of its end
        self.asked: set[int] = set()  # forks that the node asked for and that did not begin
        self.pipe = 0.0  # when the last fact that it told arrives

    def boot(self) -> None:
        self.after(self.world.random.uniform(0, 0.5), self.set_up)

    def set_up(self) -> None:
        draw = self.world.random.random()
        cluster = self.node.cluster
        if draw < cluster.setup_kills:
            self.kill("killed by signal 11 (SIGSEGV)")
        elif draw < cluster.setup_kills + cluster.setup_fails:
            self.tell(facts.ZygoteFailed(self.number, "node_setup returned 1"))
        else:
            self.tell(facts.ZygoteReady(self.number))

    def tell(self, event: Any) -> None:
        node = self.node
        self.pipe = max(self.pipe, self.world.now + self.world.delay())
        self.world.plan(self.pipe - self.world.now, node.call, node.incarnation, node.fact, (event,))

    def fork(self, index: int) -> None:
        self.asked.discard(index)
        assert index not in self.servers, f"{self.name} forks server {index} twice"
        if self.world.random.random() < self.node.cluster.fork_fails:
            self.tell(facts.ServerStartFailed(index, "can't start: EAGAIN"))
            return
        self.node.ports += 1
        server = self.servers[index] = Server(self, index, self.node.ports)
        self.node.cluster.server_starts(server)
        server.start()
        self.after(self.world.random.uniform(0, 0.2), self.announce, server)

    def announce(self, server: Server) -> None:
        if server.alive and not server.announced:
            server.announced = True
            assert server.location is not None
            self.tell(facts.ServerUp(server.index, 1, server.incarnation, server.location))

    def child_exited(self, child: Process, reason: str) -> None:
        assert isinstance(child, Server)
        if self.servers.get(child.index) is child:
            del self.servers[child.index]
            self.tell(self.end_of(child, reason))

    def end_of(self, server: Server, reason: str) -> Any:
        if not server.announced:
            return facts.ServerStartFailed(server.index, reason)
        begun, begun_io = self.node.cluster.read_page(server)
        return facts.ServerExited(server.index, server.incarnation, reason, begun, begun_io)


class Node(Process):
    """A node daemon."""

    roles = Role.NODE

    def __init__(self, cluster: Cluster, number: int, cpus: int) -> None:
        super().__init__(cluster.world, f"n{number}", location=Location(f"10.0.{number}.1", 9706))
        self.cluster = cluster
        self.cpus = cpus
        self.ports = 9706
        self.zygote: Zygote | None = None
        self.delayed = 0  # the number of the last one that could not start
        self.left: dict[int, Zygote] = {}  # ended ones, by number: their servers are told of

    def boot(self) -> None:
        assert self.location is not None
        self.zygote = None
        described = m.NodeFacts(
            self.incarnation, self.location, self.name, "Linux-6.1", "3.11.7", self.cpus, m.Avail(50.0, 10**9)
        )
        self.machine = self.cluster.node_machine(
            described, self.world.limits, min_pulse=0.1, max_pulse=10.0, hold=HOLD
        )
        self.machines = [self.machine]
        for process in self.cluster.schedulers:
            assert process.location is not None
            self.world.dial(self, Dial(process.location))

    def fact(self, event: Any) -> None:
        self.feed(self.machine, event)

    def soon(self, event: Any, within: float = 0.02) -> None:
        self.after(self.world.random.uniform(0, within), self.fact, event)

    @property
    def servers(self) -> list[Server]:
        return [server for server in self.zygote.servers.values() if server.alive] if self.zygote else []

    def child_exited(self, child: Process, reason: str) -> None:
        assert isinstance(child, Zygote)
        if self.zygote is child:
            self.zygote = None
        ends = [child.end_of(server, "killed by signal 9 (SIGKILL)") for server in child.servers.values()]
        child.servers.clear()
        ends += [facts.ServerStartFailed(index, "its zygote ended before it forked") for index in child.asked]
        child.asked.clear()
        self.fact(facts.ZygoteExited(child.number, reason, reason.startswith("killed")))
        for end in ends:
            self.soon(end)

    def perform(self, machine: Any, action: Any) -> None:
        match action:
            case facts.StartZygote():
                assert self.zygote is None, f"{self.name} starts a second zygote"
                tenancy = self.machine._tenancy
                assert tenancy is not None
                if self.world.random.random() < self.cluster.fork_fails:
                    self.delayed = action.zygote
                    self.soon(facts.ZygoteDelayed(action.zygote, "can't start: EMFILE"))
                    return
                self.zygote = Zygote(self, action, tenancy.client)
                self.zygote.start()
            case facts.EndZygote():
                if self.zygote is None and action.zygote == self.delayed:
                    return  # the machine will hear that there is none
                assert self.zygote is not None
                if action.force:
                    self.zygote.kill()
                else:
                    self.zygote.call(self.zygote.incarnation, self.zygote.kill, ("exit code 0",))
            case facts.ForkServer():
                assert self.zygote is not None
                self.zygote.asked.add(action.index)
                self.zygote.call(self.zygote.incarnation, self.zygote.fork, (action.index,))
            case facts.AskServerToEnd():
                self.to_server(action.server, Server.end, action.grace, action.reason)
            case facts.GiveLease():
                given = attempts.LeaseGiven(action.number, action.seconds)
                self.to_server(action.server, Server.feed, None, given)
            case facts.KillServer():
                server = self.zygote.servers.get(action.index) if self.zygote else None
                if server is not None:
                    server.kill()
            case facts.CleanWorkspace():
                assert self.zygote is None, f"{self.name} removes the files of a live zygote (R-48)"
                self.soon(facts.CleanedUp(action.reservation), 0.02 + self.cluster.slow_files)
            case facts.Measure():
                samples = tuple(facts.ServerSample(s.index, *s.page, len(s.holds), 0.0) for s in self.servers)
                self.soon(facts.AvailMeasured(m.Avail(50.0, 10**9), samples))
            case facts.OpenReservationKey() | facts.CloseReservationKey():
                pass
            case facts.Exit():
                self.kill(f"exit code {action.code}")
            case _:
                super().perform(machine, action)

    def to_server(self, incarnation: Incarnation, function: Callable[..., None], *args: Any) -> None:
        for server in self.servers:
            if server.incarnation == incarnation:
                if args and args[0] is None:
                    args = (server.execution, *args[1:])
                server.call(incarnation, function, (server, *args))


class Scheduler(Process):
    """A shared scheduler and its journal, which outlives it."""

    roles = Role.SCHEDULER

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster.world, "scheduler", location=Location("10.0.0.9", 9705))
        self.cluster = cluster
        self.stopped = ""
        self.kept: dict[int, journal.KeepClient] = {}
        self.last_lease = 0
        self.places: dict[Incarnation, Location] = {}
        self.former: frozenset[Incarnation] = frozenset()
        self.full = False  # the journal's disk
        self.slow = 0.0  # seconds that a write takes
        self.failed = False  # the disk failed, or the journal was lost: the order of the queue may be another
        self.lost = False  # the journal, before the next start

    def boot(self) -> None:
        lease = self.first_lease()
        if not self.full:
            self.last_lease = lease
        nodes = tuple(self.places.values())
        restored = journal.Restored(tuple(self.kept.values()), lease, self.former, nodes, self.lost)
        self.former |= {self.incarnation}
        self.lost = False
        self.machine = self.cluster.scheduler_machine(
            self.incarnation,
            self.world.limits,
            reservation_numbers=self.cluster.numbers,
            hold=HOLD,
            journalled=True,
            restored=restored,
        )
        self.machines = [self.machine]
        self.feed(self.machine, journal.Started())
        if self.full:
            self.after(0.0, self.write)
        for node in self.cluster.nodes:
            assert node.location is not None
            self.world.dial(self, Dial(node.location))

    def first_lease(self) -> int:
        behind = self.world.wall.get(self.host, 0.0) < self.cluster.highest_clock
        # Nor could the number that a scheduler began with be written by one whose disk was full.
        self.cluster.clock_back |= (self.lost or self.full) and behind
        return leases.first_lease(self.last_lease, self.world.wall_clock(self.host))

    def say(self, peer: Incarnation, message: Any) -> None:
        if isinstance(message, m.Reserve):
            self.cluster.leased(peer, message)
        super().say(peer, message)

    def perform(self, machine: Any, action: Any) -> None:
        match action:
            case journal.KeepClient() | journal.DropClient() | journal.KeepLease():
                pass  # written before anything was said
            case journal.Stopped():
                self.stopped = action.reason
            case _:
                super().perform(machine, action)

    def _carry_out(self, machine: Any, actions: Sequence[Any]) -> None:
        entries = [action for action in actions if isinstance(action, journal.ENTRIES)]
        if entries and self.slow:
            # Who is killed meanwhile has it on disk or not; nothing was said in either case.
            if early := self.world.random.random() < 0.5:
                self.keep(entries)
            self.blocked(self.slow, self.put, machine, actions, [] if early else entries)
        else:
            self.put(machine, actions, entries)

    def put(self, machine: Any, actions: Sequence[Any], entries: Sequence[Any]) -> None:
        """The entries are on disk, or can't be; then what was answered with them is said."""
        if not self.full:
            self.keep(entries)
        self.say_all(machine, actions)
        if any(isinstance(action, journal.ENTRIES) for action in actions):
            self.write()

    def say_all(self, machine: Any, actions: Sequence[Any]) -> None:
        # Its nodes are found by discovery, whoever else wants them dialled no more.
        found = {node.location for node in self.cluster.nodes}
        actions = [a for a in actions if not (isinstance(a, StopDialling) and a.location in found)]
        super()._carry_out(machine, actions)

    def write(self) -> None:
        if not self.full:
            self.feed(self.machine, journal.Written())
            return
        self.feed(self.machine, journal.JournalFailed("no space left on device"))

    def keep(self, entries: Sequence[Any]) -> None:
        for entry in entries:
            match entry:
                case journal.KeepClient():
                    self.kept[entry.reservation] = entry
                case journal.DropClient():
                    self.kept.pop(entry.reservation, None)
                    if not any(kept.scheduled for kept in self.kept.values()):
                        self.places = {}
                case journal.KeepLease():
                    self.last_lease = max(self.last_lease, entry.lease)
                    self.places[entry.node] = entry.location

    def fill(self, seconds: float) -> None:
        """Its disk is full for so long; then it writes everything that it did not."""
        self.full = self.failed = True
        self.world.plan(seconds, self.make_room)

    def make_room(self) -> None:
        self.full = False
        if self.alive:
            self.after(0.0, self.catch_up)

    def catch_up(self) -> None:
        self.kept = {}
        self.keep(self.machine.entries())
        self.write()


_NODE_STREAM = re.compile(r"D(I[SRX]*)?A?C")
_LETTERS = {
    Status.NodeDiscovered: "D", Status.NodeInitialized: "I", Status.NodeSuspended: "S",
    Status.NodeResumed: "R", Status.NodeDisconnected: "X", Status.NodeAbandoned: "A", Status.NodeClosed: "C",
    Status.ServerDiscovered: "D", Status.ServerInitialized: "I", Status.ServerSuspended: "S",
    Status.ServerResumed: "R", Status.ServerDisconnected: "X", Status.ServerAbandoned: "A",
    Status.ServerClosed: "C",
}  # fmt: skip


class Streams:
    """The statuses of one client, matched against their grammar (R-92)."""

    def __init__(self) -> None:
        self.open: dict[Any, str] = {}  # node or server -> its present stream
        self.all: list[str] = []
        self.scheduled = self.closed = 0

    def add(self, message: DispycosStatus) -> None:
        assert not self.closed, f"{message} after ClientClosed"
        status = message.status
        if status is Status.ClientScheduled:
            self.scheduled += 1
            assert self.scheduled == 1, "scheduled twice"
        elif status is Status.ClientClosed:
            self.closed += 1
            assert not self.open, f"ClientClosed before {self.open}"
        elif status is not Status.NodeIgnore:
            assert self.scheduled, f"{message} before ClientScheduled"
            place = message.info if isinstance(message.info, Location) else message.info.location
            key = (status.name.startswith("Node"), place)
            stream = self.open.pop(key, "") + _LETTERS[status]
            assert len(stream) == 1 or stream[-1] != stream[-2], f"{place}: {stream}"
            if stream[-1] == "C":
                assert _NODE_STREAM.fullmatch(stream), f"{place}: {stream}"
                self.all.append(stream)
            else:
                assert stream[0] == "D", f"{place}: {stream}"
                assert "A" not in stream[:-1], f"{place}: {stream}"
                assert stream[1:2] in ("", "I", "A"), f"{place}: {stream}"
                self.open[key] = stream


class Client(Process):
    """A client program: schedules, submits tasks, manages nodes and servers, closes."""

    roles = Role.CLIENT

    def __init__(self, cluster: Cluster, number: int, *, private: bool = False) -> None:
        super().__init__(cluster.world, f"c{number}", location=Location(f"10.1.{number}.1", 9800))
        self.cluster = cluster
        self.private = private
        if private:
            self.roles = Role.CLIENT | Role.SCHEDULER
        self.options: dict[str, Any] = {}
        self.rules: list[m.Rule] = []
        self.tasks = 10
        self.wild = True  # some tasks kill their server, or never yield
        self.work = 10.0  # seconds over which tasks are submitted
        self.terminate = False
        self.again = 0  # more Clients that this program makes when the first is closed
        self.ended = ""  # why its last turn ended; "" while it lasts
        self.rounds = 0
        self.ever_usable = False
        self.seen: list[Status] = []  # all statuses, of all its turns

    def boot(self) -> None:
        self.peers: dict[Incarnation, PeerUp] = {}
        self.machines = []
        self.scheduler: SchedulerMachine | None = None
        if self.private:
            self.scheduler = self.cluster.scheduler_machine(
                self.incarnation, self.world.limits, reservation_numbers=self.cluster.numbers, hold=HOLD
            )
            self.machines.append(self.scheduler)
            for node in self.cluster.nodes:
                assert node.location is not None
                self.world.dial(self, Dial(node.location))
        self.new_client()

    def new_client(self) -> None:
        """Make a Client, as a program does, and schedule it."""
        self.rounds += 1
        self.ended = ""
        self.ledger = Ledger()
        self.streams = Streams()
        self.submissions: dict[int, Submission] = {}
        self.told: set[Incarnation] = set()
        self.answers: dict[int, tuple[int, str]] = {}
        self.places: dict[int, int] = {}  # ticket -> the last that it was told
        self.tickets = itertools.count(self.rounds * 1000)
        self.flushing = False
        self.closing = False
        self.scheduled = False
        self.machines = [machine for machine in self.machines if machine is self.scheduler]
        self.dispatch = Dispatch(self.world.limits)
        self.fleet = self.cluster.fleet(
            self.incarnation,
            self.world.limits,
            name=self.name,
            location=self.location,
            code=Payload(b"code"),
            rules=self.rules,
            pulse_interval=PULSE,
            **self.options,
        )
        self.machines += [self.fleet, self.dispatch]
        for up in list(self.peers.values()):
            self.feed(self.fleet, up)
        if self.private:
            self.schedule(self.incarnation, None)
        else:
            for up in reversed(self.peers.values()):  # a successor before whom it succeeds
                self.schedule_with(up)
            assert self.cluster.scheduler.location is not None
            self.world.dial(self, Dial(self.cluster.scheduler.location))

    def schedule_with(self, up: PeerUp) -> None:
        if Role.SCHEDULER in up.roles and up.location == self.cluster.scheduler.location:
            self.schedule(up.peer, up.location)

    def schedule_again(self, round: int) -> None:
        if self.rounds == round and not self.closing and not self.ended:
            self.scheduled = False
            assert self.cluster.scheduler.location is not None
            self.world.dial(self, Dial(self.cluster.scheduler.location))
            for up in reversed(self.peers.values()):  # a successor before whom it succeeds
                self.schedule_with(up)

    def schedule(self, scheduler: Incarnation, location: Location | None) -> None:
        if not self.scheduled:
            self.scheduled = True
            self.ticket = next(self.tickets)
            self.feed(self.fleet, orders.BeginSchedule(self.ticket, scheduler, location))

    # What it hears.

    def machines_for(self, event: Any) -> Sequence[Any]:
        if isinstance(event, Heard):
            message = event.message
            found: list[Any] = []
            if self.scheduler is not None and type(message) in self.scheduler._said:
                found.append(self.scheduler)
            if isinstance(message, orders.FLEET_HEARS):
                found.append(self.fleet)
            if not found or isinstance(message, m.NodeReport):
                found.append(self.dispatch)
            return found
        if isinstance(event, (PeerUp, PeerGone, PeerBack, PeerSuspect, DialFailed)):
            return [machine for machine in self.machines if machine is not self.dispatch]
        return self.machines

    def hear(self, event: Any) -> None:
        if isinstance(event, PeerUp):
            self.peers[event.peer] = event
        elif isinstance(event, PeerGone):
            self.peers.pop(event.peer, None)
        elif isinstance(event, Heard) and isinstance(event.message, m.Queued):
            self.check_place(event.message)
        super().hear(event)
        if isinstance(event, PeerUp) and not self.private:
            self.schedule_with(event)
        self.plan_flush()

    def check_place(self, message: m.Queued) -> None:
        """Who is told a place keeps it, or a better one, also when the scheduler dies (R-17)."""
        if not message.place or self.private:
            return
        before = self.places.get(message.ticket, message.place)
        kept = message.place <= before or self.cluster.scheduler.failed
        assert kept, f"{self.name} was at place {before} and is at {message.place}"
        self.places[message.ticket] = message.place

    # What its machines ask for.

    def perform(self, machine: Any, action: Any) -> None:
        match action:
            case orders.Notify():
                if isinstance(action.message, DispycosStatus):
                    self.seen.append(action.message.status)
                    self.streams.add(action.message)
                    self.noticed(action.message)
            case orders.Answered():
                assert action.ticket not in self.answers, f"ticket {action.ticket} was answered twice"
                self.answers[action.ticket] = (action.code, action.reason)
                if action.ticket == self.ticket and action.code == 0:
                    self.run_program()
                elif action.ticket == self.ticket and not self.closing:
                    # Refused, because it could not be written down: tried again.
                    self.after(1.0, self.schedule_again, self.rounds)
            case orders.SendFiles():
                answer = orders.FilesSent(action.node)
                self.after(self.world.random.uniform(0, 0.3 + self.cluster.slow_files), self.order, answer)
            case orders.TurnEnded():
                self.turn_ended(action.reason)
            case orders.PleaseClose():
                self.close(action.terminate)
            case submission.Ended():
                self.ledger.ended(action.outcome.id, action.outcome.end)
            case submission.EndServer():
                self.after(0.0, self.order, orders.ForceServer(action.server, action.reason))
            case submission.AllDone():
                if self.closing:
                    # Never amid the actions that dispatch was fed from: those come first.
                    self.after(0.0, self.close_all, self.rounds)
            case submission.Placed():
                assert action.server in self.told, "a task goes to a server that is not usable"
            case submission.Drained():
                pass
            case journal.KeepClient() | journal.DropClient() | journal.KeepLease():
                pass
            case _:
                self.of_servers(action)

    def of_servers(self, action: Any) -> None:
        """The fleet tells dispatch; each server's life has its grammar too."""
        if isinstance(action, servers.ServerUsable):
            assert action.server not in self.told
            self.told.add(action.server)
            self.ever_usable = True
        elif not isinstance(action, submission.NodeGone):
            assert action.server in self.told, f"{action!r} of a server that dispatch does not know"
            if isinstance(action, servers.ServerGone):
                self.told.remove(action.server)
        self.feed(self.dispatch, action)
        self.plan_flush()

    def turn_ended(self, reason: str) -> None:
        assert not self.ended, "the turn ended twice"
        assert not self.told, "servers are left at the end of the turn"
        self.feed(self.dispatch, submission.CloseNow(reason))
        self.ended = reason
        self.ledger.balance()
        assert not self.streams.open
        # Only a turn that began is closed.
        assert self.streams.closed == self.streams.scheduled
        if self.again:
            self.again -= 1
            self.after(self.world.random.uniform(0, 1), self.new_client)

    def plan_flush(self) -> None:
        if not self.flushing:
            self.flushing = True
            self.after(0.0, self.flush, self.dispatch)

    def flush(self, dispatch: Dispatch) -> None:
        self.flushing = False
        self._carry_out(dispatch, dispatch.flush(self.now))

    # What the program does.

    @property
    def done(self) -> bool:
        return not self.alive or (bool(self.ended) and not self.again)

    def order(self, order: Any) -> None:
        self.feed(self.fleet, order)
        self.plan_flush()

    def noticed(self, message: DispycosStatus) -> None:
        """status_task: enables what waits for it."""
        wait = self.world.random.uniform(0, 0.5)
        if message.status is Status.NodeDiscovered and self.options.get("disable_nodes"):
            order = orders.EnableNode(next(self.tickets), message.info.location, Payload(b"setup"))
            self.after(wait, self.order, order)
        elif message.status is Status.ServerDiscovered and self.options.get("disable_servers"):
            self.after(wait, self.order, orders.EnableServer(next(self.tickets), message.info, None))

    def run_program(self) -> None:
        draw = self.world.random
        for number in range(self.tasks):
            self.after(draw.uniform(0, self.work), self.submit, self.rounds, number)
        self.after(self.work, self.close_round, self.rounds)

    def submit(self, round: int, number: int) -> None:
        if round != self.rounds or self.ended or self.closing:
            return
        draw = self.world.random
        behaviour = draw.choice([Behaviour.RETURN] * 6 + (list(Behaviour) if self.wild else []))
        task = Submission(
            CLIENT_MADE | self.rounds << 20 | number,
            FUNCTION,
            Payload(b"%s %f" % (behaviour.value, draw.choice((0.001, 0.1, 1.0)))),
            timeout=2.0 if behaviour is Behaviour.STUCK else 0.0,
            io=draw.random() < 0.2,
            retries=draw.choice((0, 0, 2)),
            name=behaviour.name,
        )
        self.submissions[task.id] = task
        self.ledger.submitted(task.id, 1 + task.retries)
        self.act(self.dispatch, self.dispatch.submit, task)
        self.plan_flush()

    def close_round(self, round: int) -> None:
        if round == self.rounds and not self.ended:
            self.close(self.terminate)

    def close(self, terminate: bool) -> None:
        if self.closing or self.ended:
            return
        self.closing = True
        self.terminate = terminate
        if terminate:
            self.feed(self.dispatch, submission.CancelAll("the client closes", self.world.limits.grace))
        self.feed(self.dispatch, submission.Closing("the client closes", False))
        self.plan_flush()

    def close_all(self, round: int) -> None:
        if round == self.rounds and not self.ended:
            self.order(orders.CloseAll(next(self.tickets), self.terminate))

    def manage(self) -> None:
        """One random order, as an impatient user gives them."""
        draw = self.world.random
        if self.ended or not self.scheduled:
            return
        nodes = [node.location for node in self.fleet.nodes_held.values()]
        known = list(self.fleet.crew.at)
        ticket = next(self.tickets)
        where = draw.choice(known) if known else None
        node = draw.choice(nodes) if nodes else None
        terminate = draw.random() < 0.5
        self.order(
            draw.choice(
                [
                    orders.Suspend(ticket, where, False),
                    orders.Resume(ticket, where, False),
                    orders.Suspend(ticket, node, True),
                    orders.Resume(ticket, None, True),
                    orders.CloseOneServer(ticket, where, terminate, draw.random() < 0.7),
                    orders.CloseNode(ticket, node, terminate),
                    orders.RestartOneNode(ticket, node, terminate, None),
                    orders.AbandonZombie(ticket, node, terminate),
                    orders.EnableNode(ticket, node, None),
                    orders.EnableServer(ticket, where, None),
                ]
            )
        )


class Cluster:
    """One run. The machines' classes are arguments: tests plant faults by deriving from them.

    only  the verbs of chaos, by name; None: all of them.
    """

    def __init__(
        self,
        seed: int,
        *,
        nodes: int = 2,
        cpus: int = 2,
        shared: bool = True,
        limits: Limits = LIMITS,
        scheduler_machine: type[SchedulerMachine] = SchedulerMachine,
        node_machine: type[NodeMachine] = NodeMachine,
        fleet: type[Fleet] = Fleet,
        execution: type[Execution] = Execution,
        scheduler: type[Scheduler] = Scheduler,
        only: Sequence[str] | None = None,
    ) -> None:
        self.world = World(seed, limits=limits)
        self.random = self.world.random
        self.scheduler_machine = scheduler_machine
        self.node_machine = node_machine
        self.fleet = fleet
        self.execution = execution
        self.numbers = itertools.count(1)
        self.setup_kills = self.setup_fails = self.fork_fails = 0.0
        self.slow_files = 0.0  # seconds that work on files takes at most, beside the usual
        self.only = only
        self.clients: list[Client] = []
        self.leases: dict[int, int] = {}  # lease -> reservation
        self.max_lease = 0
        self.leases_at: dict[Incarnation, int] = {}  # node -> highest
        self.highest_clock = 0.0  # seconds that the scheduler's clock was ever ahead
        self.clock_back = False  # and the journal lost: then numbers rise at each node, and no further
        self.begun: dict[tuple[Incarnation, int, int], str] = {}
        self.nodes = [Node(self, number, cpus) for number in range(1, nodes + 1)]
        self.scheduler = scheduler(self)
        self.shared = shared

    @property
    def schedulers(self) -> list[Process]:
        return [self.scheduler, *(client for client in self.clients if client.private)]

    # What nobody else can judge.

    def leased(self, node: Incarnation, message: m.Reserve) -> None:
        assert message.lease > self.max_lease or self.clock_back, (
            f"lease {message.lease} after {self.max_lease} (R-35)"
        )
        highest = self.leases_at.get(node, 0)
        assert message.lease > highest, f"lease {message.lease} of a node that had {highest} (R-35)"
        self.leases_at[node] = message.lease
        self.max_lease = message.lease
        self.leases[message.lease] = message.reservation

    def server_starts(self, server: Server) -> None:
        for other in server.zygote.node.servers:
            if other is not server:
                assert other.client == server.client, (
                    f"{server.name} and {other.name}: two clients on one node"
                )
                assert other.reservation == server.reservation

    def lease_of(self, server: Server) -> int:
        tenancy = server.zygote.node.machine._tenancy
        assert tenancy is not None
        return tenancy.lease

    def began(self, server: Server, spec: Any) -> None:
        key = (server.client, spec.id, spec.attempt)
        assert key not in self.begun, f"attempt {key} began at {self.begun[key]} and {server.name}"
        self.begun[key] = server.name
        client = self.client_of(server.client)
        if client is not None and spec.id in client.ledger.allowed:
            client.ledger.began(spec.id, spec.attempt, server.name)

    def read_page(self, server: Server) -> tuple[int, int]:
        return server.page

    def client_of(self, incarnation: Incarnation) -> Client | None:
        for client in self.clients:
            if client.alive and client.incarnation == incarnation:
                return client
        return None

    # A run.

    def add_client(self, number: int, **values: Any) -> Client:
        client = Client(self, number, private=not self.shared)
        for name, value in values.items():
            setattr(client, name, value)
        self.clients.append(client)
        return client

    def start(self, within: float = 0.0) -> None:
        """Everything in random order (R-76)."""
        parts: list[Process] = [*self.nodes, *self.clients]
        if self.shared:
            parts.append(self.scheduler)
        self.random.shuffle(parts)
        for part in parts:
            self.world.plan(self.random.uniform(0, within), part.start)

    def restart(self, process: Process) -> None:
        if process.condition in (Condition.NEW, Condition.DEAD):
            process.start()

    def chaos(self, duration: float, mean: float = 3.0) -> Chaos:
        if self.only is not None:
            return Chaos(
                self.world, [getattr(self, verb) for verb in self.only], mean=mean, duration=duration
            )
        verbs = [
            self.kill_server,
            self.kill_server,
            self.slow_link,
            self.slow_link,
            self.sleep,
            self.kill_zygote,
            self.kill_node,
            self.kill_client,
            self.freeze,
            self.freeze_node,
            self.cut,
            self.cut_one_way,
            self.manage,
            self.manage,
            self.manage,
        ]
        if self.shared:
            verbs += [self.kill_scheduler, self.fill_disk, self.lose_journal, self.slow_disk, self.set_clock]
        return Chaos(self.world, verbs, mean=mean, duration=duration)

    def pick(self, processes: Sequence[Process]) -> Process | None:
        alive = [process for process in processes if process.alive]
        return self.random.choice(alive) if alive else None

    def kill_server(self) -> None:
        if victim := self.pick([server for node in self.nodes if node.alive for server in node.servers]):
            victim.kill()

    def kill_zygote(self) -> None:
        if victim := self.pick([node.zygote for node in self.nodes if node.alive and node.zygote]):
            victim.kill()

    def kill_and_restart(self, process: Process | None) -> None:
        if process is not None:
            process.kill()
            self.world.plan(self.random.uniform(0.05, 4), self.restart, process)

    def kill_node(self) -> None:
        self.kill_and_restart(self.pick(self.nodes))

    def fill_disk(self) -> None:
        if not self.scheduler.full:
            self.scheduler.fill(self.random.uniform(0.1, 10))

    def lose_journal(self) -> None:
        if victim := self.pick([self.scheduler]):
            victim.kill()
            self.scheduler.kept, self.scheduler.places = {}, {}
            self.scheduler.former, self.scheduler.lost = frozenset(), True
            self.scheduler.last_lease, self.scheduler.failed = 0, True
            self.world.plan(self.random.uniform(0.05, 4), self.restart, victim)

    def slow_disk(self) -> None:
        """Of the scheduler and of nodes."""
        self.scheduler.slow = self.random.uniform(0.01, 3)
        self.slow_files = self.random.uniform(0, 6)
        self.world.plan(self.random.uniform(0.5, 8), self.disks_as_usual)

    def disks_as_usual(self) -> None:
        self.scheduler.slow = self.slow_files = 0.0

    def set_clock(self) -> None:
        """The wall clock by which a scheduler without a journal counts its leases."""
        by = self.random.choice((3600.0, 86400.0)) * self.random.choice((1, -1))
        self.world.set_clock(self.scheduler.host, by)
        self.highest_clock = max(self.highest_clock, self.world.wall[self.scheduler.host])

    def sleep(self) -> None:
        """Somebody closes the lid."""
        self.world.sleep(self.random.choice(self.hosts()), self.random.uniform(0.5, 20))

    def slow_link(self) -> None:
        links = [link for link in self.world.links if not link.over]
        if links:
            link, side = self.random.choice(links), self.random.randrange(2)
            self.world.slow(link, side, self.random.uniform(0.05, 0.95) * self.world.limits.suspect_after)
            self.world.plan(self.random.uniform(0.5, 10), self.world.slow, link, side, 0.0)

    def kill_scheduler(self) -> None:
        self.kill_and_restart(self.pick([self.scheduler]))

    def kill_client(self) -> None:
        if victim := self.pick(self.clients):
            victim.kill()

    def freeze(self) -> None:
        processes: list[Process] = [*self.nodes, *self.clients, self.scheduler]
        processes += [server for node in self.nodes if node.alive for server in node.servers]
        if victim := self.pick(processes):
            victim.freeze()
            self.world.plan(self.random.uniform(0.1, 12), victim.thaw)

    def freeze_node(self) -> None:
        node = self.pick(self.nodes)
        if node is not None:
            assert isinstance(node, Node)
            everybody = [node, *([node.zygote, *node.servers] if node.zygote else [])]
            for process in everybody:
                process.freeze()
            self.world.plan(self.random.uniform(1, 12), lambda: [process.thaw() for process in everybody])

    def hosts(self) -> list[str]:
        hosts = [process.host for process in [*self.nodes, *self.clients]]
        return [*hosts, self.scheduler.host] if self.shared else hosts

    def cut(self, both: bool = True) -> None:
        one, other = self.random.sample(self.hosts(), 2)
        self.world.cut(one, other, both=both)
        self.world.plan(self.random.uniform(0.1, 12), self.world.heal, one, other)

    def cut_one_way(self) -> None:
        self.cut(both=False)

    def manage(self) -> None:
        client = self.pick(self.clients)
        if client is not None:
            assert isinstance(client, Client)
            client.call(client.incarnation, client.manage, ())

    def settle(self, seconds: float = 200.0) -> None:
        """Faults are over: every client has its turn and ends, every node is free again."""
        self.world.calm()
        self.setup_kills = self.setup_fails = self.fork_fails = 0.0
        self.disks_as_usual()
        for process in [*self.nodes, *([self.scheduler] if self.shared else [])]:
            self.restart(process)
        # A user who suspended everything, or gave every node back, waits for ever by choice.
        for client in self.clients:
            if client.alive:
                client.after(0.0, self.encourage, client)
        if self.shared:
            self.world.plan(1.0, self.watch_turn, self.world.now)
        if not self.world.run(seconds, lambda: all(client.done for client in self.clients)):
            now = self.world.now
            waiting = [c for c in self.clients if not c.done]
            raise AssertionError(f"at {now:.1f}: " + "; ".join(f"{c.name}: {self.why(c)}" for c in waiting))
        free = lambda: all(node.machine.state is NodeState.FREE for node in self.nodes)  # noqa: E731
        # H is longer: whose client is proved dead waits for no silence.
        if not self.world.run(20, free):
            held = [(n.name, n.machine.state, n.machine.status()["why"]) for n in self.nodes]
            raise AssertionError(f"nodes are not free: {held}")
        if self.shared:
            assert self.world.run(40, lambda: self.scheduler.machine.active is None), (
                "a turn without a client"
            )

    def watch_turn(self, alive_at: float) -> None:
        """No dead client holds the cluster for more than 15 seconds while others wait (R-19, R-78)."""
        machine = self.scheduler.machine
        active = machine.active if self.scheduler.alive else None
        if active is None or not machine.queue or self.client_of(active.incarnation) is not None:
            alive_at = self.world.now
        assert self.world.now - alive_at < 15.0, "a dead client keeps its turn (R-78)"
        self.world.plan(1.0, self.watch_turn, alive_at)

    def encourage(self, client: Client) -> None:
        if not client.ended and client.scheduled:
            for node in list(client.fleet.nodes_held.values()):
                client.order(orders.EnableNode(next(client.tickets), node.location, None))
                client.order(orders.Resume(next(client.tickets), node.location, True))
                for location in [server.location for server in node.servers.values()]:
                    client.order(orders.Resume(next(client.tickets), location, False))
                    client.order(orders.EnableServer(next(client.tickets), location, None))
            if not client.fleet.crew.usable:
                client.after(5.0, self.encourage_or_close, client, client.rounds)

    def encourage_or_close(self, client: Client, round: int) -> None:
        fleet = client.fleet
        if client.rounds == round and not client.ended and fleet.turn.reservation and not fleet.crew.usable:
            # It has closed its nodes itself: it has a reason, and only leaving helps.
            assert fleet.why(client.now), "no usable server, and no reason (S6)"
            client.close(True)
            client.feed(client.dispatch, submission.CloseNow("the program gives up"))
            client.order(orders.CloseAll(next(client.tickets), True))

    def why(self, client: Client) -> str:
        text = f"{client.fleet.turn.state.value}, {client.fleet.why(client.now)!r}"
        return f"{text}, tasks {client.ledger.open}, closing {client.closing}"


def run(
    seed: int,
    *,
    faults: float = 25.0,
    clients: int = 3,
    twice: float | None = None,
    lost: float | None = None,
    **options: Any,
) -> Cluster:
    """Clients with random wishes, random faults, then calm; every rule is checked on the way.

    twice, lost  how likely a message is heard twice, or not, of such as that may happen to; None: by chance.
    """
    cluster = Cluster(seed, **options)
    draw = cluster.random
    if faults:
        cluster.setup_kills, cluster.setup_fails, cluster.fork_fails = 0.03, 0.01, 0.05
        disturb(cluster.world, twice, lost)
    for number in range(1, clients + 1):
        cluster.add_client(
            number,
            options={
                "disable_nodes": draw.random() < 0.2,
                "disable_servers": draw.random() < 0.2,
                "restart_servers": draw.random() < 0.3,
                "abandon_zombies": draw.random() < 0.4,
                "files": draw.random() < 0.2,
                "node_setup": Payload(b"setup"),
            },
            terminate=draw.random() < 0.3,
            tasks=draw.randint(0, 12),
            work=draw.uniform(0, 8),
            again=draw.choice((0, 0, 1)),
        )
    cluster.start(within=1.0 if draw.random() < 0.7 else 6.0)
    if faults:
        cluster.chaos(faults)
    cluster.world.run(max(faults, 7.0))  # all were started by then
    cluster.settle()
    return cluster


__all__ = ["Client", "Cluster", "End", "run"]
