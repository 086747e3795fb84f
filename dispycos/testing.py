"""The World: whole clusters of machines in one process, on a virtual clock, from one seed.

A test derives from `Process` what its parties are made of (any objects with the shape that
`events.py` states), starts them in a `World`, lets faults happen and runs it. The World plays
what the I/O half promises: sessions between two incarnations whose messages arrive in order,
each exactly once, also across a cut (N2, R-40); PeerUp, PeerSuspect, PeerBack and PeerGone as
`events.py` describes them; a clock of its own for each process; timers; children that end with
their parent. What it may choose it draws from the seed: delays, which message of a killed
process still arrives, when a silence is noticed.

Each machine's `check()` runs after each of its events. `Ledger` keeps what no party may judge
of itself: each task one outcome, no attempt begun twice. The same seed gives the same trace;
`each_seed` prints the one command that replays a failing one (R-55).

For tests only; it opens nothing and waits for nothing.
"""

from __future__ import annotations

import enum
import heapq
import os
import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from dispycos.config import Limits
from dispycos.events import (
    Dial,
    DialFailed,
    Forget,
    Heard,
    Note,
    PeerBack,
    PeerGone,
    PeerSuspect,
    PeerUp,
    Say,
    StopDialling,
)
from dispycos.model import End, Incarnation, Location, Role

# A machine that asks for a tick at a time that has passed, again and again, would hang a process.
MAX_TICKS_AT_ONCE = 1000


class Machine(Protocol):
    """The shape of every machine; see `events`."""

    def handle(self, event: Any, now: float, /) -> Sequence[Any]: ...
    def tick(self, now: float, /) -> Sequence[Any]: ...
    def next_deadline(self) -> float | None: ...
    def check(self) -> None: ...


class Condition(enum.Enum):
    """How a process is."""

    NEW = "new"  # not started
    RUNNING = "running"
    FROZEN = "frozen"  # SIGSTOP: what comes waits, it sees nothing
    DEAD = "dead"


class Process:
    """One process: its incarnation, where it listens and the machines it runs.

    Derive from it: `boot` makes the machines (and draws on `self.incarnation`, which is drawn
    anew for each start); `perform` carries out the actions of a machine's own.
    """

    roles = Role.PEER

    def __init__(
        self,
        world: World,
        name: str,
        *,
        location: Location | None = None,
        host: str = "",
        parent: Process | None = None,
    ) -> None:
        self.world = world
        self.name = name
        self.location = location
        self.host: str = host or (parent.host if parent else name)
        self.parent = parent
        self.children: list[Process] = []
        self.incarnation = Incarnation(b"")
        self.condition = Condition.NEW
        self.machines: list[Machine] = []
        self.links: dict[Incarnation, Link] = {}
        self._skew = world.random.uniform(0, 1e6)  # clocks of two processes are never compared
        self._backlog: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._due: dict[int, float] = {}  # machine's id -> its earliest planned tick, World time
        self._ticks: tuple[float, int] = (0.0, 0)

    # For derived classes.

    def boot(self) -> None:
        """Make the machines; called at each start."""

    def perform(self, machine: Machine, action: Any) -> None:
        """Carry out an action that is the machine's own."""
        raise NotImplementedError(f"{self.name}: nobody carries out {action!r}")

    def machines_for(self, event: Any) -> Iterable[Machine]:
        """Which of the machines hear of this event: all of them, unless a derived class knows better."""
        return self.machines

    def accepts(self, peer: Process, reservation: int) -> str:
        """Why a session that `peer` dials is refused; "" takes it."""
        return ""

    def child_exited(self, child: Process, reason: str) -> None:
        """A child's process is gone; called in this process, after each one's death."""

    def check(self) -> None:
        """This party's own checker; called after each event in this process."""

    # What it can do.

    @property
    def now(self) -> float:
        """This process's own clock."""
        return self.world.now + self._skew

    @property
    def running(self) -> bool:
        return self.condition is Condition.RUNNING

    @property
    def alive(self) -> bool:
        return self.condition in (Condition.RUNNING, Condition.FROZEN)

    def after(self, delay: float, function: Callable[..., None], *args: Any) -> None:
        """Call it in this process, if this start of it still lives by then."""
        self.world.plan(delay, self._run, self.incarnation, function, args)

    def feed(self, machine: Machine, event: Any) -> None:
        """Let something happen to a machine, and carry out what it answers."""
        self.world.record(self.name, "event", event)
        self._carry_out(machine, machine.handle(event, self.now))

    def act(self, machine: Machine, step: Callable[..., Sequence[Any]], *args: Any) -> None:
        """Call a method of a machine as `step(*args, now)`, and carry out what it answers."""
        self._carry_out(machine, step(*args, self.now))

    def hear(self, event: Any) -> None:
        """Something happened to this process: its machines are told."""
        for machine in list(self.machines_for(event)):
            self.feed(machine, event)

    def say(self, peer: Incarnation, message: Any) -> None:
        self.world.record(self.name, "says", message)
        if peer == self.incarnation:
            self.after(0.0, self.hear, Heard(peer, message))
        elif link := self.links.get(peer):
            link.say(self, message)

    def _carry_out(self, machine: Machine, actions: Sequence[Any]) -> None:
        for action in actions:
            if isinstance(action, Say):
                self.say(action.peer, action.message)
            elif isinstance(action, Dial):
                self.world.dial(self, action)
            elif isinstance(action, StopDialling):
                self.world.stop_dialling(self, action.location)
            elif isinstance(action, Forget):
                if link := self.links.get(action.peer):
                    link.end(self, action.reason)
            elif isinstance(action, Note):
                self.world.record(self.name, "notes", action)
            else:
                self.world.record(self.name, "does", action)
                self.perform(machine, action)
        machine.check()
        self.check()
        self.replan(machine)

    def replan(self, machine: Machine) -> None:
        """See to it that the machine's next tick comes; needed after a call past `feed` and `act`."""
        deadline = machine.next_deadline()
        if deadline is None:
            return
        when = max(deadline - self._skew, self.world.now)
        planned = self._due.get(id(machine))
        if planned is None or when < planned:
            self._due[id(machine)] = when
            self.world.plan(when - self.world.now, self._run, self.incarnation, self._tick, (machine, when))

    def _tick(self, machine: Machine, when: float) -> None:
        if self._due.get(id(machine)) != when:
            return  # an earlier tick took its place
        del self._due[id(machine)]
        deadline = machine.next_deadline()
        # A deadline that moved on needs no tick now.
        if deadline is not None and deadline <= self.now + 1e-9:
            at, count = self._ticks
            self._ticks = (self.world.now, count + 1 if at == self.world.now else 1)
            assert self._ticks[1] < MAX_TICKS_AT_ONCE, f"{self.name}: {machine!r} ticks without end"
            # Rounding between the clocks must not leave a deadline a hair ahead of its tick.
            self._carry_out(machine, machine.tick(max(self.now, deadline)))
        else:
            self.replan(machine)

    def _run(self, incarnation: Incarnation, function: Callable[..., None], args: tuple[Any, ...]) -> None:
        if incarnation != self.incarnation or self.condition is Condition.DEAD:
            return
        if self.condition is Condition.FROZEN or self._backlog:
            self._backlog.append((function, args))
        else:
            function(*args)

    # What happens to it.

    def start(self) -> None:
        """Begin to run, as a new incarnation."""
        assert not self.alive, f"{self.name} runs already"
        if self.parent is not None:
            assert self.parent.alive, f"{self.name}: its parent {self.parent.name} does not live"
            if self not in self.parent.children:
                self.parent.children.append(self)
        self.incarnation = Incarnation(self.world.random.randbytes(16))
        self.condition = Condition.RUNNING
        self.links = {}
        self.machines = []
        self._due = {}
        self._backlog.clear()
        self.world.started(self)
        self.boot()
        for machine in self.machines:
            machine.check()
            self.replan(machine)

    def kill(self, reason: str = "killed by signal 9 (SIGKILL)") -> None:
        """End it at once, with its children; its parent is told a moment later."""
        if not self.alive:
            return
        self.world.record(self.name, "dies", reason)
        self.condition = Condition.DEAD
        for link in list(self.links.values()):
            link.died(self)
        self.links = {}
        self._backlog.clear()
        for child in list(self.children):
            child.kill("its parent ended")
        self.children.clear()
        parent = self.parent
        if parent is not None and parent.alive:
            if self in parent.children:
                parent.children.remove(self)
            parent.after(self.world.delay(), parent.child_exited, self, reason)

    def freeze(self) -> None:
        """SIGSTOP."""
        if self.condition is Condition.RUNNING:
            self.world.record(self.name, "freezes", "")
            self.condition = Condition.FROZEN
            for link in self.links.values():
                link.frozen(self)

    def thaw(self) -> None:
        """SIGCONT: it catches up with what came meanwhile."""
        if self.condition is not Condition.FROZEN:
            return
        self.world.record(self.name, "thaws", "")
        self.condition = Condition.RUNNING
        incarnation = self.incarnation
        while self._backlog and self.condition is Condition.RUNNING and self.incarnation == incarnation:
            function, args = self._backlog[0]
            function(*args)
            if self._backlog:
                self._backlog.popleft()
        if self.condition is Condition.RUNNING and self.incarnation == incarnation:
            for link in list(self.links.values()):
                link.thawed()


class Link:
    """The session between two incarnations, and the wire below it."""

    def __init__(self, world: World, one: Process, other: Process) -> None:
        self.world = world
        self.ends = (one, other)
        self.names = (one.incarnation, other.incarnation)
        self.connected = True  # False: the wire broke; both sides dial until it holds again
        self.over = False  # ended for good
        self.suspects = [False, False]  # does end i suspect the other end?
        self._queues: tuple[deque[Any], deque[Any]] = (deque(), deque())  # from end i, not yet arrived
        self._latest = [0.0, 0.0]  # when the newest message of that direction may arrive

    def side(self, process: Process) -> int:
        return 0 if self.names[0] == process.incarnation else 1

    def blocked(self, side: int) -> bool:
        """Nothing that end `side` sends arrives."""
        return (self.ends[side].host, self.ends[1 - side].host) in self.world.blocked

    @property
    def cut(self) -> bool:
        return self.blocked(0) or self.blocked(1)

    def lives(self, side: int) -> bool:
        end = self.ends[side]
        return end.alive and end.incarnation == self.names[side]

    def say(self, sender: Process, message: Any) -> None:
        side = self.side(sender)
        if not self.over:
            self._queues[side].append(message)
            self._plan_arrival(side)

    def _plan_arrival(self, side: int) -> None:
        when = max(self._latest[side], self.world.now + self.world.delay())
        self._latest[side] = when
        self.world.plan(when - self.world.now, self._arrive, side)

    def _arrive(self, side: int) -> None:
        # While the wire is down the message stays; the reconnection plans its arrival again.
        if self._queues[side] and self.connected and not self.over and not self.blocked(side):
            self._hand_over(side, Heard(self.names[side], self._queues[side].popleft()))

    def _hand_over(self, side: int, event: Any) -> None:
        """Give the event to the end opposite to `side`."""
        receiver = self.ends[1 - side]
        if self.lives(1 - side):
            receiver._run(self.names[1 - side], self._hear, (receiver, event))

    def _hear(self, receiver: Process, event: Any) -> None:
        # A session that its owner has forgotten says nothing more.
        if receiver.links.get(event.peer) is self:
            if isinstance(event, PeerGone):
                del receiver.links[event.peer]
            receiver.hear(event)

    def suspect(self, side: int) -> None:
        """End `side` begins to suspect the other."""
        if not self.suspects[side] and not self.over:
            self.suspects[side] = True
            self._hand_over(1 - side, PeerSuspect(self.names[1 - side]))

    def back(self, side: int) -> None:
        if self.suspects[side] and not self.over:
            self.suspects[side] = False
            self._hand_over(1 - side, PeerBack(self.names[1 - side]))

    def lose(self, side: int, reason: str) -> None:
        """End `side` is told that the other is gone; once."""
        if not self.over:
            self.over = True
            self._hand_over(1 - side, PeerGone(self.names[1 - side], reason))

    # Faults.

    def was_cut(self) -> None:
        for side in (0, 1):
            if self.blocked(1 - side):
                self.world.plan(self.world.silence(), self._silent, side)

    def _silent(self, side: int) -> None:
        """End `side` has not heard a byte for so long that it gives the connection up."""
        if self.over or not self.blocked(1 - side) or not self.lives(side):
            return
        self.connected = False
        self.suspect(side)
        # The other end's bytes are not acknowledged, so it gives up as well.
        self.world.plan(self.world.silence(), self._broken, 1 - side)

    def _broken(self, side: int) -> None:
        if not self.connected:
            self.suspect(side)

    def was_healed(self) -> None:
        if self.over or self.cut:
            return
        if not (self.lives(0) and self.lives(1)):
            self._refuse_soon()
        elif self.connected:
            # The wire held; what was sent meanwhile is sent again.
            for side in (0, 1):
                self._send_again(side)
            self.thawed()
        else:
            self.world.plan(
                self.world.random.uniform(0, self.world.limits.redial_max_suspect), self._reconnect
            )

    def _reconnect(self) -> None:
        if self.over or self.connected or self.cut or not (self.lives(0) and self.lives(1)):
            return
        if any(end.condition is Condition.FROZEN for end in self.ends):
            return  # a frozen process answers no dial; thawing tries again
        self.connected = True
        for side in (0, 1):
            self.back(side)
        for side in (0, 1):
            self._send_again(side)

    def _send_again(self, side: int) -> None:
        self._latest[side] = self.world.now
        for _ in self._queues[side]:
            self._plan_arrival(side)

    def frozen(self, process: Process) -> None:
        other = 1 - self.side(process)
        self.world.plan(self.world.silence(), self._frozen_long, other, process)

    def _frozen_long(self, side: int, process: Process) -> None:
        if process.condition is Condition.FROZEN:
            self.suspect(side)

    def thawed(self) -> None:
        """Bytes come again."""
        if self.connected:
            for side in (0, 1):
                self.world.plan(self.world.delay(), self._heard_again, side)
        else:
            self.was_healed()

    def _heard_again(self, side: int) -> None:
        if self.connected and not self.cut and self.ends[1 - side].condition is Condition.RUNNING:
            self.back(side)

    def died(self, process: Process) -> None:
        """This end's process ended: some of what it sent last still arrives, then its address refuses."""
        side = self.side(process)
        if self.connected and not self.blocked(side) and self._queues[side]:
            arriving = self.world.random.randint(0, len(self._queues[side]))
            for _ in range(arriving):
                self._hand_over(side, Heard(self.names[side], self._queues[side].popleft()))
        self._queues[0].clear()
        self._queues[1].clear()
        self.connected = False
        if process.host not in self.world.vanished:
            self._refuse_soon()
        else:
            self.world.plan(self.world.silence(), self.suspect, 1 - side)

    def _refuse_soon(self) -> None:
        for side in (0, 1):
            if self.lives(side):
                if not self.cut:
                    self.world.plan(self.world.delay(), self.suspect, side)
                wait = self.world.random.uniform(0.2, self.world.limits.refusal_window)
                self.world.plan(wait, self._refused, side)

    def _refused(self, side: int) -> None:
        other = self.ends[1 - side]
        if (
            self.over
            or not self.lives(side)
            or self.lives(1 - side)
            or self.cut
            or other.host in self.world.vanished
        ):
            return
        if other.location is not None:
            self.suspect(side)
            self.lose(side, f"{other.location} refused three dials")

    def replaced(self) -> None:
        """Another incarnation answers at the address of the end that died."""
        for side in (0, 1):
            if self.lives(side) and not self.lives(1 - side) and not self.cut:
                self.lose(side, f"another incarnation answers at {self.ends[1 - side].location}")

    def end(self, process: Process, reason: str) -> None:
        """This end forgets the session; the other is told, if it can be reached."""
        side = self.side(process)
        process.links.pop(self.names[1 - side], None)
        if not self.over:
            self.over = True
            self.world.plan(self.world.delay(), self._ended, side, reason)

    def _ended(self, side: int, reason: str) -> None:
        self._hand_over(side, PeerGone(self.names[side], f"it ended the session: {reason}"))


class World:
    """Virtual clock, network, faults and trace.

    limits     what machines are made with; the World takes its own waits from it.
    max_delay  seconds that a message is under way, at most.
    """

    def __init__(self, seed: int, *, limits: Limits | None = None, max_delay: float = 0.02) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.limits = limits or Limits()
        self.max_delay = max_delay
        self.now = 0.0
        self.trace: list[tuple[float, str, str, str]] = []
        self.verbose = os.environ.get("DISPYCOS_TRACE") == "1"
        self.blocked: set[tuple[str, str]] = set()  # (from host, to host)
        self.vanished: set[str] = set()  # hosts without power: they answer nothing, not even a refusal
        self.processes: list[Process] = []  # each that was ever started, in order
        self.links: list[Link] = []
        self._plans: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._number = 0
        self._dials: dict[tuple[Incarnation, Location], int] = {}
        self.events = 0

    # Time.

    def plan(self, delay: float, function: Callable[..., None], *args: Any) -> None:
        """Call it `delay` seconds from now, whatever lives then."""
        self._number += 1
        heapq.heappush(self._plans, (self.now + max(0.0, delay), self._number, function, args))

    def run(self, seconds: float = float("inf"), until: Callable[[], bool] | None = None) -> bool:
        """Let time pass, until the condition holds or nothing is planned. False: it never held."""
        end = self.now + seconds
        if until is not None and until():
            return True
        while self._plans and self._plans[0][0] <= end:
            when, _, function, args = heapq.heappop(self._plans)
            self.now = max(self.now, when)
            self.events += 1
            function(*args)
            if until is not None and until():
                return True
        if until is None and end != float("inf"):
            self.now = end
        return until is None

    def delay(self) -> float:
        """Seconds that one message is under way: mostly short, now and then long."""
        draw = self.random.random()
        return self.max_delay * draw * draw * draw

    def silence(self) -> float:
        """Seconds until a silence is noticed."""
        return self.limits.suspect_after * self.random.uniform(1.0, 1.4)

    # Processes and their sessions.

    def started(self, process: Process) -> None:
        self.record(process.name, "starts", process.incarnation[:4].hex())
        if process not in self.processes:
            self.processes.append(process)
        for link in self.links:
            if not link.over and process.location is not None:
                for side in (0, 1):
                    if link.ends[side].location == process.location and not link.lives(side):
                        self.plan(self.random.uniform(0.05, 1.0), link.replaced)

    def process_at(self, location: Location) -> Process | None:
        return next((p for p in self.processes if p.alive and p.location == location), None)

    def connect(self, one: Process, other: Process) -> Link:
        """Begin the session between two live processes; both hear PeerUp."""
        link = Link(self, one, other)
        self.links = [kept for kept in self.links if not kept.over]
        self.links.append(link)
        for end, peer in ((one, other), (other, one)):
            end.links[peer.incarnation] = link
            up = PeerUp(peer.incarnation, peer.roles, peer.location, peer.name)
            end._run(end.incarnation, link._hear, (end, up))
        return link

    def dial(self, process: Process, dial: Dial) -> None:
        key = (process.incarnation, dial.location)
        if key not in self._dials:
            self._dials[key] = 0
            process.after(self.delay(), self._try, process, dial)

    def stop_dialling(self, process: Process, location: Location) -> None:
        self._dials.pop((process.incarnation, location), None)

    def _try(self, process: Process, dial: Dial) -> None:
        key = (process.incarnation, dial.location)
        tries = self._dials.get(key)
        if tries is None:
            return
        other = self.process_at(dial.location)
        if other is not None and other.incarnation in process.links:
            del self._dials[key]
            return
        reason = self._no_answer(process, other, dial)
        if not reason and other is not None:
            del self._dials[key]
            self.connect(process, other)
            return
        self._dials[key] = tries + 1
        wait = min(self.limits.redial_first * 2**tries, self.limits.redial_max) * self.random.uniform(
            0.5, 1.5
        )
        process.after(wait, self._try, process, dial)
        process.hear(DialFailed(dial.location, reason))

    def _no_answer(self, process: Process, other: Process | None, dial: Dial) -> str:
        if other is None:
            return "connection refused"
        if (process.host, other.host) in self.blocked or (other.host, process.host) in self.blocked:
            return "timed out"
        if other.host in self.vanished or other.condition is Condition.FROZEN:
            return "timed out"
        return other.accepts(process, dial.reservation)

    # Faults.

    def cut(self, one: str, other: str, *, both: bool = True) -> None:
        """Nothing that host `one` sends reaches host `other`; both: nor the other way."""
        self.record(one, "is cut from", f"{other}{'' if both else ' one way'}")
        self.blocked.add((one, other))
        if both:
            self.blocked.add((other, one))
        for link in self._between(one, other):
            link.was_cut()

    def heal(self, one: str, other: str) -> None:
        self.record(one, "is joined to", other)
        self.blocked.discard((one, other))
        self.blocked.discard((other, one))
        for link in self._between(one, other):
            link.was_healed()

    def vanish(self, host: str) -> None:
        """The host loses its power: its processes are gone, and nothing there refuses a dial."""
        self.record(host, "vanishes", "")
        self.vanished.add(host)
        for process in self.processes:
            if process.host == host:
                process.kill("its host lost power")

    def power_on(self, host: str) -> None:
        """The host answers again; nothing runs there until it is started."""
        self.vanished.discard(host)
        for link in self.links:
            if host in (link.ends[0].host, link.ends[1].host):
                link.was_healed()

    def calm(self) -> None:
        """End all faults: heal every cut, thaw every process."""
        for one, other in sorted(self.blocked):
            self.heal(one, other)
        for process in list(self.processes):
            process.thaw()

    def _between(self, one: str, other: str) -> list[Link]:
        return [k for k in self.links if not k.over and {k.ends[0].host, k.ends[1].host} == {one, other}]

    # What happened.

    def record(self, name: str, verb: str, what: Any) -> None:
        if isinstance(what, Heard):
            verb, what = "hears", what.message
        text = what if isinstance(what, str) else type(what).__name__
        self.trace.append((self.now, name, verb, text))
        if self.verbose:
            print(f"{self.now:10.4f} {name:10} {verb} {what!r}")

    def story(self, last: int = 60) -> str:
        """The last lines of the trace."""
        return "\n".join(f"{at:10.4f} {name:10} {verb} {text}" for at, name, verb, text in self.trace[-last:])


class Ledger:
    """What happened to each task, kept apart from every party; asserts what may never be (R-31)."""

    def __init__(self) -> None:
        self.allowed: dict[int, int] = {}  # task -> attempts that it may use
        self.begun: dict[int, dict[int, str]] = {}  # task -> attempt -> where
        self.finals: dict[int, End] = {}

    def submitted(self, id: int, attempts: int = 1) -> None:
        assert id not in self.allowed, f"task {id} was submitted twice"
        self.allowed[id] = attempts

    def began(self, id: int, attempt: int, where: str) -> None:
        """A server enters the task's generator."""
        assert id in self.allowed, f"{where} begins task {id}, which nobody submitted"
        places = self.begun.setdefault(id, {})
        assert attempt not in places, (
            f"attempt {attempt} of task {id} begins at {where} and began at {places[attempt]}"
        )
        places[attempt] = where
        assert len(places) <= self.allowed[id], f"task {id} began {len(places)} times: {places}"

    def ended(self, id: int, end: End) -> None:
        """The client's program is told the task's outcome."""
        assert id in self.allowed, f"an outcome for task {id}, which nobody submitted"
        assert id not in self.finals, f"task {id} ended twice: {self.finals[id].name}, then {end.name}"
        if end is End.FINISHED:
            assert self.begun.get(id), f"task {id} finished and never began"
        self.finals[id] = end

    @property
    def open(self) -> list[int]:
        """Tasks without an outcome."""
        return [task for task in self.allowed if task not in self.finals]

    def balance(self) -> None:
        """At the end of a run: every task has its outcome."""
        assert not self.open, f"tasks without an outcome: {self.open}"


class Chaos:
    """Random faults for a while: each of `verbs`, about every `mean` seconds one of them."""

    def __init__(
        self, world: World, verbs: Sequence[Callable[[], None]], mean: float, duration: float
    ) -> None:
        self.world = world
        self.verbs = verbs
        self.mean = mean
        self.end = world.now + duration
        self._next()

    def _next(self) -> None:
        wait = self.world.random.expovariate(1 / self.mean)
        if self.world.now + wait < self.end:
            self.world.plan(wait, self._strike)

    def _strike(self) -> None:
        self.world.random.choice(self.verbs)()
        self._next()


def seeds(count: int) -> Sequence[int]:
    """0 to count - 1, or the one that DISPYCOS_SEED names."""
    chosen = os.environ.get("DISPYCOS_SEED")
    return range(count) if chosen is None else [int(chosen)]


def each_seed(scenario: Callable[[int], Any], count: int) -> None:
    """Run `scenario(seed)` for each seed; the first that fails says how it is replayed."""
    for seed in seeds(count):
        try:
            scenario(seed)
        except Exception as exc:
            exc.add_note(f"seed {seed}; replay: {replay(seed)}")
            raise


def replay(seed: int) -> str:
    """The command that runs this seed of the current test, with its trace."""
    test = os.environ.get("PYTEST_CURRENT_TEST", "tests/sim").rpartition(" (")[0] or "tests/sim"
    return f"DISPYCOS_SEED={seed} DISPYCOS_TRACE=1 python -m pytest -s '{test}'"
