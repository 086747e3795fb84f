"""Peers: one other incarnation, its session, and the connection that carries it now.

A Peer joins three things that know nothing of each other: the Session (what was said and
what is missing), the Liveness (when to speak, when to worry) and the Connection (bytes).
Connections come and go under it; the peer is the same until it is lost.

Rules: at most one connection carries the session (R-16); with another incarnation nothing
is ever replayed (R-40). I/O half. Layer 3.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import threading
import time
from collections.abc import Sequence
from typing import Protocol

from dispycos import validation
from dispycos.config import Limits
from dispycos.events import PeerUp
from dispycos.kernel.operation import Operation
from dispycos.messages import Goodbye, Introduction
from dispycos.model import Buffer, Incarnation, Location, Role
from dispycos.net import session as sessions
from dispycos.net.auth import Proven
from dispycos.net.bundle import Bundle
from dispycos.net.codec import encode
from dispycos.net.greeting import Greeting
from dispycos.net.keys import Keyring
from dispycos.net.liveness import Action, Dial, KeepAlive, Level, Liveness, Lost, Recovered, Suspected
from dispycos.net.reactor import Reactor
from dispycos.net.session import Session, SessionState
from dispycos.net.transport import Connection
from dispycos.wording import harmless

log = logging.getLogger("dispycos")

# Two connections that were dialled from both ends at once appear within this, seconds.
_SIMULTANEOUS = 2.0


class Hearing(Protocol):
    """Who hears what a peer's connections brought; see `net.hearing`."""

    def hear_events(self, peer: Peer, events: Sequence[sessions.Event], connection: Connection) -> None: ...
    def hear_aside(self, peer: Peer, events: Sequence[sessions.Event], connection: Connection) -> None: ...
    def overhear(self, peer: Peer, connection: Connection) -> None: ...


class Host(Protocol):
    """What a peer needs of the endpoint it belongs to."""

    incarnation: Incarnation
    keyring: Keyring
    limits: Limits
    reactor: Reactor

    @property
    def hearing(self) -> Hearing: ...

    def introduction(self) -> Introduction: ...
    def redial(self, peer: Peer) -> None: ...
    def suspect(self, peer: Peer) -> None: ...
    def back(self, peer: Peer) -> None: ...
    def refused(self, greeting: Greeting, reason: str) -> None: ...
    def lose(self, peer: Peer, reason: str) -> None: ...


class Peer:
    """All that this process knows of one other.

    Made and changed on the reactor thread; the kernel's thread may read for it: see `_Line`.
    """

    __slots__ = (
        "_address",
        "_adopted",
        "_broke",
        "_dialer",
        "_host",
        "_settled",
        "_timer",
        "bundle",
        "connection",
        "dialled",
        "incarnation",
        "introduced",
        "key_id",
        "left",
        "liveness",
        "location",
        "lock",
        "lost",
        "name",
        "python",
        "release",
        "reservation",
        "roles",
        "session",
        "waiting",
    )

    def __init__(self, host: Host, incarnation: Incarnation, roles: Role, limits: Limits) -> None:
        """Know nothing of it but what its HELLO says; `limits` as both HELLOs agreed on them."""
        self._host = host
        self.incarnation = incarnation
        self.roles = roles
        self.name = ""
        self.python = ""
        self.release = ""
        self.location: Location | None = None  # where it says it can be dialled
        self.dialled: Location | None = None  # where we reached it
        self.reservation = 0  # whose key opened the session; 0: the cluster's
        self.key_id = b""  # of the key that opened the connection
        self.introduced = False
        self.lost = False
        # Guards `session`, which the reactor feeds and any thread sends by.
        self.lock = threading.Lock()
        self.session = Session(host.incarnation, incarnation, limits)
        self.bundle = Bundle()  # under the same lock; ahead of whatever is sent next
        self.liveness = Liveness(host.limits, time.monotonic(), dials=True)
        self.connection: Connection | None = None
        # What the kernel's thread read and the reactor is to hear; under the connection's `reading`.
        self.left: list[sessions.Event] = []
        self.waiting: list[Operation] = []  # senders that wait until there is room (N4)
        self._dialer = False  # we dialled the connection that is attached
        self._address = ""  # whence it spoke last
        self._adopted = 0.0  # when it was attached
        self._broke = 0.0  # when the last one broke
        # "" when it has introduced itself, or why it is gone before.
        self._settled: asyncio.Future[str] = host.reactor.loop.create_future()
        self._timer: asyncio.TimerHandle | None = None  # of the next dial

    @property
    def state(self) -> str:
        """What is known of it: a value of `liveness.Level`."""
        return "lost" if self.lost else self.liveness.level.value

    @property
    def reachable(self) -> Location | None:
        """Where to dial it: where that worked before, else where it says; None: only it can dial."""
        there = self.location
        if self.dialled is not None or there is None:
            return self.dialled
        # A server's word: code of others runs in there, and must not make a process that holds
        # the cluster's key dial wherever it likes.
        if not self.reservation or self._host.keyring.own.reservation:
            return there
        return Location(self._address, there.port) if self._address in there.addresses else None

    @property
    def source(self) -> str:
        """The address it speaks from, for counting."""
        theirs = self.connection.ends()[1] if self.connection is not None else None
        return theirs.addr if theirs is not None else "this host"

    def __str__(self) -> str:
        # The name is the peer's own words: it must not forge a line of our log (SE-55).
        name = harmless(self.name, keep="")
        where = self.reachable
        who = f"{name or self.roles.name} ({self.incarnation.hex()[:8]})"
        return f"{who} at {where}" if where else who

    # Connections.

    def adopt(self, greeting: Greeting, proven: Proven, dialled: Location | None) -> bool:
        """Let a proven connection carry the session; False if another one shall."""
        now = time.monotonic()
        if not self.session.admits(proven.credential):
            # Somebody who holds another key takes this peer's name: nothing of the peer's is
            # touched on his account (SE-20).
            self._host.refused(greeting, f"it can't be {self}: it proved another key or role")
            return False
        if self.connection is not None:
            if now - self._adopted < _SIMULTANEOUS and self._dialer != greeting.dialer:
                # Both ends dialled at once. Both must keep the same one: that of the greater.
                we_win = self._host.incarnation > self.incarnation
                if greeting.dialer != we_win:
                    return False
            self._drop_connection()
        if self.left:
            # Of the connection before: nobody adds to it any more, and it comes first.
            self._host.hearing.hear_events(self, (), greeting.connection)
            if self.lost:
                return False
        first = self.session.state is SessionState.NEW
        with self.lock:
            self.session.attach(
                proven.send_key,
                proven.receive_key,
                proven.tags,
                dialer=greeting.dialer,
                session_id=os.urandom(sessions.HALF_BYTES),
                now=now,
                credential=proven.credential,
            )
            if first:
                # Urgent, so that nothing at all goes ahead of it.
                self.session.send(*encode(self._host.introduction()), urgent=True)
        if dialled is not None:
            self.dialled = dialled
        self.reservation = proven.reservation or 0
        self.key_id = proven.key_id
        self._dialer = greeting.dialer
        self._adopted = now
        connection = greeting.connection
        self.connection = connection
        self._address = self.source
        self._act(self.liveness.connected(now))
        line = _Line(self, connection)
        left = greeting.hand_over(line)
        connection.flush()
        if left:
            with self.lock:
                events = self.session.feed(left, now)
            line.carry_out(events)
        self._host.hearing.overhear(self, connection)
        return True

    def _drop_connection(self) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.close()
            with self.lock:
                self.session.detach(time.monotonic())

    def broke(self, connection: Connection, reason: str) -> None:
        """The connection that carried the session is over."""
        if self.connection is not connection:
            return  # superseded long ago
        self.connection = None
        now = self._broke = time.monotonic()
        with self.lock:
            self.session.detach(now)
        if not self.lost:
            log.debug("connection to %s broke: %s", self, reason)
            self._act(self.liveness.broke(now, random.random()))

    def reconnect(self, reason: str) -> None:
        """Go on over a new connection: both ends have to prove themselves again."""
        connection = self.connection
        if connection is not None:
            connection.close()
            self.broke(connection, reason)

    def dial_failed(self, refused: bool) -> None:
        """A dial that `Host.redial` was asked for came to nothing."""
        if not self.lost and self.connection is None:
            self._act(self.liveness.dial_failed(refused, time.monotonic(), random.random()))

    def no_address(self) -> None:
        """A dial that `Host.redial` was asked for can't be made: only the peer can dial."""
        if not self.lost and self.connection is None:
            self._act(self.liveness.no_address(time.monotonic(), random.random()))

    def send_bundle(self) -> None:
        """Send the small messages that wait, if there is room; lock held."""
        if self.bundle.waits and self.session.has_room:
            self.session.send(*encode(self.bundle.take()))

    @property
    def idle(self) -> bool:
        """Whether all that was said to it has been received."""
        return self.session.idle and not self.bundle.waits

    def write(self) -> None:
        """Write what the session has to say; any thread."""
        connection = self.connection
        if connection is not None:
            connection.flush()

    def let_go(self) -> None:
        """There is room, or no use in waiting for it."""
        waiting, self.waiting = self.waiting, []
        for operation in waiting:
            operation.complete()

    # What is known of it.

    async def settled(self) -> str:
        """Wait until it has introduced itself; or why it was lost before."""
        return await asyncio.shield(self._settled)

    def _settle(self, reason: str) -> None:
        if not self._settled.done():
            self._settled.set_result(reason)

    def introduce(self, message: Introduction) -> None:
        self.introduced = True
        self._settle("")
        self.name = message.name
        self.python = message.python
        self.release = message.release
        self.location = message.location
        # It may have taken on a role since its HELLO; never one its key does not prove.
        if not self.reservation:
            self.roles |= message.roles

    def event(self) -> PeerUp:
        """What those who begin to listen now have missed: that it is up."""
        return PeerUp(self.incarnation, self.roles, self.location, self.name, self.dialled)

    def heard(self, now: float) -> None:
        """Bytes came from it."""
        actions = self.liveness.heard(now)
        if actions:
            self._act(actions)

    def tick(self) -> None:
        """Look at the clock: speak if we were silent, worry if it was, dial if it is time."""
        now = time.monotonic()
        stranger = not self.introduced and self.connection is None
        if stranger and now - self._broke > self._host.limits.handshake_timeout:
            # Nobody has heard of it, so nobody but we will ever give it up.
            self._host.lose(self, "its connection broke before it introduced itself")
            return
        self._act(self.liveness.tick(now))

    def _act(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, KeepAlive):
                with self.lock:
                    self.session.keepalive()
                self.write()
            elif isinstance(action, Suspected):
                self._host.suspect(self)
                # Silence on a connection that looks alive: only a new one can tell.
                self.reconnect(action.reason)
            elif isinstance(action, Recovered):
                self._host.back(self)
            elif isinstance(action, Dial):
                self._host.redial(self)
            elif isinstance(action, Lost):
                self._host.lose(self, action.reason)
        if validation.ON:
            validation.check(self.liveness, actions)
            with self.lock:
                validation.check(self.session, actions)
        self._rearm()

    def _rearm(self) -> None:
        # While it is connected the endpoint's beat is fine enough; dials are not to wait for it.
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.connection is None and not self.lost:
            deadline = self.liveness.next_deadline()
            if deadline is not None:
                delay = max(0.0, deadline - time.monotonic())
                self._timer = self._host.reactor.loop.call_later(delay, self.tick)

    # Its end.

    def farewell(self, reason: str) -> None:
        """End the session by our choice, and tell the peer."""
        connection = self.connection
        with self.lock:
            if self.session.state is SessionState.ATTACHED and self.session.has_room:
                self.send_bundle()
                self.session.send(*encode(Goodbye(reason)))
            # What is queued goes out in order before the session's own last frame.
            parts = self.session.take()
            self.session.close(reason)
            parts += self.session.take()
        self.lost = True
        self._settle(reason or "its session was given up")
        self.let_go()
        self._rearm()
        self.connection = None
        if connection is not None:
            connection.finish(parts)

    def end(self, reason: str) -> bool:
        """The session is over; False if it was before."""
        if self.lost:
            return False
        self.lost = True
        self._settle(reason or "its session was given up")
        self.let_go()
        self._rearm()
        self.liveness.gone(reason, time.monotonic())
        with self.lock:
            self.session.close(reason)
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.close()
        return True


def turn_away(greeting: Greeting, proven: Proven, ours: Incarnation, limits: Limits, reason: str) -> None:
    """Say goodbye to a proven peer with whom there shall be no session, and close its connection."""
    session = Session(ours, proven.peer.incarnation, limits)
    session.attach(
        proven.send_key,
        proven.receive_key,
        proven.tags,
        dialer=greeting.dialer,
        session_id=os.urandom(sessions.HALF_BYTES),
        now=time.monotonic(),
    )
    session.send(*encode(Goodbye(reason)))
    parts = session.take()
    session.close(reason)
    greeting.connection.finish(parts + session.take())


class _Line:
    """One connection as the carrier of one peer's session: its Reader."""

    __slots__ = ("_connection", "_peer")

    def __init__(self, peer: Peer, connection: Connection) -> None:
        self._peer = peer
        self._connection = connection

    def get_buffer(self) -> memoryview:
        return self._peer.session.get_buffer()

    def received(self, count: int) -> None:
        peer = self._peer
        now = time.monotonic()
        with peer.lock:
            events = peer.session.received(count, now)
        if peer._host.reactor.here:
            peer.heard(now)
            self.carry_out(events)
            return
        if peer.liveness.note(now) is not Level.RESPONSIVE:
            peer._host.reactor.call(peer.heard, now)
        if events:
            peer._host.hearing.hear_aside(peer, events, self._connection)
        if peer.bundle.waits or peer.session.due:
            self._connection.flush()

    def carry_out(self, events: Sequence[sessions.Event]) -> None:
        peer = self._peer
        if events or peer.left:
            peer._host.hearing.hear_events(peer, events, self._connection)
        # Acknowledgements and, after a resume, the replay.
        self._connection.flush()

    def take(self) -> Sequence[Buffer]:
        peer = self._peer
        if peer.connection is not self._connection or not (peer.bundle.waits or peer.session.due):
            return ()
        with peer.lock:
            if peer.bundle.waits and not peer.lost:
                peer.send_bundle()
            parts = peer.session.take()
        if parts:
            peer.liveness.said(time.monotonic())
        return parts

    def broken(self, reason: str) -> None:
        self._peer.broke(self._connection, reason)
