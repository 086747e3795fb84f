"""Processes: machines that run together on a clock of their own, die, freeze and start again.

Layer 7. For tests only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Any, Protocol

from dispycos.events import Dial, Forget, Heard, Note, Say, StopDialling
from dispycos.model import Incarnation, Location, Role
from dispycos.simulation.link import Condition, Link

# A machine that asks for a tick at a time that has passed, again and again, would hang a process.
MAX_TICKS_AT_ONCE = 1000


class Machine(Protocol):
    """The shape of every machine; see `events`."""

    def handle(self, event: Any, now: float, /) -> Sequence[Any]: ...
    def tick(self, now: float, /) -> Sequence[Any]: ...
    def next_deadline(self) -> float | None: ...
    def check(self) -> None: ...


class Surroundings(Protocol):
    """What a process needs of the world around it."""

    now: float
    random: Random

    def plan(self, delay: float, function: Callable[..., None], *args: Any) -> None: ...
    def delay(self) -> float: ...
    def record(self, name: str, verb: str, what: Any) -> None: ...
    def started(self, process: Process) -> None: ...
    def dial(self, process: Process, dial: Dial) -> None: ...
    def stop_dialling(self, process: Process, location: Location) -> None: ...


class Process:
    """One process: its incarnation, where it listens and the machines it runs.

    Derive from it: `boot` makes the machines (and draws on `self.incarnation`, which is drawn
    anew for each start); `perform` carries out the actions of a machine's own.
    """

    roles = Role.PEER

    def __init__(
        self,
        world: Surroundings,
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
        self._catching_up = False  # on the backlog: what comes now waits behind it
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
        self.world.plan(delay, self.call, self.incarnation, function, args)

    def feed(self, machine: Machine, event: Any) -> None:
        """Let something happen to a machine, and carry out what it answers."""
        self.world.record(self.name, "event", event)
        if isinstance(event, Heard) and (compare := getattr(machine, "compare", None)) is not None:
            compare(event.peer, event.message)
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
            self.world.plan(when - self.world.now, self.call, self.incarnation, self._tick, (machine, when))

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

    def call(self, incarnation: Incarnation, function: Callable[..., None], args: tuple[Any, ...]) -> None:
        """Run it in that start of the process: later if it is frozen, never if it is over."""
        if incarnation != self.incarnation or self.condition is Condition.DEAD:
            return
        if self.condition is Condition.FROZEN or self._catching_up:
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
        self._catching_up = False
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
        self._catching_up = True
        while self._backlog and self.condition is Condition.RUNNING and self.incarnation == incarnation:
            function, args = self._backlog.popleft()
            function(*args)
        if self.incarnation != incarnation:
            return
        self._catching_up = False
        if self.condition is Condition.RUNNING:
            for link in list(self.links.values()):
                link.thawed()

    def stood_still(self, seconds: float) -> None:
        """Its clock did not go on while it was frozen."""
        self._skew -= seconds

    def blocked(self, seconds: float, function: Callable[..., None], *args: Any) -> None:
        """A call of the system takes so long; nothing else happens here until then, and this first."""
        assert self.running, f"{self.name} can't wait twice"
        self.freeze()
        self._backlog.appendleft((function, args))
        self.world.plan(seconds, self._unblocked, self.incarnation)

    def _unblocked(self, incarnation: Incarnation) -> None:
        if self.incarnation == incarnation:
            self.thaw()
