"""A cluster in the World that has only the two machines of tasks: `Dispatch` and `Execution`.

The fleet of the client, the daemon of a node and the kernel of a server are a few plain lines
each here: enough to have servers come, vanish, fall silent and close. What a task does is
written in its arguments, see `Behaviour`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dispycos import messages
from dispycos.client import events as servers
from dispycos.client import submission
from dispycos.client.dispatch import Dispatch
from dispycos.client.submission import Submission
from dispycos.config import Limits
from dispycos.events import Dial, Heard, PeerBack, PeerGone, PeerSuspect, PeerUp
from dispycos.model import CLIENT_MADE, CodeHash, End, Incarnation, Location, Outcome, Role, TaskSpec
from dispycos.node import attempts
from dispycos.node.execution import Execution
from dispycos.testing import Chaos, Ledger, Process, World
from tests.sim.kinds import disturb
from tests.sim.servers import Behaviour, ServerProcess, payload

# Short times, so that a run of a few virtual minutes sees every one of them pass.
LIMITS = Limits(keepalive=0.3, suspect_after=1.0, refusal_window=1.0, redial_max_suspect=0.5, grace=1.0)
LEASE = 3.0  # seconds
PULSE = 1.0
FUNCTION = CodeHash(b"f" * 16)


class Server(ServerProcess):
    """A server: what it takes and begins is judged here, apart from its machine."""

    def __init__(self, cluster: Cluster, node: Node, number: int, port: int) -> None:
        super().__init__(
            cluster.world, f"{node.name}s{number}", location=Location(node.location.addr, port), parent=node
        )
        self.cluster = cluster
        self.node = node

    def boot(self) -> None:
        execution = self.cluster.execution(self.cluster.client.incarnation, self.cluster.world.limits)
        if self.cluster.plant is not None:
            self.cluster.plant(self, execution)
        self.run(execution)
        self.lease_ends = 0.0
        self.begins: dict[int, float] = {}  # task -> when it began here, by our clock
        self.disturbed = False  # it was frozen or cut off: its answers may be late

    def feed(self, machine: Any, event: Any) -> None:
        # What the server may take and begin, judged apart from its machine (S2, R-18).
        if isinstance(event, attempts.LeaseGiven) and event.number >= self.execution.lease:
            self.lease_ends = self.now + event.seconds
        stale = False
        if isinstance(event, Heard) and isinstance(event.message, messages.Submit):
            if self.random.random() < self.cluster.losses:
                self.world.record(self.name, "loses", event)
                return
            stale = event.message.lease != self.execution.lease
        before = self.execution.begun + self.execution.begun_io
        super().feed(machine, event)
        begun = self.execution.begun + self.execution.begun_io
        assert not stale or begun == before, f"{self.name} took tasks under another lease"

    def runs(self, id: int, attempt: int) -> bool:
        return id in self.holds and self.holds[id].attempt == attempt

    @property
    def random(self) -> Any:
        return self.world.random

    def machines_for(self, event: Any) -> Sequence[Any]:
        peer = event.peer if isinstance(event, Heard | PeerUp | PeerGone | PeerBack | PeerSuspect) else None
        return [] if isinstance(event, PeerUp) and peer != self.cluster.client.incarnation else self.machines

    def judge(self, spec: TaskSpec) -> None:
        begun = self.cluster.ledger.begun.get(spec.id, {})
        self.begins[spec.id] = self.now
        if self.cluster.losses and spec.attempt in begun:
            # A Submit that never arrived shifted the positions of a server that died before the next
            # comparison: what it had begun looks as if it had not. No session loses one (N2).
            return
        self.cluster.ledger.began(spec.id, spec.attempt, self.name)
        cpu = [running for running in self.holds.values() if not running.io]
        assert spec.io or not cpu, f"{self.name} runs two CPU tasks at once: {cpu}"
        assert self.now < self.lease_ends, f"{self.name} begins a task without a lease"

    def interrupt(self, id: int) -> None:
        attempt = self.execution._tasks.get(id)
        if attempt is not None and attempt.wanted is End.TIMED_OUT:
            ran = self.now - self.begins[id]
            assert ran > attempt.spec.timeout - 0.1, f"task {id} is timed out after {ran:.2f} s (R-25)"
        super().interrupt(id)

    def say(self, peer: Incarnation, message: Any) -> None:
        super().say(peer, message)
        if isinstance(message, messages.SubmitRefused | messages.Recalled):
            self.cluster.given_back.update(message.ids)
        if isinstance(message, messages.Finished):
            self.after(0.1, self.kill, "exit code 0")


class Node(Process):
    """A daemon: has its servers live, proves their deaths, renews their leases."""

    roles = Role.NODE

    def __init__(self, cluster: Cluster, number: int, count: int) -> None:
        super().__init__(cluster.world, f"n{number}", location=Location(f"10.0.{number}.1", 9706))
        self.cluster = cluster
        self.count = count
        self.lease = 0
        self.renewing = True
        self.ports = 9706

    def boot(self) -> None:
        self.renewing = True
        self.cluster.leases += 1
        self.lease = self.cluster.leases
        self.after(0.0, self.pulse)
        for number in range(1, self.count + 1):
            self.after(self.world.delay(), self.fork, number)

    def fork(self, number: int) -> None:
        self.ports += 1
        server = Server(self.cluster, self, number, self.ports)
        server.start()
        if self.renewing:
            server.feed(server.execution, attempts.LeaseGiven(self.lease, LEASE))
        self.tell(messages.ServerStarted(1, self.facts(server)))

    def facts(self, server: Server) -> messages.ServerFacts:
        assert server.location is not None
        return messages.ServerFacts(server.incarnation, server.location, 1, 1, *server.page)

    def tell(self, message: Any) -> None:
        self.say(self.cluster.client.incarnation, message)

    def pulse(self) -> None:
        if self.renewing:
            for server in self.servers:
                # Over the parent's pipe: a frozen server sees it late.
                server.call(server.incarnation, self.give, (server, self.lease))
        facts = [self.facts(server) for server in self.servers]
        self.tell(messages.NodeReport(1, messages.Avail(), facts, self.lease, LEASE * self.renewing))
        self.after(PULSE, self.pulse)

    def give(self, server: Server, lease: int) -> None:
        server.feed(server.execution, attempts.LeaseGiven(lease, LEASE))

    @property
    def servers(self) -> list[Server]:
        return [child for child in self.children if isinstance(child, Server) and child.alive]

    def hear(self, event: Any) -> None:
        if isinstance(event, PeerUp):
            self.tell(messages.LeaseRenewed(1, self.incarnation, self.lease))
            for server in self.servers:
                self.tell(messages.ServerStarted(1, self.facts(server)))
        elif isinstance(event, Heard) and isinstance(event.message, messages.CloseServer):
            for server in self.servers:
                if server.incarnation == event.message.server:
                    server.kill(f"killed by signal 9 (SIGKILL), asked: {event.message.reason}")

    def child_exited(self, child: Process, reason: str) -> None:
        assert isinstance(child, Server)
        assert child.location is not None
        begun, begun_io = self.cluster.read_page(child)
        ended = messages.ServerEnded(
            1, child.incarnation, child.location, False, True, reason, begun, begun_io
        )
        self.tell(ended)
        self.after(0.2, self.fork, 1)

    # Faults.

    def lapse(self) -> None:
        """The lease is not renewed for a while, then anew under the next number."""
        if self.renewing:
            self.renewing = False
            self.after(LEASE + 6 * self.world.random.random(), self.renew)

    def renew(self) -> None:
        self.renewing = True
        self.cluster.leases += 1
        self.lease = self.cluster.leases
        for server in self.servers:
            server.call(server.incarnation, self.give, (server, self.lease))
        self.tell(messages.LeaseRenewed(1, self.incarnation, self.lease))


class Client(Process):
    """The client: its dispatch, and a fleet that tells it what the nodes say."""

    roles = Role.CLIENT

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster.world, "client", location=Location("10.0.0.1", 9705))
        self.cluster = cluster
        self.suspects: set[Incarnation] = set()
        self.node_of: dict[Incarnation, Incarnation] = {}  # server -> node, also before it is usable
        self.usable: set[Incarnation] = set()
        self.leases: dict[Incarnation, int] = {}
        self.placed: dict[int, Incarnation] = {}
        self.flushing = False

    def boot(self) -> None:
        self.dispatch = self.cluster.dispatch(self.world.limits)
        self.machines = [self.dispatch]

    def hear(self, event: Any) -> None:
        if isinstance(event, Heard):
            self.heard(event)
        elif isinstance(event, PeerUp) and Role.NODE in event.roles:
            self.tell(submission.NodeExpected(event.peer))
        elif isinstance(event, PeerUp) and event.peer in self.node_of:
            self.usable.add(event.peer)
            node = self.node_of[event.peer]
            self.tell(servers.ServerUsable(event.peer, node, self.leases.get(node, 0)))
            if node in self.suspects:
                self.tell(servers.ServerSuspect(event.peer))
        elif isinstance(event, PeerSuspect | PeerBack):
            self.suspicion(event.peer, isinstance(event, PeerSuspect))
        elif isinstance(event, PeerGone):
            self.lost(event)

    def tell(self, event: Any) -> None:
        self.feed(self.dispatch, event)
        self.plan_flush()

    def heard(self, event: Heard) -> None:
        message = event.message
        if isinstance(message, messages.ServerStarted):
            if message.server.incarnation not in self.cluster.gone:
                self.node_of[message.server.incarnation] = event.peer
                self.world.dial(self, Dial(message.server.location))
        elif isinstance(message, messages.ServerEnded):
            self.world.stop_dialling(self, message.location)
            self.gone(message.server, message.reason, message.begun, message.begun_io, End.SERVER_LOST)
        elif isinstance(message, messages.LeaseRenewed | messages.NodeReport):
            # Whichever is lost, the other says it too.
            if message.lease > self.leases.get(event.peer, 0):
                self.leases[event.peer] = message.lease
                for server in self.of_node(event.peer):
                    self.tell(servers.LeaseChanged(server, message.lease))
            if isinstance(message, messages.NodeReport):
                self.tell(event)
        else:
            self.tell(event)

    def of_node(self, node: Incarnation) -> list[Incarnation]:
        return [server for server, home in self.node_of.items() if home == node and server in self.usable]

    def suspicion(self, peer: Incarnation, suspect: bool) -> None:
        (self.suspects.add if suspect else self.suspects.discard)(peer)
        for server in [peer, *self.of_node(peer)]:
            if server in self.usable:
                quiet = server in self.suspects or self.node_of[server] in self.suspects
                self.tell(servers.ServerSuspect(server) if quiet else servers.ServerBack(server))

    def lost(self, event: PeerGone) -> None:
        # A server's death is its node's to prove; a node's death takes its servers along.
        for server in self.of_node(event.peer):
            self.gone(server, f"its node is gone: {event.reason}", -1, -1, End.NODE_LOST)
        if event.peer in self.leases:
            self.tell(submission.NodeGone(event.peer, event.reason))
            del self.leases[event.peer]

    def gone(self, server: Incarnation, reason: str, begun: int, begun_io: int, end: End) -> None:
        self.cluster.gone.add(server)
        self.node_of.pop(server, None)
        if server in self.usable:
            self.usable.remove(server)
            self.tell(servers.ServerGone(server, reason, begun, begun_io, end))

    def abandon(self) -> None:
        """Give up the servers that are not heard."""
        for server in [server for server in self.usable if server in self.suspects]:
            node = self.node_of[server]
            reason = "its silent node was given up by choice"
            self.gone(server, reason, -1, -1, End.ABANDONED)
            # Its node ends it when it hears of that; until then it runs on.
            self.say(node, messages.CloseServer(1, server, True, 0.0, reason))

    def perform(self, machine: Any, action: Any) -> None:
        if isinstance(action, submission.Ended):
            assert not self.dispatch.lives(action.task.id)
            self.cluster.ended(action)
        elif isinstance(action, submission.Placed):
            assert action.server in self.usable
            self.placed[action.task.id] = action.server
        elif isinstance(action, submission.EndServer):
            node = self.node_of[action.server]
            alive = [server for server in self.cluster.servers if server.incarnation == action.server]
            # A server that can answers before the client has it ended.
            lost = self.cluster.losses > 0
            assert lost or all(server.disturbed for server in alive), f"ended without need: {action.reason}"
            self.say(node, messages.CloseServer(1, action.server, True, 0.0, action.reason))
        elif not isinstance(action, submission.Drained | submission.AllDone):
            super().perform(machine, action)

    def plan_flush(self) -> None:
        if not self.flushing:
            self.flushing = True
            self.after(self.world.random.choice((0.0, 0.0003)), self.flush)

    def flush(self) -> None:
        self.flushing = False
        self._carry_out(self.dispatch, self.dispatch.flush(self.now))

    # What the program does.

    def submit(self, task: Submission) -> None:
        self.cluster.tasks[task.id] = task
        self.cluster.ledger.submitted(task.id, 1 + task.retries)
        self.act(self.dispatch, self.dispatch.submit, task)
        self.plan_flush()

    def cancel(self, id: int) -> None:
        lived = self.dispatch.lives(id)
        will, actions = self.dispatch.cancel(id, "cancelled by the program", self.now)
        assert will == lived
        self._carry_out(self.dispatch, actions)
        self.plan_flush()


class Cluster:
    """One run: a client, some nodes, tasks, and what happened to them.

    dispatch, execution  the machines' classes; tests plant faults by deriving from them.
    only                 the verbs of chaos, by name; None: all of them.
    plant                does something to the machine of each server that starts.
    """

    def __init__(
        self,
        seed: int,
        *,
        nodes: int = 2,
        count: int = 2,
        dispatch: type[Dispatch] = Dispatch,
        execution: type[Execution] = Execution,
        lost_page: bool = False,
        losses: float = 0.0,
        limits: Limits = LIMITS,
        only: Sequence[str] | None = None,
        plant: Callable[[Server, Any], None] | None = None,
    ) -> None:
        self.world = World(seed, limits=limits)
        self.random = self.world.random
        self.dispatch = dispatch
        self.execution = execution
        self.lost_page = lost_page  # a planted fault: nodes read zeros
        self.only = only
        self.plant = plant
        self.losses = losses  # share of Submits that never arrive, as no session may do it
        self.ledger = Ledger()
        self.tasks: dict[int, Submission] = {}
        self.outcomes: dict[int, Outcome] = {}
        self.poisoned: set[int] = set()
        self.gone: set[Incarnation] = set()
        # A server that dies before its answer is heard may have begun later ones: then these
        # count as begun, for nobody can tell. Once too few is the safe side.
        self.given_back: set[int] = set()
        self.leases = 0
        self.client = Client(self)
        self.nodes = [Node(self, number, count) for number in range(1, nodes + 1)]
        self.client.start()
        for node in self.nodes:
            node.start()
            self.world.dial(self.client, Dial(node.location))

    @property
    def servers(self) -> list[Server]:
        return [server for node in self.nodes for server in node.servers]

    def read_page(self, server: Server) -> tuple[int, int]:
        return (0, 0) if self.lost_page else server.page

    def ended(self, action: submission.Ended) -> None:
        outcome = action.outcome
        begun = self.ledger.begun.get(outcome.id, {})
        assert max(begun, default=0) <= outcome.attempt, f"an old attempt ends task {outcome.id}: {outcome}"
        if outcome.end in (End.CANCELLED, End.TIMED_OUT) and "given up" not in outcome.text:
            # One that sleeps computes nothing, and has ended before it could go on.
            awake = [server for server in self.servers if server.running]
            runs = [server.name for server in awake if server.runs(outcome.id, outcome.attempt)]
            assert not runs, f"task {outcome.id} is {outcome.end.name} and still runs at {runs} (R-97)"
        self.ledger.ended(outcome.id, outcome.end)
        self.outcomes[outcome.id] = outcome
        if action.poisoned:
            self.poisoned.add(outcome.id)
        if outcome.end is not End.FINISHED:
            text = outcome.text
            assert 20 <= len(text) <= self.world.limits.max_reason_chars, (
                f"{outcome.end.name}: {text!r} (R-32)"
            )
        if (
            outcome.end is End.SERVER_LOST
            and "while it ran" in outcome.text
            and "no record" not in outcome.text
        ):
            # A Submit that never arrived shifts positions until the next comparison: then it looks begun.
            assert outcome.attempt in begun or outcome.id in self.given_back or self.losses, (
                f"attempt {outcome.attempt} of {outcome.id} was lost and never began"
            )
        assert self.losses or "no record" not in outcome.text, f"{outcome} of a task that nobody lost"
        if outcome.end is End.REJECTED:
            assert not begun, f"task {outcome.id} was rejected after it began"

    # A random program.

    def submit(
        self, behaviour: Behaviour = Behaviour.RETURN, seconds: float = 0.01, **options: Any
    ) -> Submission:
        task = Submission(
            CLIENT_MADE | len(self.tasks) + 1,
            FUNCTION,
            payload(behaviour, seconds),
            name=behaviour.name,
            **options,
        )
        self.client.submit(task)
        return task

    def submit_random(self) -> None:
        draw = self.random
        kinds = [Behaviour.RETURN] * 12 + [
            Behaviour.RAISE,
            Behaviour.CATCH,
            Behaviour.KILL,
            Behaviour.STUBBORN,
        ]
        behaviour = draw.choice([*kinds, Behaviour.STUCK])
        seconds = draw.choice((0.0001, 0.001, 0.02, 0.5, draw.uniform(0, 5)))
        options: dict[str, Any] = {
            "io": draw.random() < 0.2,
            "priority": draw.choice((0, 0, 0, 1, -1)),
            "retries": draw.choice((0, 0, 1, 3, 5)),
        }
        if draw.random() < 0.15 and self.client.usable:
            options["where"] = draw.choice(sorted(self.client.usable))
        elif draw.random() < 0.15 and self.client.leases:
            options["where"] = draw.choice(sorted(self.client.leases))
        # These never end of themselves.
        if behaviour is Behaviour.STUCK or draw.random() < 0.1:
            options["timeout"] = draw.uniform(0.5, 3)
        if draw.random() < 0.1:
            options["pinned"] = True
        task = self.submit(behaviour, seconds, **options)
        if draw.random() < 0.15:
            self.client.after(draw.uniform(0, 2), self.client.cancel, task.id)

    def submit_randomly(self, count: int, within: float) -> None:
        for _ in range(count):
            self.client.after(self.random.uniform(0, within), self.submit_random)

    # Faults.

    def chaos(self, duration: float) -> Chaos:
        verbs = [
            self.kill_server,
            self.kill_server,
            self.restart_node,
            self.cut,
            self.cut_one_way,
            self.slow_link,
            self.slow_link,
            self.freeze_server,
            self.freeze_node,
            self.sleep,
            self.set_clock,
            self.lapse,
            self.suspend,
            self.close_server,
            self.cut_and_abandon,
        ]
        if self.only is not None:
            verbs = [getattr(self, verb) for verb in self.only]
        return Chaos(self.world, verbs, mean=duration / 8, duration=duration)

    def kill_server(self) -> None:
        if self.servers:
            self.random.choice(self.servers).kill()

    def restart_node(self) -> None:
        node = self.random.choice(self.nodes)
        if node.alive:
            node.kill()
            self.world.plan(self.random.uniform(0.1, 3), self.start_node, node)

    def start_node(self, node: Node) -> None:
        if not node.alive:
            node.start()
            self.world.dial(self.client, Dial(node.location))

    def disturb(self, process: Process) -> None:
        for server in process.servers if isinstance(process, Node) else [process]:
            server.disturbed = True

    def cut(self) -> None:
        node = self.random.choice(self.nodes)
        self.disturb(node)
        self.world.cut("client", node.name)
        self.world.plan(self.random.uniform(0.1, 10), self.world.heal, "client", node.name)

    def cut_one_way(self) -> None:
        node = self.random.choice(self.nodes)
        self.disturb(node)
        pair = ["client", node.name]
        self.random.shuffle(pair)
        self.world.cut(*pair, both=False)
        self.world.plan(self.random.uniform(0.1, 10), self.world.heal, *pair)

    def slow_link(self) -> None:
        links = [link for link in self.world.links if not link.over]
        if links:
            link, side = self.random.choice(links), self.random.randrange(2)
            for end in link.ends:
                if isinstance(end, Node | Server):
                    self.disturb(end)
            self.world.slow(link, side, self.random.uniform(0.05, 0.95) * self.world.limits.suspect_after)
            self.world.plan(self.random.uniform(0.5, 10), self.world.slow, link, side, 0.0)

    def sleep(self) -> None:
        """Somebody closes the lid of one machine."""
        host = self.random.choice([self.client.host, *(node.host for node in self.nodes)])
        for node in self.nodes:
            self.disturb(node)
        self.world.sleep(host, self.random.uniform(0.5, 20))

    def set_clock(self) -> None:
        """Somebody sets a wall clock, by which nothing here goes (R-25)."""
        host = self.random.choice([self.client.host, *(node.host for node in self.nodes)])
        self.world.set_clock(host, self.random.choice((3600.0, 86400.0)) * self.random.choice((1, -1)))

    def freeze(self, process: Process) -> None:
        self.disturb(process)
        process.freeze()
        self.world.plan(self.random.uniform(0.1, 10), process.thaw)

    def cut_and_abandon(self) -> None:
        self.cut()
        self.client.after(self.random.uniform(1, 4), self.client.abandon)

    def freeze_server(self) -> None:
        if self.servers:
            self.freeze(self.random.choice(self.servers))

    def freeze_node(self) -> None:
        node = self.random.choice(self.nodes)
        for server in node.servers:
            self.freeze(server)
        self.freeze(node)

    def lapse(self) -> None:
        node = self.random.choice(self.nodes)
        if node.running:
            node.lapse()

    def suspend(self) -> None:
        if self.client.usable:
            server = self.random.choice(sorted(self.client.usable))
            self.client.tell(servers.ServerSuspended(server))
            self.client.after(self.random.uniform(0, 3), self.client.tell, servers.ServerResumed(server))

    def close_server(self) -> None:
        if self.client.usable:
            server = self.random.choice(sorted(self.client.usable))
            self.client.tell(servers.ServerClosing(server, terminate=self.random.random() < 0.5))

    # To the end.

    def settle(self, seconds: float = 120.0) -> None:
        """Faults are over: every task ends within that time, and the books balance."""
        self.world.calm()
        for node in self.nodes:
            self.start_node(node)
        done = self.world.run(seconds, lambda: not self.ledger.open)
        if not done:
            now = self.client.now
            stories = [self.client.dispatch.why_waiting(task, now) for task in self.ledger.open]
            raise AssertionError("tasks without an end: " + "; ".join(stories))
        self.ledger.balance()
        self.world.run(40)
        for server in self.servers:
            server.execution.check()
            assert not server.holds, f"{server.name} still runs {server.holds}"


def run(
    seed: int,
    *,
    tasks: int = 40,
    faults: float = 20.0,
    twice: float | None = None,
    lost: float | None = None,
    **options: Any,
) -> Cluster:
    """Random tasks and random faults, then calm; every rule is checked on the way.

    twice, lost  how likely a message is heard twice, or not, of such as that may happen to; None: by chance.
    """
    cluster = Cluster(seed, **options)
    cluster.submit_randomly(tasks, faults)
    if faults:
        disturb(cluster.world, twice, lost)
        cluster.chaos(faults)
    cluster.world.run(faults)
    cluster.settle()
    return cluster
