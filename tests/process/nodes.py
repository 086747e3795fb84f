"""A scheduler and client in one, by hand: what tests of nodes speak with a real node through."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from dispycos import config
from dispycos.events import PeerGone, PeerUp
from dispycos.messages import (
    CloseRequest,
    Define,
    Ending,
    Finished,
    Holding,
    NodeHere,
    NodeOpen,
    NodeReport,
    Outcomes,
    OutcomesSeen,
    Prepare,
    Prepared,
    PrepareFailed,
    Pulse,
    Recalled,
    Release,
    Released,
    Renew,
    Reserve,
    Reserved,
    ReserveRefused,
    ServerDelayed,
    ServerEnded,
    ServerFacts,
    ServerReady,
    ServerStarted,
    SetUpFailed,
    SetUpServer,
    Submit,
    SubmitRefused,
    Undelivered,
)
from dispycos.model import CLIENT_MADE, End, Incarnation, Location, Outcome, Role, TaskSpec
from dispycos.net.endpoint import Endpoint
from dispycos.net.files import FileSender
from dispycos.net.keys import keyring_of
from dispycos.net.reactor import Reactor
from dispycos.pickling import code, values
from tests.helpers import wait_until

_HEARD = (
    NodeHere, Reserved, ReserveRefused, Pulse, Released, Prepared, PrepareFailed, ServerStarted,
    ServerEnded, ServerDelayed, NodeReport, NodeOpen, ServerReady, SetUpFailed, Outcomes, Recalled,
    SubmitRefused, Holding, CloseRequest, Finished, Ending, Undelivered,
)  # fmt: skip
_FROM = Role.NODE | Role.SERVER

T = TypeVar("T")


class Master:
    """Reserves a node, prepares it, runs tasks on its servers; keeps all it hears."""

    def __init__(self, key: bytes, port: int = 0) -> None:
        self.heard: list[tuple[Incarnation, Any]] = []
        self.up: dict[Location | None, Incarnation] = {}
        self.lost: dict[Incarnation, str] = {}
        self._outcomes: dict[int, Outcome] = {}
        self._changed = threading.Lock()
        self._ids = 0
        self._closed = False
        self.reactor = Reactor.in_thread()
        self.endpoint: Endpoint = self.reactor.run(self._open(key, port)).result(10)

    async def _open(self, key: bytes, port: int) -> Endpoint:
        endpoint = Endpoint(
            self.reactor,
            roles=Role.CLIENT | Role.SCHEDULER,
            keyring=keyring_of([key]),
            limits=config.limits(),
            name="master",
        )
        for kind in _HEARD:
            endpoint.handle(kind, self._hear, who=_FROM)
        endpoint.watch(self._peer_event)
        self.files = FileSender(endpoint)
        await endpoint.listen(["127.0.0.1"], port)
        return endpoint

    def _hear(self, peer: Incarnation, message: Any) -> None:
        if isinstance(message, Outcomes):
            for outcome in message.outcomes:
                self._outcomes[outcome.id] = outcome
            self.endpoint.say(peer, OutcomesSeen(message.number + len(message.outcomes) - 1, 0, 0))
        if isinstance(message, Pulse):
            self.endpoint.say(peer, Renew(message.reservation, 1, 60.0))
        self.heard.append((peer, message))

    def _peer_event(self, event: Any) -> None:
        if isinstance(event, PeerUp):
            self.up[event.location] = event.peer
        elif isinstance(event, PeerGone):
            self.lost[event.peer] = event.reason

    def __enter__(self) -> Master:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Say goodbye to all, so that a node is free. May be repeated."""
        if not self._closed:
            self._closed = True
            self.reactor.run(self.endpoint.close()).result(20)
            self.reactor.stop()

    def connections(self) -> set[int]:
        """The descriptors of its connections, as they are now."""
        return {connection.fileno() for connection in list(self.endpoint.traffic._open)}

    # Speaking and hearing.

    def call(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Run on the reactor's thread."""

        async def run() -> T:
            return function(*args, **kwargs)

        result: T = self.reactor.run(run()).result(20)
        return result

    def dial(self, location: Location, reservation: int = 0) -> Incarnation:
        """Be connected with whoever listens there."""
        if location not in self.up:
            self.call(self.endpoint.dial, location, reservation=reservation)
        return wait_until(lambda: self.up.get(location), what=f"a session with {location}")

    def say(self, peer: Incarnation, message: Any) -> None:
        self.call(self.endpoint.say, peer, message)

    def all(self, kind: type[T], of: Incarnation | None = None) -> list[T]:
        """Every message of a kind that was heard (from one peer), in order."""
        return [message for peer, message in self.heard if isinstance(message, kind) and of in (None, peer)]

    def next(self, kind: type[T], number: int = 1, timeout: float = 15.0) -> T:
        """The message of a kind with this number (from 1), once it is heard."""
        try:
            wait_until(lambda: len(self.all(kind)) >= number, timeout)
        except AssertionError:
            names = [type(message).__name__ for _, message in self.heard]
            raise AssertionError(f"no {kind.__name__} number {number}; heard {names}") from None
        return self.all(kind)[number - 1]

    def send_file(self, to: Incarnation, path: Path, name: str, **more: Any) -> None:
        """Store a file there, or raise what FileSender raises."""
        self.reactor.run(self.files.send_file(to, path, name, **more)).result(15)

    # A turn with a node.

    def reserve(
        self, node: Incarnation, servers: int, *, reservation: int = 1, hold: float = 60.0, pulse: float = 0.3
    ) -> None:
        """Have the node reserved for us."""
        self.call(self.endpoint.keyring.open_reservation, reservation)
        self.say(
            node,
            Reserve(
                reservation=reservation,
                lease=1,
                lease_time=60.0,
                client=self.endpoint.incarnation,
                servers=servers,
                pulse_interval=pulse,
                zombie_period=0.0,
                hold=hold,
            ),
        )

    def prepare(
        self,
        node: Incarnation,
        servers: int,
        components: Sequence[Any] = (),
        setup: Any = None,
        *args: Any,
        reservation: int = 1,
        restart: bool = False,
        pulse: float = 0.3,
    ) -> None:
        """Reserve a node and have it start its zygote."""
        before = len(self.all(Reserved))
        self.reserve(node, servers, reservation=reservation, pulse=pulse)
        self.next(Reserved, before + 1)
        payload = None if setup is None else values.dump((setup, args, {}))
        self.say(
            node, Prepare(reservation, code.dump_components(list(components)), payload, servers, restart)
        )

    def take(self, facts: ServerFacts, setup: Any = None, *args: Any, reservation: int = 1) -> Incarnation:
        """Connect with a server and set it up."""
        server = self.dial(facts.location, reservation)
        assert server == facts.incarnation
        payload = None if setup is None else values.dump((setup, args, {}))
        self.say(server, SetUpServer(reservation, payload))
        wait_until(lambda: self.all(ServerReady, server) or self.all(SetUpFailed, server))
        return server

    def use(
        self, location: Location, servers: int, components: Sequence[Any] = (), **more: Any
    ) -> list[Incarnation]:
        """From nothing to servers that work: the node's servers, in order of their places."""
        node = self.dial(location)
        before = len(self.all(ServerStarted))
        self.prepare(node, servers, components, **more)
        self.next(ServerStarted, before + servers)
        facts = sorted(
            (started.server for started in self.all(ServerStarted)[before:]), key=lambda f: f.index
        )
        return [self.take(one, reservation=more.get("reservation", 1)) for one in facts]

    def submit(
        self,
        server: Incarnation,
        function: Any,
        *args: Any,
        io: bool = False,
        timeout: float = 0,
        number: int = 0,
    ) -> int:
        """Have a server run a task; answers its id."""
        name, payload = code.dump_definition(function)
        with self._changed:
            self._ids += 1
            spec = TaskSpec(number or CLIENT_MADE | self._ids, 1, name, values.dump((args, {})), io, timeout)
        self.say(server, Define(name, payload))
        self.say(server, Submit(1, [spec]))
        return spec.id

    def outcome(self, id: int, timeout: float = 15.0) -> Outcome:
        """How a task ended."""
        return wait_until(lambda: self._outcomes.get(id), timeout, what=f"the outcome of {id}")

    def value(self, id: int) -> Any:
        """What a task returned."""
        outcome = self.outcome(id)
        assert outcome.end is End.FINISHED, (outcome.end, outcome.text)
        assert outcome.value is not None
        return values.load(outcome.value)

    def run(self, server: Incarnation, function: Any, *args: Any) -> Any:
        """Run a task to its end; what it returned."""
        return self.value(self.submit(server, function, *args))

    def release(self, node: Incarnation, reservation: int = 1, terminate: bool = True) -> None:
        """End the turn; returns when the node says that nothing is left."""
        before = len(self.all(Released))
        self.say(node, Release(reservation, terminate, "the test is over"))
        self.next(Released, before + 1)
        self.call(self.endpoint.keyring.close_reservation, reservation)
